"""Angles, gaps, breaches by wall and the rod, against geometry."""

import numpy as np
import pytest
from scipy.optimize import minimize

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import rotation_about
from MSKPlannerLib.screws.measures import (
    WallBreaches,
    gap_mm,
    heary_grade,
    rod_deviation_mm,
    screw_angles_deg,
    wall_breaches,
)
from MSKPlannerLib.screws.safety import assess_surface, screw_surface

AXES = rotation_about((1, 2, -1), 33.0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_angles_are_towards_the_midline_and_up(side: str):
    inwards = -1.0 if side == "right" else 1.0
    direction = AXES @ [inwards * np.tan(np.radians(15)), 1.0, 0.0]
    convergence, rise = screw_angles_deg((5, 5, 5), np.array([5, 5, 5]) + 40 * direction, AXES, side)
    assert convergence == pytest.approx(15.0)
    assert rise == pytest.approx(0.0, abs=1e-9)
    assert screw_angles_deg((0, 0, 0), AXES @ [0.0, 1.0, np.tan(np.radians(-8))], AXES, side)[1] == pytest.approx(-8.0)


def test_the_gap_of_two_screws_is_that_of_any_two_of_their_points():
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b, c, d = rng.uniform(-30, 30, (4, 3))

        def apart(x, a=a, b=b, c=c, d=d):
            return np.linalg.norm(a + x[0] * (b - a) - c - x[1] * (d - c))

        least = min(minimize(apart, s, bounds=[(0, 1)] * 2).fun for s in rng.uniform(0, 1, (6, 2)))
        assert gap_mm((a, b, 6.0), (c, d, 5.0)) == pytest.approx(least - 5.5, abs=1e-3)
    parallel = gap_mm(((0, 0, 0), (0, 40, 0), 6.0), ((20, 10, 0), (20, 50, 0), 6.0))
    assert parallel == pytest.approx(14.0)


def _breaches(depth, side="left", body_from_mm=20.0, tip=(0, 40, 0)):
    entry = np.zeros(3)
    surface = screw_surface(depth, entry, tip, 6.0)
    return wall_breaches(surface, np.eye(3), side, body_from_mm)


def test_each_wall_is_told_with_its_own_breach():
    # Open to the patient's right of a left screw (medial) behind the body by 1 mm, upwards in the body by 2 mm.
    def depth(p):
        medial = np.where(p[..., 1] < 15, 2.0 - p[..., 0], 10.0)
        cranial = np.where(p[..., 1] > 25, 1.0 - p[..., 2], 10.0)
        return np.minimum(medial, cranial)

    found = _breaches(depth)
    # At the corner between two quarters a little of the medial breach is named by the next one.
    assert found.pedicle.keys() <= {"medial", "cranial", "caudal"}
    assert found.pedicle["medial"] == pytest.approx(1.0, abs=0.01)
    assert found.pedicle.get("cranial", 0.0) < 0.2
    assert found.body["cranial"] == pytest.approx(2.0, abs=0.01)
    assert found.deepest["cranial"] == found.body["cranial"]
    right = _breaches(depth, side="right").pedicle
    assert max(right, key=right.get) == "lateral"
    assert "medial" not in right
    assert heary_grade(found) == "IV"
    assert heary_grade(found, endangers=True) == "V"


def test_a_tip_in_front_of_the_bone_is_anterior():
    found = _breaches(lambda p: 38.5 - p[..., 1])
    assert found.body["anterior"] == pytest.approx(1.5, abs=0.01)
    assert heary_grade(found) == "III"


def test_the_rim_of_a_tip_in_front_of_a_slanting_wall_is_anterior_in_both_measures():
    # The front wall slants by 20 degrees, so that the rim of the tip is farther out than its middle.
    forward = np.array([np.sin(np.radians(20.0)), np.cos(np.radians(20.0)), 0.0])

    def depth(p):
        return 37.0 - p @ forward

    surface = screw_surface(depth, np.zeros(3), (0, 40, 0), 6.0)
    found = assess_surface(surface, axes_ras=np.eye(3), side="right")
    walls = wall_breaches(surface, np.eye(3), "right", 20.0)
    rim_mm = 40.0 * forward[1] + 3.0 * forward[0] - 37.0
    assert found.breach_direction == "anterior"
    assert found.breach_mm == pytest.approx(rim_mm, abs=0.02)
    assert walls.deepest["anterior"] == found.breach_mm
    assert max(walls.deepest, key=walls.deepest.get) == "anterior"


def test_heary_of_what_is_contained_and_of_a_lateral_wall():
    assert heary_grade(_breaches(lambda p: np.full(p.shape[:-1], 3.0))) == "I"
    assert heary_grade(WallBreaches({"lateral": 1.0}, {})) == "II"
    assert heary_grade(WallBreaches({"lateral": 1.0}, {"lateral": 0.5})) == "III"


def test_heads_on_an_arc_need_no_bending_and_one_beside_it_does():
    z = np.linspace(0, 120, 5)
    arc = np.stack([np.full(5, 20.0), -0.002 * (z - 60) ** 2, z], axis=1)
    np.testing.assert_allclose(rod_deviation_mm(arc), 0, atol=1e-9)
    arc[2, 0] += 5.0
    found = rod_deviation_mm(arc)
    assert found.argmax() == 2
    assert 2.0 < found[2] < 5.0
    np.testing.assert_allclose(rod_deviation_mm(arc[:2]), 0, atol=1e-9)
    with pytest.raises(GeometryError, match="two screw heads"):
        rod_deviation_mm(arc[:1])
