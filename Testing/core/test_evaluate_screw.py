"""A screw that was moved by hand: the plan's own numbers where it was not, and the truth's words where it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.plan_file import _plain
from MSKPlannerLib.screws.error_budget import load_error_budget
from MSKPlannerLib.screws.evaluate import evaluate_screw
from MSKPlannerLib.screws.pedicle import plan_levels
from MSKPlannerLib.screws.prepared import prepare_level


@pytest.fixture(scope="module")
def bones(small_patient):
    return BoneFields(small_patient.labels, small_patient.ct)


@pytest.fixture(scope="module")
def at(bones):
    return prepare_level(bones, "L4")


@pytest.fixture(scope="module")
def planned(small_patient, bones):
    return plan_levels(small_patient.ct, small_patient.labels, fields=bones, levels=["L4"]).screws


def numbers(screw):
    """Every number of a screw, by its place in the document."""
    out = {}

    def walk(value, where):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{where}.{key}")
        elif isinstance(value, list):
            for n, inner in enumerate(value):
                walk(inner, f"{where}[{n}]")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            out[where] = value

    walk(_plain(screw), "")
    return out


@pytest.mark.parametrize("n", [0, 1])
def test_the_plans_own_screw_gets_the_plans_own_numbers(at, planned, n):
    screw, other = planned[n], planned[1 - n]
    found = evaluate_screw(
        at,
        screw.entry_ras,
        screw.tip_ras,
        screw.diameter_mm,
        screw.side,
        others=planned,
        before=screw,
        budget=load_error_budget(),
    )
    assert numbers(found).keys() == numbers(screw).keys()
    assert numbers(found) == pytest.approx(numbers(screw), abs=1e-6, rel=0)
    words = (
        "name",
        "level",
        "side",
        "grade",
        "breach_direction",
        "heary",
        "nearest_screw",
        "verdict",
        "reasons",
        "notes",
    )
    assert [getattr(found, w) for w in words] == [getattr(screw, w) for w in words]
    assert found.nearest_screw == other.name


def moved(at, screw, *, right=0.0, anterior=0.0, superior=0.0, **changes):
    shift = at.frame.axes_ras @ np.array([right, anterior, superior])
    place = {"entry_ras": screw.entry_ras + shift, "tip_ras": screw.tip_ras + shift}
    return evaluate_screw(
        at, **{**place, "diameter_mm": screw.diameter_mm, "side": screw.side, "before": screw, **changes}
    )


def test_a_screw_pushed_into_the_canal_says_so(at, planned, small_patient):
    right = next(s for s in planned if s.side == "right")
    found = moved(at, right, right=-6.0)
    assert found.verdict is Verdict.REJECTED
    assert found.breach_direction == "medial"
    assert f"leaves the bone by {found.breach_mm:.1f} mm medial" in found.remarks
    truth = small_patient.bone_depth_mm("L4", np.linspace(found.entry_ras, found.tip_ras, 200)[30:]).min()
    assert found.breach_mm == pytest.approx(right.diameter_mm / 2 - truth, abs=1.0), "as far as the true bone says"
    assert "it runs into spinal_canal" in found.remarks
    assert found.risk is None


def test_lateral_and_cranial_are_told_apart(at, planned):
    left = next(s for s in planned if s.side == "left")
    assert moved(at, left, right=-6.0).breach_direction == "lateral"
    assert moved(at, left, superior=9.0).breach_direction == "cranial"


def test_a_thicker_screw_has_less_round_it(at, planned):
    screw = planned[0]
    found = moved(at, screw, diameter_mm=screw.diameter_mm + 1.0)
    assert found.clearance_mm == pytest.approx(screw.clearance_mm - 0.5, abs=0.15)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"right": 80.0}, "hardly meets the bone"),
        ({"anterior": -9.0}, "off the bone"),
        ({"anterior": 500.0}, "beyond the image"),
        ({"superior": 30.0}, "beyond the part of L4"),
    ],
)
def test_a_screw_outside_bone_is_never_fine(at, planned, changes, words):
    found = moved(at, planned[0], **changes)
    assert found.verdict is Verdict.REJECTED
    assert any(words in reason for reason in found.reasons), found.reasons


def test_beyond_the_image_nothing_is_known(at, planned, bones):
    found = moved(at, planned[0], anterior=500.0)
    assert (found.hu_mean, found.hu_min, found.structures_mm) == (None, None, {})
    with pytest.raises(InputError, match="L9"):
        prepare_level(bones, "L9")


def test_swapped_ends_and_sides_are_named(at, planned):
    left = next(s for s in planned if s.side == "left")
    backwards = moved(at, left, entry_ras=left.tip_ras, tip_ras=left.entry_ras)
    assert any("entry and tip may be swapped" in r for r in backwards.reasons), backwards.reasons
    wrong = moved(at, left, side="right")
    assert "it runs on the left side and is called right" in wrong.reasons
    half = tuple(np.array(left.entry_ras) + 0.3 * np.subtract(left.tip_ras, left.entry_ras))
    assert "its tip does not reach the vertebral body" in moved(at, left, tip_ras=half).reasons


def test_screws_that_meet_and_part_again(at, planned):
    one, other = planned
    meets = evaluate_screw(at, other.entry_ras, other.tip_ras, 6.0, one.side, others=planned, before=one)
    assert any(r.startswith(f"it meets the screw {other.name}") for r in meets.reasons)
    back = evaluate_screw(
        at,
        one.entry_ras,
        one.tip_ras,
        one.diameter_mm,
        one.side,
        others=planned,
        before=replace(meets, notes=one.notes),
    )
    assert back.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    "changes",
    [
        {"diameter_mm": 0.0},
        {"diameter_mm": float("nan")},
        {"diameter_mm": 40.0},
        {"tip_ras": (np.nan, 0, 0)},
        {"tip_ras": (0.0, 0.0)},
        {"side": "middle"},
        {"entry_ras": (0.0, 0.0, 0.0), "tip_ras": (0.0, 0.0, 0.0)},
        {"tip_ras": (0.0, 9000.0, 0.0)},
    ],
)
def test_what_is_no_screw_is_refused(at, planned, changes):
    with pytest.raises((GeometryError, InputError), match="L4"):
        moved(at, planned[0], **changes)
