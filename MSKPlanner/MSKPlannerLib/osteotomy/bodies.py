"""The separate bodies of a closed mesh, each with its own cavities."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.frames import FloatArray

from ..mesh import Mesh, body_labels


def joined(meshes: list[Mesh]) -> Mesh:
    """Return meshes as one, nothing merged."""
    if len(meshes) == 1:
        return meshes[0]
    first = np.cumsum([0, *(len(m.vertices_ras) for m in meshes)])
    return Mesh(
        np.concatenate([np.empty((0, 3)), *(m.vertices_ras for m in meshes)]),
        np.concatenate([np.empty((0, 3), dtype=np.int64), *(m.faces + n for m, n in zip(meshes, first, strict=False))]),
    )


def solid_bodies(mesh: Mesh) -> list[Mesh]:
    """Return the bodies of a closed mesh, largest first.

    A surface that looks inwards (a marrow cavity) stays with the body that it lies in.
    """
    labels, count = body_labels(mesh)
    if count <= 1:
        return [mesh] if count else []
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count + 1))
    shells = [_part(mesh, order[low:high]) for low, high in pairwise(bounds)]
    outer = sorted((s for s in shells if s.volume_mm3 >= 0), key=lambda s: s.volume_mm3)
    members: list[list[Mesh]] = [[s] for s in outer]
    for cavity in (s for s in shells if s.volume_mm3 < 0):
        point = cavity.vertices_ras[0]
        # The smallest body round it, so that a loose piece inside another's cavity keeps its own.
        home = next((k for k, s in enumerate(outer) if contains(s, point)), len(outer) - 1)
        if home >= 0:
            members[home].append(cavity)
    return sorted((joined(m) for m in members), key=lambda m: -m.volume_mm3)


def contains(mesh: Mesh, point_ras: ArrayLike) -> bool:
    """Return whether a closed mesh winds round a point.

    Source: solid angles after Van Oosterom & Strackee 1983, doi 10.1109/TBME.1983.325207.
    """
    point = np.asarray(point_ras, dtype=np.float64)
    low, high = mesh.bounds_ras
    if not len(mesh.faces) or (point < low).any() or (point > high).any():
        return False
    return bool(_winding(mesh.triangles_ras - point) > 0.5)


def _winding(corners: FloatArray) -> float:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    top = np.einsum("ij,ij->i", a, np.cross(b, c))
    dots = [np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a))]
    bottom = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    return float(np.arctan2(top, bottom).sum() / (2 * np.pi))


def _part(mesh: Mesh, rows: np.ndarray) -> Mesh:
    faces = mesh.faces[rows]
    used = np.zeros(len(mesh.vertices_ras), dtype=bool)
    used[faces.ravel()] = True
    return Mesh(mesh.vertices_ras[used], (np.cumsum(used) - 1)[faces])
