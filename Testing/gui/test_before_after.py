"""Before and after side by side: which node is seen in which of the two 3D views, and that nothing of it is left afterwards."""

import numpy as np
import pytest
import slicer
from core.leg_case import FEMUR, TIBIA
from leg_panel import add_cut as add
from leg_panel import layout_fixture, leg_inputs_fixture  # noqa: F401  used by their names
from quick_planner import raised_fixture  # noqa: F401  used by its name

from harness.helpers import nodes_of_class, press
from MSKFusionLib.mrml.files import load_scene, save_scene
from MSKFusionLib.mrml.transforms import to_vtk_matrix
from MSKPlannerLib.mrml import nodes_of_plan
from MSKPlannerLib.mrml.limb_marks import LIES_BEFORE

VIEWS = "vtkMRMLViewNode1", "vtkMRMLViewNode2"
FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
TWO_3D = slicer.vtkMRMLLayoutNode.SlicerLayoutDual3DView


@pytest.fixture(name="panel")
def panel_fixture(session, layout, leg_inputs, raised):
    panel = session.open_panel("MSKPlanner")
    add(panel, "right tibia")
    return panel


def everything(scene):
    """What the scene holds of views, displays and nodes, in words that can be compared."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    lists = {n.GetID(): tuple(n.GetViewNodeIDs() or ()) for n in nodes if n.IsA("vtkMRMLDisplayNode")}
    views = {
        n.GetID(): (n.GetLayoutLabel(), n.GetLinkedControl(), n.GetRenderMode())
        for n in nodes
        if n.IsA("vtkMRMLViewNode") and n.GetID() != VIEWS[1]
    }
    kept = {n.GetID() for n in nodes if n.GetID() != VIEWS[1]}  # the application keeps a view that it once made
    return lists, views, kept


def seen_in(node, view):
    """Whether a node's display is drawn in a view."""
    return node.GetDisplayNode().IsDisplayableInView(view)


def side_by_side(panel):
    """Names of the models of the leg in each of the two views, and where they lie: the middle of each in the world."""
    out = []
    for view in VIEWS:
        shown = {}
        for node in nodes_of_class(slicer.mrmlScene, "vtkMRMLModelNode"):
            if seen_in(node, view) and node.GetDisplayVisibility():
                box = [0.0] * 6
                node.GetRASBounds(box)
                shown[node.GetName()] = np.array(box).reshape(3, 2).mean(axis=1)
        out.append(shown)
    return out


def test_bones_before_in_the_first_view_and_fragments_in_the_second(panel, layout):
    scene, ui = panel.logic.session.scene, panel.cutUi
    was = everything(scene)
    bones = panel.logic.session.basis.bones
    ui.beforeAfterButton.click()
    assert layout.GetViewArrangement() == TWO_3D
    before, after = side_by_side(panel)
    assert set(before) == {"right tibia, before", "right femur, before"}
    assert set(after) == {"right tibia, staying", "right tibia, moved", "right femur, after"}
    # As they lie in the image: the bars themselves; the femur is not moved by a cut of the tibia.
    for name, mesh in (("right tibia, before", TIBIA), ("right femur, before", FEMUR)):
        middle = (mesh.vertices_ras.min(axis=0) + mesh.vertices_ras.max(axis=0)) / 2
        assert before[name] == pytest.approx(middle, abs=1e-4)
    assert after["right femur, after"] == pytest.approx(before["right femur, before"])
    for view in VIEWS:
        assert not seen_in(bones, view)
        assert scene.GetNodeByID(view).GetLinkedControl()
    assert seen_in(bones, "vtkMRMLSliceNodeRed")
    fragment = panel.logic.session.cuts.shown.nodes["right tibia osteotomy"].models["moved"]
    assert seen_in(fragment, "vtkMRMLSliceNodeGreen")
    axes = {
        n.GetName(): [seen_in(n, v) for v in VIEWS]
        for kind in ("Line", "Angle")
        for n in nodes_of_class(scene, f"vtkMRMLMarkups{kind}Node")
    }
    assert axes == {
        **{f"{n} before": [True, False] for n in ("Femoral axis", "Tibial axis", "Weight-bearing line")},
        **{n: [False, True] for n in ("Femoral axis", "Tibial axis", "Weight-bearing line")},
        "HKA 172.0°": [True, False],
        "HKA 180.0°": [False, True],
    }
    for angle in nodes_of_class(scene, "vtkMRMLMarkupsAngleNode"):
        assert angle.GetPropertiesLabelText() == ""  # one number, the one of the name and of the table
    ui.beforeAfterButton.click()
    assert layout.GetViewArrangement() == FOUR_UP
    assert everything(scene) == was


def test_a_femur_carries_the_whole_tibia_with_it_and_both_follow_the_hand(panel):
    ui, session = panel.cutUi, panel.logic.session
    press(ui.removeCutButton)
    add(panel, "right femur")
    ui.beforeAfterButton.click()
    before, after = side_by_side(panel)
    record = panel.logic.case.plan.osteotomies[0]
    motion = np.array(record.fragments[1].image_to_planned_ras)
    turned = TIBIA.transformed(motion).vertices_ras
    assert after["right tibia, after"] == pytest.approx((turned.min(axis=0) + turned.max(axis=0)) / 2, abs=2.0)
    ui.cutAngleSpinBox.value = record.angle_deg + 6.0
    assert np.abs(side_by_side(panel)[1]["right tibia, after"] - after["right tibia, after"]).max() > 5.0
    assert side_by_side(panel)[0]["right tibia, before"] == pytest.approx(before["right tibia, before"])
    # A landmark in the hand: the axis before follows.
    points = session.cuts.shown.landmarks
    names = list(panel.logic.case.plan.limb.landmarks_ras)
    index = next(
        n for n in range(points.GetNumberOfControlPoints()) if points.GetNthControlPointDescription(n) == "ankle_centre"
    )
    assert "ankle_centre" in names
    at = np.array(points.GetNthControlPointPosition(index)) + [3.0, 0, 0]
    points.InvokeEvent(points.PointStartInteractionEvent)
    points.SetNthControlPointPosition(index, *at)
    line = next(
        n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode") if n.GetName() == "Tibial axis before"
    )
    assert line.GetNthControlPointPosition(1) == pytest.approx(at)
    points.InvokeEvent(points.PointEndInteractionEvent)
    # A tibia that is cut as well: its lower bones go with it, its plane lies where the femur brings it.
    add(panel, "right tibia")
    before, after = side_by_side(panel)
    assert "right tibia, after" not in after
    assert {"right tibia, moved", "right femur, moved"} <= set(after)
    planes = session.cuts.shown.planes
    assert not seen_in(planes["right tibia osteotomy"], VIEWS[0])
    assert seen_in(planes["right femur osteotomy"], VIEWS[0])


def test_whatever_ends_it_leaves_nothing(panel, layout, session, tmp_path):
    ui, scene = panel.cutUi, session.scene
    button, was = ui.beforeAfterButton, everything(scene)
    # The user chooses another layout: that holds.
    button.click()
    layout.SetViewArrangement(layout.SlicerLayoutOneUp3DView)
    assert not button.checked
    assert everything(scene) == was
    assert layout.GetViewArrangement() == layout.SlicerLayoutOneUp3DView
    layout.SetViewArrangement(FOUR_UP)
    button.click()
    # A transform above the CT takes all of it along.
    above = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    above.SetMatrixTransformToParent(
        to_vtk_matrix(np.array([[1.0, 0, 0, 50], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    )
    middle = side_by_side(panel)[0]["right tibia, before"]
    inputs = panel.logic.session.basis.ct, panel.logic.session.basis.bones
    for node in inputs:
        node.SetAndObserveTransformNodeID(above.GetID())
        assert panel.ui.copyPlanButton.enabled == (node is inputs[1])  # told at once, both ways
    assert side_by_side(panel)[0]["right tibia, before"] == pytest.approx(middle + [50, 0, 0])
    for node in inputs:
        node.SetAndObserveTransformNodeID(None)
    scene.RemoveNode(above)
    # Another plan, in which the cut is removed; back to the first; undone until there is no cut.
    press(panel.ui.copyPlanButton)
    assert button.checked
    assert len(side_by_side(panel)[0]) == 2
    press(ui.removeCutButton)
    assert not button.checked
    assert layout.GetViewArrangement() == FOUR_UP
    panel.ui.plansComboBox.currentIndex = 0
    button.click()
    deleted = next(n for n in nodes_of_class(scene, "vtkMRMLModelNode") if n.GetName() == "right tibia, before")
    scene.RemoveNode(deleted)
    ui.cutsTable.setCurrentCell(0, 0)
    ui.cutKerfSpinBox.value = 1.0
    assert "right tibia, before" in side_by_side(panel)[0]
    while panel.ui.undoButton.enabled and panel.logic.case.plan.osteotomies:
        press(panel.ui.undoButton)
    press(panel.ui.redoButton)
    button.setChecked(True)
    panel.exit()
    assert not button.checked
    panel.enter()
    button.click()
    save_scene(scene, tmp_path / "scene.mrb")
    session.scene.Clear(0)
    assert not button.checked
    assert layout.GetViewArrangement() == FOUR_UP
    assert nodes_of_class(scene, "vtkMRMLModelNode") == []
    assert nodes_of_plan(scene) == ()
    # A scene that was saved meanwhile is put right when it is opened.
    load_scene(scene, tmp_path / "scene.mrb")
    session.application.processEvents()
    assert layout.GetViewArrangement() == FOUR_UP
    lists, views, _ = everything(scene)
    assert set(lists.values()) == {()}
    assert (lists, views) == (dict.fromkeys(lists, ()), was[1])
    assert len(panel.logic.case.plan.osteotomies) == 1
    assert LIES_BEFORE == ("weight-bearing line before",)
