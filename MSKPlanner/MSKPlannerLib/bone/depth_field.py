"""How deep a point lies in a bone: a signed distance field with sub-voxel accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, unit_rows
from MSKFusionLib.interpolation import interpolate_rows

#: Step of the field's own isotropic grid.
DEFAULT_STEP_MM = 0.5
#: Round each of its points the surface is taken to be flat as far as this share of the grid's step: the points are about a step apart,
#: and the distance from the nearest of them alone is too large, in a plane by 0.03 mm on average and by 0.12 mm at most.
_FLAT_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class DepthField:
    """Signed depth of one bone on an isotropic grid that is parallel to the label grid.

    Parameters
    ----------
    depth
        (K, J, I) float32, mm, positive inside the bone.
    origin_ras, directions_ras
        RAS mm of voxel (0, 0, 0), and the unit RAS directions of i, j, k as columns.
    step_mm
        Grid step.
    """

    depth: NDArray[np.float32]
    origin_ras: FloatArray
    directions_ras: FloatArray
    step_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", np.ascontiguousarray(self.depth, dtype=np.float32))

    @property
    def shape_ijk(self) -> tuple[int, int, int]:
        """Number of grid points along i, j, k."""
        k, j, i = self.depth.shape
        return i, j, k

    @property
    def ijk_to_ras(self) -> FloatArray:
        """4x4 from grid indices to RAS mm."""
        m = np.eye(4)
        m[:3, :3] = self.directions_ras * self.step_mm
        m[:3, 3] = self.origin_ras
        return m

    def to_ijk(self, points_ras: ArrayLike) -> FloatArray:
        """Return continuous grid indices (..., 3) of RAS points (..., 3)."""
        offset = np.asarray(points_ras, dtype=np.float64) - self.origin_ras
        # One product of all rows: NumPy multiplies stacks of small matrices one by one.
        return np.asarray((offset.reshape(-1, 3) @ (self.directions_ras / self.step_mm)).reshape(offset.shape))

    def depth_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return the signed depth (...,) in mm of RAS points (..., 3), positive inside, trilinear between grid points.

        A point outside the grid gets the value at the nearest grid point less the distance to it: a lower bound of
        its depth (the distance is 1-Lipschitz), continuous, and negative wherever the grid holds the whole bone.
        """
        points = np.asarray(points_ras, dtype=np.float64)
        rows = (self.directions_ras.T / self.step_mm) @ (points.reshape(-1, 3) - self.origin_ras).T
        i, j, k = rows.astype(np.float32)
        return self.depth_at(i, j, k).reshape(points.shape[:-1])

    def depth_at(self, i: NDArray[np.float32], j: NDArray[np.float32], k: NDArray[np.float32]) -> FloatArray:
        """Return what `depth_mm` does of places whose grid indices along each axis are rows of their own (all of one shape)."""
        values = interpolate_rows(self.depth, i, j, k).astype(np.float64)
        away: FloatArray | None = None
        for row, count in zip((i, j, k), self.shape_ijk, strict=True):
            last = np.float32(count - 1)
            if row.size and (float(row.min()) < 0.0 or float(row.max()) > last):  # few calls: most have nothing outside
                beyond = (row - np.clip(row, np.float32(0.0), last)).astype(np.float64) ** 2
                away = beyond if away is None else away + beyond
        return np.asarray(values if away is None else values - np.sqrt(away) * self.step_mm)

    def outward_ras(self, points_ras: ArrayLike) -> FloatArray:
        """Return unit vectors (..., 3) of steepest fall of the depth: towards the nearest cortex, and out of the bone."""
        p = np.asarray(points_ras, dtype=np.float64)
        h = 2 * self.step_mm
        rise = np.stack([self.depth_mm(p + h * e) - self.depth_mm(p - h * e) for e in np.eye(3)], axis=-1)
        return unit_rows(-rise)


def signed_distance(level: NDArray[np.float32], spacing_mm: FloatArray) -> NDArray[np.float32]:
    """Return the distance (mm, positive where `level` is) to the zero level; `spacing_mm` along k, j, i."""
    inside = level > 0
    # Seeds: both grid points of every step that crosses the surface.
    seeds = np.zeros(level.shape, dtype=bool)
    for axis in range(3):
        low, high = (tuple(slice(*s) if a == axis else slice(None) for a in range(3)) for s in ((0, -1), (1, None)))
        crosses = inside[low] != inside[high]
        seeds[low] |= crosses
        seeds[high] |= crosses
    # On the grid's own border there is no slope to go by.
    border = np.ones(level.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    seeds &= ~border
    at = np.flatnonzero(seeds)
    if len(at) == 0:
        raise GeometryError("no surface of the bone runs through this region", where="depth field")
    feet, first_order = _foot_points(level, at, spacing_mm)
    number = np.zeros(level.shape, dtype=np.int32)
    number.ravel()[at] = np.arange(len(at), dtype=np.int32)
    nearest = ndimage.distance_transform_edt(~seeds, sampling=spacing_mm, return_distances=False, return_indices=True)
    strides = (level.shape[1] * level.shape[2], level.shape[2], 1)
    seed = number.ravel()[nearest[0] * strides[0] + nearest[1] * strides[1] + nearest[2]]
    del nearest
    axes = [np.arange(n, dtype=np.float32) * np.float32(h) for n, h in zip(level.shape, spacing_mm, strict=True)]
    squared = feet.squared_mm2(
        seed, [axis.reshape([-1 if a == n else 1 for a in range(3)]) for n, axis in enumerate(axes)]
    )
    _relax(squared.ravel(), seed.ravel(), feet, axes, strides, band_mm=4.0 * float(np.max(spacing_mm)))
    depth = np.sqrt(squared)
    np.negative(depth, where=~inside, out=depth)
    depth.ravel()[at] = first_order
    return depth


def _relax(
    squared: NDArray[np.float32],
    seed: NDArray[np.int32],
    feet: _Feet,
    axes: list[NDArray[np.float32]],
    strides: tuple[int, int, int],
    band_mm: float,
) -> None:
    """Let grid points near the surface try the seeds of their six neighbours: the nearest seed's foot may not be nearest."""
    at = np.flatnonzero(squared < band_mm**2)
    at = at[(at >= strides[0]) & (at < squared.size - strides[0])]
    shape = tuple(len(a) for a in axes)
    place = [axis[index] for axis, index in zip(axes, np.unravel_index(at, shape), strict=True)]
    best = squared[at]
    for offset in (s * sign for s in strides for sign in (1, -1)):
        np.minimum(best, feet.squared_mm2(seed[at + offset], place), out=best)
    squared[at] = best


@dataclass(frozen=True, eq=False)
class _Feet:
    """Points of the surface with the plane that touches it in each.

    Parameters
    ----------
    places_mm, normals
        (3, N) along k, j, i.
    flat_mm
        How far about each point the surface is taken for that plane.
    """

    places_mm: NDArray[np.float32]
    normals: NDArray[np.float32]
    flat_mm: float

    def squared_mm2(self, number: NDArray[np.int32], points_mm: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the squared distance of points (one array an axis) from the disc about the foot of a number each."""
        squared, height = np.zeros(number.shape, dtype=np.float32), np.zeros(number.shape, dtype=np.float32)
        for place, normal, point in zip(self.places_mm, self.normals, points_mm, strict=True):
            arm = place.take(number) - point
            height += arm * normal.take(number)
            arm *= arm
            squared += arm
        height *= height
        squared -= height
        aside = np.sqrt(np.maximum(squared, 0.0, out=squared), out=squared)
        aside -= np.float32(self.flat_mm)
        np.maximum(aside, 0.0, out=aside)
        aside *= aside
        aside += height
        return aside


def _foot_points(
    level: NDArray[np.float32], at: NDArray[np.int64], spacing_mm: FloatArray
) -> tuple[_Feet, NDArray[np.float32]]:
    """Return the surface point next to each grid point, and its signed distance in mm."""
    flat = level.ravel()
    strides = (level.shape[1] * level.shape[2], level.shape[2], 1)
    slope = np.stack(
        [(flat[at + s] - flat[at - s]) / (2 * h) for s, h in zip(strides, spacing_mm, strict=True)], axis=-1
    )
    steepness = np.maximum(np.linalg.norm(slope, axis=-1), 1e-3)
    # A seed lies within a step of the surface, whatever a flat spot of the level says.
    limit = float(np.max(spacing_mm))
    distance = np.clip(flat[at] / steepness, -limit, limit)
    place = np.stack(np.unravel_index(at, level.shape), axis=-1) * spacing_mm
    foot = place - (distance / steepness)[:, None] * slope
    normal = slope / steepness[:, None]
    feet = _Feet(
        np.ascontiguousarray(foot.T, dtype=np.float32),
        np.ascontiguousarray(normal.T, dtype=np.float32),
        _FLAT_SHARE * float(np.min(spacing_mm)),
    )
    return feet, np.asarray(distance, dtype=np.float32)
