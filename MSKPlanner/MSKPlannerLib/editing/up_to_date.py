"""What in a plan no longer fits what it hangs on, and how it is brought up to date.

The chain: images and bones, screws, their breach risk, guides, files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.translation import tr as _

from ..pipeline import Case, anatomy_of, with_guides
from ..plan import Plan
from ..screws.sites.request import PEDICLE
from .asked import budget_of, guide_options_of
from .guide_edits import designed_again
from .guide_marks import DRILL, called, kind_of, levels_of
from .screw_edits import fields_of, judged_again, with_risk


@dataclass(frozen=True)
class OutOfDate:
    """What of a plan is out of date.

    Parameters
    ----------
    risks
        Names of the screws whose breach risk is to be counted anew.
    guides
        Level (of a guide that is no drill guide of one vertebra: its name) and reason of each guide that no longer fits what it
        was made for, or is missing.
    """

    risks: tuple[str, ...] = ()
    guides: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.risks or self.guides)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line of words for each kind."""
        risk = (
            [
                _("Breach risk of {names}: the screw has changed since it was counted.").format(
                    names=", ".join(self.risks)
                )
            ]
            if self.risks
            else []
        )
        return (
            *risk,
            *(_("Guide of {level}: {reason}.").format(level=level, reason=reason) for level, reason in self.guides),
        )


def out_of_date(plan: Plan) -> OutOfDate:
    """Return what of a plan is out of date within itself; whether it fits its images is asked elsewhere."""
    risks = tuple(s.name for s in plan.screws if s.risk is None) if budget_of(plan) is not None else ()
    guides = [(called(g), g.out_of_date) for g in plan.guides if g.out_of_date]
    if any(kind_of(g) == DRILL for g in plan.guides):
        have = {level for g in plan.guides for level in levels_of(g)}
        usable = dict.fromkeys(s.level for s in plan.screws if (s.verdict, s.site) == (Verdict.ACCEPTED, PEDICLE))
        guides += [(level, _("it is not designed yet")) for level in usable if level not in have]
    return OutOfDate(risks, tuple(guides))


def require_up_to_date(plan: Plan) -> None:
    """Refuse a plan of which a part is out of date.

    Raises
    ------
    InputError
        Which says what, and the way out.
    """
    stale = out_of_date(plan)
    if stale:
        raise InputError(
            f"the plan is out of date. {' '.join(stale.lines).rstrip('.')}",
            "Bring it up to date first.",
            where=plan.plan_id,
        )


def brought_up_to_date(case: Case, progress: Progress = no_progress) -> Case:
    """Return a case in which the breach risks are counted and the guides fit their screws; the rest stays as it is."""
    stale = out_of_date(case.plan)
    half = 0.3 if stale.guides else 1.0
    out = fields_of(case)
    for n, name in enumerate(stale.risks):
        progress(half * n / len(stale.risks), _("Counting the breach risk of {name}").format(name=name))
        out = with_risk(out, name)
    others = [g.name for g in case.plan.guides if g.out_of_date and kind_of(g) != DRILL]
    levels = [key for key, _why in stale.guides if key not in others]
    if levels:
        out = with_guides_of(out, levels, part(progress, half, 0.7 if others else 1.0))
    return designed_again(out, others, part(progress, 0.7 if levels else half, 1.0)) if others else out


def with_guides_of(case: Case, levels: Sequence[str], progress: Progress = no_progress) -> Case:
    """Return a case with the guides of some levels designed anew, those of the others as they were."""
    wanted = set(levels)
    ready = fields_of(case)
    assert ready.fields is not None
    surfaces, frames = anatomy_of(ready.fields, [s for s in case.plan.screws if s.level in wanted])
    ready = replace(ready, bones={**surfaces, **ready.bones}, frames={**frames, **ready.frames})
    kept = [g for g in case.plan.guides if kind_of(g) != DRILL or g.level not in wanted]
    solids = {g.name: case.guides[g.name] for g in kept if g.name in case.guides}
    base = replace(ready, plan=judged_again(case.plan, case.plan.screws, ()), guides={})
    order = {level: n for n, level in enumerate(dict.fromkeys(s.level for s in case.plan.screws))}
    new = with_guides(base, guide_options_of(case.plan), levels=tuple(wanted), progress=progress)
    last = len(order)
    guides = sorted([*kept, *new.plan.guides], key=lambda g: order.get(g.level, last) if kind_of(g) == DRILL else last)
    plan = judged_again(new.plan, new.plan.screws, guides)
    return replace(new, plan=plan, guides={**solids, **new.guides})
