"""Wall thickness of a solid, by rays through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vtk

from MSKFusionLib.frames import FloatArray, unit_rows

from ..mesh import IntArray, Mesh

#: A ray that leaves through a face turned less than this against it (cosine) crossed a wall, not a corner.
_WALL_COSINE = 0.8
#: The wall counts as thin as it is over this much of the surface: single slivers of a triangulation are no walls.
_COUNTS_FROM_MM2 = 0.2
_START_INSIDE_MM = 1e-4


@dataclass(frozen=True, eq=False)
class Thickness:
    """Wall thickness of a solid.

    Parameters
    ----------
    least_mm
        At least 0.2 mm2 of the surface is this thin or thinner; infinite where no wall was found.
    place_ras
        The middle of the wall at the thinnest of these samples.
    samples
        How many rays crossed a wall.
    """

    least_mm: float
    place_ras: FloatArray | None
    samples: int


def wall_thickness(mesh: Mesh, samples: int = 12000, seed: int = 0) -> Thickness:
    """Measure the wall of a closed mesh along rays from its surface straight inward.

    Points are spread over the surface by area, and then once more around the thinnest places. A ray counts where it
    leaves through a face within 37 degrees of square to it: a wall between two faces, not the edge of a block.
    """
    area = np.linalg.norm(mesh.face_area_vectors, axis=1)
    total = float(area.sum())
    if total <= 0:
        return Thickness(float("inf"), None, 0)
    rng = np.random.default_rng(seed)
    cast = _Caster(mesh)
    faces, points = _spread(mesh, area / total, samples, rng)
    wall = cast.walls(faces, points)
    if not np.isfinite(wall).any():
        return Thickness(float("inf"), None, 0)
    # A second look around the thin places, denser: what a coarse sample only grazes.
    near = np.zeros(len(mesh.faces), dtype=np.float64)
    thin = np.isfinite(wall) & (wall < np.nanpercentile(np.where(np.isfinite(wall), wall, np.nan), 5))
    np.maximum.at(near, faces[thin], area[faces[thin]])
    each = total / samples
    weight = np.full(len(wall), each)
    if thin.any():
        more = max(200, samples // 4)
        faces2, points2 = _spread(mesh, near / near.sum(), more, rng)
        wall2 = cast.walls(faces2, points2)
        again = np.isin(faces, np.flatnonzero(near))
        weight[again] = near.sum() / (again.sum() + more)
        faces, points = np.concatenate([faces, faces2]), np.concatenate([points, points2])
        wall, weight = (
            np.concatenate([wall, wall2]),
            np.concatenate([weight, np.full(more, near.sum() / (again.sum() + more))]),
        )
    order = np.argsort(wall)
    rank = int(np.searchsorted(np.cumsum(weight[order]), min(_COUNTS_FROM_MM2, 0.01 * total)))
    at = int(order[min(rank, len(order) - 1)])
    inward = -mesh.face_area_vectors[faces[at]] / area[faces[at]]
    least = float(wall[at])
    place = points[at] + inward * (least / 2 if np.isfinite(least) else 0.0)
    return Thickness(least, place, int(np.isfinite(wall).sum()))


def _spread(mesh: Mesh, share: FloatArray, count: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Return faces and points on them, drawn by the faces' shares."""
    edges = np.cumsum(share)
    faces = np.minimum(np.searchsorted(edges, (np.arange(count) + rng.random()) / count * edges[-1]), len(share) - 1)
    r1, r2 = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - r1, r1 * (1 - r2), r1 * r2], axis=1)
    return faces, np.einsum("nk,nkj->nj", weights, mesh.triangles_ras[faces])


class _Caster:
    """Rays from the surface inward."""

    def __init__(self, mesh: Mesh) -> None:
        self._data = mesh.to_polydata()
        self._locator = vtk.vtkStaticCellLocator()
        self._locator.SetDataSet(self._data)
        self._locator.BuildLocator()
        self._normals = unit_rows(mesh.face_area_vectors)
        self._reach = float(np.linalg.norm(np.diff(mesh.bounds_ras, axis=0))) + 1.0

    def walls(self, faces: IntArray, points: FloatArray) -> FloatArray:
        """Return the wall behind each point in mm; infinite where the ray does not cross a wall."""
        result = np.full(len(faces), np.inf)
        t, x, coords = vtk.mutable(0.0), [0.0] * 3, [0.0] * 3
        sub, cell = vtk.mutable(0), vtk.mutable(0)
        for n, (face, point) in enumerate(zip(faces, points, strict=True)):
            inward = -self._normals[face]
            start, stop = point + _START_INSIDE_MM * inward, point + self._reach * inward
            if not self._locator.IntersectWithLine(start, stop, 0.0, t, x, coords, sub, cell):
                continue
            if self._normals[int(cell)] @ inward > _WALL_COSINE:
                result[n] = float(t) * float(np.linalg.norm(stop - start)) + _START_INSIDE_MM
        return result
