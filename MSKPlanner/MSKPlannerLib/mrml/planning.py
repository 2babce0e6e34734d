"""Planning from nodes to the plan in hand: what MSK Planner's large buttons do, without the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation import LevelHint
from MSKFusionLib.translation import tr as _

from .. import pipeline
from ..editing.elsewhere import changed_elsewhere
from ..editing.guide_edits import PIN, GuideRequest, with_asked_guides
from ..editing.osteotomy_edits import carried_over, first_cut
from ..pipeline import Case
from ..plan import Plan
from .adding import case_to_add_to
from .plan_basis import Basis, read_inputs
from .plan_session import PlanSession

#: In place of the plan of images that are not planned on.
_NOTHING_YET = Plan("", "", {})


def is_current(session: PlanSession, ct: Any, bones: Any) -> bool:
    """Tell whether the plan in hand was made of these nodes as they are now."""
    basis = session.basis
    return basis is not None and (basis.ct, basis.bones) == (ct, bones) and basis.holds


def plan_screws(
    session: PlanSession,
    nodes: tuple[Any, Any],
    lowest_level: str = "",
    levels: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Case:
    """Plan pedicle screws and put them into the scene; osteotomies of the same images stay.

    Parameters
    ----------
    nodes
        CT and bones.
    lowest_level
        Name of the lowest vertebra wholly in view; empty where the segmentation's names hold.
    levels
        What to plan on; empty for every vertebra wholly in view.

    Raises
    ------
    MSKError
        What is wrong with the input.
    """
    ct, bones = read_inputs(*nodes, lowest_level)
    start = Case(ct, None, bones, _NOTHING_YET)
    basis = Basis.of(*nodes, start, lowest_level)  # now: what becomes of the nodes meanwhile is not what was planned on
    hint = LevelHint(lowest_level, "lowest") if lowest_level else None
    options = pipeline.CaseOptions(level_hint=hint, levels=tuple(levels) or None, want_guides=False)
    before = session.case
    case, _said = changed_elsewhere(session.call, _planned, start, options, progress=progress)
    case = carried_over(case, before)
    progress(1.0, _("Updating the scene"))  # the last chance to cancel
    session.take(_("Plan screws"), case, basis)
    if before is not None and before.plan.osteotomies and not case.plan.osteotomies:
        session.problem = _("The osteotomies of the images as they were are left out. Undo brings them back.")
    return case


def add_cut(
    session: PlanSession,
    nodes: tuple[Any, Any],
    bone: str,
    lowest_level: str = "",
    progress: Progress = no_progress,
) -> Case:
    """Cut a bone (`osteotomy_edits.first_cut`) and put its fragments into the scene.

    Raises
    ------
    MSKError
        When the bone cannot be cut.
    """
    start = session.current_case() if is_current(session, *nodes) else None
    basis = session.basis
    if start is None or basis is None:
        start = pipeline.empty_case(*read_inputs(*nodes, lowest_level))
        basis = Basis.of(*nodes, start, lowest_level)
    held = session.case
    case, remark = changed_elsewhere(session.call, first_cut, start, bone, progress=progress)
    if session.case is not held:
        raise InputError("the plan was changed meanwhile", "Try again.", where=bone)
    progress(1.0, _("Updating the scene"))
    session.take(_("Cut {bone}").format(bone=bone), case, basis)
    if held is not None and start is not held:
        remark = f"{remark} " + _("The images have changed: a new plan was begun. Undo brings the old one back.")
    session.problem = remark.strip()
    return case


def design_guides(
    session: PlanSession,
    asked: GuideRequest,
    progress: Progress = no_progress,
    *,
    nodes: tuple[Any, Any] | None = None,
    lowest_level: str = "",
) -> Case:
    """Design guides of one kind for the plan and put them into the scene; those of other kinds stay.

    Parameters
    ----------
    nodes, lowest_level
        CT and bones of a new plan, where there is none yet and the guide needs none (wires on a bone).

    Raises
    ------
    MSKError
        When there is nothing to make them for, or it is out of date.
    """
    held = session.case
    basis: Basis | None
    if held is None and nodes is not None and asked.kind == PIN:
        start, basis = case_to_add_to(session, *nodes, lowest_level)
    else:
        start, basis = session.current_case(), session.basis
    assert basis is not None
    case, _said = changed_elsewhere(session.call, with_asked_guides, start, asked, progress=progress)
    progress(1.0, _("Updating the scene"))  # the last chance to cancel, and to change the plan by hand
    if session.case is not held:
        raise InputError("the plan was changed meanwhile", "Try again.", where=start.plan.plan_id)
    session.take(_("Design guides"), case, basis)
    return case


def _planned(case: Case, options: pipeline.CaseOptions, progress: Progress) -> Case:
    """Plan on the images of a case."""
    assert case.ct is not None
    return pipeline.plan_case(case.ct, bones=case.segmentation, options=options, progress=progress)
