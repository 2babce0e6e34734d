"""Following only lines that can hold the screw finds what following all of them does."""

import numpy as np
import pytest
from core.bone_shapes import capsule, sphere, union
from core.test_line_rooms import field_of

from MSKPlannerLib.screws import candidates
from MSKPlannerLib.screws.candidate_lines import LineTracer, TrajectoryLimits
from MSKPlannerLib.screws.corridor import LineFamily, widest_corridor
from MSKPlannerLib.screws.trajectory import TrajectorySearch

#: A thin bar along y between two thick ends.
BONE = field_of(
    union(
        capsule((0, -16, 0), (0, 24, 0), 3.2),
        lambda p: sphere(14.0)(p - [0, 24, 0]),
        lambda p: sphere(9)(p + [0, 16, 0]),
    )
)
FAMILY = LineFamily(
    np.array([0, -8.0, 0]), np.array([0, 14.0, 0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), (7, 10), (10, 12)
)
LIMITS = TrajectoryLimits(
    posterior_limit_y_mm=-12.0,
    least_tip_y_mm=14.0,
    deepest_tip_y_mm=32.0,
    anterior_margin_mm=3.0,
    counted_y_mm=-8.0,
)
LENGTHS = (30.0, 35.0, 40.0, 45.0)


def search():
    corridor = widest_corridor(BONE, FAMILY, gap_mm=0.2)
    return TrajectorySearch(BONE, BONE, np.eye(4), FAMILY, corridor, 0.3, LIMITS)


def found():
    """A screw with room to spare, one that just fits, none, and the widest."""
    made = search()
    wide = [made.best(None, d, LENGTHS, c) for d, c in ((4.0, 0.5), (4.5, 0.5), (6.5, 0.5))]
    return [*wide, made.widest(5.5, LENGTHS)]


@pytest.mark.slow
def test_the_same_screws_are_found(monkeypatch):
    pruned = found()
    monkeypatch.setattr(candidates, "_DOUBT_MM", 1e6)  # every line may be deep enough
    whole = found()
    assert [p is None for p in pruned] == [False, False, True, False]
    for one, other in zip(pruned[:2], whole[:2], strict=True):
        assert (one.diameter_mm, one.length_mm) == (other.diameter_mm, other.length_mm)
        assert one.entry_ras == pytest.approx(other.entry_ras, abs=1e-9)
        assert one.tip_ras == pytest.approx(other.tip_ras, abs=1e-9)
    assert whole[2] is None
    assert pruned[3][1] == pytest.approx(whole[3][1], abs=1e-6)


def test_few_lines_are_followed(monkeypatch):
    followed = []
    follow = LineTracer.follow

    def counted(self, x):
        followed.append(len(x))
        return follow(self, x)

    monkeypatch.setattr(LineTracer, "follow", counted)
    assert search().best(None, 4.5, LENGTHS, 0.5) is not None
    assert sum(followed) < 2000  # of more than 6000
