"""Arguments of the commands that write, send and check files."""

from __future__ import annotations

import argparse

from .shared import THREE, command, output


def add_export(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner export`."""
    export = command(commands, "export", "write the guides, bones and screws of a plan as mesh or DICOM files")
    export.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json, or that file")
    export.add_argument(
        "--format", default="stl", metavar="3mf,stl", help="stl (default), 3mf, ply, obj, dicom, or several"
    )
    export.add_argument(
        "--frame", choices=["lps", "ras"], default="lps", help="patient coordinates in the files (default lps)"
    )
    export.add_argument(
        "--what",
        default="guides",
        metavar="guides,bones,screws,fragments,fragments-before,resections",
        help="which bodies (default: the guides; fragments of osteotomies as planned, or before as they lie in the image; parts of "
        "resections); as "
        "DICOM also labels and registration",
    )
    export.add_argument("--merged", action="store_true", help="all in one file, in place of a file a body")
    export.add_argument(
        "--ct",
        metavar="CT",
        help="the CT of the plan: bones then end where it shows their cortex to end; DICOM is filed in its study",
    )
    export.add_argument("--series", metavar="N", help="the series of a DICOM folder: number, UID or description")
    export.add_argument("--mr", metavar="MR", help="the DICOM folder of the plan's MR, for the registration")
    export.add_argument("--mr-series", metavar="N", help="its series")
    export.add_argument(
        "--with-patient", action="store_true", help="DICOM with the patient's name and number (default: without)"
    )
    export.add_argument(
        "--allow-outdated", action="store_true", help="write guides that no longer fit the plan, marked OUT OF DATE"
    )
    output(export)


def add_send(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner send`."""
    send = command(commands, "send", "send screws or needle paths to a navigation system, over OpenIGTLink")
    send.add_argument("plan", metavar="PLAN", help="an output folder with a plan.json or paths.json, or that file")
    send.add_argument(
        "address", metavar="HOST:PORT", help="where the receiver listens (port 18944 where none is given)"
    )
    send.add_argument("--listen", action="store_true", help="wait at HOST:PORT for a receiver that calls instead")
    send.add_argument("--registration", action="store_true", help="also the transform from the MR to the CT")
    send.add_argument(
        "--frame",
        choices=["ras", "lps"],
        default="ras",
        help="frame of the numbers: ras (default, as Slicer takes them)",
    )
    send.add_argument("--allow-rejected", action="store_true", help="send trajectories too that the plan rejected")
    send.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds to wait for the receiver")
    send.add_argument("--json", action="store_true", help="print the result as JSON")


def add_check(commands: argparse._SubParsersAction) -> None:
    """Add the arguments of `mskplanner check`."""
    check = command(commands, "check", "tell whether meshes can be printed")
    check.add_argument("mesh", nargs="+", metavar="MESH", help="STL, PLY, OBJ, 3MF or VTK")
    check.add_argument(
        "--printer", metavar="NAME", help="limits of this printer: sla (default), sls, fdm, or a .toml file of your own"
    )
    check.add_argument(
        "--build-direction",
        **THREE,
        help="how it stands in the printer, RAS (default: what overhangs least and fits on the bed)",
    )
    check.add_argument("--json", action="store_true", help="print the result as JSON")
