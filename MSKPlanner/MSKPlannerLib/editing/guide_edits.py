"""Guides of every kind for what a plan holds, as functions from case to case: those of one kind leave the others as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from MSKFusionLib.errors import InputError, MSKError
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.registration.result import Verdict

from ..guides.levels_guide import Level, design_levels_guide, joined_name
from ..guides.options import GuideOptions
from ..guides.presets import options_for_printer
from ..guides.skin_options import SkinFrameOptions
from ..pipeline import Case, PrintedSolid, guide_options_of, with_guides
from ..plan import Guide, Screw
from ..records import describe_levels_guide, guide_inputs
from ..screws.sites.request import PEDICLE
from .cut_guides import OF_CUTS, CutGuideRequest, cut_guides_for, leads, osteotomy_of_guide, request_of
from .guide_marks import DRILL, kind_of, levels_of
from .osteotomy_edits import osteotomy_of
from .pin_guides import PinRequest, pin_guide_again, pin_guide_for
from .screw_edits import fields_of, judged_again, with_anatomy
from .skin_guides import SkinRequest, skin_frame_for, skin_options_for

#: The kinds that can be asked for; those of `plan.GuideRecipe`, a reduction guide coming with the cutting guide of its holes.
LEVELS, CUT, SKIN, PIN = "levels", "cut", "skin", "pin"
KINDS = (DRILL, LEVELS, CUT, SKIN, PIN)
#: An entry of the document and the solid that goes with it; none where it could not be designed.
Made = tuple[Guide, PrintedSolid | None]


@dataclass(frozen=True)
class GuideRequest:
    """What is asked for.

    Parameters
    ----------
    kind
        Of `KINDS`.
    preset, printer
        By name; the preset of drill guides.
    levels
        Of a guide for several levels, or of the screws that a frame on the skin leads; a frame: none means all.
    fixed
        Whether the levels are known not to move against each other (`guides.levels_guide`).
    osteotomy, saw_from, holes
        Of a cutting guide (`cut_guides.CutGuideRequest`).
    pins
        Of a guide for wires.
    """

    kind: str = DRILL
    preset: str = "standard"
    printer: str = "sla"
    levels: tuple[str, ...] = ()
    fixed: bool = False
    osteotomy: str = ""
    saw_from: str = ""
    holes: int = 0
    pins: PinRequest = field(default_factory=PinRequest)


def with_asked_guides(case: Case, asked: GuideRequest, progress: Progress = no_progress) -> Case:
    """Return the case with guides of one kind designed anew, and those of other kinds as they were.

    Raises
    ------
    MSKError
        When there is nothing to make them for, or no sound solid comes of one.
    """
    case = with_anatomy(fields_of(case))
    if asked.kind == DRILL:
        return _with_drill_guides(case, options_for_printer(asked.preset, asked.printer), progress)
    if asked.kind == LEVELS:
        options = options_for_printer(asked.preset, asked.printer)
        return with_made(case, [levels_guide_for(case, asked.levels, options, fixed=asked.fixed, progress=progress)])
    if asked.kind == SKIN:
        screws = _usable(case, asked.levels)
        return with_made(case, [skin_frame_for(case, SkinRequest(screws, skin_options_for(asked.printer)), progress)])
    if asked.kind == PIN:
        return with_made(case, [pin_guide_for(case, asked.pins, asked.printer, progress)])
    if asked.kind != CUT:
        raise InputError(f"there is no kind '{asked.kind}' of guides", f"Choose of: {', '.join(KINDS)}.", "guides")
    osteotomy = osteotomy_of(case, asked.osteotomy)
    made = cut_guides_for(case, osteotomy, CutGuideRequest(asked.printer, asked.saw_from, asked.holes), progress)
    others = _without(case, [g.name for g in case.plan.guides if leads(g, asked.osteotomy)])
    return _in_order_of(case, with_made(others, made))


def designed_again(case: Case, names: Sequence[str], progress: Progress = no_progress) -> Case:
    """Return the case with guides that are no drill guides of one vertebra designed again, for the plan as it is now.

    One whose cut or screws are no more goes; one that cannot be designed any more says why, and is rejected.
    """
    out, done = case, set[str]()
    for n, name in enumerate(names):
        guide = next((g for g in out.plan.guides if g.name == name), None)
        if guide is None or name in done:
            continue
        made = _again(out, guide, part(progress, n / len(names), (n + 1) / len(names)))
        kin = [guide.name]
        if kind_of(guide) in OF_CUTS:  # those of one osteotomy are made together
            cut = osteotomy_of_guide(out.plan, guide)
            kin = [guide.name] if cut is None else [g.name for g in out.plan.guides if leads(g, cut.name)]
        out = with_made(_without(out, kin), made)
        done |= {*kin, *(g.name for g, _ in made)}
    return _in_order_of(case, out)


def with_made(case: Case, made: Sequence[Made]) -> Case:
    """Return the case with guides in place of those of their names, or after the others."""
    names = {g.name for g, _ in made}
    guides = (*(g for g in case.plan.guides if g.name not in names), *(g for g, _ in made))
    solids = {n: s for n, s in case.guides.items() if n not in names}
    solids |= {g.name: solid for g, solid in made if solid is not None}
    out = replace(case, plan=judged_again(case.plan, case.plan.screws, guides), guides=solids)
    return _in_order_of(case, out)


def levels_guide_for(
    case: Case, names: Sequence[str], options: GuideOptions, *, fixed: bool, progress: Progress = no_progress
) -> Made:
    """Return one drill guide for adjacent levels of a plan.

    Raises
    ------
    InputError
        When they are no adjacent levels, or one has no usable screw.
    ProcessingError
        When no sound solid comes of it.
    """
    ready = with_anatomy(fields_of(case))
    assert ready.fields is not None
    spine = spine_of(ready)
    screws = {name: _usable(ready, [name]) for name in names}
    at = [spine.index(name) for name in names if name in spine]
    if len(at) != len(names) or len(at) < 2 or at != list(range(at[0], at[0] + len(at))):
        raise InputError(
            f"{', '.join(names) or 'no levels'}: these are not two or more adjacent levels from head to foot",
            f"There are: {', '.join(spine)}.",
            where="levels",
        )
    levels = tuple(_level(ready, name, screws[name]) for name in names)
    beside = [spine[k] for k in (at[0] - 1, at[-1] + 1) if 0 <= k < len(spine)]
    solid = design_levels_guide(
        levels, options, fixed=fixed, neighbours=[ready.fields.depth(b) for b in beside], progress=progress
    )
    led = [s for level in levels for s in level.screws]
    inputs = guide_inputs(case.segmentation, case.ct)
    return describe_levels_guide(f"{joined_name(names)} guide", names, led, solid, inputs, fixed=fixed), solid


def spine_of(case: Case) -> list[str]:
    """Return the vertebrae and the sacrum of a case, from head to foot."""
    return [s.name for s in case.segmentation.segments if s.kind in ("vertebra", "sacrum")]


# ---------------------------------------------------------------------------------------------------- in detail
def _with_drill_guides(case: Case, options: GuideOptions, progress: Progress) -> Case:
    others = [(g, case.guides.get(g.name)) for g in case.plan.guides if kind_of(g) != DRILL]
    return with_made(
        with_guides(_without(case, [g.name for g in case.plan.guides]), options, progress=progress), others
    )


def _without(case: Case, names: Sequence[str]) -> Case:
    guides = tuple(g for g in case.plan.guides if g.name not in names)
    solids = {n: s for n, s in case.guides.items() if n not in names}
    return replace(case, plan=judged_again(case.plan, case.plan.screws, guides), guides=solids)


def _in_order_of(before: Case, case: Case) -> Case:
    """Return a case with its guides in the order that they had, new ones at the end."""
    order = {g.name: n for n, g in enumerate(before.plan.guides)}
    guides = tuple(sorted(case.plan.guides, key=lambda g: order.get(g.name, len(order))))
    return replace(case, plan=replace(case.plan, guides=guides))


def _usable(case: Case, levels: Sequence[str]) -> tuple[Screw, ...]:
    found = [s for s in case.plan.screws if (s.site, s.verdict) == (PEDICLE, Verdict.ACCEPTED)]
    missing = next((level for level in levels if level not in {s.level for s in found}), None)
    if missing is not None or not found:
        have = ", ".join(dict.fromkeys(s.level for s in found)) or "none"
        raise InputError(
            f"the plan has no usable screw in {missing or 'any level'}", f"It has some in: {have}.", "levels"
        )
    return tuple(s for s in found if not levels or s.level in levels)


def _level(case: Case, name: str, screws: tuple[Screw, ...]) -> Level:
    if name not in case.bones or name not in case.frames:
        raise InputError(f"{name} is no vertebra that can be measured", "Leave it out.", where="levels")
    return Level(name, case.bones[name], case.frames[name], screws)


def _again(case: Case, guide: Guide, progress: Progress) -> list[Made]:
    recipe = guide.recipe
    try:
        if recipe is not None and kind_of(guide) in (LEVELS, SKIN):
            return screw_guide_again(case, guide, progress)
        if recipe is not None and kind_of(guide) == PIN:
            again = pin_guide_again(case, guide, progress)
            return [] if again is None else [again]
        if recipe is not None and kind_of(guide) in OF_CUTS:
            cut = osteotomy_of_guide(case.plan, guide)
            if cut is None:
                return []
            kin = [g for g in case.plan.guides if leads(g, cut.name)]
            return list(cut_guides_for(case, cut, request_of(kin, cut), progress))
    except MSKError as error:
        return [(not_designed(guide, str(error)), None)]
    return [(not_designed(guide, "it cannot be designed again here"), None)]


def screw_guide_again(case: Case, guide: Guide, progress: Progress = no_progress) -> list[Made]:
    """Return a guide for several levels, or a frame on the skin, designed again by its recipe; nothing where no screw of it is left.

    Raises
    ------
    MSKError
        When what it needs is not there, or no sound solid comes of it.
    """
    assert guide.recipe is not None
    options = dict(guide.recipe.options)
    if kind_of(guide) == LEVELS:
        fixed = bool(options.pop("fixed", False))
        options.pop("levels", None)
        return [levels_guide_for(case, levels_of(guide), guide_options_of(options), fixed=fixed, progress=progress)]
    named = {s.name for s in guide.recipe.screws}
    screws = tuple(s for s in case.plan.screws if s.name in named and s.verdict is Verdict.ACCEPTED)
    if not screws:
        return []
    options.pop("ways", None)
    return [skin_frame_for(case, SkinRequest(screws, _skin_options(options)), progress)]


def _skin_options(options: dict[str, Any]) -> SkinFrameOptions:
    try:
        return SkinFrameOptions(**options)
    except TypeError as error:
        raise InputError(f"the recipe of a guide cannot be read ({error})", "Design the guide anew.") from error


def not_designed(guide: Guide, why: str) -> Guide:
    """Return the entry of a guide that could not be designed again, with the reason."""
    return replace(
        guide,
        file="",
        files=(),
        mesh_sha256="",
        watertight=False,
        bodies=0,
        checks=(),
        out_of_date="",
        verdict=Verdict.REJECTED,
        reasons=(f"no guide: {why}",),
        notes=(),
    )
