"""How long the panel takes to follow a screw's end that is dragged, on a large CT.

    python Testing/benchmarks/dragging.py [--size 512 512 300] [--moves 200] [--out dragging.json]

The panel is the real one over the test harness: the scene is Slicer's, its widgets are stand-ins, and no view is drawn. Timed is
everything from the moved control point to the panel's last word: measuring, colour, model, table, out-of-date marks, and Qt's events.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("MSKFusion", "MSKPlanner", "Testing")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np  # noqa: E402

from MSKFusionLib.frames import transform_points  # noqa: E402
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node  # noqa: E402
from MSKFusionLib.phantom import PatientOptions, generate_patient  # noqa: E402
from MSKFusionLib.volume import Volume  # noqa: E402
from MSKPlannerLib.screws.evaluate import evaluate_screw  # noqa: E402
from MSKPlannerLib.screws.prepared import prepare_level  # noqa: E402


def enlarged(volume: Volume, size_ijk: tuple[int, int, int], fill: float) -> Volume:
    """Return a volume amid so many voxels of the same spacing."""
    before = [(n - m) // 2 for n, m in zip(size_ijk, volume.shape_ijk, strict=True)]
    if min(before) < 0:
        raise SystemExit(f"the patient has {volume.shape_ijk} voxels: give no smaller size")
    after = [n - m - b for n, m, b in zip(size_ijk, volume.shape_ijk, before, strict=True)]
    voxels = np.pad(volume.voxels, list(zip(before, after, strict=True))[::-1], constant_values=fill)
    origin = transform_points(volume.ijk_to_ras, -np.array(before, dtype=float))
    return replace(volume, voxels=voxels, origin_ras=origin)


class Watch:
    """Wall clock and processor time of repeated work: on a machine with other work the second says more."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._processor: list[float] = []

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._wall.append(time.perf_counter() - self._began[0])
        self._processor.append(time.process_time() - self._began[1])

    def in_ms(self) -> dict[str, float]:
        """Return median, 95th percentile and longest, and the median of the processor time, in milliseconds."""
        values = 1e3 * np.array(self._wall)
        return {
            "median_ms": round(float(np.median(values)), 2),
            "p95_ms": round(float(np.percentile(values, 95)), 2),
            "longest_ms": round(float(values.max()), 2),
            "median_processor_ms": round(1e3 * float(np.median(self._processor)), 2),
        }


def measure(size_ijk: tuple[int, int, int], moves: int) -> dict[str, Any]:
    """Plan on a patient amid a large image, drag, and return the times."""
    from harness.session import module_session

    patient = generate_patient(PatientOptions.small(seed=1))
    ct = enlarged(patient.ct, size_ijk, -1000)
    bones = replace(patient.labels, labels=enlarged(patient.labels.labels, size_ijk, 0))
    random = np.random.default_rng(1)
    with module_session() as session:
        ct_node, bones_node = volume_to_node(session.scene, ct), segmentation_to_node(session.scene, bones)
        panel = session.open_panel("MSKPlanner")
        panel.ui.ctSelector.setCurrentNode(ct_node)
        panel.ui.segmentationSelector.setCurrentNode(bones_node)
        began = time.perf_counter()
        panel.ui.planButton.click()
        planned = time.perf_counter() - began
        case = panel.logic.case
        screw = case.plan.screws[0]
        at = prepare_level(case.fields, screw.level)
        alone, followed = Watch(), Watch()
        for shift in random.normal(0, 1.5, (moves, 3)):
            with alone:
                evaluate_screw(
                    at,
                    screw.entry_ras,
                    screw.tip_ras + shift,
                    screw.diameter_mm,
                    screw.side,
                    others=case.plan.screws,
                    before=screw,
                )
        line = panel.logic.session.nodes.screws[screw.name].axis
        line.InvokeEvent(line.PointStartInteractionEvent)
        grades = set()
        for shift in random.normal(0, 1.5, (moves, 3)):
            with followed:
                line.SetNthControlPointPosition(1, *(screw.tip_ras + shift))
                session.application.processEvents()
            grades.add(panel.ui.screwsTable.item(0, 2).text())
        began = time.perf_counter()
        line.InvokeEvent(line.PointEndInteractionEvent)
        let_go = time.perf_counter() - began
        began = time.perf_counter()
        panel.ui.undoButton.click()
        undone = time.perf_counter() - began
        return {
            "size_ijk": list(size_ijk),
            "screws": len(case.plan.screws),
            "moves": moves,
            "grades_seen": sorted(grades),
            "evaluate_screw": alone.in_ms(),
            "drag_followed": followed.in_ms(),
            "let_go_with_breach_risk_s": round(let_go, 3),
            "undo_s": round(undone, 3),
            "plan_s": round(planned, 1),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 300), metavar=("I", "J", "K"))
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = measure(tuple(arguments.size), arguments.moves)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
