"""What the arguments of several commands have in common."""

from __future__ import annotations

import argparse
from typing import Any

EPILOG = "Exit status: 0 done; 2 the input or the call is wrong; 3 done, but the result is rejected; 1 a bug."
IMAGE = "a DICOM folder or an image file (NRRD, NIfTI, MetaImage, ...)"
LEVEL = (
    "names the vertebrae from one of them: L3@R,A,S (a RAS point in mm inside L3), L5@lowest or T9@highest "
    "(of those in view); without it they are numbered V1, V2, ... from head to foot"
)
SURFACE = "a mesh (STL, PLY, ...; LPS as Slicer writes it) or a label map (NRRD, NIfTI, DICOM)"
THREE: dict[str, Any] = {"nargs": 3, "type": float, "metavar": ("R", "A", "S")}


def command(commands: argparse._SubParsersAction, name: str, what: str) -> argparse.ArgumentParser:
    """Return the parser of a new command, described by one line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=EPILOG
    )
    return parser


def output(parser: argparse.ArgumentParser) -> None:
    """Add the output folder, and what every command that writes one takes."""
    parser.add_argument("--out", required=True, metavar="DIR", help="the output folder, written whole or not at all")
    parser.add_argument("--force", action="store_true", help="replace results that are there already")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def numbering(parser: argparse.ArgumentParser) -> None:
    """Add the choice of what a plain labelmap's values mean."""
    parser.add_argument(
        "--numbering", choices=["verse", "totalsegmentator"], help="what the values of a plain labelmap mean"
    )
