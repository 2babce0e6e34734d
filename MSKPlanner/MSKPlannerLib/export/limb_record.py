"""A measured leg and its planned correction as plain data, for files and for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from MSKFusionLib.frames import FloatArray

from ..anatomy.leg import LegPoints
from ..anatomy.limb_alignment import LimbAlignment
from ..anatomy.limb_landmarks import POINTS
from ..anatomy.limb_measures import MEASURES, NEEDS, in_words, sensitivity
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


def _numbers(values: FloatArray) -> list[float]:
    return [float(v) for v in values]


def _finite(measures: LimbAlignment) -> dict[str, float | None]:
    found = {n: float(getattr(measures, n)) for n in MEASURES}
    return {n: v if np.isfinite(v) else None for n, v in found.items()}
