"""What a user does to screws: from case to case, and what is out of date after it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import no_progress
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib import pipeline
from MSKPlannerLib.editing import screw_edits as edit
from MSKPlannerLib.editing.elsewhere import changed_elsewhere
from MSKPlannerLib.editing.history import History
from MSKPlannerLib.editing.up_to_date import brought_up_to_date, out_of_date, require_up_to_date
from MSKPlannerLib.plan import Guide
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json
from MSKPlannerLib.screws.prepared import prepare_level

GUIDE = Guide("L4 guide", "L4", ("L4 left", "L4 right"), "g.stl", True, 1, 9.0, 2.0, 0.2, 0.2, 0.0, (0.0, 1.0, 0.0))


@pytest.fixture(scope="module")
def case(small_patient):
    options = pipeline.CaseOptions(levels=("L4",), want_guides=False)
    return pipeline.plan_case(small_patient.ct, bones=small_patient.labels, options=options)


@pytest.fixture
def with_guide(case):
    plan = replace(case.plan, guides=(GUIDE,), verdict=Verdict.ACCEPTED, reasons=())
    return replace(case, plan=plan, guides={"L4 guide": SimpleNamespace(mesh=None)})


def by_name(case):
    return {s.name: s for s in case.plan.screws}


def test_a_screw_that_is_moved_marks_its_guide_and_its_risk(with_guide):
    left = by_name(with_guide)["L4 left"]
    down = np.array([0.0, 0.0, -1.0])
    after = edit.placed(with_guide, "L4 left", left.entry_ras + down, left.tip_ras + down)
    moved = by_name(after)["L4 left"]
    assert moved.by_hand
    assert moved.risk is None
    assert by_name(after)["L4 right"].nearest_screw_mm != by_name(with_guide)["L4 right"].nearest_screw_mm
    stale = out_of_date(after.plan)
    assert stale.risks == ("L4 left",)
    assert stale.guides == (("L4", "L4 left was changed after the guide was designed"),)
    with pytest.raises(InputError, match=r"out of date.*L4 left.*Guide of L4"):
        require_up_to_date(after.plan)
    assert not out_of_date(with_guide.plan), "the case before is as it was"
    assert plan_from_json(plan_to_json(after.plan)).screws == after.plan.screws


def test_a_screw_that_is_not_moved_stays_reviewed(case):
    marked = edit.reviewed(case, "L4 left", True)
    left = by_name(marked)["L4 left"]
    assert edit.placed(marked, "L4 left", left.entry_ras, left.tip_ras) is marked
    thicker = edit.resized(marked, "L4 left", left.diameter_mm + 0.5, left.length_mm)
    assert not by_name(thicker)["L4 left"].reviewed


def test_size_keeps_entry_and_direction(case):
    left = by_name(case)["L4 left"]
    after = by_name(edit.resized(case, "L4 left", 5.5, 33.0))["L4 left"]
    assert after.entry_ras == left.entry_ras
    assert after.length_mm == pytest.approx(33.0)
    assert np.cross(
        np.subtract(after.tip_ras, after.entry_ras), np.subtract(left.tip_ras, left.entry_ras)
    ) == pytest.approx(np.zeros(3), abs=1e-6)
    with pytest.raises(InputError, match="no screw has a diameter of 50"):
        edit.resized(case, "L4 left", 50.0, 40.0)


def test_verdict_of_the_plan_follows_its_screws(case):
    left = by_name(case)["L4 left"]
    middle = np.array([9.0, 0.0, 0.0]) * (1 if left.entry_ras[0] < by_name(case)["L4 right"].entry_ras[0] else -1)
    bad = edit.placed(case, "L4 left", left.entry_ras + middle, left.tip_ras + middle)
    assert bad.plan.verdict is Verdict.REJECTED
    assert any(r.startswith("L4 left: ") and "medial" in r for r in bad.plan.reasons)
    back = edit.placed(bad, "L4 left", left.entry_ras, left.tip_ras)
    assert (back.plan.verdict, back.plan.reasons) == (case.plan.verdict, case.plan.reasons)


def test_copy_and_swap_mirror_at_the_vertebras_own_plane(case):
    at = prepare_level(case.fields, "L4")
    left, right = by_name(case)["L4 left"], by_name(case)["L4 right"]
    copied = edit.copied_to_other_side(case, "L4 left")
    assert by_name(copied)["L4 left"] == replace(left, nearest_screw_mm=by_name(copied)["L4 left"].nearest_screw_mm)
    found = by_name(copied)["L4 right"]
    assert (found.side, found.diameter_mm, found.length_mm) == (
        "right",
        left.diameter_mm,
        pytest.approx(left.length_mm),
    )
    assert abs(at.fine.depth_mm(np.array(found.entry_ras))) < 0.1, "its entry is on the bone"
    assert found.convergence_deg == pytest.approx(left.convergence_deg, abs=1e-6)
    swapped = edit.with_sides_swapped(case, "L4 left")
    assert by_name(swapped)["L4 right"].diameter_mm == left.diameter_mm
    assert by_name(swapped)["L4 left"].convergence_deg == pytest.approx(right.convergence_deg, abs=1e-6)


def test_a_screw_removed_and_brought_back_by_its_copy(case):
    one = edit.removed(case, "L4 right")
    assert [s.name for s in one.plan.screws] == ["L4 left"]
    assert one.plan.screws[0].nearest_screw == ""
    assert [s.name for s in edit.copied_to_other_side(one, "L4 left").plan.screws] == ["L4 left", "L4 right"]
    assert [s.name for s in edit.with_sides_swapped(one, "L4 left").plan.screws] == ["L4 right"]
    none = edit.removed(one, "L4 left")
    assert none.plan.reasons == ("the plan has no screw",)
    with pytest.raises(InputError, match="no screw 'L4 left'"):
        edit.removed(none, "L4 left")


def test_bringing_up_to_date_designs_only_what_is_stale(with_guide, monkeypatch):
    other = replace(GUIDE, name="L3 guide", level="L3")
    case = replace(with_guide, plan=replace(with_guide.plan, guides=(other, GUIDE)))
    left = by_name(case)["L4 left"]
    stale = edit.resized(case, "L4 left", left.diameter_mm - 0.5, left.length_mm)
    asked = []

    def design(fields, screws, surfaces, frames, options, *, progress):
        asked.append(sorted(surfaces))
        return [replace(GUIDE, volume_mm3=11.0)], {"L4 guide": SimpleNamespace(mesh=1)}

    monkeypatch.setattr(pipeline, "design_guides", design)
    after = brought_up_to_date(stale)
    assert asked == [["L4"]]
    assert {g.name: g.volume_mm3 for g in after.plan.guides} == {"L4 guide": 11.0, "L3 guide": 9.0}
    assert by_name(after)["L4 left"].risk is not None
    assert not out_of_date(after.plan)


def test_history_goes_back_and_forth():
    history = History(most_steps=50)
    for n in range(80):
        history.push(f"step {n}", n)
    assert (history.undo_label, history.redo_label) == ("step 79", "")
    back = [history.undo() for _ in range(60)]
    assert back[:50] == list(range(78, 28, -1))
    assert back[50:] == [None] * 10
    assert history.redo() == 30
    history.push("other", 99)
    assert history.redo() is None
    assert history.undo() == 30


def test_a_case_goes_to_another_process_with_what_was_made_of_its_bones(case):
    """A screw that is measured there, in what planning has made ready, is the one that is measured here."""

    def there(function, *arguments, progress, **keywords):
        arguments = pickle.loads(pickle.dumps(arguments))
        return pickle.loads(pickle.dumps(function(*arguments, progress=progress, **keywords)))

    assert ("kept", ("screws", "L4")) in case.fields.made
    after, _ = changed_elsewhere(there, _turned, case, "L4 left", progress=no_progress)
    assert after.plan.screws == _turned(case, "L4 left", no_progress).plan.screws
    assert after.fields is case.fields


def _turned(case, name, progress):
    screw = by_name(case)[name]
    return edit.with_risk(edit.placed(case, name, screw.entry_ras, np.add(screw.tip_ras, [0.5, 0.0, 0.5])), name)
