"""The parts of registration: information and its gradient, climbing, thinning, shading, the grid of turns."""

import numpy as np
import pytest
from core.body_pair import BodyPair, body_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from MSKFusionLib.frames import invert_rigid, rigid_about, rotation_about, rotation_angle_deg, transform_points
from MSKFusionLib.registration.climb import climb, minimise
from MSKFusionLib.registration.mutual_information import (
    RADIUS_MM,
    MutualInformation,
    motion,
    moved_away,
    parameter_gradient,
    pose_distance_mm,
)
from MSKFusionLib.registration.pair import Pair
from MSKFusionLib.registration.preprocess import at_spacing, even_out_mr, near_bone_under_skin, on_cubes, thin
from MSKFusionLib.registration.sampling import crop_to_overlap, draw_samples
from MSKFusionLib.registration.turns import cube_turns, turns_around_each_of_the_cube, turns_within
from MSKFusionLib.volume import Modality, Volume


@pytest.fixture(scope="module")
def body() -> BodyPair:
    return body_pair(0)


@pytest.fixture(scope="module")
def inner_information(body: BodyPair) -> MutualInformation:
    """Information of points that stay in the image whatever the small motion, so that it is smooth."""
    pair = Pair.prepare(body.ct, body.mr)
    ct, mr = pair.at(4.0)
    samples = draw_samples(ct, ct, ct.voxels > -400, 4000, 0, mr=mr, ct_to_mr_ras=body.ct_to_mr_ras, margin_mm=-20.0)
    return MutualInformation(samples, mr)


small = st.floats(-0.03, 0.03)
shifts = st.floats(-3, 3)


@settings(max_examples=25, deadline=None)
@given(st.tuples(small, small, small, shifts, shifts, shifts))
def test_gradient_is_that_of_finite_differences(body: BodyPair, inner_information: MutualInformation, at):
    centre = body.mr.centre_ras
    scale = np.r_[np.full(3, 1 / RADIUS_MM), np.ones(3)]
    y0 = np.array(at) / scale

    def value(y) -> float:
        return inner_information.value(motion(y * scale, centre) @ body.ct_to_mr_ras)[0]

    x = y0 * scale
    v, gradient, share = inner_information.value_and_gradient(motion(x, centre) @ body.ct_to_mr_ras, centre)
    assert v == pytest.approx(value(y0), rel=1e-6)
    assert share == 1.0
    analytic = parameter_gradient(x, gradient) * scale
    # Linear interpolation has a kink at each voxel edge: a step small against the voxel, averaged over 4000 points.
    step = 0.02
    numeric = np.array([(value(y0 + step * e) - value(y0 - step * e)) / (2 * step) for e in np.eye(6)])
    np.testing.assert_allclose(analytic, numeric, atol=0.03 * np.abs(numeric).max() + 2e-4)


@given(st.integers(0, 10_000))
def test_parameter_gradient_is_exact(seed: int):
    """For a linear function of the moved point the derivative over the parameters is known by differences."""
    rng = np.random.default_rng(seed)
    centre, point, push = rng.normal(0, 30, 3), rng.normal(0, 60, 3), rng.normal(size=3)
    x = np.r_[rng.normal(0, 0.8, 3), rng.normal(0, 20, 3)]

    def value(p) -> float:
        return float(transform_points(motion(p, centre), point) @ push)

    moved = transform_points(motion(x, centre), point)
    exact = parameter_gradient(x, np.r_[np.cross(moved - centre, push), push])
    numeric = [(value(x + 1e-5 * e) - value(x - 1e-5 * e)) / 2e-5 for e in np.eye(6)]
    np.testing.assert_allclose(exact, numeric, atol=1e-5 * np.abs(numeric).max() + 1e-6)


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_minimise_finds_the_bottom_of_a_bowl(seed: int):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    curvature = q @ np.diag(rng.uniform(0.2, 5.0, 6)) @ q.T
    bottom = rng.uniform(-6, 6, 6)
    x, value = minimise(lambda y: (0.5 * (y - bottom) @ curvature @ (y - bottom), curvature @ (y - bottom)), 12.0)
    np.testing.assert_allclose(x, bottom, atol=0.05)
    assert value < 1e-2


def test_minimise_stays_in_its_box():
    x, _ = minimise(lambda y: (float(-y.sum()), -np.ones(6)), 3.0)
    np.testing.assert_allclose(x, 3.0)


def test_climb_returns_to_the_truth(body: BodyPair, inner_information: MutualInformation):
    centre = body.mr.centre_ras
    away = rigid_about(centre, rotation_about((1, 2, 3), 4.0), (4, -3, 2)) @ body.ct_to_mr_ras
    value, back = climb(inner_information, away, centre)
    assert pose_distance_mm(back, body.ct_to_mr_ras, centre) < 1.0
    assert value > inner_information.value(away)[0]


def test_information_is_highest_near_the_truth(body: BodyPair, inner_information: MutualInformation):
    best = inner_information.value(body.ct_to_mr_ras)[0]
    for axis in np.eye(3):
        assert inner_information.value(rigid_about((0, 0, 0), np.eye(3), 6 * axis) @ body.ct_to_mr_ras)[0] < best


# ---------------------------------------------------------------------- images
def _ramp(shape_kji=(22, 40, 33), spacing=(0.8, 1.1, 3.0)) -> tuple[Volume, np.ndarray]:
    """A volume whose value is a linear function of its RAS position, in an oblique frame."""
    directions = rotation_about((1, 2, -1), 33.0)
    slope = np.array([0.7, -1.3, 0.4])
    volume = Volume(np.zeros(shape_kji, np.float32), (11.0, -7.0, 50.0), spacing, directions, Modality.CT)
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in shape_kji], indexing="ij"), -1)
    return volume.with_voxels((transform_points(volume.ijk_to_ras, kji[..., ::-1]) @ slope).astype(np.float32)), slope


@pytest.mark.parametrize(
    ("resample", "spacing"), [(at_spacing, 2.5), (at_spacing, 4.0), (on_cubes, 4.0), (on_cubes, 2.0)]
)
def test_thinning_moves_nothing(resample, spacing: float):
    volume, slope = _ramp()
    thinner = resample(volume, spacing)
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in thinner.voxels.shape], indexing="ij"), -1)
    expected = transform_points(thinner.ijk_to_ras, kji[..., ::-1]) @ slope
    inside = (slice(2, -2),) * 3  # smoothing bends a ramp at the edge of the image
    np.testing.assert_allclose(thinner.voxels[inside], expected[inside], atol=0.05)
    if resample is on_cubes:
        np.testing.assert_allclose(thinner.spacing_mm, spacing)


def test_thin_keeps_within_the_limit_and_in_place():
    volume, slope = _ramp()
    thinner = thin(volume, 5000)
    assert thinner.voxels.size <= 5000
    assert thinner.voxels.dtype == np.float32
    kji = np.stack(np.meshgrid(*[np.arange(n) for n in thinner.voxels.shape], indexing="ij"), -1)
    np.testing.assert_allclose(thinner.voxels, transform_points(thinner.ijk_to_ras, kji[..., ::-1]) @ slope, atol=0.05)


def test_shading_is_evened_out():
    rng = np.random.default_rng(0)
    pattern = 300.0 + 200.0 * (rng.random((40, 48, 48)) > 0.5)
    shade = np.exp(np.linspace(-0.5, 0.5, 48))[None, None, :]
    volume = Volume((pattern * shade).astype(np.float32), (0, 0, 0), (3, 3, 3), np.eye(3), Modality.MR)
    evened, signal = even_out_mr(volume)
    left, right = evened.voxels[:, :, 6:12].mean(), evened.voxels[:, :, -12:-6].mean()
    assert signal.voxels.all()
    assert abs(left / right - 1) < 0.15  # it was a factor of 2.1


def test_band_lies_near_bone_and_under_the_skin():
    n = np.stack(np.meshgrid(*[np.arange(60) - 29.5] * 3, indexing="ij"), -1)
    r = np.linalg.norm(n, axis=-1)  # mm from the middle
    hu = np.where(r < 15, 600.0, np.where(r < 20.5, 50.0, -1000.0)).astype(np.float32)
    volume = Volume(hu, (0, 0, 0), (1, 1, 1), np.eye(3), Modality.CT)
    band = near_bone_under_skin(volume, reach_mm=4.0, air_margin_mm=2.0)
    assert band[r < 17.5].all()
    assert not band[r > 19.6].any()
    assert not near_bone_under_skin(volume, reach_mm=20.0, air_margin_mm=3.0)[r > 18.7].any()


def test_samples_spread_over_the_whole_mask(body: BodyPair):
    """The first points drawn must not all be of the lowest slices, also when most of the mask is taken."""
    mask = body.ct.voxels > -400
    samples = draw_samples(body.ct, body.ct, mask, int(0.5 * mask.sum()), 0, mr=body.mr, ct_to_mr_ras=body.ct_to_mr_ras)
    kji = np.argwhere(mask)
    middle = transform_points(body.ct.ijk_to_ras, kji.mean(0)[::-1])
    np.testing.assert_allclose(samples.points_ras.mean(0), middle, atol=4.0)


def test_crop_holds_what_the_mr_shows(body: BodyPair):
    crop = crop_to_overlap(body.ct, body.mr, body.ct_to_mr_ras, margin_mm=0.0)
    assert np.all(np.array(crop.shape_ijk) <= np.array(body.ct.shape_ijk))
    lower = transform_points(body.ct.ras_to_ijk, crop.origin_ras)
    np.testing.assert_allclose(lower, np.round(lower), atol=1e-6)


# ---------------------------------------------------------------------- turns
def test_a_pose_moved_away_is_as_far_off_as_asked():
    centre = np.array([10.0, -20.0, 30.0])
    pose = rigid_about((1, 2, 3), rotation_about((1, 0, 1), 50.0), (4, 5, 6))
    rng = np.random.default_rng(0)
    steps = [moved_away(pose, centre, 7.0, 5.0, rng) @ invert_rigid(pose) for _ in range(20)]
    shifts = np.array([transform_points(step, centre) - centre for step in steps])
    assert np.allclose(np.linalg.norm(shifts, axis=1), 7.0)
    assert np.allclose([rotation_angle_deg(step) for step in steps], 5.0)
    assert np.linalg.norm(shifts.mean(axis=0)) < 4.0, "in all directions"


def _nearest_deg(turns: np.ndarray, wanted: np.ndarray) -> float:
    cosine = (np.einsum("nij,ij->n", turns, wanted) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).min())


def test_every_small_turn_has_a_neighbour_in_the_grid():
    turns = turns_within(60.0, 20.0)
    np.testing.assert_allclose(turns[0], np.eye(3), atol=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(300):
        assert _nearest_deg(turns, rotation_about(rng.normal(size=3), 50.0 * rng.random() ** (1 / 3))) < 12.5


def test_every_turn_at_all_has_a_neighbour_in_the_whole_grid():
    small, cube = turns_around_each_of_the_cube(24.0), cube_turns()
    turns = np.einsum("nij,mjk->nmik", small, cube).reshape(-1, 3, 3)
    np.testing.assert_allclose(
        np.einsum("nji,njk->nik", turns, turns), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9
    )
    # Evenly: no two closer than the lattice has them but at the seams, and not many more than the volume needs.
    assert len(turns) < 1.15 * 8 * np.pi**2 / (np.radians(24.0) ** 3 / 2)
    # The cube's own turns come first.
    assert np.all(np.isclose(np.abs(turns[:24]), 0, atol=1e-9) | np.isclose(np.abs(turns[:24]), 1, atol=1e-9))
    # At the seams between the cells of the cube's turns the lattices do not meet: up to half a step more there.
    away = [_nearest_deg(turns, wanted) for wanted in Rotation.random(300, rng=1).as_matrix()]
    assert max(away) < 20.0
    assert np.mean(away) < 11.0
