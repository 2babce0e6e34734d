"""`mskplanner mirror`: a deformed bone against the mirrored healthy side."""

from __future__ import annotations

import argparse
import json

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress

from ..export.healthy_side_report import correction_rows, describe_healthy_side, render_healthy_side
from ..export.mesh_files import read_mesh, write_stl
from ..export.mirror_plan import mirror_plan
from ..osteotomy.cuts import PlaneCut
from ..osteotomy.fragments import cut_bone
from ..osteotomy.healthy_side import OBLIQUE_DEG, HealthySide, compare_with_healthy
from ..osteotomy.plane import Plane
from ..output_folder import check_output, output_folder
from ..plan_file import plan_to_json
from .console import say, table
from .status import DONE, REJECTED


def mirror(args: argparse.Namespace, progress: Progress) -> int:
    """Compare a bone with the mirrored healthy one and plan its correction."""
    check_output(args.out, force=args.force)
    level, moves = _point(args.level, "--level"), _point(args.moves, "--moves")
    bone, healthy = read_mesh(args.bone), read_mesh(args.healthy)
    progress(0.2, "Laying the healthy bone onto the other")
    result = compare_with_healthy(bone, healthy, level, moves, args.side)
    record = describe_healthy_side(result, args.side)
    progress(0.7, "Cutting and drawing")
    plane, kind = _plane(result)
    cut = cut_bone(bone, [PlaneCut(kind, plane, args.kerf)])
    parts = [(f, float(plane.height_mm(f.vertices_ras).mean()) > 0) for f in cut.fragments]
    record["cut"] = {
        "kind": kind,
        "kerf_mm": args.kerf,
        "point_ras": plane.point_ras.tolist(),
        "normal_ras": plane.normal_ras.tolist(),
    }
    files = {"staying": "fragment_staying.stl", "moved": "fragment_moved_before.stl"}
    planned = mirror_plan(result, bone, args.kerf, files)
    with output_folder(args.out, force=args.force) as folder:
        if planned is not None:
            (folder / "plan.json").write_text(plan_to_json(planned[0]), encoding="utf-8")
            for name, mesh in planned[1].items():
                write_stl(mesh, folder / files[name])
        (folder / "mirror.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        (folder / "mirror.html").write_text(render_healthy_side(result, record, bone, parts), encoding="utf-8")
        write_stl(result.template_ras, folder / "healthy_mirrored.stl")
        for n, (part, moving) in enumerate(parts, start=1):
            write_stl(part, folder / f"part_{n}_{'moves' if moving else 'stays'}.stl")
            if moving:
                write_stl(part.transformed(result.motion_ras), folder / f"part_{n}_corrected.stl")
    progress(1.0, "Done")
    rows = [[str(name), f"{value:.2f}"] for name, value in correction_rows(record)]
    text = f"Correction {record['verdict']}.\n" + table(["What", "Value"], rows)
    for remark in (*result.reasons, *result.warnings):
        text += f"\nNote: {remark}."
    say(text, record, as_json=args.json)
    return DONE if result.accepted else REJECTED


def _plane(result: HealthySide) -> tuple[Plane, str]:
    """Return the single oblique cut where a saw can follow it, else a plane across the bone; it looks to what moves."""
    if result.cut is not None and result.cut.obliquity_deg <= OBLIQUE_DEG:
        return result.cut.plane, "single oblique cut"
    return Plane(result.level_ras, result.axis_ras), "cut across the bone"


def _point(text: str, where: str) -> FloatArray:
    try:
        values = np.array([float(v) for v in text.split(",")])
    except ValueError:
        values = np.empty(0)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise InputError(f"'{text}' is not a RAS point", "Write R,A,S in mm.", where=where)
    return values
