"""Landmarks of a leg that a surgeon marks one by one, also where the surfaces show none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import InputError

from ..anatomy.limb_alignment import align
from ..anatomy.limb_landmarks import POINTS, LimbLandmarks, spoken
from ..osteotomy.planned import limb_record
from ..pipeline import Case
from ..plan import Point
from .cut_bones import leg_segments, side_of
from .osteotomy_edits import carried_out_again, landmarks_placed

#: What the frame of each bone rests on: with these a cut of it can be measured.
FRAME_POINTS: dict[str, tuple[str, ...]] = {
    "femur": ("hip_centre", "femoral_knee_centre", "medial_posterior_condyle", "lateral_posterior_condyle"),
    "tibia": ("tibial_knee_centre", "ankle_centre", "medial_posterior_tibia", "lateral_posterior_tibia"),
}


def leg_bone_of(case: Case, bone: str) -> str:
    """Return ``femur`` or ``tibia`` where a segment is called so, with its side; empty where it is neither."""
    segments = leg_segments(case, side_of(bone))
    return next((r for r in FRAME_POINTS if side_of(bone) and segments.get(r) == bone), "")


def still_wanted(case: Case, bone: str, points_ras: Mapping[str, Point]) -> tuple[str, ...]:
    """Return what must be marked yet before the leg of a bone is measured; nothing where it is."""
    if case.plan.limb is not None and bone in case.plan.limb.bones.values():
        return ()
    return tuple(n for n in FRAME_POINTS.get(leg_bone_of(case, bone), ()) if n not in points_ras)


def marked(case: Case, bone: str, points_ras: Mapping[str, ArrayLike]) -> Case:
    """Return the case with landmarks of a bone's leg where a surgeon marks them; every measure and target follows.

    Parameters
    ----------
    bone
        The segment of a femur or tibia, which says its side. Its leg is measured from the points alone where it is not measured yet.
    points_ras
        By the names of `anatomy.limb_landmarks.LimbLandmarks`, as they lie in the image.

    Raises
    ------
    InputError
        When the bone is none of a leg whose side is known, points that its frame rests on are not marked, or another leg is cut.
    GeometryError
        When the points cannot be those of one leg of that side, or a target can no longer be reached.
    """
    limb = case.plan.limb
    if limb is not None and bone in limb.bones.values():
        return landmarks_placed(case, points_ras)
    role = leg_bone_of(case, bone)
    if not role:
        raise InputError(
            "landmarks are those of a femur or a tibia whose side is known", "Name the segment so (left tibia).", bone
        )
    if any(o.role for o in case.plan.osteotomies):
        raise InputError("the plan cuts the other leg already", "Remove its cuts, or plan this leg apart.", where=bone)
    missing = [n for n in FRAME_POINTS[role] if n not in points_ras]
    if missing:
        raise InputError(f"not marked yet: {', '.join(spoken(n) for n in missing)}", "Mark them.", where=bone)
    points = LimbLandmarks.of_points(side_of(bone), points_ras)
    align(points, whole=False)
    record = limb_record(points, leg_segments(case, side_of(bone)), {}, ("its landmarks were marked by hand",))
    return replace(case, plan=replace(case.plan, limb=record))


def forgotten(case: Case, name: str) -> Case:
    """Return the case without a landmark; measures that rest on it are not known any more.

    Raises
    ------
    InputError
        When it is not there, or the frame of a bone rests on it.
    MSKError
        When a target needs it.
    """
    limb = case.plan.limb
    if limb is None or name not in limb.landmarks_ras:
        raise InputError(f"there is no landmark '{spoken(name)}'", where=case.plan.plan_id)
    if any(name in points for points in FRAME_POINTS.values()):
        raise InputError(f"a bone's frame rests on the {spoken(name)}", "Place it elsewhere.", where="landmarks")
    left = {n: np.array(p) for n, p in limb.landmarks_ras.items() if n != name}
    record = limb_record(LimbLandmarks.of_points(limb.side, left), limb.bones, limb.origin, limb.notes)
    return carried_out_again(replace(case, plan=replace(case.plan, limb=record)))


def marks_of(case: Case | None) -> dict[str, str]:
    """Return where each landmark of the measured leg comes from (`plan_osteotomy.Limb.origin`), in the order of `POINTS`."""
    limb = None if case is None else case.plan.limb
    return {} if limb is None else {n: limb.origin.get(n, "") for n in POINTS if n in limb.landmarks_ras}
