"""What can be done with the plan in hand and the nodes that are chosen, and what is out of date: what the panel's buttons hang on."""

from __future__ import annotations

from typing import Any

from MSKFusionLib.mrml.segment_names import segment_names

from ..editing.up_to_date import OutOfDate, out_of_date
from ..plan_texts import levels_to_add
from ..state_area import PanelState
from .plan_session import PlanSession
from .planning import is_current
from .updating import can_be_taken_over, chain_of_session


def state_of(session: PlanSession, ct: Any, bones: Any) -> PanelState:
    """Return what can be done with a plan, a CT and a segmentation (None where none is chosen)."""
    ready = ct is not None and bones is not None
    planned = ready and is_current(session, ct, bones)
    case, names = session.case, tuple(segment_names(bones if ready else None))
    return PanelState(
        ready=ready,
        planned=planned,
        stale=out_of_date(case.plan) if planned and case is not None else OutOfDate(),
        movable=ready and not planned and can_be_taken_over(session, ct, bones),
        plan=None if case is None else case.plan,
        undo=session.history.undo_label,
        redo=session.history.redo_label,
        chain=chain_of_session(session, *((ct, bones) if ready else (None, None))),
        segments=names,
        levels=tuple(levels_to_add(case, names)),
    )
