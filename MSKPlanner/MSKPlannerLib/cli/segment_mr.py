"""`mskplanner segment-mr`: structures of an MR without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from MSKFusionLib.images import load_image
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.segmentation.mr import segment_spine_mr
from MSKFusionLib.volume import Modality

from ..output_folder import check_files
from ..records import describe_segmentation
from .arguments import parse_level_hint
from .console import say, table
from .status import DONE


def segment_mr(args: argparse.Namespace, progress: Progress) -> int:
    """Label what an MR shows and write it."""
    target = Path(args.out)
    check_files(target, force=args.force)
    hint = parse_level_hint(args.level)
    # In a folder of CT and MR series the modality chooses; a plain file's values tell.
    mr = load_image(args.image, modality=Modality.MR if Path(args.image).is_dir() else None, series=args.series)
    found = segment_spine_mr(mr, click_ras=args.click, level_hint=hint, progress=part(progress, 0.05, 0.95))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_segmentation(found, target)
    progress(1.0, "Done")
    record = describe_segmentation(found)
    rows = [
        [s["name"], f"{s['volume_mm3'] / 1000:.1f} ml", f"{s['confidence']:.2f}", "; ".join(s["notes"])]
        for s in record["segments"]
    ]
    words = [
        f"{len(found.segments)} segments.",
        table(["segment", "volume", "confidence", "notes"], rows),
        *found.notes,
    ]
    say("\n".join(words), record, as_json=args.json)
    return DONE
