"""Exact solids by manifold3d, with the status of every operation looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import Mesh

#: Triangles that two booleans leave narrower than this are merged away: far below what any printer resolves.
_TOLERANCE_MM = 2e-3


def to_manifold(mesh: Mesh, what: str) -> Any:
    """Return a `manifold3d.Manifold` of a closed mesh in double precision.

    Raises
    ------
    ProcessingError
        When the mesh is not closed; it names `what`.
    """
    import manifold3d as m3

    solid = m3.Manifold(
        m3.Mesh64(vert_properties=mesh.vertices_ras, tri_verts=np.ascontiguousarray(mesh.faces, dtype=np.uint64))
    )
    return checked(solid, what)


def from_manifold(solid: Any) -> Mesh:
    """Return the triangles of a manifold."""
    raw = solid.to_mesh64()
    return Mesh(np.asarray(raw.vert_properties)[:, :3], np.asarray(raw.tri_verts).astype(np.int64))


def checked(solid: Any, what: str) -> Any:
    """Return `solid` when its operation went well and something is left of it.

    Raises
    ------
    ProcessingError
        With the operation and the reason that manifold3d gives.
    """
    import manifold3d as m3

    status = solid.status()
    if status != m3.Error.NoError:
        raise ProcessingError(f"{what}: the solid does not close ({status.name}).")
    if solid.is_empty():
        raise ProcessingError(f"{what}: nothing is left of the solid.")
    return solid


def cylinder(start_ras: FloatArray, end_ras: FloatArray, radius_mm: float, *, around: bool, segments: int = 96) -> Any:
    """Return a cylinder from `start_ras` to `end_ras`.

    Parameters
    ----------
    around
        True: the facets touch the circle from outside (a bore is never too narrow). False: from inside.
    """
    import manifold3d as m3

    axis = np.asarray(end_ras, dtype=np.float64) - start_ras
    radius = radius_mm / np.cos(np.pi / segments) if around else radius_mm
    w = unit(axis)
    u, v = perpendicular_axes(w)
    placed = np.column_stack([u, v, w, start_ras])
    return m3.Manifold.cylinder(float(np.linalg.norm(axis)), radius, circular_segments=segments).transform(placed)


def box(corner_low: FloatArray, corner_high: FloatArray, frame_to_ras: FloatArray) -> Any:
    """Return a box between two corners of a rigid 4x4 frame."""
    import manifold3d as m3

    low = np.asarray(corner_low, dtype=np.float64)
    size = np.asarray(corner_high, dtype=np.float64) - low
    return m3.Manifold.cube(size.tolist()).translate(low.tolist()).transform(frame_to_ras[:3])


def largest_body(solid: Any) -> tuple[Any, list[float]]:
    """Return the largest body and the volumes in mm3 of the others, which are dropped."""
    bodies = sorted(solid.decompose(), key=lambda b: -b.volume())
    return bodies[0], [float(b.volume()) for b in bodies[1:]]


def tidied(solid: Any) -> Any:
    """Return the solid with triangles below the tolerance merged away."""
    return checked(solid.simplify(_TOLERANCE_MM), "tidying the triangles")


def overlap_mm3(one: Mesh, other: Mesh) -> float:
    """Return the volume that two closed meshes share, mm3."""
    return float((to_manifold(one, "overlap: first mesh") ^ to_manifold(other, "overlap: second mesh")).volume())
