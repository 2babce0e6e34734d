"""`mskplanner spine`: the angles of a spine from its segmentation."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.progress import Progress
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation

from ..anatomy.spine_angles import LEVELS, measure_spine
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
        progress(n / max(len(whole), 1), f"Looking at {level}")
        try:
            frame = vertebra_frame(segmentation, level)
        except GeometryError as error:
            notes.append(f"{level} is left out: {error}")
            continue
        if frame.verdict is Verdict.REJECTED:
            notes.append(f"{level} is left out: {'; '.join(frame.reasons)}")
            continue
        frames[level] = frame
    found = measure_spine(frames)
    record = {
        "angles": [asdict(a) for a in found.angles],
        "tilts_deg": {n: list(t) for n, t in found.tilts_deg.items()},
        "not_made": list(found.not_made),
        "notes": notes,
    }
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    progress(1.0, "Done")
    rows = [[a.name, f"{a.value_deg:.1f} deg", f"{a.upper} to {a.lower}", a.words] for a in found.angles]
    text = table(["Measure", "Value", "Between", "In words"], rows)
    tilts = [[n, *(f"{v:.1f}" for v in t)] for n, t in found.tilts_deg.items()]
    text += "\n\n" + table(["Vertebra", "Right side up, deg", "Front up, deg", "Front to the left, deg"], tilts)
    for remark in (*found.not_made, *notes):
        text += f"\nNote: {remark}."
    say(text, record, as_json=args.json)
    return DONE
