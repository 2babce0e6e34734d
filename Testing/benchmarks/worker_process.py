"""Run a benchmark's worker in a process of its own, where a crash, a kill or a run past its time hurts nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BENCHMARKS = Path(__file__).resolve().parent
_LIBRARIES = _BENCHMARKS.parents[1] / "MSKFusion"


def run_worker(module: str, arguments: Sequence[str], answer: Path, *, python: str, timeout_s: float) -> dict[str, Any]:
    """Return what a worker wrote to its answer file, or a record with the status ``timeout`` or ``crash``.

    Parameters
    ----------
    module
        Run as ``python -m module``, with the benchmarks and this project's libraries on its path.
    python
        The interpreter that has the packages it needs.
    """
    paths = os.pathsep.join([str(_BENCHMARKS), str(_LIBRARIES), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [python, "-m", module, *arguments],
            env=os.environ | {"PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"status": "timeout", "seconds": timeout_s}
    if done.returncode != 0 or not answer.is_file():
        words = done.stderr.decode(errors="replace")[-800:]
        return {"status": "crash", "detail": f"exit status {done.returncode}: {words}"}
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found
