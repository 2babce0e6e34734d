"""`mskplanner levelguide`: one drill guide for adjacent vertebrae of a plan."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation

from ..guides.levels_guide import Level, design_levels_guide, joined_name
from ..guides.presets import options_for_printer
from ..osteotomy.bodies import joined
from ..output_folder import check_output
from ..pipeline import Case, case_of_plan, rejections
from ..plan_file import read_plan
from ..records import describe_levels_guide, guide_inputs
from ..screws.sites.request import PEDICLE
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
    levels = tuple(_level(case, name) for name in names)
    options = options_for_printer(args.preset, args.printer)
    if args.drill is not None:
        options = replace(options, drill_diameter_mm=args.drill)
    assert case.fields is not None
    spine = _spine(case)
    at = [spine.index(name) for name in names]
    if len(at) < 2 or at != list(range(at[0], at[0] + len(at))):
        raise InputError(
            f"{', '.join(names)} are not adjacent levels from head to foot",
            f"There are: {', '.join(spine)}.",
            "--levels",
        )
    beside = [spine[k] for k in (at[0] - 1, at[-1] + 1) if 0 <= k < len(spine)]
    solid = design_levels_guide(
        levels,
        options,
        fixed=args.fixed,
        neighbours=[case.fields.depth(b) for b in beside],
        progress=part(progress, 0.2, 0.9),
    )
    screws = [s for level in levels for s in level.screws]
    inputs = guide_inputs(case.segmentation, ct)
    guide = describe_levels_guide(f"{joined_name(names)} guide", names, screws, solid, inputs, fixed=args.fixed)
    stale = set(rejections(plan.guides))
    reasons = (*(r for r in plan.reasons if r not in stale), *rejections([guide]))
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    made = replace(plan, guides=(guide,), reasons=reasons, verdict=verdict)
    bones = joined([level.bone for level in levels])
    status = write_guides(args, made, [(guide, solid.mesh, options.printer, bones)])
    progress(1.0, "Done")
    return status


def _spine(case: Case) -> list[str]:
    return [s.name for s in case.segmentation.segments if s.kind in ("vertebra", "sacrum")]


def _level(case: Case, name: str) -> Level:
    """Return a level with its accepted pedicle screws."""
    screws = tuple(
        s for s in case.plan.screws if (s.level, s.site) == (name, PEDICLE) and s.verdict is Verdict.ACCEPTED
    )
    if not screws or name not in case.bones or name not in _spine(case):
        usable = ", ".join(dict.fromkeys(s.level for s in case.plan.screws)) or "none"
        raise InputError(f"the plan has no usable screw in {name}", f"It has screws in: {usable}.", where="--levels")
    return Level(name, case.bones[name], case.frames[name], screws)
