"""Exported files in PrusaSlicer: guides and bones as STL and 3MF, looked at and sliced; every complaint is printed.

    .venv/bin/python Testing/benchmarks/slicing.py --drill 24 --cut 24 --bones 6 --out slicing.json

Each file's line is appended to FILE.jsonl as it ends; --resume goes on from there. Real bones: give segmentations by --labels.

"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guides import CASES
from prusa_slicer import SLICER, disagreements, look_at, slice_file

from MSKFusionLib.errors import MSKError
from MSKFusionLib.segmentation.files import read_segmentation
from MSKPlannerLib.export.mesh_files import write_parts
from MSKPlannerLib.export.parts import FileNotes, Part
from MSKPlannerLib.export.plan_parts import bone_parts
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.records import describe_segmentation

SIZE_MM, VOLUME_SHARE = 0.1, 0.005


def main() -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("drill", 24), ("cut", 24), ("bones", 6)):
        parser.add_argument(f"--{name}", type=int, default=number, metavar="N")
    parser.add_argument("--labels", nargs="*", type=Path, default=[], help="label maps whose bones are taken along")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if SLICER is None:
        parser.error("PrusaSlicer is not installed: apt-get install prusa-slicer")
    lines = args.out.with_suffix(".jsonl")
    done = [json.loads(line) for line in lines.read_text().splitlines()] if args.resume and lines.exists() else []
    if not args.resume:
        lines.unlink(missing_ok=True)
    known = {r["body"] for r in done}
    for name, make in samples(args):
        if name in known:
            continue
        for record in judge(name, make):
            done.append(record)
            with lines.open("a") as file:
                file.write(json.dumps(record) + "\n")
            complaints = "; ".join(record["wrong"]) or "ok"
            sys.stdout.write(f"{record['file']}: {complaints}\n")
            sys.stdout.flush()
    wrong = [r for r in done if r["wrong"]]
    good = [r for r in done if "size_mm" in r]
    summary = {
        "bodies": len({r["body"] for r in done}),
        "files": len(done),
        "wrong": [r["file"] for r in wrong],
        "greatest_size_difference_mm": max((r["size_mm"] for r in good), default=None),
        "greatest_volume_difference": max((r["volume_share"] for r in good), default=None),
    }
    args.out.write_text(json.dumps({"summary": summary, "files": done}, indent=1) + "\n")
    sys.stdout.write(json.dumps(summary, indent=1) + "\n")
    return 1 if wrong else 0


def samples(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Part]]]:
    """Name each body and say how it is made."""
    for seed in range(1, max(args.drill, args.cut) + 1):
        for kind in ("drill", "cut"):
            if seed <= getattr(args, kind):
                yield f"{kind}_{seed}", lambda k=kind, s=seed: Part(f"{k} {s}", "guide", CASES[k](s)[2]().mesh)
    for seed in range(1, args.bones + 1):
        kind = ("drill", "cut")[seed % 2]
        yield f"bone_{seed}", lambda k=kind, s=seed: Part(f"bone {s}", "bone", CASES[k](s)[0])
    for path in args.labels:
        bones = read_segmentation(path)
        plan = Plan("p", "now", {}, segmentation=describe_segmentation(bones))
        for part in bone_parts(plan, bones):
            yield f"{path.name.split('.')[0]}_{part.file_stem}", lambda p=part: p


def judge(name: str, make: Callable[[], Part]) -> Iterator[dict]:
    """Write one body as STL and 3MF, and let the slicer look at both and slice them."""
    try:
        part = make()
    except MSKError as error:
        yield {"body": name, "file": name, "wrong": [f"not made: {error}"]}
        return
    with tempfile.TemporaryDirectory() as place:
        for ending in (".stl", ".3mf"):
            path = Path(place) / f"{name}{ending}"
            write_parts([part], path, notes=FileNotes("0" * 64))
            seen = look_at(path)
            size, volume = disagreements(seen, np.asarray(part.mesh.bounds_ras), part.mesh.volume_mm3)
            began = time.perf_counter()
            said, layers = slice_file(path, Path(place))
            wrong = [*said, *(f"{k} = {v}" for k, v in seen.mended.items())]
            wrong += [] if seen.manifold else ["not manifold"]
            wrong += [] if seen.parts == 1 else [f"{seen.parts} parts"]
            wrong += [] if size < SIZE_MM else [f"size differs by {size:.3f} mm"]
            wrong += [] if volume < VOLUME_SHARE else [f"volume differs by {volume:.2%}"]
            yield {"body": name, "file": path.name, "triangles": len(part.mesh.faces), "size_mm": size,
                   "volume_share": volume, "layers": layers, "seconds": round(time.perf_counter() - began, 1),
                   "wrong": wrong}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
