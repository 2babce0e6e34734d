"""The margin of a cut: distance between bone that is sawn and the tumour, exactly, and put to what was wished."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray

from ..bone.mesh_depth import split_triangles, surface_points
from ..guides.field import MeshDistance
from ..mesh import Mesh
from .plane import Plane
from .plane_split import cut_face

#: A face is looked at in triangles of at first this edge, at last the other: the least distance, e from a corner, is missed by
#: e squared over twice the margin, some thousandths of a mm.
_COARSEST_MM, _FINEST_MM = 4.0, 0.25
_EXACT_MM = 0.002
#: The search for a plane's place begins so far inside of where it was estimated, and ends so near above the margin.
_BACK_MM = 1.5
_NEAR_MM = 0.01
_MOST_STEPS = 25
_FARTHEST_MM = 30.0
#: The map of margins has corners no farther apart than this.
_MAP_MM = 1.5
#: Spacing of the points by which the bone that stays is checked.
_CHECK_MM = 1.0


@dataclass(frozen=True, eq=False)
class CutSurface:
    """The bone that one plane of a resection bares on the specimen.

    Parameters
    ----------
    mesh
        Flat triangles with edges of at most 1.5 mm, looking away from the specimen.
    margins_mm
        Distance (N,) of each corner from the tumour.
    least_mm, least_ras
        The least margin of this surface, and where it is; infinite where the plane meets no bone of the specimen.
    """

    mesh: Mesh
    margins_mm: FloatArray
    least_mm: float
    least_ras: FloatArray


def least_distance(face: Mesh, tumour: MeshDistance) -> tuple[float, FloatArray]:
    """Return the least signed distance of a flat face from the tumour, and the place where it is.

    The distance changes by no more than one mm a mm, so of triangles with corners much farther than the least found
    none need be looked at more closely; the others are cut into smaller ones.
    """
    if not len(face.faces):
        return np.inf, np.full(3, np.nan)
    best, place, edge = np.inf, np.full(3, np.nan), _COARSEST_MM
    left = face
    while True:
        left = split_triangles(left, edge)
        used, faces = np.unique(left.faces, return_inverse=True)
        left = Mesh(left.vertices_ras[used], faces.reshape(-1, 3))
        at = tumour.distance_mm(left.vertices_ras)
        if at.min() < best:
            best, place = float(at.min()), left.vertices_ras[int(at.argmin())]
        # No point of a triangle is farther from its nearest corner than its longest edge over the root of 3.
        worth = at[left.faces].min(axis=1) - edge / np.sqrt(3.0) < best - _EXACT_MM
        if edge <= _FINEST_MM or not worth.any():
            return best, np.asarray(place)
        left = Mesh(left.vertices_ras, left.faces[worth])
        edge /= 2


def exact_plane(bone: Mesh, tumour: MeshDistance, plane: Plane, margin_mm: float) -> Plane:
    """Return a plane moved along its normal to where all bone in it and beyond is at least the margin from the tumour.

    Two places are kept, one short of the margin and one that has it, and brought together.

    Raises
    ------
    GeometryError
        When no place along the normal has the margin and cuts bone.
    """

    def missing(shift: float) -> float:
        return margin_mm - least_distance(cut_face(bone, plane.shifted(shift)), tumour)[0]

    low, high = -_BACK_MM, 0.02
    lacking = missing(low)
    if lacking <= 0:
        # What was estimated lies on the safe side by more than its grid allows: nothing to bring together.
        low, lacking = high, missing(high)
        if lacking <= 0:
            return plane.shifted(high)
    spare = -missing(high) if high > low else -lacking
    while spare < 0:
        # No point gains more than the plane moves, so what is missing is the least that it must move.
        if high > _FARTHEST_MM:
            raise GeometryError(
                "no place of this cut has the margin", "Ask for a smaller margin or another approach.", "resection"
            )
        low, lacking, high = high, -spare, high + 1.5 * -spare + 0.01
        spare = -missing(high)
    for _ in range(_MOST_STEPS):
        if high - low <= _NEAR_MM or spare <= _NEAR_MM:
            break
        share = lacking / (lacking + min(spare, 1e3))
        middle = low + min(max(1.2 * share, 0.1), 0.9) * (high - low)
        found = missing(middle)
        if found > 0:
            low, lacking = middle, found
        else:
            high, spare = middle, -found
    return plane.shifted(high)


def cut_surface(specimen: Mesh, plane: Plane, tumour: MeshDistance) -> CutSurface:
    """Return what a plane bares on the specimen, with its margins."""
    flat = np.abs(plane.height_mm(specimen.vertices_ras)) < 1e-4
    own = flat[specimen.faces].all(axis=1)
    own &= specimen.face_area_vectors @ plane.normal_ras > 0
    face = Mesh(specimen.vertices_ras, specimen.faces[own])
    if not own.any():
        empty = Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
        return CutSurface(empty, np.empty(0), np.inf, np.full(3, np.nan))
    used, faces = np.unique(face.faces, return_inverse=True)
    face = Mesh(face.vertices_ras[used], faces.reshape(-1, 3))
    least, place = least_distance(face, tumour)
    fine = split_triangles(face, _MAP_MM)
    return CutSurface(fine, tumour.distance_mm(fine.vertices_ras), least, place)


def nearest_of_rest(
    remaining: Mesh, tumour: Mesh, distance: MeshDistance, margin_mm: float
) -> tuple[float, FloatArray]:
    """Return how near the bone that stays comes to the tumour, and where, from points all over its surface.

    It is the check of the cuts by other means: no plane, no order of parts goes into it.
    """
    low, high = tumour.bounds_ras + [[-margin_mm - 2], [margin_mm + 2]]
    t = remaining.triangles_ras
    near = ((t.max(axis=1) >= low) & (t.min(axis=1) <= high)).all(axis=1)
    if not near.any():
        return np.inf, np.full(3, np.nan)
    points = surface_points(Mesh(remaining.vertices_ras, remaining.faces[near]), _CHECK_MM)
    at = distance.distance_mm(points)
    return float(at.min()), points[int(at.argmin())]
