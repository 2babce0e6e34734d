"""Opening and closing wedges: a plane, a hinge and an angle, and what they make of the bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, rotation_about, transform_points

from ..mesh import Mesh
from .hinge import Hinge, gap_mm
from .hinge_section import HingeSection, section_at_hinge
from .plane import Plane, point_of
from .plane_split import split_by_plane

#: Larger wedges are no corrections of a leg or an arm, but wrong signs and units.
LARGEST_DEG = 60.0
#: A closing wedge leaves at least this share of the cut's depth as a face to close on.
_LEAST_FACE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Wedge:
    """An opening or closing wedge.

    Parameters
    ----------
    opening
        Whether bone is spread, or taken out and closed.
    angle_deg
        Positive.
    planes
        One plane (opening), or the two faces of the wedge that is taken out; normals look to the moved fragment.
    section
        The face of the first plane seen from the hinge; its `bone_left_mm` is the hinge-fracture distance.
    gap_mm
        Height of the wedge at the cortex where it is widest: what is spread, or taken out, as a chord.
    moved_to_corrected_ras
        Rigid 4x4 of the moved fragment.
    fixed, moved, removed
        Closed parts of the bone in their place before the correction; `removed` is None in an opening wedge. Behind
        the hinge, where bone bends and does not come apart, the plane goes on through them.
    """

    opening: bool
    angle_deg: float
    planes: tuple[Plane, ...]
    section: HingeSection
    gap_mm: float
    moved_to_corrected_ras: FloatArray
    fixed: Mesh
    moved: Mesh
    removed: Mesh | None

    @property
    def removed_mm3(self) -> float:
        """Bone taken out, mm3."""
        return 0.0 if self.removed is None else self.removed.volume_mm3

    def gaps_mm(self, count: int = 5) -> tuple[FloatArray, FloatArray]:
        """Return places along the hinge (count,), mm, and the height of the wedge at the cortex there (count,), mm."""
        places, depth = self.section.stations(count)
        return places, gap_mm(depth, self.angle_deg)


def wedge(
    bone: Mesh,
    plane: Plane,
    hinge: Hinge,
    entry_ras: ArrayLike,
    angle_deg: float,
    moved_ras: ArrayLike,
    *,
    opening: bool,
) -> Wedge:
    """Return a wedge of a bone.

    Parameters
    ----------
    bone
        Closed and outward, RAS mm.
    plane
        The saw's plane; for a closing wedge the face on the side of the fragment that stays.
    hinge
        In the plane and in the bone.
    entry_ras
        A point on the side where the wedge is widest.
    angle_deg
        Above 0, at most 60.
    moved_ras
        A point on the side of the fragment that is moved, as the ankle's centre.

    Raises
    ------
    InputError
        When the angle is not in range or the bone's surface is not closed.
    GeometryError
        When the plane or the hinge misses the bone, or the wedge is larger than the bone.
    """
    if not 0 < angle_deg <= LARGEST_DEG:
        raise InputError(
            f"a wedge of {angle_deg} degrees", f"Give an angle above 0 and up to {LARGEST_DEG:g}.", where="wedge"
        )
    if not bone.is_closed or bone.volume_mm3 <= 0:
        raise InputError("the surface of the bone is not closed and outward", "Make it again.", where="wedge")
    height = float(plane.height_mm(point_of(moved_ras, "moved fragment")))
    if abs(height) < 1e-3:
        raise GeometryError("the point of the moved fragment lies in the plane of the cut", "Move it.", "wedge")
    plane = plane if height > 0 else plane.turned_over()
    section = section_at_hinge(bone, plane, hinge, point_of(entry_ras, "entry of the saw"))
    axis = section.hinge
    moved, fixed = split_by_plane(bone, plane)
    widest = float(gap_mm(section.depth_mm, angle_deg))
    if opening:
        return Wedge(True, angle_deg, (plane,), section, widest, axis.motion_ras(angle_deg), fixed, moved, None)
    second = second_face(plane, axis, angle_deg)
    moved, removed = _without_wedge(moved, plane, second, section, height_of=moved_ras)
    return Wedge(False, angle_deg, (plane, second), section, widest, axis.motion_ras(-angle_deg), fixed, moved, removed)


def wedge_of_turn(
    bone: Mesh, plane: Plane, hinge: Hinge, entry_ras: ArrayLike, turn_deg: float, moved_ras: ArrayLike
) -> Wedge:
    """Return the wedge that turns the moved fragment by a signed angle about the hinge's axis, as `target` plans it.

    Whether it opens or closes follows from the side of the saw; for the rest see `wedge`.
    """
    point, entry = point_of(moved_ras, "moved fragment"), point_of(entry_ras, "entry of the saw")
    away = plane.normal_ras if plane.height_mm(point) > 0 else -plane.normal_ras
    lift = float(np.cross(hinge.axis_ras, entry - hinge.point_ras) @ away)
    opening = bool(lift * turn_deg > 0)
    return wedge(bone, plane, hinge, entry, abs(turn_deg), point, opening=opening)


def second_face(plane: Plane, hinge: Hinge, angle_deg: float) -> Plane:
    """Return the face of a closing wedge on the side of the moved fragment; the hinge opens with positive angles."""
    return Plane(hinge.point_ras, rotation_about(hinge.axis_ras, angle_deg) @ plane.normal_ras)


def gap_miss_mm(made: Wedge) -> float:
    """Return by how much the parts, where they were put, miss the planned gap, or do not touch."""
    face = made.section.face.vertices_ras
    ahead = (face - made.section.to_ras[:3, 3]) @ made.section.to_ras[:3, 0]
    if made.opening:
        rim = face[ahead.argmax()]
        opened = float(np.linalg.norm(transform_points(made.moved_to_corrected_ras, rim) - rim))
        return abs(opened - made.gap_mm)
    moved = made.moved.vertices_ras
    on_face = moved[np.abs(made.planes[1].height_mm(moved)) < 1e-3]
    if not len(on_face):
        return float("inf")
    return float(np.abs(made.planes[0].height_mm(transform_points(made.moved_to_corrected_ras, on_face))).max())


def _without_wedge(
    above: Mesh, plane: Plane, second: Plane, section: HingeSection, height_of: ArrayLike
) -> tuple[Mesh, Mesh]:
    """Return what a closing wedge leaves of the moved side, and the wedge."""
    # Behind the hinge the second plane lies below the first, so this cut takes the wedge and nothing else.
    moved, removed = split_by_plane(above, second)
    across = section.to_ras[:3, 0]
    reach = -np.inf
    if len(moved.faces):
        reach = float(((moved.vertices_ras - section.to_ras[:3, 3]) @ across).max())
    if reach < _LEAST_FACE_SHARE * section.depth_mm or second.height_mm(np.asarray(height_of, dtype=np.float64)) <= 0:
        raise GeometryError(
            "the wedge is larger than the bone on its side", "Use a smaller angle, or move the plane.", "wedge"
        )
    if not len(removed.faces) or not removed.is_closed or not moved.is_closed:
        raise ProcessingError("wedge: the parts do not close.")
    return moved, removed
