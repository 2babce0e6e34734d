"""The plan in hand brought up to date, from the images down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.translation import tr as _

from ..editing.chain import Link, chain_of
from ..editing.elsewhere import changed_elsewhere
from ..editing.rebase import taken_over
from ..editing.screw_edits import with_anatomy
from ..editing.up_to_date import brought_up_to_date
from ..pipeline import Case
from .plan_basis import Basis, read_inputs
from .plan_session import PlanSession


def images_problem(session: PlanSession, ct: Any, bones: Any) -> str:
    """Return what is wrong with the images and bones of the plan in hand, seen from those that are chosen; empty: nothing."""
    basis = session.basis
    if basis is None:
        return ""
    if (basis.ct, basis.bones) != (ct, bones):
        return _("other images or bones are chosen than those that the plan was made on")
    return basis.problem


def can_be_taken_over(session: PlanSession, ct: Any, bones: Any) -> bool:
    """Tell whether the plan in hand can be measured anew on bones: its CT is the one that is chosen, whatever became of it."""
    basis = session.basis
    return basis is not None and ct is not None and bones is not None and basis.ct is ct and ct.GetScene() is not None


def chain_of_session(session: PlanSession, ct: Any, bones: Any) -> tuple[Link, ...]:
    """Return the chain of the plan in hand."""
    plan = None if session.case is None else session.case.plan
    return chain_of(plan, images_problem(session, ct, bones), session.exported)


def bring_up_to_date(
    session: PlanSession, ct: Any, bones: Any, lowest_level: str = "", progress: Progress = no_progress
) -> None:
    """Bring the plan in hand up to date: screws measured on bones that have changed, breach risks counted, guides designed.

    Raises
    ------
    MSKError
        When there is no plan, it was made on another CT, or a step fails; nothing has changed then.
    """
    start, basis = session.case, session.basis
    if start is None or basis is None:
        raise InputError("there is no plan yet", "Plan the screws first.")
    anew = bool(images_problem(session, ct, bones))
    base = start
    if anew:
        if not can_be_taken_over(session, ct, bones):
            raise InputError("the plan was made on another CT", "Plan the screws again.", where=start.plan.plan_id)
        volume, segmentation = read_inputs(ct, bones, lowest_level)
        base = replace(start, ct=volume, segmentation=segmentation, fields=None, bones={}, frames={})
        basis = Basis.of(ct, bones, base, lowest_level)  # now: what becomes of the nodes meanwhile is not measured on
    case, _said = changed_elsewhere(session.call, _up_to_date, base, anew, progress=progress)
    progress(1.0, _("Updating the scene"))  # the last chance to cancel, and to change the plan by hand
    if session.case is not start:
        raise InputError("a screw was changed meanwhile", "Try again.", where=start.plan.plan_id)
    session.take(_("Bring up to date"), case, basis)


def _up_to_date(case: Case, anew: bool, progress: Progress) -> Case:
    """Measure the plan of a case anew on its images where they have changed, and bring up to date what hangs on it."""
    assert case.ct is not None
    if anew:
        case = taken_over(case, case.ct, case.segmentation, part(progress, 0.0, 0.3))
    return brought_up_to_date(with_anatomy(case), part(progress, 0.3, 1.0))
