"""A rigid motion as one turn about an axis and one shift along it, and as the numbers that a surgeon uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import (
    FloatArray,
    check_rigid,
    invert_rigid,
    rigid,
    rotation_about,
    rotation_angle_deg,
    transform_points,
)

from .hinge import Hinge
from .plane import point_of

#: Below this angle the axis is noise and the motion is taken for a shift, degrees.
_LEAST_TURN_DEG = 1e-4


@dataclass(frozen=True, eq=False)
class ScrewMotion:
    """A turn about an axis and a shift along it (Chasles; Sangeorzan et al. 1989 for osteotomies).

    Parameters
    ----------
    axis_ras
        Unit direction; the angle is right-handed about it. Of a mere shift, the shift's direction.
    point_ras
        The point of the axis nearest to the reference that was asked for.
    angle_deg
        0 to 180.
    along_mm
        Shift along the axis.
    """

    axis_ras: FloatArray
    point_ras: FloatArray
    angle_deg: float
    along_mm: float

    @property
    def matrix_ras(self) -> FloatArray:
        """The motion as a rigid 4x4."""
        turn = rotation_about(self.axis_ras, self.angle_deg)
        return rigid(turn, self.point_ras - turn @ self.point_ras + self.along_mm * self.axis_ras)


def screw_motion(motion_ras: ArrayLike, reference_ras: ArrayLike) -> ScrewMotion:
    """Break a rigid 4x4 into its screw.

    Parameters
    ----------
    reference_ras
        Where on the axis `point_ras` is wanted: near the osteotomy.
    """
    m, reference = check_rigid(motion_ras, "motion of a fragment", 1e-6), point_of(reference_ras, "reference point")
    turn = Rotation.from_matrix(m[:3, :3]).as_rotvec()
    angle = float(np.linalg.norm(turn))
    shift = m[:3, 3]
    if np.degrees(angle) < _LEAST_TURN_DEG:
        step = transform_points(m, reference) - reference
        length = float(np.linalg.norm(step))
        axis = step / length if length > 0 else np.array([0.0, 0.0, 1.0])
        return ScrewMotion(axis, reference, 0.0, length)
    axis = turn / angle
    along = float(shift @ axis)
    across = shift - along * axis
    point = 0.5 * (across + np.cross(axis, across) / np.tan(angle / 2))
    return ScrewMotion(axis, point + ((reference - point) @ axis) * axis, float(np.degrees(angle)), along)


@dataclass(frozen=True)
class TurnAboutHinge:
    """How far a motion is a turn about a hinge: the turn, and what is left beside it.

    Parameters
    ----------
    angle_deg
        Right-handed about the hinge's axis, -180 to 180.
    rest_deg
        The rest of the rotation.
    rest_mm
        Shift of the hinge's point.
    """

    angle_deg: float
    rest_deg: float
    rest_mm: float


def turn_about_hinge(motion_ras: ArrayLike, hinge: Hinge) -> TurnAboutHinge:
    """Return the turn about a hinge that a fragment moved by hand has made (swing and twist of the rotation)."""
    m = check_rigid(motion_ras, "motion of a fragment", 1e-6)
    x, y, z, w = Rotation.from_matrix(m[:3, :3]).as_quat()
    angle = float(np.degrees(2 * np.arctan2(np.array([x, y, z]) @ hinge.axis_ras, w)))
    angle = (angle + 180) % 360 - 180
    rest = m @ invert_rigid(hinge.motion_ras(angle))
    shift = transform_points(m, hinge.point_ras) - hinge.point_ras
    return TurnAboutHinge(angle, rotation_angle_deg(rest), float(np.linalg.norm(shift)))


@dataclass(frozen=True)
class FragmentNumbers:
    """How a distal fragment was moved, in a surgeon's words.

    Angles are taken one after the other about the transverse axis of the part that stays, the floating axis and the
    long axis of the part that moves (Grood & Suntay 1983, doi 10.1115/1.3138397). Shifts are those of the reference
    point.
    """

    valgus_deg: float
    flexion_deg: float
    external_deg: float
    lateral_mm: float
    anterior_mm: float
    proximal_mm: float


def fragment_numbers(
    motion_ras: ArrayLike, bone_to_ras: ArrayLike, side: str, reference_ras: ArrayLike
) -> FragmentNumbers:
    """Return the numbers of a distal fragment that was moved, by hand or by a plan.

    Parameters
    ----------
    motion_ras
        Rigid 4x4 that takes the fragment from its place in the bone to where it is now.
    bone_to_ras
        Frame of the part that stays: x to the patient's right, y forward, z upwards (`limb_landmarks.bone_frame`).
    side
        "left" or "right".
    reference_ras
        The point whose shift is given, before the motion, as the middle of the cut.
    """
    if side not in ("left", "right"):
        raise InputError(f"the side is {side!r}", "Say 'left' or 'right'.", where="moved fragment")
    frame = check_rigid(bone_to_ras, "frame of the bone")
    point = point_of(reference_ras, "reference point")
    m = invert_rigid(frame) @ check_rigid(motion_ras, "motion of a fragment", 1e-6) @ frame
    about_x, about_y, about_z = Rotation.from_matrix(m[:3, :3]).as_euler("XYZ", degrees=True)
    if abs(about_y) > 80:
        raise GeometryError("the fragment was turned by more than 80 degrees", "Move it back.", "moved fragment")
    local = transform_points(invert_rigid(frame), point)
    shift = transform_points(m, local) - local
    sign = 1.0 if side == "right" else -1.0
    return FragmentNumbers(
        # The lower end of a right leg goes laterally when it turns about y the negative way, and back about x.
        valgus_deg=float(-sign * about_y),
        flexion_deg=float(-about_x),
        external_deg=float(-sign * about_z),
        lateral_mm=float(sign * shift[0]),
        anterior_mm=float(shift[1]),
        proximal_mm=float(shift[2]),
    )


def motion_of(numbers: FragmentNumbers, bone_to_ras: ArrayLike, side: str, reference_ras: ArrayLike) -> FloatArray:
    """Return the rigid 4x4 in RAS of the numbers: the inverse of `fragment_numbers`."""
    if side not in ("left", "right"):
        raise InputError(f"the side is {side!r}", "Say 'left' or 'right'.", where="moved fragment")
    frame = check_rigid(bone_to_ras, "frame of the bone")
    sign = 1.0 if side == "right" else -1.0
    angles = [-numbers.flexion_deg, -sign * numbers.valgus_deg, -sign * numbers.external_deg]
    turn = Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()
    local = transform_points(invert_rigid(frame), point_of(reference_ras, "reference point"))
    shift = np.array([sign * numbers.lateral_mm, numbers.anterior_mm, numbers.proximal_mm])
    return frame @ rigid(turn, local + shift - turn @ local) @ invert_rigid(frame)
