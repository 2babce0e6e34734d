"""Bones from CT without a network: the segmentation on real labelled images and on generated patients, with its bars.

    python Testing/benchmarks/segmentation.py --set real --out FILE.json
    python Testing/benchmarks/segmentation.py --set generated --seeds 1-40 --only metal --out FILE.json

Sets: real (needs ../shared/data or MSK_TEST_DATA), generated (each seed as it comes, low in density, noisy, and all of it
with screws and their streaks), large (512 x 512 x 400: time and memory). Every case runs in a process of its own; the
labels that were found are left beside FILE.json. Every record is appended to FILE.jsonl as its case ends, with the commit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from regbench.runs import read_records
from registration import code_version, seeds_of
from segbench.cases import SETS
from segbench.runs import run_case
from segbench.table import as_text, line, summarise

_ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=[*SETS, "all"], required=True, help="may be given again")
    parser.add_argument("--only", default="", help="only cases with this text in their names, as metal")
    parser.add_argument("--seeds", default="1-10", help="generated patients, as 1-40 or 1,2,5")
    parser.add_argument("--out", type=Path, required=True, help="every figure as JSON")
    parser.add_argument("--resume", action="store_true", help="go on with FILE.jsonl, and leave out what it has")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after which a case has failed")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mskplanner-benchmark")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MSK_TEST_DATA", _ROOT.parent / "shared" / "data"))
    )
    return parser.parse_args()


def main() -> None:
    """Run what is asked and print the table."""
    args = arguments()
    lines = args.out.with_suffix(".jsonl")
    if lines.exists() and not args.resume:
        sys.exit(f"{lines} exists: go on with --resume, or give another --out")
    records = read_records(lines) if lines.exists() else []
    # Written whole again, so that a line which a kill cut short is not continued.
    lines.parent.mkdir(parents=True, exist_ok=True)
    lines.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    there = {(r["set"], r["case"]) for r in records}
    for set_name in SETS if "all" in args.set else args.set:
        if set_name != "generated" and not args.data.is_dir():
            print(f"'{set_name}' is left out: there is no {args.data} (set MSK_TEST_DATA)", flush=True)
            continue

        def wanted(name: str, of: str = set_name) -> bool:
            return args.only in name and (of, name) not in there

        for case in SETS[set_name](args.cache, args.data, seeds_of(args.seeds), wanted):
            record = run_case(case, args.out.with_suffix(""), args.timeout) | {"code": code_version()}
            records.append(record)
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(line(record), flush=True)
    machine = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    summary = summarise(records) | {"machine": machine, "records": records}
    args.out.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    print(f"\n{as_text(summary)}\n\n{args.out}")


if __name__ == "__main__":
    main()
