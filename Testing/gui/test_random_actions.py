"""Whatever is pressed, dragged, deleted and closed in whatever order: nothing is raised, and no observer is left behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from core.leg_case import FEMUR, LIMB, TIBIA
from leg_panel import add_leg, layout_fixture  # noqa: F401  a fixture is used by its name
from planner_monkey import PlannerMonkey
from quick_guides import stand_in_guides
from quick_planner import (  # noqa: F401  used by their names
    SCREWS,
    add_inputs,
    axis,
    inputs_fixture,
    quick_fixture,
    raised_fixture,
)

from harness.helpers import replace_function
from MSKPlannerLib.mrml.slice_views import arrange_slice_views

ACTIONS = 200


def observed(scene):
    """Whether anything of a session still observes the scene's lines."""
    lines = [
        scene.GetNthNodeByClass(n, "vtkMRMLMarkupsLineNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode"))
    ]
    return [line.GetName() for line in lines if line.HasObserver(line.PointEndInteractionEvent)]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 23))])
def test_random_actions(session, layout, quick, raised, inputs, seed, tmp_path, monkeypatch):
    replace_function(monkeypatch, "MSKPlannerLib.editing.osteotomy_edits.surface_of", lambda case, bone: FEMUR)
    monkeypatch.setattr("MSKPlannerLib.mrml.shown_osteotomies.surface_of", lambda case, bone: FEMUR)
    arrange_slice_views(session.scene, inputs[0], None, np.zeros(3))
    stand_in_guides(monkeypatch)
    panel = session.open_panel("MSKPlanner")
    panel.ui.planButton.click()
    monkey = PlannerMonkey(session, panel, seed, tmp_path, add_inputs)
    for _ in range(ACTIONS):
        monkey.act()
        assert raised == [], monkey.done[-5:]
    kept, two_views = panel.logic.session, panel.beforeAfter._views
    session.close_panel(panel)
    assert len(kept._observers) == 0
    assert len(kept.cuts) == 0
    assert len(two_views) == 0
    assert panel.Observations == []
    assert observed(session.scene) == []


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_random_actions_on_a_leg(session, layout, quick, raised, seed, tmp_path, monkeypatch):
    """The same with a femur and a tibia whose leg is measured: targets, two levels, landmarks."""

    def with_leg(case, bone, progress=None):
        return case if case.plan.limb is not None else replace(case, plan=replace(case.plan, limb=LIMB))

    surfaces = {"right femur": FEMUR, "right tibia": TIBIA}
    replace_function(monkeypatch, "MSKPlannerLib.editing.osteotomy_edits.surface_of", lambda case, bone: surfaces[bone])
    monkeypatch.setattr("MSKPlannerLib.mrml.shown_osteotomies.surface_of", lambda case, bone: surfaces[bone])
    replace_function(monkeypatch, "MSKPlannerLib.editing.osteotomy_edits.with_leg", with_leg)

    add_leg(session.scene)
    stand_in_guides(monkeypatch)
    panel = session.open_panel("MSKPlanner")
    monkey = PlannerMonkey(session, panel, seed, tmp_path, add_leg)
    for _ in range(ACTIONS):
        monkey.act()
        assert raised == [], monkey.done[-5:]
    kept, two_views = panel.logic.session, panel.beforeAfter._views
    session.close_panel(panel)
    assert len(kept._observers) == len(kept.cuts) == len(two_views) == 0
    assert observed(session.scene) == []


def test_fifty_steps_back_and_forth(session, quick, raised, inputs):
    panel = session.open_panel("MSKPlanner")
    panel.ui.planButton.click()
    seen = [panel.logic.case.plan.screws]
    for n in range(60):
        axis(panel, SCREWS[n % 4].name).SetNthControlPointPosition(
            1, SCREWS[n % 4].tip_ras[0], 40.0 + 0.1 * (n + 1), 120.0
        )
        seen.append(panel.logic.case.plan.screws)
    for before in reversed(seen[:-1]):
        panel.ui.undoButton.click()
        assert panel.logic.case.plan.screws == before
    for after in seen[1:]:
        panel.ui.redoButton.click()
        assert panel.logic.case.plan.screws == after
