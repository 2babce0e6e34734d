"""A tilted gantry and uneven steps are put right: a body of known centre and volume is found where it is."""

import numpy as np
import pytest

from dicom_writer import noise, straight_positions, write_series
from MSKFusionLib.dicom import read_series
from MSKFusionLib.frames import rotation_about, transform_points

CENTRE = np.array([4.0, -3.0, 41.0])  # LPS
RADII = np.array([17.0, 13.0, 15.0])
AIR, BODY = -1000.0, 500.0


def ellipsoid_slices(positions, row, column, spacing, size):
    """Sample the ellipsoid's slices with 3x3x3 points a voxel, as a scanner averages over it."""
    j, i = np.mgrid[: size[1], : size[0]].astype(float)
    normal = np.cross(row, column)
    pictures = []
    for position in positions:
        share = np.zeros((size[1], size[0]))
        offsets = (-1 / 3, 0, 1 / 3)
        for a in offsets:
            for b in offsets:
                for c in offsets:
                    x = position + (i + a)[..., None] * spacing[0] * row + (j + b)[..., None] * spacing[1] * column
                    x = x + c * normal  # 1 mm thick
                    share += (((x - CENTRE) / RADII) ** 2).sum(-1) <= 1
        pictures.append(AIR + (BODY - AIR) * share / 27)
    return np.round(np.array(pictures)).astype(np.int16)


def check(volume):
    share = (volume.voxels - AIR) / (BODY - AIR)
    assert share.min() >= 0
    assert share.max() <= 1
    k, j, i = np.nonzero(share > 0)
    weight = share[k, j, i]
    centre = np.average(transform_points(volume.ijk_to_ras, np.stack([i, j, k], 1)), axis=0, weights=weight)
    np.testing.assert_allclose(centre, CENTRE * [-1, -1, 1], atol=0.05)
    assert weight.sum() * volume.voxel_mm3 == pytest.approx(4 / 3 * np.pi * RADII.prod(), rel=0.01)
    # The outline too: second moments of an ellipsoid are r^2 / 5 (plus those of a voxel).
    points = transform_points(volume.ijk_to_ras, np.stack([i, j, k], 1)) * [-1, -1, 1] - CENTRE
    moments = np.average(points**2, axis=0, weights=weight)
    np.testing.assert_allclose(moments, RADII**2 / 5, rtol=0.04)


EVEN = np.arange(25) * 2.0
UNEVEN = np.cumsum([0.0, *([2.0] * 8), 0.7, *([2.9] * 11)])


@pytest.mark.parametrize("heights", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("tilt", [0.0, 18.5, -25.0])
@pytest.mark.parametrize("turn", [0.0, 33.0])
def test_body_stays_where_it_is(tmp_path, heights, tilt, turn):
    """The slices are tilted by `tilt`, the table moves along z, the whole is turned about z by `turn`."""
    about = rotation_about((0, 0, 1), turn)
    axes = about @ rotation_about((1, 0, 0), tilt)
    row, column = axes[:, 0], axes[:, 1]
    spacing, size = (1.1, 0.9), (56, 60)
    middle = CENTRE - row * spacing[0] * size[0] / 2 - column * spacing[1] * size[1] / 2
    positions = middle + np.outer(heights - heights[-1] / 2, [0, 0, 1])
    pictures = ellipsoid_slices(positions, row, column, spacing, size)
    if tilt == 0 and turn == 0 and heights is EVEN:
        assert pictures[[0, -1]].max() == AIR
    write_series(tmp_path, pictures, positions, row=row, column=column, spacing_mm=spacing)
    volume = read_series(tmp_path)
    check(volume)
    text = " ".join(volume.provenance.steps)
    assert ("gantry tilt" in text) == (tilt != 0)
    assert ("uneven" in text) == (heights is UNEVEN)
    assert ("resampled" in text) == (tilt != 0 or heights is UNEVEN)
    assert volume.voxels.dtype == np.int16
    if tilt:
        assert volume.provenance.details["tilt_deg"] == pytest.approx(abs(tilt), abs=0.01)


def test_sideways_jumps(tmp_path):
    """Slices reconstructed about different centres, each saying so, still show the body in its place."""
    rng = np.random.default_rng(3)
    row, column = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    positions = CENTRE - [28, 28, 25] + np.outer(np.arange(25) * 2.0, [0, 0, 1])
    positions[:, :2] += rng.uniform(-3, 3, (25, 2))
    write_series(tmp_path, ellipsoid_slices(positions, row, column, (1.0, 1.0), (56, 56)), positions, spacing_mm=(1, 1))
    volume = read_series(tmp_path)
    check(volume)
    assert "shifted sideways" in volume.provenance.steps[0]


def test_thicker_slices_further_apart_are_no_hole(tmp_path):
    """Head protocol: 2.5 mm through the base of the skull, 5 mm above, each slice as thick as its step."""
    steps = [2.5] * 8 + [3.75] + [5.0] * 8
    heights = np.cumsum([0.0, *steps])
    positions = straight_positions(18, 1.0)
    positions[:, 2] = heights
    thickness = [2.5] * 9 + [5.0] * 9
    write_series(tmp_path, noise(18), positions, each=lambda k: {"SliceThickness": str(thickness[k])})
    volume = read_series(tmp_path)
    assert "uneven slice steps of 2.50 to 5.00 mm" in volume.provenance.steps[0]
    assert volume.spacing_mm[2] == pytest.approx(2.5, rel=0.02)
    assert volume.extent_mm[2] - volume.spacing_mm[2] == pytest.approx(heights[-1])


@pytest.mark.parametrize(
    "steps",
    [[2, 3, 2.4, 2.9, 3.3, 2.2, 2.6], [4.0, 4, 4, 1.1, 7, 7, 7], [3, 3, 3, 4.8, 3, 3], [1, 1, 1, 1, 1, 1.4, 1, 1]],
    ids=["irregular", "two regions", "one wide", "jump"],
)
def test_uneven_steps_that_are_no_multiples(tmp_path, steps):
    positions = straight_positions(len(steps) + 1, 1.0)
    positions[:, 2] = np.cumsum([0.0, *steps])
    write_series(tmp_path, noise(len(steps) + 1), positions)
    volume = read_series(tmp_path)
    assert "uneven" in volume.provenance.steps[0]
    assert (volume.shape_ijk[2] - 1) * volume.spacing_mm[2] == pytest.approx(sum(steps))
    assert np.array_equal(volume.voxels[0], noise(len(steps) + 1)[0])
    assert np.array_equal(volume.voxels[-1], noise(len(steps) + 1)[-1])


def test_linear_image_is_reproduced(tmp_path):
    """Linear interpolation gives back a linear function of space exactly, wherever slices reach."""

    def value(lps):
        return 3 * lps[..., 0] + 2 * lps[..., 1] - 4 * lps[..., 2]

    heights = UNEVEN
    axes = rotation_about((1, 0, 0), 20)
    positions = np.outer(heights, [0, 0, 1.0])
    j, i = np.mgrid[:30, :20].astype(float)
    grid = i[..., None] * 0.7 * axes[:, 0] + j[..., None] * 0.8 * axes[:, 1]
    pictures = np.array([np.round(value(grid + p)) for p in positions]).astype(np.int16)
    write_series(tmp_path, pictures, positions, row=axes[:, 0], column=axes[:, 1])
    volume = read_series(tmp_path)
    k, j, i = np.nonzero(volume.voxels > -999)
    lps = transform_points(volume.ijk_to_ras, np.stack([i, j, k], 1)) * [-1, -1, 1]
    along, starts = lps @ axes[:, 1], positions @ axes[:, 1]
    inside = (along >= starts.max()) & (along <= starts.min() + 29 * 0.8)  # within every slice
    assert inside.sum() > 3000
    assert np.abs(volume.voxels[k, j, i] - value(lps))[inside].max() <= 1.0 + 1e-6


def test_a_tilt_named_but_not_seen_is_said(tmp_path):
    write_series(tmp_path, noise(5), straight_positions(5, 2.0), GantryDetectorTilt="15")
    volume = read_series(tmp_path)
    assert "names a gantry tilt of 15 degrees" in volume.provenance.steps[0]
