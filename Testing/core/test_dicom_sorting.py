"""Slices are put in order by where they lie, whatever the files are called, and the grid is right-handed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_writer import noise, straight_positions, write_series
from MSKFusionLib.dicom import list_series, read_series
from MSKFusionLib.frames import rotation_about, transform_points
from MSKFusionLib.volume import Modality


def test_plain_series(tmp_path):
    pixels = noise(20)
    write_series(tmp_path / "a" / "b", pixels, straight_positions(20, 2.5), RescaleIntercept="-24")
    volume = read_series(tmp_path)
    assert np.array_equal(volume.voxels, pixels - 24)
    assert volume.voxels.dtype == np.int16
    assert volume.modality is Modality.CT
    np.testing.assert_allclose(volume.origin_ras, [20, 30, 5])
    np.testing.assert_allclose(volume.spacing_mm, [0.7, 0.8, 2.5])
    np.testing.assert_allclose(volume.directions_ras, np.diag([-1.0, -1, 1]))
    assert volume.provenance.steps == ()
    assert len(volume.provenance.sha256) == 64


@settings(max_examples=20, deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1),
    angle=st.floats(-180, 180),
    step=st.floats(0.4, 6),
    seed=st.integers(0, 10**6),
    lie=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_order_and_geometry_of_any_oblique_series(tmp_path_factory, axis, angle, step, seed, lie):
    """Truth: the voxel (i, j, k) lies at origin + i*dx*row + j*dy*column + k*step*(row x column)."""
    folder = tmp_path_factory.mktemp("oblique")
    rng = np.random.default_rng(seed)
    turn = rotation_about(axis, angle)
    count = int(rng.integers(3, 9))
    pixels, origin = noise(count, seed=seed), rng.uniform(-200, 200, 3)
    order = rng.permutation(count)
    write_series(
        folder,
        pixels[order],
        straight_positions(count, step, origin, turn[:, 2])[order],
        row=turn[:, 0],
        column=turn[:, 1],
        modality="MR",
        each=lambda k: {"InstanceNumber": int(rng.integers(1, 99)), "SpacingBetweenSlices": str(round(lie * step, 3))},
    )
    volume = read_series(folder)
    assert np.array_equal(volume.voxels, pixels)
    ijk = np.array([9, 11, count - 1])
    lps = origin + turn @ (ijk * [0.7, 0.8, step])
    np.testing.assert_allclose(transform_points(volume.ijk_to_ras, ijk), lps * [-1, -1, 1], atol=1e-5)
    assert np.linalg.det(volume.directions_ras) == pytest.approx(1.0)


def test_hash_knows_neither_file_names_nor_order(tmp_path):
    pixels, positions = noise(6), straight_positions(6, 3.0)
    write_series(tmp_path / "a", pixels, positions)
    order = [3, 0, 5, 1, 4, 2]
    write_series(tmp_path / "b", pixels[order], positions[order])
    write_series(tmp_path / "c", pixels, positions + [0, 0, 1])
    a, b, c = (read_series(tmp_path / name).provenance.sha256 for name in "abc")
    assert a == b
    assert a != c


def test_rounded_positions_are_even(tmp_path):
    """A step of 0.625 mm written with one decimal is still an even step."""
    positions = np.round(straight_positions(17, 0.625), 1)
    write_series(tmp_path, noise(17), positions)
    volume = read_series(tmp_path)
    assert volume.spacing_mm[2] == pytest.approx(0.625, abs=0.01)
    assert volume.provenance.steps == ()


def test_slices_of_a_series_from_feet_to_head_and_back_are_the_same_volume(tmp_path):
    pixels, positions = noise(5), straight_positions(5, 3.0)
    write_series(tmp_path / "up", pixels, positions)
    write_series(tmp_path / "down", pixels[::-1], positions[::-1])
    up, down = read_series(tmp_path / "up"), read_series(tmp_path / "down")
    assert up.sha256() == down.sha256()


def test_listing_measures_the_step(tmp_path):
    write_series(tmp_path, noise(7), straight_positions(7, 1.25), SliceThickness="5", SpacingBetweenSlices="3")
    (info,) = list_series(tmp_path)
    assert info.spacing_mm == pytest.approx((0.7, 0.8, 1.25))
    assert info.size == (10, 12, 7)
    assert info.plane == "axial"
