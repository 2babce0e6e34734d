"""How a finished guide sits on the bone: the gap over its contact surface, measured on the mesh itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from MSKFusionLib.frames import FloatArray

from ..mesh import IntArray, Mesh
from .field import Distance

#: A face of the guide touches when it looks at the bone to within this cosine ...
_LOOKS_AT_BONE = -0.9
#: ... at bone that looks outward along the insertion direction (bone that overhangs is bridged on purpose) ...
_BONE_LOOKS_OUT = 0.03
#: ... and is no further from the wished gap than this (further off is another part of the guide).
_CONTACT_RANGE_MM = 0.6
#: Bone further out that comes nearer than the gap by this much had to be given way to: the guide is relieved there.
_GIVES_WAY_MM = 0.05
_WAY_OUT_MM = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0)
#: The outermost strip of the contact is its rounded rim and does not count.
_RIM_MM = 0.8
#: Faces with more relief than this (over the crest) are not meant to touch.
_NO_RELIEF_MM = 0.02


@dataclass(frozen=True, eq=False)
class Fit:
    """The gap over the contact surface, its rim of 0.8 mm left out.

    Parameters
    ----------
    asked_mm
        The clearance that was asked for.
    mean_mm, mean_error_mm, p95_error_mm, max_error_mm
        Area-weighted mean gap, mean and 95th percentile of |gap - asked|, and the greatest |gap - asked|.
    area_mm2
        Area of the contact surface.
    least_mm
        Least distance of any point of the guide to the bone; negative where they overlap.
    least_at_ras
        Where that is.
    points_ras
        (N, 3) centres of the contact's triangles, for measuring against another surface.
    """

    asked_mm: float
    mean_mm: float
    mean_error_mm: float
    p95_error_mm: float
    max_error_mm: float
    area_mm2: float
    least_mm: float
    least_at_ras: FloatArray
    points_ras: FloatArray
    weights: FloatArray


def measure_fit(
    guide: Mesh,
    bone: Distance,
    outward_ras: FloatArray,
    asked_mm: float,
    relief_mm: Callable[[FloatArray], FloatArray] | None = None,
) -> Fit:
    """Measure the gap between a guide and a bone.

    Parameters
    ----------
    outward_ras
        Unit direction in which the guide comes off.
    relief_mm
        Additional gap that was wished at points (N, 3); None: none.
    """
    normals = guide.face_area_vectors
    area = np.linalg.norm(normals, axis=1)
    centres = guide.triangles_ras.mean(axis=1)
    at_vertices = bone.distance_mm(guide.vertices_ras)
    # The gradient comes with the exact distance; the quick one names another triangle now and then, never a nearer one.
    doubted = np.flatnonzero(at_vertices < asked_mm + 2 * _CONTACT_RANGE_MM)
    if len(doubted):
        at_vertices[doubted] = bone.distance_and_gradient(guide.vertices_ras[doubted])[0]
    lowest = int(at_vertices.argmin())
    near = np.flatnonzero((at_vertices[guide.faces].min(axis=1) < asked_mm + _CONTACT_RANGE_MM) & (area > 0))
    gap, slope = bone.distance_and_gradient(centres[near])
    looks = np.einsum("ij,ij->i", normals[near], slope) / area[near] < _LOOKS_AT_BONE
    touches = looks & (slope @ outward_ras > _BONE_LOOKS_OUT) & (np.abs(gap - asked_mm) < _CONTACT_RANGE_MM)
    if relief_mm is not None:
        touches &= relief_mm(centres[near]) < _NO_RELIEF_MM
    doubtful = np.flatnonzero(touches & (gap > asked_mm + _GIVES_WAY_MM))
    touches[doubtful] = ~_relieved(bone, centres[near[doubtful]], gap[doubtful], outward_ras)
    touches &= ~_at_rim(guide, near, touches)
    index, gap = near[touches], gap[touches]
    least, at = float(at_vertices[lowest]), guide.vertices_ras[lowest]
    if not len(index):
        nan = float("nan")
        return Fit(asked_mm, nan, nan, nan, nan, 0.0, least, at, np.empty((0, 3)), np.empty(0))
    weight = area[index]
    error = np.abs(gap - asked_mm)
    order = np.argsort(error)
    share = np.cumsum(weight[order]) / weight.sum()
    return Fit(
        asked_mm=asked_mm,
        mean_mm=float(np.average(gap, weights=weight)),
        mean_error_mm=float(np.average(error, weights=weight)),
        p95_error_mm=float(error[order][np.searchsorted(share, 0.95)]),
        max_error_mm=float(error.max()),
        area_mm2=float(weight.sum()),
        least_mm=least,
        least_at_ras=at,
        points_ras=centres[index],
        weights=weight,
    )


def _relieved(bone: Distance, points: FloatArray, gap: FloatArray, outward_ras: FloatArray) -> NDArray[np.bool_]:
    """Return which points have bone in their way out that is nearer than the gap: they cannot lie closer."""
    result = np.zeros(len(points), dtype=bool)
    for way in _WAY_OUT_MM if len(points) else ():
        result |= bone.distance_mm(points + way * outward_ras) < gap - _GIVES_WAY_MM
    return result


def _at_rim(guide: Mesh, faces: IntArray, touches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of `faces` lie within the rim's width of an edge between touching and other faces."""
    inside = np.bincount(guide.faces[faces[touches]].ravel(), minlength=len(guide.vertices_ras))
    all_around = np.bincount(guide.faces.ravel(), minlength=len(guide.vertices_ras))
    border = np.flatnonzero((inside > 0) & (inside < all_around))
    if not len(border):
        return np.zeros(len(faces), dtype=bool)
    centres = guide.triangles_ras[faces].mean(axis=1)
    distance, _ = cKDTree(_along(guide, faces[touches], border)).query(centres, distance_upper_bound=_RIM_MM)
    return np.isfinite(distance)


def _along(guide: Mesh, faces: IntArray, border: IntArray) -> FloatArray:
    """Return corners of a border and points along its edges: on flat bone its triangles are longer than the rim is wide."""
    f = guide.faces[faces]
    edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1)
    # An edge of one face that touches and one that does not runs along the border.
    edges, times = np.unique(edges, axis=0, return_counts=True)
    a, b = guide.vertices_ras[edges[times == 1].T]
    long = np.linalg.norm(b - a, axis=1) > _RIM_MM / 2
    a, b = a[long], b[long]
    if not len(a):
        return guide.vertices_ras[border]
    count = int(np.ceil(2 * np.linalg.norm(b - a, axis=1).max() / _RIM_MM))
    share = (np.arange(1, count) / count)[:, None, None]
    return np.concatenate([guide.vertices_ras[border], (a + share * (b - a)).reshape(-1, 3)])
