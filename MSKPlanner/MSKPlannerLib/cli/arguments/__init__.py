"""The arguments of `mskplanner`, and what their texts mean: a file for commands of one kind."""

from __future__ import annotations

import argparse

from MSKFusionLib import __version__

from . import bones, files, guides, images, screws
from .shared import EPILOG


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="mskplanner",
        description="Plans on CT and MR: registration, bones, pedicle screws, printable drill guides.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"mskplanner {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    for add in (
        screws.add_demo,
        screws.add_run,
        images.add_register,
        images.add_segment,
        images.add_segment_mr,
        images.add_combine,
        screws.add_screws,
        guides.add_guide,
        guides.add_levelguide,
        guides.add_cutguide,
        guides.add_pinguide,
        guides.add_remake,
        guides.add_skinframe,
        screws.add_path,
        bones.add_resect,
        bones.add_reduce,
        bones.add_limb,
        bones.add_mirror,
        bones.add_forearm,
        bones.add_spine,
        files.add_export,
        files.add_send,
        files.add_check,
    ):
        add(commands)
    return parser
