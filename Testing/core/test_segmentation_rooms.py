"""A shell with gaps: its marrow is found, its canal and the openings to it are not; the truth is the shape itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.boxes import mask_box
from MSKFusionLib.segmentation.marrow import _closed
from MSKFusionLib.segmentation.other_bones import _holes
from MSKFusionLib.segmentation.rooms import inner_rooms

_SACRUM, _HIP = 3, 1
_SHAPE = (70, 50, 90)
_WALL_MM = 1.5
Mask = NDArray[np.bool_]


def _porous_sacrum(gap_mm: float, gaps: int = 14) -> tuple[NDArray[np.uint8], Mask, Mask]:
    """Return labels of 1 mm, marrow, and canal with foramina: a thick plate, a wavy canal that tapers, two pairs of openings."""
    k, j, i = np.mgrid[: _SHAPE[0], : _SHAPE[1], : _SHAPE[2]].astype(float)
    x, y, z = i - 45.0, j - 22.0, k - 34.0
    plate = 1.0 - (np.abs(x / 36) ** 4 + np.abs(y / 16) ** 4 + np.abs(z / 28) ** 4) ** 0.25
    # From 7 to 3 mm of radius, wider and narrower on the way, and open at both ends.
    canal = np.hypot(x, y + 6.0) < 5.0 + 2.0 * z / 28.0 + 0.6 * np.cos(z / 3.0)
    for side in (-1, 1):
        for height, radius in ((14.0, 4.5), (-12.0, 3.5)):
            canal |= np.hypot(x - side * 16.0, z - height) < radius
    solid = (plate > 0) & ~canal
    depth = ndimage.distance_transform_edt(solid)
    wall = solid & (depth <= _WALL_MM)
    rng = np.random.default_rng(3)
    at = np.argwhere(wall & ~ndimage.binary_dilation(canal, iterations=4))
    for centre in at[rng.choice(len(at), gaps, replace=False)]:
        wall[np.sum((np.stack([k, j, i], axis=-1) - centre) ** 2, axis=-1) < gap_mm**2] = False
    # What noise leaves of trabeculae.
    wall |= solid & (rng.random(_SHAPE) < 0.01)
    return np.where(wall, _SACRUM, 0).astype(np.uint8), solid & (depth > _WALL_MM), canal


def _filled_shares(labels: NDArray[np.uint8], marrow: Mask, canal: Mask, unseen: Mask) -> tuple[float, float]:
    found = inner_rooms(labels, _SACRUM, unseen, 1.0)
    assert not (found & (labels > 0)).any()
    outside = ~ndimage.binary_dilation(marrow, iterations=4) & ~canal
    assert not (found & outside).any()
    return float((found | (labels > 0))[marrow].mean()), float(found[canal].mean())


@pytest.mark.parametrize("gap_mm", [0.0, 2.0, 3.0])
def test_marrow_behind_gaps_is_filled_and_the_canal_is_not(gap_mm: float) -> None:
    labels, marrow, canal = _porous_sacrum(gap_mm)
    of_marrow, of_canal = _filled_shares(labels, marrow, canal, np.zeros(_SHAPE, dtype=bool))
    assert of_marrow > 0.98
    assert of_canal < 0.01


@pytest.mark.parametrize("how", ["by the grid", "askew"])
def test_bone_that_the_image_cuts_is_filled_up_to_the_cut(how: str) -> None:
    labels, marrow, canal = _porous_sacrum(2.0)
    k, _, i = np.mgrid[: _SHAPE[0], : _SHAPE[1], : _SHAPE[2]]
    first = 26
    unseen = k < first + (0.2 * (i - 45) if how == "askew" else 0)
    if how == "by the grid":
        labels, marrow, canal, unseen = labels[first:], marrow[first:], canal[first:], unseen[first:]
    labels, marrow, canal = (np.where(unseen, 0, a).astype(a.dtype) for a in (labels, marrow, canal))
    found = inner_rooms(labels, _SACRUM, unseen, 1.0)
    assert (found | (labels > 0))[marrow].mean() > 0.98
    assert found[canal].mean() < 0.01
    assert not found[unseen].any()


def test_the_joint_between_two_bones_is_no_room_of_one() -> None:
    # A joint 6 mm wide that opens by a slit: a room behind a neck, with as much of the one bone round it as of the other.
    labels = np.zeros((40, 40, 60), dtype=np.uint8)
    labels[6:34, 6:34, 8:27], labels[6:34, 6:34, 33:52] = _SACRUM, _HIP
    labels[6:9, 6:34, 27:30], labels[31:34, 6:34, 27:30] = _SACRUM, _SACRUM
    labels[6:9, 6:34, 30:33], labels[31:34, 6:34, 30:33] = _HIP, _HIP
    labels[6:34, 31:34, 27:33] = _HIP
    labels[6:34, 6:9, 27:33] = _SACRUM
    labels[18:21, 6:9, 27:33] = 0
    assert not inner_rooms(labels, _SACRUM, np.zeros(labels.shape, dtype=bool), 1.0).any()


@pytest.mark.parametrize(("radius_mm", "gap_mm", "is_marrow"), [(12, 3, True), (12, 7, False), (34, 3, False)])
def test_what_is_wider_than_marrow_or_opens_wider_than_a_gap_is_none(
    radius_mm: int, gap_mm: int, is_marrow: bool
) -> None:
    # Between ribs, in a pelvis, in a skull: large rooms behind openings.
    half = radius_mm + 10
    k, j, i = np.mgrid[-half : half + 1, -half : half + 1, -half : half + 1]
    radius = np.sqrt(k**2 + j**2 + i**2)
    shell = (np.abs(radius - radius_mm) < 1.5) & ~((np.hypot(j, i) < gap_mm) & (k > 0))
    labels = np.where(shell, _SACRUM, 0).astype(np.uint8)
    found = inner_rooms(labels, _SACRUM, np.zeros(labels.shape, dtype=bool), 1.0)
    assert found[radius < radius_mm - 4].mean() == (1.0 if is_marrow else 0.0)


def test_a_bone_that_is_not_there_has_no_rooms() -> None:
    nothing = np.zeros((9, 9, 9), dtype=np.uint8)
    assert not inner_rooms(nothing, _SACRUM, nothing > 0, 1.0).any()


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 5])
def test_closing_by_distances_is_closing_by_the_ball(radius: int) -> None:
    r = np.arange(-radius, radius + 1)
    ball = r[:, None, None] ** 2 + r[:, None] ** 2 + r**2 <= (radius + 0.3) ** 2
    mask = np.pad(np.random.default_rng(radius).random((14, 15, 16)) < 0.01, radius + 1)
    assert np.array_equal(_closed(mask, radius), ndimage.binary_closing(mask, ball))
    assert not _closed(np.zeros((9, 9, 9), bool), radius).any()


def test_holes_of_a_plane_are_those_of_the_plane_cut_down_to_its_bone() -> None:
    rng = np.random.default_rng(0)
    for n in range(60):
        plane = np.zeros((30, 34), bool)
        # Walls that reach the image's border on no side, on one, on several.
        low, high = rng.integers(0, 8, 2), rng.integers(20, 35, 2)
        part = plane[low[0] : high[0], low[1] : high[1]]
        part[...] = ndimage.binary_closing(rng.random(part.shape) < 0.25 + 0.005 * n)
        plane[low[0] : high[0], low[1]] = True
        holes, at_one_side = _holes(plane)
        box = mask_box(plane, 1)
        for whole, cut in zip((holes, at_one_side), _holes(plane[box]), strict=True):
            again = np.zeros_like(plane)
            again[box] = cut
            assert np.array_equal(again, whole)
