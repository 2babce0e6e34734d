"""A closed mesh cut in two by a plane, both halves closed.

Only the triangles that the plane crosses are looked at; all others go to their half as they are. This is what makes
it several times faster than a general boolean on a large bone (docs/measured/osteotomies.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray

from ..mesh import IntArray, Mesh
from .plane import Plane

#: No corner of the mesh lies nearer to the plane than this, mm: the plane gives way by what that takes. So planes
#: through corners and along flat faces are cut like any other, and no triangle is made that has no area.
_CLEAR_MM = 1e-6
#: How far the plane may give way. Ten nanometres: nothing that a plan shows or a saw does.
_GIVE_MM = 1e-5


def split_by_plane(mesh: Mesh, plane: Plane) -> tuple[Mesh, Mesh]:
    """Return what lies above a plane (on the side its normal looks to) and what lies below.

    Parameters
    ----------
    mesh
        Closed, two-manifold (`Mesh.is_closed`); the caller has checked it. Several bodies and cavities are fine.

    Returns
    -------
    above, below
        Both closed, with equal corners along the cut; one is empty where the plane passes beside the mesh or only
        touches it.

    Raises
    ------
    ProcessingError
        When the cut face cannot be closed: the mesh was not two-manifold.
    """
    height = plane.height_mm(mesh.vertices_ras)
    empty = Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
    # A wafer as thin as what the plane may give way is no part of its own.
    if height.size == 0 or height.max() <= 2 * _GIVE_MM:
        return empty, mesh
    if height.min() >= -2 * _GIVE_MM:
        return mesh, empty
    height = height - _free_level(height)
    corners_up = (height > 0)[mesh.faces]
    count_up = corners_up.sum(axis=1, dtype=np.int8)
    crossed = np.flatnonzero((count_up > 0) & (count_up < 3))
    if not len(crossed):
        # The plane passes between two bodies of the mesh.
        return _compact(mesh.vertices_ras, mesh.faces[count_up == 3]), _compact(
            mesh.vertices_ras, mesh.faces[count_up == 0]
        )
    pieces = _cross(mesh.faces[crossed], corners_up[crossed], height, mesh.vertices_ras)
    cap = _cap(pieces.rim, pieces.points, plane, len(mesh.vertices_ras))
    vertices = np.concatenate([mesh.vertices_ras, pieces.points])
    above = np.concatenate([mesh.faces[count_up == 3], pieces.above, cap[:, ::-1]])
    below = np.concatenate([mesh.faces[count_up == 0], pieces.below, cap])
    return _compact(vertices, above), _compact(vertices, below)


def cut_face(mesh: Mesh, plane: Plane) -> Mesh:
    """Return the face that a plane cuts in a closed mesh: flat, its triangles looking along the normal; may be empty."""
    height = plane.height_mm(mesh.vertices_ras)
    height = height - _free_level(height)
    corners_up = (height > 0)[mesh.faces]
    crossed = np.flatnonzero(corners_up.any(axis=1) & ~corners_up.all(axis=1))
    if not len(crossed):
        return Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
    pieces = _cross(mesh.faces[crossed], corners_up[crossed], height, mesh.vertices_ras)
    return Mesh(pieces.points, _cap(pieces.rim, pieces.points, plane, len(mesh.vertices_ras)) - len(mesh.vertices_ras))


def _free_level(height: FloatArray) -> float:
    """Return the height nearest to 0 that no corner is near to."""
    near = np.sort(height[np.abs(height) < 2 * _GIVE_MM])
    if not len(near) or np.abs(near).min() > _CLEAR_MM:
        return 0.0
    stops = np.concatenate([[-2 * _GIVE_MM], near, [2 * _GIVE_MM]])
    wide = np.diff(stops) > 2 * _CLEAR_MM
    if not wide.any():
        gap = int(np.diff(stops).argmax())
        return float(0.5 * (stops[gap] + stops[gap + 1]))
    low, high = stops[:-1][wide] + _CLEAR_MM, stops[1:][wide] - _CLEAR_MM
    levels = np.clip(0.0, low, high)
    return float(levels[np.abs(levels).argmin()])


class _Crossed:
    """What becomes of the triangles that the plane crosses."""

    def __init__(self, above: IntArray, below: IntArray, rim: IntArray, points: FloatArray) -> None:
        self.above, self.below, self.rim, self.points = above, below, rim, points


def _cross(faces: IntArray, up: NDArray[np.bool_], height: FloatArray, vertices: FloatArray) -> _Crossed:
    """Cut triangles in a tip (one corner alone on its side) and a base of two triangles.

    `rim` (K, 2) names, for each, the edge of the cut as the triangle below runs along it.
    """
    tip_up = up.sum(axis=1) == 1
    alone = np.where(tip_up, up.argmax(axis=1), (~up).argmax(axis=1))
    rows = np.arange(len(faces))
    tip, left, right = (faces[rows, (alone + k) % 3] for k in range(3))
    # One new corner an edge of the mesh, wherever the edge is met from: the two halves must fit to the last bit.
    ends = np.stack([np.concatenate([tip, right]), np.concatenate([left, tip])], axis=1)
    ends.sort(axis=1)
    key = ends[:, 0] * np.int64(len(vertices)) + ends[:, 1]
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    a, b = ends[first].T
    share = (height[a] / (height[a] - height[b]))[:, None]
    points = vertices[a] + share * (vertices[b] - vertices[a])
    number = number.ravel() + len(vertices)
    tip_left, tip_right = number[: len(faces)], number[len(faces) :]
    tips = np.stack([tip, tip_left, tip_right], axis=1)
    bases = np.concatenate([np.stack([tip_left, left, right], axis=1), np.stack([tip_left, right, tip_right], axis=1)])
    base_up = np.concatenate([~tip_up, ~tip_up])
    rim = np.where(tip_up[:, None], np.stack([tip_right, tip_left], axis=1), np.stack([tip_left, tip_right], axis=1))
    return _Crossed(
        np.concatenate([tips[tip_up], bases[base_up]]), np.concatenate([tips[~tip_up], bases[~base_up]]), rim, points
    )


def _cap(rim: IntArray, points: FloatArray, plane: Plane, first_new: int) -> IntArray:
    """Return triangles that close the half below: they run along every edge of the rim the other way."""
    import manifold3d as m3

    after = np.full(len(points), -1, dtype=np.int64)
    # The face of the cut runs against the triangles beside it.
    after[rim[:, 1] - first_new] = rim[:, 0] - first_new
    if len(rim) != len(points) or (after < 0).any():
        raise ProcessingError("cutting the bone: the rim of the cut does not close; the bone's surface is not whole.")
    loops = _loops(after)
    to_ras = plane.to_ras
    flat = (points - plane.point_ras) @ to_ras[:3, :2]
    triangles = np.asarray(m3.triangulate([np.ascontiguousarray(flat[loop]) for loop in loops], 1e-9, True))
    return np.concatenate(loops)[triangles.reshape(-1, 3).astype(np.int64)] + first_new


def _loops(after: IntArray) -> list[IntArray]:
    """Return the cycles of a permutation."""
    successor = after.tolist()
    seen = [False] * len(successor)
    loops = []
    for start in range(len(successor)):
        if seen[start]:
            continue
        loop = []
        at = start
        while not seen[at]:
            seen[at] = True
            loop.append(at)
            at = successor[at]
        loops.append(np.array(loop, dtype=np.int64))
    return loops


def _compact(vertices: FloatArray, faces: IntArray) -> Mesh:
    """Return a mesh without the corners that no face uses."""
    used = np.zeros(len(vertices), dtype=bool)
    used[faces.ravel()] = True
    number = np.cumsum(used) - 1
    return Mesh(vertices[used], number[faces])
