"""What the records say: one line a case, and the numbers of each set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]


def line(record: Record) -> str:
    """Return one case in a line: time, memory, the bones, what fails its bar."""
    words = [record["case"], record["status"]]
    words += [f"{record[n]:.1f} {unit}" for n, unit in (("seconds", "s"), ("peak_mib", "MiB")) if n in record]
    if "union_dice" in record:
        words.append(f"union {record['union_dice']:.3f}")
    for name, bone in record.get("bones", {}).items():
        surface = "" if bone["surface_mm"] is None else f" ({bone['surface_mm']:.2f} mm)"
        words.append(f"{name} {bone['dice']:.3f}{surface}")
    words += [f"{n}: {c['found']} of {c['there']} fragments" for n, c in record.get("groups", {}).items()]
    if "detail" in record:
        words.append(record["detail"].strip().splitlines()[-1])
    words.append("fails: " + ", ".join(record["failed"]) if record["failed"] else "every bar holds")
    return " | ".join(words)


def summarise(records: Sequence[Record]) -> Record:
    """Return the numbers of each set, the generated one by variant."""
    groups: dict[str, list[Record]] = {}
    for r in records:
        name = r["case"].rsplit(" ", 1)[0] if r["set"] == "generated" else r["case"]
        groups.setdefault(f"{r['set']}: {name}", []).append(r)
    return {"groups": {name: _numbers(group) for name, group in groups.items()}}


def _numbers(group: list[Record]) -> Record:
    done = [r for r in group if r["status"] == "done"]
    bones = [b for r in done for b in r.get("bones", {}).values()]
    unions = [r["union_dice"] for r in done if "union_dice" in r]
    surfaces = [b["surface_mm"] for b in bones if b["surface_mm"] is not None]
    return {
        "cases": len(group),
        "every_bar_holds": sum(not r["failed"] for r in group),
        "least_dice": min((b["dice"] for b in bones), default=None),
        "median_dice": float(np.median([b["dice"] for b in bones])) if bones else None,
        "least_union_dice": min(unions, default=None),
        "most_surface_mm": max(surfaces, default=None),
        "median_surface_mm": float(np.median(surfaces)) if surfaces else None,
        "most_seconds": max((r["seconds"] for r in group if "seconds" in r), default=None),
        "most_peak_mib": max((r["peak_mib"] for r in done), default=None),
    }


def as_text(summary: Record) -> str:
    """Return the groups as a table."""
    head = ("", "bars hold", "Dice least", "median", "union least", "surface most", "median", "s", "MiB")
    keys = ("least_dice", "median_dice", "least_union_dice", "most_surface_mm", "median_surface_mm")
    rows = [head]
    for name, n in summary["groups"].items():
        cells = ["" if n[k] is None else f"{n[k]:.3f}" for k in keys]
        costs = ["" if n[k] is None else f"{n[k]:.0f}" for k in ("most_seconds", "most_peak_mib")]
        rows.append((name, f"{n['every_bar_holds']} of {n['cases']}", *cells, *costs))
    widths = [max(len(r[c]) for r in rows) for c in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows)
