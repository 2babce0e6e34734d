"""CT-MR registration: this project and its peers on the same pairs in one run, accuracy, success, time and memory.

    python Testing/benchmarks/registration.py --set lumbar --pairs 8 --out FILE.json
    python Testing/benchmarks/registration.py --set honesty --resume --out FILE.json

Sets: near (5 mm, 3 degrees: every adapter must solve it), lumbar, turns, postures, real, real_near, real_mr, honesty. The peers need
their packages (pip install itk-elastix antspyx picsl-greedy), which want another numpy than this project: give the
interpreter of a virtual environment of their own with --peers-python. Every run is appended to FILE.jsonl as it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from regbench.methods import METHODS, OURS, PEERS
from regbench.patients import PatientStore
from regbench.runs import Record, read_records, run_method
from regbench.sets import SETS, USUAL_METHODS, Source
from regbench.table import as_text, summarise

_ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--set", action="append", choices=[*SETS, "all"], required=True, help="may be given more than once"
    )
    parser.add_argument("--only", default="", help="only pairs with this text in their names, as mirrored")
    parser.add_argument("--pairs", type=int, help="only the first so many of each set (of those that --only leaves)")
    parser.add_argument(
        "--methods", help=f"with commas between them: {', '.join(METHODS)}; default: what the set is about"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="summary as JSON; the runs go into FILE.jsonl beside it"
    )
    parser.add_argument("--resume", action="store_true", help="go on with FILE.jsonl, and leave out what it has")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has the peers' packages")
    parser.add_argument("--seeds", default="1-20", help="generated patients, as 1-20 or 1,2,5")
    parser.add_argument("--starts", type=int, default=1, help="starts a patient and weighting in lumbar")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after which a run has failed")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mskplanner-benchmark")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MSK_TEST_DATA", _ROOT.parent / "shared" / "data"))
    )
    return parser.parse_args()


def seeds_of(text: str) -> list[int]:
    """Return the numbers of "1-3,7"."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def code_version() -> str:
    """Return the commit that is run, so that records of several days can be told apart."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Run what is asked and print the table."""
    args = arguments()
    lines = args.out.with_suffix(".jsonl")
    if lines.exists() and not args.resume:
        sys.exit(f"{lines} exists: go on with --resume, or give another --out")
    records = read_records(lines) if lines.exists() else []
    # Written whole again, so that a line which a kill cut short is not continued.
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    have = {(r["set"], r["pair"], r["method"]) for r in records}
    if not args.data.is_dir():
        print(f"pairs of real images are left out: there is no {args.data} (set MSK_TEST_DATA)", flush=True)
    source = Source(PatientStore(args.cache), seeds_of(args.seeds), args.starts, args.data)
    code = code_version()
    for set_name in SETS if "all" in args.set else args.set:
        methods = args.methods.split(",") if args.methods else USUAL_METHODS.get(set_name, ("ours", *PEERS))
        recipes = [r for r in SETS[set_name](source) if args.only in r.name]
        for recipe in recipes[: args.pairs]:
            wanted = [m for m in methods if (set_name, recipe.name, m) not in have]
            if not wanted:
                continue
            pair = recipe.make()
            for method in wanted:
                python = sys.executable if method in OURS else args.peers_python
                record = {"code": code} | run_method(recipe, pair, method, python, args.timeout)
                records.append(record)
                with lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(_line(record), flush=True)
    summary = summarise(records)
    summary["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    args.out.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    print(f"\n{as_text(summary)}\n\n{args.out}, {lines}")


def _line(record: Record) -> str:
    words = [record["pair"], record["method"], record["status"]]
    for name, unit in (
        ("start_error_mm", "mm at the start"),
        ("error_mm", "mm"),
        ("seconds", "s"),
        ("peak_mib", "MiB"),
    ):
        if record.get(name) is not None:
            words.append(f"{record[name]:.2f} {unit}")
    if record.get("verdict"):
        expected = record["expected_error_mm"]
        words.append(record["verdict"] + (f", expected {expected:.2f} mm" if expected is not None else ""))
        words += record["reasons"]
    if record.get("detail"):
        words.append(record["detail"].strip().splitlines()[-1])
    return " | ".join(words)


if __name__ == "__main__":
    main()
