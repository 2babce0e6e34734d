"""A measured leg and its planned correction as plain data, for files and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from MSKFusionLib.frames import FloatArray

from ..anatomy.leg import LegPoints
from ..anatomy.limb_alignment import LimbAlignment
from ..anatomy.limb_landmarks import POINTS
from ..anatomy.limb_measures import MEASURES, NEEDS, in_words, sensitivity
from ..osteotomy.cut_shape import CutKind
from ..osteotomy.form_record import form_record
from ..osteotomy.limb_cut import LimbPlan
from ..osteotomy.limb_form import LimbForm
from ..osteotomy.limb_turn import LimbTurn
from ..osteotomy.limb_wedge import LimbWedge
from .points_record import describe_points


def describe_leg(leg: LegPoints) -> dict[str, Any]:
    """Return landmarks and measures of a leg."""
    return describe_points(leg, sensitivity(leg.landmarks), MEASURES, NEEDS, in_words, POINTS)


def describe_wedge(plan: LimbWedge) -> dict[str, Any]:
    """Return a planned wedge with what it costs and what was found when its fragments were measured again."""
    made = plan.wedge
    places, gaps = made.gaps_mm()
    return {
        "verdict": "accepted" if plan.accepted else "rejected",
        "reasons": list(plan.reasons),
        "warnings": list(plan.warnings),
        "target": {"measure": plan.target.measure, "value": plan.target.value},
        "bone": plan.options.bone.value,
        "kind": "opening" if made.opening else "closing",
        "from": plan.entry_side,
        "angle_deg": made.angle_deg,
        "gap_mm": made.gap_mm,
        "gaps_along_hinge_mm": [{"place_mm": float(p), "gap_mm": float(g)} for p, g in zip(places, gaps, strict=True)],
        "hinge": {
            "point_ras": _numbers(made.section.hinge.point_ras),
            "axis_ras": _numbers(made.section.hinge.axis_ras),
            "bone_left_mm": made.section.bone_left_mm,
            "length_mm": made.section.hinge_length_mm,
        },
        "planes": [{"point_ras": _numbers(p.point_ras), "normal_ras": _numbers(p.normal_ras)} for p in made.planes],
        "depth_mm": made.section.depth_mm,
        "removed_mm3": made.removed_mm3,
        "moved_to_corrected_ras": [_numbers(row) for row in made.moved_to_corrected_ras],
        "before": _finite(plan.correction.before),
        "after": _finite(plan.correction.after),
        "measured_again": _finite(plan.measured_again),
        "target_missed_by": plan.miss,
        "gap_missed_by_mm": plan.gap_miss_mm,
    }


def describe_turn(plan: LimbTurn) -> dict[str, Any]:
    """Return a planned derotation in the same words."""
    inward = plan.correction.changes()[plan.target.measure] < 0
    return {
        "verdict": "accepted" if plan.accepted else "rejected",
        "reasons": list(plan.reasons),
        "warnings": list(plan.warnings),
        "target": {"measure": plan.target.measure, "value": plan.target.value},
        "bone": plan.bone.value,
        "kind": "derotation",
        "angle_deg": abs(plan.correction.angle_deg),
        "direction": "less torsion" if inward else "more torsion",
        "axis_ras": _numbers(-plan.plane.normal_ras),
        "planes": [
            {"point_ras": _numbers(plan.plane.point_ras), "normal_ras": _numbers(plan.plane.normal_ras)},
        ],
        "removed_mm3": plan.cut.kerf_mm3,
        "moved_to_corrected_ras": [_numbers(row) for row in plan.motion_ras],
        "before": _finite(plan.correction.before),
        "after": _finite(plan.correction.after),
        "measured_again": _finite(plan.measured_again),
        "target_missed_by": plan.miss,
    }


def describe_form(plan: LimbForm) -> dict[str, Any]:
    """Return a planned correction by a cut of another kind in the same words."""
    shape, parts = plan.shape, plan.parts
    form = None if shape.form is None else form_record(shape.form, shape.to_ras)
    targets = [{"measure": t.measure, "value": t.value} for t in plan.targets]
    return {
        "verdict": "accepted" if plan.accepted else "rejected",
        "reasons": list(plan.reasons),
        "warnings": list(plan.warnings),
        "target": targets[0] if targets else None,
        "second_target": targets[1] if len(targets) > 1 else None,
        "bone": plan.bone.value,
        "kind": "oblique" if form is None else form.name,
        "wedge": {CutKind.OPENING: "opening", CutKind.CLOSING: "closing"}.get(shape.kind),
        "angle_deg": shape.angle_deg,
        "gap_mm": parts.gap_mm,
        "planed_mm": parts.planed_mm,
        "lengthened_mm": None if form is None or form.name != "step" else form.shift_mm,
        "radius_mm": None if form is None else form.radius_mm,
        "hinge": {
            "point_ras": _numbers(shape.hinge.point_ras),
            "axis_ras": _numbers(shape.hinge.axis_ras),
            "bone_left_mm": None if parts.section is None else parts.section.bone_left_mm,
        },
        "planes": [{"point_ras": _numbers(p.point_ras), "normal_ras": _numbers(p.normal_ras)} for p in parts.planes],
        "corners_ras": [] if form is None else [list(p) for p in form.corners_ras],
        "removed_mm3": parts.removed_mm3,
        "moved_to_corrected_ras": [_numbers(row) for row in plan.motion_ras],
        "before": _finite(plan.correction.before),
        "after": _finite(plan.correction.after),
        "measured_again": _finite(plan.measured_again),
        "target_missed_by": max(map(abs, plan.misses), default=0.0),
        "gap_missed_by_mm": parts.gap_miss_mm,
    }


def describe_plan(plan: LimbPlan) -> dict[str, Any]:
    """Return any planned correction as plain data."""
    if isinstance(plan, LimbForm):
        return describe_form(plan)
    return describe_turn(plan) if isinstance(plan, LimbTurn) else describe_wedge(plan)


def form_facts(record: Mapping[str, Any]) -> list[list[Any]]:
    """Return what there is to say of a record of `describe_form`, as rows of a name and a value."""
    bone = record["bone"]
    if record["kind"] == "step":
        facts: list[list[Any]] = [["Cut", f"step in the {bone}"], ["Lengthened by, mm", record["lengthened_mm"]]]
    elif record["kind"] == "dome":
        facts = [
            ["Cut", f"dome across the {bone}"],
            ["Radius, mm", record["radius_mm"]],
            ["Turn about its axis, deg", abs(record["angle_deg"])],
        ]
    elif record["kind"] == "biplanar":
        facts = [
            ["Cut", f"biplanar {record['wedge']} wedge of the {bone}"],
            ["Angle, deg", record["angle_deg"]],
            ["Height at the cortex, mm", record["gap_mm"]],
            ["Bone left behind the hinge, mm", record["hinge"]["bone_left_mm"]],
        ]
    else:
        facts = [["Cut", f"single oblique cut of the {bone}"], ["Turn in its plane, deg", abs(record["angle_deg"])]]
    lost = "Bone that the saw takes" if record["wedge"] != "closing" else "Bone lost, the wedge counted"
    return [*facts, [f"{lost}, mm3", record["removed_mm3"]]]


def form_in_words(record: Mapping[str, Any]) -> str:
    """Return what a record of `describe_form` does, in a few words."""
    bone, angle = record["bone"], abs(record["angle_deg"])
    if record["kind"] == "step":
        return f"Step in the {bone}, lengthened by {record['lengthened_mm']:.1f} mm"
    if record["kind"] == "dome":
        return f"Dome of {record['radius_mm']:.0f} mm radius across the {bone}, turned by {angle:.2f} degrees"
    if record["kind"] == "oblique":
        return f"Single oblique cut of the {bone}, turned by {angle:.2f} degrees in its plane"
    return (
        f"Biplanar {record['wedge']} wedge of the {bone}: {angle:.2f} degrees, {record['gap_mm']:.2f} mm at the cortex, "
        f"{record['hinge']['bone_left_mm']:.1f} mm of bone behind the hinge"
    )


def _numbers(values: FloatArray) -> list[float]:
    return [float(v) for v in values]


def _finite(measures: LimbAlignment) -> dict[str, float | None]:
    found = {n: float(getattr(measures, n)) for n in MEASURES}
    return {n: v if np.isfinite(v) else None for n, v in found.items()}
