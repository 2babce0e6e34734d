"""Arguments of the commands that bring images together and find what they show."""

from __future__ import annotations

import argparse

from .shared import IMAGE, LEVEL, THREE, command, numbering, output


def add_register(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner register`."""
    register = command(commands, "register", "bring MOVING onto FIXED (CT and MR, either way round)")
    register.add_argument("fixed", metavar="FIXED", help=IMAGE)
    register.add_argument("moving", metavar="MOVING", help=IMAGE)
    register.add_argument(
        "--method",
        choices=["rigid", "piecewise", "deformable"],
        default="rigid",
        help="one motion for all (default), one for every bone: the spine lay differently in the two scans, or a field "
        "that bends soft tissue round bones that stay as they are (needs PyTorch)",
    )
    register.add_argument(
        "--bones",
        metavar="LABELMAP",
        help="for piecewise and deformable: the CT's bones (.seg.nrrd, .nii.gz); found in the CT if left out",
    )
    register.add_argument(
        "--start",
        choices=["rigid", "piecewise"],
        help="for deformable: what places the bones (default rigid)",
    )
    register.add_argument(
        "--device", metavar="NAME", help="for deformable: auto (default: a GPU where there is one), cpu, cuda or cuda:1"
    )
    register.add_argument(
        "--network",
        metavar="BUNDLE",
        help="for deformable: a VoxelMorph as a MONAI bundle whose field is tried as a second start; see docs/networks.md",
    )
    numbering(register)
    register.add_argument("--fixed-modality", choices=["ct", "mr"], help="where the file does not tell")
    register.add_argument("--moving-modality", choices=["ct", "mr"], help="where the file does not tell")
    register.add_argument(
        "--fixed-series", metavar="N", help="the series of a DICOM folder: number, UID or description"
    )
    register.add_argument("--moving-series", metavar="N", help="the same for MOVING")
    both = ("FIXED.mrk.json", "MOVING.mrk.json")
    register.add_argument(
        "--landmarks",
        nargs=2,
        metavar=both,
        help="the same points in both images, as Slicer saves them: they start a rigid registration and count in it",
    )
    register.add_argument(
        "--landmark-sd", type=float, default=2.0, metavar="MM", help="how exactly they were placed (default 2 mm)"
    )
    register.add_argument(
        "--check-landmarks",
        nargs=2,
        metavar=both,
        help="points to measure the result by; they are not used in making it",
    )
    register.add_argument("--fused", action="store_true", help="also write both images as one in colour (large)")
    register.add_argument("--seed", type=int, default=0, help="of the random samples (default 0)")
    output(register)


def add_segment(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner segment`."""
    segment = command(commands, "segment", "find the bones in a CT, or what a network knows in a CT or MR")
    segment.add_argument("image", metavar="IMAGE", help=IMAGE)
    segment.add_argument("--out", required=True, metavar="FILE", help=".seg.nrrd, or .nrrd/.nii.gz for a labelmap")
    segment.add_argument(
        "--modality", choices=["ct", "mr"], help="where the file does not tell (without a network: ct)"
    )
    segment.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    segment.add_argument("--level", metavar="NAME@WHERE", help=LEVEL)
    segment.add_argument(
        "--network",
        metavar="BUNDLE",
        help="find what this network knows: a MONAI bundle (folder or zip), or the folder of a trained nnU-Net; or "
        "'msk_bones', which comes with the planner (trained too little to be relied on), or 'totalsegmentator' where that is installed; "
        "see docs/networks.md",
    )
    segment.add_argument(
        "--device", metavar="NAME", help="for a network: auto (default: a GPU where there is one), cpu, cuda or cuda:1"
    )
    segment.add_argument(
        "--precision", choices=["auto", "full", "mixed"], help="for a bundle: auto (default) is mixed on a GPU"
    )
    segment.add_argument(
        "--uncertainty",
        metavar="FILE",
        help="also write how sure the bones' surfaces are: an image of the half width in mm of the band in which the true "
        "surface lies nine times out of ten",
    )
    segment.add_argument("--force", action="store_true", help="replace an existing file")
    segment.add_argument("--json", action="store_true", help="print the result as JSON")


def add_segment_mr(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner segment-mr`."""
    segment = command(
        commands,
        "segment-mr",
        "find vertebral bodies, discs, canal, muscle, fat and lesions in an MR, without a network",
    )
    segment.add_argument("image", metavar="MR", help=IMAGE)
    segment.add_argument("--out", required=True, metavar="FILE", help=".seg.nrrd, or .nrrd/.nii.gz for a labelmap")
    segment.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    segment.add_argument(
        "--click", **THREE, help="a point in any vertebral body, RAS mm (default: the spine is looked for)"
    )
    segment.add_argument("--level", metavar="NAME@WHERE", help=LEVEL)
    segment.add_argument(
        "--lesion",
        action="append",
        default=[],
        **THREE,
        help="a point in a lesion, RAS mm: it is labelled too; repeat",
    )
    segment.add_argument(
        "--tissue",
        action="store_true",
        help="muscle and fat too (T1, T2, PD without fat suppression, skin in view): beside and behind the spine, or with "
        "--no-spine in the whole image, as in a limb",
    )
    segment.add_argument("--no-spine", action="store_true", help="lesions or tissue alone")
    segment.add_argument("--force", action="store_true", help="replace an existing file")
    segment.add_argument("--json", action="store_true", help="print the result as JSON")


def add_combine(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner combine`."""
    combine = command(commands, "combine", "bones of a CT and other structures of an MR in one label set")
    combine.add_argument("bones", metavar="BONES", help="labels on the CT, as `segment` writes them")
    combine.add_argument("labels", metavar="LABELS", help="labels on the MR: discs, canal, roots, muscle, a tumour")
    combine.add_argument("--registration", required=True, metavar="JSON", help="registration.json of CT and MR (rigid)")
    combine.add_argument(
        "--labels-in", choices=["moving", "fixed"], default="moving", help="image of it that LABELS belong to"
    )
    combine.add_argument(
        "--registration-error", type=float, metavar="MM", help="expected error to use (default: what the file says)"
    )
    combine.add_argument("--out", required=True, metavar="FILE", help=".seg.nrrd, or .nrrd/.nii.gz for a labelmap")
    combine.add_argument(
        "--disagreement",
        metavar="FILE",
        help="also write where the MR's labels lie deeper in bone than is explained, as an image in mm",
    )
    combine.add_argument("--force", action="store_true", help="replace an existing file")
    combine.add_argument("--json", action="store_true", help="print the result as JSON")
