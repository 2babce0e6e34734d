"""A plan in a scene, alive: its nodes and its document are kept in step with what the user does to either, with undo.

Every state is an immutable case. What the user drags or deletes in the scene becomes a case; what becomes of a case is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import vtk

from MSKFusionLib.errors import InputError, MSKError
from MSKFusionLib.mrml import place_under

from ..editing import screw_edits
from ..editing.history import History
from ..mesh import Mesh
from ..pipeline import Case
from ..plan import Plan
from ..plan_file import plan_from_json, plan_to_json
from .item_nodes import axis_ends, put_ends, update_guide, update_screw
from .observers import Observers
from .plan_basis import Basis, recalled, remember
from .plan_scene import ITEM_ATTRIBUTE, PlanNodes, found_plan_nodes, nodes_of_plan, plan_to_scene
from .remove import remove_plan
from .tables import fill_guide_table, fill_screw_table

#: Told of every change: the name of the one screw that changed, or None where it may be anything.
Listener = Callable[[str | None], None]
_NOT_KEPT = "its printable solid is not kept in a scene; it has to be designed again"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A case and what it was made of: what undo goes back to."""

    case: Case
    basis: Basis


class PlanSession:
    """The one plan that is worked on in a scene.

    Parameters
    ----------
    listener
        Called after every change, also by the user's hand in the scene.
    """

    def __init__(self, scene: Any, listener: Listener = lambda name: None) -> None:
        self.scene, self.listener = scene, listener
        self.history: History[Snapshot] = History()
        #: Why the last move by hand was not followed, or the plan in the scene cannot be gone on with; empty where all is well.
        self.problem = ""
        self.nodes: PlanNodes | None = None
        self._now: Snapshot | None = None
        self._dragged: str | None = None
        self._quiet, self._whole, self._written = False, True, True
        #: The surfaces that the guides' models show, by name.
        self._meshes: dict[str, Mesh] = {}
        self._observers = Observers()
        self._watch_scene()

    # ------------------------------------------------------------------------------------------------ what there is
    @property
    def case(self) -> Case | None:
        """The plan in hand with what it was made of; None where there is none."""
        return None if self._now is None else self._now.case

    @property
    def basis(self) -> Basis | None:
        """What the plan in hand was made of."""
        return None if self._now is None else self._now.basis

    @property
    def incomplete(self) -> bool:
        """Whether the plan's document or a table was deleted in the scene; `write_document` makes them anew."""
        return self._now is not None and not self._whole

    def current_case(self) -> Case:
        """Return the case, if it can be worked on.

        Raises
        ------
        InputError
            When there is none, or what it was made of has changed.
        """
        if self._now is None:
            raise InputError("there is no plan yet", "Plan the screws first.")
        if self._now.basis.problem:
            raise InputError(self._now.basis.problem, "Plan the screws again.")
        return self._now.case

    # ------------------------------------------------------------------------------------------------ what is done
    def take(self, label: str, case: Case, basis: Basis) -> None:
        """Go on with a new case and show it."""
        self._commit(label, Snapshot(case, basis))

    def edit(self, label: str, change: Callable[..., Case], *arguments: Any) -> None:
        """Apply a change (`editing.screw_edits`) to the plan.

        Raises
        ------
        MSKError
            When the plan is out of date, or the change cannot be made; nothing has changed then.
        """
        case = self.current_case()
        changed = change(case, *arguments)
        if changed is not case and self._now is not None:
            self.problem = ""
            self._commit(label, replace(self._now, case=changed))

    def undo(self) -> bool:
        """Take the last step back; tell whether there was one."""
        return self._go_to(self.history.undo())

    def redo(self) -> bool:
        """Do again what was taken back; tell whether there was something."""
        return self._go_to(self.history.redo())

    def forget(self) -> None:
        """Let go of the plan; its nodes stay in the scene, and are no handles any more."""
        self._observers.clear()
        with self._silence():
            for screw in self.nodes.screws.values() if self.nodes is not None else ():
                if screw.axis.GetScene() is not None:
                    screw.axis.SetLocked(True)
        self.history.clear()
        self.nodes, self._now, self._dragged, self.problem = None, None, None, ""
        self._whole = self._written = True

    def close(self) -> None:
        """Let go of the scene as well."""
        self.write_document()
        self.forget()

    def renew(self) -> None:
        """Follow the scene (again) after `forget`, and go on with the plan that is in it, where there is just one."""
        if not len(self._observers):
            self._watch_scene()
        documents = nodes_of_plan(self.scene, role="plan")
        if self._now is not None or len(documents) != 1:
            return
        try:
            plan = plan_from_json(documents[0].GetText(), where=f"scene node '{documents[0].GetName()}'")
            case, basis = recalled(documents[0], plan)
        except MSKError as error:
            self.problem = str(error)
            self.listener(None)
            return
        guides = tuple(replace(g, out_of_date=g.out_of_date or _NOT_KEPT) if g.file else g for g in plan.guides)
        self._now = Snapshot(replace(case, plan=replace(plan, guides=guides)), basis)
        self.history.push("Open", self._now)
        self.nodes = found_plan_nodes(self.scene, plan)
        self._show(plan if self.nodes is not None else None)
        self.listener(None)

    def select(self, name: str) -> None:
        """Show the handles of one screw in the views, and of no other."""
        for other, nodes in (self.nodes.screws if self.nodes is not None else {}).items():
            display = nodes.axis.GetDisplayNode()
            if display is not None:
                display.SetHandlesInteractive(other == name)

    def write_document(self) -> None:
        """Bring what was put off during a drag, or was deleted, up to date in the scene."""
        if self._now is None or (self._written and self._whole):
            return
        if not self._whole:
            self._show(None)
        else:
            self._write()

    # ------------------------------------------------------------------------------------------------ the scene's side
    def _watch_scene(self) -> None:
        kinds = type(self.scene)
        self._observers.add(self.scene, kinds.NodeRemovedEvent, self._on_node_removed)
        self._observers.add(self.scene, kinds.StartSaveEvent, self._on_save)
        self._observers.add(self.scene, kinds.StartCloseEvent, self._on_close)
        self._observers.add(self.scene, kinds.EndImportEvent, self._on_import)

    def _watch_axes(self) -> None:
        assert self.nodes is not None
        for screw in self.nodes.screws.values():
            node = screw.axis
            self._observers.remove(node)
            self._observers.add(node, node.PointModifiedEvent, self._on_moved)
            self._observers.add(node, node.PointRemovedEvent, self._on_moved)
            self._observers.add(node, node.PointStartInteractionEvent, self._on_grasped)
            self._observers.add(node, node.PointEndInteractionEvent, self._on_released)
            node.SetLocked(False)

    def _on_save(self, *_: Any) -> None:
        self.write_document()

    def _on_import(self, *_: Any) -> None:
        self.renew()

    def _on_close(self, *_: Any) -> None:
        self.forget()
        self._watch_scene()
        self.listener(None)

    def _on_grasped(self, node: Any, event: Any) -> None:
        self._dragged = node.GetAttribute(ITEM_ATTRIBUTE)

    def _on_moved(self, node: Any, event: Any) -> None:
        """Follow a line whose points were moved: while it is dragged only its numbers, colour and body, no document."""
        name = node.GetAttribute(ITEM_ATTRIBUTE)
        if self._quiet or self._now is None or self.nodes is None or name not in self.nodes.screws:
            return
        before = self._now
        try:
            ends = axis_ends(node)
            if ends is None:
                raise InputError("a screw has an entry and a tip, no more and no less", where=name)
            changed = replace(before, case=screw_edits.placed(self.current_case(), name, *ends))
            self.problem = ""
        except MSKError as error:
            self.problem = str(error)
            changed = before
        if self._dragged == name:
            self._now, self._written = changed, False
            self._update_items(before.case.plan, changed.case.plan, keep=name)
            self.listener(name)
        elif changed is before:
            self._restore(name)
            self.listener(name)
        elif changed.case is not before.case:
            self._commit(f"Move {name}", changed)

    def _on_released(self, node: Any, event: Any) -> None:
        """Count the breach risk of the screw that was dragged, and take all of the drag as one step."""
        name, self._dragged = self._dragged, None
        if name is None or self._now is None or self.nodes is None or name not in self.nodes.screws:
            return
        held = self.history.state
        if held is not None and held.case is not self._now.case:
            try:
                self._now = replace(self._now, case=screw_edits.with_risk(self.current_case(), name))
            except MSKError as error:
                self.problem = str(error)
            self._commit(f"Move {name}", self._now)
        self._restore(name)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, scene: Any, event: Any, node: Any) -> None:
        """Take a deleted screw or guide out of the plan; put off making anew what was deleted of its documents."""
        if self._quiet or self._now is None or self.nodes is None or node is None or scene.IsClosing():
            return
        if node in (self._now.basis.ct, self._now.basis.bones):
            self.listener(None)
            return
        name = node.GetAttribute(ITEM_ATTRIBUTE) or ""
        documents = (self.nodes.plan, self.nodes.metrics, self.nodes.guide_metrics)
        if any(node is document for document in documents):
            self._whole = False
        elif any(node is n for s in self.nodes.screws.values() for n in (s.axis, s.model)):
            self._drop(f"Delete {name}", screw_edits.removed, name)
        elif any(node is g for g in self.nodes.guides.values()):
            self._drop(f"Delete {name}", screw_edits.without_guide, name)
        else:
            return
        if self.nodes.plan.GetScene() is None and not self.nodes.screws:  # its whole folder was deleted
            self.forget()
            self._watch_scene()
        self.listener(None)

    def _drop(self, label: str, change: Callable[..., Case], name: str) -> None:
        assert self._now is not None
        # Deleted is deleted, whether or not the plan's images are still there.
        self._dragged = None
        before = self._now
        self._now = replace(before, case=change(before.case, name))
        self.history.push(label, self._now)
        with self._silence():
            self._forget_nodes(name)
            self._update_items(before.case.plan, self._now.case.plan)
            self._write()

    def _forget_nodes(self, name: str) -> None:
        assert self.nodes is not None
        pair = self.nodes.screws.get(name)
        for node in (pair.axis, pair.model) if pair is not None else ():
            self._observers.remove(node)
            if node.GetScene() is not None:
                self.scene.RemoveNode(node)
        screws = {n: s for n, s in self.nodes.screws.items() if n != name}
        guides = {n: g for n, g in self.nodes.guides.items() if n != name}
        self.nodes = replace(self.nodes, screws=screws, guides=guides)

    # ------------------------------------------------------------------------------------------------ showing
    def _commit(self, label: str, snapshot: Snapshot) -> None:
        shown = self._shown_plan()
        self._now = snapshot
        self.history.push(label, snapshot)
        self._show(shown)
        self.listener(None)

    def _go_to(self, snapshot: Snapshot | None) -> bool:
        if snapshot is None:
            return False
        shown, self._now, self._dragged, self.problem = self._shown_plan(), snapshot, None, ""
        self._show(shown)
        self.listener(None)
        return True

    def _shown_plan(self) -> Plan | None:
        return None if self._now is None or self.nodes is None else self._now.case.plan

    def _show(self, shown: Plan | None) -> None:
        """Bring the scene's nodes to the case in hand.

        Parameters
        ----------
        shown
            The plan that they show so far; None builds them all anew.
        """
        assert self._now is not None
        plan = self._now.case.plan
        with self._silence():
            if shown is not None and self._whole and self.nodes is not None and self._fits(shown, plan):
                self._update_items(shown, plan)
            else:
                self._rebuild({plan.plan_id, *([] if shown is None else [shown.plan_id])})
            self._write()
        self._watch_axes()

    def _fits(self, shown: Plan, plan: Plan) -> bool:
        """Tell whether the nodes that are there are just those of a plan, and need no more than new values."""
        assert self.nodes is not None
        assert self._now is not None
        solids = {name: solid.mesh for name, solid in self._now.case.guides.items()}
        named = {g.name for g in plan.guides}
        guides = set(self.nodes.guides)
        return (
            shown.plan_id == plan.plan_id
            and set(self.nodes.screws) == {s.name for s in plan.screws}
            and guides == set(solids) | (guides & named)
            and all(self._meshes.get(name) is mesh for name, mesh in solids.items())
            and bool(plan.guides) == (self.nodes.guide_metrics is not None)
        )

    def _update_items(self, shown: Plan, plan: Plan, keep: str = "") -> None:
        """Give the nodes of each screw and guide that has changed its new values; the line named `keep` is in a hand."""
        assert self.nodes is not None
        was_quiet, self._quiet = self._quiet, True
        try:
            old = {s.name: s for s in shown.screws}
            for screw in plan.screws:
                nodes = self.nodes.screws.get(screw.name)
                before = old.get(screw.name, screw)
                if nodes is not None and (
                    before is not screw or axis_ends(nodes.axis) != (screw.entry_ras, screw.tip_ras)
                ):
                    update_screw(nodes, before, screw, move_axis=screw.name != keep)
            guides = {g.name: g for g in shown.guides}
            for guide in plan.guides:
                if guide.name in self.nodes.guides and guides.get(guide.name, guide) is not guide:
                    update_guide(self.nodes.guides[guide.name], guides[guide.name], guide)
        finally:
            self._quiet = was_quiet

    def _rebuild(self, plan_ids: set[str]) -> None:
        """Make all nodes of the plan anew, where the CT is. Surfaces of guides whose solids are not at hand are kept."""
        assert self._now is not None
        case, basis = self._now.case, self._now.basis
        meshes = {name: solid.mesh for name, solid in case.guides.items()}
        named = {g.name for g in case.plan.guides}
        meshes.update({n: m for n, m in self._surfaces().items() if n in named and n not in meshes})
        for node in self.nodes.screws.values() if self.nodes is not None else ():
            self._observers.remove(node.axis)
        for plan_id in plan_ids:
            remove_plan(self.scene, plan_id)
        nodes = plan_to_scene(self.scene, case.plan, guide_meshes=meshes)
        above = basis.ct.GetParentTransformNode() if basis.ct.GetScene() is not None else None
        for node in (*(n for s in nodes.screws.values() for n in (s.axis, s.model)), *nodes.guides.values()):
            place_under(node, above)
        self.nodes = replace(nodes, ct=basis.ct, segmentation=basis.bones)
        self._meshes = {name: solid.mesh for name, solid in case.guides.items()}
        self._whole = True

    def _restore(self, name: str) -> None:
        """Put a line back where its screw is: what could not be followed is not left standing in the scene."""
        assert self._now is not None
        assert self.nodes is not None
        screw = next(s for s in self._now.case.plan.screws if s.name == name)
        node = self.nodes.screws[name].axis
        if axis_ends(node) != (screw.entry_ras, screw.tip_ras):
            with self._silence():
                put_ends(node, screw)

    def _write(self) -> None:
        """Write the plan document and the tables of metrics."""
        assert self._now is not None
        assert self.nodes is not None
        plan = self._now.case.plan
        documents = (self.nodes.plan, self.nodes.metrics, self.nodes.guide_metrics)
        if any(d is not None and d.GetScene() is None for d in documents):
            self._whole = False  # one was deleted: it is made anew with the next change, or when the scene is saved
            return
        self.nodes.plan.SetText(plan_to_json(plan))
        remember(self.nodes.plan, self._now.basis)
        fill_screw_table(self.nodes.metrics, plan.screws)
        if self.nodes.guide_metrics is not None:
            fill_guide_table(self.nodes.guide_metrics, plan.guides)
        self._written = True

    def _surfaces(self) -> dict[str, Mesh]:
        shown = self.nodes.guides if self.nodes is not None else {}
        return {n: Mesh.from_polydata(g.GetPolyData()) for n, g in shown.items() if g.GetScene() is not None}

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Follow none of the changes inside the block: they are this session's own."""
        was_quiet, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = was_quiet
