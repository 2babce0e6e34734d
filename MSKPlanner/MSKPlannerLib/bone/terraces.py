"""How far a surface made of a label alone may be off: where it runs along the voxels it is known to a step of theirs only.

A label of a face that is nearly parallel to the slices is a flight of terraces, each as long as the slice's distance over the slope.
Smoothing takes the steps away where the terraces are short. Where they are long nothing in the label tells where within a voxel
the face lies, and a flat terrace half a voxel too high looks as right as any other surface. Edges are no such places: smoothing
rounds them, which puts the surface too far in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from MSKFusionLib.frames import FloatArray

from .depth_field import signed_distance
from .smooth_bone import SmoothBone, smoothing_mm

#: Nine times out of ten within this many standard deviations.
_QUANTILE = 1.645
#: Standard deviation of the surface as a share of the voxel across it: where terraces are shorter than so many widths of the
#: smoothing, and on long ones by the voxel over the smoothing, up to that of a place that may be anywhere in a voxel. Measured on
#: six generated vertebrae (0.17 on their long terraces) and on plane faces (0.26), voxels of 0.7 to 1.5 mm (docs/measured/bones-in-ct.md).
_SHORT_SHARE, _LONG_SHARE, _ANYWHERE_SHARE = 0.07, 0.22, 0.29
_SHORT_WIDTHS, _LONG_WIDTHS = 2.5, 6.5
#: The least clearances that screws are held to were tried on surfaces that are as sure as this.
USUAL_DOUBT_MM = 0.2
#: What is moved is blurred over its neighbourhood (standard deviation).
_SPREAD_MM = 0.7


def terrace_doubt_mm(outward: FloatArray, spacing_mm: FloatArray) -> FloatArray:
    """Return how near (N,) in mm the true surface lies to that of a label, nine times out of ten, by which way it faces.

    Parameters
    ----------
    outward
        (N, 3) unit normals along the axes i, j, k of the label's grid.
    spacing_mm
        (3,) of the label's grid, i, j, k.
    """
    width_mm = smoothing_mm(spacing_mm)
    facing = np.abs(outward)
    # Of the three flights of terraces the longest counts; the slope is that of the surface against the terraces.
    run_mm = spacing_mm * facing / np.sqrt(np.maximum(1.0 - facing**2, 1e-6))
    # Along the terrace the smoothing is that of the other two axes.
    widths = run_mm / ((width_mm.sum() - width_mm) / 2)
    long = np.minimum(_LONG_SHARE * spacing_mm / width_mm, _ANYWHERE_SHARE)
    rise = np.clip((widths - _SHORT_WIDTHS) / (_LONG_WIDTHS - _SHORT_WIDTHS), 0.0, 1.0)
    return np.asarray(_QUANTILE * (spacing_mm * (_SHORT_SHARE + (long - _SHORT_SHARE) * rise)).max(axis=1))


def sure_bone(smooth: SmoothBone, allowed_mm: float = USUAL_DOUBT_MM) -> tuple[SmoothBone, float]:
    """Return a label's bone with its surface moved inward by what its doubt exceeds the allowed one, and the most it was moved (mm).

    Clearances measured in it are such as they would be from a surface that is everywhere sure to `allowed_mm`.
    """
    at, _, outward_ras = smooth.surface_points()
    # The normal of a place is that of its neighbourhood: single ones lean with the steps.
    total = [_spread(smooth, at, outward_ras[:, n]) for n in range(3)]
    normal = np.stack([t.ravel()[at] for t in total], axis=-1)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    excess_mm = np.maximum(terrace_doubt_mm(normal @ smooth.directions_ras, smooth.spacing_mm) - allowed_mm, 0.0)
    most_mm = float(excess_mm.max(initial=0.0))
    if most_mm == 0.0:
        return smooth, 0.0
    moved_mm = _spread(smooth, at, excess_mm) / np.maximum(_spread(smooth, at, np.ones(len(at))), 1e-6)
    spacing_kji = smooth.spacing_mm[::-1]
    # What is moved are true distances; far from the surface the share of neighbours is not known, and does not count.
    level = signed_distance(smooth.level, spacing_kji) - np.clip(moved_mm, 0.0, most_mm)
    return replace(smooth, level=signed_distance(level.astype(np.float32), spacing_kji)), most_mm


def _spread(smooth: SmoothBone, at: np.ndarray, values: FloatArray) -> np.ndarray:
    """Return values at surface points blurred over the grid."""
    image = np.zeros_like(smooth.level)
    image.ravel()[at] = values
    return np.asarray(ndimage.gaussian_filter(image, _SPREAD_MM / smooth.spacing_mm[::-1], truncate=3.0))
