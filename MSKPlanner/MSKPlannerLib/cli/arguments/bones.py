"""Arguments of the commands that measure, cut and put together bones."""

from __future__ import annotations

import argparse

from .shared import SURFACE, command, numbering, output


def add_resect(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner resect`."""
    resect = command(commands, "resect", "plan the cuts that free a tumour from a bone with a margin")
    resect.add_argument("--bone", required=True, metavar="FILE", help=f"the bone in its CT's frame: {SURFACE}")
    resect.add_argument("--tumour", required=True, metavar="FILE", help=f"the tumour: {SURFACE}")
    resect.add_argument("--bone-segment", metavar="NAME", help="which structure of a label map is the bone")
    resect.add_argument("--tumour-segment", metavar="NAME", help="which structure of a label map is the tumour")
    resect.add_argument(
        "--registration", metavar="JSON", help="registration.json that carries the tumour into the bone's image"
    )
    resect.add_argument(
        "--tumour-in", choices=["moving", "fixed"], default="moving", help="image of it that the tumour was drawn in"
    )
    resect.add_argument(
        "--registration-error", type=float, metavar="MM", help="expected error to use (default: what the file says)"
    )
    resect.add_argument("--margin", type=float, default=10.0, metavar="MM", help="in bone, everywhere (default 10)")
    resect.add_argument("--planes", type=int, default=3, metavar="N", help="at most, 1 to 5 (default 3)")
    resect.add_argument(
        "--approach",
        default="anterior",
        metavar="SIDE",
        help="anterior, posterior, left, right, superior, inferior, or R,A,S from the bone to the surgeon",
    )
    resect.add_argument(
        "--tilt", type=float, default=35.0, metavar="DEG", help="of the saw off it at most (default 35)"
    )
    resect.add_argument("--kerf", type=float, default=1.0, metavar="MM", help="thickness of the blade (default 1)")
    resect.add_argument("--saw-sd", type=float, default=1.0, metavar="MM", help="error of a cut's place (default 1)")
    resect.add_argument("--saw-turn-sd", type=float, default=2.0, metavar="DEG", help="of its direction (default 2)")
    resect.add_argument(
        "--tumour-sd", type=float, default=0.0, metavar="MM", help="of the tumour's outline (default 0)"
    )
    resect.add_argument(
        "--no-obstacles", action="store_true", help="other structures of --bone are not in the saw's way"
    )
    resect.add_argument("--seed", type=int, default=0, help="of the draws of errors (default 0)")
    output(resect)


def add_reduce(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner reduce`."""
    reduce = command(commands, "reduce", "bring the fragments of a broken bone to where they belong")
    reduce.add_argument("--fragments", required=True, metavar="FILE", help="label map with one structure a fragment")
    reduce.add_argument("--names", metavar="A,B", help="only these structures of it (default: all)")
    reduce.add_argument("--healthy", required=True, metavar="FILE", help=f"the other, healthy side: {SURFACE}")
    reduce.add_argument("--healthy-segment", metavar="NAME", help="which structure of a label map that is")
    reduce.add_argument("--same-side", action="store_true", help="--healthy is of this side already: do not mirror it")
    reduce.add_argument("--main", metavar="NAME", help="the fragment that stays (default: the largest)")
    reduce.add_argument("--turn", type=float, default=30.0, metavar="DEG", help="displacement looked for (default 30)")
    reduce.add_argument("--shift", type=float, default=25.0, metavar="MM", help="displacement looked for (default 25)")
    reduce.add_argument("--no-paths", action="store_true", help="do not look for collision-free ways")
    reduce.add_argument("--seed", type=int, default=0, help="of the starts (default 0)")
    output(reduce)


def add_limb(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner limb`."""
    limb = command(commands, "limb", "measure a leg from its bones, and plan the wedge that corrects it")
    mesh = "a closed surface (STL, PLY, OBJ, 3MF or VTK), or with --bones the name of its segment"
    for bone in ("femur", "tibia", "fibula", "talus"):
        limb.add_argument(f"--{bone}", metavar="MESH", help=mesh if bone == "femur" else "the same of this bone")
    limb.add_argument("--bones", metavar="LABELMAP", help="a segmentation with the bones instead of surfaces")
    numbering(limb)
    limb.add_argument("--side", choices=["left", "right"], help="needed where neither hip nor ankle is in view")
    limb.add_argument("--up", metavar="R,A,S", help="from foot to hip, for one short piece of bone alone")
    limb.add_argument(
        "--landmarks",
        metavar="FILE",
        help="points that you placed, as Slicer saves them, labelled 'hip centre', 'ankle centre', ...: they count "
        "instead of those that are found",
    )
    limb.add_argument(
        "--target",
        metavar="WHAT:VALUE",
        help="plan the correction: a wedge for fujisawa:62 (where the line from hip to ankle shall cross the plateau, percent), hka:0 "
        "(degrees of valgus, or hka:183), mpta:88, ldfa:87, mad:0; or a derotation: femoral-torsion:15, tibial-torsion:30",
    )
    limb.add_argument("--cut", choices=["tibia", "femur"], default="tibia", help="which bone is cut (default tibia)")
    limb.add_argument("--wedge", choices=["opening", "closing"], default="opening", help="default opening")
    limb.add_argument(
        "--femoral-target",
        metavar="WHAT:VALUE",
        help="correct at two levels: the femur to this (ldfa:87, femoral-torsion:15), then the tibia to --target",
    )
    limb.add_argument(
        "--femoral-wedge", choices=["opening", "closing"], default="closing", help="of two levels (default closing)"
    )
    limb.add_argument(
        "--kind",
        metavar="KIND",
        help="another cut than a plain wedge: biplanar (a wedge with a second plane that rises behind the tuberosity, or in the "
        "femur's front), dome, oblique (one cut for --target and --torsion-target), step (with --lengthen-mm)",
    )
    limb.add_argument(
        "--torsion-target", metavar="WHAT:VALUE", help="of an oblique cut: tibial-torsion:30 or femoral-torsion:15"
    )
    limb.add_argument(
        "--tongue-mm", type=float, metavar="MM", help="of a biplanar cut (default 15, or less beside the joint)"
    )
    limb.add_argument(
        "--rise-deg",
        type=float,
        metavar="DEG",
        help="between its planes (default 110, of a closing wedge 90, or more to stay out of the joint)",
    )
    limb.add_argument(
        "--second-plane",
        choices=["ascending", "descending"],
        default="ascending",
        help="of a biplanar cut: whether the tongue in front goes with the lower part (ascending) or with the upper one",
    )
    limb.add_argument(
        "--radius-mm", type=float, metavar="MM", help="of a dome (default: its axis at the height of the joint surface)"
    )
    limb.add_argument("--lengthen-mm", type=float, metavar="MM", help="what a step lengthens the bone by")
    limb.add_argument("--step-mm", type=float, default=40.0, metavar="MM", help="length of a step (default 40)")
    limb.add_argument(
        "--slant-deg", type=float, default=0.0, metavar="DEG", help="lean of its long stretch, as of a Z (default 0)"
    )
    limb.add_argument("--kerf-mm", type=float, default=0.0, metavar="MM", help="what the saw takes (default 0)")
    limb.add_argument(
        "--entry-mm", type=float, metavar="MM", help="where the saw enters, from the knee's joint surface"
    )
    limb.add_argument("--hinge-mm", type=float, metavar="MM", help="where the hinge lies, from the joint surface")
    limb.add_argument(
        "--hinge-depth-mm", type=float, default=10.0, metavar="MM", help="how far inside the cortex (default 10 mm)"
    )
    output(limb)


def add_mirror(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner mirror`."""
    mirror = command(
        commands, "mirror", "compare a deformed bone with the mirrored healthy side, and plan its correction"
    )
    mirror.add_argument("--bone", required=True, metavar="MESH", help="the deformed bone: a closed surface")
    mirror.add_argument("--healthy", required=True, metavar="MESH", help="the same bone of the other side, in any pose")
    mirror.add_argument("--side", required=True, choices=["left", "right"], help="the deformed side")
    mirror.add_argument("--level", required=True, metavar="R,A,S", help="a point at the level of the deformity, RAS mm")
    mirror.add_argument("--moves", required=True, metavar="R,A,S", help="a point on the part that is moved")
    mirror.add_argument("--kerf", type=float, default=0.0, metavar="MM", help="thickness of the saw (default 0)")
    output(mirror)


def add_forearm(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner forearm`."""
    forearm = command(
        commands, "forearm", "measure a wrist: radial inclination, volar tilt, radial height, ulnar variance"
    )
    mesh = "a closed surface (STL, PLY, OBJ, 3MF or VTK), or with --bones the name of its segment"
    forearm.add_argument("--radius", metavar="MESH", help=mesh)
    forearm.add_argument("--ulna", metavar="MESH", help="the same of this bone")
    forearm.add_argument("--bones", metavar="LABELMAP", help="a segmentation with the bones instead of surfaces")
    numbering(forearm)
    forearm.add_argument(
        "--side", choices=["left", "right"], required=True, help="volar and dorsal follow from it: check it"
    )
    forearm.add_argument("--distal", metavar="R,A,S", help="from elbow to hand, for a piece that does not tell")
    forearm.add_argument(
        "--landmarks",
        metavar="FILE",
        help="points that you placed, as Slicer saves them, labelled 'radial styloid', 'volar rim', 'ulnar head', ...: they "
        "count instead of those that are found",
    )
    output(forearm)


def add_spine(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner spine`."""
    spine = command(
        commands,
        "spine",
        "measure Cobb angle, lordosis, the tilt of each vertebra and pelvic incidence in a segmentation",
    )
    spine.add_argument("bones", metavar="LABELMAP", help="a segmentation with named vertebrae, sacrum and hip bones")
    numbering(spine)
    spine.add_argument(
        "--landmarks",
        metavar="FILE",
        help="points that you placed, as Slicer saves them, labelled 'left hip centre', 'right hip centre', 'endplate front' and "
        "'endplate back' (of S1, in the midline): they count instead of those that are found",
    )
    spine.add_argument("--out", metavar="FILE.json", help="also write the result as JSON")
    spine.add_argument("--force", action="store_true", help="replace an existing file")
    spine.add_argument("--json", action="store_true", help="print the result as JSON")
