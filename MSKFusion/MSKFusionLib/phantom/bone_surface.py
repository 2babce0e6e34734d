"""The true surface of a bone: a dense set of points on the zero set of its shape, and distances from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

from ..frames import FloatArray, invert_rigid, transform_points
from .grid import Grid, evaluate
from .shapes import CAP_MM, Shape

_STEP_MM = 0.7
_DIFFERENCE_MM = 1e-3


class BoneSurface:
    """Points and normals on the exact surface of a shape (the shape's implicit values are not distances)."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._local = Shape(shape.parts)
        vertices, faces = _march(self._local)
        self._points = self._project(vertices, 2)
        self._normals = _unit(-self._gradient(self._points))
        self._faces = faces
        self._tree = cKDTree(self._points)

    @property
    def points_ras(self) -> FloatArray:
        """Points (N, 3) on the surface, about 0.6 mm apart."""
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
        bound, index = self._tree.query(p)
        foot = self._points[index]
        # From the nearest sample slide along the tangent plane to below the point, and fall back on the surface.
        near = np.flatnonzero(bound < 10.0)
        x, n = foot[near], self._normals[index[near]]
        for _ in range(2):
            offset = p[near] - x
            slide = offset - (offset * n).sum(1, keepdims=True) * n
            length = np.linalg.norm(slide, axis=1, keepdims=True)
            x = x + slide * np.minimum(1.0, 0.6 / np.maximum(length, 1e-9))
            x = self._project(x, 1)
            n = _unit(-self._gradient(x))
        on_surface = np.abs(self._local.value_at(x)) < 0.02
        refined = np.linalg.norm(p[near] - x, axis=1)
        bound[near] = np.where(on_surface, np.minimum(bound[near], refined), bound[near])
        return np.where(inside, bound, -bound)

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


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _march(shape: Shape) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the triangles of the zero set on a grid in the frame of the shape."""
    lower, upper = (b + s for b, s in zip(shape.bounds, (CAP_MM - 2.0, 2.0 - CAP_MM), strict=True))
    count = np.ceil((upper - lower) / _STEP_MM).astype(int) + 1
    m = np.diag([_STEP_MM, _STEP_MM, _STEP_MM, 1.0])
    m[:3, 3] = lower
    i, j, k = count.tolist()
    found = evaluate(shape, Grid((k, j, i), m))
    values = np.full((k, j, i), -CAP_MM, dtype=np.float32)
    if found is not None:
        values[found[1]] = found[0]
    image = vtkImageData()
    image.SetDimensions(i, j, k)
    image.SetSpacing(_STEP_MM, _STEP_MM, _STEP_MM)
    image.SetOrigin(*lower.tolist())
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    contour = vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.0)
    contour.ComputeNormalsOff()
    contour.Update()
    out = contour.GetOutput()
    points = vtk_to_numpy(out.GetPoints().GetData()).astype(np.float64)
    faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    return points, faces
