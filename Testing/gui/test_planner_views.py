"""The slice views along the chosen screw, the chain of the plan, and the one button that brings it up to date."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from quick_planner import (  # noqa: F401  the fixtures are used by their names
    drag,
    inputs_fixture,
    of,
    panel_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import press
from MSKFusionLib.frames import unit
from MSKPlannerLib.mrml.slice_views import arrange_slice_views


def plane(session, name):
    """Return the normal of a view's slice and a point of it."""
    matrix = session.scene.GetSingletonNode(name, "vtkMRMLSliceNode").GetSliceToRAS()
    column = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(3)])
    return column[:, 2], column[:, 3]


def distance_mm(session, name, point):
    normal, origin = plane(session, name)
    return abs(float((np.asarray(point) - origin) @ normal))


def choose(panel, name):
    table = panel.ui.screwsTable
    table.setCurrentCell([table.item(r, 0).text() for r in range(table.rowCount)].index(name), 0)


@pytest.fixture(name="seen")
def seen_fixture(panel, session, inputs):
    arrange_slice_views(session.scene, inputs[0], None, np.array([3.0, 4.0, 5.0]))
    return panel


def aligned(session, screw, across_mm):
    for name in ("Red", "Yellow"):
        assert distance_mm(session, name, screw.entry_ras) < 1e-6
        assert distance_mm(session, name, screw.tip_ras) < 1e-6
    axis = unit(np.subtract(screw.tip_ras, screw.entry_ras))
    normal, _ = plane(session, "Green")
    return (
        abs(abs(normal @ axis) - 1) < 1e-9
        and distance_mm(session, "Green", np.array(screw.entry_ras) + across_mm * axis) < 1e-6
    )


def test_slices_run_along_the_chosen_screw_follow_it_and_turn_back(seen, session):
    panel = seen
    before = {name: plane(session, name) for name in ("Red", "Yellow", "Green")}
    assert not panel.ui.alignButton.enabled
    choose(panel, "L3 left")
    press(panel.ui.alignButton)
    assert panel.ui.acrossSlider.value == 14.0, "about a third down the screw"
    assert aligned(session, of(panel, "L3 left"), 14.0)
    panel.ui.acrossSlider.value = 22.5
    assert aligned(session, of(panel, "L3 left"), 22.5)
    choose(panel, "L4 right")
    assert aligned(session, of(panel, "L4 right"), 14.0)
    drag(panel, "L4 right", 1, (11.0, 38.0, 168.0))
    assert aligned(session, of(panel, "L4 right"), 14.0)
    press(panel.ui.undoButton)
    assert aligned(session, of(panel, "L4 right"), 14.0)
    press(panel.ui.alignButton)
    for name, (normal, origin) in before.items():
        assert np.allclose(plane(session, name), (normal, origin))
    assert not panel.ui.acrossSlider.enabled


def test_views_that_the_user_moved_are_left_until_the_screw_changes(seen, session):
    panel = seen
    choose(panel, "L3 left")
    press(panel.ui.alignButton)
    red = session.scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    red.SetFieldOfView(20.0, 20.0, 1.0)
    panel.ui.reviewedCheckBox.click()
    assert red.GetFieldOfView()[0] == 20.0
    panel.ui.acrossSlider.value = 5.0
    assert red.GetFieldOfView()[0] == 20.0, "only the slice across moves"
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    assert red.GetFieldOfView()[0] > 20.0


def test_slices_go_where_a_transform_puts_the_plan(seen, session, inputs):
    panel = seen
    table = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    moved = vtk.vtkMatrix4x4()
    moved.SetElement(0, 3, 30.0)
    moved.SetElement(2, 3, -7.0)
    table.SetMatrixTransformToParent(moved)
    for node in inputs:
        node.SetAndObserveTransformNodeID(table.GetID())
    choose(panel, "L3 left")
    press(panel.ui.alignButton)
    assert distance_mm(session, "Red", np.array(of(panel, "L3 left").entry_ras) + [30.0, 0.0, -7.0]) < 1e-6
    assert distance_mm(session, "Yellow", np.array(of(panel, "L3 left").tip_ras) + [30.0, 0.0, -7.0]) < 1e-6


@pytest.mark.parametrize("how", ["close", "leave", "remove the screw"])
def test_the_views_turn_back_when_there_is_nothing_to_see(seen, session, how):
    panel = seen
    before = plane(session, "Red")
    choose(panel, "L3 left")
    press(panel.ui.alignButton)
    if how == "close":
        session.scene.Clear(0)
    elif how == "leave":
        panel.exit()
    else:
        press(panel.ui.removeButton)
    assert not panel.ui.alignButton.checked
    if how != "close":
        assert np.allclose(plane(session, "Red"), before)


def test_every_screw_is_drawn_in_every_slice_whichever_way_it_is_turned(panel):
    for nodes in panel.logic.session.nodes.screws.values():
        assert nodes.model.GetDisplayNode().GetVisibility2D()
        assert nodes.model.GetDisplayNode().GetViewNodeIDs() == (), "in no view only"


def test_the_chain_is_seen_and_one_button_mends_it(panel, tmp_path, inputs):
    ui = panel.ui
    assert ui.chainLabel.text == "Images ✓  →  Screws ✓  →  Risk ✓  →  Guides –  →  Files –"
    assert "none is designed yet" in ui.chainLabel.toolTip
    press(ui.guidesButton)
    ui.folderPathLineEdit.currentPath = str(tmp_path / "out")
    press(ui.exportBodiesButton)
    assert ui.chainLabel.text == "Images ✓  →  Screws ✓  →  Risk ✓  →  Guides ✓  →  Files ✓"
    panel.logic.session.nodes.screws["L3 left"].axis.SetNthControlPointPosition(1, -14.0, 40.0, 120.0)
    assert ui.chainLabel.text == "Images ✓  →  Screws ✓  →  Risk ✗  →  Guides ✗  →  Files ✗"
    press(ui.updateButton)
    assert ui.chainLabel.text == "Images ✓  →  Screws ✓  →  Risk ✓  →  Guides ✓  →  Files ✗"
    assert not ui.updateButton.enabled


def test_screws_are_measured_on_bones_that_have_changed(panel, inputs, session):
    import slicer

    press(panel.ui.guidesButton)
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    choose(panel, "L3 left")
    panel.ui.reviewedCheckBox.checked = True
    before = panel.logic.case.plan
    slicer.util.arrayFromVolume(inputs[0])[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(inputs[0])
    assert panel.ui.chainLabel.text == "Images ✗  →  Screws ✗  →  Risk ✗  →  Guides ✗  →  Files –"
    assert not panel.ui.exportButton.enabled
    press(panel.ui.updateButton)
    after = panel.logic.case.plan
    assert panel.ui.chainLabel.text == "Images ✓  →  Screws ✓  →  Risk ✓  →  Guides ✓  →  Files –"
    assert [(s.name, s.entry_ras, s.tip_ras) for s in after.screws] == [
        (s.name, s.entry_ras, s.tip_ras) for s in before.screws
    ]
    assert not any(s.reviewed for s in after.screws), "other bones than those that were looked at"
    assert after.plan_id != before.plan_id
    assert panel.logic.isCurrent(*inputs)
    assert {n.GetAttribute("MSKPlanner.PlanID") for n in session.scene.GetNodesByClass("vtkMRMLMarkupsLineNode")} == {
        after.plan_id
    }
    press(panel.ui.undoButton)
    assert panel.logic.case.plan.plan_id == before.plan_id
    assert panel.ui.chainLabel.text.startswith("Images ✗")


def test_another_ct_is_not_one_to_take_a_plan_over_to(panel, session):
    from harness.helpers import small_volume
    from MSKFusionLib.mrml import volume_to_node
    from MSKFusionLib.volume import Modality

    panel.ui.ctSelector.setCurrentNode(volume_to_node(session.scene, small_volume(Modality.CT, "CT of Q")))
    assert panel.ui.chainLabel.text.startswith("Images ✗")
    assert "other images or bones are chosen" in panel.ui.chainLabel.toolTip
    assert not panel.ui.updateButton.enabled
