"""How a part stands in the printer: what overhangs, and whether it fits on the bed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import IntArray, Mesh, body_labels

#: What lies this near to the lowest point lies on the bed.
_ON_BED_MM = 0.05
#: Directions that are tried: spread over the sphere, and the faces with most area laid on the bed.
_SPREAD, _FLAT_SIDES = 48, 12
#: For the choice of a direction so many triangles are enough; the numbers told are measured on all.
_TRIANGLES_TO_CHOOSE_BY = 200_000
_CORNERS_TO_CHOOSE_BY = 50_000


@dataclass(frozen=True, eq=False)
class Overhang:
    """What of a part hangs over when it is built along a direction.

    Parameters
    ----------
    area_mm2
        Surface that looks down and is flatter than the process builds without support; what lies on the bed is not in it.
    largest_mm2
        Area of the largest connected piece of it.
    place_ras
        The middle of that piece; None where nothing overhangs.
    """

    area_mm2: float
    largest_mm2: float
    place_ras: FloatArray | None


def overhang(mesh: Mesh, up_ras: FloatArray, self_supporting_deg: float) -> Overhang:
    """Measure what needs support.

    Parameters
    ----------
    up_ras
        The build direction, RAS.
    self_supporting_deg
        Downward surface at least this steep (angle to the bed) builds without support; 0: all does (powder).
    """
    faces, area = _hanging(mesh, mesh.face_area_vectors, unit(up_ras), self_supporting_deg)
    if not len(faces):
        return Overhang(0.0, 0.0, None)
    labels, _ = body_labels(Mesh(mesh.vertices_ras, mesh.faces[faces]))
    sizes = np.bincount(labels, weights=area)
    in_largest = labels == int(sizes.argmax())
    centres = mesh.vertices_ras[mesh.faces[faces[in_largest]]].mean(axis=1)
    place = np.average(centres, axis=0, weights=area[in_largest])
    return Overhang(float(area.sum()), float(sizes.max()), place)


def _hanging(
    mesh: Mesh, area_vectors: FloatArray, up: FloatArray, self_supporting_deg: float
) -> tuple[IntArray, FloatArray]:
    """Return the faces that need support, and their areas in mm2."""
    if self_supporting_deg <= 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    area = np.linalg.norm(area_vectors, axis=1)
    down = -(area_vectors @ up)
    flat = np.flatnonzero((down > np.cos(np.radians(self_supporting_deg)) * area) & (area > 0))
    height = mesh.vertices_ras @ up
    above = height[mesh.faces[flat]].max(axis=1) > height.min() + _ON_BED_MM
    return flat[above], area[flat[above]]


def best_build_direction(
    mesh: Mesh, self_supporting_deg: float, bed_mm: tuple[float, float, float]
) -> tuple[FloatArray, bool]:
    """Return the direction with least overhang of those in which the part fits on the bed, and whether there is any.

    Ties go to the lower build. Deterministic.
    """
    vectors = mesh.face_area_vectors
    step = max(1, len(mesh.faces) // _TRIANGLES_TO_CHOOSE_BY)
    some = Mesh(mesh.vertices_ras, mesh.faces[::step])
    hull = _hull_corners(mesh.vertices_ras[:: max(1, len(mesh.vertices_ras) // _CORNERS_TO_CHOOSE_BY)])
    best, best_key = np.array([0.0, 0.0, 1.0]), (True, np.inf, np.inf)
    for up in _directions(vectors):
        height = float(np.ptp(hull @ up))
        area = float(_hanging(some, vectors[::step], up, self_supporting_deg)[1].sum()) * step
        key = (not fits_bed(hull, up, bed_mm), round(area, 1), round(height, 3))
        if key < best_key:
            best, best_key = up, key
    return best, not best_key[0]


def _directions(area_vectors: FloatArray) -> FloatArray:
    """Return candidate build directions: a Fibonacci sphere, the axes, and the largest flat sides laid down."""
    k = np.arange(_SPREAD) + 0.5
    z, turn = 1 - 2 * k / _SPREAD, np.pi * (1 + np.sqrt(5.0)) * k
    spread = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=1)
    area = np.linalg.norm(area_vectors, axis=1)
    normal = area_vectors / np.maximum(area, 1e-30)[:, None]
    bins, inverse = np.unique(np.round(normal * 20).astype(np.int64), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    weight = np.bincount(inverse, weights=area, minlength=len(bins))
    largest = np.argsort(-weight, kind="stable")[:_FLAT_SIDES]
    sums = np.stack([np.bincount(inverse, weights=c, minlength=len(bins)) for c in area_vectors.T], axis=1)[largest]
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    flat = -sums / np.maximum(length, 1e-30)
    return np.concatenate([np.eye(3)[::-1], -np.eye(3)[::-1], flat[length[:, 0] > 0], spread])


def fits_bed(corners_ras: FloatArray, up_ras: FloatArray, bed_mm: tuple[float, float, float]) -> bool:
    """Tell whether corners (N, 3), standing along a direction and turned about it as suits best, fit a bed (x, y, z)."""
    up = unit(up_ras)
    if float(np.ptp(corners_ras @ up)) > bed_mm[2]:
        return False
    u, v = perpendicular_axes(up)
    wide, narrow = max(bed_mm[:2]), min(bed_mm[:2])
    return any(
        max(a, b) <= wide and min(a, b) <= narrow for a, b in _rectangles(corners_ras @ np.stack([u, v], axis=1))
    )


def _rectangles(points: FloatArray) -> FloatArray:
    """Return the sides (K, 2) of the rectangles around points in a plane with one side along a side of their hull."""
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # all on a line
        return np.ptp(points, axis=0)[None]
    edges = np.roll(corners, -1, axis=0) - corners
    along = edges / np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-30)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return np.stack([np.ptp(corners @ along.T, axis=0), np.ptp(corners @ across.T, axis=0)], axis=1)


def _hull_corners(points: FloatArray) -> FloatArray:
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # flat
        return points
