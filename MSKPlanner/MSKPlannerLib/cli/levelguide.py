"""`mskplanner levelguide`: one drill guide for adjacent vertebrae of a plan."""

from __future__ import annotations

import argparse
from dataclasses import replace

from MSKFusionLib.progress import Progress, part

from ..editing.guide_edits import levels_guide_for, with_made
from ..export.kept_guides import folder_of, with_solids_of_files
from ..guides.presets import options_for_printer
from ..output_folder import check_output
from ..plan_file import read_plan
from .guide import case_in_folder, write_plan_folder
from .level_hint import parse_levels


def levelguide(args: argparse.Namespace, progress: Progress) -> int:
    """Design one guide for several levels and write the plan with it and with the guides that it has already."""
    check_output(args.out, force=args.force)
    plan, folder = read_plan(args.plan), folder_of(args.plan)
    case = case_in_folder(args, plan, folder)
    names = parse_levels(args.levels) or ()
    options = options_for_printer(args.preset, args.printer)
    if args.drill is not None:
        options = replace(options, drill_diameter_mm=args.drill)
    made = levels_guide_for(case, names, options, fixed=args.fixed, progress=part(progress, 0.1, 0.8))
    guide, _ = made
    told = ["; ".join((f"{guide.name}: {guide.verdict}", *(guide.reasons or guide.notes))) + "."]
    return write_plan_folder(args, with_solids_of_files(with_made(case, [made]), folder), folder, told, progress)
