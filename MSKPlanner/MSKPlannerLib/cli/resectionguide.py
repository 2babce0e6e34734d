"""`mskplanner cutguide --resection`: all planes of a resection in one guide."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict

from ..export.mesh_files import read_mesh
from ..guides.presets import load_cutting_options
from ..mesh import Mesh
from ..osteotomy.planned_resection import with_part_files
from ..osteotomy.resection_guide import asked_of_resection, design_resection_guide, saw_options
from ..pipeline import rejections
from ..plan_file import read_plan
from ..plan_resection import ResectionRecord
from ..records import describe_surface, new_plan
from ..remake_guides import resection_named
from ..slot_records import describe_slots_guide
from .pinguide import inputs_of
from .write_guides import write_guides

#: What a guide's folder keeps the tumour as.
TUMOUR_FILE = "tumour.stl"
#: What speaks of one plane alone.
_OF_ONE_PLANE = ("point", "normal", "cut", "reduction", "hole", "ledge")


def resection_guide(args: argparse.Namespace, progress: Progress) -> int:
    """Design the guide of a resection and write it with its plan document and its print sheet."""
    if args.plan is None:
        raise InputError("a resection is planned first", "Give --plan (mskplanner resect).", where="--resection")
    for name in _OF_ONE_PLANE:
        if getattr(args, name):
            raise InputError("that is for a single plane", "Leave it out with --resection.", where=f"--{name}")
    preset = args.preset or "resection"
    record = resection_named(read_plan(args.plan), args.resection or None, str(args.plan))
    options = saw_options(load_cutting_options(preset), record)
    bone, tumour = read_mesh(args.bone), tumour_of(args.plan, record)
    neighbours = [read_mesh(n) for n in args.neighbour]
    cuts = [c.strip() for c in args.cuts.split(",") if c.strip()] if args.cuts else []
    approach, insertion = (None if v is None else as_point(v) for v in (args.approach, args.insertion))
    solid = design_resection_guide(
        record,
        bone,
        tumour,
        options,
        cuts=cuts,
        approach_ras=approach,
        label=args.label or "R1",
        neighbours=neighbours,
        insertion_direction_ras=insertion,
        progress=part(progress, 0.0, 0.9),
    )
    inputs = {**inputs_of(bone, neighbours), "tumour": record.tumour_sha256}
    guide = describe_slots_guide(
        "resection",
        f"{solid.label} resection guide",
        record.bone,
        solid,
        inputs,
        asked_of_resection(record, cuts, approach),
    )
    reasons = (*rejections([guide]), *rejections([record]))
    asked = {"resection": record.name, "label": solid.label, "preset": Path(preset).name}
    described = [describe_surface("bone", bone), describe_surface("tumour", tumour)]
    plan = replace(
        new_plan(f"plan-{inputs['bone'][:6]}{inputs['tumour'][:6]}", described, {"resection_guide": asked}),
        guides=(guide,),
        resections=(with_part_files(record, {"tumour": TUMOUR_FILE}),),
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=reasons,
    )
    status = write_guides(args, plan, [(guide, solid.mesh, options.printer, bone)], {TUMOUR_FILE: tumour})
    progress(1.0, "Done")
    return status


def tumour_of(plan: str, record: ResectionRecord) -> Mesh:
    """Return the surface of the tumour that lies beside a plan."""
    folder = Path(plan) if Path(plan).is_dir() else Path(plan).parent
    # A name beside the plan, whatever way a document writes it.
    file = next((Path(p.file).name for p in record.parts if p.name == "tumour" and p.file), "")
    if not file or not (folder / file).is_file():
        raise InputError(
            f"the surface of the tumour is not there ({file or 'no file is named'})",
            "Give the whole folder that mskplanner resect wrote.",
            where=str(plan),
        )
    return read_mesh(folder / file)
