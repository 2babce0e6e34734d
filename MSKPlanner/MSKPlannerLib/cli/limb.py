"""`mskplanner limb`: the alignment of a leg from its bones, and the wedge that corrects it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.files import read_segmentation

from ..anatomy.leg import LegPoints, find_leg
from ..anatomy.limb_landmarks import POINTS, spoken
from ..anatomy.limb_measures import MEASURES
from ..export.limb_plan import limb_plan, write_fragments
from ..export.limb_record import describe_leg, describe_plan, form_in_words
from ..export.limb_report import render_limb_report
from ..mesh import Mesh
from ..osteotomy.limb_cut import FORMS, LimbPlan, asked_cut, plan_limb_cut, plan_limb_form, plan_two_levels
from ..osteotomy.limb_form import FormOptions
from ..osteotomy.limb_wedge import WedgeOptions
from ..osteotomy.target import CutLevel, Target, fujisawa
from ..output_folder import check_output, output_folder
from ..plan import Plan
from ..plan_file import plan_to_json
from .bone_input import markups, read_bones, read_direction, read_placed
from .console import say, table
from .status import DONE, REJECTED

BONES = ("femur", "tibia", "fibula", "talus")
#: Grid of a surface that is made from a segment: landmarks are means over many of its triangles, mm.
_SURFACE_STEP_MM = 1.2
#: What targets are called on the command line.
_TARGETS = {
    "hka": "hka_deg",
    "mpta": "mpta_deg",
    "ldfa": "ldfa_deg",
    "mad": "mad_mm",
    "fujisawa": "weight_bearing_share",
    "femoral-torsion": "femoral_torsion_deg",
    "tibial-torsion": "tibial_torsion_deg",
}


def limb(args: argparse.Namespace, progress: Progress) -> int:
    """Measure a leg, and plan a correction where a target is given."""
    check_output(args.out, force=args.force)
    target = None if args.target is None else parse_target(args.target)
    femoral = None if args.femoral_target is None else parse_target(args.femoral_target, "--femoral-target")
    if femoral is not None and target is None:
        raise InputError("--femoral-target is the first of two corrections", "Give --target for the tibia as well.")
    _check_kind(args)
    options = _options(args)
    bones = read_bones(args, BONES, _SURFACE_STEP_MM)
    placed = {} if args.landmarks is None else read_placed(args.landmarks, POINTS, "leg")
    progress(0.3, "Looking for landmarks")
    leg = find_leg(
        bones.get("femur"), bones.get("tibia"), fibula=bones.get("fibula"), talus=bones.get("talus"), side=args.side,
        up_ras=read_direction(args.up, "--up", "0,0,1 for upwards"), placed=placed,
    )  # fmt: skip
    record = describe_leg(leg)
    plans: tuple[LimbPlan, ...] = ()
    document: Plan | None = None
    fragments: dict[str, Mesh] = {}
    if target is not None or args.lengthen_mm is not None:
        progress(0.6, "Planning the correction")
        plans = _planned(leg, bones, target, femoral, options, args)
        for name, plan in zip(("correction", "femoral_correction"), reversed(plans), strict=False):
            record[name] = describe_plan(plan)
        first = plans[0] if len(plans) > 1 else None
        asked = [asked_cut(p, args.kerf_mm, first if p is not first else None) for p in plans]
        why = [f"{p.bone.value}: {'; '.join(p.reasons)}" for p in plans if p.reasons]
        labels = None if args.bones is None else read_segmentation(args.bones, numbering=args.numbering)
        document, fragments = limb_plan(leg, bones, asked, _asked(args), why, labels)
    progress(0.8, "Drawing")
    with output_folder(args.out, force=args.force) as folder:
        _write(folder, leg, record, bones, plans)
        if document is not None:
            (folder / "plan.json").write_text(plan_to_json(document), encoding="utf-8")
            write_fragments(document, fragments, folder)
    progress(1.0, "Done")
    say(_words(record) + _near(document), record, as_json=args.json)
    return DONE if document is None or document.verdict is Verdict.ACCEPTED else REJECTED


def _check_kind(args: argparse.Namespace) -> None:
    """Refuse what belongs to another kind of cut than the one that is asked for."""
    if args.kind is not None and args.femoral_target is not None:
        raise InputError("at two levels wedges and derotations are planned", "Leave out --kind.", where="--kind")
    if args.kind not in (None, *FORMS):
        raise InputError(f"there is no cut of the kind '{args.kind}'", f"Choose {', '.join(FORMS)}.", where="--kind")
    if args.kind is not None and args.target is None and args.kind != "step":
        raise InputError("there is nothing to correct to", "Give --target, as hka:0.", where=f"--kind {args.kind}")
    for name, kind in (("torsion_target", "oblique"), ("lengthen_mm", "step")):
        if getattr(args, name) is not None and args.kind != kind:
            raise InputError(f"this belongs to --kind {kind}", f"Add --kind {kind}.", f"--{name.replace('_', '-')}")
    if args.second_plane == "descending" and args.kind != "biplanar":
        raise InputError("only a biplanar cut has a second plane", "Add --kind biplanar.", "--second-plane")


def _planned(
    leg: LegPoints, bones: dict[str, Mesh], target: Target | None, femoral: Target | None, options: WedgeOptions,
    args: argparse.Namespace,
) -> tuple[LimbPlan, ...]:  # fmt: skip
    """Plan the one correction, or that of the femur and then that of the tibia."""
    if args.kind is not None:
        torsion = None if args.torsion_target is None else parse_target(args.torsion_target, "--torsion-target")
        form = FormOptions(
            args.tongue_mm,
            args.rise_deg,
            args.radius_mm,
            args.step_mm,
            args.slant_deg,
            args.second_plane == "descending",
        )
        return (
            plan_limb_form(
                args.kind, leg.landmarks, bones, target, options, form, torsion=torsion, lengthen_mm=args.lengthen_mm,
                kerf_mm=args.kerf_mm,
            ),
        )  # fmt: skip
    assert target is not None
    if femoral is None:
        return (plan_limb_cut(leg.landmarks, bones, target, options),)
    first = WedgeOptions(CutLevel.FEMUR, args.femoral_wedge == "opening")
    return plan_two_levels(leg.landmarks, bones, femoral, target, first, options)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """Return what was asked for, as the plan document keeps it."""
    names: tuple[str, ...] = (
        "target",
        "femoral_target",
        "cut",
        "wedge",
        "femoral_wedge",
        "entry_mm",
        "hinge_mm",
        "hinge_depth_mm",
        "kerf_mm",
    )
    if args.kind is not None:
        names += (
            "kind",
            "torsion_target",
            "tongue_mm",
            "rise_deg",
            "radius_mm",
            "lengthen_mm",
            "step_mm",
            "slant_deg",
            "second_plane",
        )
    return {n: getattr(args, n) for n in names}


def parse_target(text: str, option: str = "--target") -> Target:
    """Return the target that ``fujisawa:62``, ``hka:0``, ``mpta:88``, ``ldfa:87``, ``mad:0``, ``femoral-torsion:15`` names.

    A share of the plateau is in percent from its medial edge. An HKA near 0 is a deviation from 180, valgus positive.

    Raises
    ------
    InputError
        When it is none of these.
    """
    name, _, number = text.partition(":")
    way_out = "Write fujisawa:62, hka:0 (or hka:183), mpta:88, ldfa:87, mad:0, femoral-torsion:15 or tibial-torsion:30."
    if name not in _TARGETS:
        raise InputError(f"there is no target '{name}'", way_out, where=option)
    try:
        value = float(number) if number or name != "fujisawa" else 62.0
    except ValueError:
        raise InputError(f"'{number}' is not a number", way_out, where=option) from None
    if name == "fujisawa":
        return fujisawa(value / 100)
    if name == "hka" and abs(value) <= 45:
        value += 180
    ranges = {"hka": (135, 225), "mpta": (60, 120), "ldfa": (60, 120), "mad": (-100, 100)}
    low, high = ranges.get(name, (-60, 90))
    if not low <= value <= high:
        raise InputError(f"{name} of {value:g}", f"Give {low} to {high}.", where=option)
    return Target(_TARGETS[name], value)


def _options(args: argparse.Namespace) -> WedgeOptions:
    return WedgeOptions(CutLevel(args.cut), args.wedge == "opening", args.entry_mm, args.hinge_mm, args.hinge_depth_mm)


def _write(
    folder: Path, leg: LegPoints, record: dict[str, Any], bones: dict[str, Mesh], plans: Sequence[LimbPlan]
) -> None:
    (folder / "limb.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (folder / "landmarks.mrk.json").write_text(
        json.dumps(markups(leg.landmarks, leg.origin, POINTS), indent=1) + "\n", encoding="utf-8"
    )
    records = [record[n] for n in ("femoral_correction", "correction") if n in record]
    report = render_limb_report(leg, record, bones, plans, records)
    (folder / "limb.html").write_text(report, encoding="utf-8")


def _near(document: Plan | None) -> str:
    """Return how near the cuts come to structures at risk, in words."""
    cuts = () if document is None else document.osteotomies
    lines = [f"{n} {mm:.1f} mm" for o in cuts for n, mm in o.structures_mm.items()]
    notes = [n for o in cuts for n in o.notes if "mm are wished" in n]
    said = f"\nStructures by the cuts: {', '.join(lines)}." if lines else ""
    return said + "".join(f"\nNote: {n}." for n in notes)


def _words(record: dict[str, Any]) -> str:
    """Return what a terminal shows."""
    rows = []
    for m in record["measures"]:
        usual = "-" if m["usual"] is None else f"{m['usual'][0]:g} to {m['usual'][1]:g}"
        value = "-" if m["value"] is None else f"{m['value']:.2f} {m['unit']}".strip()
        follows = "-" if m["per_mm"] is None else f"{m['per_mm']:.2f} ({spoken(m['most_sensitive_to'])})"
        rows.append([m["title"], value, usual, follows, m["in_words"]])
    text = f"{record['side'].capitalize()} leg\n"
    text += table(["Measure", "Value", "Usual", "Change a mm (of)", "In words"], rows)
    for remark in (*record["not_found"], *record["notes"]):
        text += f"\nNote: {remark}."
    plan = record.get("correction")
    if plan is None:
        return text
    plans = [record[n] for n in ("femoral_correction", "correction") if n in record]
    text += "\n" + "".join("\n" + _correction_in_words(p) for p in plans)
    costs = [
        f"{MEASURES[n].title} {plans[0]['before'][n]:.1f} to {plan['measured_again'][n]:.1f}"
        for n in (
            "hka_deg",
            "mpta_deg",
            "ldfa_deg",
            "tibial_slope_deg",
            "joint_line_obliquity_deg",
            "femoral_torsion_deg",
            "tibial_torsion_deg",
            "leg_length_mm",
        )
        if plans[0]["before"][n] is not None and plan["measured_again"][n] is not None
    ]
    text += f" {'; '.join(costs)}."
    for remark in [r for p in plans for r in (*p["reasons"], *p["warnings"])]:
        text += f"\nNote: {remark}."
    return text


def _correction_in_words(plan: dict[str, Any]) -> str:
    """Return one correction as a sentence or two."""
    if plan["kind"] in FORMS:
        wished = [t for t in (plan["target"], plan["second_target"]) if t is not None]
        aims = " and ".join(f"{MEASURES[t['measure']].title} to {t['value']:g}" for t in wished)
        return f"Correction {plan['verdict']}{': ' + aims if aims else ''}. {form_in_words(plan)}."
    info = MEASURES[plan["target"]["measure"]]
    text = f"Correction {plan['verdict']}: {info.title} to {plan['target']['value']:g}. "
    if plan["kind"] == "derotation":
        return text + f"Derotation of the {plan['bone']}: {plan['angle_deg']:.2f} degrees, {plan['direction']}."
    return text + (
        f"{plan['kind'].capitalize()} wedge of the {plan['bone']} from the {plan['from']} side: "
        f"{plan['angle_deg']:.2f} degrees, {plan['gap_mm']:.2f} mm at the cortex, "
        f"{plan['hinge']['bone_left_mm']:.1f} mm of bone behind the hinge."
    )
