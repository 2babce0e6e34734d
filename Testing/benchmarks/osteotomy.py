"""Osteotomies: generated deformities against closed-form truth, and cuts by this project and its peers in one run.

python Testing/benchmarks/osteotomy.py                       # all parts, small
python Testing/benchmarks/osteotomy.py --part planes --planes 500 --part speed --triangles 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "Testing"), str(_ROOT / "MSKFusion"), str(_ROOT / "MSKPlanner")]

from osteobench.cutters import CUTTERS, bones, cutting, hostile_planes, long_bone  # noqa: E402
from osteobench.deformities import misses  # noqa: E402
from osteobench.legs import CENTRES, runs  # noqa: E402

from MSKPlannerLib.osteotomy.plane import Plane  # noqa: E402

PARTS = ("deformities", "legs", "planes", "speed")


def deformities(count: int) -> list[dict[str, Any]]:
    """Print how far plans miss the truth."""
    found = list(misses(count))
    print(f"\n{count} deformities: greatest miss")
    print(f"{'kind':18}{'n':>5}{'angle deg':>12}{'gap mm':>12}{'axis deg':>12}{'place mm':>12}")
    for kind in dict.fromkeys(m.kind for m in found):
        some = [m for m in found if m.kind == kind]
        worst = [max(getattr(m, f) for m in some) for f in ("angle_deg", "gap_mm", "axis_deg", "place_mm")]
        print(f"{kind:18}{len(some):5}" + "".join("           -" if np.isnan(w) else f"{w:12.1e}" for w in worst))
    return [asdict(m) for m in found]


def legs(count: int) -> list[dict[str, Any]]:
    """Print what the surfaces of legs give, and where plans made on it end on the true leg."""
    found = list(runs(count))
    failed = [r for r in found if r.error]
    print(f"\n{count} legs from their surfaces: {len(failed)} without a result; median and greatest error")
    for run in failed:
        print(f"  seed {run.seed}: {run.error}")
    noises = sorted({r.noise_mm for r in found})
    print(f"{'':28}" + "".join(f"{f'noise {n:g} mm':>20}" for n in noises))
    rows = [(f"{n} mm", lambda r, n=n: r.centres_mm[n]) for n in CENTRES]
    rows += [(n, lambda r, n=n: abs(r.measures[n])) for n in next(r for r in found if not r.error).measures]
    rows += [("HKA after the plan, deg", lambda r: abs(r.true_miss))]
    rows += [(f"plan itself: {n}", lambda r, n=n: r.planned[n]) for n in ("target", "gap_mm", "rejected")]
    for name, value in rows:
        cells = [[value(r) for r in found if not r.error and r.noise_mm == noise] for noise in noises]
        print(f"{name:28}" + "".join(f"{np.median(c):12.3g}{np.max(c):8.3g}" for c in cells))
    return [asdict(r) for r in found]


def planes(count: int, kerf_mm: float, data: Path) -> None:
    """Print how many cuttings fail: not closed, or volumes more than 0.01 % off."""
    for name, bone in bones(data).items():
        tried = list(hostile_planes(bone, count, seed=1))
        print(f"\n{name}, {len(bone.faces)} triangles, {len(tried)} planes, kerf {kerf_mm:g} mm: failures")
        print(f"{'cutter':14}{'random':>9}{'corners':>9}{'face':>9}{'beside':>9}{'worst volume':>14}{'ms each':>9}")
        for cutter in CUTTERS:
            failed, beside, worst, seconds = dict.fromkeys(("random", "corners", "face"), 0), 0, 0.0, 0.0
            for kind, plane in tried:
                run = cutting(cutter, bone, [plane], kerf_mm)
                seconds += run.cpu_seconds
                if "misses the bone" in run.error or "cuts nothing off" in run.error:
                    beside += 1
                    continue
                failed[kind] += not run.closed or not run.volume_error_share <= 1e-4
                worst = max(worst, np.nan_to_num(run.volume_error_share, nan=1.0))
            shown = "".join(f"{failed[k]:9}" for k in failed)
            print(f"{cutter:14}{shown}{beside:9}{worst:14.1e}{1000 * seconds / len(tried):9.1f}")


def speed(triangles: int, repeats: int) -> None:
    """Print how long two planes with kerf take."""
    bone = long_bone(triangles)
    two = [Plane([0, 0, 45], [0.1, 0.2, 1]), Plane([0, 0, -40], [-0.2, 0.1, 1])]
    print(f"\n{len(bone.faces)} triangles, two planes, kerf 1.2 mm: best of {repeats}")
    print(f"{'cutter':14}{'seconds':>9}{'cpu':>7}{'parts':>7}{'closed':>8}{'volume':>10}")
    for cutter in CUTTERS:
        runs = [cutting(cutter, bone, two, 1.2) for _ in range(repeats)]
        best = min(runs, key=lambda r: r.seconds)
        cpu = min(r.cpu_seconds for r in runs)
        print(
            f"{cutter:14}{best.seconds:9.2f}{cpu:7.2f}{best.fragments:7}{best.closed!s:>8}{best.volume_error_share:10.1e}"
        )


def main() -> None:
    """Run what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    parser.add_argument("--deformities", type=int, default=200)
    parser.add_argument("--legs", type=int, default=24)
    parser.add_argument("--out", type=Path, help="the cases of deformities and legs as JSON")
    parser.add_argument("--planes", type=int, default=60, help="on each bone")
    parser.add_argument("--kerf", type=float, default=1.0, help="mm; 0: none")
    parser.add_argument("--triangles", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MSK_TEST_DATA", _ROOT.parent / "shared/data"))
    )
    args = parser.parse_args()
    parts = args.part or PARTS
    record: dict[str, Any] = {}
    if "deformities" in parts:
        record["deformities"] = deformities(args.deformities)
    if "legs" in parts:
        record["legs"] = legs(args.legs)
    if args.out is not None:
        args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if "planes" in parts:
        planes(args.planes, args.kerf, args.data)
    if "speed" in parts:
        speed(args.triangles, args.repeats)


if __name__ == "__main__":
    main()
