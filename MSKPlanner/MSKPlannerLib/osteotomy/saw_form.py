"""Cuts that are no single plane, in the frame of their `cut_shape.CutShape`: a tongue beside the plane, a dome, a step.

Each is a line that the saw goes through in one direction (`cuts.SheetCut`); above it (towards z) lies the part that moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points

from ..guides.solid import from_manifold, to_manifold
from ..mesh import Mesh
from .cuts import SheetCut, dome_cut
from .sheet_solid import side_solid, slot_solid

#: Corners of a line go on straight from so far out, mm: only their direction counts.
_ARM_MM = 10.0
#: Parts of a cut bone may lie so deep in each other where they are put: chords of a dome's arc, and rounding. Mean over the face, mm.
_MEET_MM = 0.01
#: By this much slots that shall be one reach into each other, mm.
_INTO_MM = 0.05
#: What lies this near to the line of a cut lies on its face, mm.
_ON_FACE_MM = 1e-4


@dataclass(frozen=True)
class Tongue:
    """The second plane of a biplanar wedge: it leaves the first and rises into the part that stays, or descends into the other.

    Parameters
    ----------
    corner_mm
        Where on y (along the hinge) the two planes meet.
    front
        1 where the tongue lies beyond the corner towards y, -1 towards -y.
    rise_deg
        Angle between the two sawn faces, 90 (straight up) to 150 (leaning forward). The tongue goes with the part that moves and
        slides along this face.
    descends
        Whether the second plane goes the other way: the tongue then stays, before the part that moves.
    """

    corner_mm: float
    front: int
    rise_deg: float = 110.0
    descends: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.corner_mm) or self.front not in (1, -1):
            raise InputError("the corner of a biplanar cut is not finite", where="biplanar cut")
        if not 90.0 <= self.rise_deg <= 150.0:
            raise InputError(
                f"an ascending cut of {self.rise_deg:g} degrees",
                "Give 90 to 150: below 90 its tongue is held by the other part.",
                "biplanar cut",
            )

    @property
    def rising(self) -> FloatArray:
        """(3,) direction from the corner along the second plane, in the cut's frame."""
        angle = np.radians(self.rise_deg)
        return np.array([0.0, -self.front * np.cos(angle), np.sin(angle) * (1.0 if self.descends else -1.0)])


@dataclass(frozen=True)
class Dome:
    """A cylinder about an axis along y, which the part that moves turns about; the frame's origin is its apex.

    Parameters
    ----------
    radius_mm
        Positive where the axis lies on the side of the part that moves, negative on the other.
    """

    radius_mm: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.radius_mm) and 5.0 <= abs(self.radius_mm) <= 500.0):
            raise InputError(f"a dome of {self.radius_mm:g} mm radius", "Give 5 to 500 mm.", where="dome")


@dataclass(frozen=True)
class Step:
    """A line of corners in x and z, sawn along y, and how far the parts are then drawn apart along z.

    Parameters
    ----------
    corners_mm
        (x, z) from -x to x; the first and the last stretch go on until they leave the bone.
    shift_mm
        What the bone is lengthened by; 0 or more.
    """

    corners_mm: tuple[tuple[float, float], ...]
    shift_mm: float = 0.0

    def __post_init__(self) -> None:
        corners = np.asarray(self.corners_mm, dtype=np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or not 3 <= len(corners) <= 20 or not np.isfinite(corners).all():
            raise InputError("a step cut needs 3 to 20 corners", "Give them as (x, z) in mm.", where="step cut")
        if corners[-1, 0] <= corners[0, 0]:
            raise InputError("the corners of a step cut run from -x to x", "Turn their order round.", where="step cut")
        if not 0.0 <= self.shift_mm <= 100.0:
            raise InputError(
                f"a lengthening of {self.shift_mm:g} mm",
                "Give 0 to 100 mm; to shorten a bone, take a piece out.",
                "step cut",
            )


Form = Tongue | Dome | Step


def sheet_of(form: Form, to_ras: FloatArray, kerf_mm: float = 0.0) -> SheetCut:
    """Return the cut as a sheet; seen from the start of its line the part that moves lies left, of a dome outside of the arc."""
    x, y, z = to_ras[:3, 0], to_ras[:3, 1], to_ras[:3, 2]
    origin = to_ras[:3, 3]
    if isinstance(form, Dome):
        return dome_cut("dome", origin + form.radius_mm * z, y, origin, kerf_mm)
    if isinstance(form, Tongue):
        frame = rigid(np.column_stack([form.front * y, z, form.front * x]), origin)
        corner = form.front * form.corner_mm
        up = form.rising * [1.0, form.front, 1.0]
        line = [[corner - _ARM_MM, 0.0], [corner, 0.0], [corner + _ARM_MM * up[1], _ARM_MM * up[2]]]
        return SheetCut("biplanar cut", frame, np.array(line), kerf_mm)
    return SheetCut(
        "step cut", rigid(np.column_stack([x, z, -y]), origin), np.array(form.corners_mm, dtype=np.float64), kerf_mm
    )


def split_by_form(bone: Mesh, form: Form, to_ras: FloatArray) -> tuple[Mesh, Mesh]:
    """Return the part that stays and the part that moves, cut right through.

    Raises
    ------
    GeometryError
        When the cut misses the bone, or a dome is too small to get out of it.
    """
    sheet = sheet_of(form, to_ras)
    solid = to_manifold(bone, f"{sheet.name}: bone")
    inside, outside = solid.split(side_solid(sheet, _reach_mm(bone, to_ras)))
    if any(p.status().name != "NoError" for p in (inside, outside)):
        raise ProcessingError(f"{sheet.name}: the cut bone does not close.")
    if inside.is_empty() or outside.is_empty():
        raise GeometryError("the cut misses the bone", "Move it into the bone.", sheet.name)
    above, below = from_manifold(inside), from_manifold(outside)
    if isinstance(form, Dome):
        _check_dome(above, form, to_ras)
        # Outside of the arc lies what is farther from the axis.
        return (below, above) if form.radius_mm < 0 else (above, below)
    return below, above


def slot_of_form(form: Form, to_ras: FloatArray, kerf_mm: float, reach_mm: float) -> Any:
    """Return what the saw takes (`manifold3d.Manifold`): of a biplanar wedge the plane up to the hinge and the whole ascending cut."""
    slot = slot_solid(sheet_of(form, to_ras, kerf_mm), reach_mm)
    if not isinstance(form, Tongue):
        return slot
    x, origin = to_ras[:3, 0], to_ras[:3, 3]
    ahead = slot.trim_by_plane(x.tolist(), float(x @ origin))
    # Behind the hinge the ascending cut alone is sawn.
    whole = sheet_of(form, to_ras, kerf_mm)
    corner, end = whole.profile_mm[1:]
    # It begins half a blade before the corner: one that began in it would leave the parts touching along a line.
    start = corner - 0.5 * kerf_mm * (end - corner) / np.linalg.norm(end - corner)
    ascending = replace(whole, profile_mm=np.array([start, end]), open_start=False)
    # It reaches a little into the slot before the hinge: two that only touched would leave a film of bone between them.
    return ahead + slot_solid(ascending, reach_mm).trim_by_plane((-x).tolist(), float(-x @ origin) - _INTO_MM)


def overlap_mm(staying: Mesh, moved: Mesh, form: Form, to_ras: FloatArray, motion_ras: FloatArray) -> float:
    """Return how deep the parts lie in each other after the motion, mean over the cut's face, mm; of a biplanar wedge before its hinge.

    The face is that of the part that stays (of a closing wedge the other has its own). Behind a hinge bone bends and does not move as one piece.
    """
    one = to_manifold(staying, "part that stays")
    other = to_manifold(moved.transformed(motion_ras), "part that moves")
    if isinstance(form, Tongue):
        ahead = to_ras[:3, 0].tolist(), float(to_ras[:3, 0] @ to_ras[:3, 3])
        one, other = one.trim_by_plane(*ahead), other.trim_by_plane(*ahead)
    area = face_area_mm2(staying, form, to_ras)
    return float((one ^ other).volume()) / max(area, 1.0)


def meets(depth_mm: float) -> bool:
    """Tell whether an `overlap_mm` is more than chords and rounding."""
    return depth_mm > _MEET_MM


def on_face(points_ras: FloatArray, form: Form, to_ras: FloatArray) -> np.ndarray:
    """Tell which points (N, 3) lie on the face of a cut."""
    sheet = sheet_of(form, to_ras)
    flat = transform_points(invert_rigid(sheet.frame_to_ras), points_ras)[:, :2]
    line = sheet.profile_mm
    steps = np.diff(line, axis=0)
    near = np.full(len(flat), np.inf)
    for k, (start, step) in enumerate(zip(line[:-1], steps, strict=True)):
        share = ((flat - start) @ step) / float(step @ step)
        low, high = (-np.inf if k == 0 else 0.0), (np.inf if k == len(steps) - 1 else 1.0)
        foot = start + np.clip(share, low, high)[:, None] * step
        near = np.minimum(near, np.linalg.norm(flat - foot, axis=1))
    return np.asarray(near < _ON_FACE_MM)


def cut_face_of(part: Mesh, form: Form, to_ras: FloatArray) -> Mesh:
    """Return the triangles of a part that its cut has made."""
    on = on_face(part.vertices_ras, form, to_ras)
    middle = on_face(part.triangles_ras.mean(axis=1), form, to_ras)
    return Mesh(part.vertices_ras, part.faces[on[part.faces].all(axis=1) & middle])


def line_in_bone(part: Mesh, form: Form, to_ras: FloatArray) -> FloatArray:
    """Return the line of a cut (N, 3), RAS mm, as far as it runs in a part that it has made: for pictures."""
    sheet = sheet_of(form, to_ras)
    face = cut_face_of(part, form, to_ras)
    local = transform_points(invert_rigid(sheet.frame_to_ras), part.vertices_ras[np.unique(face.faces)])
    line, flat = sheet.profile_mm.copy(), local[:, :2]
    if isinstance(form, Dome):
        line = line[(line[:, 0] >= flat[:, 0].min()) & (line[:, 0] <= flat[:, 0].max())]
        return transform_points(sheet.frame_to_ras, np.column_stack([line, np.full(len(line), local[:, 2].mean())]))
    for end, inner in ((0, 1), (-1, -2)):
        ahead = line[end] - line[inner]
        ahead /= np.linalg.norm(ahead)
        reach = (flat - line[inner]) @ ahead
        beside = np.abs((flat - line[inner]) @ np.array([-ahead[1], ahead[0]]))
        line[end] = line[inner] + float(reach[beside < _ON_FACE_MM].max(initial=0.0)) * ahead
    return transform_points(sheet.frame_to_ras, np.column_stack([line, np.full(len(line), local[:, 2].mean())]))


def face_area_mm2(part: Mesh, form: Form, to_ras: FloatArray) -> float:
    """Return the area of the cut's face on a part."""
    return float(cut_face_of(part, form, to_ras).area_mm2)


def beyond_dome(points_ras: FloatArray, dome: Dome, to_ras: FloatArray) -> np.ndarray:
    """Tell which points (N, 3) lie on the side of the part that moves."""
    local = transform_points(invert_rigid(to_ras), points_ras)
    height = (local[:, 2] - dome.radius_mm) * -np.sign(dome.radius_mm)  # from the axis towards the apex
    out = np.where(height > 0, np.hypot(local[:, 0], height), np.abs(local[:, 0])) > abs(dome.radius_mm)
    return np.asarray(out if dome.radius_mm < 0 else ~out)


def _check_dome(outer: Mesh, form: Dome, to_ras: FloatArray) -> None:
    """Refuse a dome whose arc ends inside the bone: its ends would run along the shaft."""
    local = transform_points(invert_rigid(to_ras), outer.vertices_ras[on_face(outer.vertices_ras, form, to_ras)])
    past_axis = local[:, 2] / form.radius_mm > 1.0
    if past_axis.any():
        raise GeometryError(
            f"a dome of {abs(form.radius_mm):.1f} mm radius does not get out of the bone on its sides",
            "Give a larger radius, or cut where the bone is narrower.",
            "dome",
        )


def _reach_mm(bone: Mesh, to_ras: FloatArray) -> float:
    return 10.0 + 1.1 * float(np.linalg.norm(bone.vertices_ras - to_ras[:3, 3], axis=1).max())
