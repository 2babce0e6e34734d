"""A correction to the mirrored healthy side as plain data and as a page with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from MSKFusionLib import __version__
from MSKFusionLib.frames import perpendicular_axes

from ..anatomy.surface_fit import SurfaceFit
from ..mesh import Mesh
from ..osteotomy.healthy_side import HealthySide
from .bone_picture import Body, Line, bone_figure
from .html import bullets, page, table

_HEALTHY, _MOVED = (150, 195, 225), (240, 180, 110)


def describe_healthy_side(result: HealthySide, side: str) -> dict[str, Any]:
    """Return the correction with what it rests on."""
    cut = result.cut
    return {
        "mskplanner": __version__,
        "side": side,
        "verdict": "accepted" if result.accepted else "rejected",
        "reasons": list(result.reasons),
        "warnings": list(result.warnings),
        "level_ras": result.level_ras.tolist(),
        "motion_ras": result.motion_ras.tolist(),
        "screw": {
            "axis_ras": result.screw.axis_ras.tolist(),
            "point_ras": result.screw.point_ras.tolist(),
            "angle_deg": result.screw.angle_deg,
            "along_mm": result.screw.along_mm,
        },
        "numbers": asdict(result.numbers),
        "single_cut": None
        if cut is None
        else {
            "point_ras": cut.plane.point_ras.tolist(),
            "normal_ras": cut.plane.normal_ras.tolist(),
            "turn_deg": cut.turn_deg,
            "slide_mm": float(np.linalg.norm(cut.slide_mm)),
            "gap_mm": cut.gap_mm,
            "obliquity_deg": cut.obliquity_deg,
        },
        "fits": {"stays": _fit(result.staying), "moves": _fit(result.moving)},
    }


def _fit(fit: SurfaceFit) -> dict[str, Any]:
    return {
        "median_mm": fit.median_mm,
        "p95_mm": fit.p95_mm,
        "rotation_sd_deg": fit.rotation_sd_deg.tolist(),
        "shift_sd_mm": fit.shift_sd_mm.tolist(),
    }


def correction_rows(record: dict[str, Any]) -> list[list[Any]]:
    """Return the correction as rows of words and values."""
    screw, numbers, cut = record["screw"], record["numbers"], record["single_cut"]
    rows = [
        ["Turn about one axis, deg", screw["angle_deg"]],
        ["Shift along that axis, mm", screw["along_mm"]],
        ["Valgus, deg", numbers["valgus_deg"]],
        ["Flexion, deg", numbers["flexion_deg"]],
        ["External rotation, deg", numbers["external_deg"]],
        ["At the level, laterally, mm", numbers["lateral_mm"]],
        ["At the level, to the front, mm", numbers["anterior_mm"]],
        ["At the level, towards the part that stays, mm", numbers["proximal_mm"]],
    ]
    if cut is not None:
        rows += [
            ["Single cut: turn in its plane, deg", cut["turn_deg"]],
            ["Single cut: slide in its plane, mm", cut["slide_mm"]],
            ["Single cut: gap (below 0: bone to take off), mm", cut["gap_mm"]],
            ["Single cut: obliquity to the bone, deg", cut["obliquity_deg"]],
        ]
    return rows


def render_healthy_side(
    result: HealthySide, record: dict[str, Any], bone: Mesh, parts: Sequence[tuple[Mesh, bool]]
) -> str:
    """Return the page.

    Parameters
    ----------
    parts
        The fragments in their place before the correction, and whether each moves.
    """
    up = -result.axis_ras
    front = np.array([0.0, 1.0, 0.0]) if abs(up[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, front)
    right = right / np.linalg.norm(right) if np.linalg.norm(right) > 0.1 else perpendicular_axes(up)[0]
    step = max(0.25, float(np.ptp(bone.vertices_ras @ up)) / 620)
    healthy = Body(result.template_ras, _HEALTHY)
    mark = [Line(result.level_ras, "#d55e00", "level")]
    after = [
        Body(m.transformed(result.motion_ras) if moves else m, _MOVED if moves else (232, 222, 196))
        for m, moves in parts
    ]
    drawn = "".join(
        bone_figure(bodies, mark, across, up, caption, mm_per_pixel=step)
        for across, seen in ((right, "from the front"), (np.cross(up, right), "from the side"))
        for bodies, caption in (
            ([Body(bone), healthy], f"Bone and healthy bone (blue), {seen}"),
            (after, f"After the correction, {seen}"),
        )
    )
    words = (
        "The healthy side fits both parts. Look at the pictures before you rely on it."
        if result.accepted
        else "REJECTED by its own checks. Do not use it."
    )
    fits = [
        [name, f["median_mm"], f["p95_mm"], _three(f["rotation_sd_deg"]), _three(f["shift_sd_mm"])]
        for name, f in record["fits"].items()
    ]
    return page(
        "mirror.html",
        side=record["side"],
        verdict_class=record["verdict"],
        verdict=escape(words),
        remarks=bullets((*result.reasons, *result.warnings)),
        pictures=drawn,
        correction=table(["What", "Value"], correction_rows(record)),
        fits=table(["Part", "Median distance, mm", "95 % within, mm", "Turn, sd deg", "Shift, sd mm"], fits),
    )


def _three(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values)
