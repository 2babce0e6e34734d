"""Slices that metal has spoilt, bridged from those around them: for finding where things are, not for their borders."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..frames import FloatArray, transform_points
from ..volume import Volume
from .bone_mask import METAL_HU

#: A slice with so much metal is spoilt: by streaks as fine as noise, or by wide shadows that no measure of noise tells.
_LEAST_METAL_MM2 = 10.0
#: What is bridged at most: longer runs hide what cannot be guessed, such as a disc.
_LONGEST_MM = 22.0


def without_streaks(ct: Volume, lower_ras: FloatArray, upper_ras: FloatArray) -> Volume:
    """Return a CT in which slices with metal are blends of the nearest slices without; the same CT where there are none.

    A disc is found by what is dark between two endplates, and so is a vertebra whose upper half lies behind the streaks of its screws.
    Streaks lie in the slices that metal lies in; a blend of both neighbours shows no edge that is not there.

    Parameters
    ----------
    lower_ras, upper_ras
        Corners of the box, mm, in which metal is looked for.
    """
    axis = 2 - int(np.abs(ct.directions_ras[2]).argmax())  # of the array: slices lie across the patient
    box = _box(ct, lower_ras, upper_ras)
    part = np.moveaxis(ct.voxels[box], axis, 0)
    first = box[axis].start
    spacing = np.delete(ct.spacing_mm[::-1], axis)
    metal_mm2 = np.array([np.count_nonzero(s >= METAL_HU) for s in part]) * float(np.prod(spacing))
    if not (metal_mm2 > _LEAST_METAL_MM2).any() or (metal_mm2 > 0).all():
        return ct
    runs, count = ndimage.label(ndimage.binary_dilation(metal_mm2 > _LEAST_METAL_MM2))
    thick = float(ct.spacing_mm[::-1][axis])
    slices = None
    for n in range(1, count + 1):
        run = np.flatnonzero(runs == n)
        before, after = int(run[0]) - 1, int(run[-1]) + 1
        if len(run) * thick > _LONGEST_MM or before < 0 or after >= len(part):
            continue
        if slices is None:
            voxels = np.array(ct.voxels)
            slices = np.moveaxis(voxels, axis, 0)
        low, high = slices[first + before].astype(np.float32), slices[first + after].astype(np.float32)
        for s in run:
            share = (s - before) / (after - before)
            slices[first + s] = low + share * (high - low)
    return ct if slices is None else ct.with_voxels(voxels)


def _box(ct: Volume, lower_ras: FloatArray, upper_ras: FloatArray) -> tuple[slice, slice, slice]:
    """Return the slices (k, j, i) of the smallest box of voxels that holds a box in RAS."""
    corners = np.array(np.meshgrid(*zip(lower_ras, upper_ras, strict=True))).reshape(3, -1).T
    ijk = transform_points(ct.ras_to_ijk, corners)
    shape = np.array(ct.shape_ijk)
    low = np.clip(np.floor(ijk.min(axis=0)).astype(int), 0, shape - 1)
    high = np.clip(np.ceil(ijk.max(axis=0)).astype(int) + 1, low + 1, shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i
