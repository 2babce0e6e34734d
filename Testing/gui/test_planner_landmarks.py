"""Landmarks of a leg in the panel: placed by click, taken away, and a leg measured from clicks alone."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from core.leg_case import LEG, LIMB, leg_case
from leg_panel import add_leg, choose_bone
from quick_planner import raised_fixture  # noqa: F401  used by its name

from harness.helpers import nodes_of_class, press, replace_function
from MSKPlannerLib.anatomy.limb_landmarks import POINTS, spoken
from MSKPlannerLib.editing.leg_marks import FRAME_POINTS


def panel_on_leg(session, monkeypatch, *, measured):
    def case_of(ct, bones, options=None):
        from dataclasses import replace

        case = leg_case(ct, bones)
        return case if measured else replace(case, plan=replace(case.plan, limb=None))

    replace_function(monkeypatch, "MSKPlannerLib.pipeline.empty_case", case_of)
    monkeypatch.setattr("MSKPlannerLib.mrml.adding.empty_case", case_of)
    add_leg(session.scene)
    panel = session.open_panel("MSKPlanner")
    choose_bone(panel, "right tibia")
    return panel


def click(panel, session, name, point):
    panel.cutUi.landmarksTable.setCurrentCell(POINTS.index(name), 0)
    press(panel.cutUi.placeLandmarkButton)
    (waiting,) = [n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") if n.GetName() == spoken(name)]
    assert panel.cutUi.placeLandmarkButton.checked
    waiting.AddControlPoint(vtk.vtkVector3d(*point))
    session.application.processEvents()


def origin(panel, name):
    return panel.cutUi.landmarksTable.item(POINTS.index(name), 1).text()


def hka(panel):
    table = panel.cutUi.measuresTable
    return next(table.item(r, 1).text() for r in range(table.rowCount) if table.item(r, 0).text().startswith("HKA"))


def test_the_table_says_where_each_point_comes_from(session, monkeypatch, raised):
    panel = panel_on_leg(session, monkeypatch, measured=False)
    assert panel.cutUi.landmarksCollapsibleButton.collapsed
    assert panel.cutUi.landmarksTable.rowCount == len(POINTS)
    assert origin(panel, "hip_centre") == "not known"
    assert not panel.cutUi.placeLandmarkButton.enabled, "none is chosen"
    assert not panel.cutUi.forgetLandmarkButton.enabled


def test_a_landmark_is_placed_by_a_click_and_every_measure_follows(session, monkeypatch, raised):
    panel = panel_on_leg(session, monkeypatch, measured=True)
    press(panel.cutUi.addCutButton)
    assert hka(panel) == "172.0"
    moved = LEG.ankle_centre + [-10.0, 0.0, 0.0]
    click(panel, session, "ankle_centre", moved)
    limb = panel.logic.case.plan.limb
    assert np.allclose(limb.landmarks_ras["ankle_centre"], moved)
    assert origin(panel, "ankle_centre") == "your hand"
    # The shank's axis turns by what 10 mm across its lower end are.
    assert float(hka(panel)) != 172.0
    points = panel.logic.session.cuts.shown.landmarks
    places = {
        points.GetNthControlPointDescription(n): points.GetNthControlPointPosition(n)
        for n in range(points.GetNumberOfControlPoints())
    }
    assert np.allclose(places["ankle_centre"], moved), "the point in the scene is the plan's"
    press(panel.ui.undoButton)
    assert hka(panel) == "172.0"


def test_a_landmark_no_frame_rests_on_can_be_taken_away(session, monkeypatch, raised):
    panel = panel_on_leg(session, monkeypatch, measured=True)
    press(panel.cutUi.addCutButton)
    panel.cutUi.landmarksTable.setCurrentCell(POINTS.index("neck_centre"), 0)
    press(panel.cutUi.forgetLandmarkButton)
    assert "neck_centre" not in panel.logic.case.plan.limb.landmarks_ras
    assert origin(panel, "neck_centre") == "not known"
    panel.cutUi.landmarksTable.setCurrentCell(POINTS.index("hip_centre"), 0)
    press(panel.cutUi.forgetLandmarkButton)
    assert "rests on the hip centre" in panel.ui.statusLabel.text
    click(panel, session, "neck_centre", LIMB.landmarks_ras["neck_centre"])
    assert origin(panel, "neck_centre") == "your hand"


def test_a_leg_whose_surfaces_show_nothing_is_measured_from_clicks(session, monkeypatch, raised):
    panel = panel_on_leg(session, monkeypatch, measured=False)
    names = [n for n in POINTS if n in FRAME_POINTS["tibia"]]
    for number, name in enumerate(names):
        click(panel, session, name, getattr(LEG, name))
        if number < len(names) - 1:
            assert origin(panel, name) == "your click"
            assert "click yet" in panel.cutUi.landmarksLabel.text
            assert panel.logic.case.plan.limb is None
    limb = panel.logic.case.plan.limb
    assert limb.side == "right"
    assert limb.bones["tibia"] == "right tibia"
    assert dict(limb.landmarks_ras).keys() == set(names)
    for name in (n for n in POINTS if n not in names):
        click(panel, session, name, getattr(LEG, name))
    press(panel.cutUi.addCutButton)
    assert hka(panel) == "172.0", "the same leg as from its surfaces"


def test_a_click_of_the_other_leg_is_refused_in_words(session, monkeypatch, raised):
    panel = panel_on_leg(session, monkeypatch, measured=True)
    press(panel.cutUi.addCutButton)
    before = panel.logic.case.plan.limb
    click(panel, session, "hip_centre", LEG.ankle_centre)
    assert panel.ui.statusLabel.text
    assert panel.logic.case.plan.limb == before


@pytest.mark.parametrize("leave", ["exit", "scene closed", "pressed again"])
def test_giving_up_leaves_no_list_behind(session, monkeypatch, raised, leave):
    panel = panel_on_leg(session, monkeypatch, measured=False)
    panel.cutUi.landmarksTable.setCurrentCell(0, 0)
    press(panel.cutUi.placeLandmarkButton)
    if leave == "exit":
        panel.exit()
    elif leave == "scene closed":
        session.scene.Clear(0)
    else:
        press(panel.cutUi.placeLandmarkButton)
    assert nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") == []
    assert not panel.cutUi.placeLandmarkButton.checked


def test_sections_that_nothing_is_in_are_closed_and_then_left_to_the_user(session, monkeypatch, raised):
    panel = panel_on_leg(session, monkeypatch, measured=True)
    sections = (
        panel.ui.addCollapsibleButton,
        panel.cutUi.osteotomiesCollapsibleButton,
        panel.ui.guidesCollapsibleButton,
        panel.ui.plansCollapsibleButton,
        panel.ui.exportCollapsibleButton,
    )
    assert all(s.collapsed for s in sections)
    assert not panel.ui.inputsCollapsibleButton.collapsed
    press(panel.cutUi.addCutButton)
    cuts = panel.cutUi.osteotomiesCollapsibleButton
    assert not cuts.collapsed, "the first cut opens its section"
    cuts.collapsed = True
    panel.cutUi.cutKerfSpinBox.value = 1.0
    press(panel.ui.undoButton)
    assert cuts.collapsed, "what the user closed stays closed"
    press(panel.ui.copyPlanButton)
    assert not panel.ui.plansCollapsibleButton.collapsed
