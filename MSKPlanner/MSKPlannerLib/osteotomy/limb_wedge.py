"""The wedge about the knee that brings a leg to its target: where it is cut, how far it opens, and whether it gets there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points, unit

from ..anatomy.limb_alignment import LimbAlignment, align
from ..anatomy.limb_landmarks import LimbLandmarks
from ..anatomy.limb_measures import MEASURES, unusual
from ..mesh import Mesh
from .hinge import Hinge
from .limb_bone import AGREE_DEG, AGREE_MM, LEAST_TURN_DEG, THIN_HINGE_MM, bone_frame, landmarks_after
from .plane import Plane
from .plane_split import cut_face
from .target import Correction, CutLevel, Target, plan_turn
from .wedge import Wedge, gap_miss_mm, wedge_of_turn


@dataclass(frozen=True)
class WedgeOptions:
    """Where and how the bone is cut.

    Parameters
    ----------
    bone
        Which bone.
    opening
        Whether the wedge is opened, or taken out and closed.
    entry_mm
        How far from the joint surface the saw enters, along the bone's mechanical axis; None: `usual_heights`.
    hinge_mm
        The same for the hinge, on the other side.
    hinge_depth_mm
        How far the hinge lies inside the cortex.
    """

    bone: CutLevel = CutLevel.TIBIA
    opening: bool = True
    entry_mm: float | None = None
    hinge_mm: float | None = None
    hinge_depth_mm: float = 10.0

    def __post_init__(self) -> None:
        for name in ("entry_mm", "hinge_mm", "hinge_depth_mm"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 200:
                raise InputError(f"{value} mm", "Give millimetres above 0, up to 200.", f"wedge {name}")

    @property
    def heights_mm(self) -> tuple[float, float]:
        """Entry and hinge, mm from the joint surface."""
        entry, hinge = usual_heights(self.bone, opening=self.opening)
        return self.entry_mm or entry, self.hinge_mm or hinge


def usual_heights(bone: CutLevel, *, opening: bool) -> tuple[float, float]:
    """Return where the saw usually enters and ends, mm from the joint surface.

    An opening wedge of the tibia rises from its medial cortex towards the head of the fibula and leaves a hinge of about
    10 mm (Lobenhoffer & Agneskirchner 2003, doi 10.1007/s00167-002-0334-7). The millimetres are this planner's choice: a
    starting position that a surgeon moves.
    """
    if bone is CutLevel.TIBIA:
        return (40.0, 15.0) if opening else (25.0, 25.0)
    return (65.0, 45.0)


@dataclass(frozen=True, eq=False)
class LimbWedge:
    """A planned correction of a leg.

    Parameters
    ----------
    options, target
        What was asked.
    entry_side
        "medial" or "lateral": from where the saw comes, where the wedge is widest.
    correction
        The turn, and the leg before and after it by its landmarks.
    wedge
        Planes, angle, gap, hinge and the parts of the bone.
    fragments_after
        The staying and the moved part, in their place after the correction; closed.
    landmarks_after
        The landmarks, moved with the parts that they lie on.
    measured_again
        Their measures.
    miss
        By how much the target's measure, measured again, misses its value, in its own unit.
    gap_miss_mm
        By how much the gap (opening), or the closed faces (closing), miss what they should be in the fragments.
    reasons
        Why the plan is rejected; empty where it is accepted.
    warnings
        What to look at.
    """

    options: WedgeOptions
    target: Target
    entry_side: str
    correction: Correction
    wedge: Wedge
    fragments_after: tuple[Mesh, Mesh]
    landmarks_after: LimbLandmarks
    measured_again: LimbAlignment
    miss: float
    gap_miss_mm: float
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the fragments do what the plan says."""
        return not self.reasons

    @property
    def bone(self) -> CutLevel:
        """Which bone is cut."""
        return self.options.bone

    @property
    def moved(self) -> Mesh:
        """The part that moves, in its place before the correction."""
        return self.wedge.moved

    @property
    def motion_ras(self) -> FloatArray:
        """Rigid 4x4 of the part that moves."""
        return self.wedge.moved_to_corrected_ras


def plan_limb_wedge(
    points: LimbLandmarks, bone: Mesh, target: Target, options: WedgeOptions | None = None
) -> LimbWedge:
    """Return the wedge that brings a leg to a target.

    The hinge runs from back to front in the bone's own frame, so the wedge itself turns in its frontal plane.

    Parameters
    ----------
    points
        Landmarks of the leg.
    bone
        Closed surface of the bone that is cut, RAS mm.

    Raises
    ------
    InputError
        When the leg is at the target already, or the bone's surface is not closed.
    GeometryError
        When the landmarks do not tell the target's measure or the bone's frame, the bone does not reach the cut, or no
        wedge gets there.
    """
    options = options or WedgeOptions()
    frame = bone_frame(points, options.bone)
    front = frame[:3, 1]
    trial = plan_turn(points, options.bone, Hinge(frame[:3, 3], front), target)
    if abs(trial.angle_deg) < LEAST_TURN_DEG:
        raise InputError(
            f"the leg is at the target already (by a turn of {abs(trial.angle_deg):.2f} degrees)",
            "Choose another target.",
            f"target {target.measure}",
        )
    # A right-handed turn about the direction to the front takes the foot to the patient's left.
    valgus = trial.angle_deg * points.lateral_sign < 0
    entry_side = "medial" if valgus == options.opening else "lateral"
    plane, hinge, entry = _placed(points, bone, frame, entry_side, options)
    correction = plan_turn(points, options.bone, hinge, target)
    below = points.ankle_centre if options.bone is CutLevel.TIBIA else points.femoral_knee_centre
    made = wedge_of_turn(bone, plane, hinge, entry, correction.angle_deg, below)
    after = (made.fixed, made.moved.transformed(made.moved_to_corrected_ras))
    moved = landmarks_after(points, options.bone, made.planes[0], made.moved_to_corrected_ras, made.section.to_ras)
    again = align(moved, whole=False)
    miss = float(getattr(again, target.measure)) - target.value
    gap_miss = gap_miss_mm(made)
    reasons, warnings = _judged(made, after, target, miss, gap_miss, correction, points, again)
    return LimbWedge(
        options, target, entry_side, correction, made, after, moved, again, miss, gap_miss, reasons, warnings
    )  # fmt: skip


def _placed(
    points: LimbLandmarks, bone: Mesh, frame: FloatArray, entry_side: str, options: WedgeOptions
) -> tuple[Plane, Hinge, FloatArray]:
    """Return plane, hinge and the saw's entry."""
    tibia = options.bone is CutLevel.TIBIA
    hinge_side = "lateral" if entry_side == "medial" else "medial"
    away = -1.0 if tibia else 1.0
    entry_mm, hinge_mm = options.heights_mm

    def joint(side: str) -> float:
        name = f"{side}_plateau" if tibia else f"{side}_distal_condyle"
        return float(transform_points(invert_rigid(frame), getattr(points, name))[2])

    def cortex(side: str, height: float) -> FloatArray:
        """Outermost point of the bone at a height, in its frame."""
        flat = Plane(transform_points(frame, [0, 0, height]), frame[:3, 2])
        face = cut_face(bone, flat)
        if not len(face.faces):
            raise GeometryError(
                f"the surface does not reach the cut, {abs(height - joint(side)):.0f} mm from the joint",
                "Show more of the bone, or cut nearer to the joint.",
                options.bone.value,
            )
        local = transform_points(invert_rigid(frame), face.vertices_ras)
        sign = points.lateral_sign * (1 if side == "lateral" else -1)
        return np.asarray(local[(sign * local[:, 0]).argmax()])

    entry = cortex(entry_side, joint(entry_side) + away * entry_mm)
    far = cortex(hinge_side, joint(hinge_side) + away * hinge_mm)
    inward = -1.0 if far[0] > entry[0] else 1.0
    pivot = far + [inward * options.hinge_depth_mm, 0, 0]
    along = entry - pivot
    if abs(along[0]) < 2 * options.hinge_depth_mm:
        raise GeometryError(
            f"the hinge lies {abs(along[0]):.0f} mm from the saw's entry",
            "Put the hinge nearer to the far cortex.",
            "hinge",
        )
    axis = np.array([0.0, 1.0, 0.0])
    normal = unit(np.cross(axis, along))
    rotation = frame[:3, :3]
    hinge = Hinge(transform_points(frame, pivot), rotation @ axis)
    return Plane(hinge.point_ras, rotation @ normal), hinge, transform_points(frame, entry)


def _judged(
    made: Wedge, after: tuple[Mesh, Mesh], target: Target, miss: float, gap_miss: float, correction: Correction,
    points: LimbLandmarks, again: LimbAlignment,
) -> tuple[tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    """Return why the plan is rejected, and what to look at."""
    reasons, warnings = [], []
    in_mm = target.measure == "weight_bearing_share"
    width = float(np.linalg.norm(points.lateral_plateau_edge - points.medial_plateau_edge)) if in_mm else 1.0
    bar = AGREE_MM if in_mm or target.measure.endswith("_mm") else AGREE_DEG
    if not abs(miss) * width <= bar:
        reasons.append(
            f"measured again on the fragments, {MEASURES[target.measure].title} misses its target by {miss:.3g}"
        )
    if not gap_miss <= AGREE_MM:
        reasons.append(f"the fragments miss the planned gap by {gap_miss:.2f} mm")
    if any(not part.is_closed for part in after):
        reasons.append("a fragment is not closed")
    if made.section.bone_left_mm < THIN_HINGE_MM:
        warnings.append(f"only {made.section.bone_left_mm:.1f} mm of bone are left behind the hinge")
    new = [n for n in unusual(again) if n not in unusual(correction.before)]
    warnings += [f"{MEASURES[n].title} leaves its usual range" for n in new if n != target.measure]
    return tuple(reasons), tuple(warnings)
