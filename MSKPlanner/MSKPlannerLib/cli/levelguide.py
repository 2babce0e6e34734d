"""`mskplanner levelguide`: one drill guide for adjacent vertebrae of a plan."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation

from ..editing.guide_edits import levels_guide_for
from ..guides.presets import options_for_printer
from ..osteotomy.bodies import joined
from ..output_folder import check_output
from ..pipeline import case_of_plan, rejections
from ..plan_file import read_plan
from .commands import load_ct
from .level_hint import parse_levels
from .write_guides import write_guides


def levelguide(args: argparse.Namespace, progress: Progress) -> int:
    """Design one guide for several levels and write it with the plan and its print sheet."""
    check_output(args.out, force=args.force)
    plan = read_plan(args.plan)
    folder = Path(args.plan) if Path(args.plan).is_dir() else Path(args.plan).parent
    ct = None if args.ct is None else load_ct(args.ct, args.series)
    case = case_of_plan(plan, read_segmentation(folder / "segmentation.seg.nrrd", reference=ct), ct)
    names = parse_levels(args.levels) or ()
    options = options_for_printer(args.preset, args.printer)
    if args.drill is not None:
        options = replace(options, drill_diameter_mm=args.drill)
    guide, solid = levels_guide_for(case, names, options, fixed=args.fixed, progress=part(progress, 0.2, 0.9))
    assert solid is not None
    stale = set(rejections(plan.guides))
    reasons = (*(r for r in plan.reasons if r not in stale), *rejections([guide]))
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    made = replace(plan, guides=(guide,), reasons=reasons, verdict=verdict)
    bones = joined([case.bones[name] for name in names])
    status = write_guides(args, made, [(guide, solid.mesh, options.printer, bones)])
    progress(1.0, "Done")
    return status
