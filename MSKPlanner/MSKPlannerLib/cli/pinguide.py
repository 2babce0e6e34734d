"""`mskplanner pinguide`: a guide that leads K-wires into a bone."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict

from ..export.mesh_files import read_mesh
from ..guides.field import Distance, distance_to
from ..guides.pin_guide import design_pin_guide
from ..guides.pins import pin_through, row_of_pins
from ..guides.presets import load_guide_options
from ..guides.recipe import inputs_of
from ..mesh import Mesh
from ..output_folder import check_output
from ..plan import GuideScrew, Plan, Point, Screw
from ..plan_file import read_plan
from ..records import describe_pin_guide, describe_surface, new_plan
from .sites import parse_numbers
from .surface_input import read_surfaces
from .write_guides import write_guides

#: A wire that is given by two points is given by this many numbers.
_ENDS, _AXES = 2, 3


def pinguide(args: argparse.Namespace, progress: Progress) -> int:
    """Design a pin guide and write it with its plan document and its print sheet."""
    check_output(args.out, force=args.force)
    options = load_guide_options(args.preset)
    if args.wire is not None:
        options = replace(options, drill_diameter_mm=args.wire)
    name, bone = read_surfaces(args.bone).one(args.name, "bone")
    neighbours = [read_mesh(n) for n in args.neighbour]
    screws: tuple[Screw, ...] = ()
    if args.plan is not None:
        if args.pin or args.at is not None:
            raise InputError("--plan holds the wires' axes already", "Leave out --pin and --at.")
        screws = screws_of_plan(args.plan, args.screws)
        pins = tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in screws)
    else:
        pins = _pins(args, distance_to(bone))
    insertion: Point | None = None if args.insertion is None else as_point(args.insertion)
    made = design_pin_guide(
        bone,
        pins,
        options,
        label=args.label,
        neighbours=neighbours,
        insertion_direction_ras=insertion,
        progress=part(progress, 0.05, 0.95),
    )
    plan = plan_of_bone(name, bone, args)
    inputs = inputs_of(bone, neighbours)
    guide = describe_pin_guide(f"{args.label} pin guide", name, args.label, made, inputs, screws)
    plan = replace(plan, screws=screws, guides=(guide,), verdict=guide.verdict, reasons=guide.reasons)
    status = write_guides(args, plan, [(guide, made.solid.mesh, options.printer, bone)])
    progress(1.0, "Done")
    return status


def plan_of_bone(name: str, bone: Mesh, args: argparse.Namespace) -> Plan:
    """Return a plan without anything on the surface of a bone."""
    described = describe_surface("bone", bone) | {"name": name}
    asked = {"label": args.label, "preset": Path(args.preset).name}
    return new_plan(f"plan-{described['mesh_sha256'][:6]}", [described], {"guide": asked})


def screws_of_plan(plan_path: str, names: str | None) -> tuple[Screw, ...]:
    """Return the screws of a plan that are named, none of them rejected.

    Raises
    ------
    InputError
        When none is named, one is not there, or is rejected.
    """
    planned = {s.name: s for s in read_plan(plan_path).screws}
    if names is None:
        known = ", ".join(planned) or "none"
        raise InputError("it is not said which screws", f"Give --screws; there are: {known}.", where="--plan")
    chosen = []
    for name in (n.strip() for n in names.split(",") if n.strip()):
        if name not in planned:
            known = ", ".join(planned) or "none"
            raise InputError(f"there is no screw '{name}'", f"There are: {known}.", where="--screws")
        if planned[name].verdict is Verdict.REJECTED:
            raise InputError(f"screw {name} is rejected", "Plan it again, or choose another.", where="--screws")
        chosen.append(planned[name])
    return tuple(chosen)


def _pins(args: argparse.Namespace, bone: Distance) -> tuple[GuideScrew, ...]:
    """Return the wires that the arguments describe: one by one, or a row."""
    if bool(args.pin) == (args.at is not None):
        raise InputError("one kind of wires is needed", "Give --pin, --at or --plan.", where="pinguide")
    if args.pin:
        return tuple(named_pin(text, n, "--pin", bone) for n, text in enumerate(args.pin, 1))
    if args.outward is None or args.along is None:
        raise InputError("it is not said how the row runs", "Give --outward and --along.", where="--at")
    return row_of_pins(
        bone,
        args.at,
        args.outward,
        args.along,
        count=args.count,
        spacing_mm=args.spacing,
        converge_deg=args.converge,
        depth_mm=args.depth,
    )


def named_pin(text: str, number: int, where: str, bone: Distance) -> GuideScrew:
    """Return the wire of ``NAME=R,A,S:R,A,S``, outer point first, its entry on the bone."""
    name, equals, rest = text.rpartition("=")
    ends = [parse_numbers(e, where) for e in rest.split(":")]
    if len(ends) != _ENDS or any(len(e) != _AXES for e in ends):
        raise InputError(f"'{text}' is not a wire", f"Write {where} NAME=R,A,S:R,A,S, outer point first.", where=where)
    return pin_through(bone, name.strip() if equals else f"wire {number}", ends[0], ends[1])
