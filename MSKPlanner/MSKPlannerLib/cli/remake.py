"""`mskplanner remake`: the guides of a plan on a bone made again on the surface that they stand on."""

from __future__ import annotations

import argparse
from dataclasses import replace

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict

from ..export.kept_guides import LABELS, bring_along, files_of, folder_of, inside
from ..export.mesh_files import read_mesh
from ..mesh import Mesh
from ..output_folder import check_output
from ..pipeline import rejections
from ..plan_file import read_plan
from ..remake_guides import KINDS, resection_named
from ..remake_guides import remake as made_again
from .resectionguide import TUMOUR_FILE, tumour_of
from .surface_input import read_surfaces
from .write_guides import Written, write_guides


def remake(args: argparse.Namespace, progress: Progress) -> int:
    """Make the guides of a plan again, each by its recipe, and write them with the plan."""
    check_output(args.out, force=args.force)
    plan = read_plan(args.plan)
    _, bone = read_surfaces(args.bone).one(args.name, "bone")
    neighbours = [read_mesh(n) for n in args.neighbour]
    mine = [g for g in plan.guides if g.recipe is not None and g.recipe.kind in KINDS]
    if not mine:
        raise InputError(
            f"the plan has no guide on a surface ({', '.join(KINDS)})", "Design one.", where=str(args.plan)
        )
    made: list[Written] = []
    surfaces: dict[str, Mesh] = {}
    for n, guide in enumerate(mine):
        step = part(progress, n / len(mine), 0.95 * (n + 1) / len(mine))
        assert guide.recipe is not None
        tumour = None
        if guide.recipe.kind == "resection":
            record = resection_named(plan, str(guide.recipe.options.get("resection", "")), guide.name)
            tumour = tumour_of(args.plan, record)
            surfaces[TUMOUR_FILE] = tumour
        entry, mesh, shown = made_again(guide, plan, bone, neighbours, tumour=tumour, progress=step)
        made.append((entry, mesh, str(guide.recipe.options.get("printer", "sla")), shown))
    entries = {g.name: g for g, *_ in made}
    stale = set(rejections(plan.guides))
    guides = tuple(entries.get(g.name, g) for g in plan.guides)
    reasons = (*(r for r in plan.reasons if r not in stale), *rejections(guides))
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    again = replace(plan, guides=guides, reasons=reasons, verdict=verdict)
    folder = folder_of(args.plan)
    others = [inside(f, g.name) for g in plan.guides if g.name not in entries for f in files_of(g)]
    status = write_guides(args, again, made, surfaces, lambda to: bring_along(plan, folder, to, [LABELS, *others]))
    progress(1.0, "Done")
    return status
