"""Walls and gaps of a solid: how thin and how narrow it gets, by rays straight inward and outward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.vtkCommonCore import mutable
from vtkmodules.vtkCommonDataModel import vtkStaticCellLocator

from MSKFusionLib.frames import FloatArray, unit_rows

from ..mesh import IntArray, Mesh

#: A ray that ends at a face turned less than this against it (cosine) crossed a wall or a gap, not a corner.
_WALL_COSINE = 0.8
#: The wall counts as thin as it is over this much of the surface: single slivers of a triangulation are no walls.
_COUNTS_FROM_MM2 = 0.2
_START_OFF_MM = 1e-4
#: Rays a mm2 of surface, and how many at least and at most.
_RAYS_PER_MM2, _LEAST_RAYS, _MOST_RAYS = 1.0, 12_000, 40_000


@dataclass(frozen=True, eq=False)
class Thickness:
    """The thinnest wall, or the narrowest gap, of a solid.

    Parameters
    ----------
    least_mm
        At least 0.2 mm2 of the surface is this thin (or has a gap this narrow) or more so; infinite where there is none.
    place_ras
        The middle of the wall or gap at the least of these samples.
    samples
        How many rays crossed a wall or a gap.
    """

    least_mm: float
    place_ras: FloatArray | None
    samples: int


def wall_thickness(mesh: Mesh, samples: int | None = None, seed: int = 0) -> Thickness:
    """Measure the wall of a closed mesh along rays from its surface straight inward.

    Points are spread over the surface by area, and then once more around the thinnest places. A ray counts where it
    leaves through a face within 37 degrees of square to it: a wall between two faces, not the edge of a block.
    """
    return _least(mesh, -1.0, samples, seed)


def gap_width(mesh: Mesh, samples: int | None = None, seed: int = 0) -> Thickness:
    """Measure the gaps of a closed mesh along rays from its surface straight outward, as `wall_thickness` does.

    A gap lies between two faces that look at each other to within 37 degrees: slots, bores, the space between two arms.
    """
    return _least(mesh, 1.0, samples, seed)


def thin_places(mesh: Mesh, below_mm: float, seed: int = 0) -> FloatArray:
    """Return the middles (N, 3) of all walls thinner than `below_mm` that the rays of `wall_thickness` cross."""
    rays = _cast(mesh, -1.0, None, seed)
    if rays is None:
        return np.empty((0, 3))
    thin = np.flatnonzero(rays.crossed < below_mm)
    return rays.middles(mesh, -1.0, thin)


@dataclass(frozen=True, eq=False)
class _Rays:
    """Where rays start, what they cross in mm (infinite: nothing), and the surface in mm2 that each stands for."""

    faces: IntArray
    points: FloatArray
    crossed: FloatArray
    weight: FloatArray

    def middles(self, mesh: Mesh, way: float, which: IntArray) -> FloatArray:
        """Return the middles (N, 3) of what some rays cross."""
        ahead = way * unit_rows(mesh.face_area_vectors[self.faces[which]])
        return self.points[which] + ahead * self.crossed[which, None] / 2


def _least(mesh: Mesh, way: float, samples: int | None, seed: int) -> Thickness:
    """Return the least of what rays cross: inward (`way` -1) walls, outward (1) gaps."""
    rays = _cast(mesh, way, samples, seed)
    if rays is None:
        return Thickness(float("inf"), None, 0)
    order = np.argsort(rays.crossed, kind="stable")
    rank = int(np.searchsorted(np.cumsum(rays.weight[order]), min(_COUNTS_FROM_MM2, 0.01 * mesh.area_mm2)))
    found = int(np.isfinite(rays.crossed).sum())
    at = order[min(rank, found - 1)]
    return Thickness(float(rays.crossed[at]), rays.middles(mesh, way, at[None])[0], found)


def _cast(mesh: Mesh, way: float, samples: int | None, seed: int) -> _Rays | None:
    """Cast rays from all of the surface and more around the thinnest places; None where nothing is crossed."""
    area = np.linalg.norm(mesh.face_area_vectors, axis=1)
    total = float(area.sum())
    if total <= 0:
        return None
    count = int(np.clip(_RAYS_PER_MM2 * total, _LEAST_RAYS, _MOST_RAYS)) if samples is None else samples
    rng = np.random.default_rng(seed)
    cast = _Caster(mesh, way)
    faces, points = _spread(mesh, area / total, count, rng)
    crossed = cast.crossed_mm(faces, points)
    found = np.isfinite(crossed)
    if not found.any():
        return None
    weight = np.full(len(crossed), total / count)
    # A second look around the thin places, denser: what a coarse sample only grazes.
    near = np.zeros(len(mesh.faces), dtype=np.float64)
    thin = found & (crossed <= np.percentile(crossed[found], 5))
    near[faces[thin]] = area[faces[thin]]
    if near.any():
        more = max(200, count // 4)
        faces2, points2 = _spread(mesh, near / near.sum(), more, rng)
        again = np.isin(faces, np.flatnonzero(near))
        each = float(near.sum()) / (int(again.sum()) + more)
        weight[again] = each
        faces, points = np.concatenate([faces, faces2]), np.concatenate([points, points2])
        crossed = np.concatenate([crossed, cast.crossed_mm(faces2, points2)])
        weight = np.concatenate([weight, np.full(more, each)])
    return _Rays(faces, points, crossed, weight)


def _spread(mesh: Mesh, share: FloatArray, count: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Return faces and points on them, drawn by the faces' shares."""
    # Each draw in its own stretch: an even step would fall on the same rows of a regular mesh again and again.
    edges = np.cumsum(share)
    faces = np.minimum(
        np.searchsorted(edges, (np.arange(count) + rng.random(count)) / count * edges[-1]), len(share) - 1
    )
    r1, r2 = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - r1, r1 * (1 - r2), r1 * r2], axis=1)
    return faces, np.einsum("nk,nkj->nj", weights, mesh.triangles_ras[faces])


class _Caster:
    """Rays from the surface inward (`way` -1) or outward (1)."""

    def __init__(self, mesh: Mesh, way: float) -> None:
        self._data = mesh.to_polydata()
        self._locator = vtkStaticCellLocator()
        self._locator.SetDataSet(self._data)
        self._locator.BuildLocator()
        self._normals = unit_rows(mesh.face_area_vectors)
        self._way = way
        self._reach = float(np.linalg.norm(np.diff(mesh.bounds_ras, axis=0))) + 1.0

    def crossed_mm(self, faces: IntArray, points: FloatArray) -> FloatArray:
        """Return what lies between each point and the next face in mm; infinite where that face is not opposite."""
        result = np.full(len(faces), np.inf)
        t: Any = mutable(0.0)  # VTK's types know no number that a method writes
        sub: Any = mutable(0)
        cell: Any = mutable(0)
        x, coords = [0.0] * 3, [0.0] * 3
        ahead = self._way * self._normals[faces]
        starts, stops = points + _START_OFF_MM * ahead, points + self._reach * ahead
        length = self._reach - _START_OFF_MM
        for n, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            if not self._locator.IntersectWithLine(start, stop, 0.0, t, x, coords, sub, cell):
                continue
            if -self._way * (self._normals[int(cell)] @ ahead[n]) > _WALL_COSINE:
                result[n] = float(t) * length + _START_OFF_MM
        return result
