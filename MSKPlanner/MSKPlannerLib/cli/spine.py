"""`mskplanner spine`: the angles of a spine from its segmentation."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.progress import Progress
from MSKFusionLib.registration.landmark_files import read_landmarks
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.segmentation.labels import Segmentation

from ..anatomy.pelvic_bones import pelvic_bones
from ..anatomy.spine_angles import LEVELS, measure_spine
from ..anatomy.spinopelvic import Spinopelvic, measure_pelvis
from ..anatomy.vertebra import vertebra_frame
from ..output_folder import check_files
from .console import say, table
from .status import DONE


def spine(args: argparse.Namespace, progress: Progress) -> int:
    """Measure the spine in a labelmap."""
    target = None if args.out is None else Path(args.out)
    check_files(target, force=args.force)
    segmentation = read_segmentation(args.bones, numbering=args.numbering)
    whole = [s.name for s in segmentation.vertebrae if s.complete and s.name in LEVELS]
    frames, notes = {}, []
    for n, level in enumerate(whole):
        progress(0.6 * n / max(len(whole), 1), f"Looking at {level}")
        try:
            frame = vertebra_frame(segmentation, level)
        except GeometryError as error:
            notes.append(f"{level} is left out: {error}")
            continue
        if frame.verdict is Verdict.REJECTED:
            notes.append(f"{level} is left out: {'; '.join(frame.reasons)}")
            continue
        frames[level] = frame
    progress(0.6, "Looking at the pelvis")
    pelvis, not_made = _pelvis(segmentation, args.landmarks)
    found = measure_spine(frames, None if pelvis is None else pelvis.slope_deg)
    angles = (*found.angles, *(() if pelvis is None else pelvis.angles))
    record = {
        "angles": [asdict(a) for a in angles],
        "tilts_deg": {n: list(t) for n, t in found.tilts_deg.items()},
        "pelvis": None if pelvis is None else _pelvis_record(pelvis),
        "not_made": [*found.not_made, *not_made],
        "notes": notes,
    }
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    progress(1.0, "Done")
    rows = [[a.name, f"{a.value_deg:.1f} deg", f"{a.upper} to {a.lower}", a.words] for a in angles]
    text = table(["Measure", "Value", "Between", "In words"], rows)
    tilts = [[n, *(f"{v:.1f}" for v in t)] for n, t in found.tilts_deg.items()]
    if tilts:
        text += "\n\n" + table(["Vertebra", "Right side up, deg", "Front up, deg", "Front to the left, deg"], tilts)
    for remark in (*found.not_made, *not_made, *notes):
        text += f"\nNote: {remark}."
    say(text, record, as_json=args.json)
    return DONE


def _pelvis(segmentation: Segmentation, landmarks: str | None) -> tuple[Spinopelvic | None, list[str]]:
    """Return the pelvis's measures, or why there are none; what a user placed has to fit."""
    placed = None if landmarks is None else read_landmarks(landmarks)
    try:
        return measure_pelvis(pelvic_bones(segmentation).segmentation, placed), []
    except GeometryError as error:
        return None, [f"Pelvic incidence, sacral slope, pelvic tilt: {error}"]


def _pelvis_record(pelvis: Spinopelvic) -> dict[str, Any]:
    return {
        "endplate_middle_ras": pelvis.endplate.middle_ras.tolist(),
        "endplate_normal_ras": pelvis.endplate.normal_ras.tolist(),
        "hip_centres_ras": {side: c.tolist() for side, c in pelvis.hip_centres_ras.items()},
        "doubts": list(pelvis.doubts),
    }
