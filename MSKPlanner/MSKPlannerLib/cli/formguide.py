"""`mskplanner cutguide --plan` for a cut that is no single plane: a slot a facet, or holes along a dome's arc."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict

from ..export.mesh_files import read_mesh
from ..guides.presets import load_cutting_options, load_guide_options
from ..mesh import Mesh
from ..osteotomy.form_guide import design_dome_guide, design_facets_guide, saw_of
from ..osteotomy.planned import with_files
from ..pipeline import rejections
from ..plan import Guide
from ..plan_osteotomy import Osteotomy
from ..records import describe_surface, new_plan
from ..slot_records import describe_dome_guide, describe_facets_guide
from .pinguide import inputs_of
from .write_guides import write_guides


def form_guide(args: argparse.Namespace, bone: Mesh, osteotomy: Osteotomy, progress: Progress) -> int:
    """Design the guide of a biplanar, a step or a dome cut and write it with its plan document and its print sheet."""
    if args.hole or args.reduction:
        raise InputError(
            f"holes are brought together after a cut of one plane, '{osteotomy.name}' is a {osteotomy.what}",
            "Leave them out.",
            where="--reduction",
        )
    if args.ledge is not None:
        raise InputError(f"a ledge leads one plane, '{osteotomy.name}' is a {osteotomy.what}", where="--ledge")
    neighbours = [read_mesh(n) for n in args.neighbour]
    inputs = inputs_of(bone, neighbours)
    approach, insertion = as_point(args.approach), None if args.insertion is None else as_point(args.insertion)
    name, step = f"{args.label} cutting guide", part(progress, 0.0, 0.9)
    assert osteotomy.form is not None
    if osteotomy.form.name == "dome":
        preset = args.preset or "dome"
        drill = load_guide_options(preset)
        holes = design_dome_guide(
            osteotomy,
            bone,
            approach,
            drill,
            label=args.label,
            neighbours=neighbours,
            insertion_direction_ras=insertion,
            progress=step,
        )
        guide: Guide = describe_dome_guide(name, "bone", args.label, holes, inputs, osteotomy, approach)
        mesh, printer = holes.solid.mesh, drill.printer
    else:
        preset = args.preset or "saw"
        options = saw_of(load_cutting_options(preset), osteotomy)
        solid = design_facets_guide(
            osteotomy,
            bone,
            approach,
            options,
            face=args.face,
            label=args.label,
            neighbours=neighbours,
            insertion_direction_ras=insertion,
            progress=step,
        )
        guide = describe_facets_guide(name, "bone", solid, inputs, osteotomy, approach)
        mesh, printer = solid.mesh, options.printer
    asked = {"label": args.label, "approach_ras": list(approach), "preset": Path(preset).name}
    reasons = tuple(rejections([guide]))
    plan = replace(
        new_plan(f"plan-{inputs['bone'][:6]}", [describe_surface("bone", bone)], {"cutting_guide": asked}),
        guides=(guide,),
        osteotomies=(with_files(osteotomy, {}),),
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=reasons,
    )
    status = write_guides(args, plan, [(guide, mesh, printer, bone)])
    progress(1.0, "Done")
    return status
