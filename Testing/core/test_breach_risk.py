"""Breach probabilities against closed-form ones, and against an independent simulation with the same errors."""

import numpy as np
import pytest
from scipy.stats import norm

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rotation_about
from MSKPlannerLib.plan import BreachRisk
from MSKPlannerLib.screws.breach_risk import PlannedCylinder, breach_risk
from MSKPlannerLib.screws.error_budget import ErrorBudget, load_error_budget
from MSKPlannerLib.screws.safety import assess_screw

DIAMETER, LENGTH = 5.0, 40.0
#: Obliquely in space, so that no axis is a coordinate axis.
TURN = rotation_about((1.0, -2.0, 0.5), 40.0)
ENTRY = np.array([12.0, -30.0, 50.0])
SCREW = PlannedCylinder(ENTRY, ENTRY + TURN @ [0, 0, LENGTH], DIAMETER)


def _local(points):
    return (points - ENTRY) @ TURN


def _slab(half_width_mm: float):
    """Bone between two planes along the screw."""
    return lambda points: half_width_mm - np.abs(_local(points)[..., 0])


def _tunnel(radius_mm: float):
    return lambda points: radius_mm - np.linalg.norm(_local(points)[..., :2], axis=-1)


def _budget(**errors: float) -> ErrorBudget:
    return ErrorBudget("test", "made up", **errors)


def test_without_errors_the_clearance_decides():
    safe = breach_risk(_slab(3.0), SCREW, _budget())
    assert safe.probability == 0.0
    assert safe.grade_shares["A"] == 1.0
    assert safe.mean_clearance_mm == pytest.approx(0.5, abs=0.03)
    out = breach_risk(_slab(1.0), SCREW, _budget())
    assert out.probability == 1.0
    assert out.grade_shares["B"] == 1.0


@pytest.mark.parametrize(("clearance", "sd"), [(1.0, 0.5), (0.5, 0.7), (1.5, 0.7)])
def test_a_shift_across_in_a_slab_is_normal(clearance: float, sd: float):
    true = 2 * norm.cdf(-clearance / sd)
    found = breach_risk(_slab(DIAMETER / 2 + clearance), SCREW, _budget(entry_sd_mm=sd))
    assert found.probability == pytest.approx(true, abs=0.015)
    registered = breach_risk(_slab(DIAMETER / 2 + clearance), SCREW, _budget(registration_sd_mm=sd))
    assert registered.probability == pytest.approx(true, abs=0.015)


def test_a_shift_across_in_a_tunnel_is_rayleigh():
    found = breach_risk(_tunnel(DIAMETER / 2 + 1.0), SCREW, _budget(entry_sd_mm=0.6))
    assert found.probability == pytest.approx(np.exp(-1.0 / (2 * 0.6**2)), abs=0.015)


def test_grades_follow_the_depth_of_the_breach():
    clearance, sd = 1.0, 1.5
    found = breach_risk(_slab(DIAMETER / 2 + clearance), SCREW, _budget(entry_sd_mm=sd))
    for grade, low, high in (("B", 0.0, 2.0), ("C", 2.0, 4.0)):
        true = 2 * (norm.cdf(-(clearance + low) / sd) - norm.cdf(-(clearance + high) / sd))
        assert found.grade_shares[grade] == pytest.approx(true, abs=0.015)
    assert sum(found.grade_shares.values()) == pytest.approx(1.0)


def test_a_turn_moves_the_tip_most():
    clearance, sd_deg = 1.0, 1.5
    # The tip's edge moves by its length, and its radius counts a little.
    true = 2 * norm.cdf(-clearance / (LENGTH * np.radians(sd_deg)))
    found = breach_risk(_slab(DIAMETER / 2 + clearance), SCREW, _budget(turn_sd_deg=sd_deg))
    assert found.probability == pytest.approx(true, abs=0.015)


def test_an_unsure_surface_counts_on_both_sides_at_once():
    found = breach_risk(_slab(DIAMETER / 2 + 0.5), SCREW, _budget(surface_sd_mm=0.4))
    assert found.probability == pytest.approx(norm.cdf(-0.5 / 0.4), abs=0.015)


def test_going_too_deep_is_a_breach_in_front():
    def front(points):
        return LENGTH + 1.0 - _local(points)[..., 2]

    screw = PlannedCylinder(ENTRY, SCREW.tip_ras, DIAMETER, axes_ras=np.eye(3), side="left")
    found = breach_risk(front, screw, _budget(depth_sd_mm=1.0))
    assert found.probability == pytest.approx(norm.cdf(-1.0), abs=0.015)
    assert found.direction == "anterior"


def test_the_usual_direction_is_where_the_wall_is_near():
    axes = TURN @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T  # right, anterior (along the screw), superior
    left = PlannedCylinder(ENTRY, SCREW.tip_ras, DIAMETER, axes_ras=axes, side="left")

    def near_on_the_right(points):
        return DIAMETER / 2 + 0.6 - _local(points)[..., 0]

    assert breach_risk(near_on_the_right, left, _budget(entry_sd_mm=0.5)).direction == "medial"
    right = PlannedCylinder(ENTRY, SCREW.tip_ras, DIAMETER, axes_ras=axes, side="right")
    assert breach_risk(near_on_the_right, right, _budget(entry_sd_mm=0.5)).direction == "lateral"


def test_the_same_seed_gives_the_same_and_another_nearly_so():
    budget = load_error_budget()
    one, same, other = (breach_risk(_slab(4.0), SCREW, budget, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.standard_error <= 0.005
    assert abs(one.probability - other.probability) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [0.05, 0.2, 0.5])
def test_an_independent_simulation_breaches_as_often(wanted: float):
    """Plain random draws, each measured as a planned screw is."""
    depth, budget = _tunnel(DIAMETER / 2 + 1.0), _scaled_to(wanted)
    claimed = breach_risk(depth, SCREW, budget)
    assert claimed.probability == pytest.approx(wanted, abs=0.015)
    rng = np.random.default_rng(5)
    tries = 2000
    breaches = 0
    for _ in range(tries):
        rotation = rotation_about((1, 0, 0), rng.normal(0, budget.turn_sd_deg)) @ rotation_about(
            (0, 1, 0), rng.normal(0, budget.turn_sd_deg)
        )
        shift = TURN @ (rng.normal(size=3) * [budget.entry_sd_mm, budget.entry_sd_mm, budget.depth_sd_mm])
        shift = shift + rng.normal(0, budget.registration_sd_mm, 3)
        wall = rng.normal(0, budget.surface_sd_mm)
        entry = ENTRY + shift
        tip = entry + TURN @ rotation @ [0, 0, LENGTH]
        breaches += assess_screw(lambda p, wall=wall: depth(p) + wall, entry, tip, DIAMETER).breach_mm > 0
    spread = 1.96 * np.sqrt(claimed.probability * (1 - claimed.probability) / tries)
    assert abs(breaches / tries - claimed.probability) < spread + 2 * claimed.standard_error


def _scaled_to(probability: float) -> ErrorBudget:
    """Return a budget with every kind of error that gives this probability in the tunnel."""
    low, high = 0.05, 3.0
    for _ in range(18):
        scale = (low + high) / 2
        budget = _budget(
            entry_sd_mm=0.4 * scale,
            turn_sd_deg=0.8 * scale,
            depth_sd_mm=0.5 * scale,
            registration_sd_mm=0.2 * scale,
            surface_sd_mm=0.15 * scale,
        )
        found: BreachRisk = breach_risk(_tunnel(DIAMETER / 2 + 1.0), SCREW, budget, wanted_standard_error=0.01)
        low, high = (scale, high) if found.probability < probability else (low, scale)
    return budget


# ---------------------------------------------------------------------- budgets
@pytest.mark.parametrize("name", ["printed_guide", "printed_guide_cervical", "robot", "navigation"])
def test_every_preset_says_where_its_numbers_are_from(name: str):
    budget = load_error_budget(name)
    assert budget.name == name
    assert budget.source
    assert budget.entry_sd_mm > 0


def test_the_expected_error_of_a_registration_becomes_a_standard_deviation():
    own = np.random.default_rng(0).normal(0, 1.0, (200_000, 3))
    expected_error_mm = float(np.linalg.norm(own, axis=1).mean())
    assert _budget().with_registration(expected_error_mm).registration_sd_mm == pytest.approx(1.0, abs=0.015)
    assert _budget(registration_sd_mm=3.0).with_registration(4 * expected_error_mm).registration_sd_mm == pytest.approx(
        5.0, abs=0.05
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('source = "x"\nentry_mm = 1', "unknown key entry_mm"),
        ("entry_sd_mm = 1", "where its numbers"),
        ('source = "x"\nentry_sd_mm = -1', "entry_sd_mm"),
        ('source = "x"\nentry_sd_mm = 40', "entry_sd_mm"),
        ("source = ", "TOML"),
    ],
)
def test_a_broken_budget_is_refused(tmp_path, text: str, match: str):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=match):
        load_error_budget(path)
