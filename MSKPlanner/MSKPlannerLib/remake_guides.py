"""Guides on a bone's surface made again from their recipes: the same plan gives the same triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress

from .guides.cut_options import CuttingGuideOptions
from .guides.cutting_guide import design_cutting_guide
from .guides.facets import hinge_of
from .guides.options import GuideOptions
from .guides.pin_guide import design_pin_guide
from .guides.recipe import mesh_sha256, osteotomy_of, planes_by_name
from .mesh import Mesh
from .osteotomy.drill_first import PlannedHole, as_in_image, corrected_bone, design_reduction_guide
from .osteotomy.form_guide import design_dome_guide, design_facets_guide, saw_of
from .osteotomy.resection_guide import asked_of_resection, design_resection_guide, saw_options
from .plan import Guide, GuideCut, GuideRecipe, GuideScrew, Plan, Point
from .plan_osteotomy import Osteotomy
from .plan_resection import ResectionRecord
from .records import describe_cutting_guide, describe_pin_guide, describe_reduction_guide
from .slot_records import describe_dome_guide, describe_facets_guide, describe_slots_guide

#: What can be made again from its recipe and the surface that it stands on.
KINDS = ("pin", "cut", "facets", "dome", "resection", "reduction")


def remake(
    guide: Guide,
    plan: Plan,
    bone: Mesh,
    neighbours: Sequence[Mesh] = (),
    *,
    tumour: Mesh | None = None,
    progress: Progress = no_progress,
) -> tuple[Guide, Mesh, Mesh]:
    """Return a guide made again for the screws, planes and correction as they are in the plan now: entry, solid, and the bone it sits on.

    Parameters
    ----------
    bone, neighbours
        The surfaces that it was made on, in the same order.
    tumour
        What a resection takes out; only its guide needs it.

    Raises
    ------
    InputError
        When the recipe is missing or of another kind, a surface is another, or what it guides is no longer planned.
    """
    recipe = guide.recipe
    if recipe is None or recipe.kind not in KINDS:
        kind = "no recipe" if recipe is None else f"the recipe of a {recipe.kind} guide"
        raise InputError(f"it has {kind}, which cannot be made again here", "Design it anew.", where=guide.name)
    _check_surfaces(guide.name, recipe, bone, neighbours)
    options = dict(recipe.options)
    try:
        label = str(options.pop("label"))
        holes = tuple(_hole(h) for h in options.pop("holes", ()))
        options.pop("moved_by", None)
        options.pop("hinge", None)
        direction = recipe.insertion_direction_ras
        if recipe.kind == "cut":
            approach = _point(options.pop("approach_ras"))
            cut_of = osteotomy_of(recipe.cuts[0].name, plan)
            osteotomy = _osteotomy(recipe, plan, guide.name) if holes else None
            solid = design_cutting_guide(
                bone,
                _cut(recipe, plan, guide.name),
                approach,
                CuttingGuideOptions(**options),
                label=label,
                neighbours=neighbours,
                holes=() if osteotomy is None else as_in_image(holes, osteotomy),
                hinge=None if cut_of is None else hinge_of(cut_of),
                insertion_direction_ras=direction,
                progress=progress,
            )
            return (
                describe_cutting_guide(guide.name, guide.level, solid, recipe.inputs, holes, osteotomy),
                solid.mesh,
                bone,
            )
        if recipe.kind in ("facets", "dome"):
            side = _point(options.pop("approach_ras"))
            cut_name = str(options.pop("dome_of", recipe.cuts[0].name if recipe.cuts else ""))
            options.pop("dome", None)
            of = osteotomy_of(cut_name, plan)
            if of is None:
                raise InputError(
                    f"the plan has no cut '{cut_name}' any more", "Design the guide anew.", where=guide.name
                )
            if recipe.kind == "dome":
                holes_made = design_dome_guide(
                    of,
                    bone,
                    side,
                    GuideOptions(**options),
                    label=label,
                    neighbours=neighbours,
                    insertion_direction_ras=direction,
                    progress=progress,
                )
                entry = describe_dome_guide(guide.name, guide.level, label, holes_made, recipe.inputs, of, side)
                return entry, holes_made.solid.mesh, bone
            facets = design_facets_guide(
                of,
                bone,
                side,
                saw_of(CuttingGuideOptions(**options), of),
                label=label,
                neighbours=neighbours,
                insertion_direction_ras=direction,
                progress=progress,
            )
            return describe_facets_guide(guide.name, guide.level, facets, recipe.inputs, of, side), facets.mesh, bone
        if recipe.kind == "resection":
            record = resection_named(plan, str(options.pop("resection")), guide.name)
            if tumour is None:
                raise InputError("it needs the surface of the tumour", "Give it.", where=guide.name)
            cuts = [str(c) for c in options.pop("cuts", ())]
            given = options.pop("approach_ras", None)
            from_side = None if given is None else _point(given)
            options.pop("planned_kerf_mm", None)
            slotted = design_resection_guide(
                record,
                bone,
                tumour,
                saw_options(CuttingGuideOptions(**options), record),
                cuts=cuts,
                approach_ras=from_side,
                label=label,
                neighbours=neighbours,
                insertion_direction_ras=direction,
                progress=progress,
            )
            asked = asked_of_resection(record, cuts, from_side)
            inputs = {**recipe.inputs, "tumour": record.tumour_sha256}
            entry = describe_slots_guide("resection", guide.name, guide.level, slotted, inputs, asked)
            return entry, slotted.mesh, bone
        if recipe.kind == "reduction":
            osteotomy = _osteotomy(recipe, plan, guide.name)
            cut = _cut(recipe, plan, guide.name)
            corrected = corrected_bone(bone, osteotomy)
            made = design_reduction_guide(
                corrected,
                holes,
                GuideOptions(**options),
                label=label,
                insertion_direction_ras=direction,
                progress=progress,
            )
            entry = describe_reduction_guide(guide.name, guide.level, label, made, recipe.inputs, holes, osteotomy, cut)
            return entry, made.solid.mesh, corrected.whole
        wires = _pins(recipe, plan, options.pop("pins", None), guide.name)
        made = design_pin_guide(
            bone,
            wires,
            GuideOptions(**options),
            label=label,
            neighbours=neighbours,
            insertion_direction_ras=direction,
            progress=progress,
        )
        screws = [s for s in plan.screws if s.name in {m.name for m in recipe.screws}]
        return describe_pin_guide(guide.name, guide.level, label, made, recipe.inputs, screws), made.solid.mesh, bone
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the recipe cannot be read ({type(error).__name__}: {error})", "Design it anew.", guide.name
        ) from error


def _check_surfaces(name: str, recipe: GuideRecipe, bone: Mesh, neighbours: Sequence[Mesh]) -> None:
    if recipe.inputs.get("bone") != mesh_sha256(bone):
        raise InputError("this is not the surface that it was made on", "Give the same file.", where=name)
    made_with = [v for k, v in recipe.inputs.items() if k.startswith("neighbour ")]
    if recipe.kind != "reduction" and made_with != [mesh_sha256(n) for n in neighbours]:
        raise InputError(
            f"it was made with {len(made_with)} neighbouring bones, not with these",
            "Give the same, in order.",
            where=name,
        )


def _pins(recipe: GuideRecipe, plan: Plan, written: Any, name: str) -> tuple[GuideScrew, ...]:
    if written is not None:
        return tuple(_pin(p) for p in written)
    planned = {s.name: s for s in plan.screws}
    gone = [s.name for s in recipe.screws if s.name not in planned]
    if gone:
        raise InputError(f"the plan has no screw {gone[0]} any more", "Design the guide anew.", where=name)
    return tuple(GuideScrew(s.name, planned[s.name].entry_ras, planned[s.name].tip_ras) for s in recipe.screws)


def _cut(recipe: GuideRecipe, plan: Plan, name: str) -> GuideCut:
    made_for = recipe.cuts[0]
    if not plan.osteotomies and not plan.resections:
        return made_for
    now = planes_by_name(plan).get(made_for.name)
    if now is None:
        raise InputError(f"the plan has no cut '{made_for.name}' any more", "Design the guide anew.", where=name)
    return GuideCut(made_for.name, now.point_ras, now.normal_ras)


def _osteotomy(recipe: GuideRecipe, plan: Plan, name: str) -> Osteotomy:
    """Return the osteotomy of the plan that a guide's holes belong to."""
    found = osteotomy_of(recipe.cuts[0].name, plan)
    if found is None:
        raise InputError(f"the plan has no cut '{recipe.cuts[0].name}' any more", "Design the guide anew.", where=name)
    return found


def resection_named(plan: Plan, name: str | None, where: str) -> ResectionRecord:
    """Return a resection of a plan by its name; None: the only one.

    Raises
    ------
    InputError
        When there is no such one, or several to choose from.
    """
    chosen = [r for r in plan.resections if name in (None, r.name)]
    if len(chosen) != 1:
        known = ", ".join(f"'{r.name}'" for r in plan.resections)
        raise InputError(
            f"the plan has no resection '{name}'" if name else f"the plan holds {len(chosen) or 'no'} resections",
            f"It has: {known}." if known else "Plan one with mskplanner resect.",
            where=where,
        )
    return chosen[0]


def _hole(values: Mapping[str, Any]) -> PlannedHole:
    return PlannedHole(str(values["fragment"]), _pin(values))


def _pin(values: Mapping[str, Any]) -> GuideScrew:
    return GuideScrew(str(values["name"]), _point(values["entry_ras"]), _point(values["tip_ras"]))


def _point(values: Sequence[float]) -> Point:
    r, a, s = (float(v) for v in values)
    return r, a, s
