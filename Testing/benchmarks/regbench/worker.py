"""One method on one pair, in a process of its own: `python -m regbench.worker JOB.json RESULT.json`."""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.errors import MSKError

from . import methods
from .motions import with_moved_header
from .pairs import ImageFile


def peak_mib() -> float:
    """Return the peak memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss: after fork and exec that still holds the peak of the process that started this one.
        line = next(x for x in status.read_text(encoding="ascii").splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Read the images, let the method work, and return what it found; reading is not part of its time."""
    fixed, moving = ImageFile.from_json(job["fixed"]).read(), ImageFile.from_json(job["moving"]).read()
    extra = {}
    if job["method"] in methods.NEEDS_LABELS:
        extra["labels"] = _read_labels(job)
    loaded_mib, began, cpu_began = peak_mib(), time.perf_counter(), time.process_time()
    try:
        found = methods.METHODS[job["method"]](fixed, moving, **extra)
    except MSKError as error:
        return {"status": "refused", "detail": str(error), "seconds": time.perf_counter() - began}
    except Exception:  # noqa: BLE001 - a peer that raises has failed, and the benchmark goes on
        return {"status": "failed", "detail": traceback.format_exc()[-600:], "seconds": time.perf_counter() - began}
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    peak = peak_mib()
    mapped = {n: found.map_points(np.array(p)).tolist() for n, p in job["points_ras"].items()}
    return {
        "status": "done",
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak,
        "loaded_mib": loaded_mib,
        "fixed_to_moving_ras": found.fixed_to_moving_ras.tolist(),
        "verdict": found.verdict,
        "reasons": list(found.reasons),
        "evidence": dict(found.evidence),
        "expected_error_mm": found.expected_error_mm,
        "parts": {n: dict(p) for n, p in found.parts.items()},
        "mapped_ras": mapped,
    }


def _read_labels(job: dict[str, Any]) -> Any:
    # The peers' interpreter need not have what this imports.
    from MSKFusionLib.segmentation.files import read_segmentation

    segmentation = read_segmentation(job["labels"])
    labels = with_moved_header(segmentation.labels, np.array(job["labels_moved_ras"]))
    return replace(segmentation, labels=labels)


def main() -> None:
    """Run one job."""
    methods.limit_threads()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(run(job)), encoding="utf-8")


if __name__ == "__main__":
    main()
