"""Pedicle screws on generated vertebrae, planned on our segmentation of the noisy CT, measured in the true anatomy.

    python Testing/benchmarks/pedicles.py --patients 25 [--first 101] --out pedicles.jsonl

Patients are in turn as they come, scoliotic, narrow and osteoporotic (T12 to L5: the levels that the generator makes). For
each pedicle: grade and clearance in the true anatomy, said too narrow or not against what the true pedicle allows, and the
widest corridor against an exhaustive search of the same lines in the same map. Beside it, in the same run, a plain grid of
trials on the label's voxels, as is usual: 9 x 9 places and 13 x 13 directions about the same pedicle, the line with the
greatest distance from the label's border, its screw chosen by the same rules of size. Times are of the processor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from corridors import exhaustive_mm

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import MSKError
from MSKFusionLib.frames import transform_points, unit_rows
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.phantom import Patient, PatientOptions, generate_patient
from MSKFusionLib.segmentation import LevelHint, segment_bones_ct
from MSKFusionLib.segmentation.labels import Segmentation
from MSKPlannerLib.bone.smooth_bone import BoneFields
from MSKPlannerLib.pipeline import Case
from MSKPlannerLib.plan import Plan, Screw
from MSKPlannerLib.screws import pedicle as planner
from MSKPlannerLib.screws.corridor import widest_corridor
from MSKPlannerLib.screws.implants import ImplantTable, load_implants
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.pedicle_ways import WAYS
from MSKPlannerLib.screws.prepared import prepare_level
from MSKPlannerLib.screws.safety import gertzbein_robbins_grade, screw_clearance_mm
from MSKPlannerLib.screws.way_limits import direction_limits
from MSKPlannerLib.truth import TrueScrew, compare

KINDS: dict[str, dict[str, Any]] = {
    "usual": {"scoliosis_deg": 0.0, "low_density": False, "wedge_fracture": "none"},
    "scoliotic": {"scoliosis_deg": 32.0, "low_density": False, "wedge_fracture": "none"},
    "narrow": {"scoliosis_deg": 0.0, "pedicle_width_min_mm": 4.6, "low_density": False, "wedge_fracture": "none"},
    "osteoporotic": {"scoliosis_deg": 0.0, "low_density": True},
}


@contextmanager
def side_seconds(found: list[float]) -> Iterator[None]:
    """Collect the processor time of every screw that is planned within."""
    inner = planner._plan_side

    def timed(*args: Any) -> Any:
        began = time.process_time()
        try:
            return inner(*args)
        finally:
            found.append(time.process_time() - began)

    planner._plan_side = timed  # type: ignore[assignment]
    try:
        yield
    finally:
        planner._plan_side = inner


def grid_screw(
    bones: Segmentation, level: str, frame: Any, side: str, table: ImplantTable, options: ScrewOptions
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Plan by a plain grid of trials on the distance to the label's border: entry, tip, diameter."""
    part = bones.around(level, 6.0)
    distance = -signed_distance_mm(part.voxels == bones[level].value, part.spacing_mm[::-1])

    def depth(points: np.ndarray) -> np.ndarray:
        return np.asarray(interpolate(distance, transform_points(part.ras_to_ijk, points)))

    centre = frame.pedicles[side].centre_ras
    inwards = (1.0 if side == "left" else -1.0) * frame.right_ras
    shifts = np.arange(-4.0, 4.01, 1.0)
    turns = np.tan(np.radians(np.arange(-15.0, 15.01, 2.5)))
    a, b, c, d = (g.ravel() for g in np.meshgrid(shifts, shifts, turns, turns, indexing="ij"))
    place = centre + a[:, None] * frame.right_ras + b[:, None] * frame.superior_ras
    middle = np.tan(np.radians(12.0))
    way = unit_rows(frame.anterior_ras + (middle + c)[:, None] * inwards + d[:, None] * frame.superior_ras)
    # From the back of the pedicle to where the shortest screw ends, as far as every screw goes.
    body = float(frame.to_frame(centre)[1])
    ahead = np.arange(-2.0, max(5.0, -0.2 * frame.body_depth_mm - body), 1.0)
    least = depth(place[:, None] + ahead[:, None] * way[:, None]).min(axis=1)
    n = int(least.argmax())
    line, axis = place[n], way[n]
    back = np.arange(0.0, 26.0, 0.5)
    outside = depth(line - back[:, None] * axis) <= 0
    if not outside.any():
        return None
    entry = line - back[int(outside.argmax())] * axis
    y = float(frame.to_frame(entry)[1])
    deepest = (options.body_depth - 0.5) * frame.body_depth_mm
    reach = (deepest - y) / float(axis @ frame.anterior_ras)
    cap = max(options.pedicle_fill * frame.pedicles[side].width_mm, table.diameters_mm[0])
    fitting = [m for m in table.diameters_mm if m <= cap and m / 2 + options.wished_clearance_mm <= least[n]]
    diameter = fitting[-1] if fitting else table.diameters_mm[0]
    lengths = [m for m in table.lengths_mm(diameter) if m <= reach]
    return (entry, entry + lengths[-1] * axis, diameter) if lengths else None


def run_patient(seed: int, kind: str, table: ImplantTable) -> list[dict[str, Any]]:
    """Return a record a pedicle."""
    patient = generate_patient(PatientOptions(seed, mr_spacing_mm=(4.0, 8.0), **KINDS[kind]))
    body = np.array(patient.vertebrae["L3"].frame_to_ras)[:3, 3]
    bones = segment_bones_ct(patient.ct, level_hint=LevelHint("L3", (float(body[0]), float(body[1]), float(body[2]))))
    fields = BoneFields(bones, patient.ct)
    options = ScrewOptions(error_budget="")
    kinds = {s.name: s.kind for s in patient.labels.segments}
    wanted = [n for n, v in patient.vertebrae.items() if v.complete_in_ct and kinds[n] == "vertebra"]
    records: list[dict[str, Any]] = []
    for level in wanted:
        began = time.process_time()
        fields.smooth(level)
        map_s = time.process_time() - began
        seconds: list[float] = []
        began = time.process_time()
        with side_seconds(seconds):
            try:
                found = planner.plan_vertebra(fields, level, table, options)
            except MSKError as error:
                records += [_record(seed, kind, level, side, error=str(error)) for side in ("left", "right")]
                continue
        whole_s = time.process_time() - began
        case = Case(patient.ct, None, bones, Plan("benchmark", "", {}, screws=tuple(found.screws)))
        true = {s.name: s for s in compare(case, patient, table).screws}
        records += _sides(patient, bones, fields, level, found.screws, true, table, options)
        for record in records[-len(found.screws) :] if found.screws else []:
            record |= {"seed": seed, "kind": kind, "map_s": map_s, "whole_vertebra_s": whole_s}
            record["side_s"] = float(np.mean(seconds))
        records += [_record(seed, kind, s.level, s.side or "both", error=s.reason) for s in found.skipped]
    return records


def _sides(
    patient: Patient,
    bones: Segmentation,
    fields: BoneFields,
    level: str,
    screws: Sequence[Screw],
    true: Mapping[str, TrueScrew],
    table: ImplantTable,
    options: ScrewOptions,
) -> list[dict[str, Any]]:
    ready = prepare_level(fields, level)
    frame, fine = ready.frame, ready.fine
    out = []
    for screw in screws:
        t = true[screw.name]
        record: dict[str, Any] = {
            "level": level, "side": screw.side, "accepted": t.accepted, "grade": t.grade, "passed": t.passed,
            "clearance_mm": t.clearance_mm, "planned_clearance_mm": screw.clearance_mm, "width_mm": t.pedicle_width_mm,
            "best_clearance_mm": t.best_clearance_mm, "diameter_mm": screw.diameter_mm, "length_mm": screw.length_mm,
        }  # fmt: skip
        pedicle, sign = frame.pedicles[screw.side], {"left": -1.0, "right": 1.0}[screw.side]
        limits = direction_limits(options, frame, pedicle, fine)[0]
        family = planner.pedicle_lines(frame, pedicle, sign, limits, WAYS[options.trajectory].least_tip_share)
        corridor = widest_corridor(fine, family, gap_mm=planner._CORRIDOR_GAP_MM)
        best = exhaustive_mm(fine, family)
        record |= {"corridor_mm": corridor.clearance_mm, "exhaustive_mm": best, "bound_mm": corridor.bound_mm}
        began = time.process_time()
        plain = grid_screw(bones, level, frame, screw.side, table, options)
        record["grid_s"] = time.process_time() - began
        if plain is not None:
            clearance = float(screw_clearance_mm(lambda p: patient.bone_depth_mm(level, p), *plain))
            record |= {
                "grid_clearance_mm": clearance,
                "grid_grade": gertzbein_robbins_grade(max(0.0, -clearance)),
                "grid_diameter_mm": plain[2],
                "grid_length_mm": float(np.linalg.norm(plain[1] - plain[0])),
            }
        out.append(record)
    return out


def _record(seed: int, kind: str, level: str, side: str, **more: Any) -> dict[str, Any]:
    return {"seed": seed, "kind": kind, "level": level, "side": side, **more}


def summarise(records: list[dict[str, Any]]) -> str:
    """Return what the records say, kind by kind."""
    lines = []
    for kind in (*KINDS, "all"):
        some = [r for r in records if kind in (r["kind"], "all")]
        got = [r for r in some if "grade" in r]
        if not got:
            continue
        allowed = [r for r in got if r["best_clearance_mm"] >= 0.5]
        good = [r for r in allowed if r["grade"] == "A" and r["clearance_mm"] >= 0.5 and r["accepted"]]
        narrow = [r for r in got if r["best_clearance_mm"] < 0.5]
        said = [r for r in narrow if not r["accepted"]]
        lack = np.array([(r["exhaustive_mm"] - r["corridor_mm"]) / max(r["exhaustive_mm"], 1e-6) for r in got])
        grid = [r for r in allowed if r.get("grid_grade") == "A" and r["grid_clearance_mm"] >= 0.5]
        breached = sum(r.get("grid_grade", "A") != "A" for r in got)
        lines.append(
            f"{kind}: {len(some)} pedicles in {len({(r['seed'], r['level']) for r in some})} vertebrae, {len(some) - len(got)} "
            f"without a screw; allowed {len(allowed)}: grade A with 0.5 mm {len(good)}; narrow {len(narrow)}: said {len(said)}; "
            f"ours breach {sum(r['grade'] != 'A' for r in got)}, least {min(r['clearance_mm'] for r in got):.2f} mm | grid: "
            f"{len(grid)} of {len(allowed)}, breach {breached}, least {min(r.get('grid_clearance_mm', 9) for r in got):.2f} mm | "
            f"corridor short of exhaustive: worst {100 * lack.max():.2f} %, within 1 % {np.mean(lack <= 0.01):.1%}, bound broken "
            f"{sum(r['bound_mm'] < r['exhaustive_mm'] - 1e-6 for r in got)} | seconds a screw: ours median "
            f"{np.median([r['side_s'] for r in got]):.2f}, worst {max(r['side_s'] for r in got):.2f}; grid median "
            f"{np.median([r['grid_s'] for r in got]):.2f}; map median {np.median([r['map_s'] for r in got]):.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run, append to the file as patients end, print the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--first", type=int, default=101, help="first seed")
    parser.add_argument("--out", type=Path, default=Path("pedicles.jsonl"), help="goes on after what is in it")
    given = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    records = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {r["seed"] for r in records}
    for n in range(given.patients):
        seed, kind = given.first + n, list(KINDS)[n % len(KINDS)]
        if seed in done:
            continue
        try:
            found = run_patient(seed, kind, load_implants())
        except MSKError as error:
            found = [_record(seed, kind, "", "", error=str(error))]
        stamp = {"commit": commit.strip(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
        with given.out.open("a") as file:
            file.writelines(json.dumps(r | stamp) + "\n" for r in found)
        records += found
        print(
            f"{seed} {kind}: {sum('grade' in r for r in found)} screws, {sum(r.get('passed', False) for r in found)} held",
            flush=True,
        )
    print(summarise(records))


if __name__ == "__main__":
    main()
