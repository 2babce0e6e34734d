"""The print sheet: one page that goes to the printer with a guide: pictures, size, material, checks, hashes."""

from __future__ import annotations

from html import escape

import numpy as np

from MSKFusionLib.frames import FloatArray, unit
from MSKFusionLib.registration.result import Verdict

from ..colours import BONE_COLOUR, GUIDE_COLOUR, judged_colour
from ..guides.build_direction import best_build_direction, fits_bed, overhang
from ..guides.presets import load_printer
from ..guides.recipe import why_outdated
from ..mesh import Mesh
from ..plan import Guide, Plan, Point
from ..plan_file import plan_sha256
from .drawing import draw
from .html import bullets, figures, page, table

#: Volumes above which a print of this kind takes long: only a class, printers differ by more.
_TIME_CLASSES = ((5_000.0, "short (about 1 to 3 hours)"), (25_000.0, "medium (about 3 to 8 hours)"))
_LONG = "long (a night)"


def print_sheet(guide: Guide, mesh: Mesh, plan: Plan, *, printer: str = "sla", bone: Mesh | None = None) -> str:
    """Return the sheet as one HTML page that needs no other file; the same guide gives the same page.

    Parameters
    ----------
    mesh
        The guide's solid, RAS mm.
    printer
        A printer preset (`guides.presets.load_printer`).
    bone
        Shown under the guide in one of the pictures.

    Raises
    ------
    InputError
        When there is no such printer preset.
    """
    preset = load_printer(printer)
    size = np.ptp(mesh.bounds_ras, axis=0)
    up, fits = best_build_direction(mesh, preset.self_supporting_deg, preset.bed_mm)
    hanging = overhang(mesh, up, preset.self_supporting_deg)
    outdated = why_outdated(guide, plan)
    part = [
        ["For", guide.level],
        ["Screws", ", ".join(guide.screws) or "none"],
        ["Size in patient axes (R x A x S)", " x ".join(f"{s:.1f}" for s in size) + " mm"],
        ["Material", f"{mesh.volume_mm3 / 1000:.2f} cm3"],
        ["Surface", f"{mesh.area_mm2 / 100:.1f} cm2"],
        ["Thinnest wall", f"{guide.min_wall_mm:.2f} mm"],
        [f"Gap to the {_stands_on(guide)}", f"{guide.fit_clearance_mm:.2f} mm"],
        ["Insertion direction (RAS)", _direction(guide.insertion_direction_ras)],
        *[["Note", n] for n in guide.notes],
    ]
    printing = [
        ["Printer preset", f"{preset.name}: {preset.description}"],
        ["Build direction proposed (RAS)", _direction(up) + ("" if fits else " (does not fit on the bed)")],
        ["Height in that direction", f"{float(np.ptp(mesh.vertices_ras @ up)):.1f} mm"],
        ["Surface that needs support", f"{hanging.area_mm2:.0f} mm2"],
        ["Fits on the bed", "yes" if fits_bed(mesh.vertices_ras, up, preset.bed_mm) else "NO"],
        ["Print time class, by volume", _time_class(mesh.volume_mm3)],
    ]
    recipe = guide.recipe
    made_from = [
        ["Plan", plan.plan_id],
        ["Plan document (SHA-256)", plan_sha256(plan)],
        ["Triangles of the guide (SHA-256)", guide.mesh_sha256 or "not known"],
        ["Files", ", ".join(guide.files or (guide.file,))],
        ["Coordinates in the files", f"{guide.frame}, mm"],
        *([] if recipe is None else [[f"Input {k} (SHA-256)", v] for k, v in recipe.inputs.items()]),
        *([] if recipe is None else [[k, str(v)] for k, v in recipe.options.items()]),
    ]
    checks = [
        [c.name, c.value, c.limit, c.unit, "ok" if c.passed else "FAILED", c.message, _place(c.place_ras)]
        for c in guide.checks
    ]
    accepted = guide.verdict is Verdict.ACCEPTED and not outdated
    return page(
        "print_sheet.html",
        title=escape(f"Print sheet: {guide.name}"),
        verdict_class="accepted" if accepted else "rejected",
        verdict="Passed its own checks." if accepted else "DO NOT PRINT for use: see below.",
        warnings=bullets((*(f"OUT OF DATE: {w}" for w in outdated), *guide.reasons)),
        pictures=_pictures(guide, mesh, bone),
        part=table(["", ""], part),
        printing=table(["", ""], printing),
        checks=table(
            ["Check", "Found", "Bar", "Unit", "Result", "In words", "Place (RAS mm)"],
            checks,
            ["accepted" if c.passed else "rejected" for c in guide.checks],
        ),
        recipe=table(["", ""], made_from),
    )


def _pictures(guide: Guide, mesh: Mesh, bone: Mesh | None) -> str:
    out = -unit(np.asarray(guide.insertion_direction_ras))
    up = np.array([0.0, 0.0, 1.0]) if abs(out[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    side = unit(np.cross(up, out))
    colour = judged_colour(GUIDE_COLOUR, guide.verdict)
    only = [(mesh, colour)]
    views = [
        (draw(only, out, up), "From outside, against the insertion"),
        (draw(only, -out, up), f"The side that touches the {_stands_on(guide)}"),
        (draw(only, side + 0.35 * out, up), "From the side"),
    ]
    if bone is not None:
        both = [(bone, BONE_COLOUR), *only]
        views.append(
            (draw(both, out + 0.5 * side + 0.3 * up, up, frame_on=_around(mesh)), f"On the {_stands_on(guide)}")
        )
    return figures(views)


def _stands_on(guide: Guide) -> str:
    return "skin" if guide.recipe is not None and guide.recipe.kind == "skin" else "bone"


def _around(mesh: Mesh) -> Mesh:
    """Return the corners that a picture of the guide on its bone shows: its own, half as far again."""
    middle = mesh.bounds_ras.mean(axis=0)
    return Mesh(middle + 1.5 * (mesh.vertices_ras - middle), mesh.faces)


def _direction(values: Point | FloatArray) -> str:
    return " ".join(f"{float(v):+.3f}" for v in values)


def _place(place: Point | None) -> str:
    return "" if place is None else " ".join(f"{v:.1f}" for v in place)


def _time_class(volume_mm3: float) -> str:
    return next((words for limit, words in _TIME_CLASSES if volume_mm3 < limit), _LONG)
