"""Osteotomies: generated deformities against closed-form truth, and cuts by this project and its peers in one run.

python Testing/benchmarks/osteotomy.py                       # all parts, small
python Testing/benchmarks/osteotomy.py --part planes --planes 500 --part speed --triangles 1000000
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "Testing"), str(_ROOT / "MSKFusion"), str(_ROOT / "MSKPlanner")]

from osteobench.cutters import CUTTERS, bones, cutting, hostile_planes, long_bone  # noqa: E402
from osteobench.deformities import misses  # noqa: E402

from MSKPlannerLib.osteotomy.plane import Plane  # noqa: E402

PARTS = ("deformities", "planes", "speed")


def deformities(count: int) -> None:
    """Print how far plans miss the truth."""
    found = list(misses(count))
    print(f"\n{count} deformities: greatest miss")
    print(f"{'kind':18}{'n':>5}{'angle deg':>12}{'gap mm':>12}{'axis deg':>12}{'place mm':>12}")
    for kind in dict.fromkeys(m.kind for m in found):
        some = [m for m in found if m.kind == kind]
        worst = [max(getattr(m, f) for m in some) for f in ("angle_deg", "gap_mm", "axis_deg", "place_mm")]
        print(f"{kind:18}{len(some):5}" + "".join("           -" if np.isnan(w) else f"{w:12.1e}" for w in worst))


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
    parser.add_argument("--planes", type=int, default=60, help="on each bone")
    parser.add_argument("--kerf", type=float, default=1.0, help="mm; 0: none")
    parser.add_argument("--triangles", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MSK_TEST_DATA", _ROOT.parent / "shared/data"))
    )
    args = parser.parse_args()
    parts = args.part or PARTS
    if "deformities" in parts:
        deformities(args.deformities)
    if "planes" in parts:
        planes(args.planes, args.kerf, args.data)
    if "speed" in parts:
        speed(args.triangles, args.repeats)


if __name__ == "__main__":
    main()
