"""Several plans on the same images: told apart by a letter behind their name, and laid side by side."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from MSKFusionLib.errors import InputError

from .pipeline import Case
from .plan import Plan, Screw
from .plan_columns import SCREW_COLUMNS, pick

_VARIANT = re.compile(r"-[b-z]$")
_NOTHING = "–"


def variant_of(plan_id: str) -> str:
    """Return the mark of a plan that is not the first on its images (``-b``), empty for the first."""
    found = _VARIANT.search(plan_id)
    return found.group() if found else ""


def letter_of(plan_id: str) -> str:
    """Return a plan's letter: A for the first on its images."""
    return variant_of(plan_id)[1:].upper() or "A"


def with_variant(case: Case, variant: str) -> Case:
    """Return a case whose plan has a mark (``-b``; empty: none), whatever it had."""
    plan_id = _VARIANT.sub("", case.plan.plan_id) + variant
    return case if plan_id == case.plan.plan_id else replace(case, plan=replace(case.plan, plan_id=plan_id))


def free_variant(plan_id: str, taken: Collection[str]) -> str:
    """Return the first mark that no plan on these images has.

    Parameters
    ----------
    taken
        Names of all plans.

    Raises
    ------
    InputError
        When all letters are used.
    """
    base = _VARIANT.sub("", plan_id)
    for letter in ("", *string.ascii_lowercase[1:]):
        variant = f"-{letter}" if letter else ""
        if f"{base}{variant}" not in taken:
            return variant
    raise InputError("there are 26 plans on these images", "Delete one first.", where=base)


@dataclass(frozen=True)
class ComparedRow:
    """One screw, or the whole, in several plans.

    Parameters
    ----------
    cells
        What there is to say of it in each plan, in their order.
    differs
        Whether they are not all the same.
    """

    name: str
    cells: tuple[str, ...]
    differs: bool


def compared(plans: Sequence[Plan]) -> tuple[ComparedRow, ...]:
    """Return plans side by side: the whole first, then every screw that any of them has."""
    names = list(dict.fromkeys(s.name for p in plans for s in p.screws))
    rows = [("All", tuple(_whole(p) for p in plans))]
    for name in names:
        found = [next((s for s in p.screws if s.name == name), None) for p in plans]
        rows.append((name, tuple(_screw(s) for s in found)))
    return tuple(ComparedRow(name, cells, len(set(cells)) > 1) for name, cells in rows)


def _whole(plan: Plan) -> str:
    least = min((s.clearance_mm for s in plan.screws), default=None)
    risks = [s.risk.probability for s in plan.screws if s.risk is not None]
    risk = f", {100 * max(risks):.0f} %" if risks else ""
    return f"{len(plan.screws)}, {plan.verdict.value}" + ("" if least is None else f"\n{least:z.2f} mm{risk}")


def _screw(screw: Screw | None) -> str:
    if screw is None:
        return _NOTHING
    clearance, risk = (c.text(screw) for c in pick(SCREW_COLUMNS, "Clearance", "Breach risk"))
    marks = (" ✗" if screw.verdict.value == "rejected" else "") + (" ✓" if screw.reviewed else "")
    return f"{screw.diameter_mm:g} x {screw.length_mm:.3g}, {screw.grade}{marks}\n{clearance} mm, {risk} %"
