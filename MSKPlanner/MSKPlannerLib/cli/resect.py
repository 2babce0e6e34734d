"""`mskplanner resect`: a tumour taken out of a bone with a margin."""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, flip_ras_lps
from MSKFusionLib.progress import Progress, part

from ..export.html import bullets, figures, page
from ..export.html import table as html_table
from ..export.mesh_files import write_stl
from ..export.resection_plan import resection_plan
from ..mesh import Mesh
from ..mrml.render_probe import can_render
from ..osteotomy.bodies import joined
from ..osteotomy.planned_resection import resection_record, with_part_files
from ..osteotomy.resection import Resection, ResectionOptions, approach_of, plan_resection
from ..osteotomy.resection_errors import SawBudget
from ..osteotomy.tumour_transfer import BoneRegistration
from ..output_folder import check_output, output_folder
from ..plan import Plan
from ..plan_file import plan_to_json
from ..plan_resection import ResectionRecord
from .console import say, table
from .solid_pictures import NO_PICTURES, Drawn, draw
from .status import DONE, REJECTED
from .surface_input import read_surfaces

_TUMOUR, _SPECIMEN, _BONE = (0.72, 0.1, 0.15), (0.94, 0.7, 0.3), (0.91, 0.86, 0.75)


def resect(args: argparse.Namespace, progress: Progress) -> int:
    """Plan a resection and write it."""
    check_output(args.out, force=args.force)
    options = ResectionOptions(
        margin_mm=args.margin,
        most_planes=args.planes,
        approach=approach_of(args.approach),
        widest_deg=args.tilt,
        kerf_mm=args.kerf,
        seed=args.seed,
    )
    progress(0.0, "Reading bone and tumour")
    bones = read_surfaces(args.bone)
    name, bone = bones.one(args.bone_segment, "bone (--bone-segment)")
    tumour = read_surfaces(args.tumour).one(args.tumour_segment, "tumour (--tumour-segment)")[1]
    error, notes = args.registration_error or 0.0, []
    if args.registration is not None:
        carrier = BoneRegistration.of_file(args.registration, name, args.registration_error)
        tumour = carrier.carried(tumour, drawn_in=args.tumour_in)
        error, notes = carrier.expected_error_mm, list(carrier.notes)
    budget = SawBudget(args.saw_sd, args.saw_turn_sd, error, args.tumour_sd)
    options = ResectionOptions(**{**vars(options), "budget": budget})
    others = [] if args.no_obstacles else [m for n, m in bones.meshes.items() if n != name]
    plan = plan_resection(bone, tumour, options, obstacles=others, progress=part(progress, 0.2, 0.9))
    entry = describe_resection(plan, name, notes)
    record, meshes = resection_record(plan, name, notes)
    record = with_part_files(record, {n: f"{n}.stl" for n in meshes})
    document = resection_plan(record, {"bone": plan.bone, "tumour": plan.tumour}, entry["wished"])
    with output_folder(args.out, force=args.force) as folder:
        write_resection(plan, entry, folder, joined(others) if others else None)
        (folder / "plan.json").write_text(plan_to_json(document), encoding="utf-8")
        for part_name, mesh in meshes.items():
            write_stl(mesh, folder / f"{part_name}.stl")
        progress(0.95, "Writing the scene")
        _write_scene(plan, document, record, meshes, folder / "scene.mrb")
    progress(1.0, "Done")
    say(_words(entry), entry, as_json=args.json)
    return DONE if plan.margin_kept else REJECTED


def describe_resection(plan: Resection, bone: str, notes: list[str] | None = None) -> dict[str, Any]:
    """Return a resection as `resection.json` holds it: RAS mm, normals away from the specimen."""
    wish, erred = plan.options, plan.after_errors
    return {
        "bone": bone,
        "verdict": "accepted" if plan.margin_kept else "rejected",
        "wished": {
            "margin_mm": wish.margin_mm,
            "most_planes": wish.most_planes,
            "approach": wish.approach if isinstance(wish.approach, str) else list(wish.approach),
            "widest_deg": wish.widest_deg,
            "kerf_mm": wish.kerf_mm,
            "seed": wish.seed,
        },
        "margin_mm": plan.margin_mm,
        "margin_ras": plan.margin_ras.tolist(),
        "after_errors": vars(erred) | {"budget": vars(wish.budget)},
        "volumes_mm3": {
            "bone": plan.bone.volume_mm3,
            "specimen": plan.solids.specimen.volume_mm3,
            "remaining": plan.solids.remaining.volume_mm3,
            "saw_dust": plan.solids.kerf.volume_mm3 if len(plan.solids.kerf.faces) else 0.0,
            "tumour_in_bone": plan.tumour_in_bone_mm3,
            "healthy_bone_lost": plan.healthy_mm3,
            "error_share": plan.solids.volume_error_share(plan.bone),
        },
        "cuts": [
            {
                "name": c.name,
                "point_ras": c.plane.point_ras.tolist(),
                "normal_ras": c.plane.normal_ras.tolist(),
                "margin_mm": c.surface.least_mm,
                "margin_ras": c.surface.least_ras.tolist(),
                "area_mm2": c.surface.mesh.area_mm2,
                "saw_direction_ras": c.saw.direction_ras.tolist(),
                "saw_depth_mm": c.saw.depth_mm,
                "off_approach_deg": c.saw.off_approach_deg,
            }
            for c in plan.cuts
        ],
        "specimen_mm3_by_planes": {str(n): v for n, v in plan.by_planes},
        "notes": [*(notes or []), *plan.notes],
    }


def write_resection(plan: Resection, entry: dict[str, Any], folder: Path, others: Mesh | None = None) -> None:
    """Write `resection.json`, `resection.html` and the margins as VTP (LPS, as Slicer reads it)."""
    (folder / "resection.json").write_text(json.dumps(entry, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _write_margins(plan, folder / "margins.vtp")
    html = _report(plan, entry, _pictures(plan, others) if can_render() else [])
    (folder / "resection.html").write_text(html, encoding="utf-8")


def _write_scene(
    plan: Resection, document: Plan, record: ResectionRecord, meshes: dict[str, Mesh], target: Path
) -> None:
    from MSKFusionLib.mrml import headless_scene, save_scene

    from ..mrml import plan_to_scene
    from ..mrml.resection_scene import resection_to_scene

    bared = joined([c.surface.mesh for c in plan.cuts])
    margins = np.concatenate([c.surface.margins_mm for c in plan.cuts])
    with headless_scene() as scene:
        nodes = plan_to_scene(scene, document, arrange_views=False)
        resection_to_scene(scene, document, record, meshes, (bared, margins), nodes.folder)
        save_scene(scene, target)


def _write_margins(plan: Resection, path: Path) -> None:
    cut = joined([c.surface.mesh for c in plan.cuts])
    data = Mesh(flip_ras_lps(cut.vertices_ras), cut.faces).to_polydata()
    values = numpy_to_vtk(np.concatenate([c.surface.margins_mm for c in plan.cuts]), deep=True)
    values.SetName("margin_mm")
    data.GetPointData().SetScalars(values)
    writer = vtkXMLPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(data)
    if not writer.Write():
        raise InputError("the margins cannot be written", "Free disk space.", where=str(path))


def _pictures(plan: Resection, others: Mesh | None) -> list[tuple[bytes, str]]:
    surgeon = -plan.options.travel_ras
    aside = np.cross(surgeon, [0.0, 0.0, 1.0] if abs(surgeon[2]) < 0.9 else [0.0, 1.0, 0.0])
    oblique = surgeon + 0.8 * aside + np.array([0.0, 0.0, 0.4])
    parts = plan.solids
    low, high = parts.specimen.bounds_ras
    near = np.stack([low - 12, high + 12])
    context = [Drawn(others, _BONE, 0.15)] if others is not None else []
    cut = joined([c.surface.mesh for c in plan.cuts])
    margins = np.concatenate([c.surface.margins_mm for c in plan.cuts])
    limits = (plan.options.margin_mm, max(float(margins.max()), plan.options.margin_mm + 1.0))
    mapped = Drawn(cut, values=margins, limits=limits, title="margin mm")
    views: list[tuple[list[Drawn], FloatArray, FloatArray | None, str]] = [
        (
            [
                *context,
                Drawn(parts.remaining, _BONE),
                Drawn(parts.specimen, _SPECIMEN, 0.6),
                Drawn(plan.tumour, _TUMOUR),
            ],
            surgeon,
            None,
            "From the approach: what goes in orange, the tumour in red",
        ),
        (
            [Drawn(parts.remaining, _BONE, 0.35), Drawn(parts.specimen, _SPECIMEN, 0.45), Drawn(plan.tumour, _TUMOUR)],
            oblique,
            near,
            "The part that goes, with the tumour in it",
        ),
        ([Drawn(parts.remaining, _BONE)], oblique, near, "What stays"),
        (
            [Drawn(parts.specimen, _SPECIMEN, 0.25), Drawn(plan.tumour, _TUMOUR), mapped],
            oblique,
            near,
            "Margin on the cut surfaces",
        ),
        (
            [Drawn(parts.specimen, _SPECIMEN, 0.25), Drawn(plan.tumour, _TUMOUR), mapped],
            -oblique,
            near,
            "Margin on the cut surfaces, from the other side",
        ),
    ]
    return [(draw(bodies, eye, around=around), words) for bodies, eye, around, words in views]


def _report(plan: Resection, entry: dict[str, Any], pictures: list[tuple[bytes, str]]) -> str:
    erred, volumes = plan.after_errors, entry["volumes_mm3"]
    place = ", ".join(f"{v:.1f}" for v in plan.margin_ras)
    verdict = f"{entry['bone']}: margin {plan.margin_mm:.2f} mm of {plan.options.margin_mm:g} mm, at ({place})"
    notes = [*entry["notes"], *([] if pictures else [NO_PICTURES])]
    rows = [
        [
            c.name,
            c.surface.least_mm,
            c.surface.mesh.area_mm2,
            c.saw.depth_mm,
            c.saw.off_approach_deg,
            ", ".join(f"{v:.1f}" for v in c.plane.projected(plan.tumour.vertices_ras.mean(axis=0))),
            ", ".join(f"{v:.3f}" for v in c.plane.normal_ras),
        ]
        for c in plan.cuts
    ]
    head = [
        "Cut",
        "Margin mm",
        "Area mm2",
        "Saw depth mm",
        "Off approach deg",
        "Point RAS",
        "Normal RAS (from specimen)",
    ]
    budget = plan.options.budget
    errors = [
        ["Registration, expected mean error", f"{budget.registration_error_mm:.2f} mm"],
        ["Cut, along its normal (SD)", f"{budget.place_sd_mm:.2f} mm"],
        ["Cut, its direction (SD)", f"{budget.turn_sd_deg:.2f} degrees"],
        ["Tumour's border (SD)", f"{budget.tumour_sd_mm:.2f} mm"],
        ["Least margin, half of the cases have more", f"{erred.median_mm:.2f} mm"],
        ["Least margin, 95 % of the cases have more", f"{erred.low_mm:.2f} mm"],
        ["Wished margin kept everywhere", f"{100 * erred.kept_probability:.0f} %"],
        ["A cut goes through the tumour", f"{100 * erred.breached_probability:.1f} %"],
        ["Source of the saw's errors", budget.source],
    ]
    sections = "<h2>Cuts</h2>" + '<div class="wide">' + html_table(head, rows) + "</div>"
    sections += "<h2>After errors</h2>" + html_table(["", ""], errors)
    named = [[k.replace("_", " "), f"{v / 1000:.2f} cm3"] for k, v in volumes.items() if k != "error_share"]
    sections += "<h2>Volumes</h2>" + html_table(["", ""], named)
    more = [[n, f"{v / 1000:.2f} cm3"] for n, v in plan.by_planes]
    sections += "<h2>Specimen by number of planes</h2>" + html_table(["Planes", "Specimen (estimate)"], more)
    return page(
        "solids.html",
        title=escape(f"Resection: {entry['bone']}"),
        verdict_class=entry["verdict"],
        verdict=escape(verdict),
        reasons=bullets(notes),
        pictures=figures(pictures),
        sections=sections,
    )


def _words(entry: dict[str, Any]) -> str:
    erred, volumes = entry["after_errors"], entry["volumes_mm3"]
    rows = [
        [c["name"], f"{c['margin_mm']:.2f}", f"{c['saw_depth_mm']:.0f}", f"{c['off_approach_deg']:.0f}"]
        for c in entry["cuts"]
    ]
    text = table(["Cut", "Margin mm", "Saw depth mm", "Off approach deg"], rows)
    text += (
        f"\nMargin {entry['margin_mm']:.2f} mm at ({', '.join(f'{v:.1f}' for v in entry['margin_ras'])}) RAS; after errors "
        f"{erred['low_mm']:.1f} mm in 95 % of cases, the wish kept in {100 * erred['kept_probability']:.0f} %. "
        f"Healthy bone lost {volumes['healthy_bone_lost'] / 1000:.1f} cm3 of {volumes['bone'] / 1000:.1f}."
    )
    return "\n".join([text, *entry["notes"]])
