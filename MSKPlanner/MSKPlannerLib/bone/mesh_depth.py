"""The depth field of a closed surface: signed distances on a grid, for what asks for many of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray

from ..mesh import IntArray, Mesh
from .depth_field import DepthField

#: More grid points than this would take gigabytes.
_MOST_NODES = 80_000_000
#: Within so many steps of the surface distances are those to the surface itself.
_BAND_STEPS = 2.5


def depth_of_mesh(
    mesh: Mesh,
    step_mm: float,
    room_mm: float = 5.0,
    where: str = "bone surface",
    region_ras: FloatArray | None = None,
) -> DepthField:
    """Return the depth field of a closed mesh, its grid along RAS.

    Near the surface a depth is the distance to points no farther apart than half a step on it, so it is at most a
    few hundredths of a step too large; farther off it is that between grid points.

    Parameters
    ----------
    room_mm
        How far the grid reaches beyond the mesh.
    region_ras
        Lowest and highest corner (2, 3) of the part of the grid that is wanted; None: all of it.

    Raises
    ------
    InputError
        When the mesh is not closed or empty.
    GeometryError
        When a grid of this step would be too large.
    """
    if not len(mesh.faces) or not mesh.is_closed:
        raise InputError("the surface is not closed", "Make it again from the segmentation.", where=where)
    low, high = mesh.bounds_ras + [[-room_mm], [room_mm]]
    if region_ras is not None:
        low, high = np.maximum(low, region_ras[0]), np.minimum(high, region_ras[1])
        if (high < low).any():
            raise GeometryError("the surface does not reach into this region", where=where)
    origin = low
    size = np.ceil((high - low) / step_mm).astype(int) + 1
    if float(np.prod(size.astype(float))) > _MOST_NODES:
        raise GeometryError(
            f"a surface of {np.round(high - low)} mm is too large for steps of {step_mm:g} mm",
            "Check its units: millimetres are expected.",
            where,
        )
    inside = _inside(mesh, origin, step_mm, size)
    if region_ras is None and not inside.any():
        raise GeometryError(f"the surface encloses nothing at steps of {step_mm:g} mm", where=where)
    # Half a step is the mean way from the outermost grid point to the surface.
    if inside.any() and not inside.all():
        depth = -signed_distance_mm(inside, np.full(3, step_mm)) + np.float32(0.5 * step_mm)
    else:
        depth = np.full(inside.shape, 0.0, dtype=np.float32)
    near = np.flatnonzero(np.abs(depth) < _BAND_STEPS * step_mm)
    kji = np.stack(np.unravel_index(near, depth.shape), axis=1)
    places = origin + step_mm * kji[:, ::-1]
    beside = _near(mesh, low - 3 * step_mm, high + 3 * step_mm)
    distance, _ = cKDTree(surface_points(beside if len(beside.faces) else mesh, step_mm / 2)).query(places)
    depth.ravel()[near] = np.where(inside.ravel()[near], distance, -distance)
    return DepthField(depth.astype(np.float32), origin, np.eye(3), step_mm)


def surface_points(mesh: Mesh, spacing_mm: float) -> FloatArray:
    """Return points (N, 3) on a surface so dense that none of it is farther than `spacing_mm` from one."""
    fine = split_triangles(mesh, spacing_mm)
    return fine.vertices_ras[np.unique(fine.faces)]


def split_triangles(mesh: Mesh, edge_mm: float) -> Mesh:
    """Return the same surface with no edge longer than `edge_mm`; where triangles meet, corners lie on edges."""
    points, faces = mesh.vertices_ras, mesh.faces
    done: list[IntArray] = []
    while len(faces):
        corners = points[faces]
        sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        longest = sides.argmax(axis=1)
        large = sides.max(axis=1) > edge_mm
        done.append(faces[~large])
        faces, longest = faces[large], longest[large]
        rows = np.arange(len(faces))
        a, b, c = (faces[rows, (longest + k) % 3] for k in range(3))
        low, high = np.minimum(a, b), np.maximum(a, b)
        key, number = np.unique(low * np.int64(len(points)) + high, return_inverse=True)
        middle = len(points) + number.ravel()
        points = np.concatenate([points, 0.5 * (points[key // len(points)] + points[key % len(points)])])
        faces = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    return Mesh(points, np.concatenate(done))


def _near(mesh: Mesh, low: FloatArray, high: FloatArray) -> Mesh:
    """Return the triangles whose box meets a box."""
    t = mesh.triangles_ras
    keep = ((t.max(axis=1) >= low) & (t.min(axis=1) <= high)).all(axis=1)
    return Mesh(mesh.vertices_ras, mesh.faces[keep])


def _inside(mesh: Mesh, origin: FloatArray, step_mm: float, size: NDArray[np.int_]) -> NDArray[np.bool_]:
    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(mesh.to_polydata())
    stencil.SetOutputOrigin(*origin)
    stencil.SetOutputSpacing(step_mm, step_mm, step_mm)
    stencil.SetOutputWholeExtent(0, int(size[0]) - 1, 0, int(size[1]) - 1, 0, int(size[2]) - 1)
    stencil.SetTolerance(0.0)
    to_image = vtkImageStencilToImage()
    to_image.SetInputConnection(stencil.GetOutputPort())
    to_image.SetInsideValue(1)
    to_image.SetOutsideValue(0)
    to_image.SetOutputScalarTypeToUnsignedChar()
    to_image.Update()
    flat = vtk_to_numpy(to_image.GetOutput().GetPointData().GetScalars())
    return np.ascontiguousarray(flat.reshape(size[::-1]) > 0)
