"""`mskplanner check`: whether meshes can be printed."""

from __future__ import annotations

import argparse
from pathlib import Path

from MSKFusionLib.progress import Progress

from ..export.mesh_files import read_mesh
from ..guides.checks import check_mesh, failed
from ..guides.presets import load_printer
from ..plan import Check
from .console import say, table
from .status import DONE, REJECTED


def check(args: argparse.Namespace, progress: Progress) -> int:
    """Tell whether meshes can be printed."""
    printer = load_printer(args.printer)
    results: dict[str, list[Check]] = {}
    for n, name in enumerate(args.mesh):
        progress(n / len(args.mesh), f"Checking {Path(name).name}")
        results[name] = list(check_mesh(read_mesh(name), printer, build_direction_ras=args.build_direction))
    progress(1.0, "Done")
    rows = [
        [
            Path(name).name,
            c.name,
            _number(c.value, c.unit),
            _number(c.limit, c.unit),
            "ok" if c.passed else "FAILED",
            c.message,
            "" if c.place_ras is None else " ".join(f"{v:.1f}" for v in c.place_ras),
        ]
        for name, checks in results.items()
        for c in checks
    ]
    bad = [name for name, checks in results.items() if failed(checks)]
    verdict = f"{len(bad)} of {len(results)} rejected" if bad else f"{len(results)} of {len(results)} accepted"
    text = (
        table(["Mesh", "Check", "Found", "Bar", "Result", "In words", "Place (RAS mm)"], rows)
        + f"\n{verdict} for {printer.name}"
    )
    as_json = {
        name: {"verdict": "rejected" if name in bad else "accepted", "checks": [vars(c) for c in checks]}
        for name, checks in results.items()
    }
    say(text, as_json, as_json=args.json)
    return REJECTED if bad else DONE


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3g} {unit}".strip()
