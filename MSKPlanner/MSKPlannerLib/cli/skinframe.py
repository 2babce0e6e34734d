"""`mskplanner skinframe`: a frame on the skin for planned ways of a needle, a drill or a wire."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.images import load_image
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.volume import Modality

from ..colours import GUIDE_COLOUR, judged_colour
from ..export.mesh_files import write_parts
from ..export.parts import Part
from ..export.plan_parts import plan_notes
from ..export.print_sheet import print_sheet
from ..guides.checks import failed
from ..guides.presets import load_skin_options
from ..guides.skin_frame import SkinFrame, Way, design_skin_frame
from ..guides.skin_layout import REACH_MM
from ..output_folder import check_output, output_folder
from ..percutaneous.bone_on_way import bone_on_way
from ..percutaneous.skin import Skin, find_skin
from ..percutaneous.skin_surface import skin_entry_ras, skin_surface
from ..plan import Screw
from ..plan_file import plan_to_json, read_plan
from ..records import describe_input, describe_skin_frame, new_plan
from .commands import plan_result
from .console import say
from .pinguide import screws_of_plan
from .sites import parse_numbers
from .status import DONE, REJECTED

#: The skin is looked at this far beyond where pads may stand.
_BEYOND_MM = 15.0


def skinframe(args: argparse.Namespace, progress: Progress) -> int:
    """Design a frame on the skin and write it with its plan document and its print sheet."""
    check_output(args.out, force=args.force)
    options = load_skin_options(args.preset)
    given = [v for v in (args.paths, args.plan, args.way or None) if v is not None]
    if len(given) != 1:
        raise InputError("one kind of ways is needed", "Give --paths, --plan or --way.", where="skinframe")
    image = load_image(
        args.image, modality=None if args.modality is None else Modality(args.modality.upper()), series=args.series
    )
    described = describe_input("image", image)
    screws: tuple[Screw, ...] = ()
    if args.plan is not None:
        screws = screws_of_plan(args.plan, args.screws)
        _check_image(str(described["voxels_sha256"]), args)
    progress(0.1, "looking for the skin")
    skin = find_skin(image)
    if args.plan is not None:
        ways = [_way(skin, s.name, s.entry_ras, s.tip_ras) for s in screws]
    elif args.paths is not None:
        ways = _ways_of_paths(args.paths, args.use)
    else:
        ways = [_way(skin, *_given_way(n, text)) for n, text in enumerate(args.way, 1)]
    progress(0.25, "surface of the skin")
    surface = skin_surface(skin, np.mean([w.entry_ras for w in ways], axis=0), REACH_MM + _BEYOND_MM)
    frame = design_skin_frame(surface, ways, options, label=args.label, progress=part(progress, 0.35, 0.9))
    if args.plan is not None:
        frame = _with_bone_on_ways(frame, screws, args.plan)
    inputs = {"image": str(described["voxels_sha256"])}
    guide = describe_skin_frame(f"{args.label} skin frame", args.label, frame, inputs, screws)
    asked = {"label": args.label, "preset": Path(args.preset).name}
    plan = replace(
        new_plan(f"plan-{inputs['image'][:6]}", [described], {"skin_frame": asked}),
        screws=screws,
        guides=(guide,),
        verdict=guide.verdict,
        reasons=guide.reasons,
    )
    with output_folder(args.out, force=args.force) as folder:
        (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
        (folder / guide.file).parent.mkdir()
        body = Part(guide.name, "guide", frame.mesh, judged_colour(GUIDE_COLOUR, guide.verdict))
        for file in guide.files:
            write_parts([body], folder / file, notes=plan_notes(plan, guides=[guide]))
        sheet = print_sheet(guide, frame.mesh, plan, printer=options.printer, bone=surface)
        (folder / guide.file).with_suffix(".html").write_text(sheet, encoding="utf-8")
    progress(1.0, "Done")
    wrong = "; ".join(c.message for c in failed(frame.checks))
    say(f"{guide.name}: {guide.verdict}. {wrong or '; '.join(guide.notes)}.", plan_result(plan), as_json=args.json)
    return DONE if guide.verdict is Verdict.ACCEPTED else REJECTED


def _check_image(sha: str, args: argparse.Namespace) -> None:
    """Refuse an image whose coordinates are not known to be the plan's: those are the CT's."""
    roles = {str(i.get("voxels_sha256", "")): str(i.get("role", "")) for i in read_plan(args.plan).inputs}
    if roles.get(sha) == "ct" or args.same_coordinates:
        return
    what = f"this is the {roles[sha].upper()} of the plan" if sha in roles else "this image is none of the plan's"
    raise InputError(
        f"{what}; its screws are in the coordinates of its CT",
        "Give that CT, or say --same-coordinates where the image lies in them.",
        where=str(args.image),
    )


def _with_bone_on_ways(frame: SkinFrame, screws: Sequence[Screw], plan_path: str) -> SkinFrame:
    """Return a frame with its ways checked for bone before the entries, where the plan's bones are there."""
    folder = Path(plan_path) if Path(plan_path).is_dir() else Path(plan_path).parent
    file = folder / "segmentation.seg.nrrd"
    if not file.is_file():
        return replace(frame, notes=(*frame.notes, "what bone lies between skin and entries was not looked at"))
    bones, diameter = read_segmentation(file), frame.options.drill_diameter_mm
    found = [bone_on_way(bones, s, w.entry_ras, diameter) for s, w in zip(screws, frame.ways, strict=True)]
    return replace(frame, checks=(*frame.checks, *found))


def _way(skin: Skin, name: str, outer_ras: Sequence[float], target_ras: Sequence[float]) -> Way:
    """Return the way along the line from a target through an outer point, with its entry on the skin."""
    target = np.asarray(target_ras, dtype=np.float64)
    outward = np.asarray(outer_ras, dtype=np.float64) - target
    if not np.isfinite([*target, *outward]).all() or np.linalg.norm(outward) < 1.0:
        raise InputError("the way is not two points apart", where=name)
    return Way(name, as_point(skin_entry_ras(skin, target, outward)), as_point(target))


def _given_way(number: int, text: str) -> tuple[str, list[float], list[float]]:
    name, equals, rest = text.rpartition("=")
    ends = [parse_numbers(e, "--way") for e in rest.split(":")]
    if len(ends) != 2 or any(len(e) != 3 for e in ends):
        raise InputError(f"'{text}' is not a way", "Write --way NAME=R,A,S:R,A,S, outer point first.", where="--way")
    return (name if equals else f"way {number}"), ends[0], ends[1]


def _ways_of_paths(path: str, use: str | None) -> list[Way]:
    """Return the ways that `mskplanner path` has planned: those that are named by number, else the best one."""
    file = Path(path) / "paths.json" if Path(path).is_dir() else Path(path)
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        planned = [
            Way(f"path {n}", as_point(p["entry_ras"]), as_point(p["target_ras"]))
            for n, p in enumerate(document["paths"], 1)
        ]
    except FileNotFoundError as error:
        raise InputError(
            "there is no such file", "Give the folder that `mskplanner path` wrote.", where=str(file)
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            "these are not planned paths", "Give the folder that `mskplanner path` wrote.", where=str(file)
        ) from error
    numbers = [1] if use is None else [int(n) for n in parse_numbers(use, "--use")]
    if not planned or any(not 1 <= n <= len(planned) for n in numbers):
        raise InputError(f"there are {len(planned)} paths, not number {max(numbers)}", where=str(file))
    return [planned[n - 1] for n in numbers]
