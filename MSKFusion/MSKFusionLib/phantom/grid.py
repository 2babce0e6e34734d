"""Grids that a shape or a random texture is evaluated on, without ever resampling a voxel phantom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from ..frames import FloatArray, invert_rigid, transform_points
from ..interpolation import interpolate
from .shapes import CAP_MM, Shape, smooth_intersection, smooth_union

FloatImage = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grid:
    """A block of voxel centres.

    Parameters
    ----------
    shape
        Voxels along k, j, i (the order of the array).
    ijk_to_world
        4x4 from (i, j, k) to the patient's RAS mm.
    """

    shape: tuple[int, int, int]
    ijk_to_world: FloatArray

    @cached_property
    def _world_to_ijk(self) -> FloatArray:
        return np.asarray(np.linalg.inv(self.ijk_to_world), dtype=np.float64)

    def block(self, lower_kji: ArrayLike, upper_kji: ArrayLike) -> Grid:
        """Return the part of the grid between two indices (upper not included)."""
        lo, hi = np.asarray(lower_kji, dtype=int), np.asarray(upper_kji, dtype=int)
        m = self.ijk_to_world.copy()
        m[:3, 3] = transform_points(m, lo[::-1])
        k, j, i = (hi - lo).tolist()
        return Grid((k, j, i), m)

    def slabs(self, count: int) -> Iterator[tuple[slice, Grid]]:
        """Yield the grid in pieces of `count` slices, with the slice of the array each belongs to."""
        for start in range(0, self.shape[0], count):
            stop = min(start + count, self.shape[0])
            yield slice(start, stop), self.block((start, 0, 0), (stop, *self.shape[1:]))

    def box_around(self, lower: ArrayLike, upper: ArrayLike, frame_to_world: FloatArray) -> tuple[slice, ...] | None:
        """Return the array slices that hold a box given in another frame; None where it lies outside the grid."""
        lo, hi = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
        m = self._world_to_ijk @ frame_to_world
        middle = m[:3, :3] @ (0.5 * (lo + hi)) + m[:3, 3]
        half = np.abs(m[:3, :3]) @ (0.5 * (hi - lo))
        first = np.clip(np.floor(middle - half)[::-1].astype(int), 0, self.shape)
        last = np.clip(np.ceil(middle + half)[::-1].astype(int) + 1, 0, self.shape)
        if np.any(last <= first):
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))

    def coordinates(self, world_to_frame: FloatArray | None = None) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Return x, y, z of every voxel centre in a frame, as float32 arrays of the grid's shape."""
        m = self.ijk_to_world if world_to_frame is None else world_to_frame @ self.ijk_to_world
        k, j, i = (np.arange(n, dtype=np.float64) for n in self.shape)
        out = []
        for row in m[:3]:
            plane = ((row[2] * k + row[3])[:, None] + row[1] * j[None, :]).astype(np.float32)
            out.append(plane[:, :, None] + (row[0] * i).astype(np.float32))
        return out[0], out[1], out[2]


def evaluate(
    shape: Shape, grid: Grid, *, slab: int = 8, margin_mm: float = CAP_MM
) -> tuple[FloatImage, tuple[slice, ...]] | None:
    """Evaluate a shape on the part of a grid that it reaches.

    Parameters
    ----------
    margin_mm
        How far outside its surface the values are wanted (at most CAP_MM, at least the largest fillet).

    Returns
    -------
    tuple or None
        The implicit values (at least -CAP_MM) in a block, and the slices of that block in the grid's array.
    """
    shrink = CAP_MM - margin_mm
    lower, upper = shape.bounds
    box = grid.box_around(lower + shrink, upper - shrink, shape.frame_to_world)
    if box is None:
        return None
    block = grid.block([s.start for s in box], [s.stop for s in box])
    world_to_shape = invert_rigid(shape.frame_to_world)
    out = np.full(block.shape, -CAP_MM, dtype=np.float32)
    for where, piece in block.slabs(slab):
        values = out[where]
        for part in shape.parts:
            inner = piece.box_around(part.lower + shrink, part.upper - shrink, shape.frame_to_world)
            if inner is None:
                continue
            inside = piece.block([s.start for s in inner], [s.stop for s in inner])
            to_part = world_to_shape if part.from_shape is None else part.from_shape @ world_to_shape
            v = part.value(*inside.coordinates(to_part))
            if part.cuts:
                values[inner] = smooth_intersection(values[inner], -v, part.radius_mm)
            else:
                values[inner] = smooth_union(values[inner], np.maximum(v, -CAP_MM), part.radius_mm)
    for c in shape.clearances:
        found = evaluate(c.neighbour, block, slab=slab)
        if found is not None:
            v, inner = found
            out[inner] = smooth_intersection(out[inner], -(v + np.float32(c.gap_mm)), c.radius_mm)
    np.maximum(out, -CAP_MM, out=out)
    return out, box


def first_order_distance(values: FloatImage, grid: Grid) -> FloatImage:
    """Return implicit values divided by the length of their gradient: the distance from the surface, close to it."""
    spacing = np.linalg.norm(grid.ijk_to_world[:3, :3], axis=0)[::-1]
    if min(values.shape) < 2:
        return values
    squared = np.zeros_like(values)
    for axis in range(3):
        g = np.gradient(values, float(spacing[axis]), axis=axis)
        squared += g * g
    return np.asarray(values / np.sqrt(np.clip(squared, 0.2, 4.0)), dtype=np.float32)


class Lattice:
    """Values on a lattice of the world, linear between its points: the same at the same place for every scanner."""

    def __init__(self, values: FloatImage, lower: ArrayLike, spacing_mm: float) -> None:
        self._image = sitk.GetImageFromArray(values)
        self._world_to_lattice = np.diag([1 / spacing_mm] * 3 + [1.0])
        self._world_to_lattice[:3, 3] = -np.asarray(lower, dtype=float) / spacing_mm

    @classmethod
    def random(cls, rng: np.random.Generator, lower: ArrayLike, upper: ArrayLike, spacing_mm: float) -> Lattice:
        """Return normally distributed values over a box."""
        # Linear interpolation lowers the spread between lattice points; 1.6 restores it on average.
        shape = lattice_grid(lower, upper, spacing_mm).shape
        return cls(rng.standard_normal(shape, dtype=np.float32) * np.float32(1.6), lower, spacing_mm)

    def on(self, grid: Grid, world_to_frame: FloatArray | None = None) -> FloatImage:
        """Return the values on a grid, optionally with the lattice in a moved frame; 0 outside of it."""
        if type(grid) is not Grid:
            return self._at(grid.coordinates(world_to_frame))
        # Every second voxel along i and j is looked up, those between are their neighbours' mean: half of linear
        # interpolation done by hand, for a quarter of the time.
        k, j, i = grid.shape
        sparse = grid.ijk_to_world @ np.diag([2.0, 2.0, 1.0, 1.0])
        m = self._world_to_lattice @ (np.eye(4) if world_to_frame is None else world_to_frame) @ sparse
        transform = sitk.AffineTransform(m[:3, :3].ravel().tolist(), m[:3, 3].tolist())
        straight = np.eye(3).ravel().tolist()
        size = [i // 2 + 1, j // 2 + 1, k]
        image = sitk.Resample(self._image, size, transform, sitk.sitkLinear, [0.0] * 3, [1.0] * 3, straight, 0.0)
        found = sitk.GetArrayViewFromImage(image)
        rows = np.empty((k, j, i // 2 + 1), dtype=np.float32)
        rows[:, 0::2] = found[:, : (j + 1) // 2]
        np.add(found[:, : j // 2], found[:, 1 : j // 2 + 1], out=rows[:, 1::2])
        rows[:, 1::2] *= 0.5
        out = np.empty(grid.shape, dtype=np.float32)
        out[:, :, 0::2] = rows[:, :, : (i + 1) // 2]
        np.add(rows[:, :, : i // 2], rows[:, :, 1 : i // 2 + 1], out=out[:, :, 1::2])
        out[:, :, 1::2] *= 0.5
        return out

    def _at(self, places: tuple[FloatImage, FloatImage, FloatImage]) -> FloatImage:
        """Return the values at places (x, y, z) that lie on no straight grid."""
        ijk = transform_points(self._world_to_lattice, np.stack(places, axis=-1))
        values = sitk.GetArrayViewFromImage(self._image)
        inside = np.all((ijk >= 0) & (ijk <= np.array(values.shape[::-1]) - 1), axis=-1)
        return np.where(inside, interpolate(values, ijk), np.float32(0.0))


def lattice_grid(lower: ArrayLike, upper: ArrayLike, spacing_mm: float) -> Grid:
    """Return the grid of a lattice's points over a box of the world."""
    lo, hi = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    i, j, k = (np.ceil((hi - lo) / spacing_mm).astype(int) + 1).tolist()
    m = np.diag([spacing_mm] * 3 + [1.0])
    m[:3, 3] = lo
    return Grid((k, j, i), m)
