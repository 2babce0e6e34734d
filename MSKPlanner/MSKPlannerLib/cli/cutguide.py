"""`mskplanner cutguide`: the guide of a saw's plane on the surface of a bone."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point, unit
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict

from ..export.mesh_files import read_mesh
from ..guides.cut_options import CuttingGuideOptions
from ..guides.cutting_guide import design_cutting_guide
from ..guides.facets import hinge_of
from ..guides.presets import load_cutting_options
from ..guides.recipe import GIVEN_CUT, inputs_of, mesh_sha256
from ..mesh import Mesh
from ..osteotomy.drill_first import (
    CorrectedBone,
    PlannedHole,
    as_in_image,
    corrected_bone,
    design_reduction_guide,
    first_hole_mm,
    holes_beside,
    holes_through,
    reduction_options,
)
from ..osteotomy.plane import direction_of
from ..osteotomy.planned import with_files
from ..output_folder import check_output
from ..pipeline import rejections
from ..plan import GuideCut, Point
from ..plan_file import read_plan
from ..plan_osteotomy import Osteotomy
from ..records import describe_cutting_guide, describe_reduction_guide, describe_surface, new_plan
from .formguide import form_guide
from .resectionguide import resection_guide
from .sites import parse_numbers
from .write_guides import Written, write_guides

#: The cosine to the cut's normal that a direction must have to name a side of it.
_ASIDE = 0.3


def cutguide(args: argparse.Namespace, progress: Progress) -> int:
    """Design a cutting guide and write it with its plan document and its print sheet."""
    check_output(args.out, force=args.force)
    if args.resection is not None:
        return resection_guide(args, progress)
    if args.cuts:
        raise InputError("only a resection has planes to choose from", "Give --resection.", where="--cuts")
    if args.approach is None:
        raise InputError("it is not said where the surgeon stands", "Give --approach.", where="--approach")
    args.label = args.label or "C1"
    approach = as_point(args.approach)
    insertion = None if args.insertion is None else as_point(args.insertion)
    bone = read_mesh(args.bone)
    sha = mesh_sha256(bone)
    cut, osteotomy = _cut(args, sha)
    if osteotomy is not None and osteotomy.form is not None:
        return form_guide(args, bone, osteotomy, progress)
    args.preset = args.preset or "saw"
    options = load_cutting_options(args.preset)
    if osteotomy is not None and osteotomy.planes[0].kerf_mm:
        options = replace(options, kerf_mm=osteotomy.planes[0].kerf_mm)
    options = replace(options, ledge=_ledge(args, cut))
    neighbours = [read_mesh(n) for n in args.neighbour]
    corrected, holes = _holes(args, bone, osteotomy, approach, options)
    solid = design_cutting_guide(
        bone,
        cut,
        approach,
        options,
        label=args.label,
        neighbours=neighbours,
        holes=() if osteotomy is None else as_in_image(holes, osteotomy),
        hinge=None if osteotomy is None else hinge_of(osteotomy),
        insertion_direction_ras=insertion,
        progress=part(progress, 0.0, 0.6 if holes else 0.9),
    )
    inputs = inputs_of(bone, neighbours)
    guide = describe_cutting_guide(f"{args.label} cutting guide", "bone", solid, inputs, holes, osteotomy)
    made: list[Written] = [(guide, solid.mesh, options.printer, bone)]
    if corrected is not None and osteotomy is not None:
        reduced = design_reduction_guide(
            corrected, holes, reduction_options(options), label=args.label, progress=part(progress, 0.6, 0.9)
        )
        name = f"{args.label} reduction guide"
        entry = describe_reduction_guide(name, "bone", args.label, reduced, inputs, holes, osteotomy, cut)
        made.append((entry, reduced.solid.mesh, options.printer, corrected.whole))
    asked = {"label": args.label, "approach_ras": list(approach), "preset": Path(args.preset).name}
    guides = tuple(g for g, *_ in made)
    reasons = tuple(rejections(guides))
    plan = replace(
        new_plan(f"plan-{inputs['bone'][:6]}", [describe_surface("bone", bone)], {"cutting_guide": asked}),
        guides=guides,
        osteotomies=() if osteotomy is None else (with_files(osteotomy, {}),),
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=reasons,
    )
    status = write_guides(args, plan, made)
    progress(1.0, "Done")
    return status


def _holes(
    args: argparse.Namespace,
    bone: Mesh,
    osteotomy: Osteotomy | None,
    approach: Point,
    options: CuttingGuideOptions,
) -> tuple[CorrectedBone | None, tuple[PlannedHole, ...]]:
    """Return the corrected bone and the holes that a reduction guide brings together; none where none is asked for."""
    if not args.hole and not args.reduction:
        return None, ()
    if osteotomy is None:
        raise InputError(
            "holes are brought together by a correction, and none is given", "Give --plan.", where="--reduction"
        )
    corrected = corrected_bone(bone, osteotomy)
    if args.hole:
        return corrected, holes_through(corrected, osteotomy, [_line(t, n) for n, t in enumerate(args.hole, 1)])
    return corrected, holes_beside(
        corrected,
        osteotomy,
        approach,
        first_mm=first_hole_mm(options),
        count=args.reduction,
        spacing_mm=args.hole_spacing,
        depth_mm=args.hole_depth,
    )


def _line(text: str, number: int) -> tuple[str, Point, Point]:
    name, equals, rest = text.rpartition("=")
    ends = [parse_numbers(e, "--hole") for e in rest.split(":")]
    if len(ends) != 2 or any(len(e) != 3 for e in ends):
        raise InputError(f"'{text}' is not a hole", "Write --hole NAME=R,A,S:R,A,S, outer point first.", where="--hole")
    return name.strip() if equals else f"hole {number}", as_point(ends[0]), as_point(ends[1])


def _ledge(args: argparse.Namespace, cut: GuideCut) -> str:
    """Return on which side of the plane the ledge is to stand, as `CuttingGuideOptions` has it; empty for a slot."""
    if args.ledge is None:
        return ""
    if args.reduction or args.hole:
        raise InputError("holes are drilled on both sides of the cut, a ledge stands on one", "Use a slot.", "--ledge")
    side = float(np.dot(direction_of(args.ledge, "--ledge"), unit(np.asarray(cut.normal_ras, dtype=np.float64))))
    if abs(side) < _ASIDE:
        raise InputError("that runs along the cut, not to a side of it", "Give the side as R A S.", where="--ledge")
    return "along" if side > 0 else "against"


def _cut(args: argparse.Namespace, bone_sha256: str) -> tuple[GuideCut, Osteotomy | None]:
    """Return the plane of the saw: as given, or of an osteotomy of a plan, which then comes with it."""
    if args.plan is None:
        if args.point is None or args.normal is None:
            raise InputError("no plane is given", "Give --point and --normal, or --plan.")
        return GuideCut(GIVEN_CUT, as_point(args.point), as_point(args.normal)), None
    if args.point is not None or args.normal is not None:
        raise InputError("--plan holds the plane already", "Leave out --point and --normal.")
    osteotomies = read_plan(args.plan).osteotomies
    names = ", ".join(f"'{o.name}'" for o in osteotomies)
    chosen = [o for o in osteotomies if args.cut in (None, o.name)]
    if len(chosen) != 1:
        raise InputError(
            f"the plan holds {len(osteotomies) or 'no'} osteotomies" + (f": {names}" if names else ""),
            "Choose one by --cut." if names else "Plan one, as with mskplanner limb --target.",
            where=str(args.plan),
        )
    osteotomy = chosen[0]
    if osteotomy.bone_sha256 != bone_sha256:
        raise InputError(
            f"this is not the surface of the {osteotomy.bone} that the plan cuts", "Give the same file.", str(args.bone)
        )
    if args.face > len(osteotomy.planes):
        raise InputError(f"'{osteotomy.name}' has one plane", "Leave out --face.", where="--face")
    plane = osteotomy.planes[args.face - 1]
    name = osteotomy.name if len(osteotomy.planes) == 1 else f"{osteotomy.name}, face {args.face}"
    return GuideCut(name, plane.point_ras, plane.normal_ras), osteotomy
