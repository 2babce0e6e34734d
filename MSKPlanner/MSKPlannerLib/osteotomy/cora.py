"""Where a bent bone is bent (CORA), and what Paley's osteotomy rules make of a hinge and a cut.

Source: Paley 2002, Principles of Deformity Correction, doi 10.1007/978-3-642-59373-4, chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, transform_points, unit

from .hinge import Hinge
from .plane import Plane, direction_of, point_of

#: Straighter bones have no apex that could be found, degrees.
_LEAST_BEND_DEG = 0.5
#: Axes that end this near to each other are in line, and a cut this near to its hinge passes through it, mm.
_NEAR_MM = 0.5


@dataclass(frozen=True, eq=False)
class Cora:
    """Centre of rotation of angulation of two axes in space.

    Parameters
    ----------
    point_ras
        In the middle of the shortest line between the axes.
    hinge
        Through the point, across the plane of the deformity; turning the distal part by +`angle_deg` about it makes
        the axes parallel.
    angle_deg
        True angle between the axes.
    offset_mm
        Shortest distance between the axes: a translation out of the plane of the deformity that no turn about this
        hinge mends.
    proximal_ras, distal_ras
        Unit directions of the axes, both downwards.
    """

    point_ras: FloatArray
    hinge: Hinge
    angle_deg: float
    offset_mm: float
    proximal_point_ras: FloatArray
    proximal_ras: FloatArray
    distal_ras: FloatArray


def find_cora(
    proximal_point_ras: ArrayLike, proximal_axis_ras: ArrayLike, distal_point_ras: ArrayLike, distal_axis_ras: ArrayLike
) -> Cora:
    """Return where the axes of the proximal and the distal part of a bone meet.

    Parameters
    ----------
    proximal_axis_ras, distal_axis_ras
        Both run from proximal to distal.

    Raises
    ------
    GeometryError
        When the axes are parallel to half a degree: the bone is straight, or only shifted.
    """
    p, q = point_of(proximal_point_ras, "proximal axis"), point_of(distal_point_ras, "distal axis")
    u, v = direction_of(proximal_axis_ras, "proximal axis"), direction_of(distal_axis_ras, "distal axis")
    across = np.cross(v, u)
    angle = float(np.degrees(np.arctan2(np.linalg.norm(across), u @ v)))
    if not _LEAST_BEND_DEG <= angle <= 180 - _LEAST_BEND_DEG:
        raise GeometryError(
            f"the axes are parallel ({angle:.2f} degrees); there is no apex",
            "Check the axes; a shift needs no wedge.",
            "CORA",
        )
    # Feet of the common perpendicular.
    a = np.column_stack([u, -v])
    s, t = np.linalg.lstsq(a, q - p, rcond=None)[0]
    on_proximal, on_distal = p + s * u, q + t * v
    middle = 0.5 * (on_proximal + on_distal)
    return Cora(middle, Hinge(middle, across), angle, float(np.linalg.norm(on_distal - on_proximal)), p, u, v)


@dataclass(frozen=True, eq=False)
class CoraCorrection:
    """What a full correction about a hinge does.

    Parameters
    ----------
    rule
        Paley's osteotomy rule: 1, hinge and cut at the CORA, angulation only; 2, hinge at the CORA and cut elsewhere,
        the axes come in line and the cut shifts; 3, hinge elsewhere, the axes end parallel but not in line.
    motion_ras
        Rigid 4x4 of the distal part.
    axis_shift_mm
        Distance between the axes after the correction.
    cut_shift_mm
        How far the two faces of the cut are shifted against each other, at right angles to the proximal axis.
    lengthening_mm
        By how much the distal axis' point at the CORA goes down along the proximal axis; positive: the bone gets longer.
    """

    rule: int
    motion_ras: FloatArray
    axis_shift_mm: float
    cut_shift_mm: float
    lengthening_mm: float


def correct_at(cora: Cora, hinge_point_ras: ArrayLike, cut: Plane) -> CoraCorrection:
    """Return what turning the distal part about a hinge parallel to the CORA's does.

    Parameters
    ----------
    hinge_point_ras
        Any point of the hinge (axis of correction of angulation, ACA).
    cut
        Plane of the osteotomy; it must cross the proximal axis.
    """
    along = float(cut.normal_ras @ cora.proximal_ras)
    if abs(along) < np.sin(np.radians(5.0)):
        raise GeometryError("the cut runs along the bone", "Turn it across the bone's axis.", "CORA")
    hinge = Hinge(point_of(hinge_point_ras, "hinge"), cora.hinge.axis_ras)
    motion = hinge.motion_ras(cora.angle_deg)
    step = transform_points(motion, cora.point_ras) - cora.point_ras
    # The hinge runs along the offset, so the turn leaves that as it was; the rest of the shift adds at right angles.
    sideways = step - (step @ cora.proximal_ras) * cora.proximal_ras
    shift = float(np.hypot(np.linalg.norm(sideways), cora.offset_mm))
    height = float(cut.normal_ras @ (cut.point_ras - cora.proximal_point_ras)) / along
    level = cora.proximal_point_ras + height * cora.proximal_ras
    moved = transform_points(motion, level) - level
    cut_shift = float(np.linalg.norm(moved - (moved @ cora.proximal_ras) * cora.proximal_ras))
    rule = 3
    if np.linalg.norm(sideways) <= _NEAR_MM:
        rule = 1 if cut_shift <= _NEAR_MM else 2
    return CoraCorrection(rule, motion, shift, cut_shift, float(step @ cora.proximal_ras))


def bisector_ras(cora: Cora) -> FloatArray:
    """Return the direction of the transverse bisector: hinges on this line through the CORA bring the axes in line."""
    return unit(cora.distal_ras - cora.proximal_ras)
