"""The vertebral bodies between their endplates: what is marrow though it is no denser than muscle.

Each disc's two endplates are traced as smooth surfaces over the disc plane (the steepest rise of density away from
the disc). Between the endplates of one level and inside the column's outline everything is body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..frames import FloatArray, unit
from ..volume import Volume
from .discs import BodyColumn, Disc
from .spine_axis import SpineAxis, sample_along
from .working import indices_of

_HALF_A, _HALF_B, _HALF_C = 32, 28, 13
_STEP_C = 0.5


@dataclass(frozen=True, eq=False)
class DiscSpace:
    """The space between two endplates.

    Parameters
    ----------
    centre_ras, right, anterior, up
        Frame of the disc plane.
    above_mm, below_mm
        Heights (over `up`) of the endplate above and below at (anterior, right) offsets of whole mm
        from -28..28, -32..32.
    """

    centre_ras: FloatArray
    right: FloatArray
    anterior: FloatArray
    up: FloatArray
    above_mm: FloatArray
    below_mm: FloatArray

    def heights(self, points_ras: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return for points (N, 3) their height over the plane and that of the endplates above and below there."""
        offset = points_ras - self.centre_ras
        a, b, c = offset @ self.right, offset @ self.anterior, offset @ self.up
        j = np.clip(np.round(b).astype(int) + _HALF_B, 0, 2 * _HALF_B)
        i = np.clip(np.round(a).astype(int) + _HALF_A, 0, 2 * _HALF_A)
        return c, self.above_mm[j, i], self.below_mm[j, i]


def disc_space(disc: Disc, axis: SpineAxis, half_depth_mm: float, hu: NDArray[np.float32], grid: Volume) -> DiscSpace:
    """Trace the endplates on both sides of a disc plane."""
    n = int(np.clip(round(disc.step), 0, len(axis) - 1))
    up = disc.normal_ras
    right = unit(axis.right[n] - (axis.right[n] @ up) * up)
    anterior = np.cross(up, right)
    a, b = np.arange(-_HALF_A, _HALF_A + 1.0), np.arange(-_HALF_B, _HALF_B + 1.0)
    c = np.arange(-_HALF_C, _HALF_C + 1e-6, _STEP_C)
    points = (
        disc.centre_ras
        + c[:, None, None, None] * up
        + b[None, :, None, None] * anterior
        + a[None, None, :, None] * right
    )
    where = indices_of(points, grid).reshape(-1, 3).T
    values = ndimage.map_coordinates(hu, where, order=1, mode="nearest").reshape(len(c), len(b), len(a))
    values = np.clip(values, -50, 600)
    rise = ndimage.gaussian_filter(values, (1.2 / _STEP_C, 2.0, 2.0), order=(1, 0, 0))
    inside = (b[:, None] / (0.8 * half_depth_mm)) ** 2 + (a[None] / 17.0) ** 2 < 1
    surfaces = []
    for sign in (1.0, -1.0):
        gain = sign * rise
        side = (sign * c > 0.4) & (sign * c < 11)
        mean = np.where(side, gain[:, inside].mean(axis=1), -np.inf)
        # Where the endplate is as a whole; the nearer of two ridges, as the far one is the next endplate's other side.
        # Where nothing rises, at the image's border beside a single vertebra, the least fall is all there is.
        strong = mean >= min(0.6 * mean.max(), mean.max())
        start = c[strong][np.abs(c[strong]).argmin()]
        near = strong & (np.abs(c - start) < 3)
        centre = c[near][mean[near].argmax()]
        local = np.where((np.abs(c - centre) < 4.5) & (sign * c > 0)[:], 1.0, 0.0)[:, None, None]
        # A quadratic penalty keeps the surface near its mean where the picture says little.
        smooth = (
            ndimage.gaussian_filter(gain, (0, 1.5, 1.5))
            - 0.01 * np.abs(mean.max()) * ((c - centre) ** 2)[:, None, None]
        )
        height = c[np.where(local > 0, smooth, -np.inf).argmax(axis=0)]
        height = np.where(inside, height, np.nan)
        surfaces.append(_extended(height, 3.0))
    above, below = surfaces
    middle = (above + below) / 2
    gap = np.maximum(above - below, 1.0)
    return DiscSpace(disc.centre_ras, right, anterior, up, middle + gap / 2, middle - gap / 2)


def _extended(height: FloatArray, sigma: float) -> FloatArray:
    """Smooth a height map with gaps and carry it on beyond its rim."""
    known = np.isfinite(height)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = height[tuple(nearest)]
    return np.asarray(ndimage.gaussian_filter(ndimage.median_filter(filled, 5), sigma))


def half_width_mm(axis: SpineAxis, column: BodyColumn, hu: NDArray[np.float32], grid: Volume) -> FloatArray:
    """Return half the width of the bodies per step."""
    reach = np.arange(6.0, 36.0)
    widths = []
    for sign in (-1.0, 1.0):
        weight = np.zeros((len(axis), len(reach)))
        for share in (-0.3, 0.0, 0.3):
            depth = column.middle_mm + share * (column.front_mm - column.back_mm)
            points = axis.points_ras(np.arange(len(axis))[:, None], sign * reach[None], depth[:, None])
            where = indices_of(points, grid).reshape(-1, 3).T
            values = ndimage.map_coordinates(hu, where, order=1, mode="nearest").reshape(weight.shape)
            weight += np.clip((values - 60.0) / 200.0, 0, 1) / 3
        window = round(30 / axis.step_mm) | 1
        strong = ndimage.gaussian_filter1d(ndimage.percentile_filter(weight, 80, size=(window, 1)), 6.0, axis=0)
        plateau = np.median(strong[:, :8], axis=1, keepdims=True)
        outside = strong[:, 8:] < 0.5 * plateau
        widths.append(np.where(outside.any(axis=1), reach[8 + outside.argmax(axis=1)], 26.0))
    half = np.clip(np.mean(widths, axis=0), 13, 30)
    return np.asarray(ndimage.gaussian_filter1d(half, 15.0 / axis.step_mm, mode="nearest"))


__all__ = ["DiscSpace", "disc_space", "half_width_mm", "sample_along"]
