"""The landmarks of a wrist from the surfaces of radius and ulna, from points that a surgeon placed, or from both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import ConvexHull, QhullError

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import Mesh
from ..osteotomy.plane import Plane, direction_of
from ..osteotomy.plane_split import cut_face
from .bone_end import cut_off_share, facing_patch, principal_axis, smoothed, surface_points
from .forearm import FOREARM_POINTS, ForearmLandmarks, WristMeasures, measure_wrist
from .found_points import FoundPoints

#: Faces of the radius' joint surface look out within this angle of the long axis: it is tilted by about 26 degrees, and
#: smoothing rounds its rim.
_FACING_DEG = 55.0
#: Faces of the ulna's head.
_HEAD_DEG = 40.0
#: The joint surface lies within this of the styloid's tip, along the bone, mm.
_END_MM = 25.0
#: Where the shaft's middle is taken, above the middle of the joint surface, mm.
_SHAFT_AT_MM = (30.0, 50.0)
#: The wrist's end of a radius is so much wider than the elbow's.
_WIDER = 1.15
#: The lunate's fossa has its middle at this share of the way from the ulnar corners to the styloid; its rims are looked for so
#: far beside that, mm.
_LUNATE_SHARE, _BAND_MM = 0.25, 4.0
#: Corners this near to the outermost belong to the rim, to the tip or corner, mm.
_RIM_MM, _TIP_MM = 0.9, 0.7
#: A joint surface leaves the plane that fits it best by this at least, mm root mean square; an end that the image cut does not.
_HOLLOW_MM = 0.3
#: It is wider than deep by this, and the styloid's side reaches down at least so much, else the ulna must tell.
_LONGER, _SLOPE_DEG = 1.15, 4.0
#: What looks like more than this share of one plane was cut off by the image.
_CUT_OFF = 0.5
#: A placed landmark this far from the one that was found is worth a second look, mm.
_FAR_MM = 5.0


#: The landmarks of a wrist and where each comes from.
ForearmPoints = FoundPoints[ForearmLandmarks, WristMeasures]


def find_forearm(
    side: str,
    radius: Mesh | None = None,
    ulna: Mesh | None = None,
    *,
    distal_ras: ArrayLike | None = None,
    placed: Mapping[str, ArrayLike] | None = None,
) -> ForearmPoints:
    """Return the landmarks and measures of a wrist, as far as its bones and the placed points tell.

    Parameters
    ----------
    side
        "left" or "right". Volar and dorsal follow from it: the surfaces alone do not tell them apart.
    radius, ulna
        Closed surfaces of one forearm in one place, RAS mm, in any pose.
    distal_ras
        Rough direction from elbow to hand; needed where a piece of bone does not tell.
    placed
        Points by the names of `ForearmLandmarks`, RAS mm; they count instead of the found ones.

    Raises
    ------
    InputError
        When nothing is given, or a name is no landmark.
    GeometryError
        When bones or points cannot be those of one forearm of that side.
    """
    given = {n: np.asarray(p, dtype=np.float64) for n, p in (placed or {}).items()}
    if radius is None and ulna is None and not given:
        raise InputError("no bone and no landmark is given", "Give the radius, its landmarks, or both.", "forearm")
    ForearmLandmarks.of_points(side, given)
    distal = None if distal_ras is None else direction_of(distal_ras, "direction to the hand")
    found: dict[str, FloatArray] = {}
    not_found: list[str] = []
    notes: list[str] = []
    if radius is not None:
        points = _radius_points(radius, ulna, side, distal)
        if isinstance(points, str):
            not_found.append(f"radius: {points}")
        else:
            found |= points
            notes.append(
                "volar and dorsal follow from the side that was said: a wrong side turns the sign of the volar tilt; "
                "the landmarks were checked on generated bones only: look at them"
            )
    known = {**found, **given}
    if ulna is not None:
        axis = {"shaft_proximal", "shaft_distal"} <= set(known)
        down = unit(known["shaft_distal"] - known["shaft_proximal"]) if axis else distal
        head = "the direction to the hand is not known" if down is None else _ulnar_head(ulna, down)
        if isinstance(head, str):
            not_found.append(f"ulna: {head}")
        else:
            found["ulnar_head"] = head
    off = {n: float(np.linalg.norm(given[n] - found[n])) for n in given if n in found}
    notes += [
        f"the placed {n.replace('_', ' ')} lies {d:.1f} mm from the found one" for n, d in off.items() if d > _FAR_MM
    ]
    landmarks = ForearmLandmarks.of_points(side, {**found, **given})
    origin = {n: "placed" if n in given else "surface" for n in FOREARM_POINTS if n not in landmarks.missing}
    return ForearmPoints(landmarks, origin, off, measure_wrist(landmarks), tuple(not_found), tuple(notes))


def _radius_points(
    radius: Mesh, ulna: Mesh | None, side: str, distal: FloatArray | None
) -> dict[str, FloatArray] | str:
    """Return the landmarks of the lower end of a radius, or why there are none."""
    smooth = smoothed(radius)
    down = _distal(smooth, distal)
    if isinstance(down, str):
        return down
    centre = np.zeros(3)
    shaft: list[FloatArray] = []
    patch = np.zeros(len(smooth.faces), dtype=bool)
    for _ in range(3):
        height = smooth.triangles_ras.mean(axis=1) @ down
        patch = facing_patch(smooth, down, _FACING_DEG, height > height.max() - _END_MM)
        if patch.sum() < 20:
            return "no surface at its lower end looks to the hand"
        area = smooth.face_area_vectors[patch] @ down
        faces = smooth.triangles_ras.mean(axis=1)[patch]
        centre = np.average(faces, axis=0, weights=area)
        if _off_plane_mm(faces - centre, area) < _HOLLOW_MM:
            return "its lower end is cut off: it is one plane, and a joint is hollow"
        shaft = [m for m in (_section_middle(radius, centre - d * down, down) for d in _SHAFT_AT_MM) if m is not None]
        if len(shaft) < 2:
            return f"it reaches less than {_SHAFT_AT_MM[1]:.0f} mm above its joint surface"
        down = unit(shaft[0] - shaft[1])
    corners = smooth.vertices_ras[np.unique(smooth.faces[patch])]
    x = _radial(faces - centre, area, down, None if ulna is None else centre - _nearest_of(ulna, centre))
    if isinstance(x, str):
        return x
    palmar = np.cross(-down, x) * (1.0 if side == "right" else -1.0)
    # Not the most distal point: after a fracture that tilts the joint this is another.
    styloid = _outermost(corners, unit(x + 0.5 * down))
    volar, dorsal = (_outermost(corners, unit(way * palmar - x)) for way in (1.0, -1.0))
    # Again with the line that the measures use.
    across = styloid - 0.5 * (volar + dorsal)
    x = unit(across - (across @ down) * down)
    palmar = np.cross(-down, x) * (1.0 if side == "right" else -1.0)
    origin = 0.5 * (volar + dorsal)
    at = _LUNATE_SHARE * float((styloid - origin) @ x)
    rims = [_rim(corners - origin, at, x, way * palmar, down) for way in (1.0, -1.0)]
    if rims[0] is None or rims[1] is None:
        return "its joint surface is too coarse"
    return {
        "shaft_proximal": shaft[1],
        "shaft_distal": shaft[0],
        "radial_styloid": styloid,
        "volar_ulnar_corner": volar,
        "dorsal_ulnar_corner": dorsal,
        "volar_rim": origin + rims[0],
        "dorsal_rim": origin + rims[1],
    }


def _outermost(corners: FloatArray, out: FloatArray) -> FloatArray:
    """Return the mean of the corners that reach farthest one way: one alone would be noise."""
    reach = corners @ out
    return np.asarray(corners[reach > reach.max() - _TIP_MM].mean(axis=0))


def _radial(faces: FloatArray, area: FloatArray, down: FloatArray, away: FloatArray | None) -> FloatArray | str:
    """Return the direction from the ulnar to the radial side: the joint surface is longest that way.

    Parameters
    ----------
    away
        From the ulna; None: the styloid's side reaches farther down.
    """
    flat = faces - (faces @ down)[:, None] * down
    spread = np.linalg.eigh((flat * area[:, None]).T @ flat / area.sum())
    if np.sqrt(spread[0][2] / spread[0][1]) < _LONGER:
        return "its joint surface is as deep as wide"
    x = spread[1][:, 2]
    if away is not None:
        return np.asarray(x if x @ away > 0 else -x)
    slope = float((area * (faces @ x) * (faces @ down)).sum() / (area * (faces @ x) ** 2).sum())
    if abs(slope) < np.tan(np.radians(_SLOPE_DEG)):
        return "its joint surface is level, so that the styloid's side is not clear; give the ulna"
    return np.asarray(x if slope > 0 else -x)


def _nearest_of(bone: Mesh, point: FloatArray) -> FloatArray:
    """Return the middle of what of a bone lies nearest to a point."""
    far = np.linalg.norm(bone.vertices_ras - point, axis=1)
    return np.asarray(bone.vertices_ras[far < far.min() + 15.0].mean(axis=0))


def _rim(corners: FloatArray, at_mm: float, x: FloatArray, out: FloatArray, down: FloatArray) -> FloatArray | None:
    """Return the point of a rim at a place along the joint; a line along the rim, since its height changes with the place."""
    a, b = corners @ x - at_mm, corners @ out
    band = np.abs(a) < _BAND_MM
    if not band.any():
        return None
    rim = band & (b > b[band].max() - _RIM_MM)
    if rim.sum() < 3 or np.ptp(a[rim]) < 1.0:
        return None
    height = np.polynomial.polynomial.polyfit(a[rim], corners[rim] @ down, 1)[0]
    return np.asarray(at_mm * x + b[rim].mean() * out + height * down)


def _off_plane_mm(points: FloatArray, weights: FloatArray) -> float:
    """Return the root mean square distance of points, their mean in the origin, from the plane that fits them best."""
    spread = (points * weights[:, None]).T @ points / weights.sum()
    return float(np.sqrt(max(float(np.linalg.eigvalsh(spread)[0]), 0.0)))


def _distal(smooth: Mesh, asked: FloatArray | None) -> FloatArray | str:
    """Return the direction to the hand along a radius, or why it is not known."""
    points, area = surface_points(smooth)
    axis = principal_axis(points, area)
    if asked is not None:
        return axis if axis @ asked >= 0 else -axis
    height = points @ axis
    if np.ptp(height) < 2.5 * _SHAFT_AT_MM[1]:
        return "a short piece does not tell which end is the wrist; give the direction to the hand"
    wide = [max(_hull_area(points, axis, end + sign * d) for d in (4.0, 8.0, 12.0, 16.0)) for end, sign in (
        (height.min(), 1.0), (height.max(), -1.0))]  # fmt: skip
    if max(wide) < _WIDER * min(wide):
        return "both ends are equally wide; give the direction to the hand"
    return axis if wide[1] > wide[0] else -axis


def _hull_area(points: FloatArray, axis: FloatArray, level: float) -> float:
    """Return the area round a slice of 4 mm, mm2."""
    slab = points[np.abs(points @ axis - level) < 2.0]
    try:
        return float(ConvexHull(slab @ np.column_stack(perpendicular_axes(axis))).volume)
    except (QhullError, ValueError):
        return 0.0


def _section_middle(bone: Mesh, point: FloatArray, normal: FloatArray) -> FloatArray | None:
    """Return the centroid of a section across a bone; None where there is none."""
    face = cut_face(bone, Plane(point, normal))
    if not len(face.faces):
        return None
    area = np.linalg.norm(face.face_area_vectors, axis=1)
    return np.asarray(np.average(face.triangles_ras.mean(axis=1), axis=0, weights=area))


def _ulnar_head(ulna: Mesh, down: FloatArray) -> FloatArray | str:
    """Return the most distal point of the head's joint surface, or why there is none."""
    smooth = smoothed(ulna)
    if cut_off_share(smooth, down) > _CUT_OFF:
        return "its lower end is cut off"
    height = smooth.triangles_ras.mean(axis=1) @ down
    # The styloid is a small patch of its own.
    patch = facing_patch(smooth, down, _HEAD_DEG, height > height.max() - _END_MM)
    if patch.sum() < 10:
        return "no surface at its lower end looks to the hand"
    centres, area = smooth.triangles_ras.mean(axis=1)[patch], smooth.face_area_vectors[patch] @ down
    middle = np.average(centres, axis=0, weights=area)
    corners = smooth.vertices_ras[np.unique(smooth.faces[patch])]
    around = np.linalg.norm(np.cross(corners - middle, down), axis=1) < 0.75 * np.sqrt(area.sum() / np.pi)
    if not around.any():
        return "its head is too coarse"
    return np.asarray(corners[around][(corners[around] @ down).argmax()])
