"""Pedicle screws in generated thoracic vertebrae, one at a time, planned on their labels and measured in the closed form.

    python Testing/benchmarks/thoracic.py --each 2 [--first 1] [--levels T4,T5] [--places 5]

With several places the same vertebra lies at so many places within a voxel: what differs then is the labels' doing.

The lumbar generator's parts with thoracic measures: pedicle widths, heights and angles near the means of Zindrick et al. 1987 (doi
10.1097/00007632-198703000-00012), bodies and canals near Panjabi et al. 1991 (Spine 16:888), drawn with 8 % spread of the widths. What
they do not have: ribs and their joints, neighbours, a CT (so the labels are true, voxels of 0.7 x 0.7 x 1 mm); that is easier than a patient.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKFusionLib.phantom.bone_surface import BoneSurface
from MSKFusionLib.phantom.shapes import Shape
from MSKFusionLib.phantom.truth import measure_pedicle
from MSKFusionLib.phantom.vertebra import VertebraSize, vertebra_shape
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.screws.implants import ImplantTable, load_implants
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.pedicle import PedicleScrewPlan, plan_vertebra
from MSKPlannerLib.screws.safety import gertzbein_robbins_grade, screw_clearance_mm
from MSKPlannerLib.truth import REJECTION_DOUBT_MM, _best_clearance_mm

LEVELS = tuple(f"T{n}" for n in range(1, 13))
_SPACING = np.array([0.7, 0.7, 1.0])
#: By level, T1 to T12: mean pedicle width, height, angle towards the midline; half width and depth of the body, its height; canal.
_WIDTH = (7.9, 7.0, 5.6, 4.7, 4.5, 5.2, 5.3, 5.9, 6.1, 6.3, 7.8, 7.1)
_TALL = (9.9, 12.0, 12.4, 12.1, 11.9, 12.2, 12.1, 12.5, 13.9, 14.9, 17.4, 15.8)
_ANGLE = (27.0, 20.0, 16.0, 14.0, 11.0, 10.0, 9.0, 8.0, 7.5, 5.0, 2.0, 2.0)
_HALF_WIDTH = (14.0, 13.8, 13.5, 13.2, 13.5, 13.8, 14.3, 15.0, 16.0, 17.0, 18.2, 20.0)
_HALF_DEPTH = (8.5, 9.2, 10.0, 10.8, 11.6, 12.4, 13.2, 13.8, 14.2, 14.6, 15.0, 15.2)
_HEIGHT = (15.5, 17.0, 17.5, 17.8, 18.2, 18.8, 19.4, 20.0, 20.8, 21.8, 23.0, 25.0)
_CANAL_HALF = (10.0, 9.0, 8.7, 8.4, 8.3, 8.3, 8.3, 8.5, 8.6, 8.8, 9.5, 10.6)


def thoracic_size(level: str, rng: np.random.Generator) -> VertebraSize:
    """Draw the measures of a thoracic level."""
    n = LEVELS.index(level)
    scale = 1 + 0.06 * rng.standard_normal()

    def draw(values: tuple[float, ...], spread: float = 0.03) -> float:
        return float(values[n] * scale * (1 + spread * rng.standard_normal()))

    width, lean = draw(_WIDTH, 0.08), 0.04 * rng.standard_normal()
    return VertebraSize(
        level=level,
        half_width=draw(_HALF_WIDTH),
        half_depth=draw(_HALF_DEPTH),
        height=draw(_HEIGHT),
        endplate_wedge_mm=-1.2,
        endplate_concavity_mm=1.2,
        waist=0.09,
        canal_half_width=draw(_CANAL_HALF),
        canal_depth=14.8 * scale,
        pedicle_width_mm=(width * (1 + lean), width * (1 - lean)),
        pedicle_height_mm=draw(_TALL),
        pedicle_angle_deg=_ANGLE[n] + rng.normal(0, 1.5),
        facet_x_mm=9.5 * scale,
        facet_angle_deg=15.0,
        transverse_half_span=(36.0 - 0.8 * n) * scale,
        spinous_length=26.0 * scale,
        spinous_half_height=6.5 * scale,
        spinous_lean_mm=12.0,
        facet_above_x_mm=9.0 * scale,
        facet_above_angle_deg=15.0,
    )


def run(level: str, seed: int, place: int = 0) -> list[dict[str, Any]]:
    """Return a record a side; of another place of the grid against the vertebra, by a part of a voxel, where one is asked for."""
    rng = np.random.default_rng([seed, LEVELS.index(level)])
    size = thoracic_size(level, rng)
    turn = rotation_about([1, 0, 0], rng.normal(0, 10)) @ rotation_about([0, 1, 0], rng.normal(0, 5))
    shape = vertebra_shape(size, rigid(turn @ rotation_about([0, 0, 1], rng.normal(0, 5)), rng.uniform(-20, 20, 3)))
    half = np.array([52.0, 70.0, 50.0])
    count = np.ceil(2 * half / _SPACING).astype(int)
    part = np.random.default_rng(place).uniform(-0.5, 0.5, 3) if place else np.zeros(3)
    volume = Volume(
        np.zeros(count[::-1], np.uint8),
        shape.frame_to_world[:3, 3] - half + [0, -24.0, -6.0] + part * _SPACING,
        _SPACING,
        np.eye(3),
        modality=Modality.LABEL,
    )
    k, j, i = np.indices(volume.voxels.shape)
    points = transform_points(volume.ijk_to_ras, np.stack([i, j, k], axis=-1).reshape(-1, 3).astype(float))
    inside = shape.value_at(transform_points(np.linalg.inv(shape.frame_to_world), points)) > 0
    labels = volume.with_voxels(inside.reshape(volume.voxels.shape).astype(np.uint8))
    bones = Segmentation(labels, (Segment(1, level, "vertebra"),))
    table, options = load_implants(), ScrewOptions(error_budget="")
    began = time.process_time()
    try:
        plan = plan_vertebra(BoneFields(bones), level, table, options)
    except MSKError as error:
        return [{"level": level, "side": s, "error": str(error)} for s in ("left", "right")]
    seconds = time.process_time() - began
    return [record | {"vertebra_s": seconds, "place": place} for record in measured(plan, level, shape, size, table)]


def measured(
    plan: PedicleScrewPlan, level: str, shape: Shape, size: VertebraSize, table: ImplantTable
) -> list[dict[str, Any]]:
    """Return a record a side: what was planned, and what of it is true in the closed form."""
    surface = BoneSurface(shape)
    out: list[dict[str, Any]] = [{"level": level, "side": s.side, "error": s.reason} for s in plan.skipped]
    for screw in plan.screws:
        width = measure_pedicle(shape, size, -1 if screw.side == "left" else 1).width_mm
        ends = np.array(screw.entry_ras), np.array(screw.tip_ras)
        clearance = float(screw_clearance_mm(surface.depth_mm, *ends, screw.diameter_mm))
        near: Any = SimpleNamespace(entry_ras=screw.entry_ras, tip_ras=screw.tip_ras)
        best = _best_clearance_mm(near, surface.depth_mm, clearance, width, table.diameters_mm[0])
        out.append(
            {
                "level": level, "side": screw.side, "accepted": str(screw.verdict) == "accepted", "width_mm": width,
                "clearance_mm": clearance, "planned_mm": screw.clearance_mm, "best_mm": best,
                "grade": gertzbein_robbins_grade(max(0.0, -clearance)), "size": f"{screw.diameter_mm:g}x{screw.length_mm:g}",
                "reasons": screw.reasons,
            }
        )  # fmt: skip
    return out


def summed(records: list[dict[str, Any]]) -> str:
    """Return the records' sums in words."""
    got = [r for r in records if "grade" in r]
    allowed = [r for r in got if r["best_mm"] >= 0.5]
    good = [r for r in allowed if r["accepted"] and r["grade"] == "A" and r["clearance_mm"] >= 0.5]
    narrow = [r for r in got if r["best_mm"] < 0.5]
    # A surface that is made of labels alone is off by as much as these lie from the limit: they are told, and counted above all the same.
    near = [r for r in allowed if r["best_mm"] < 0.5 + REJECTION_DOUBT_MM]
    missed_near = sum(not any(r is g for g in good) for r in near)
    return (
        f"{len(records)} pedicles, {len(records) - len(got)} without a screw; allowed {len(allowed)}, of them grade A with 0.5 mm "
        f"{len(good)} ({len(near)} allow less than {0.5 + REJECTION_DOUBT_MM:g} mm: {missed_near} of these missed); too narrow {len(narrow)}, said so {sum(not r['accepted'] for r in narrow)}; accepted screws that breach "
        f"{sum(r['accepted'] and r['grade'] != 'A' for r in got)}"
    )


def main() -> None:
    """Run, print a line a pedicle, then the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=1, help="vertebrae a level")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--places", type=int, default=1, help="places of each vertebra within a voxel")
    given = parser.parse_args()
    records = []
    for seed in range(given.first, given.first + given.each):
        for level in given.levels.split(","):
            for place in range(given.places):
                for record in run(level, seed, place):
                    records.append(record)
                    print(seed, record, flush=True)
    print(summed(records))


if __name__ == "__main__":
    main()
