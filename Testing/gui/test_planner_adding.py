"""Screws added in MSK Planner's panel: by site and level, and by two clicks in the views."""

from __future__ import annotations

import numpy as np
import pytest
from quick_planner import (  # noqa: F401  the fixtures are used by their names
    SCREWS,
    axis,
    click_two_points,
    drag,
    inputs_fixture,
    of,
    panel_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import nodes_of_class, press, replace_function
from MSKFusionLib.errors import InputError
from MSKPlannerLib.mrml import scene_to_plan


def waiting_lines(session):
    return [n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode") if n.GetName() == "New screw"]


def names(panel):
    return [panel.ui.screwsTable.item(r, 0).text() for r in range(panel.ui.screwsTable.rowCount)]


def test_two_clicks_near_a_pedicle_take_the_place_of_its_screw(panel, session):
    import slicer

    press(panel.ui.guidesButton)
    press(panel.ui.placeButton)
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert "Escape" in panel.ui.placeLabel.text
    press(panel.ui.placeButton)
    assert interaction.GetCurrentInteractionMode() != interaction.Place
    assert waiting_lines(session) == []
    click_two_points(panel, (14.0, -3.0, 121.0), (14.0, 41.0, 121.0))
    screw = of(panel, "L3 right")
    assert screw.entry_ras == (14.0, 0.0, 121.0), "bone begins at y = 0"
    assert (screw.length_mm, screw.diameter_mm) == (40.0, 6.0), "5 - 1 - 3 mm of bone: no thicker one has 1 mm round it"
    assert screw.by_hand
    assert names(panel) == [s.name for s in SCREWS]
    assert panel.ui.screwsTable.currentRow() == 1, "the new screw is the chosen one"
    assert panel.ui.sizeComboBox.currentText == "6 x 40"
    assert "Guide of L3: L3 right was changed" in panel.ui.outOfDateLabel.text
    assert waiting_lines(session) == []
    assert not panel.ui.placeButton.checked
    assert scene_to_plan(session.scene).screws == panel.logic.case.plan.screws
    assert panel.ui.undoButton.toolTip == "Place L3 right"
    press(panel.ui.undoButton)
    assert panel.logic.case.plan.screws == SCREWS


def test_two_clicks_elsewhere_make_a_free_screw_that_is_a_handle_too(panel):
    click_two_points(panel, (0.0, -3.0, 121.0), (0.0, 20.0, 121.0))
    assert names(panel)[-1] == "Free 1"
    assert (of(panel, "Free 1").site, of(panel, "Free 1").level) == ("free", "L3")
    assert not axis(panel, "Free 1").GetLocked()
    drag(panel, "Free 1", 1, (0.0, 30.0, 121.0))
    assert of(panel, "Free 1").length_mm == pytest.approx(30.0)
    panel.ui.diameterSpinBox.value = 5.0
    assert of(panel, "Free 1").diameter_mm == 5.0, "a free size"
    press(panel.ui.copyButton)
    assert "only a pedicle screw is mirrored" in panel.ui.statusLabel.text


def test_clicks_that_meet_no_bone_are_said_and_change_nothing(panel, shown_errors):
    click_two_points(panel, (80.0, -3.0, 121.0), (80.0, 20.0, 121.0))
    assert "meets no bone" in panel.ui.statusLabel.text
    assert panel.logic.case.plan.screws == SCREWS
    assert len(shown_errors) == 1


def test_clicks_are_waited_for_no_longer_after_another_mode_a_deletion_or_leaving(panel, session):
    import slicer

    interaction = slicer.app.applicationLogic().GetInteractionNode()
    press(panel.ui.placeButton)
    waiting_lines(session)[0].AddControlPoint(14.0, -3.0, 121.0)
    interaction.SwitchToViewTransformMode()  # what Escape does
    slicer.app.processEvents()
    assert (panel.ui.placeButton.checked, waiting_lines(session)) == (False, [])
    press(panel.ui.placeButton)
    session.scene.RemoveNode(waiting_lines(session)[0])
    slicer.app.processEvents()
    assert not panel.ui.placeButton.checked
    press(panel.ui.placeButton)
    panel.exit()
    assert waiting_lines(session) == []
    panel.enter()
    press(panel.ui.placeButton)
    session.scene.Clear(0)
    slicer.app.processEvents()
    assert not panel.ui.placeButton.checked
    assert not panel.ui.placeButton.enabled


def test_clicks_are_taken_in_the_frame_of_a_ct_under_a_transform(panel, session, inputs):
    table = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    for node in inputs:
        node.SetAndObserveTransformNodeID(table.GetID())
    import vtk

    moved = vtk.vtkMatrix4x4()
    moved.SetElement(0, 3, 100.0)
    table.SetMatrixTransformToParent(moved)
    panel.ui.placeButton.click()
    line = waiting_lines(session)[0]
    for place in ((114.0, -3.0, 121.0), (114.0, 41.0, 121.0)):
        line.AddControlPointWorld(*place)
    import slicer

    slicer.app.processEvents()
    assert np.allclose(of(panel, "L3 right").entry_ras, (14.0, 0.0, 121.0)), "the plan is in the CT's own frame"


def test_a_site_is_planned_into_the_plan(panel, session):
    assert panel.ui.siteComboBox.currentText == "Pedicle"
    assert [panel.ui.newLevelComboBox.itemText(n) for n in range(panel.ui.newLevelComboBox.count)] == ["L3"]
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    drag(panel, "L3 right", 1, (13.0, 40.0, 120.0))
    panel.ui.sideComboBox.currentText = "left"
    press(panel.ui.addButton)
    assert of(panel, "L3 left").tip_ras == SCREWS[0].tip_ras, "planned again, the hand's move is gone"
    assert not of(panel, "L3 left").by_hand
    assert of(panel, "L3 right").by_hand
    assert panel.ui.undoButton.toolTip == "Add L3 left"
    panel.ui.siteComboBox.currentText = "Pedicle, cortical bone trajectory"
    assert panel.ui.newLevelComboBox.enabled
    press(panel.ui.addButton)
    assert of(panel, "L3 left").trajectory == "cortical"
    panel.ui.siteComboBox.currentText = "Iliosacral S1"
    assert not panel.ui.newLevelComboBox.enabled
    press(panel.ui.addButton)
    assert "no screw could be planned" in panel.ui.statusLabel.text
    assert "Iliosacral S1" in panel.ui.statusLabel.text


def test_a_first_screw_needs_no_plan_before_it(session, inputs, quick, raised):
    panel = session.open_panel("MSKPlanner")
    assert panel.logic.case is None
    click_two_points(panel, (-15.0, -3.0, 121.0), (-15.0, 41.0, 121.0))
    assert names(panel) == ["L3 left"]
    assert panel.logic.case.plan.reasons == ()
    assert panel.ui.guidesButton.enabled
    press(panel.ui.addButton)
    assert names(panel) == ["L3 left", "L3 right"]
    panel.ui.ctSelector.setCurrentNode(None)
    assert not panel.ui.placeButton.enabled


def test_a_guide_whose_screw_another_one_meets_is_out_of_date_until_that_one_goes(panel, monkeypatch):
    press(panel.ui.guidesButton)
    click_two_points(panel, (0.0, -3.0, 121.0), (0.0, 20.0, 121.0))
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted"
    drag(panel, "Free 1", 1, (14.0, 30.0, 120.0))
    assert "it meets the screw" in panel.logic.case.plan.screws[1].remarks
    assert panel.ui.guidesLabel.text.startswith(
        "L3 guide: out of date (L3 right was rejected after the guide was designed)"
    )
    assert "Guides ✗" in panel.ui.chainLabel.text
    drag(panel, "Free 1", 1, (0.0, 20.0, 121.0))
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted"


def choose_site(panel, title):
    box = panel.ui.siteComboBox
    box.currentIndex = [box.itemText(n) for n in range(box.count)].index(title)


def test_a_site_between_placed_points_takes_them_from_clicks(panel, session, monkeypatch):
    import slicer

    asked = []

    def plan_sites(ct, segmentation, requests, **_):
        asked.extend(requests)
        raise InputError("asked for")

    replace_function(monkeypatch, "MSKPlannerLib.editing.add_screws.plan_sites", plan_sites)
    assert not panel.ui.pointsButton.enabled, "a pedicle takes none"
    choose_site(panel, "C1 lateral mass")
    assert "entry, target" in panel.ui.pointsButton.toolTip
    press(panel.ui.pointsButton)
    points = panel.ui.pointsWidget.currentNode()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert [points.GetNthControlPointLabel(n) for n in range(2)] == ["entry", "target"]
    assert points.GetNumberOfDefinedControlPoints() == 0, "each waits for its click"
    points.SetNthControlPointPosition(0, 1.0, 2.0, 3.0)
    points.SetNthControlPointPosition(1, 4.0, 5.0, 6.0)
    panel.ui.sideComboBox.currentIndex = 1
    press(panel.ui.addButton)
    assert asked[0].sides == ("left",)
    assert asked[0].landmarks == {"entry": (1.0, 2.0, 3.0), "target": (4.0, 5.0, 6.0)}
    assert "asked for" in panel.ui.statusLabel.text
    choose_site(panel, "Scaphoid, antegrade")
    assert "proximal pole, distal pole" in panel.ui.pointsButton.toolTip
