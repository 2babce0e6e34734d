"""One segmentation in a process of its own: `python -m segbench.worker CT LABELS.nrrd RESULT.json`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from regbench.worker import peak_mib

from MSKFusionLib.errors import MSKError
from MSKFusionLib.segmentation import segment_bones_ct
from MSKFusionLib.volume import Modality, read_image, write_image


def run(ct_path: Path, labels_path: Path) -> dict[str, Any]:
    """Read the CT, segment it, write the labels; reading and writing are not part of the time."""
    ct = read_image(ct_path, modality=Modality.CT)
    loaded_mib, began, cpu_began = peak_mib(), time.perf_counter(), time.process_time()
    try:
        found = segment_bones_ct(ct, spine_required=False)
    except MSKError as error:
        return {"status": "refused", "detail": str(error), "seconds": time.perf_counter() - began}
    result = {
        "status": "done",
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "peak_mib": peak_mib(),
        "loaded_mib": loaded_mib,
        "segments": [asdict(s) for s in found.segments],
    }
    write_image(found.labels, labels_path)
    return result


def main() -> None:
    """Run one job."""
    ct, labels, answer = (Path(a) for a in sys.argv[1:4])
    answer.write_text(json.dumps(run(ct, labels)), encoding="utf-8")


if __name__ == "__main__":
    main()
