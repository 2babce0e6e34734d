"""The plans of a scene: which one is in hand, another one taken in its place, and copies to try something else on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MSKFusionLib.errors import MSKError
from MSKFusionLib.mrml import hierarchy_node

from ..plan import Plan
from ..plan_file import plan_from_json
from ..plan_variants import free_variant, letter_of, with_variant
from .plan_scene import PLAN_ATTRIBUTE, nodes_of_plan
from .plan_session import Kept, PlanSession

#: On the nodes of a plan that were hidden with it, so that only those are shown again.
_HIDDEN_ATTRIBUTE = "MSKPlanner.HiddenWithPlan"


@dataclass(frozen=True)
class PlanInScene:
    """A plan in the scene: its name in the document, what its folder is called, and its letter."""

    plan_id: str
    title: str
    in_hand: bool


class PlanShelf:
    """The plans of the scene that are not in hand, with their steps for undo as long as the scene is open."""

    def __init__(self, session: PlanSession) -> None:
        self._session = session
        self._kept: dict[str, Kept] = {}

    def plans(self) -> tuple[PlanInScene, ...]:
        """Return the plans of the scene, in its order."""
        held = self._in_hand()
        return tuple(
            PlanInScene(plan_id, self._title(document, plan_id), plan_id == held)
            for plan_id, document in self._documents().items()
        )

    def documents(self) -> tuple[tuple[PlanInScene, Plan], ...]:
        """Return every plan of the scene whose document can be read."""
        out = []
        for found in self.plans():
            case = self._session.case
            if found.in_hand and case is not None:
                out.append((found, case.plan))
                continue
            try:
                out.append((found, plan_from_json(self._documents()[found.plan_id].GetText(), where=found.title)))
            except MSKError:  # told when somebody opens it
                continue
        return tuple(out)

    def copy(self) -> None:
        """Go on with a copy of the plan in hand; the plan itself stays as it is, hidden, to be taken up again.

        Raises
        ------
        MSKError
            When there is none, or it cannot be worked on.
        """
        session = self._session
        case, basis = session.current_case(), session.basis
        assert basis is not None
        copy = with_variant(case, free_variant(case.plan.plan_id, self._documents()))
        self._put_away()
        session.take(f"Copy to plan {letter_of(copy.plan.plan_id)}", copy, basis)

    def open(self, plan_id: str) -> None:
        """Take another plan of the scene in hand; the one in hand is put away as it is."""
        document = self._documents().get(plan_id)
        if document is None or plan_id == self._in_hand():
            return
        self._put_away()
        self._show(plan_id)
        self._session.open(document, self._kept.pop(plan_id, None))

    def forget(self) -> None:
        """Forget the steps of all plans that are not in hand: the scene is closed."""
        self._kept.clear()

    # ------------------------------------------------------------------------------------------------ in detail
    def _in_hand(self) -> str:
        return "" if self._session.case is None else self._session.case.plan.plan_id

    def _documents(self) -> dict[str, Any]:
        return {d.GetAttribute(PLAN_ATTRIBUTE): d for d in nodes_of_plan(self._session.scene, role="plan")}

    def _title(self, document: Any, plan_id: str) -> str:
        hierarchy = hierarchy_node(self._session.scene)
        item = hierarchy.GetItemByDataNode(document)
        folder = hierarchy.GetItemParent(hierarchy.GetItemParent(item)) if item else 0
        name = hierarchy.GetItemName(folder) if folder and folder != hierarchy.GetSceneItemID() else ""
        return f"{letter_of(plan_id)}: {name or plan_id}"

    def _put_away(self) -> None:
        plan_id = self._in_hand()
        kept = self._session.put_away()
        if kept is None:
            return
        self._kept[plan_id] = kept
        for node in nodes_of_plan(self._session.scene, plan_id):
            if node.IsA("vtkMRMLDisplayableNode") and node.GetDisplayNode() is not None and node.GetDisplayVisibility():
                node.SetDisplayVisibility(False)
                node.SetAttribute(_HIDDEN_ATTRIBUTE, "1")

    def _show(self, plan_id: str) -> None:
        for node in nodes_of_plan(self._session.scene, plan_id):
            if node.GetAttribute(_HIDDEN_ATTRIBUTE):
                node.RemoveAttribute(_HIDDEN_ATTRIBUTE)
                node.SetDisplayVisibility(True)
