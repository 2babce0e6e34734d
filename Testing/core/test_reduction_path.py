"""Ways of fragments: free of other bones at every half millimetre, straight where they may be, none where locked."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKPlannerLib.osteotomy.reduction_path import STEP_MM, reduction_path

BLOCK = box_mesh((10.0, 10.0, 10.0))


def test_nothing_in_the_way_is_a_straight_way():
    goal = rigid(rotation_about([0, 0, 1], 20.0), [20.0, 0.0, 0.0])
    path = reduction_path(BLOCK, goal, [box_mesh((10.0, 10.0, 10.0), (0.0, 40.0, 0.0))])
    np.testing.assert_allclose(path.motions_ras[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(path.motions_ras[-1], goal, atol=1e-9)
    moves = [
        np.linalg.norm(transform_points(b, BLOCK.vertices_ras) - transform_points(a, BLOCK.vertices_ras), axis=1).max()
        for a, b in zip(path.motions_ras, path.motions_ras[1:], strict=False)
    ]
    assert max(moves) <= STEP_MM
    assert path.least_mm > 20.0
    assert 20.0 <= path.longest_mm < 26.0


def test_a_wall_is_gone_round():
    wall = box_mesh((4.0, 40.0, 40.0), (17.0, 0.0, 0.0))
    path = reduction_path(BLOCK, rigid(translation=[34.0, 0.0, 0.0]), [wall])
    assert path.least_mm > 0.2
    # By the wall's own geometry: no corner or edge point of the block is ever inside of it.
    edge = np.linspace(-5, 5, 11)
    points = np.array([[x, y, z] for x in edge for y in edge for z in edge])
    for m in path.motions_ras:
        at = np.abs(transform_points(m, points) - [17.0, 0.0, 0.0])
        assert not ((at < [2.0, 20.0, 20.0]).all(axis=1)).any()
    # The shortest way with 2 mm of clearance passes two corners, 27 mm beside the straight one; it may be rounded off a little.
    shortest = 2 * np.hypot(34.0 / 2 - 9, 27.0) + 18
    assert 0.9 * shortest < path.longest_mm < 1.08 * shortest
    assert path.straight_mm == pytest.approx(34.0)
    assert path.least_mm > 1.4


@pytest.mark.slow
def test_a_locked_fragment_is_said():
    cage = [box_mesh((40.0, 40.0, 4.0), (0, 0, s * 12.0)) for s in (-1, 1)]
    cage += [box_mesh((40.0, 4.0, 40.0), (0, s * 12.0, 0)) for s in (-1, 1)]
    cage += [box_mesh((4.0, 40.0, 40.0), (s * 12.0, 0, 0)) for s in (-1, 1)]
    with pytest.raises(ProcessingError, match="no way was found"):
        reduction_path(BLOCK, rigid(translation=[60.0, 0.0, 0.0]), cage)
