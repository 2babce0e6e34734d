"""`mskplanner reduce`: the fragments of a broken bone brought to where they belong."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import flip_transform_ras_lps
from MSKFusionLib.progress import Progress, part

from ..colours import FRAGMENT_COLOURS
from ..export.html import bullets, figures, page
from ..export.html import table as html_table
from ..export.mesh_files import write_stl
from ..mesh import Mesh
from ..mrml.render_probe import can_render
from ..osteotomy.reduction import Reduction, ReductionOptions, mirrored, reduce_fracture
from ..osteotomy.reduction_path import FragmentPath, reduction_paths
from ..output_folder import check_output, output_folder
from .console import say, table
from .solid_pictures import NO_PICTURES, Drawn, draw
from .status import DONE, REJECTED
from .surface_input import Surfaces, read_surfaces

_TEMPLATE = (0.6, 0.6, 0.65)


def reduce(args: argparse.Namespace, progress: Progress) -> int:
    """Bring fragments to where they belong and write it."""
    check_output(args.out, force=args.force)
    options = ReductionOptions(args.turn, args.shift, seed=args.seed)
    progress(0.0, "Reading fragments and healthy side")
    source = read_surfaces(args.fragments)
    fragments = _chosen(source, args.names)
    healthy = read_surfaces(args.healthy).one(args.healthy_segment, "healthy side (--healthy-segment)")[1]
    template = healthy if args.same_side else mirrored(healthy, np.zeros(3), np.array([1.0, 0.0, 0.0]))
    plan = reduce_fracture(fragments, template, options, main=args.main, progress=part(progress, 0.1, 0.85))
    paths: dict[str, FragmentPath | str] = {}
    if not args.no_paths:
        progress(0.85, "Ways of the fragments")
        paths = reduction_paths(plan, seed=args.seed)
    entry = describe_reduction(plan, paths)
    with output_folder(args.out, force=args.force) as folder:
        write_reduction(plan, entry, folder)
        for n, f in enumerate(plan.fragments):
            path = paths.get(f.name)
            if isinstance(path, FragmentPath):
                _write_path(path, folder / f"path_{n + 1}.json")
        if paths:
            _write_scene(plan, paths, folder / "reduction.mrb")
    progress(1.0, "Done")
    say(_words(entry), entry, as_json=args.json)
    return DONE if plan.trusted else REJECTED


def _chosen(source: Surfaces, names: str | None) -> dict[str, Mesh]:
    if names is None:
        return source.meshes
    wanted = [n.strip() for n in names.split(",") if n.strip()]
    missing = [n for n in wanted if n not in source.meshes]
    if missing or not wanted:
        raise InputError(
            f"there is no structure '{missing[0] if missing else names}'",
            f"There are: {', '.join(source.meshes)}.",
            where=str(source.path),
        )
    return {n: source.meshes[n] for n in wanted}


def _write_path(path: FragmentPath, target: Path) -> None:
    """Write a fragment's motions on its way (RAS, row by row), and the clearance at each."""
    entry = {
        "motions_ras": path.motions_ras.reshape(len(path.motions_ras), 16).round(6).tolist(),
        "clearance_mm": path.clearance_mm.round(3).tolist(),
    }
    target.write_text(json.dumps(entry) + "\n", encoding="utf-8")


def _write_scene(plan: Reduction, paths: Mapping[str, FragmentPath | str], target: Path) -> None:
    """Write a scene in which Slicer's Sequences play the reduction."""
    from MSKFusionLib.mrml import headless_scene, save_scene

    from ..mrml.reduction_scene import reduction_to_scene

    with headless_scene() as scene:
        reduction_to_scene(scene, plan, paths)
        save_scene(scene, target)


def _described_path(path: FragmentPath | str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    if isinstance(path, str):
        return {"found": False, "why": path}
    return {
        "found": True,
        "poses": len(path.motions_ras),
        "longest_mm": path.longest_mm,
        "straight_mm": path.straight_mm,
        "least_clearance_mm": path.least_mm,
        "clearance_at_start_mm": float(path.clearance_mm[0]),
        "clearance_at_end_mm": float(path.clearance_mm[-1]),
    }


def describe_reduction(plan: Reduction, paths: Mapping[str, FragmentPath | str] | None = None) -> dict[str, Any]:
    """Return a reduction as `reduction.json` holds it."""
    ways = paths or {}
    return {
        "verdict": "accepted" if plan.trusted else "rejected",
        "fragments": [
            {
                "name": f.name,
                "trusted": not f.doubts,
                "doubts": list(f.doubts),
                "motion_ras": f.motion_ras.tolist(),
                "motion_lps": flip_transform_ras_lps(f.motion_ras).tolist(),
                "turned_deg": f.turned_deg,
                "moved_mm": f.moved_mm,
                "residual_mm": _finite(f.fit.residual_mm),
                "matched_share": f.fit.matched_share,
                "turn_sd_deg": _finite(f.turn_sd_deg),
                "place_sd_mm": _finite(f.place_sd_mm),
                "volume_mm3": f.mesh.volume_mm3,
                "path": _described_path(ways.get(f.name)),
            }
            for f in plan.fragments
        ],
        "notes": list(plan.notes),
    }


def write_reduction(plan: Reduction, entry: dict[str, Any], folder: Path) -> None:
    """Write `reduction.json`, `reduction.html`, each fragment where it belongs and the mirrored side (STL, LPS)."""
    (folder / "reduction.json").write_text(json.dumps(entry, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    write_stl(plan.template, folder / "healthy_mirrored.stl")
    for n, f in enumerate(plan.fragments):
        write_stl(f.reduced, folder / f"reduced_{n + 1}.stl")
    pictures = _pictures(plan) if can_render() else []
    rows = [
        [
            f["name"],
            f["turned_deg"],
            f["moved_mm"],
            f["residual_mm"],
            f"{100 * f['matched_share']:.0f} %",
            f["turn_sd_deg"],
            f["place_sd_mm"],
            "; ".join(f["doubts"]) or "trusted",
            _path_words(f["path"]),
        ]
        for f in entry["fragments"]
    ]
    head = [
        "Fragment",
        "Turn deg",
        "Shift mm",
        "Residual mm",
        "Fits",
        "Free deg (SD)",
        "Free mm (SD)",
        "Verdict",
        "Way",
    ]
    doubtful = [f"{f.name}: {d}" for f in plan.fragments for d in f.doubts]
    html = page(
        "solids.html",
        title="Fracture reduction",
        verdict_class=entry["verdict"],
        verdict=escape(f"{len(plan.fragments)} fragments, {sum(not f.doubts for f in plan.fragments)} trusted"),
        reasons=bullets([*doubtful, *plan.notes, *([] if pictures else [NO_PICTURES])]),
        pictures=figures(pictures),
        sections="<h2>Fragments</h2>" + '<div class="wide">' + html_table(head, rows) + "</div>",
    )
    (folder / "reduction.html").write_text(html, encoding="utf-8")


def _pictures(plan: Reduction) -> list[tuple[bytes, str]]:
    colours = [FRAGMENT_COLOURS[n % len(FRAGMENT_COLOURS)] for n in range(len(plan.fragments))]
    before = [Drawn(f.mesh, c) for f, c in zip(plan.fragments, colours, strict=True)]
    after = [Drawn(f.reduced, c) for f, c in zip(plan.fragments, colours, strict=True)]
    whole = Drawn(plan.template, _TEMPLATE, 0.25)
    around = np.concatenate([b.mesh.vertices_ras for b in (*before, *after)])
    pictures = []
    for eye, words in (
        ((0.3, 1.0, 0.2), "from the front"),
        ((0.9, -0.5, 0.2), "from the right"),
        ((-0.9, -0.5, 0.2), "from the left"),
    ):
        pictures.append((draw(before, eye, around=around), f"As it is, {words}"))
        pictures.append((draw([*after, whole], eye, around=around), f"Reduced, with the mirrored side, {words}"))
    return pictures


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _path_words(path: Mapping[str, Any] | None) -> str:
    if path is None:
        return "-"
    if not path["found"]:
        return str(path["why"])
    return (
        f"{path['longest_mm']:.0f} mm (straight {path['straight_mm']:.0f}), clearance {path['least_clearance_mm']:.1f} mm at least "
        f"({path['clearance_at_start_mm']:.1f} at its start, {path['clearance_at_end_mm']:.1f} at its end)"
    )


def _words(entry: dict[str, Any]) -> str:
    rows = [
        [
            f["name"],
            f"{f['turned_deg']:.1f}",
            f"{f['moved_mm']:.1f}",
            "-" if f["residual_mm"] is None else f"{f['residual_mm']:.2f}",
            "; ".join(f["doubts"]) or "trusted",
            _path_words(f["path"]),
        ]
        for f in entry["fragments"]
    ]
    return "\n".join([table(["Fragment", "Turn deg", "Shift mm", "Residual mm", "", "Way"], rows), *entry["notes"]])
