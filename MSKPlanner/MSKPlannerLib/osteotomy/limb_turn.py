"""The derotation of a femur or tibia: a cut across the bone and a turn about its mechanical axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points

from ..anatomy.limb_alignment import LimbAlignment, align
from ..anatomy.limb_landmarks import LimbLandmarks
from ..anatomy.limb_measures import MEASURES, unusual
from ..mesh import Mesh
from .cuts import PlaneCut
from .fragments import CutBone, cut_bone
from .hinge import Hinge
from .limb_bone import AGREE_DEG, LEAST_TURN_DEG, bone_frame, landmarks_after
from .plane import Plane
from .target import Correction, CutLevel, Target, plan_turn

#: Which bone is turned for a target.
BONE_OF_TARGET = {"femoral_torsion_deg": CutLevel.FEMUR, "tibial_torsion_deg": CutLevel.TIBIA}
#: Where the cut usually lies, from the knee's joint surface along the bone, mm: a starting position.
USUAL_MM = {CutLevel.FEMUR: 80.0, CutLevel.TIBIA: 70.0}


@dataclass(frozen=True, eq=False)
class LimbTurn:
    """A planned derotation.

    Parameters
    ----------
    bone, target
        Which bone is cut, and what the leg shall measure.
    plane
        Of the saw, its normal towards the part that turns.
    correction
        The turn (right-handed about the bone's mechanical axis, upwards), and the leg before and after it.
    cut
        The bone's parts; one of them may hold crumbs of the other side.
    fragments_after
        The staying and the turned part after the correction; closed.
    landmarks_after
        The landmarks, moved with the parts that they lie on.
    measured_again
        Their measures.
    miss
        By how much the target's measure, measured again, misses its value, degrees.
    reasons, warnings
        Why the plan is rejected, and what to look at.
    """

    bone: CutLevel
    target: Target
    plane: Plane
    correction: Correction
    cut: CutBone
    moved: Mesh
    fragments_after: tuple[Mesh, Mesh]
    landmarks_after: LimbLandmarks
    measured_again: LimbAlignment
    miss: float
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the parts do what the plan says."""
        return not self.reasons

    @property
    def motion_ras(self) -> FloatArray:
        """Rigid 4x4 of the part that turns."""
        return self.correction.motion_ras


def plan_limb_turn(
    points: LimbLandmarks, bone_surface: Mesh, target: Target, level_mm: float | None = None, kerf_mm: float = 0.0
) -> LimbTurn:
    """Return the derotation that brings a torsion to its target.

    The turn is about the mechanical axis, so the leg's alignment in the frontal plane hardly changes; the cut lies at right
    angles to it, so its faces stay in touch.

    Parameters
    ----------
    target
        Of the femoral or the tibial torsion.
    level_mm
        From the knee's joint surface along the bone; None: `USUAL_MM`.

    Raises
    ------
    InputError
        When the target is no torsion, or reached already.
    GeometryError
        When landmarks of the bone are missing, or the surface does not reach the cut.
    """
    bone = BONE_OF_TARGET.get(target.measure)
    if bone is None:
        raise InputError(f"{target.measure} is no torsion", "Plan a wedge for it.", where="derotation")
    level = USUAL_MM[bone] if level_mm is None else level_mm
    if not 0 < level <= 400:
        raise InputError(f"{level:g} mm", "Give millimetres above 0, up to 400.", where="level of the derotation")
    tibia = bone is CutLevel.TIBIA
    frame = bone_frame(points, bone)
    hinge = Hinge(frame[:3, 3], frame[:3, 2])
    correction = plan_turn(points, bone, hinge, target)
    if abs(correction.angle_deg) < LEAST_TURN_DEG:
        raise InputError("the torsion is at the target already", "Choose another target.", f"target {target.measure}")
    pair = ("medial_plateau", "lateral_plateau") if tibia else ("medial_distal_condyle", "lateral_distal_condyle")
    joint = np.mean([transform_points(invert_rigid(frame), getattr(points, n))[2] for n in pair])
    height = joint - level if tibia else joint + level
    # What is farther from the hip turns.
    plane = Plane(transform_points(frame, [0, 0, height]), -frame[:3, 2])
    cut = cut_bone(bone_surface, [PlaneCut("derotation", plane, kerf_mm)])
    above = [f for f in cut.fragments if plane.height_mm(f.vertices_ras).mean() <= 0]
    below = [f for f in cut.fragments if plane.height_mm(f.vertices_ras).mean() > 0]
    if not above or not below:
        raise GeometryError("the cut leaves one part only", "Move the level.", bone.value)
    fixed, moved = above[0], below[0]
    turned = landmarks_after(points, bone, plane, correction.motion_ras)
    again = align(turned, whole=False)
    miss = float((getattr(again, target.measure) - target.value + 180) % 360 - 180)
    after = (fixed, moved.transformed(correction.motion_ras))
    reasons = []
    if not abs(miss) <= AGREE_DEG:
        reasons.append(f"measured again on the parts, {MEASURES[target.measure].title} misses its target by {miss:.3g}")
    if any(not part.is_closed for part in after):
        reasons.append("a part is not closed")
    new = [n for n in unusual(again) if n not in unusual(correction.before) and n != target.measure]
    warnings = [f"{MEASURES[n].title} leaves its usual range" for n in new]
    if len(cut.fragments) > 2:
        warnings.append(f"the cut leaves {len(cut.fragments)} parts; the two largest are shown")
    return LimbTurn(
        bone, target, plane, correction, cut, moved, after, turned, again, miss, tuple(reasons), tuple(warnings)
    )  # fmt: skip
