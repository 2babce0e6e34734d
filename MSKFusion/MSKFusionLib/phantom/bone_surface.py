"""The true surface of a bone: a dense set of points on the zero set of its shape, and distances from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..frames import FloatArray, invert_rigid, transform_points, unit_rows
from ..isosurface import zero_surface
from .grid import Grid, evaluate
from .shapes import CAP_MM, Shape

_STEP_MM = 0.7
#: Spacing of the samples on bones taller than a vertebra (sacrum, hips).
_LARGE_STEP_MM, _TALL_MM = 1.1, 75.0
_DIFFERENCE_MM = 1e-3
_CANDIDATES = 8
_DESCENT_STEPS = 6
#: Farther away the distance of the nearest sample is taken (off by less than 0.01 mm there).
_EXACT_WITHIN_MM = 10.0


class BoneSurface:
    """Points and normals on the exact surface of a shape (the shape's implicit values are not distances)."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._local = shape.moved(invert_rigid(shape.frame_to_world))
        low, high = self._local.bounds
        self._step_mm = _LARGE_STEP_MM if high[2] - low[2] > _TALL_MM + 2 * CAP_MM else _STEP_MM
        vertices, faces = _march(self._local, self._step_mm)
        self._points = self._project(vertices, 2)
        self._normals = unit_rows(-self._gradient(self._points))
        self._faces = faces
        self._tree = cKDTree(self._points)

    @property
    def points_ras(self) -> FloatArray:
        """Points (N, 3) on the surface, 0.5 to 1 mm apart."""
        return transform_points(self._shape.frame_to_world, self._points)

    @property
    def faces(self) -> NDArray[np.int64]:
        """Triangles (M, 3) over `points_ras`."""
        return self._faces

    def depth_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return the distance (N,) of RAS points from the surface, positive inside; exact to a few hundredths near it."""
        world = np.atleast_2d(np.asarray(points_ras, dtype=np.float64))
        p = transform_points(invert_rigid(self._shape.frame_to_world), world)
        inside = self._local.value_at(p) > 0
        # Of the nearest samples, the one whose tangent plane comes closest: where two parts of the surface are about
        # equally far, the nearest sample alone may belong to the wrong one.
        distances, nearest = self._tree.query(p, k=_CANDIDATES)
        offsets = p[:, None, :] - self._points[nearest]
        height = np.abs((offsets * self._normals[nearest]).sum(-1))
        aside = np.sqrt(np.maximum(distances**2 - height**2, 0.0))
        best = np.argmin(np.where(aside < self._step_mm, height, distances), axis=1)
        bound, index = distances[:, 0], np.take_along_axis(nearest, best[:, None], axis=1)[:, 0]
        foot = self._points[index]
        near = np.flatnonzero(bound < _EXACT_WITHIN_MM)
        bound[near] = np.minimum(bound[near], self._closest(p[near], foot[near]))
        return np.where(inside, bound, -bound)

    def _closest(self, points: FloatArray, start: FloatArray) -> FloatArray:
        """Return the distance (N,) to the surface point that a descent from `start` ends at.

        Every step slides along the tangent plane towards the foot of the perpendicular and falls back on the surface; the
        length of the slide follows the curvature (Barzilai and Borwein 1988, doi 10.1093/imanum/8.1.141).
        """
        best = np.full(len(points), np.inf)
        active = np.arange(len(points))
        p, x, rate = points, start, np.full((len(points), 1), 0.6)
        previous: FloatArray | None = None
        for _ in range(_DESCENT_STEPS):
            f, g = self._local.value_at(x), self._gradient(x)
            length2 = np.maximum((g * g).sum(1), 0.05)
            offset = p - x
            distance = np.linalg.norm(offset, axis=1)
            on_surface = np.abs(f) < 0.004 * np.sqrt(length2)
            best[active] = np.where(on_surface, np.minimum(best[active], distance), best[active])
            slide = offset - ((offset * g).sum(1) / length2)[:, None] * g
            go_on = ~(on_surface & (np.linalg.norm(slide, axis=1) < 0.02))
            if not go_on.any():
                break
            if previous is not None:
                change = (previous * (previous - slide)).sum(1, keepdims=True)
                gain = (previous * previous).sum(1, keepdims=True) / np.where(np.abs(change) > 1e-12, change, 1e-12)
                rate = np.clip(rate * np.where(gain > 0, gain, 1.0), 0.05, 3.0)
            move = rate * slide
            move *= np.minimum(1.0, self._step_mm / np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9))
            x = (x + move - (f / length2)[:, None] * g)[go_on]
            p, rate, previous, active = p[go_on], rate[go_on], slide[go_on], active[go_on]
        return best

    def _gradient(self, points: FloatArray) -> FloatArray:
        """Return the gradient (N, 3) from differences over a small tetrahedron (four values a point)."""
        out = np.zeros_like(points)
        for corner in ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0)):
            c = np.array(corner)
            out += self._local.value_at(points + _DIFFERENCE_MM * c)[:, None] * c
        return out / (4.0 * _DIFFERENCE_MM)

    def _project(self, points: FloatArray, steps: int) -> FloatArray:
        """Move points along the gradient onto the zero set (Newton)."""
        p = points.copy()
        for _ in range(steps):
            g = self._gradient(p)
            f = self._local.value_at(p)
            p -= np.clip(f / np.maximum((g * g).sum(1), 0.05), -1.0, 1.0)[:, None] * g
        return p


def _march(shape: Shape, step_mm: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the triangles of the zero set on a grid in the frame of the shape."""
    lower, upper = (b + s for b, s in zip(shape.bounds, (CAP_MM - 2.0, 2.0 - CAP_MM), strict=True))
    count = np.ceil((upper - lower) / step_mm).astype(int) + 1
    m = np.diag([step_mm, step_mm, step_mm, 1.0])
    m[:3, 3] = lower
    i, j, k = count.tolist()
    found = evaluate(shape, Grid((k, j, i), m))
    values = np.full((k, j, i), -CAP_MM, dtype=np.float32)
    if found is not None:
        values[found[1]] = found[0]
    vertices_ijk, faces = zero_surface(-values)
    return lower + step_mm * vertices_ijk, faces
