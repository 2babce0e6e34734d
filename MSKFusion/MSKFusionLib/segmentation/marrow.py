"""The marrow inside a bone's shell, given to the bone although it may be no denser than the tissue outside."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import Box, label_boxes
from ..distance_map import signed_distance_mm

#: Gaps of the shell of twice the first are closed; of twice the second looked into.
_GAP_MM, _WIDE_GAP_MM = 1.5, 4.0
#: A place is inside where the bone is met within this distance in so many of 26 directions; looked at so many times.
_REACH_MM, _DIRECTIONS, _PASSES = 15.0, 23, 2


def filled(
    labels: NDArray[np.uint8],
    spacing_mm: float,
    first_value: int,
    sacrum: int | None = None,
    image_spacing_mm: float = 0.0,
) -> NDArray[np.uint8]:
    """Return the labels with the marrow of each vertebra (from `first_value` on) filled; canal, discs and joints stay open.

    A voxel is marrow when the level's own bone, small gaps closed, encloses it in two of the three planes: the canal is
    enclosed in one plane only. Where a thin cortex has wider gaps on opposite sides a hole is left from one to the
    other; that is marrow where the bone is met soon in nearly every direction, which is so nowhere in the canal. The
    sacrum (its value is `sacrum`) is left as it is: its canal and foramina bend with it and so may be enclosed in more
    planes than one (see `rooms`).

    Parameters
    ----------
    image_spacing_mm
        Voxels of the image that the labels come from: a shell that runs between them has gaps as large as they are.
    """
    out = labels.copy()
    radius = max(1, round(max(_GAP_MM, image_spacing_mm) / spacing_mm))
    more = round(_WIDE_GAP_MM / spacing_mm)
    pad = radius + 1

    def marrow(one: tuple[int, Box]) -> NDArray[np.bool_]:
        value, box = one
        closed = _closed(np.pad(labels[box] == value, pad), radius)
        planes = np.zeros(closed.shape, dtype=np.uint8)
        for axis in range(3):
            for n in range(closed.shape[axis]):
                at = (slice(None),) * axis + (n,)
                planes[at] += filled_plane(closed[at])
        inner = planes >= 2
        wide = _closed(np.pad(closed | inner, more + 1), more)[(slice(more + 1, -more - 1),) * 3]
        for _ in range(_PASSES):
            inner |= _surrounded(closed | inner, wide & ~inner, round(_REACH_MM / spacing_mm))
        return np.asarray(inner[(slice(pad, -pad),) * 3])

    boxes = label_boxes(labels, pad).items()
    levels = [(value, box) for value, box in boxes if value >= first_value and value != sacrum]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (value, box), inner in zip(levels, pool.map(marrow, levels), strict=True):
            out[box][inner & (out[box] == 0)] = value
    return out


def filled_plane(bone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a plane's bone with its holes; `ndimage.binary_fill_holes` grows the outside step by step, which is slow."""
    open_parts, count = ndimage.label(~bone)
    outside = np.zeros(count + 1, dtype=bool)
    for line in (open_parts[0], open_parts[-1], open_parts[:, 0], open_parts[:, -1]):
        outside[line] = True
    outside[0] = False
    return np.asarray(~outside[open_parts])


def _surrounded(solid: NDArray[np.bool_], where: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return the voxels of `where` from which `solid` is met within `reach` voxels in nearly all of 26 directions."""
    kji = np.argwhere(where)
    last = np.array(solid.shape) - 1
    met = np.zeros(len(kji), dtype=np.int32)
    for offset in product((-1, 0, 1), repeat=3):
        if offset == (0, 0, 0):
            continue
        step = np.array(offset) / np.linalg.norm(offset)
        hit = np.zeros(len(kji), dtype=bool)
        for n in range(1, reach + 1):
            at = np.rint(kji + n * step).astype(int)
            inside = ((at >= 0) & (at <= last)).all(axis=1)
            at = np.clip(at, 0, last)
            hit |= inside & solid[at[:, 0], at[:, 1], at[:, 2]]
        met += hit
    found = np.zeros(solid.shape, dtype=bool)
    found[tuple(kji[met >= _DIRECTIONS].T)] = True
    return found


def enclosed_filled(labels: NDArray[np.uint8], allowed: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the labels with what bone encloses on all sides given to the nearest of the `allowed` labels.

    Sacrum and hip bones share their walls, so that each alone does not enclose its marrow.
    """
    union = sitk.GetImageFromArray((labels > 0).astype(np.uint8))
    closed = sitk.BinaryMorphologicalClosing(sitk.ConstantPad(union, [3] * 3, [3] * 3, 0), [2] * 3)
    full = sitk.GetArrayFromImage(sitk.BinaryFillhole(closed))[3:-3, 3:-3, 3:-3] > 0
    hollow = full & (labels == 0)
    if not hollow.any():
        return labels
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    owner = labels[tuple(nearest)]
    return np.where(hollow & np.isin(owner, allowed), owner, labels).astype(np.uint8)


def _closed(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return a mask closed by a ball of so many voxels; by distances, which is faster than by the ball's own voxels.

    The mask keeps more than that away from the array's border.
    """
    reach, unit = radius + 0.3, np.ones(3)
    grown = signed_distance_mm(mask, unit) <= reach
    return np.asarray(signed_distance_mm(~grown, unit) > reach)
