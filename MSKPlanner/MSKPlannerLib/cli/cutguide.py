"""`mskplanner cutguide`: the guide of a saw's plane on the surface of a bone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict

from ..colours import GUIDE_COLOUR, judged_colour
from ..export.mesh_files import read_mesh, write_parts
from ..export.parts import Part
from ..export.plan_parts import plan_notes
from ..export.print_sheet import print_sheet
from ..guides.checks import failed
from ..guides.cutting_guide import design_cutting_guide
from ..guides.presets import load_cutting_options
from ..guides.recipe import mesh_sha256
from ..osteotomy.planned import with_files
from ..output_folder import check_output, output_folder
from ..plan import GuideCut, Plan, Point
from ..plan_file import plan_to_json, read_plan
from ..plan_osteotomy import Osteotomy
from ..records import describe_cutting_guide, software_versions
from .commands import plan_result
from .console import say
from .status import DONE, REJECTED


def cutguide(args: argparse.Namespace, progress: Progress) -> int:
    """Design a cutting guide and write it with its plan document and its print sheet."""
    check_output(args.out, force=args.force)
    options = load_cutting_options(args.preset)
    approach = _numbers(args.approach)
    insertion = None if args.insertion is None else _numbers(args.insertion)
    bone = read_mesh(args.bone)
    cut, osteotomy = _cut(args, mesh_sha256(bone))
    if osteotomy is not None and osteotomy.planes[0].kerf_mm:
        options = replace(options, kerf_mm=osteotomy.planes[0].kerf_mm)
    solid = design_cutting_guide(
        bone,
        cut,
        approach,
        options,
        label=args.label,
        neighbours=[read_mesh(n) for n in args.neighbour],
        insertion_direction_ras=insertion,
        progress=part(progress, 0.0, 0.9),
    )
    sha = mesh_sha256(bone)
    guide = describe_cutting_guide(f"{args.label} cutting guide", "bone", solid, {"bone": sha})
    asked = {"label": args.label, "approach_ras": list(approach), "preset": Path(args.preset).name}
    plan = Plan(
        plan_id=f"plan-{sha[:6]}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=software_versions(),
        inputs=({"role": "bone", "mesh_sha256": sha, "triangles": len(bone.faces)},),
        parameters={"cutting_guide": asked},
        guides=(guide,),
        osteotomies=() if osteotomy is None else (with_files(osteotomy, {}),),
        verdict=guide.verdict,
        reasons=guide.reasons,
    )
    notes = plan_notes(plan, guides=[guide])
    with output_folder(args.out, force=args.force) as folder:
        (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
        (folder / guide.file).parent.mkdir()
        body = Part(guide.name, "guide", solid.mesh, judged_colour(GUIDE_COLOUR, guide.verdict))
        for file in guide.files:
            write_parts([body], folder / file, notes=notes)
        sheet = print_sheet(guide, solid.mesh, plan, printer=options.printer, bone=bone)
        (folder / guide.file).with_suffix(".html").write_text(sheet, encoding="utf-8")
    progress(1.0, "Done")
    wrong = "; ".join(c.message for c in failed(solid.checks))
    words = f"{guide.name}: {guide.verdict}. {wrong or '; '.join(guide.notes)}."
    say(words, plan_result(plan), as_json=args.json)
    return DONE if guide.verdict is Verdict.ACCEPTED else REJECTED


def _cut(args: argparse.Namespace, bone_sha256: str) -> tuple[GuideCut, Osteotomy | None]:
    """Return the plane of the saw: as given, or of an osteotomy of a plan, which then comes with it."""
    if args.plan is None:
        if args.point is None or args.normal is None:
            raise InputError("no plane is given", "Give --point and --normal, or --plan.")
        return GuideCut("cut", _numbers(args.point), _numbers(args.normal)), None
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
    if osteotomy.form is not None:
        raise InputError(
            f"a guide leads the saw along one whole plane, '{osteotomy.name}' is a {osteotomy.what}",
            "Plan a wedge or a derotation.",
            where=str(args.plan),
        )
    if args.face > len(osteotomy.planes):
        raise InputError(f"'{osteotomy.name}' has one plane", "Leave out --face.", where="--face")
    plane = osteotomy.planes[args.face - 1]
    name = osteotomy.name if len(osteotomy.planes) == 1 else f"{osteotomy.name}, face {args.face}"
    return GuideCut(name, plane.point_ras, plane.normal_ras), osteotomy


def _numbers(values: Sequence[float]) -> Point:
    r, a, s = (float(v) for v in values)
    return r, a, s
