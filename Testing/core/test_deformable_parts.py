"""The parts of a deformable registration, each against what is known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKFusionLib.registration.coupled_convex import search_shifts, shifts_within
from MSKFusionLib.registration.dense_field import DenseFieldMap
from MSKFusionLib.registration.field_search import disagreement_mm
from MSKFusionLib.registration.instance_optimisation import ControlField, Smoothness, refine, sample
from MSKFusionLib.registration.mind import CHANNELS, mind_ssc
from MSKFusionLib.registration.point_map import voxel_points_ras
from MSKFusionLib.torch_device import choose_device
from MSKFusionLib.volume import Volume

SHAPE = (20, 24, 28)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def texture(seed: int, shape=SHAPE) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5).astype(np.float32) * 10


def tensor(a: np.ndarray):
    return pytest.importorskip("torch").from_numpy(np.ascontiguousarray(a, dtype=np.float32))[None, None]


# ---------------------------------------------------------------------- descriptors
@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 50.0), st.floats(-500.0, 500.0), st.booleans())
def test_descriptors_do_not_see_scale_offset_or_inversion(torch, scale, offset, inverted):
    image = texture(1)
    changed = (-scale if inverted else scale) * image + offset
    assert torch.allclose(mind_ssc(tensor(image)), mind_ssc(tensor(changed)), atol=2e-2)


def test_descriptors_tell_places_apart(torch):
    found = mind_ssc(tensor(texture(1)))
    assert found.shape == (1, CHANNELS, *SHAPE)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    # The most alike pair of patches is 1 everywhere.
    assert torch.allclose(found.amax(dim=1), torch.ones(1, *SHAPE))
    other = mind_ssc(tensor(texture(2)))
    assert float((found - other).square().mean()) > 0.05


def test_descriptors_move_with_the_image(torch):
    image = texture(1)
    moved = np.roll(image, (2, -1, 3), axis=(0, 1, 2))
    inner = (slice(None), slice(None), *[slice(7, -7)] * 3)
    expected = mind_ssc(tensor(image)).roll((2, -1, 3), dims=(2, 3, 4))
    assert torch.allclose(mind_ssc(tensor(moved))[inner], expected[inner], atol=2e-2)


# ---------------------------------------------------------------------- the wide search
def test_the_search_finds_a_known_shift(torch):
    image = texture(3)
    moved = np.roll(image, (2, -1, 3), axis=(0, 1, 2))
    ones = torch.ones(1, 1, *SHAPE)
    found = search_shifts(mind_ssc(tensor(image)), mind_ssc(tensor(moved)), ones, ones, ones, 4, lambda *_: None)
    inner = found[0, :, 6:-6, 6:-6, 6:-6].reshape(3, -1)
    assert inner.median(dim=1).values.tolist() == pytest.approx([2, -1, 3], abs=0.05)


def test_shifts_are_a_ball(torch):
    shifts = shifts_within(3)
    assert [0, 0, 0] in shifts.tolist()
    assert [3, 0, 0] in shifts.tolist()
    assert [3, 1, 0] not in shifts.tolist()
    assert len(shifts) == 123


def test_what_shows_nothing_stays(torch):
    ones, none = torch.ones(1, 1, *SHAPE), torch.zeros(1, 1, *SHAPE)
    image = mind_ssc(tensor(texture(3)))
    found = search_shifts(image, image, ones, none, ones, 2, lambda *_: None)
    assert bool(torch.isfinite(found).all())


# ---------------------------------------------------------------------- the fine fit
def test_the_fit_follows_a_shift_and_leaves_bone_still(torch):
    image = texture(4, (28, 28, 28))
    moved = np.roll(image, 1, axis=2)
    free = np.ones(image.shape, dtype=np.float32)
    free[:, :, :6] = 0.0
    fixed, moving, seen = mind_ssc(tensor(image)), mind_ssc(tensor(moved)), torch.ones(1, 1, *image.shape)
    field = ControlField(torch.zeros(1, 3, 14, 14, 14), tensor(free))
    voxels = torch.from_numpy(np.argwhere(free > 0).astype(np.float32))[::4]
    refine(fixed, moving, seen, field, voxels, Smoothness(), 40, lambda *_: None, step_mm=2.0)
    found = field.on_grid().numpy()
    assert not found[..., :6].any()
    assert np.median(found[2, 8:-8, 8:-8, 14:-6]) == pytest.approx(1.0, abs=0.25)
    assert np.abs(np.median(found[:2, 8:-8, 8:-8, 14:-6])) < 0.2


def test_a_field_and_its_reverse_agree(torch):
    free = torch.ones(1, 1, 16, 16, 16)
    there = ControlField(torch.full((1, 3, 8, 8, 8), 1.5), free)
    back = ControlField(torch.full((1, 3, 8, 8, 8), -1.5), free)
    voxels = torch.full((5, 3), 8.0)
    assert disagreement_mm(there, back, voxels, 2.0).max() < 1e-4
    assert disagreement_mm(there, there, voxels, 2.0) == pytest.approx(np.full(5, 2 * 3.0 * np.sqrt(3)), abs=1e-3)


def test_sampling_is_linear_between_voxels(torch):
    k, j, i = np.meshgrid(*[np.arange(n) for n in (5, 6, 7)], indexing="ij")
    ramp = tensor(2.0 * k - j + 0.5 * i)
    at = torch.tensor([[1.5, 2.25, 3.0], [0.0, 0.0, 6.0]])
    assert sample(ramp, at)[:, 0].tolist() == pytest.approx([3.0 - 2.25 + 1.5, 3.0], abs=1e-5)


# ---------------------------------------------------------------------- the map
def wavy(height_mm: float) -> DenseFieldMap:
    """A bump along the grid's first axis on an oblique grid, 0 at the border."""
    axes = rotation_about([1, 2, 0], 30.0)
    grid = Volume(np.zeros((21, 21, 21), np.uint8), np.array([5.0, -3.0, 8.0]), np.full(3, 2.0), axes)
    u = np.linspace(-1, 1, 21)
    bump = np.einsum("k,j,i->kji", *[np.cos(0.5 * np.pi * u) ** 2] * 3)
    return DenseFieldMap(grid, (height_mm * bump[..., None] * axes[:, 0]).astype(np.float32), COMMON)


COMMON = rigid(rotation_about([0, 1, 1], 25.0), [10.0, -20.0, 5.0])


def test_the_map_has_an_inverse_and_ends_at_its_grid():
    found = wavy(6.0)
    points = np.random.default_rng(1).uniform(-40, 60, (3000, 3))
    assert np.abs(found(found.inverse(points)) - points).max() < 0.01
    outside = np.random.default_rng(2).uniform(200, 300, (50, 3))
    assert np.allclose(found(outside), transform_points(COMMON, outside), atol=1e-9)
    middle = voxel_points_ras(found.grid)[10, 10, 10]
    expected = transform_points(COMMON, middle + 6.0 * found.grid.directions_ras[:, 0])
    assert np.allclose(found(middle), expected, atol=1e-5)


def test_the_jacobian_is_that_of_the_map():
    change = wavy(6.0).volume_changes()
    assert change[0, 0, 0] == pytest.approx(1.0, abs=1e-3)
    # The bump's steepest slope is 6 mm * pi / 2 over half its width of 20 mm.
    assert change.min() == pytest.approx(1 - 6.0 * np.pi / 2 / 20.0, abs=0.03)


def test_a_fold_is_seen():
    assert wavy(40.0).volume_changes().min() < 0


# ---------------------------------------------------------------------- the device
def test_a_device_that_is_none_is_refused(torch):
    assert choose_device("cpu") == "cpu"
    with pytest.raises(InputError, match="no device"):
        choose_device("toaster")
