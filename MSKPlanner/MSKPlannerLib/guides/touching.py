"""Corners at which a surface touches itself: closed, every edge sound, and yet held together by a point."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..mesh import IntArray, Mesh


def touching_vertices(mesh: Mesh) -> IntArray:
    """Return the vertices of a closed two-manifold mesh at which more than one fan of triangles meets.

    The corners of the triangles around a vertex hang together through the edges that leave it; a vertex with two such
    groups joins two sheets by nothing but itself.
    """
    faces = mesh.faces
    size, rows = np.int64(len(mesh.vertices_ras)), np.arange(len(faces), dtype=np.int64)
    # Corner k of face f is number 3 f + k; its edge runs to corner k + 1.
    start = faces.ravel()
    end = np.roll(faces, -1, axis=1).ravel()
    corner = (3 * rows[:, None] + np.arange(3)).ravel()
    following = (3 * rows[:, None] + np.array([1, 2, 0])).ravel()
    forward = np.argsort(start * size + end, kind="stable")
    backward = np.argsort(end * size + start, kind="stable")
    # The same edge seen from both sides: here it starts at the vertex, there it ends in it.
    graph = coo_matrix(
        (np.ones(len(corner), dtype=np.int8), (corner[forward], following[backward])), shape=(len(corner),) * 2
    )
    count, label = connected_components(graph, directed=False)
    used = np.zeros(len(mesh.vertices_ras), dtype=bool)
    used[start] = True
    if count == int(used.sum()):
        return np.empty(0, dtype=np.int64)
    of_fan = np.empty(count, dtype=np.int64)
    of_fan[label] = start
    return np.flatnonzero(np.bincount(of_fan, minlength=len(used)) > 1)
