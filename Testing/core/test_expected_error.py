"""What other fits of a pair say of its error, at points whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.frames import rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration.expected_error import PartFits, Refits
from MSKFusionLib.registration.quality import BENT_MM, MOST_BEND_MM, Evidence, judge, warnings_of
from MSKFusionLib.registration.result import Verdict

POSE = rigid(rotation_about((1, 2, 3), 50.0), (10.0, -20.0, 5.0))
AXIS = rotation_about((1, 0, 0), 30.0)[:, 2]
GOOD = Evidence(1.0, 0.1, 0.5, 0.9, 0.4, 0.95, 0.98, 30, 0.1, 0.1, 0.1, 1.0, 0.6)


def _parts() -> PartFits:
    shifted = [rigid(None, (s, 0.0, 0.0)) @ POSE for s in (1.0, 0.0, 3.0)]
    return PartFits(AXIS, (-50.0, 0.0, 50.0), tuple(shifted))


def _refits() -> Refits:
    halves = (POSE, rigid_about((0, 0, 0), np.eye(3), (0.3, 0, 0)) @ POSE)
    return Refits(POSE, halves, rigid(None, (0, 0.4, 0)) @ POSE, 2.0, _parts())


@pytest.mark.parametrize(
    ("place", "apart"), [(-80, 1.0), (-50, 1.0), (-25, 0.5), (0, 0.0), (25, 1.5), (50, 3.0), (90, 3.0)]
)
def test_between_two_parts_the_distance_passes_from_one_to_the_other(place: float, apart: float):
    across = np.cross(AXIS, [1.0, 0, 0])
    points = place * AXIS + np.array([[-30.0], [0.0], [40.0]]) * across
    np.testing.assert_allclose(_parts().apart_mm(POSE, points), apart, atol=1e-9)


def test_the_error_is_the_root_of_all_squares():
    point = 50.0 * AXIS
    assert _refits().error_mm(point) == pytest.approx(np.sqrt(0.3**2 + 0.2**2 + 3.0**2 + 0.06**2))
    assert replace(_refits(), parts=PartFits(AXIS, (), ())).bend_mm(point) == 0.0


def test_the_other_way_round_the_error_is_at_the_place_that_the_point_goes_to():
    points = np.random.default_rng(0).uniform(-60, 60, (50, 3))
    there = _refits()
    np.testing.assert_allclose(
        there.inverted().error_mm(transform_points(POSE, points)), there.error_mm(points), atol=0.1
    )


def test_parts_that_move_on_their_own_are_told_and_far_ones_rejected():
    assert judge(GOOD)[0] is Verdict.ACCEPTED
    assert warnings_of(GOOD) == ()
    bent = replace(GOOD, bend_mm=BENT_MM + 1.0)
    verdict, _, expected_mm = judge(bent)
    assert verdict is Verdict.ACCEPTED
    assert expected_mm == pytest.approx(BENT_MM + 1.0, abs=0.1)
    assert "bone by bone" in warnings_of(bent)[0]
    verdict, reasons, _ = judge(replace(GOOD, bend_mm=MOST_BEND_MM + 0.1))
    assert verdict is Verdict.REJECTED
    assert "another posture" in reasons[0]


def test_a_symmetric_pair_whose_parts_disagree_is_of_two_people():
    symmetric = replace(GOOD, mirror_share=0.97)
    assert judge(symmetric)[0] is Verdict.ACCEPTED, "a head"
    two = replace(symmetric, bend_mm=BENT_MM + 0.5)
    for bones_move in (False, True):
        verdict, reasons, _ = judge(two, bones_move=bones_move)
        assert verdict is Verdict.REJECTED
        assert "two people" in reasons[0]
        # The least symmetric pair of two people that nothing else gave away, in the benchmark.
        assert judge(replace(two, mirror_share=0.94), bones_move=bones_move)[0] is Verdict.REJECTED
    # Two people there whom nothing else gave away, and the head whose MR is distorted, which is right.
    assert judge(replace(GOOD, mirror_share=0.889, bend_mm=1.67))[0] is Verdict.REJECTED
    assert judge(replace(GOOD, mirror_share=0.83, bend_mm=1.77))[0] is Verdict.ACCEPTED
    # The most symmetric person in two postures, there.
    posture = replace(GOOD, bend_mm=MOST_BEND_MM + 1.0, mirror_share=0.88)
    verdict, _, expected_mm = judge(posture, bones_move=True)
    assert verdict is Verdict.ACCEPTED
    assert expected_mm < 0.2
