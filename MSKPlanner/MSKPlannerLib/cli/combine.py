"""`mskplanner combine`: bones of a CT and other structures of an MR in one label set."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points
from MSKFusionLib.label_fusion import combine_mapped
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.segmentation.files import read_segmentation, write_segmentation
from MSKFusionLib.volume import write_image

from ..osteotomy.tumour_transfer import BoneRegistration
from ..output_folder import check_files
from ..records import describe_segmentation
from .console import say, table
from .status import DONE, REJECTED


def combine(args: argparse.Namespace, progress: Progress) -> int:
    """Carry an MR's labels onto a CT's and write what both show."""
    check_files(args.out, args.disagreement, force=args.force)
    carrier = BoneRegistration.of_file(args.registration, None, args.registration_error)
    fixed_to_moving = carrier.fixed_to_moving_ras
    ct_to_mr = fixed_to_moving if args.labels_in == "moving" else invert_rigid(fixed_to_moving)

    def mapped(points_ras: FloatArray) -> FloatArray:
        return np.asarray(transform_points(ct_to_mr, points_ras))

    bones, others = read_segmentation(args.bones), read_segmentation(args.labels)
    found = combine_mapped(bones, others, mapped, carrier.expected_error_mm, progress=part(progress, 0.1, 0.95))
    for path in filter(None, (args.out, args.disagreement)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_segmentation(found.segmentation, args.out)
    if args.disagreement is not None:
        write_image(found.disagreement_mm, args.disagreement)
    progress(1.0, "Done")
    words = f"{len(found.segmentation.segments)} segments, {len(found.disagreements)} disagreements."
    rows = [
        [d.name, d.bone, f"{d.deepest_mm:.1f} mm", f"{d.allowed_mm:.1f} mm", ", ".join(f"{c:.0f}" for c in d.place_ras)]
        for d in found.disagreements
    ]
    if rows:
        words += "\n" + table(["MR", "in bone of the CT", "deep", "explained", "at RAS"], rows)
    record = describe_segmentation(found.segmentation)
    record["disagreements"] = [vars(d) for d in found.disagreements]
    record["registration_notes"] = list(carrier.notes)
    say("\n".join([words, *carrier.notes]), record, as_json=args.json)
    return REJECTED if found.disagreements else DONE
