"""A triangle mesh in RAS mm: what surfaces, guides and mesh files exchange."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkTriangleFilter

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, transform_points

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Mesh:
    """Triangles in RAS mm, counter-clockwise seen from outside.

    Nothing is repaired: a broken mesh can be held here so that `guides.checks` can say what is broken.

    Parameters
    ----------
    vertices_ras
        (N, 3) float64, mm.
    faces
        (M, 3) int64, indices of vertices.

    Raises
    ------
    GeometryError
        When the arrays have another shape or a face names a vertex that is not there.
    """

    vertices_ras: FloatArray
    faces: IntArray

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices_ras, dtype=np.float64).reshape(-1, 3)
        faces = np.asarray(self.faces)
        if faces.size and (faces.ndim != 2 or faces.shape[1] != 3):
            raise GeometryError(f"faces are triangles (M, 3), not an array of shape {faces.shape}", where="mesh")
        faces = np.ascontiguousarray(faces, dtype=np.int64).reshape(-1, 3)
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise GeometryError("a triangle names a vertex that is not there", where="mesh")
        object.__setattr__(self, "vertices_ras", vertices)
        object.__setattr__(self, "faces", faces)

    @property
    def triangles_ras(self) -> FloatArray:
        """Corner points of all triangles, (M, 3, 3)."""
        return self.vertices_ras[self.faces]

    @cached_property
    def volume_mm3(self) -> float:
        """Signed enclosed volume in mm3 (divergence theorem); it means something for closed meshes only."""
        if not len(self.faces):
            return 0.0
        t = self.triangles_ras - self.vertices_ras.mean(axis=0)
        return float(np.einsum("ij,ij->i", t[:, 0], np.cross(t[:, 1], t[:, 2])).sum() / 6.0)

    @cached_property
    def face_area_vectors(self) -> FloatArray:
        """Outward normals times area, (M, 3), mm2."""
        t = self.triangles_ras
        return 0.5 * np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])

    @property
    def area_mm2(self) -> float:
        """Surface area in mm2."""
        return float(np.linalg.norm(self.face_area_vectors, axis=1).sum())

    @property
    def bounds_ras(self) -> FloatArray:
        """Lowest and highest corner, (2, 3), mm; NaN for an empty mesh."""
        if not len(self.vertices_ras):
            return np.full((2, 3), np.nan)
        return np.stack([self.vertices_ras.min(axis=0), self.vertices_ras.max(axis=0)])

    @cached_property
    def edge_counts(self) -> EdgeCounts:
        """How many edges are open, shared by more than two triangles, or run twice the same way."""
        return _count_edges(self.faces, len(self.vertices_ras))

    @property
    def is_closed(self) -> bool:
        """Whether every edge joins exactly two triangles that run along it in opposite ways."""
        return bool(len(self.faces)) and not any(
            (self.edge_counts.open, self.edge_counts.crowded, self.edge_counts.same_way)
        )

    def transformed(self, matrix: ArrayLike) -> Mesh:
        """Return the mesh under a 4x4 RAS transform; a mirroring one turns the faces over so that they stay outward."""
        m = np.asarray(matrix, dtype=np.float64)
        faces = self.faces[:, ::-1] if np.linalg.det(m[:3, :3]) < 0 else self.faces
        return Mesh(transform_points(m, self.vertices_ras), faces)

    def to_polydata(self) -> vtkPolyData:
        """Return a `vtkPolyData` copy in RAS mm (double points)."""
        points = vtkPoints()
        points.SetDataTypeToDouble()
        points.SetData(numpy_to_vtk(self.vertices_ras, deep=True))
        cells = vtkCellArray()
        offsets = numpy_to_vtkIdTypeArray(np.arange(0, 3 * len(self.faces) + 1, 3, dtype=np.int64), deep=True)
        cells.SetData(offsets, numpy_to_vtkIdTypeArray(self.faces.ravel(), deep=True))
        data = vtkPolyData()
        data.SetPoints(points)
        data.SetPolys(cells)
        return data

    @classmethod
    def from_polydata(cls, data: vtkPolyData) -> Mesh:
        """Return a mesh of the polygons and strips of a `vtkPolyData`, triangulated."""
        triangulate = vtkTriangleFilter()
        triangulate.SetInputData(data)
        triangulate.PassLinesOff()
        triangulate.PassVertsOff()
        triangulate.Update()
        out = triangulate.GetOutput()
        if not out.GetNumberOfPoints():
            return cls(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
        faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).astype(np.int64).reshape(-1, 3)
        return cls(vtk_to_numpy(out.GetPoints().GetData()).astype(np.float64), faces)


@dataclass(frozen=True)
class EdgeCounts:
    """What is wrong with the edges of a mesh; all zero for a closed two-manifold (up to touching vertices).

    Parameters
    ----------
    open
        Edges of one triangle only: the rim of a hole.
    crowded
        Edges of three and more triangles.
    same_way
        Edges of two triangles that run along it the same way: one of them is turned over.
    open_vertex, crowded_vertex, same_way_vertex
        A vertex of the first such edge, or None.
    """

    open: int
    crowded: int
    same_way: int
    open_vertex: int | None = None
    crowded_vertex: int | None = None
    same_way_vertex: int | None = None


def _count_edges(faces: IntArray, vertex_count: int) -> EdgeCounts:
    if not len(faces) or _runs_both_ways_once(faces, vertex_count):
        return EdgeCounts(0, 0, 0)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    key = directed.min(axis=1) * np.int64(vertex_count) + directed.max(axis=1)
    # Equal edges lie side by side in this order (much faster here than numpy.unique).
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, key[order][1:] != key[order][:-1]])
    count = np.diff(np.r_[starts, len(key)])
    upward = np.where(directed[:, 0] < directed[:, 1], 1, -1)[order]
    balance = np.add.reduceat(upward, starts)
    wrong = (count == 1, count > 2, (count == 2) & (balance != 0))
    vertices = [int(directed[order[starts[int(np.argmax(w))]], 0]) if w.any() else None for w in wrong]
    return EdgeCounts(*(int(w.sum()) for w in wrong), *vertices)


def _runs_both_ways_once(faces: IntArray, vertex_count: int) -> bool:
    """Tell whether every edge is run along once each way: a closed surface is known so in two sorts, without an order of them."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    forward = np.sort(start * np.int64(vertex_count) + end)
    backward = np.sort(end * np.int64(vertex_count) + start)
    return bool((start != end).all() and np.array_equal(forward, backward) and (forward[1:] != forward[:-1]).all())


def merge_vertices(mesh: Mesh, tolerance_mm: float = 0.0) -> Mesh:
    """Return the mesh with equal vertices made one and unused ones dropped (a triangle soup becomes a mesh).

    Parameters
    ----------
    tolerance_mm
        Grid that positions are rounded to for the comparison; 0: only bit-equal vertices merge.
    """
    if not len(mesh.vertices_ras):
        return mesh
    key = mesh.vertices_ras if tolerance_mm <= 0 else np.round(mesh.vertices_ras / tolerance_mm)
    _, first, inverse = np.unique(key + 0.0, axis=0, return_index=True, return_inverse=True)
    # The vertices keep the order of their first use, so that writing and reading a file leaves them in place.
    used, used_at = np.unique(inverse.ravel()[mesh.faces.ravel()], return_index=True)
    used = used[np.argsort(used_at)]
    new_index = np.full(len(first), -1, dtype=np.int64)
    new_index[used] = np.arange(len(used))
    return Mesh(mesh.vertices_ras[first[used]], new_index[inverse.ravel()[mesh.faces]])


def split_bodies(mesh: Mesh) -> list[Mesh]:
    """Return the parts of a mesh that are joined by vertices, the one of largest absolute volume first."""
    labels, count = body_labels(mesh)
    bodies = [_submesh(mesh, labels == label) for label in range(count)]
    return sorted(bodies, key=lambda b: -abs(b.volume_mm3))


def body_labels(mesh: Mesh) -> tuple[IntArray, int]:
    """Return the number of the body that each face belongs to, (M,), and how many bodies there are."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(mesh.faces):
        return np.empty(0, dtype=np.int64), 0
    rows = np.concatenate([mesh.faces[:, 0], mesh.faces[:, 1]])
    cols = np.concatenate([mesh.faces[:, 1], mesh.faces[:, 2]])
    size = len(mesh.vertices_ras)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, cols)), shape=(size, size))
    _, vertex_label = connected_components(graph, directed=False)
    names, label = np.unique(vertex_label[mesh.faces[:, 0]], return_inverse=True)
    return label.astype(np.int64), len(names)


def _submesh(mesh: Mesh, keep: NDArray[np.bool_]) -> Mesh:
    used, faces = np.unique(mesh.faces[keep], return_inverse=True)
    return Mesh(mesh.vertices_ras[used], faces.reshape(-1, 3))


def part_of(mesh: Mesh, keep: NDArray[np.bool_]) -> Mesh:
    """Return some triangles (M,) of a mesh, without the corners that none of them uses."""
    used = np.zeros(len(mesh.vertices_ras), dtype=bool)
    used[mesh.faces[keep]] = True
    return Mesh(mesh.vertices_ras[used], (np.cumsum(used) - 1)[mesh.faces[keep]])
