"""Values of an image between its voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .frames import FloatArray, transform_points
from .volume import Volume


def sample_volume(volume: Volume, points_ras: FloatArray) -> NDArray[np.float32]:
    """Return trilinear values (...,) of a volume at RAS points (..., 3), the edge's value beyond its edge."""
    return sample_at_indices(volume, transform_points(volume.ras_to_ijk, points_ras))


def sample_at_indices(volume: Volume, ijk: FloatArray) -> NDArray[np.float32]:
    """Return trilinear values (...,) of a volume at continuous indices (..., 3), the edge's value beyond its edge."""
    low = np.floor(ijk.reshape(-1, 3).min(axis=0)).astype(int)
    high = np.ceil(ijk.reshape(-1, 3).max(axis=0)).astype(int) + 1
    last = np.array(volume.shape_ijk) - 1
    low, high = np.clip(low, 0, last), np.clip(high, 0, last)
    part = volume.voxels[low[2] : high[2] + 1, low[1] : high[1] + 1, low[0] : high[0] + 1]
    return interpolate(np.ascontiguousarray(part, dtype=np.float32), ijk - low)


def interpolate(voxels: NDArray[np.float32], ijk: ArrayLike) -> NDArray[np.float32]:
    """Return trilinear values (...,) of a contiguous (K, J, I) array at continuous indices (..., 3), clamped to the grid.

    Plain gathers on the flat array: four to six times as fast as `scipy.ndimage.map_coordinates`.
    """
    q = np.asarray(ijk)
    shape = q.shape[:-1]
    # A row for each axis: whole rows are worked on several times as fast as columns of three.
    q = np.ascontiguousarray(q.reshape(-1, 3).T, dtype=np.float32)
    step_j = voxels.shape[2]
    step_k = voxels.shape[1] * step_j
    index, shares = np.zeros(q.shape[1], dtype=np.int32), []
    for row, count, step in zip(q, voxels.shape[::-1], (1, step_j, step_k), strict=True):
        np.clip(row, 0, np.float32(count - 1), out=row)
        base = row.astype(np.int32)
        np.minimum(base, max(count - 2, 0), out=base)
        shares.append(row - base)
        index += base * np.int32(step)
    x, y, z = shares
    flat = voxels.ravel()

    def along_i(offset: int) -> NDArray[np.float32]:
        a = flat.take(index + offset, mode="clip")
        return np.asarray(a + (flat.take(index + (offset + 1), mode="clip") - a) * x)

    low = along_i(0)
    low += (along_i(step_j) - low) * y
    high = along_i(step_k)
    high += (along_i(step_k + step_j) - high) * y
    return np.asarray(low + (high - low) * z).reshape(shape)
