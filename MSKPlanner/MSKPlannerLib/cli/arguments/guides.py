"""Arguments of the commands that design guides."""

from __future__ import annotations

import argparse

from .shared import IMAGE, SURFACE, THREE, command, output


def add_guide(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner guide`."""
    guide = command(commands, "guide", "design the drill guides of a plan, or make all its guides again")
    guide.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json and a segmentation.seg.nrrd")
    guide.add_argument("--ct", metavar="CT", help="the CT of the plan, for the surface and the pictures")
    guide.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    guide.add_argument(
        "--levels", metavar="L3,L4", help="drill guides for only these (default: every level with screws)"
    )
    guide.add_argument(
        "--regenerate",
        action="store_true",
        help="make every guide of the plan again, of any kind, each by its own recipe, options and all",
    )
    guide.add_argument(
        "--surface",
        action="append",
        default=[],
        metavar="FILE",
        help=f"with --regenerate: a bone that a guide was made on and the labels do not hold: {SURFACE}; repeat",
    )
    _guide_options(guide)
    output(guide)


def add_levelguide(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner levelguide`."""
    levels = command(commands, "levelguide", "design one drill guide for adjacent levels of a plan, a base on each")
    levels.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json and a segmentation.seg.nrrd")
    levels.add_argument("--levels", required=True, metavar="L3,L4", help="adjacent levels, from head to foot")
    levels.add_argument(
        "--fixed",
        action="store_true",
        help="it is known that they do not move against each other from the scan to the operation; else it is rejected",
    )
    levels.add_argument("--ct", metavar="CT", help="the CT of the plan, for the surface")
    levels.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    levels.add_argument("--drill", type=float, metavar="MM", help="diameter of the drill (default: the preset's)")
    levels.add_argument("--printer", default="sla", metavar="NAME", help="printer preset (default sla)")
    levels.add_argument("--preset", default="standard", metavar="NAME", help="guide preset (default standard)")
    output(levels)


def add_cutguide(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner cutguide`."""
    cutguide = command(commands, "cutguide", "design the guide of a saw's plane on the surface of a bone")
    cutguide.add_argument("bone", metavar="BONE", help="its closed surface: STL, PLY, OBJ, 3MF or VTK")
    cutguide.add_argument("--point", **THREE, help="a point of the plane in the bone, RAS mm")
    cutguide.add_argument("--normal", **THREE, help="the direction across the plane")
    cutguide.add_argument("--plan", metavar="PLAN", help="take the plane from the osteotomy of a plan instead")
    cutguide.add_argument("--cut", metavar="NAME", help="which osteotomy of the plan, where it holds several")
    cutguide.add_argument(
        "--face", type=int, choices=[1, 2], default=1, help="which face of a closing wedge (1: of the part that stays)"
    )
    cutguide.add_argument(
        "--resection",
        nargs="?",
        const="",
        metavar="NAME",
        help="with --plan: all planes of a resection in one guide (mskplanner resect; without NAME the only one)",
    )
    cutguide.add_argument(
        "--cuts", metavar="NAME,NAME", help="with --resection: only these of its planes, as 'plane 1,plane 2'"
    )
    cutguide.add_argument(
        "--approach",
        **THREE,
        help="the direction from the bone to the surgeon (of a resection by default as it was planned)",
    )
    cutguide.add_argument(
        "--insertion", **THREE, help="the direction to put it on along, towards the bone (default: searched)"
    )
    cutguide.add_argument(
        "--ledge",
        **THREE,
        help="an open ledge in place of the slot: the side of the cut that the guide stands on, from the cut, RAS",
    )
    cutguide.add_argument("--neighbour", action="append", default=[], metavar="MESH", help="a bone to keep off; repeat")
    cutguide.add_argument(
        "--reduction",
        type=int,
        default=0,
        metavar="N",
        help="with --plan: N holes in each fragment, drilled through it before the cut, and a second guide that brings them together",
    )
    cutguide.add_argument(
        "--hole",
        action="append",
        default=[],
        metavar="NAME=R,A,S:R,A,S",
        help="such a hole where it shall be after the correction, outer point and tip; repeat",
    )
    cutguide.add_argument(
        "--hole-spacing", type=float, default=12.0, metavar="MM", help="from hole to hole (default 12)"
    )
    cutguide.add_argument("--hole-depth", type=float, default=20.0, metavar="MM", help="of --reduction (default 20)")
    cutguide.add_argument("--label", help="name on the guide (default C1; of a resection R1)")
    cutguide.add_argument("--preset", metavar="NAME", help="guide preset or .toml file (default saw, resection)")
    output(cutguide)


def add_pinguide(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner pinguide`."""
    pins = command(commands, "pinguide", "design a guide that leads K-wires into a bone, parallel or converging")
    pins.add_argument("bone", metavar="BONE", help=f"its closed surface: {SURFACE}")
    pins.add_argument("--name", metavar="NAME", help="which structure of a label map")
    pins.add_argument(
        "--pin", action="append", default=[], metavar="NAME=R,A,S:R,A,S", help="a wire, outer point and tip; repeat"
    )
    pins.add_argument("--at", **THREE, help="the middle of a row of wires, RAS mm")
    pins.add_argument(
        "--outward", **THREE, help="the direction from the bone to the surgeon, which the wires lie about"
    )
    pins.add_argument("--along", **THREE, help="the direction the row runs in")
    pins.add_argument("--count", type=int, default=2, metavar="N", help="how many wires (default 2)")
    pins.add_argument("--spacing", type=float, default=15.0, metavar="MM", help="from wire to wire (default 15)")
    pins.add_argument(
        "--converge", type=float, default=0.0, metavar="DEG", help="angle from wire to wire, tips together (default 0)"
    )
    pins.add_argument("--depth", type=float, default=30.0, metavar="MM", help="from entry to tip (default 30)")
    pins.add_argument(
        "--plan", metavar="PLAN", help="a plan with screws in the coordinates of BONE: wires on their axes"
    )
    pins.add_argument("--screws", metavar="NAME,NAME", help="which of its screws")
    pins.add_argument("--wire", type=float, metavar="MM", help="diameter of the wires (default: the preset's)")
    pins.add_argument(
        "--insertion",
        **THREE,
        help="the direction to put it on along, towards the bone (default: along parallel wires)",
    )
    pins.add_argument("--neighbour", action="append", default=[], metavar="MESH", help="a bone to keep off; repeat")
    pins.add_argument("--label", default="P1", help="name on the guide (default P1)")
    pins.add_argument("--preset", default="pin", metavar="NAME", help="guide preset or .toml file (default pin)")
    output(pins)


def add_remake(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner remake`."""
    again = command(commands, "remake", "make the guides of a plan on a bone's surface again, each by its recipe")
    again.add_argument("plan", metavar="PLAN", help="what pinguide or cutguide wrote: a folder with a plan.json")
    again.add_argument("bone", metavar="BONE", help=f"the surface that they stand on: {SURFACE}")
    again.add_argument("--name", metavar="NAME", help="which structure of a label map")
    again.add_argument("--neighbour", action="append", default=[], metavar="MESH", help="a bone to keep off; repeat")
    output(again)


def add_skinframe(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner skinframe`."""
    frame = command(commands, "skinframe", "design a frame on the skin for percutaneous screws, needles and wires")
    frame.add_argument("image", metavar="IMAGE", help=f"CT or MR that shows the skin: {IMAGE}")
    frame.add_argument("--paths", metavar="PATHS", help="what `mskplanner path` wrote (folder or paths.json)")
    frame.add_argument("--use", metavar="N,N", help="which of its paths, by number (default 1)")
    frame.add_argument("--plan", metavar="PLAN", help="a plan with screws; IMAGE is its CT")
    frame.add_argument("--screws", metavar="NAME,NAME", help="which of its screws")
    frame.add_argument(
        "--same-coordinates", action="store_true", help="IMAGE is not the plan's CT, but lies in its coordinates"
    )
    frame.add_argument(
        "--way",
        action="append",
        default=[],
        metavar="NAME=R,A,S:R,A,S",
        help="a line from outside to its target, RAS mm; repeat",
    )
    frame.add_argument("--modality", choices=["ct", "mr"], help="where the file does not tell")
    frame.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    frame.add_argument("--label", default="1", help="name on the frame (default 1)")
    frame.add_argument("--preset", default="skin", metavar="NAME", help="frame preset or .toml file (default skin)")
    output(frame)


def _guide_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `mskplanner de-options`."""
    parser.add_argument("--fit-clearance", type=float, metavar="MM", help="gap between guide and bone")
    parser.add_argument("--drill", type=float, metavar="MM", help="diameter of the drill or wire the sleeves take")
    parser.add_argument("--printer", metavar="NAME", help="printer preset (default SLA)")
