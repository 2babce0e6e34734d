"""Several plans in one scene: copied, taken in hand, laid side by side, saved and loaded."""

from __future__ import annotations

import numpy as np
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

from harness.helpers import press
from MSKFusionLib.mrml import load_scene, save_scene
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan
from MSKPlannerLib.plan_variants import free_variant, letter_of, variant_of


def titles(panel):
    box = panel.ui.plansComboBox
    return [box.itemText(n)[0] for n in range(box.count)]


def compared(panel):
    table = panel.ui.compareTable
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def test_a_copy_is_changed_and_the_plan_stays_as_it_was(panel, session):
    assert titles(panel) == ["A"]
    press(panel.ui.guidesButton)
    first = panel.logic.case.plan
    body = model(panel, "L3 left")
    press(panel.ui.copyPlanButton)
    assert titles(panel) == ["A", "B"]
    assert panel.ui.plansComboBox.currentIndex == 1
    assert panel.logic.case.plan.screws == first.screws
    assert panel.logic.case.plan.plan_id == f"{first.plan_id}-b"
    assert panel.ui.guidesLabel.text == "L3 guide: accepted\nL4 guide: accepted", "its solids came along"
    assert not body.GetDisplayVisibility(), "what is put away is not in the way"
    assert model(panel, "L3 left").GetDisplayVisibility()
    assert not panel.ui.undoButton.enabled, "a plan's steps are its own"
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    assert scene_to_plan(session.scene, first.plan_id) == first
    panel.ui.plansComboBox.currentIndex = 0
    assert panel.logic.case.plan == first
    assert body.GetDisplayVisibility()
    assert model(panel, "L3 left") is body, "its own nodes, none made anew"
    assert panel.ui.undoButton.toolTip == "Design guides"
    press(panel.ui.undoButton)
    assert panel.logic.case.plan.guides == ()
    panel.ui.plansComboBox.currentIndex = 1
    assert of(panel, "L3 left").tip_ras == (-13.0, 40.0, 120.0)
    press(panel.ui.undoButton)
    assert of(panel, "L3 left") == SCREWS[0]


def test_plans_are_compared_screw_by_screw(panel):
    assert panel.ui.compareTable.rowCount == 0
    press(panel.ui.copyPlanButton)
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    panel.ui.screwsTable.setCurrentCell(3, 0)
    press(panel.ui.removeButton)
    table = panel.ui.compareTable
    assert [table.horizontalHeaderItem(c).text() for c in range(3)] == ["Screw", "A", "B (in hand)"]
    same = "6.5 x 40, A\n1.75 mm, 4 %"
    assert compared(panel) == [
        ["≠ All", "4, accepted\n1.75 mm, 4 %", "3, rejected\n-0.25 mm, 4 %"],
        ["≠ L3 left", same, "6.5 x 40, B ✗\n-0.25 mm, 4 %"],
        ["L3 right", same, same],
        ["L4 left", same, same],
        ["≠ L4 right", same, "–"],
    ]


def test_only_the_plan_in_hand_has_handles_and_planning_again_touches_no_other(panel, session):
    drag(panel, "L3 left", 1, (-14.0, 40.0, 120.0))
    first, line = panel.logic.case.plan, axis(panel, "L3 left")
    press(panel.ui.copyPlanButton)
    assert line.GetLocked()
    line.SetNthControlPointPosition(1, -15.0, 40.0, 120.0)
    press(panel.ui.planButton)
    assert titles(panel) == ["A", "B"]
    assert panel.logic.case.plan.plan_id.endswith("-b")
    assert of(panel, "L3 left") == SCREWS[0]
    assert scene_to_plan(session.scene, first.plan_id) == first
    panel.ui.plansComboBox.currentIndex = 0
    assert np.allclose(line.GetNthControlPointPosition(1), (-14.0, 40.0, 120.0)), "the plan says where its screws are"
    assert not line.GetLocked()


def test_what_was_deleted_of_a_plan_that_was_put_away_is_made_anew(panel, session):
    press(panel.ui.guidesButton)
    kept = model(panel, "L4 left")
    press(panel.ui.copyPlanButton)
    session.scene.RemoveNode(kept)
    panel.ui.plansComboBox.currentIndex = 0
    assert model(panel, "L4 left").GetScene() is session.scene
    assert len(nodes_of_plan(session.scene, panel.logic.case.plan.plan_id, role="screw")) == 4
    for node in nodes_of_plan(session.scene, panel.logic.case.plan.plan_id):
        session.scene.RemoveNode(node)
    session.application.processEvents()
    assert panel.logic.case is None, "a plan all of whose nodes are deleted is forgotten"
    assert titles(panel) == ["B"]
    assert panel.ui.plansComboBox.currentIndex == -1, "none is in hand"
    panel.ui.plansComboBox.currentIndex = 0
    assert panel.logic.case.plan.plan_id.endswith("-b")


def test_a_saved_scene_is_gone_on_with_where_it_was(panel, session, tmp_path):
    press(panel.ui.guidesButton)
    press(panel.ui.copyPlanButton)
    drag(panel, "L3 left", 1, (-13.0, 40.0, 120.0))
    plan = panel.logic.case.plan
    save_scene(session.scene, tmp_path / "scene.mrb")
    load_scene(session.scene, tmp_path / "scene.mrb")
    assert panel.logic.case.plan.plan_id == plan.plan_id
    assert panel.logic.case.plan.screws == plan.screws
    assert titles(panel) == ["A", "B"]
    panel.ui.plansComboBox.currentIndex = 0
    assert of(panel, "L3 left") == SCREWS[0]
    assert model(panel, "L3 left").GetDisplayVisibility()
    assert "designed again" in panel.ui.guidesLabel.text
    session.scene.Clear(0)
    assert titles(panel) == ["n"], "no plan yet"
    assert not panel.ui.copyPlanButton.enabled


def test_letters():
    assert (letter_of("plan-abc"), letter_of("plan-abc-b"), variant_of("plan-abc-c")) == ("A", "B", "-c")
    assert free_variant("plan-abc-b", {"plan-abc", "plan-abc-b"}) == "-c"
    assert free_variant("plan-abc-b", {"plan-abc-b"}) == ""
    assert variant_of("plan-abc1234") == ""
