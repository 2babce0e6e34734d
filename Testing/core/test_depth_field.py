"""The depth field against shapes with closed-form distance."""

import numpy as np
import pytest
from core.bone_shapes import capsule, grid, moved, rasterise, sphere, voxel_centres

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.volume import Modality
from MSKPlannerLib.bone.depth_field import DepthField, signed_distance
from MSKPlannerLib.bone.smooth_bone import SmoothBone, depth_field_of_mask, peel

CENTRE = np.array([3.0, -20.0, 150.0])
OBLIQUE = rotation_about([1, 2, 3], 35)


def errors(shape, spacing, rotation, box_mm=12.0, near_mm=1.5):
    truth = moved(shape, rigid(None, CENTRE))
    volume = grid((15, 15, 15), spacing, rotation, CENTRE + 0.13)
    field = depth_field_of_mask(volume, rasterise(truth, volume))
    points = CENTRE + np.random.default_rng(5).uniform(-box_mm, box_mm, (60000, 3))
    exact = truth(points)
    use = (exact > -near_mm) & (np.linalg.norm(points - CENTRE, axis=1) < box_mm)
    return field.depth_mm(points[use]) - exact[use], exact[use]


@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE, OBLIQUE[:, [1, 2, 0]]])
def test_sphere_is_accurate_and_unbiased_on_anisotropic_voxels(rotation):
    error, _ = errors(sphere(10.0), (0.7, 0.7, 1.0), rotation)
    assert np.abs(error).mean() < 0.1
    assert abs(error.mean()) < 0.05


@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE])
def test_a_bar_as_thick_as_a_pedicle(rotation):
    error, _ = errors(capsule((-10, -3, -2), (10, 3, 2), 4.0), (0.7, 0.7, 1.0), rotation)
    assert np.abs(error).mean() < 0.1
    assert abs(error.mean()) < 0.05


def test_a_pedicle_four_millimetres_wide_keeps_its_width():
    bar = capsule((-10, -3, -2), (10, 3, 2), 2.0)
    error, exact = errors(bar, (0.7, 0.7, 1.0), OBLIQUE, near_mm=0.7)
    surface = np.abs(exact) < 0.3
    # Twice the shift of one wall is what the width changes by.
    assert abs(2 * error[surface].mean()) < 0.2
    assert np.abs(error[exact > 1.5]).mean() < 0.2


def wall(points):
    return -points[..., 0]


def inner_corner(points):
    """Bone all round but in one quarter: what is nearest to it is the quarter's edge."""
    x, y = points[..., 0], points[..., 1]
    beside = np.where(x < 0, -x, np.where(y < 0, -y, -np.minimum(np.abs(x), np.abs(y))))
    return np.where((x < 0) & (y < 0), np.hypot(x, y), beside)


@pytest.mark.parametrize("shape", [wall, inner_corner, sphere(4.0)], ids=["wall", "inner corner", "ball"])
def test_distances_from_an_exact_level_are_exact(shape):
    # From the nearest of points half a millimetre apart a wall is 0.03 mm too far on average, 0.12 mm at most: bone that is not there.
    step, turn = 0.5, OBLIQUE.T
    axis = np.arange(-9.75, 10.0, step)
    k, j, i = np.meshgrid(axis, axis, axis, indexing="ij")
    level = shape(np.stack([i, j, k], axis=-1) @ turn).astype(np.float32)
    field = DepthField(signed_distance(level, np.full(3, step)), np.full(3, axis[0]), np.eye(3), step)
    points = np.random.default_rng(4).uniform(-6, 6, (40000, 3))
    exact = shape(points @ turn)
    use = (exact > 0.2) & (exact < 1.5)
    error = field.depth_mm(points[use]) - exact[use]
    assert abs(error.mean()) < 0.01
    assert error.std() < 0.03
    assert np.percentile(error, 99) < 0.05


def test_depth_does_not_grow_faster_than_the_way():
    truth = moved(capsule((-6, 0, 0), (6, 2, 1), 4.0), rigid(None, CENTRE))
    volume = grid((14, 12, 12), (0.7, 0.7, 1.0), OBLIQUE, CENTRE)
    field = depth_field_of_mask(volume, rasterise(truth, volume))
    rng = np.random.default_rng(2)
    a = CENTRE + rng.uniform(-12, 12, (5000, 3))
    b = a + rng.normal(0, 1.5, a.shape)
    # Beyond the grid only a bound is given, which may fall faster.
    near = (truth(a) > -4) & (truth(b) > -4)
    a, b = a[near], b[near]
    step = np.linalg.norm(a - b, axis=1)
    assert len(step) > 1000
    assert np.all(np.abs(field.depth_mm(a) - field.depth_mm(b)) <= 1.12 * step + 0.15)


def test_far_points_get_a_lower_bound_that_falls_with_the_distance():
    volume = grid((10, 10, 10), (0.7, 0.7, 1.0), None, CENTRE)
    field = depth_field_of_mask(volume, rasterise(moved(sphere(6.0), rigid(None, CENTRE)), volume))
    ray = CENTRE + np.linspace(0, 200, 400)[:, None] * np.array([0.6, 0.0, 0.8])
    depth = field.depth_mm(ray)
    assert np.all(np.diff(depth) < 0)
    assert np.all(
        depth[ray[:, 2] > CENTRE[2] + 20]
        <= 6.0 - np.linalg.norm(ray - CENTRE, axis=1)[ray[:, 2] > CENTRE[2] + 20] + 0.2
    )


def test_bone_at_the_edge_of_the_image_is_closed():
    volume = grid((10, 10, 10), (1.0, 1.0, 1.0), None, CENTRE)
    field = depth_field_of_mask(volume, np.ones(volume.voxels.shape, dtype=bool))
    assert field.depth_mm(CENTRE + [0, 0, 13.0]) < -1.5
    assert field.depth_mm(CENTRE) == pytest.approx(10.5, abs=0.3)


def test_a_region_has_the_same_depths_as_the_whole():
    volume = grid((15, 15, 15), (0.7, 0.7, 1.0), OBLIQUE, CENTRE)
    smooth = SmoothBone.of_mask(
        volume, rasterise(moved(capsule((-8, 0, 0), (8, 0, 0), 5.0), rigid(None, CENTRE)), volume)
    )
    points = CENTRE + np.random.default_rng(3).uniform(-3, 3, (500, 3))
    whole = smooth.field(0.5)
    part = smooth.field(0.5, region_ras=np.array([CENTRE - 9, CENTRE + 9]))
    assert part.depth.size < whole.depth.size
    assert np.abs(whole.depth_mm(points) - part.depth_mm(points)).max() < 0.25
    assert np.abs(whole.depth_mm(points) - part.depth_mm(points)).mean() < 0.05


def test_outward_points_to_the_nearest_surface():
    volume = grid((15, 15, 15), (0.7, 0.7, 1.0), OBLIQUE, CENTRE)
    field = depth_field_of_mask(volume, rasterise(moved(sphere(10.0), rigid(None, CENTRE)), volume))
    directions = np.random.default_rng(7).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    out = field.outward_ras(CENTRE + 8.0 * directions)
    off = np.degrees(np.arccos((out * directions).sum(axis=1)))
    assert off.mean() < 6
    assert off.max() < 20


def test_interpolation_is_exact_on_a_linear_field():
    k, j, i = np.meshgrid(np.arange(5), np.arange(6), np.arange(7), indexing="ij")
    voxels = (1.5 * i - 2.0 * j + 0.25 * k).astype(np.float32)
    q = np.random.default_rng(1).uniform(0, 4, (200, 3))
    assert np.allclose(interpolate(voxels, q), q @ [1.5, -2.0, 0.25], atol=1e-5)
    assert interpolate(voxels, np.array([6.0, 5.0, 4.0])) == pytest.approx(voxels[4, 5, 6])
    assert interpolate(voxels, np.array([99.0, 5.0, 4.0])) == pytest.approx(voxels[4, 5, 6])


def test_what_cannot_be_is_refused_in_words():
    volume = grid((5, 5, 5))
    with pytest.raises(InputError, match="no voxels"):
        depth_field_of_mask(volume, np.zeros(volume.voxels.shape, dtype=bool))
    mask = np.zeros(volume.voxels.shape, dtype=bool)
    mask[4:7, 4:9, 4:9] = True
    with pytest.raises(GeometryError, match="steps of"):
        depth_field_of_mask(volume, mask, step_mm=0.0)


def test_a_label_that_reaches_into_soft_tissue_is_peeled_and_marrow_stays():
    volume = grid((14, 14, 14), (0.7, 0.7, 1.0), OBLIQUE, CENTRE)
    depth = moved(sphere(9.0), rigid(None, CENTRE))(voxel_centres(volume))
    hu = np.where(depth > 1.5, 80.0, np.where(depth > 0, 700.0, 40.0)).astype(np.float32)
    ct = volume.with_voxels(hu, modality=Modality.CT)
    swollen, right = depth > -0.9, depth > 0
    assert np.array_equal(peel(volume, right, ct), right)
    assert np.array_equal(peel(volume, swollen, ct), right)
