"""Arguments of the commands that plan screws, needles and whole cases."""

from __future__ import annotations

import argparse

from ...screws.pedicle_ways import TRADITIONAL, WAYS
from .shared import IMAGE, LEVEL, command, numbering, output


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner demo`."""
    demo = command(commands, "demo", "generate a patient with known truth, plan on it, compare with the truth")
    demo.add_argument("--seed", type=int, default=1, help="which patient (default 1)")
    output(demo)


def add_run(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner run`."""
    run = command(commands, "run", "plan a whole case from one readable file")
    run.add_argument("case", metavar="CASE.toml", help="what to plan on and how; see docs/case-file.md")
    output(run)


def add_screws(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner screws`."""
    screws = command(commands, "screws", "plan screws on a CT")
    screws.add_argument("ct", metavar="CT", help=IMAGE)
    screws.add_argument(
        "--site",
        default="pedicle",
        metavar="SITES",
        help="one or several of pedicle (default), iliosacral_s1, iliosacral_s2, trans_sacral_s1, trans_sacral_s2, lc2, "
        "superior_ramus, anterior_column, posterior_column, s2_alar_iliac, supra_acetabular, femoral_neck, "
        "scaphoid_antegrade, scaphoid_retrograde, c1_lateral_mass, c2_pedicle, c2_pars, a .toml of your own (see Resources/Sites), or free, separated by commas",
    )
    screws.add_argument(
        "--trajectory",
        choices=list(WAYS),
        default=TRADITIONAL,
        help="of pedicle screws: traditional (default), cortical (cortical bone trajectory, L1 to L5), straight_forward (parallel "
        "to the upper endplate) or anatomic (along the pedicle)",
    )
    screws.add_argument("--side", choices=["left", "right"], help="only this side (not for pedicles)")
    screws.add_argument(
        "--allow-displaced",
        type=float,
        metavar="MM",
        help="plan in the sacrum of a pelvis whose bones are displaced by up to so much (default: 5)",
    )
    screws.add_argument(
        "--landmarks",
        metavar="FILE.mrk.json",
        help="points you placed instead of those found, one side. Of femoral_neck: head_centre, neck_centre, shaft_proximal and "
        "shaft_distal (on its axis), lesser_trochanter; of the hip bone's sites: asis, aiis, psis, pubis, ischium, sacral_dorsum; "
        "of a scaphoid: proximal_pole, distal_pole; of C1 and C2, which need them: entry, target",
    )
    screws.add_argument("--in", dest="free_bones", metavar="BONE,BONE", help="for free: the segments it may run in")
    screws.add_argument("--entry", metavar="R,A,S", help="for free: middle of the entry region, RAS mm, in bone")
    screws.add_argument("--target", metavar="R,A,S", help="for free: middle of the region it ends in, RAS mm")
    screws.add_argument("--radius", type=float, metavar="MM", help="for free: half side of both regions (default 3)")
    screws.add_argument("--diameters", metavar="3.5,4.5", help="for free: screws that there are, mm")
    screws.add_argument("--lengths", metavar="40,45", help="for free: their lengths, mm")
    screws.add_argument("--across-joints", action="store_true", help="for free: it may cross the joints between them")
    screws.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    _planning(screws)
    output(screws)


def add_path(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner path`."""
    path = command(commands, "path", "plan a needle from the skin to a target: biopsy, ablation")
    path.add_argument("image", metavar="IMAGE", help=f"CT or MR: {IMAGE}")
    path.add_argument("--target", metavar="R,A,S", help="RAS mm (write --target=-4,12,-310)")
    path.add_argument("--target-file", metavar="FILE.mrk.json", help="its first point")
    path.add_argument("--lesion", metavar="NAME", help="a segment: its middle is the target, and it is what is ablated")
    path.add_argument("--labels", metavar="LABELMAP", help="bones and structures (default: bones found in the CT)")
    numbering(path)
    path.add_argument("--modality", choices=["ct", "mr"], help="where the file does not tell")
    path.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    path.add_argument(
        "--avoid",
        metavar="NAME=MM,NAME=MM",
        help="more segments to keep away from; canal, nerves and vessels are known by their names, gas in CT is found",
    )
    path.add_argument(
        "--bone",
        choices=["avoid", "target", "through"],
        default="target",
        help="bone on the way: never, only the bone that holds the target (default), any",
    )
    path.add_argument("--needle", type=float, default=2.0, metavar="MM", help="outer diameter (default 2)")
    path.add_argument("--longest", type=float, default=150.0, metavar="MM", help="longest needle (default 150)")
    path.add_argument(
        "--position",
        choices=["any", "supine", "prone", "left side", "right side"],
        default="any",
        help="how the patient lies for it: skin on the table cannot be reached",
    )
    path.add_argument("--options", type=int, default=5, metavar="N", help="how many paths (default 5)")
    path.add_argument("--apart", type=float, default=25.0, metavar="MM", help="between their entries (default 25)")
    path.add_argument("--zone", metavar="MM[xMM]", help="ablation: width of a zone, or width x length along the needle")
    path.add_argument("--margin", type=float, metavar="MM", help="round the lesion (default 3)")
    path.add_argument(
        "--coverage", type=float, metavar="SHARE", help="of lesion and margin that is wanted (default 0.99)"
    )
    path.add_argument("--zones", type=int, metavar="N", help="at most (default 4)")
    path.add_argument("--same-needle", action="store_true", help="all zones on one needle, drawn back between them")
    output(path)


def _planning(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `mskplanner nning`."""
    parser.add_argument("--bones", metavar="LABELMAP", help="a ready segmentation (default: found in the CT)")
    numbering(parser)
    parser.add_argument("--level", metavar="NAME@WHERE", help=LEVEL)
    parser.add_argument("--levels", metavar="L3,L4", help="only these (default: every one wholly in view)")
    parser.add_argument("--implants", metavar="CSV", help="an implant table of your own (default: generic)")
