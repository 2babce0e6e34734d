"""The one oblique cut after which a turn in its own plane corrects a bend and a twist at once.

Source: Sangeorzan et al. 1989, Mathematical analysis of single-cut osteotomy for complex long bone deformities,
J Biomech 22:1271.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, transform_points

from .plane import Plane, direction_of, point_of
from .screw_motion import ScrewMotion, screw_motion

#: Below this the axis of the turn, and so the plane, is noise, degrees.
_LEAST_TURN_DEG = 0.5


@dataclass(frozen=True, eq=False)
class SingleCut:
    """A cut at right angles to the axis of the correction, and what happens in it.

    Parameters
    ----------
    plane
        Its normal is the axis of the turn.
    screw
        The correction.
    turn_deg
        Turn of the fragment in the plane of the cut, right-handed about its normal.
    slide_mm
        (3,) shift of the reference point within the plane, RAS.
    gap_mm
        What the faces come apart (positive) or overlap (negative) along the normal; the cut cannot mend it: lengthen,
        take bone off, or accept it.
    obliquity_deg
        Between the normal and the bone's axis: 0 for a mere twist; near 90 the cut runs along the shaft and cannot be
        sawn.
    """

    plane: Plane
    screw: ScrewMotion
    turn_deg: float
    slide_mm: FloatArray
    gap_mm: float
    obliquity_deg: float

    @property
    def without_gap_ras(self) -> FloatArray:
        """Rigid 4x4 of the turn and slide alone: the correction with its faces kept in touch."""
        return ScrewMotion(self.screw.axis_ras, self.screw.point_ras, self.screw.angle_deg, 0.0).matrix_ras


def single_oblique_cut(motion_ras: ArrayLike, level_ras: ArrayLike, bone_axis_ras: ArrayLike) -> SingleCut:
    """Return the oblique cut for a 6-DOF correction.

    Parameters
    ----------
    motion_ras
        Rigid 4x4 that takes the distal fragment to where it should be.
    level_ras
        A point that the cut passes through.
    bone_axis_ras
        Direction of the bone, from proximal to distal; the normal looks to its distal side.

    Raises
    ------
    GeometryError
        When the correction hardly turns (below half a degree): any cut does.
    """
    level, axis = point_of(level_ras, "level of the cut"), direction_of(bone_axis_ras, "axis of the bone")
    screw = screw_motion(motion_ras, level)
    if screw.angle_deg < _LEAST_TURN_DEG:
        raise GeometryError(
            f"the correction turns by {screw.angle_deg:.2f} degrees only", "A shift needs no oblique cut.", "single cut"
        )
    sign = 1.0 if screw.axis_ras @ axis >= 0 else -1.0
    plane = Plane(level, sign * screw.axis_ras)
    step = transform_points(screw.matrix_ras, level) - level
    gap = sign * screw.along_mm
    obliquity = float(np.degrees(np.arccos(np.clip(plane.normal_ras @ axis, -1.0, 1.0))))
    return SingleCut(plane, screw, sign * screw.angle_deg, step - gap * plane.normal_ras, gap, obliquity)
