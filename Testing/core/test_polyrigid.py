"""A map that moves bones as one piece each, against motions in closed form."""

import numpy as np
import pytest
from core.bone_shapes import grid, moved, rasterise, sphere
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration.point_map import displacements
from MSKFusionLib.registration.polyrigid import PolyrigidMap, exp_motion, log_motion
from MSKFusionLib.segmentation.labels import Segment, Segmentation

UPPER, LOWER = np.array([0.0, 0.0, 20.0]), np.array([2.0, 3.0, -10.0])
COMMON = rigid(rotation_about([1, 2, 3], 40.0), [30.0, -10.0, 5.0])
axis = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


def two_balls() -> Segmentation:
    """Two balls of 10 mm, 11 mm apart at the nearest, on an oblique anisotropic grid."""
    volume = grid((18, 18, 34), (1.0, 1.0, 1.5), rotation_about([1, 1, 0], 20.0), (0.0, 0.0, 5.0))
    voxels = volume.voxels.copy()
    for value, centre in ((20, UPPER), (21, LOWER)):
        voxels[rasterise(moved(sphere(10.0), rigid(None, centre)), volume)] = value
    return Segmentation(volume.with_voxels(voxels), (Segment(20, "L1", "vertebra"), Segment(21, "L2", "vertebra")))


def map_of(angle_deg: float, shift_mm: float) -> tuple[PolyrigidMap, dict[str, np.ndarray]]:
    poses = {
        "L1": COMMON @ rigid_about(UPPER, rotation_about([1, 0, 0.3], angle_deg), [0, shift_mm, 0]),
        "L2": COMMON @ rigid_about(LOWER, rotation_about([0, 1, 0], -angle_deg), [shift_mm, 0, 0]),
    }
    return PolyrigidMap.of_poses(two_balls(), poses, COMMON), poses


@given(axis, st.floats(0.0, 170.0), st.tuples(*[st.floats(-200, 200)] * 3))
def test_a_motion_and_its_logarithm_are_each_others_inverse(direction, angle_deg, shift):
    matrix = rigid(rotation_about(direction, angle_deg), shift)
    points = np.random.default_rng(1).normal(0, 80, (20, 3))
    moved_points = exp_motion(np.tile(log_motion(matrix), (20, 1)), points)
    assert np.allclose(moved_points, transform_points(matrix, points), atol=1e-6)


def test_a_bone_moves_as_one_piece():
    found, poses = map_of(6.0, 4.0)
    rng = np.random.default_rng(2)
    for name, centre in (("L1", UPPER), ("L2", LOWER)):
        d = rng.normal(size=(3000, 3))
        inside = centre + d / np.linalg.norm(d, axis=1, keepdims=True) * rng.uniform(0, 9.0, (3000, 1))
        assert np.abs(found(inside) - transform_points(poses[name], inside)).max() < 1e-9
        surface = centre + 10.0 * d / np.linalg.norm(d, axis=1, keepdims=True)
        assert np.linalg.norm(found(surface) - transform_points(poses[name], surface), axis=1).max() < 0.25


def test_between_bones_it_is_smooth_and_can_be_turned_back():
    found, _ = map_of(6.0, 4.0)
    line = np.linspace(UPPER, LOWER, 400)
    steps = np.linalg.norm(np.diff(found(line), axis=0), axis=1) / np.linalg.norm(line[1] - line[0])
    assert steps.max() < 3.0
    least, folded = found.least_jacobian()
    assert least > 0.1
    assert folded == 0
    points = np.random.default_rng(3).uniform([-15, -15, -25], [15, 15, 35], (4000, 3))
    assert np.linalg.norm(found(found.inverse(points)) - points, axis=1).max() < 0.01
    there = found(points)
    assert np.linalg.norm(found.inverse(there) - points, axis=1).max() < 0.01


def test_one_pose_for_all_is_a_rigid_motion():
    poses = {"L1": COMMON, "L2": COMMON}
    found = PolyrigidMap.of_poses(two_balls(), poses, COMMON)
    points = np.random.default_rng(4).uniform(-60, 60, (500, 3))
    assert np.allclose(found(points), transform_points(COMMON, points), atol=1e-9)
    assert found.least_jacobian()[0] == pytest.approx(1.0, abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(axis, st.floats(-10.0, 10.0))
def test_it_does_not_matter_in_which_frame_the_other_image_is(direction, angle_deg):
    """Log-Euclidean means commute with a change of the target's frame."""
    found, poses = map_of(5.0, 3.0)
    other = rigid(rotation_about(direction, angle_deg), [5.0, 6.0, 7.0])
    turned = PolyrigidMap.of_poses(two_balls(), {n: other @ p for n, p in poses.items()}, other @ COMMON)
    points = np.random.default_rng(5).uniform(-30, 40, (200, 3))
    assert np.allclose(turned(points), transform_points(other, found(points)), atol=1e-6)


def test_a_fold_is_said():
    found, _ = map_of(0.0, 0.0)
    poses = {"L1": COMMON @ rigid(None, [0, 0, -25.0]), "L2": COMMON @ rigid(None, [0, 0, 25.0])}
    folded = PolyrigidMap.of_poses(two_balls(), poses, COMMON)
    assert folded.least_jacobian()[0] < 0 < found.least_jacobian()[0]
    middle = np.random.default_rng(6).uniform(-3, 3, (500, 3)) + [1.0, 1.5, 5.0]
    with pytest.raises(ProcessingError, match="folds"):
        folded.inverse(transform_points(COMMON, middle))


def test_displacements_are_on_the_fixed_grid():
    found, _ = map_of(6.0, 4.0)
    labels = found.labels
    where, displaced = displacements(found, labels, step_mm=3.0)
    assert np.all(where.corners_ras().max(axis=0) >= labels.corners_ras().max(axis=0) - 3.0)
    k, j, i = 5, 6, 7
    point = transform_points(where.ijk_to_ras, np.array([i, j, k]))
    assert np.allclose(displaced[k, j, i], found(point) - point)


def test_what_has_no_bone_is_refused():
    with pytest.raises(InputError, match="no bone with a pose"):
        PolyrigidMap.of_poses(two_balls(), {}, COMMON)
    with pytest.raises(InputError, match="no segment 'L9'"):
        PolyrigidMap.of_poses(two_balls(), {"L9": COMMON}, COMMON)
