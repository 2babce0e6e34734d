"""What a plan was asked to be, read back from its document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from MSKFusionLib.errors import InputError

from ..guides.options import GuideOptions
from ..plan import Plan
from ..screws.error_budget import ErrorBudget
from ..screws.options import ScrewOptions

Options = TypeVar("Options")


def options_of(plan: Plan) -> ScrewOptions:
    """Return what the screws of a plan were asked to keep to; its error budget is in `budget_of`, as it was then."""
    asked = {**(plan.parameters.get("screws") or {}), "error_budget": "", "objective": "hold"}
    return _rebuilt(ScrewOptions, asked, plan.plan_id)


def guide_options_of(plan: Plan) -> GuideOptions:
    """Return what the guides of a plan were asked to be."""
    return _rebuilt(GuideOptions, plan.parameters.get("guides"), plan.plan_id)


def budget_of(plan: Plan) -> ErrorBudget | None:
    """Return the error budget of a plan; None where it was made without."""
    asked = plan.parameters.get("error_budget")
    return _rebuilt(ErrorBudget, asked, plan.plan_id) if asked else None


def _rebuilt(kind: type[Options], asked: Mapping[str, Any] | None, where: str) -> Options:
    """Return options from a document's table; what another version knew beside them is left out."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    try:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in (asked or {}).items() if k in known}
        return kind(**values)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the plan's parameters cannot be read ({error})", "Plan again.", where=where) from error
