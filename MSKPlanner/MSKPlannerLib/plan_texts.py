"""What the planner's panel says of a plan as a whole, and how it takes the levels that a user names."""

from __future__ import annotations

from collections.abc import Sequence

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import VERTEBRA_VALUES
from MSKFusionLib.translation import tr as _

from .pipeline import Case
from .plan import Plan
from .screws.structures import margin_mm
from .table_area import verdict_in_words


def level_names(text: str) -> tuple[str, ...]:
    """Return the levels in a list with commas or blanks between them."""
    return tuple(part.upper() for part in text.replace(",", " ").split())


def levels_to_add(case: Case | None, segments: Sequence[str]) -> list[str]:
    """Return the vertebrae that a screw can be planned in: those of the plan in hand, else the segments that are named so."""
    if case is not None:
        return [s.name for s in case.segmentation.vertebrae]
    return [level for level in VERTEBRA_VALUES if level in segments and level != "S1"]


def structures_in_words(segments: Sequence[str]) -> str:
    """Return what a plan on these segments stays away from, each with the room it is given; empty without segments."""
    if not segments:
        return ""
    margins = {name: margin_mm(name) for name in segments}
    at_risk = [f"{name} ({mm:g} mm)" for name, mm in margins.items() if mm is not None]
    if not at_risk:
        return _("Structures at risk: none is segmented, so none is measured.")
    return _("Structures at risk, with the room they are given: {names}.").format(names=", ".join(at_risk))


def screws_in_words(plan: Plan | None) -> str:
    """Return the verdict on the screws."""
    if plan is None or (not plan.screws and plan.osteotomies):
        return _("No screws planned yet.")
    if not plan.screws:
        return _("Rejected: no vertebra wholly in view could be planned on.")
    rejected = [s.name for s in plan.screws if s.verdict is Verdict.REJECTED]
    if rejected:
        return _("{count} screws planned. Rejected: {names}.").format(count=len(plan.screws), names=", ".join(rejected))
    return _("{count} screws planned, all accepted.").format(count=len(plan.screws))


def guides_in_words(plan: Plan | None) -> str:
    """Return the verdict on the guides, a line each."""
    if plan is None or not plan.guides:
        return _("No guides designed yet.")
    states = [_("out of date") if g.out_of_date else verdict_in_words(g.verdict) for g in plan.guides]
    remarks = [g.out_of_date or g.remarks for g in plan.guides]
    lines = [f"{g.name}: {s}" + (f" ({r})" if r else "") for g, s, r in zip(plan.guides, states, remarks, strict=True)]
    return "\n".join(lines)
