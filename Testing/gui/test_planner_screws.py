"""Screws changed in MSK Planner's panel and in the scene: drag, size, copy, swap, undo, delete, save and load."""

from __future__ import annotations

import numpy as np
import pytest
from quick_planner import (  # noqa: F401  the fixtures are used by their names
    SCREWS,
    axis,
    drag,
    inputs_fixture,
    model,
    of,
    panel_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import nodes_of_class, press, replace_function
from MSKFusionLib.mrml import load_scene, save_scene
from MSKPlannerLib.colours import OUT_OF_DATE_COLOUR, REJECTED_COLOUR, SCREW_COLOUR
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan


def row(panel, name):
    table = panel.ui.screwsTable
    rows = [r for r in range(table.rowCount) if table.item(r, 0).text() == name]
    return [table.item(rows[0], c).text() for c in range(table.columnCount)] if rows else None


def choose(panel, name):
    table = panel.ui.screwsTable
    table.setCurrentCell([table.item(r, 0).text() for r in range(table.rowCount)].index(name), 0)


def test_dragging_an_end_is_followed_by_numbers_colour_body_and_words(panel):
    press(panel.ui.guidesButton)
    node = axis(panel, "L3 left")
    assert not node.GetLocked()
    node.InvokeEvent(node.PointStartInteractionEvent)
    node.SetNthControlPointPosition(1, -9.0, 40.0, 120.0)  # 6 mm off the middle of a pedicle of 5 mm: out by 4.25
    assert row(panel, "L3 left")[2:6] == ["B ✗", "-4.25", "310", "?"]
    assert "leaves the bone by 4.2 mm" in panel.ui.screwLabel.text, "why it turned bad, while it is dragged"
    assert np.allclose(model(panel, "L3 left").GetDisplayNode().GetColor(), REJECTED_COLOUR)
    assert model(panel, "L3 left").GetPolyData().GetBounds()[1] > -12, "its body has gone along"
    assert "Guide of L3: L3 left was changed" in panel.ui.outOfDateLabel.text
    node.SetNthControlPointPosition(1, -14.0, 40.0, 120.0)
    node.InvokeEvent(node.PointEndInteractionEvent)
    assert row(panel, "L3 left")[2:6] == ["A", "0.75", "310", "4"], "the risk is counted when it is let go"
    assert np.allclose(model(panel, "L3 left").GetDisplayNode().GetColor(), SCREW_COLOUR)
    assert of(panel, "L3 left").by_hand
    assert scene_to_plan(panel.logic.session.scene).screws == panel.logic.case.plan.screws
    press(panel.ui.undoButton)
    assert of(panel, "L3 left") == SCREWS[0], "the whole drag is one step"
    assert np.allclose(axis(panel, "L3 left").GetNthControlPointPosition(1), SCREWS[0].tip_ras)
    assert panel.ui.undoButton.toolTip == "Design guides"
    press(panel.ui.redoButton)
    assert row(panel, "L3 left")[3] == "0.75"


def test_an_end_moved_by_a_script_is_a_step_of_its_own(panel):
    axis(panel, "L4 right").SetNthControlPointPosition(0, 16.0, 0.0, 160.0)
    assert row(panel, "L4 right")[3:6] == ["0.75", "310", "?"]
    assert panel.ui.outOfDateLabel.text.startswith("Breach risk of L4 right")
    press(panel.ui.updateButton)
    assert row(panel, "L4 right")[5] == "4"
    assert not panel.ui.updateButton.enabled


def test_what_is_no_screw_springs_back_and_says_why(panel):
    drag(panel, "L3 left", 1, (-15.0, 1.0, 120.0))
    assert "no screw has a length of 1.0 mm" in panel.ui.statusLabel.text
    assert of(panel, "L3 left").length_mm >= 5
    shown = np.array(axis(panel, "L3 left").GetNthControlPointPosition(1))
    assert np.allclose(shown, of(panel, "L3 left").tip_ras), "the last one that could be was kept, and is what is shown"
    axis(panel, "L3 right").RemoveNthControlPoint(1)
    assert "an entry and a tip" in panel.ui.statusLabel.text
    assert axis(panel, "L3 right").GetNumberOfControlPoints() == 2


def test_size_from_the_table_and_free(panel):
    choose(panel, "L4 left")
    assert panel.ui.sizeComboBox.currentText == "6.5 x 40"
    panel.ui.diameterSpinBox.value = 7.3
    assert row(panel, "L4 left")[1:4] == ["7.3 x 40", "A", "1.35"]
    assert panel.ui.sizeComboBox.currentText == "free size"
    panel.ui.sizeComboBox.currentText = "5.5 x 45"
    assert row(panel, "L4 left")[1:4] == ["5.5 x 45", "A", "2.25"]
    assert np.allclose(of(panel, "L4 left").tip_ras, (-15, 45, 160))
    panel.ui.lengthSpinBox.value = 33.4
    assert of(panel, "L4 left").length_mm == pytest.approx(33.4)
    for _ in range(3):
        press(panel.ui.undoButton)
    assert of(panel, "L4 left") == SCREWS[2]


def test_reviewed_until_it_changes(panel):
    choose(panel, "L3 left")
    panel.ui.reviewedCheckBox.checked = True
    assert row(panel, "L3 left")[6] == "✓"
    drag(panel, "L3 left", 0, (-14.0, 0.0, 120.0))
    assert row(panel, "L3 left")[6] == ""
    assert not panel.ui.reviewedCheckBox.checked


def test_copy_swap_and_remove(panel):
    drag(panel, "L3 left", 0, (-17.0, 0.0, 120.0))
    choose(panel, "L3 left")
    press(panel.ui.copyButton)
    assert np.allclose(of(panel, "L3 right").entry_ras, (17, 0, 120))
    choose(panel, "L4 left")
    press(panel.ui.removeButton)
    assert row(panel, "L4 left") is None
    assert not any("L4 left" in n.GetName() for n in nodes_of_plan(panel.logic.session.scene))
    choose(panel, "L4 right")
    press(panel.ui.swapButton)
    assert row(panel, "L4 right") is None
    assert of(panel, "L4 left").side == "left"
    for _ in range(4):
        press(panel.ui.undoButton)
    assert panel.logic.case.plan.screws == SCREWS
    assert {n.GetAttribute("MSKPlanner.Item") for n in nodes_of_plan(panel.logic.session.scene, role="screw")} == {
        s.name for s in SCREWS
    }


def test_an_out_of_date_plan_is_not_exported(panel, tmp_path, monkeypatch):
    written = []
    replace_function(
        monkeypatch,
        "MSKPlannerLib.cli.write_case.write_case",
        lambda case, folder, **_: written.append(case) or (folder / "plan.json").write_text("{}"),
    )
    press(panel.ui.guidesButton)
    panel.ui.folderPathLineEdit.currentPath = str(tmp_path / "out")
    drag(panel, "L3 right", 1, (16.0, 40.0, 120.0))
    (model_node,) = (n for n in nodes_of_plan(panel.logic.session.scene, role="guide") if "L3" in n.GetName())
    assert model_node.GetName() == "L3 guide (out of date)"
    assert np.allclose(model_node.GetDisplayNode().GetColor(), OUT_OF_DATE_COLOUR)
    press(panel.ui.exportButton)
    assert "the plan is out of date. Guide of L3" in panel.ui.statusLabel.text
    assert written == []
    press(panel.ui.updateButton)
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted"
    press(panel.ui.exportButton)
    assert len(written) == 1


def test_a_screw_deleted_in_the_scene_leaves_the_plan_and_comes_back(panel, session):
    press(panel.ui.guidesButton)
    before = session.scene.GetNumberOfNodes()
    session.scene.RemoveNode(model(panel, "L3 left"))
    assert row(panel, "L3 left") is None
    assert len(nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode")) == 3, "its axis has gone with it"
    assert scene_to_plan(session.scene).screws == SCREWS[1:]
    session.scene.RemoveNode(panel.logic.session.nodes.guides["L4 guide"])
    assert panel.ui.guidesLabel.text.startswith("L3 guide: out of date")
    assert "L4 guide" not in panel.ui.guidesLabel.text
    press(panel.ui.undoButton)
    press(panel.ui.undoButton)
    assert panel.logic.case.plan.screws == SCREWS
    assert session.scene.GetNumberOfNodes() == before


def test_documents_that_are_deleted_come_back(panel, session):
    before = session.scene.GetNumberOfNodes()
    session.scene.RemoveNode(panel.logic.session.nodes.plan)
    session.scene.RemoveNode(panel.logic.session.nodes.metrics)
    assert scene_to_plan(session.scene) is None
    session.application.processEvents()
    assert scene_to_plan(session.scene).screws == SCREWS
    assert session.scene.GetNumberOfNodes() == before


def test_a_plan_all_of_whose_nodes_are_deleted_is_forgotten(panel, session):
    for node in nodes_of_plan(session.scene):
        if session.scene.IsNodePresent(node):
            session.scene.RemoveNode(node)
    session.application.processEvents()
    assert panel.logic.case is None
    assert nodes_of_plan(session.scene) == ()
    assert panel.ui.screwsLabel.text == "No screws planned yet."
    press(panel.ui.planButton)
    assert panel.logic.case.plan.screws == SCREWS


def test_names_are_the_users_and_images_that_go_stop_the_work(panel, session, inputs):
    axis(panel, "L3 left").SetName("my screw")
    body = model(panel, "L4 left")
    body.GetDisplayNode().SetOpacity(0.3)
    drag(panel, "L3 left", 1, (-8.0, 40.0, 120.0))
    choose(panel, "L3 right")
    press(panel.ui.removeButton)
    press(panel.ui.undoButton)
    assert axis(panel, "L3 left").GetName() == "my screw"
    assert model(panel, "L4 left") is body, "what others become is nothing to it"
    assert body.GetDisplayNode().GetOpacity() == 0.3
    assert model(panel, "L3 left").GetName().endswith("(rejected)"), "a name that the plan gave follows the plan"
    session.scene.RemoveNode(inputs[0])
    assert not panel.ui.exportButton.enabled
    drag(panel, "L3 left", 1, (-15.0, 40.0, 120.0))
    assert "the CT that the plan was made on is no longer in the scene" in panel.ui.statusLabel.text
    assert np.allclose(axis(panel, "L3 left").GetNthControlPointPosition(1), of(panel, "L3 left").tip_ras)


def test_a_saved_scene_is_gone_on_with(panel, session, tmp_path):
    press(panel.ui.guidesButton)
    axis(panel, "L3 left").SetName("my screw")
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    plan = panel.logic.case.plan
    save_scene(session.scene, tmp_path / "scene.mrb")
    load_scene(session.scene, tmp_path / "scene.mrb")
    assert panel.logic.case.plan.screws == plan.screws
    assert axis(panel, "L3 left").GetName() == "my screw", "the scene's own nodes are followed, none made anew"
    assert len(nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode")) == 4
    assert "designed again" in panel.ui.guidesLabel.text, "a guide's solid is not kept in a scene"
    drag(panel, "L3 left", 1, (-15.0, 40.0, 120.0))
    assert row(panel, "L3 left")[3] == "1.75"
    press(panel.ui.updateButton)
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted"
    assert len(nodes_of_plan(session.scene, role="guide")) == 2


def test_a_saved_scene_whose_images_were_changed_is_not_worked_on(panel, session, inputs, tmp_path):
    import slicer

    slicer.util.arrayFromVolume(inputs[0])[0, 0, 0] += 1
    panel.logic.session.nodes.plan.Modified()
    save_scene(session.scene, tmp_path / "scene.mrb")
    load_scene(session.scene, tmp_path / "scene.mrb")
    assert panel.logic.case is None
    assert "not those that the plan was made on" in panel.ui.statusLabel.text


def test_the_plan_goes_where_its_images_go(panel, session, inputs):
    table = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    for node in inputs:
        node.SetAndObserveTransformNodeID(table.GetID())
    assert axis(panel, "L3 left").GetParentTransformNode() is table
    assert model(panel, "L4 right").GetParentTransformNode() is table
    drag(panel, "L3 left", 1, (-14.0, 40.0, 120.0))
    assert row(panel, "L3 left")[3] == "0.75", "the plan is in the CT's own frame"
    session.scene.RemoveNode(table)
    assert axis(panel, "L3 left").GetParentTransformNode() is None


@pytest.mark.parametrize("what", ["name", "voxels of the bones", "voxels of the CT"])
def test_it_is_said_at_once_that_the_images_or_bones_changed(panel, inputs, what):
    import slicer

    segment = inputs[1].GetSegmentation().GetNthSegment(0)
    if what == "name":
        segment.SetName("L4")
    elif what == "voxels of the bones":
        segment.GetRepresentation("Binary labelmap").Modified()
    else:
        slicer.util.arrayFromVolume(inputs[0])[0, 0, 0] += 1
        slicer.util.arrayFromVolumeModified(inputs[0])
    assert panel.ui.screwsLabel.text.startswith("Out of date: the images or the bones have changed")
    assert not panel.ui.exportButton.enabled
    assert not panel.ui.diameterSpinBox.enabled


def test_closing_the_panel_leaves_no_observer(panel, session):
    nodes = [axis(panel, s.name) for s in SCREWS]
    assert all(n.HasObserver(n.PointModifiedEvent) for n in nodes)
    session.close_panel(panel)
    assert len(panel.logic.session._observers) == 0
    assert all(n.GetLocked() for n in nodes), "what nobody follows is no handle"
    for node in nodes:
        assert not node.HasObserver(node.PointEndInteractionEvent)
