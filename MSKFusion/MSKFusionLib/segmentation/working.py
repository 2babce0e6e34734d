"""The grid that bones are found and separated on: axes along right, anterior and superior, cubic voxels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from ..frames import FloatArray, transform_points
from ..volume import Modality, Volume

#: Value of what lies outside the image: air.
OUTSIDE_HU = -1000.0


def straight_grid(lower_ras: ArrayLike, upper_ras: ArrayLike, spacing_mm: float, dtype: type = np.int16) -> Volume:
    """Return an empty volume whose axes i, j, k run to the right, to the front and to the head.

    Parameters
    ----------
    lower_ras, upper_ras
        Corners of the box in RAS mm that the voxel centres cover.
    """
    lower, upper = np.asarray(lower_ras, dtype=float), np.asarray(upper_ras, dtype=float)
    count = np.maximum(np.ceil((upper - lower) / spacing_mm).astype(int) + 1, 1)
    # One value, no memory: only the geometry of this volume is used.
    voxels: NDArray[np.generic] = np.broadcast_to(np.zeros((), dtype=dtype), tuple(int(n) for n in count[::-1]))
    return Volume(voxels, lower, np.full(3, float(spacing_mm)), np.eye(3), name="working grid")


def image_box_ras(volume: Volume) -> tuple[FloatArray, FloatArray]:
    """Return the corners (lower, upper) in RAS of the box around all voxel centres."""
    corners = volume.corners_ras()
    return corners.min(axis=0), corners.max(axis=0)


def prefiltered(ct: Volume, spacing_mm: float) -> Volume:
    """Return the CT averaged over whole voxels so that it can be sampled every `spacing_mm` without aliasing."""
    factors = [max(1, int(spacing_mm / s + 0.05)) for s in ct.spacing_mm]
    if max(factors) == 1:
        return ct
    small = sitk.BinShrink(sitk.Cast(ct.to_sitk(), sitk.sitkFloat32), factors)
    return Volume.from_sitk(small, modality=ct.modality, name=ct.name)


def sample_ct(ct: Volume, grid: Volume) -> NDArray[np.float32]:
    """Return the CT in HU at the voxels of `grid` (linear), air where the image ends."""
    smooth = prefiltered(ct, float(grid.spacing_mm.min()))
    voxels: NDArray[np.float32] = _resampled(smooth, grid, sitk.sitkLinear, OUTSIDE_HU)
    return voxels


def sample_nearest(labels: NDArray[np.generic], grid: Volume, target: Volume) -> NDArray[np.uint8]:
    """Return the labels on `grid` at the voxels of `target` (nearest), 0 outside."""
    voxels: NDArray[np.uint8] = _resampled(on_grid(labels, grid), target, sitk.sitkNearestNeighbor, 0.0)
    return voxels


def sample_linear(values: NDArray[np.generic], grid: Volume, target: Volume, fill: float = 0.0) -> NDArray[np.float32]:
    """Return values on `grid` at the voxels of `target` (linear), `fill` outside."""
    voxels: NDArray[np.float32] = _resampled(on_grid(values, grid), target, sitk.sitkLinear, fill)
    return voxels


def on_grid(voxels: NDArray[np.generic], grid: Volume) -> Volume:
    """Return `voxels` with the geometry of `grid`."""
    return replace(grid, voxels=voxels, modality=Modality.UNKNOWN)


def indices_of(points_ras: ArrayLike, grid: Volume) -> FloatArray:
    """Return continuous array indices (..., 3) in the order k, j, i of RAS points."""
    return transform_points(grid.ras_to_ijk, points_ras)[..., ::-1]


def _resampled(image: Volume, target: Volume, interpolator: int, fill: float) -> NDArray[Any]:
    """Return an image at the voxels of `target`: in single precision where it is interpolated, else in its own type."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(interpolator)
    resampler.SetDefaultPixelValue(fill)
    if interpolator != sitk.sitkNearestNeighbor:
        resampler.SetOutputPixelType(sitk.sitkFloat32)
    flip = np.array([-1.0, -1.0, 1.0])
    resampler.SetSize([int(n) for n in target.shape_ijk])
    resampler.SetOutputOrigin((target.origin_ras * flip).tolist())
    resampler.SetOutputSpacing(target.spacing_mm.tolist())
    resampler.SetOutputDirection((target.directions_ras * flip[:, None]).ravel().tolist())
    voxels: NDArray[Any] = sitk.GetArrayFromImage(resampler.Execute(image.to_sitk()))
    return voxels
