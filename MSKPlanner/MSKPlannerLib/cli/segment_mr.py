"""`mskplanner segment-mr`: structures of an MR without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.images import load_image
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.segmentation import Segmentation
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.segmentation.mr import (
    add_lesion,
    add_soft_tissue,
    prepare_mr,
    segment_lesion_mr,
    segment_soft_tissue_mr,
    segment_spine_mr,
)
from MSKFusionLib.segmentation.mr.lesion import LESION_FIRST_VALUE
from MSKFusionLib.segmentation.mr.prepare import PreparedMR
from MSKFusionLib.volume import Modality

from ..output_folder import check_files
from ..records import describe_segmentation
from .console import say, table
from .level_hint import parse_level_hint
from .status import DONE


def segment_mr(args: argparse.Namespace, progress: Progress) -> int:
    """Label what an MR shows and write it."""
    target = Path(args.out)
    check_files(target, force=args.force)
    hint = parse_level_hint(args.level)
    if args.no_spine and not args.lesion and not args.tissue:
        raise InputError(
            "--no-spine leaves nothing to look for", "Give a --lesion or --tissue, or leave --no-spine out."
        )
    if args.no_spine and (args.click is not None or hint is not None):
        raise InputError("--click and --level are for the spine", "Leave them out, or --no-spine.")
    # In a folder of CT and MR series the modality chooses; a plain file's values tell.
    mr = load_image(args.image, modality=Modality.MR if Path(args.image).is_dir() else None, series=args.series)
    progress(0.02, "taking out the coil's shading")
    image = prepare_mr(mr)
    found = None
    if not args.no_spine:
        found = segment_spine_mr(image, click_ras=args.click, level_hint=hint, progress=part(progress, 0.05, 0.7))
    if args.tissue:
        tissue = segment_soft_tissue_mr(image, found, progress=part(progress, 0.7, 0.8))
        found = tissue if found is None else add_soft_tissue(found, tissue)
    found = _with_lesions(found, image, args.lesion, part(progress, 0.8, 0.95))
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


def _with_lesions(
    found: Segmentation | None, image: PreparedMR, clicks: list[list[float]], progress: Progress
) -> Segmentation:
    """Return what was found with the lesion of each click in it."""
    for n, click in enumerate(clicks):
        name = "lesion" if len(clicks) == 1 else f"lesion {n + 1}"
        step = part(progress, n / len(clicks), (n + 1) / len(clicks))
        one = segment_lesion_mr(image, click, name=name, value=LESION_FIRST_VALUE + n, progress=step)
        found = one if found is None else add_lesion(found, one)
    assert found is not None  # there is a spine, tissue or a lesion: nothing of them was refused
    return found
