"""What kind a guide is, what of a plan it hangs on, and its mark where that has changed since it was designed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from MSKFusionLib.registration.result import Verdict

from ..guides.recipe import changes_of_cuts
from ..plan import Guide, Plan, Screw
from ..screws.sites.request import PEDICLE

#: The kind of a guide that is designed for the screws of one vertebra.
DRILL = "drill"
_REJECTED_NOW = "was rejected after the guide was designed"
_SINCE = "since the guide was designed"


def kind_of(guide: Guide) -> str:
    """Return the kind of a guide as its recipe has it (`plan.GuideRecipe`); one without a recipe is a drill guide."""
    return DRILL if guide.recipe is None else guide.recipe.kind


def levels_of(guide: Guide) -> tuple[str, ...]:
    """Return the vertebrae whose screws a guide is made for."""
    if kind_of(guide) == DRILL:
        return (guide.level,)
    written = guide.recipe.options.get("levels", ()) if guide.recipe is not None else ()
    return tuple(str(level) for level in written)


def called(guide: Guide) -> str:
    """Return what a guide is called where it is said that it is out of date: the vertebra of a drill guide, else its name."""
    return guide.level if kind_of(guide) == DRILL else guide.name


def for_guides(screw: Screw, what: str) -> dict[str, str]:
    """Return which guides no longer fit, by vertebra or screw, and why: ``L3 left was changed``."""
    words = f"{screw.name} {what}"
    return {screw.name: words, screw.level: words} if screw.site == PEDICLE else {screw.name: words}


def marked_for(guide: Guide, changed: Mapping[str, str]) -> Guide:
    """Return a guide that is out of date where a screw that it hangs on is among what has changed (`for_guides`)."""
    screws = () if guide.recipe is None or levels_of(guide) else tuple(s.name for s in guide.recipe.screws)
    words = next((changed[key] for key in (*levels_of(guide), *screws) if key in changed), "")
    return replace(guide, out_of_date=f"{words} after the guide was designed") if words else guide


def marked_again(guides: Sequence[Guide], plan: Plan) -> tuple[Guide, ...]:
    """Return guides that say where a plan rejects a screw of theirs, or has moved a cut of theirs, and no longer say so else."""
    return tuple(_marked(g, plan) for g in guides)


def _marked(guide: Guide, plan: Plan) -> Guide:
    if guide.recipe is None or (guide.out_of_date and not guide.out_of_date.endswith((_REJECTED_NOW, _SINCE))):
        return guide
    made_for = {s.name for s in guide.recipe.screws}
    bad = [s.name for s in plan.screws if s.name in made_for and s.verdict is Verdict.REJECTED]
    words = f"{', '.join(bad)} {_REJECTED_NOW}" if bad else ""
    if changes := changes_of_cuts(guide.recipe, plan):
        words = f"{'; '.join(changes)} {_SINCE}"
    return guide if words == guide.out_of_date else replace(guide, out_of_date=words)
