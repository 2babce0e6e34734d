"""MSK Planner's long work in a process of its own: the panel stays alive, Cancel leaves the plan as it was, the result is one step."""

import os

import numpy as np
import pytest
from away_work import NAME, guide_from_elsewhere, never_ending
from quick_planner import (  # noqa: F401  used by their names
    axis,
    inputs_fixture,
    of,
    panel_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import meanwhile, press


@pytest.fixture(name="away")
def away_fixture(panel, planner_works_away, monkeypatch):
    """The panel with its screws planned here, where the stand-ins are; what to do in place of designing guides, elsewhere."""

    def put(change):
        monkeypatch.setattr("MSKPlannerLib.mrml.planning.with_asked_guides", change)
        return panel

    return put


def test_the_result_of_another_process_is_one_step(away):
    panel = away(guide_from_elsewhere)
    screws, ui = panel.logic.case.plan.screws, panel.ui
    seen = []
    with meanwhile(panel, lambda: seen.append((ui.workArea.enabled, ui.cancelButton.enabled))):
        press(ui.guidesButton)
    assert seen == [(False, True)]
    assert ui.statusLabel.text == "Done."
    assert (ui.workArea.enabled, ui.cancelButton.enabled, ui.progressBar.value) == (True, False, 0)
    (guide,) = panel.logic.case.plan.guides
    assert guide.name == NAME
    assert guide.level != str(os.getpid())
    assert all(a is b for a, b in zip(panel.logic.case.plan.screws, screws, strict=True)), (
        "what is as it was is the same"
    )
    press(ui.undoButton)
    assert panel.logic.case.plan.guides == ()
    press(ui.redoButton)
    assert panel.logic.case.plan.guides == (guide,)


def test_cancel_leaves_the_plan_as_it_was(away):
    panel = away(never_ending)
    case, ui = panel.logic.case, panel.ui
    steps = panel.logic.session.history.undo_label
    with meanwhile(panel, lambda: ui.cancelButton.click()) as done:
        press(ui.guidesButton)
    assert done == [True]
    assert ui.statusLabel.text == "Stopped. Nothing was changed."
    assert panel.logic.case is case
    assert panel.logic.session.history.undo_label == steps
    assert ui.guidesButton.enabled


def test_a_scene_that_is_closed_meanwhile_ends_the_work(away, session):
    panel = away(never_ending)
    with meanwhile(panel, lambda: session.scene.Clear(0)):
        press(panel.ui.guidesButton)
    assert panel.logic.case is None
    assert not panel.job.running
    assert panel.ui.screwsTable.rowCount == 0


@pytest.mark.slow
def test_a_screw_that_is_moved_meanwhile_stays_where_it_was_put(away, shown_errors):
    """The views are alive: what was worked out for the plan as it was before is not put over what the user did."""
    panel = away(guide_from_elsewhere)
    tip = np.array(of(panel, "L3 left").tip_ras) + [1.0, 0.0, 0.0]
    with meanwhile(panel, lambda: axis(panel, "L3 left").SetNthControlPointPosition(1, *tip)):
        press(panel.ui.guidesButton)
    assert "changed meanwhile" in panel.ui.statusLabel.text
    assert of(panel, "L3 left").tip_ras == pytest.approx(tuple(tip))
    assert panel.logic.case.plan.guides == ()


def test_bones_that_are_edited_meanwhile_are_not_those_that_were_planned_on(panel, inputs):
    edited = inputs[1].GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    for button in (panel.ui.planButton, panel.ui.updateButton):
        with meanwhile(panel, edited.Modified) as done:
            press(button)
        assert done == [True]
        assert not panel.logic.session.basis.holds
        assert "the images or the bones have changed" in panel.ui.screwsLabel.text
    press(panel.ui.updateButton)
    assert panel.logic.session.basis.holds
