"""The correction of a leg as cuts for the plan document: a wedge, a derotation or another kind, or one of the femur and one of the tibia."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import invert_rigid

from ..anatomy.limb_landmarks import LimbLandmarks
from ..mesh import Mesh
from .cut_shape import CutKind, CutShape, shape_of_planes
from .hinge import Hinge
from .limb_form import FormOptions, LimbForm, plan_biplanar, plan_dome, plan_lengthening, plan_oblique
from .limb_turn import BONE_OF_TARGET, LimbTurn, plan_limb_turn
from .limb_wedge import LimbWedge, WedgeOptions, plan_limb_wedge
from .planned import AskedCut
from .saw_form import Tongue
from .target import CutLevel, Target

LimbPlan = LimbWedge | LimbTurn | LimbForm
#: What `plan_limb_form` plans.
FORMS = ("biplanar", "dome", "oblique", "step")


def plan_limb_form(
    kind: str, points: LimbLandmarks, bones: Mapping[str, Mesh], target: Target | None = None,
    options: WedgeOptions | None = None, form: FormOptions | None = None, *, torsion: Target | None = None,
    lengthen_mm: float | None = None, kerf_mm: float = 0.0,
) -> LimbForm:  # fmt: skip
    """Return a correction by a cut that is no plain wedge.

    Parameters
    ----------
    kind
        One of `FORMS`: ``biplanar`` and ``dome`` need a target, ``oblique`` a target and a torsion, ``step`` a length.

    Raises
    ------
    InputError
        When one of these, or the surface of the bone, is missing; else as the plans in `limb_form`.
    """
    options, form = options or WedgeOptions(), form or FormOptions()
    name = options.bone.value
    if name not in bones:
        raise InputError(f"the surface of the {name} is needed to cut it", f"Give --{name}.")
    if kind == "step":
        if lengthen_mm is None or target is not None:
            raise InputError(
                "a step lengthens the bone and corrects no angle", "Give --lengthen-mm, and no --target.", "--kind step"
            )
        return plan_lengthening(points, bones[name], lengthen_mm, options, form, kerf_mm)
    if target is None:
        raise InputError(f"a cut of the kind {kind} needs a target", "Give --target, as hka:0.", f"--kind {kind}")
    if kind == "oblique":
        if torsion is None:
            raise InputError("an oblique cut corrects a torsion too", "Give --torsion-target.", "--kind oblique")
        return plan_oblique(points, bones[name], target, torsion, options, kerf_mm)
    if target.measure in BONE_OF_TARGET:
        raise InputError(f"a {kind} cut does not change a torsion", "Leave out --kind.", f"--kind {kind}")
    if kind not in FORMS:
        raise InputError(f"there is no cut of the kind '{kind}'", f"Choose one of {', '.join(FORMS)}.", "--kind")
    planner = plan_biplanar if kind == "biplanar" else plan_dome
    return planner(points, bones[name], target, options, form, kerf_mm)


def plan_limb_cut(
    points: LimbLandmarks, bones: Mapping[str, Mesh], target: Target, options: WedgeOptions | None = None
) -> LimbPlan:
    """Return the derotation for a torsion, the wedge for anything else.

    Parameters
    ----------
    bones
        Closed surfaces by ``femur`` and ``tibia``; the one that is cut is needed.
    options
        `entry_mm` is also the level of a derotation.

    Raises
    ------
    InputError
        When the surface of the bone that is cut is not there; else as the two plans.
    """
    options = options or WedgeOptions()
    bone = BONE_OF_TARGET.get(target.measure, options.bone).value
    if bone not in bones:
        raise InputError(f"the surface of the {bone} is needed to cut it", f"Give --{bone}.")
    if target.measure in BONE_OF_TARGET:
        return plan_limb_turn(points, bones[bone], target, options.entry_mm)
    return plan_limb_wedge(points, bones[bone], target, options)


def plan_two_levels(
    points: LimbLandmarks, bones: Mapping[str, Mesh], femoral: Target, tibial: Target,
    femoral_options: WedgeOptions, tibial_options: WedgeOptions,
) -> tuple[LimbPlan, LimbPlan]:  # fmt: skip
    """Return a double-level correction: the femur to its own target, then the tibia to that of the leg.

    The tibia's plan is made where the femur's brings the tibia: its landmarks, planes and fragments lie there.

    Parameters
    ----------
    femoral
        As the mLDFA or the femoral torsion.
    tibial
        Of the leg (Fujisawa point, HKA) or of the tibia alone.

    Raises
    ------
    InputError
        When a surface is missing, the two targets name one measure, or a target is one of the other bone.
    GeometryError
        When one of the two does not get there.
    """
    if femoral.measure == tibial.measure:
        raise InputError("both bones have the same target", "Give the femur its own, as ldfa:87.", "double level")
    for target, own, other in ((femoral, "femur", CutLevel.TIBIA), (tibial, "tibia", CutLevel.FEMUR)):
        alone = {
            CutLevel.FEMUR: ("femoral_torsion_deg", "ldfa_deg"),
            CutLevel.TIBIA: ("tibial_torsion_deg", "mpta_deg"),
        }
        if target.measure in alone[other]:
            raise InputError(
                f"{target.measure} is not changed by a cut of the {own}", "Swap the targets.", "double level"
            )
    if "tibia" not in bones:
        raise InputError("the surface of the tibia is needed to cut it", "Give --tibia.")
    first = plan_limb_cut(points, bones, femoral, replace(femoral_options, bone=CutLevel.FEMUR))
    # The plan itself moves landmarks by the part of the bone that they lie on.
    after = first.landmarks_after
    moved = bones["tibia"].transformed(first.motion_ras)
    return first, plan_limb_cut(after, {"tibia": moved}, tibial, replace(tibial_options, bone=CutLevel.TIBIA))


def asked_cut(plan: LimbPlan, kerf_mm: float = 0.0, first: LimbPlan | None = None) -> AskedCut:
    """Return a plan's cut as it lies in the image.

    Parameters
    ----------
    kerf_mm
        Of the saw, for the document and the fragments.
    first
        The plan of the femur, where the tibia's was made after it.
    """
    if isinstance(plan, LimbWedge):
        kind = CutKind.OPENING if plan.wedge.opening else CutKind.CLOSING
        shape = CutShape(kind, plan.wedge.section.to_ras, plan.wedge.angle_deg, kerf_mm)
    elif isinstance(plan, LimbForm):
        shape = replace(plan.shape, kerf_mm=kerf_mm)
    else:
        # The planned turn is about the bone's axis upwards, the plane's normal looks down.
        turn = Hinge(plan.plane.point_ras, plan.plane.normal_ras)
        shape = shape_of_planes(CutKind.TURN, plan.plane, turn, -plan.correction.angle_deg, kerf_mm)
    if first is not None:
        shape = shape.transformed(invert_rigid(np.asarray(first.motion_ras)))
    bone = plan.bone.value
    words = f"biplanar {shape.kind.value}" if isinstance(shape.form, Tongue) else shape.kind.value
    return AskedCut(f"{bone} {words}", bone, shape, bone, plan.target)
