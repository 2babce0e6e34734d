"""Run one method on one pair in a process of its own, and turn what comes back into a record."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from worker_process import run_worker

from .methods import NEEDS_LABELS
from .pairs import Pair, Recipe

Record = dict[str, Any]


def run_method(recipe: Recipe, pair: Pair, method: str, python: str, timeout_s: float) -> Record:
    """Return the record of one run; a crash or a run past its time is one too.

    Parameters
    ----------
    python
        The interpreter that has the method's package.
    """
    record: Record = {
        "set": recipe.set_name,
        "pair": recipe.name,
        "category": recipe.category,
        "method": method,
        "has_answer": pair.has_answer,
        "start_error_mm": pair.start_error_mm(),
        **({"facts": dict(pair.facts)} if pair.facts else {}),
    }
    if method in NEEDS_LABELS and pair.labels is None:
        return record | {"status": "refused", "detail": "this pair has no labels"}
    with tempfile.TemporaryDirectory() as folder:
        job, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
        job.write_text(json.dumps(_job(pair, method)), encoding="utf-8")
        found = run_worker("regbench.worker", [str(job), str(answer)], answer, python=python, timeout_s=timeout_s)
    return record | scored(pair, found)


def _job(pair: Pair, method: str) -> Record:
    return {
        "method": method,
        "fixed": pair.fixed.as_json(),
        "moving": pair.moving.as_json(),
        "labels": None if pair.labels is None else str(pair.labels),
        "labels_moved_ras": pair.labels_moved_ras.tolist(),
        "points_ras": {n: p.tolist() for n, p in pair.fixed_points_ras.items()},
    }


def scored(pair: Pair, answer: Mapping[str, Any]) -> Record:
    """Return a worker's answer with its points turned into errors in mm."""
    record = dict(answer)
    mapped = record.pop("mapped_ras", None)
    if mapped is not None and pair.has_answer:
        errors = pair.errors_mm({n: np.array(p) for n, p in mapped.items()})
        record["error_mm"] = pair.score_mm(errors)
        record["part_errors_mm"] = {n: np.sort(e).round(3).tolist() for n, e in errors.items()}
    return record


def read_records(path: Path) -> list[Record]:
    """Return the records of a JSON lines file; a last line that was cut short by a kill is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
