"""`mskplanner guide`: drill guides for a plan, or every guide of a plan made again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ..editing.made_again import all_made_again
from ..export.kept_guides import LABELS, bring_along, folder_of, inside, with_solids_of_files
from ..export.mesh_files import read_mesh
from ..export.report import summary
from ..guides.options import GuideOptions
from ..guides.recipe import why_outdated
from ..mesh import Mesh
from ..output_folder import check_output, output_folder
from ..pipeline import Case, case_of_plan, is_drill_guide, redesign_guides
from ..plan import Plan
from ..plan_file import read_plan
from .case_file import options_from_table
from .commands import load_ct, plan_result
from .console import say
from .level_hint import parse_levels
from .status import DONE, REJECTED
from .surface_input import read_surfaces
from .write_case import write_case


def guide(args: argparse.Namespace, progress: Progress) -> int:
    """Design the drill guides of a plan that has been made, or make all its guides again."""
    check_output(args.out, force=args.force)
    plan = read_plan(args.plan)
    wanted = {
        key: value
        for key, value in (
            ("fit_clearance_mm", args.fit_clearance),
            ("drill_diameter_mm", args.drill),
            ("printer", args.printer),
        )
        if value is not None
    }
    if args.regenerate and (wanted or args.levels is not None):
        raise InputError("--regenerate keeps every option of the guides", "Leave the other options out.")
    if args.surface and not args.regenerate:
        raise InputError("--surface is for --regenerate", "Leave it out.", where="--surface")
    folder, step = folder_of(args.plan), part(progress, 0.0, 0.8)
    if args.regenerate:
        case = case_in_folder(args, plan, folder)
        surfaces = [m for path in args.surface for m in read_surfaces(path).meshes.values()]
        made, told = all_made_again(case, [*surfaces, *_tumours(plan, folder)], step)
    else:
        levels = parse_levels(args.levels)
        options = options_from_table(GuideOptions, {**plan.parameters.get("guides", {}), **wanted}, "guide options")
        made = redesign_guides(plan, *_labels_and_ct(args, plan, folder), options, levels=levels, progress=step)
        left = {g.name for g in made.plan.guides}
        told = tuple(
            f"{g.name} is left out: only {args.levels} was asked for." for g in plan.guides if g.name not in left
        )
        told += tuple(f"{g.name} stays as it was." for g in plan.guides if not is_drill_guide(g))
    return write_plan_folder(args, with_solids_of_files(made, folder), folder, told, progress)


def case_in_folder(args: argparse.Namespace, plan: Plan, folder: Path) -> Case:
    """Return the case of a plan on the labels in its folder and the CT of the call."""
    return case_of_plan(plan, *_labels_and_ct(args, plan, folder))


def _labels_and_ct(args: argparse.Namespace, plan: Plan, folder: Path) -> tuple[Segmentation, Volume | None]:
    if plan.segmentation is None:
        raise InputError(
            "this plan rests on no labels; its guides stand on a surface or on the skin",
            "Make them again by mskplanner remake PLAN BONE, or mskplanner skinframe.",
            where=str(args.plan),
        )
    ct = None if args.ct is None else load_ct(args.ct, args.series)
    return read_segmentation(folder / LABELS, reference=ct), ct


def write_plan_folder(
    args: argparse.Namespace, case: Case, source: Path, told: Sequence[str], progress: Progress
) -> int:
    """Write a case whose plan came from a folder, with what that folder holds besides; say it; return the exit status.

    A guide that no longer fits the plan is written as it is: its files and the status say so.
    """
    stale = [f"{g.name} is OUT OF DATE: {'; '.join(w)}." for g in case.plan.guides if (w := why_outdated(g, case.plan))]
    with output_folder(args.out, force=args.force) as folder:
        write_case(case, folder, allow_outdated=True, progress=part(progress, 0.8, 1.0))
        bring_along(case.plan, source, folder)
    progress(1.0, "Done")
    said = [*told, *stale]
    result = plan_result(case.plan) | ({"said": said} if said else {})
    say("\n".join([summary(case.plan), *said]), result, as_json=args.json)
    return DONE if case.plan.verdict is Verdict.ACCEPTED and not stale else REJECTED


def _tumours(plan: Plan, folder: Path) -> list[Mesh]:
    """Return the surfaces of tumours that lie beside a plan."""
    files = [inside(p.file, r.name) for r in plan.resections for p in r.parts if p.name == "tumour" and p.file]
    return [read_mesh(folder / f) for f in files if (folder / f).is_file()]
