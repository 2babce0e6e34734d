"""Guides on a bone's surface made again from their recipes: the same plan gives the same triangles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.progress import Progress, no_progress

from .guides.cut_options import CuttingGuideOptions
from .guides.cutting_guide import design_cutting_guide
from .guides.facets import hinge_of, led_together
from .guides.options import GuideOptions
from .guides.pin_guide import design_pin_guide
from .guides.recipe import mesh_sha256, osteotomy_of, planes_by_name
from .mesh import Mesh
from .osteotomy.drill_first import PlannedHole, as_in_image, corrected_bone, design_reduction_guide
from .osteotomy.form_guide import design_dome_guide, design_facets_guide, saw_of
from .osteotomy.resection_guide import asked_of_resection, design_resection_guide, saw_options
from .plan import Guide, GuideCut, GuideRecipe, GuideScrew, Plan
from .plan_osteotomy import Osteotomy
from .plan_resection import ResectionRecord
from .records import describe_cutting_guide, describe_pin_guide, describe_reduction_guide
from .slot_records import describe_dome_guide, describe_facets_guide, describe_slots_guide

#: A guide made again: its entry, its solid, and the bone it sits on.
Remade = tuple[Guide, Mesh, Mesh]


def remake(
    guide: Guide,
    plan: Plan,
    bone: Mesh,
    neighbours: Sequence[Mesh] = (),
    *,
    tumour: Mesh | None = None,
    progress: Progress = no_progress,
) -> Remade:
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
    try:
        options = dict(recipe.options)
        label = str(options.pop("label"))
        holes = tuple(_hole(h) for h in options.pop("holes", ()))
        # What was measured when it was made, for the reader of the plan; it is measured again.
        for told in ("moved_by", "hinge", "dome", "planned_kerf_mm"):
            options.pop(told, None)
        old = _Old(guide.name, guide.level, label, recipe, plan, bone, tuple(neighbours), tumour, holes, options)
        return _MAKERS[recipe.kind](old, progress)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the recipe cannot be read ({type(error).__name__}: {error})", "Design it anew.", guide.name
        ) from error


@dataclass(frozen=True)
class _Old:
    """A guide to be made again, its recipe read, and what it is made on.

    `options` is what is left of the recipe's: each kind takes its own out of it, the rest are the designer's.
    """

    name: str
    level: str
    label: str
    recipe: GuideRecipe
    plan: Plan
    bone: Mesh
    neighbours: tuple[Mesh, ...]
    tumour: Mesh | None
    holes: tuple[PlannedHole, ...]
    options: dict[str, Any]

    @property
    def cut(self) -> GuideCut:
        """The plane it guides, as it is in the plan now (a plan without cuts: as it was given)."""
        made_for = self.recipe.cuts[0]
        if not self.plan.osteotomies and not self.plan.resections:
            return made_for
        now = planes_by_name(self.plan).get(made_for.name)
        if now is None:
            raise _gone(made_for.name, self.name)
        return GuideCut(made_for.name, now.point_ras, now.normal_ras)

    def osteotomy(self, cut_name: str) -> Osteotomy:
        """Return the osteotomy of the plan that one of its cuts belongs to."""
        found = osteotomy_of(cut_name, self.plan)
        if found is None:
            raise _gone(cut_name, self.name)
        return found


def _gone(cut_name: str, guide_name: str) -> InputError:
    return InputError(f"the plan has no cut '{cut_name}' any more", "Design the guide anew.", where=guide_name)


def _cut(old: _Old, progress: Progress) -> Remade:
    approach = as_point(old.options.pop("approach_ras"))
    cut_of = osteotomy_of(old.recipe.cuts[0].name, old.plan)
    osteotomy = old.osteotomy(old.recipe.cuts[0].name) if old.holes else None
    solid = design_cutting_guide(
        old.bone,
        old.cut,
        approach,
        CuttingGuideOptions(**old.options),
        label=old.label,
        neighbours=old.neighbours,
        holes=() if osteotomy is None else as_in_image(old.holes, osteotomy),
        hinge=None if cut_of is None else hinge_of(cut_of),
        insertion_direction_ras=old.recipe.insertion_direction_ras,
        progress=progress,
    )
    entry = describe_cutting_guide(old.name, old.level, solid, old.recipe.inputs, old.holes, osteotomy)
    return entry, solid.mesh, old.bone


def _facets(old: _Old, progress: Progress) -> Remade:
    side = as_point(old.options.pop("approach_ras"))
    of = old.osteotomy(old.recipe.cuts[0].name)
    led = {f.cut.name for f in led_together(of)[-1]}
    facets = design_facets_guide(
        of,
        old.bone,
        side,
        saw_of(CuttingGuideOptions(**old.options), of),
        face=len(led_together(of)) if {c.name for c in old.recipe.cuts} <= led else 1,
        label=old.label,
        neighbours=old.neighbours,
        insertion_direction_ras=old.recipe.insertion_direction_ras,
        progress=progress,
    )
    entry = describe_facets_guide(old.name, old.level, facets, old.recipe.inputs, of, side)
    return entry, facets.mesh, old.bone


def _dome(old: _Old, progress: Progress) -> Remade:
    side = as_point(old.options.pop("approach_ras"))
    of = old.osteotomy(str(old.options.pop("dome_of")))
    made = design_dome_guide(
        of,
        old.bone,
        side,
        GuideOptions(**old.options),
        label=old.label,
        neighbours=old.neighbours,
        insertion_direction_ras=old.recipe.insertion_direction_ras,
        progress=progress,
    )
    entry = describe_dome_guide(old.name, old.level, old.label, made, old.recipe.inputs, of, side)
    return entry, made.solid.mesh, old.bone


def _resection(old: _Old, progress: Progress) -> Remade:
    record = resection_named(old.plan, str(old.options.pop("resection")), old.name)
    if old.tumour is None:
        raise InputError("it needs the surface of the tumour", "Give it.", where=old.name)
    cuts = [str(c) for c in old.options.pop("cuts", ())]
    given = old.options.pop("approach_ras", None)
    side = None if given is None else as_point(given)
    solid = design_resection_guide(
        record,
        old.bone,
        old.tumour,
        saw_options(CuttingGuideOptions(**old.options), record),
        cuts=cuts,
        approach_ras=side,
        label=old.label,
        neighbours=old.neighbours,
        insertion_direction_ras=old.recipe.insertion_direction_ras,
        progress=progress,
    )
    asked = asked_of_resection(record, cuts, side)
    inputs = {**old.recipe.inputs, "tumour": record.tumour_sha256}
    return describe_slots_guide("resection", old.name, old.level, solid, inputs, asked), solid.mesh, old.bone


def _reduction(old: _Old, progress: Progress) -> Remade:
    osteotomy = old.osteotomy(old.recipe.cuts[0].name)
    corrected = corrected_bone(old.bone, osteotomy)
    made = design_reduction_guide(
        corrected,
        old.holes,
        GuideOptions(**old.options),
        label=old.label,
        insertion_direction_ras=old.recipe.insertion_direction_ras,
        progress=progress,
    )
    entry = describe_reduction_guide(
        old.name, old.level, old.label, made, old.recipe.inputs, old.holes, osteotomy, old.cut
    )
    return entry, made.solid.mesh, corrected.whole


def _pin_guide(old: _Old, progress: Progress) -> Remade:
    wires = _pins(old.recipe, old.plan, old.options.pop("pins", None), old.name)
    made = design_pin_guide(
        old.bone,
        wires,
        GuideOptions(**old.options),
        label=old.label,
        neighbours=old.neighbours,
        insertion_direction_ras=old.recipe.insertion_direction_ras,
        progress=progress,
    )
    screws = [s for s in old.plan.screws if s.name in {m.name for m in old.recipe.screws}]
    entry = describe_pin_guide(old.name, old.level, old.label, made, old.recipe.inputs, screws)
    return entry, made.solid.mesh, old.bone


_MAKERS: dict[str, Callable[[_Old, Progress], Remade]] = {
    "pin": _pin_guide,
    "cut": _cut,
    "facets": _facets,
    "dome": _dome,
    "resection": _resection,
    "reduction": _reduction,
}

#: What can be made again from its recipe and the surface that it stands on.
KINDS = tuple(_MAKERS)


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
    return GuideScrew(str(values["name"]), as_point(values["entry_ras"]), as_point(values["tip_ras"]))
