"""Corrections of a leg by cuts that are no plain wedge: biplanar, dome, one oblique cut for bend and twist, step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import root

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import (
    FloatArray,
    invert_rigid,
    rigid,
    rigid_about,
    rotation_about,
    transform_points,
)

from ..anatomy.limb_alignment import LimbAlignment, align, measures_of
from ..anatomy.limb_landmarks import LimbLandmarks, spoken
from ..anatomy.limb_measures import MEASURES, unusual
from ..mesh import Mesh
from .cut_parts import CutParts, carried_out, closing_notes
from .cut_shape import CutKind, CutShape
from .healthy_side import OBLIQUE_DEG
from .limb_bone import (
    AGREE_DEG,
    AGREE_MM,
    LEAST_TURN_DEG,
    THIN_HINGE_MM,
    bone_frame,
    landmarks_after,
    own_and_following,
)
from .limb_tongue import placed_tongue
from .limb_turn import BONE_OF_TARGET, USUAL_MM
from .limb_wedge import WedgeOptions, plan_limb_wedge
from .plane import Plane
from .plane_split import cut_face
from .saw_form import Dome, beyond_dome
from .screw_motion import screw_motion
from .target import Correction, CutLevel, Target, corrected, plan_turn
from .usual_forms import STEP_MM, usual_dome, usual_step

#: Where a dome's apex and an oblique cut usually lie, from the knee's joint surface, mm: starting positions.
_DOME_MM = 45.0
#: Less contact than this along a step is little, mm.
_LITTLE_CONTACT_MM = 20.0


@dataclass(frozen=True)
class FormOptions:
    """How the cut leaves the plane.

    Parameters
    ----------
    tongue_mm, rise_deg
        Of a biplanar wedge: see `usual_forms.usual_tongue`. None: 15 mm and 110 degrees (of a closing wedge 90), or as much more
        (up to 140) and thinner (down to 10 mm) as the tongue needs to come out 5 mm below the joint surface (`limb_tongue`).
    descends
        Whether its second plane goes away from the hip, the tongue staying with the part that stays.
    radius_mm
        Of a dome; None: its axis lies at the height of the joint surface.
    step_mm, slant_deg
        Length of a step along the bone, and how much its long stretch leans (a Z).
    """

    tongue_mm: float | None = None
    rise_deg: float | None = None
    radius_mm: float | None = None
    step_mm: float = STEP_MM
    slant_deg: float = 0.0
    descends: bool = False

    def __post_init__(self) -> None:
        if not 5 <= self.step_mm <= 200 or not -45 <= self.slant_deg <= 45:
            raise InputError("a step is 5 to 200 mm long and leans by up to 45 degrees", where="step cut")


@dataclass(frozen=True, eq=False)
class LimbForm:
    """A planned correction by such a cut.

    Parameters
    ----------
    targets
        What was asked; one, of an oblique cut two, of a lengthening none.
    surface
        Of the bone that is cut.
    shape
        The cut where the bone is.
    parts
        What it makes of the bone.
    correction
        The turn, and the leg before and after it by its landmarks.
    landmarks_after, measured_again, misses
        Each landmark moved with the part that it lies on, the measures then, and by how much each target is missed.
    """

    bone: CutLevel
    targets: tuple[Target, ...]
    surface: Mesh
    shape: CutShape
    parts: CutParts
    correction: Correction
    landmarks_after: LimbLandmarks
    measured_again: LimbAlignment
    misses: tuple[float, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the parts do what the plan says."""
        return not self.reasons

    @property
    def target(self) -> Target | None:
        """The first target."""
        return self.targets[0] if self.targets else None

    @property
    def motion_ras(self) -> FloatArray:
        """Rigid 4x4 of the part that moves."""
        return self.shape.motion_ras

    @property
    def fragments_after(self) -> tuple[Mesh, Mesh]:
        """The part that stays and the one that moves, where they shall be."""
        return self.parts.staying, self.parts.moved.transformed(self.motion_ras)


def plan_biplanar(
    points: LimbLandmarks, bone: Mesh, target: Target, options: WedgeOptions, form: FormOptions, kerf_mm: float = 0.0
) -> LimbForm:
    """Return a wedge (`limb_wedge.plan_limb_wedge`) whose front is cut by a second plane that rises, or descends.

    Of a closing wedge the second plane is square to the hinge unless it has to lean: then its tongue is planed off as it slides
    (`closing_form`).

    Raises
    ------
    MSKError
        As `plan_limb_wedge`, and `limb_tongue.placed_tongue`.
    """
    plan = plan_limb_wedge(points, bone, target, options)
    to_ras = plan.wedge.section.to_ras
    # Which way it goes follows from the leg, not from what was asked.
    kind = CutKind.OPENING if plan.wedge.opening else CutKind.CLOSING
    placed = placed_tongue(
        points, bone, options.bone, to_ras, closing=kind is CutKind.CLOSING,
        tongue_mm=form.tongue_mm, rise_deg=form.rise_deg, descends=form.descends,
    )  # fmt: skip
    shape = CutShape(kind, to_ras, plan.wedge.angle_deg, kerf_mm, placed.tongue)
    made = _made(points, bone, options.bone, (target,), shape)
    return replace(made, reasons=(*made.reasons, *placed.reasons), warnings=(*made.warnings, *placed.warnings))


def plan_dome(
    points: LimbLandmarks, bone: Mesh, target: Target, options: WedgeOptions, form: FormOptions, kerf_mm: float = 0.0
) -> LimbForm:
    """Return a dome across the bone that turns about an axis from back to front.

    The axis lies on the knee's side of the apex, at the height of the joint surface unless a radius is given: there a deformity
    of the joint line has its CORA.

    Parameters
    ----------
    options
        `bone`, and `entry_mm` as the height of the apex from the joint surface.

    Raises
    ------
    GeometryError
        When the bone does not reach the cut, the dome is too small for it, or no turn gets to the target.
    """
    level = _DOME_MM if options.entry_mm is None else options.entry_mm
    frame, apex, away = _across(points, bone, options.bone, level)
    radius = level if form.radius_mm is None else form.radius_mm
    # The knee lies where the tibia's part stays, and where the femur's moves.
    tibia = options.bone is CutLevel.TIBIA
    z = away if tibia else -away
    x = np.cross(frame[:3, 1], z)
    to_ras = rigid(np.column_stack([x, frame[:3, 1], z]), apex)
    dome = usual_dome(bone, to_ras, -1.0 if tibia else 1.0, radius)
    shape = CutShape(CutKind.DOME, to_ras, 0.0, kerf_mm, dome)
    turn = plan_turn(points, options.bone, shape.hinge, target)
    _check_turn(turn.angle_deg, target)
    return _made(points, bone, options.bone, (target,), replace(shape, angle_deg=turn.angle_deg))


def plan_oblique(
    points: LimbLandmarks, bone: Mesh, target: Target, torsion: Target, options: WedgeOptions, kerf_mm: float = 0.0
) -> LimbForm:
    """Return the one oblique cut after which a turn in its own plane reaches a target of the frontal plane and one of the torsion.

    The bend and the twist that are needed are one turn about one axis through the middle of the bone at the level; the cut
    lies across it (Sangeorzan et al. 1989, J Biomech 22:1271), so its faces stay in touch.

    Raises
    ------
    InputError
        When the second target is no torsion of the bone that is cut.
    GeometryError
        When no turn gets to both, or the cut would run along the bone.
    """
    if BONE_OF_TARGET.get(torsion.measure) is not options.bone or target.measure in BONE_OF_TARGET:
        own = {CutLevel.FEMUR: "femoral-torsion:15", CutLevel.TIBIA: "tibial-torsion:30"}[options.bone]
        raise InputError(
            f"an oblique cut of the {options.bone.value} needs a target of the frontal plane and a torsion of that bone",
            f"Give --target hka:0 and --torsion-target {own}, for example.",
            "--kind oblique",
        )
    level = USUAL_MM[options.bone] if options.entry_mm is None else options.entry_mm
    frame, middle, away = _across(points, bone, options.bone, level)
    before = align(points, whole=False)
    for wished in (target, torsion):
        if np.isnan(getattr(before, wished.measure)):
            raise GeometryError("it cannot be measured on this leg", "Place its landmarks.", f"target {wished.measure}")

    def motion_of(angles: FloatArray) -> FloatArray:
        turn = rotation_about(frame[:3, 1], angles[0]) @ rotation_about(frame[:3, 2], angles[1])
        return rigid_about(middle, turn)

    def miss(angles: FloatArray) -> FloatArray:
        now = measures_of(corrected(points, options.bone, motion_of(angles)))
        return np.array([_off(now, target), _off(now, torsion)])

    found = root(miss, np.zeros(2), options={"xtol": 1e-13})
    if not found.success and np.abs(miss(found.x)).max() > 1e-6:
        raise GeometryError("no single turn gets to both targets", "Correct at two levels.", "--kind oblique")
    screw = screw_motion(motion_of(found.x), middle)
    _check_turn(screw.angle_deg, target)
    # The part that moves lies away from the hip.
    down = away if options.bone is CutLevel.TIBIA else -away
    sign = 1.0 if screw.axis_ras @ down > 0 else -1.0
    tilt = float(np.degrees(np.arccos(np.clip(sign * screw.axis_ras @ down, -1, 1))))
    if tilt > OBLIQUE_DEG:
        raise GeometryError(
            f"the cut would lie {tilt:.0f} degrees oblique and run along the bone",
            "There is little torsion to correct: plan a wedge.",
            "--kind oblique",
        )
    plane = Plane(middle, sign * screw.axis_ras)
    shape = CutShape(CutKind.TURN, plane.to_ras, sign * screw.angle_deg, kerf_mm)
    return _made(points, bone, options.bone, (target, torsion), shape)


def plan_lengthening(
    points: LimbLandmarks,
    bone: Mesh,
    lengthen_mm: float,
    options: WedgeOptions,
    form: FormOptions,
    kerf_mm: float = 0.0,
) -> LimbForm:
    """Return a step (or, leaning, a Z) across the bone from front to back, drawn apart along the bone's axis.

    Raises
    ------
    InputError
        When the bone would come apart: it is lengthened by as much as the step is long, or more.
    """
    if not 0 < lengthen_mm < form.step_mm:
        raise InputError(
            f"a lengthening of {lengthen_mm:g} mm by a step of {form.step_mm:g} mm",
            "Give more than 0 and less than the step's length.",
            "--lengthen-mm",
        )
    level = USUAL_MM[options.bone] if options.entry_mm is None else options.entry_mm
    frame, middle, away = _across(points, bone, options.bone, level)
    z = away if options.bone is CutLevel.TIBIA else -away
    to_ras = rigid(np.column_stack([np.cross(frame[:3, 1], z), frame[:3, 1], z]), middle)
    step = usual_step(bone, to_ras, lengthen_mm, form.step_mm, form.slant_deg)
    made = _made(points, bone, options.bone, (), CutShape(CutKind.STEP, to_ras, 0.0, kerf_mm, step))
    contact = form.step_mm - lengthen_mm
    if contact < _LITTLE_CONTACT_MM:
        made = replace(made, warnings=(*made.warnings, f"only {contact:.0f} mm of the step stay in touch"))
    return made


def _across(
    points: LimbLandmarks, bone: Mesh, level: CutLevel, height_mm: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the bone's frame, the middle of its section at a height from the joint surface, and the direction away from the joint."""
    frame = bone_frame(points, level)
    tibia = level is CutLevel.TIBIA
    pair = ("medial_plateau", "lateral_plateau") if tibia else ("medial_distal_condyle", "lateral_distal_condyle")
    joint = float(np.mean([transform_points(invert_rigid(frame), getattr(points, n))[2] for n in pair]))
    away = -1.0 if tibia else 1.0
    at = joint + away * height_mm
    face = cut_face(bone, Plane(transform_points(frame, [0, 0, at]), frame[:3, 2]))
    if not len(face.faces):
        raise GeometryError(
            f"the surface does not reach the cut, {height_mm:.0f} mm from the joint",
            "Show more of the bone, or cut nearer to the joint.",
            level.value,
        )
    areas = np.linalg.norm(face.face_area_vectors, axis=1)
    middle = (areas[:, None] * face.triangles_ras.mean(axis=1)).sum(axis=0) / areas.sum()
    return frame, np.asarray(middle), away * frame[:3, 2]


def _off(measures: LimbAlignment, target: Target) -> float:
    miss = float(getattr(measures, target.measure)) - target.value
    return (miss + 180) % 360 - 180 if target.measure.endswith("_deg") else miss


def _check_turn(angle_deg: float, target: Target) -> None:
    if abs(angle_deg) < LEAST_TURN_DEG:
        raise InputError(
            f"the leg is at the target already (by a turn of {abs(angle_deg):.2f} degrees)",
            "Choose another target.",
            f"target {target.measure}",
        )


def _made(points: LimbLandmarks, bone: Mesh, level: CutLevel, targets: tuple[Target, ...], shape: CutShape) -> LimbForm:
    """Carry the cut out and measure the leg again."""
    parts = carried_out(bone, shape)
    before = align(points, whole=False)
    moved = corrected(points, level, shape.motion_ras)
    correction = Correction(shape.angle_deg, shape.motion_ras, before, measures_of(moved), moved)
    hinge = shape.to_ras if shape.kind in (CutKind.OPENING, CutKind.CLOSING) else None
    after = landmarks_after(points, level, shape.plane, shape.motion_ras, hinge)
    again = align(after, whole=False)
    misses = tuple(_off(again, t) for t in targets)
    reasons, warnings = [], []
    for target, missed in zip(targets, misses, strict=True):
        in_mm = target.measure == "weight_bearing_share"
        width = float(np.linalg.norm(points.lateral_plateau_edge - points.medial_plateau_edge)) if in_mm else 1.0
        bar = AGREE_DEG if target.measure.endswith("_deg") else AGREE_MM
        if not abs(missed) * width <= bar:
            title = MEASURES[target.measure].title
            reasons.append(f"measured again on the fragments, {title} misses its target by {missed:.3g}")
    if parts.gap_miss_mm > AGREE_MM:
        reasons.append(f"the fragments miss the planned gap by {parts.gap_miss_mm:.2f} mm")
    if isinstance(shape.form, Dome):
        own = [n for n in own_and_following(level)[0] if n not in points.missing]
        places = np.array([getattr(points, n) for n in own])
        wrong = beyond_dome(places, shape.form, shape.to_ras) != (shape.plane.height_mm(places) > 0)
        if wrong.any():
            named = ", ".join(spoken(n) for n, w in zip(own, wrong, strict=True) if w)
            reasons.append(f"the dome comes out beside the joint ({named}): cut farther away, or with a larger radius")
    if parts.overlap_mm:
        reasons.append(f"where they are put the parts lie {parts.overlap_mm:.2f} mm deep in each other")
    if parts.section is not None and parts.section.bone_left_mm < THIN_HINGE_MM:
        warnings.append(f"only {parts.section.bone_left_mm:.1f} mm of bone are left behind the hinge")
    warnings += closing_notes(parts, shape)
    asked = {t.measure for t in targets}
    new = [n for n in unusual(again) if n not in unusual(before) and n not in asked]
    warnings += [f"{MEASURES[n].title} leaves its usual range" for n in new]
    return LimbForm(
        level, targets, bone, shape, parts, correction, after, again, misses, tuple(reasons), tuple(warnings)
    )  # fmt: skip
