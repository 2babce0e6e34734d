"""What the records say: numbers by set and method, the same as text, and the runs worth looking at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]
RIGHT_MM = 2.0
WRONG_MM = 3.0
HONEST_FACTOR = 1.5


def is_right(record: Record) -> bool:
    """Tell whether a run ended within the bar; one that did not end is wrong."""
    return record["status"] == "done" and record.get("error_mm", np.inf) < RIGHT_MM


def is_accepted(record: Record) -> bool:
    """Tell whether the method vouches for its result; one that says nothing of it does not."""
    return record["status"] == "done" and record.get("verdict") == "accepted"


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Return all numbers: by set and method, over everything accepted, and the runs to look at."""
    return {
        "sets": [
            _numbers(set_name, method, group)
            for set_name in _unique(r["set"] for r in records)
            for method in _unique(r["method"] for r in records if r["set"] == set_name)
            if (group := [r for r in records if r["set"] == set_name and r["method"] == method])
        ],
        "accepted": _accepted(records),
        "wrong_accepted": [_case(r) for r in records if is_accepted(r) and not is_right(r)],
        "right_rejected": [_case(r) for r in records if is_right(r) and r.get("verdict") == "rejected"],
        # What must fail may be refused.
        "not_done": [
            _case(r) for r in records if r["status"] != "done" and (r["has_answer"] or r["status"] != "refused")
        ],
    }


def _numbers(set_name: str, method: str, group: list[Record]) -> Record:
    done = [r for r in group if r["status"] == "done"]
    answered = [r for r in group if r["has_answer"]]
    ended = [r for r in done if r["has_answer"]]
    judged = [r for r in done if r.get("verdict") is not None]
    return {
        "set": set_name,
        "method": method,
        "runs": len(group),
        "answerable": len(answered),
        "right": sum(is_right(r) for r in answered),
        "right_share": sum(is_right(r) for r in answered) / len(answered) if answered else None,
        "median_error_mm": _median([r["error_mm"] for r in ended]),
        "median_right_error_mm": _median([r["error_mm"] for r in ended if is_right(r)]),
        "judges_itself": bool(judged),
        "accepted": sum(is_accepted(r) for r in group) if judged else None,
        "wrong_accepted": sum(is_accepted(r) and not is_right(r) for r in group) if judged else None,
        "right_rejected": sum(is_right(r) and not is_accepted(r) for r in group) if judged else None,
        "refused": sum(r["status"] == "refused" for r in group),
        "crashed_or_late": sum(r["status"] in ("crash", "timeout", "failed") for r in group),
        "median_seconds": _median([r["seconds"] for r in group if "seconds" in r]),
        "median_cpu_seconds": _median([r["cpu_seconds"] for r in done]),
        "most_seconds": max((r["seconds"] for r in group if "seconds" in r), default=None),
        "peak_mib": max((r["peak_mib"] for r in done), default=None),
        "categories": {
            c: _category([r for r in group if r["category"] == c]) for c in _unique(r["category"] for r in group)
        },
        "parts": _parts(ended),
        **_own_motion(group),
    }


def _category(group: list[Record]) -> Record:
    return {
        "runs": len(group),
        "right": sum(is_right(r) for r in group),
        "accepted": sum(is_accepted(r) for r in group),
        "refused": sum(r["status"] == "refused" for r in group),
    }


def _parts(ended: list[Record]) -> dict[str, Record]:
    """Return the errors over the points of each part of the body, and over all of them."""
    points: dict[str, list[float]] = {}
    for r in ended:
        for name, errors in r["part_errors_mm"].items():
            points.setdefault(name, []).extend(errors)
    if len(points) > 1:
        points["all"] = [e for errors in points.values() for e in errors]
    return {
        n: {"median_mm": float(np.median(e)), "p95_mm": float(np.percentile(e, 95)), "points": len(e)}
        for n, e in points.items()
    }


def _own_motion(group: list[Record]) -> Record:
    """Return the farthest that any bone of these pairs moved against the others."""
    own = [m for r in group for m in r.get("facts", {}).get("own_motion", {}).values()]
    return {f"most_own_{k}": max(m[k] for m in own) for k in ("turn_deg", "shift_mm")} if own else {}


def _accepted(records: Sequence[Record]) -> list[Record]:
    """Return by method how what it promised compares with the truth, over accepted runs that have an answer."""
    found = []
    for method in _unique(r["method"] for r in records if r.get("verdict") is not None):
        group = [r for r in records if r["method"] == method and is_accepted(r)]
        known = [r for r in group if r["has_answer"]]
        honest = [r["error_mm"] < HONEST_FACTOR * r["expected_error_mm"] for r in known]
        must_fail = [r for r in records if r["method"] == method and not r["has_answer"]]
        found.append(
            {
                "method": method,
                "accepted_with_answer": len(known),
                "within_expected_share": float(np.mean(honest)) if honest else None,
                "accepted_above_3_mm": sum(r["error_mm"] > WRONG_MM for r in known),
                "must_fail": len(must_fail),
                "must_fail_accepted": sum(is_accepted(r) for r in must_fail),
            }
        )
    return found


def _case(record: Record) -> Record:
    names = ("set", "pair", "category", "method", "status", "detail", "start_error_mm", "error_mm", "expected_error_mm")
    return {n: record[n] for n in (*names, "verdict", "reasons", "evidence") if record.get(n) is not None}


# ---------------------------------------------------------------------- text
def as_text(summary: dict[str, Any]) -> str:
    """Return the summary as tables of plain text."""
    lines = [
        "right: mean error under 2 mm. Time and memory: one process a run, images read before, 2 threads.",
        "",
        _row(
            "set",
            "method",
            "right",
            "median mm",
            "of right",
            "accepted",
            "wrong acc.",
            "right rej.",
            "s",
            "CPU s",
            "MiB",
            "failed",
        ),
    ]
    for n in summary["sets"]:
        right = f"{n['right']}/{n['answerable']}" if n["answerable"] else "no answer"
        verdicts = [
            _text(n[k], 0) if n["judges_itself"] else "silent" for k in ("accepted", "wrong_accepted", "right_rejected")
        ]
        lines.append(
            _row(
                n["set"],
                n["method"],
                right,
                _text(n["median_error_mm"], 2),
                _text(n["median_right_error_mm"], 2),
                *verdicts,
                _text(n["median_seconds"], 1),
                _text(n["median_cpu_seconds"], 1),
                _text(n["peak_mib"], 0),
                str(n["refused"] + n["crashed_or_late"]),
            )
        )
    for n in summary["sets"]:
        if n["set"] == "honesty":
            lines += ["", f"honesty, {n['method']}: accepted of pairs that must fail"]
            lines += [f"  {c:18s} {v['accepted']} of {v['runs']}" for c, v in n["categories"].items()]
        if n["set"] in ("postures", "real", "real_near") and n["parts"]:
            lines += ["", f"{n['set']}, {n['method']}: error over the points in mm"]
            if "most_own_turn_deg" in n:
                lines[-1] += (
                    f", bones moved by up to {n['most_own_turn_deg']:.1f} degrees and {n['most_own_shift_mm']:.1f} mm"
                )
            lines += [f"  {p:10s} median {v['median_mm']:.2f}, 95 % {v['p95_mm']:.2f}" for p, v in n["parts"].items()]
    for n in summary["accepted"]:
        lines += [
            "",
            f"{n['method']}: {n['accepted_with_answer']} accepted that have an answer, of them "
            f"{_text(n['within_expected_share'], 2)} within {HONEST_FACTOR} times the expected error and "
            f"{n['accepted_above_3_mm']} above {WRONG_MM:.0f} mm; {n['must_fail_accepted']} accepted of {n['must_fail']} that must fail",
        ]
    for title, key in (
        ("WRONG AND ACCEPTED", "wrong_accepted"),
        ("right and rejected", "right_rejected"),
        ("not done", "not_done"),
    ):
        if summary[key]:
            lines += ["", title, *[_case_text(c) for c in summary[key]]]
    return "\n".join(lines)


def _case_text(case: Record) -> str:
    numbers = [f"{k} {case[k]:.2f}" for k in ("start_error_mm", "error_mm", "expected_error_mm") if k in case]
    numbers += [f"{k} {v:.3g}" for k, v in case.get("evidence", {}).items()]
    words = [*case.get("reasons", []), *([case["detail"].strip().splitlines()[-1]] if case.get("detail") else [])]
    return f"  {case['pair']} {case['method']} ({case['category']}) {case['status']}: " + ", ".join([*numbers, *words])


def _row(*cells: str) -> str:
    widths = (10, 15, 10, 10, 9, 9, 10, 10, 7, 7, 6, 6)
    return " ".join(c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True)))


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _median(values: Iterable[float]) -> float | None:
    kept = list(values)
    return float(np.median(kept)) if kept else None


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
