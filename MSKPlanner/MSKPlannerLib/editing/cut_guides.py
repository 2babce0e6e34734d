"""The guides of an osteotomy: a saw's slot a plane, holes that are drilled first, and the guide that brings these together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.progress import Progress, no_progress, part

from ..guides.cutting_guide import design_cutting_guide
from ..guides.facets import hinge_of, led_together
from ..guides.presets import cutting_options_for_printer, options_for_printer
from ..guides.recipe import inputs_of
from ..osteotomy.cut_shape import CutKind
from ..osteotomy.drill_first import (
    STAYING,
    as_in_image,
    corrected_bone,
    design_reduction_guide,
    first_hole_mm,
    holes_beside,
    reduction_options,
)
from ..osteotomy.form_guide import design_dome_guide, design_facets_guide, saw_of
from ..osteotomy.planned import asked_of
from ..pipeline import Case, PrintedSolid
from ..plan import Guide, GuideCut, Plan, Point
from ..plan_osteotomy import CutPlane, Osteotomy
from ..records import describe_cutting_guide, describe_reduction_guide, guide_inputs
from ..slot_records import describe_dome_guide, describe_facets_guide
from .cut_bones import surface_of

#: Kinds of guides (`plan.GuideRecipe`) that an osteotomy has.
OF_CUTS = ("cut", "facets", "dome", "reduction")
#: Where the saw can be asked to come from, RAS; empty: from where the wedge opens.
SAW_FROM: dict[str, Point] = {
    "front": (0.0, 1.0, 0.0),
    "back": (0.0, -1.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
}
#: Bones whose labels come this near to the cut are those that guide and saw must not meet, mm.
_NEAR_MM = 60.0
_SPACING_MM, _DEPTH_MM = 12.0, 20.0
_PRESET = "saw"


@dataclass(frozen=True)
class CutGuideRequest:
    """What the guides of an osteotomy are asked to be.

    Parameters
    ----------
    printer
        By name.
    saw_from
        Of `SAW_FROM`, or empty.
    holes
        In each fragment, drilled before the cut and brought together after it; 0: none, and no reduction guide.
    spacing_mm, depth_mm
        From hole to hole, and into the bone.
    approach_ras
        In place of `saw_from` where it is known already: from the bone to the surgeon.
    """

    printer: str = "sla"
    saw_from: str = ""
    holes: int = 0
    spacing_mm: float = _SPACING_MM
    depth_mm: float = _DEPTH_MM
    approach_ras: Point | None = None


def cut_guides_for(
    case: Case, osteotomy: Osteotomy, asked: CutGuideRequest, progress: Progress = no_progress
) -> tuple[tuple[Guide, PrintedSolid], ...]:
    """Return a cutting guide for each plane of an osteotomy and, where holes are asked for, the reduction guide.

    A biplanar wedge and a step get one guide with a slot a facet (a closing wedge another for its second face), a dome its
    template of holes.

    Raises
    ------
    InputError
        When holes are asked for beside a cut that is no single plane.
    MSKError
        When no sound solid comes of one.
    """
    if osteotomy.form is not None:
        return _form_guide(case, osteotomy, asked, progress)
    options = cutting_options_for_printer(_PRESET, asked.printer)
    if osteotomy.planes[0].kerf_mm:
        options = replace(options, kerf_mm=osteotomy.planes[0].kerf_mm)
    approach = asked.approach_ras or approach_of(osteotomy, asked.saw_from)
    bone = surface_of(case, osteotomy.bone)
    progress(0.0, f"Bones beside {osteotomy.bone}")
    neighbours = [surface_of(case, name) for name in bones_near(case, osteotomy)]
    inputs = {**inputs_of(bone, neighbours), **guide_inputs(case.segmentation, case.ct)}
    label = label_of(osteotomy.bone)
    corrected = corrected_bone(bone, osteotomy) if asked.holes else None
    holes = () if corrected is None else holes_beside(
        corrected, osteotomy, approach, first_mm=first_hole_mm(options), count=asked.holes,
        spacing_mm=asked.spacing_mm, depth_mm=asked.depth_mm,
    )  # fmt: skip
    made: list[tuple[Guide, PrintedSolid]] = []
    parts = len(osteotomy.planes) + (corrected is not None)
    cuts = [GuideCut(n, p.point_ras, p.normal_ras) for n, p in planes_by_name_of(osteotomy)]
    for n, cut in enumerate(cuts):
        drilled = (
            as_in_image(holes, osteotomy) if n == 0 and holes else ()
        )  # once, through the first of a wedge's faces
        try:
            solid = design_cutting_guide(
                bone,
                cut,
                approach,
                options,
                label=label if len(cuts) == 1 else f"{label}{n + 1}",
                neighbours=neighbours,
                holes=drilled,
                hinge=hinge_of(osteotomy),
                progress=part(progress, n / parts, (n + 1) / parts),
            )
        except ProcessingError as error:
            raise ProcessingError(f"{error} Or ask for fewer holes.") if drilled else error from error
        name = f"{osteotomy.bone} cutting guide" + (f", face {n + 1}" if len(cuts) > 1 else "")
        with_holes = (holes, osteotomy) if drilled else ((), None)
        made.append((describe_cutting_guide(name, osteotomy.bone, solid, inputs, *with_holes), solid))
    if corrected is not None:
        joined = design_reduction_guide(
            corrected, holes, reduction_options(options), label=label, progress=part(progress, 1 - 1 / parts, 1.0)
        )
        name = f"{osteotomy.bone} reduction guide"
        entry = describe_reduction_guide(name, osteotomy.bone, label, joined, inputs, holes, osteotomy, cuts[0])
        made.append((entry, joined.solid))
    return tuple(made)


def _form_guide(
    case: Case, osteotomy: Osteotomy, asked: CutGuideRequest, progress: Progress
) -> tuple[tuple[Guide, PrintedSolid], ...]:
    """Return the guide of a cut that is no single plane."""
    if asked.holes:
        raise InputError(
            f"holes are brought together after a cut of one plane, this is a {osteotomy.what}",
            "Ask for none.",
            where=osteotomy.name,
        )
    approach = asked.approach_ras or _way_in(osteotomy, asked.saw_from)
    bone = surface_of(case, osteotomy.bone)
    neighbours = [surface_of(case, name) for name in bones_near(case, osteotomy)]
    inputs = {**inputs_of(bone, neighbours), **guide_inputs(case.segmentation, case.ct)}
    name, label = f"{osteotomy.bone} cutting guide", label_of(osteotomy.bone)
    if osteotomy.form is not None and osteotomy.form.name == "dome":
        drill = options_for_printer("dome", asked.printer)
        holes = design_dome_guide(
            osteotomy, bone, approach, drill, label=label, neighbours=neighbours, progress=progress
        )
        return ((describe_dome_guide(name, osteotomy.bone, label, holes, inputs, osteotomy, approach), holes.solid),)
    options = saw_of(cutting_options_for_printer(_PRESET, asked.printer), osteotomy)
    made = []
    parts = len(led_together(osteotomy))
    for n in range(1, parts + 1):
        one, short = (name, label) if parts == 1 else (f"{name}, face {n}", f"{label}{n}")
        solid = design_facets_guide(
            osteotomy, bone, approach, options, face=n, label=short, neighbours=neighbours,
            progress=part(progress, (n - 1) / parts, n / parts),
        )  # fmt: skip
        made.append((describe_facets_guide(one, osteotomy.bone, solid, inputs, osteotomy, approach), solid))
    return tuple(made)


def _way_in(osteotomy: Osteotomy, saw_from: str) -> Point:
    """Return the direction to the surgeon of a cut that has a direction of its own: along that, to the side that is asked for."""
    if saw_from:
        return _side(osteotomy, saw_from)
    assert osteotomy.form is not None
    way, opens = np.array(osteotomy.form.saw_direction_ras), asked_of(osteotomy).shape.to_ras[:3, 0]
    towards = way @ opens if abs(way @ opens) > 0.7 else way[1]  # where the wedge opens, else the front
    r, a, s = (float(v) for v in way * (1.0 if towards >= 0 else -1.0))
    return r, a, s


def _side(osteotomy: Osteotomy, saw_from: str) -> Point:
    if saw_from not in SAW_FROM:
        raise InputError(f"'{saw_from}' is no side", f"Choose of: {', '.join(SAW_FROM)}.", where=osteotomy.name)
    return SAW_FROM[saw_from]


def approach_of(osteotomy: Osteotomy, saw_from: str = "") -> Point:
    """Return the direction from the bone to the surgeon, within the plane of the saw, RAS.

    Parameters
    ----------
    saw_from
        Of `SAW_FROM`; empty: from where a wedge opens, and from the front for a derotation.

    Raises
    ------
    InputError
        When the saw cannot come from there: the plane lies across that direction.
    """
    shape = asked_of(osteotomy).shape
    if not saw_from and shape.kind is not CutKind.TURN:
        wanted = shape.to_ras[:3, 0]
    else:
        wanted = np.array(_side(osteotomy, saw_from or "front"))
    normal = shape.to_ras[:3, 2]
    within = wanted - (wanted @ normal) * normal
    if np.linalg.norm(within) < 0.5:
        raise InputError(
            f"the plane of the saw faces the {saw_from or 'front'}", "Choose another side.", where=osteotomy.name
        )
    r, a, s = (float(v) for v in within / np.linalg.norm(within))
    return r, a, s


def bones_near(case: Case, osteotomy: Osteotomy) -> tuple[str, ...]:
    """Return the other bones whose labels come near to a cut."""
    return bones_round(case, osteotomy.bone, osteotomy.planes[0].point_ras)


def bones_round(case: Case, bone: str, place_ras: Sequence[float] | np.ndarray) -> tuple[str, ...]:
    """Return the bones other than one whose labels come near to a place on it."""
    labels = case.segmentation.labels
    centre = transform_points(np.linalg.inv(labels.ijk_to_ras), np.array(place_ras))
    reach = np.ceil(_NEAR_MM / np.asarray(labels.spacing_mm)).astype(int)
    shape = np.array(labels.shape_ijk)
    low = np.clip(np.floor(centre).astype(int) - reach, 0, shape)
    high = np.clip(np.ceil(centre).astype(int) + reach + 1, 0, shape)
    i, j, k = (slice(a, b) for a, b in zip(low, high, strict=True))
    near = set(np.unique(labels.voxels[k, j, i]).tolist())
    return tuple(s.name for s in case.segmentation.bones if s.value in near and s.name != bone)


def label_of(bone: str) -> str:
    """Return a short name to emboss: initials of several words, else the first three signs."""
    words = [w for w in "".join(c if c.isalnum() and c.isascii() else " " for c in bone.upper()).split() if w]
    name = "".join(w[0] for w in words)[:3] if len(words) > 1 else "".join(words)[:3]
    return name.replace("O", "0") or "C1"


def planes_by_name_of(osteotomy: Osteotomy) -> list[tuple[str, CutPlane]]:
    """Return the planes of one osteotomy by the names that their guides have."""
    several = len(osteotomy.planes) > 1
    return [
        (f"{osteotomy.name}, face {n}" if several else osteotomy.name, p) for n, p in enumerate(osteotomy.planes, 1)
    ]


def osteotomy_of_guide(plan: Plan, guide: Guide) -> Osteotomy | None:
    """Return the osteotomy whose saw a guide leads; None where it is no more."""
    return next((o for o in plan.osteotomies if leads(guide, o.name)), None)


def leads(guide: Guide, osteotomy: str) -> bool:
    """Tell whether a guide leads the saw of an osteotomy, or brings its holes together."""
    if guide.recipe is None:
        return False
    of = [c.name.rsplit(", fac", 1)[0] for c in guide.recipe.cuts]  # ", face 1", ", facet 1"
    return osteotomy in (*of, str(guide.recipe.options.get("dome_of", "")))


def request_of(guides: Sequence[Guide], osteotomy: Osteotomy) -> CutGuideRequest:
    """Return what the guides of an osteotomy were asked to be, read from their recipes."""
    printer, approach = "sla", None
    holes: list[Any] = []
    for guide in guides:
        options = {} if guide.recipe is None else guide.recipe.options
        printer = str(options.get("printer") or printer)
        holes = list(options.get("holes") or holes)
        if options.get("approach_ras") is not None and approach is None:
            r, a, s = (float(v) for v in options["approach_ras"])
            approach = (r, a, s)
    ends = [np.array([h["entry_ras"], h["tip_ras"]], dtype=np.float64) for h in holes if h["fragment"] == STAYING]
    depth = float(np.linalg.norm(ends[0][1] - ends[0][0])) if ends else _DEPTH_MM
    spacing = _SPACING_MM
    if len(ends) > 1:
        along = (ends[0][1] - ends[0][0]) / depth
        step = ends[1][0] - ends[0][0]
        spacing = float(np.linalg.norm(step - (step @ along) * along))
    if osteotomy.form is not None:
        return CutGuideRequest(printer, approach_ras=approach)
    return CutGuideRequest(printer, "", len(ends), spacing, depth, _still_along(approach, osteotomy))


def _still_along(approach: Point | None, osteotomy: Osteotomy) -> Point | None:
    """Return a direction as long as the plane of the saw still runs along it; else none, so that it is found anew."""
    normal = np.array(osteotomy.planes[0].normal_ras)
    return approach if approach is not None and abs(np.dot(approach, normal)) < 0.8 * np.linalg.norm(normal) else None
