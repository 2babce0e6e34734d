"""A plan in a scene, alive: its nodes and its document are kept in step with what the user does to either, with undo.

Every state is an immutable case. What the user drags or deletes in the scene becomes a case; what becomes of a case is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import vtk

from MSKFusionLib.background import Call, here
from MSKFusionLib.errors import InputError, MSKError
from MSKFusionLib.mrml.observers import Observers

from ..editing import screw_edits
from ..editing.history import History
from ..pipeline import Case
from ..plan import Plan
from ..plan_file import plan_from_json
from ..plan_variants import variant_of, with_variant
from .cut_handles import CutHandles
from .item_nodes import axis_ends
from .plan_basis import Basis, recalled
from .plan_scene import ITEM_ATTRIBUTE, PlanNodes, found_plan_nodes, nodes_of_plan
from .shown_plan import ShownPlan

#: Told of every change: the name of the one screw that changed, or None where it may be anything.
Listener = Callable[[str | None], None]
#: On the document of the plan that is worked on.
IN_HAND_ATTRIBUTE = "MSKPlanner.InHand"
_NOT_KEPT = "its printable solid is not kept in a scene; it has to be designed again"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A case and what it was made of: what undo goes back to."""

    case: Case
    basis: Basis


@dataclass(frozen=True, eq=False)
class Kept:
    """A plan that is in the scene and not in hand: where it stands, the steps to it, and what was exported of it."""

    now: Snapshot
    history: History[Snapshot]
    exported: Plan | None


class PlanSession:
    """The one plan that is worked on in a scene.

    Parameters
    ----------
    listener
        Called after every change, also by the user's hand in the scene.
    call
        Does the long work: the function is called in this process, or by `MSKFusionLib.background.in_background` in another.
    """

    def __init__(self, scene: Any, listener: Listener = lambda name: None, call: Call = here) -> None:
        self.scene, self.listener, self.call = scene, listener, call
        self.history: History[Snapshot] = History()
        #: Why the last move by hand was not followed, or the plan in the scene cannot be gone on with; empty where all is well.
        self.problem = ""
        #: The plan as it was last written to files; None: it was not.
        self.exported: Plan | None = None
        self._shown = ShownPlan(scene)
        self._now: Snapshot | None = None
        self._dragged: str | None = None
        self._quiet, self._written, self._held = False, True, True
        self._observers = Observers()
        #: Planes, fragments and axes of the osteotomies.
        self.cuts = CutHandles(scene, self)
        self._watch_scene()

    # ------------------------------------------------------------------------------------------------ what there is
    @property
    def case(self) -> Case | None:
        """The plan in hand with what it was made of; None where there is none."""
        return None if self._now is None else self._now.case

    @property
    def nodes(self) -> PlanNodes | None:
        """The nodes of the plan in hand."""
        return self._shown.nodes

    @property
    def basis(self) -> Basis | None:
        """What the plan in hand was made of."""
        return None if self._now is None else self._now.basis

    @property
    def incomplete(self) -> bool:
        """Whether the plan's document or a table was deleted in the scene; `write_document` makes them anew."""
        return self._now is not None and not (self._shown.whole and self.cuts.shown.whole)

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
        """Go on with a new case and show it. A plan that is not the first on its images stays another than that."""
        own = case if self._now is None else with_variant(case, variant_of(self._now.case.plan.plan_id))
        self._commit(label, Snapshot(own, basis))

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
        self.cuts.forget()
        with self._silence():
            for axis in self._shown.axes.values():
                if axis.GetScene() is not None:
                    axis.SetLocked(True)
        self.history.clear()
        self._shown, self._now, self._dragged = ShownPlan(self.scene), None, None
        self.problem, self._written, self.exported = "", True, None

    def close(self) -> None:
        """Let go of the scene as well."""
        self.write_document()
        self.forget()

    def renew(self) -> None:
        """Follow the scene (again) after `forget`, and go on with the plan that is in it, or was in hand when it was saved."""
        if not len(self._observers):
            self._watch_scene()
        documents = nodes_of_plan(self.scene, role="plan")
        if self._now is None and documents:
            held = [d for d in documents if d.GetAttribute(IN_HAND_ATTRIBUTE)]
            self.open((held or documents)[0])

    def open(self, document: Any, kept: Kept | None = None) -> None:
        """Go on with a plan that is in the scene: as it was put away, or as its document has it.

        Parameters
        ----------
        document
            The node of its document; nodes of it that are missing are made anew.
        """
        try:
            if kept is not None:
                self.history, self.exported = kept.history, kept.exported
                self._now = snapshot = kept.now
                plan = snapshot.case.plan
            else:
                plan = plan_from_json(document.GetText(), where=f"scene node '{document.GetName()}'")
                case, basis = recalled(document, plan)
                guides = tuple(replace(g, out_of_date=g.out_of_date or _NOT_KEPT) if g.file else g for g in plan.guides)
                self._now = snapshot = Snapshot(replace(case, plan=replace(plan, guides=guides)), basis)
                self.history.push("Open", snapshot)
        except MSKError as error:
            self.problem = str(error)
            self.listener(None)
            return
        self._shown = ShownPlan(self.scene, found_plan_nodes(self.scene, plan))
        self.cuts.shown.find(plan)
        self._show(plan if self._shown.nodes is not None else None)
        self.listener(None)

    def put_away(self) -> Kept | None:
        """Let go of the plan, and return what it takes to go on with it later; None where there is none."""
        self.write_document()
        if self._now is None:
            return None
        self._mark_in_hand(None)
        kept = Kept(self._now, self.history, self.exported)
        self.history = History()
        self.forget()
        self._watch_scene()
        return kept

    # ------------------------------------------------------------------------------------------------ the hand on a cut
    def hold(self, case: Case, item: str) -> None:
        """Go on with a case while a hand is on it: no step, and nothing is written."""
        if self._now is not None:
            self._now, self._written = replace(self._now, case=case), False
            self.listener(item)

    def step(self, label: str, case: Case, *, same: bool = False) -> None:
        """Go on with a case as a step of the history; as part of the last one where it is the same move."""
        if self._now is None:
            return
        snapshot = replace(self._now, case=case)
        if same and self.history.undo_label == label and not self.history.redo_label:
            self.history.amend(snapshot)
            self._change_to(snapshot)
        else:
            self._commit(label, snapshot)

    def dropped(self, label: str, case: Case) -> None:
        """Go on with a case of which something was deleted in the scene: whoever deletes may go on to delete more."""
        if self._now is None:
            return
        self._now = replace(self._now, case=case)
        self.history.push(label, self._now)
        with self._silence():
            self._shown.write(case, self._now.basis)

    def fall_back(self) -> None:
        """Go back to the case of the last step."""
        if self.history.state is not None:
            self._change_to(self.history.state)

    def tell(self, item: str | None) -> None:
        """Tell whoever listens."""
        self.listener(item)

    def select(self, name: str) -> None:
        """Show the handles of one screw or cut in the views, and of no other."""
        self.cuts.select(name)
        for other, axis in self._shown.axes.items():
            if axis.GetDisplayNode() is not None:
                axis.GetDisplayNode().SetHandlesInteractive(other == name)

    def write_document(self) -> None:
        """Bring what was put off during a drag, or was deleted, up to date in the scene."""
        if self._now is None:
            return
        anew = not (self._shown.whole and self.cuts.shown.whole)
        if not self._shown.whole:
            self._show(None)
        elif not self._written or anew:
            self._show(self._now.case.plan)
        if anew:  # whoever shows nodes of the plan has others to show now
            self.listener(None)

    # ------------------------------------------------------------------------------------------------ the scene's side
    def _watch_scene(self) -> None:
        kinds = type(self.scene)
        self._observers.add(self.scene, kinds.NodeRemovedEvent, self._on_node_removed)
        self._observers.add(self.scene, kinds.StartSaveEvent, self._on_save)
        self._observers.add(self.scene, kinds.StartCloseEvent, self._on_close)
        self._observers.add(self.scene, kinds.EndImportEvent, self._on_import)

    def _watch_nodes(self) -> None:
        if self._now is not None and self._now.basis.ct.GetScene() is not None:
            ct = self._now.basis.ct
            self._observers.remove(ct)
            self._observers.add(ct, ct.TransformModifiedEvent, self._on_ct_moved)
            for event in (ct.ImageDataModifiedEvent, vtk.vtkCommand.ModifiedEvent):  # a script sends the second only
                self._observers.add(ct, event, self._on_inputs_changed)
        if self._now is not None and self._now.basis.bones.GetScene() is not None:
            bones = self._now.basis.bones
            segments = bones.GetSegmentation()
            self._observers.remove(bones)
            self._observers.add(bones, bones.TransformModifiedEvent, self._on_inputs_changed)
            self._observers.remove(segments)
            for event in ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SourceRepresentationModified"):
                self._observers.add(segments, getattr(segments, event), self._on_inputs_changed)
        for node in self._shown.axes.values():
            self._observers.remove(node)
            self._observers.add(node, node.PointModifiedEvent, self._on_moved)
            self._observers.add(node, node.PointRemovedEvent, self._on_moved)
            self._observers.add(node, node.PointStartInteractionEvent, self._on_grasped)
            self._observers.add(node, node.PointEndInteractionEvent, self._on_released)
            node.SetLocked(False)

    def _on_ct_moved(self, *_: Any) -> None:
        """Follow the CT under another transform, or out of one."""
        if self._now is not None and not self.scene.IsClosing():
            self._shown.place(self._now.basis)
            self.cuts.shown.place(self._now.basis)
            self._on_inputs_changed()

    def _on_inputs_changed(self, *_: Any) -> None:
        """Tell when what the plan was made on is no longer as it was, and when it is so again."""
        if self._now is not None and self._held != self._now.basis.holds:
            self._held = not self._held
            self.listener(None)

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
        if self._quiet or self._now is None or name not in self._shown.axes:
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
            with self._silence():
                self._shown.update(before.case.plan, changed.case.plan, keep=name)
            self.listener(name)
        elif changed is before:
            self._put_back(name)
            self.listener(name)
        elif changed.case is not before.case:
            self._commit(f"Move {name}", changed)

    def _on_released(self, node: Any, event: Any) -> None:
        """Count the breach risk of the screw that was dragged, and take all of the drag as one step."""
        name, self._dragged = self._dragged, None
        if name is None or self._now is None or name not in self._shown.axes:
            return
        held = self.history.state
        if held is not None and held.case is not self._now.case:
            try:
                self._now = replace(self._now, case=screw_edits.with_risk(self.current_case(), name))
            except MSKError as error:
                self.problem = str(error)
            self._commit(f"Move {name}", self._now)
        self._put_back(name)

    def _put_back(self, name: str) -> None:
        assert self._now is not None
        with self._silence():
            self._shown.restore(self._now.case.plan, name)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, scene: Any, event: Any, node: Any) -> None:
        """Take a deleted screw or guide out of the plan; put off making anew what was deleted of its documents."""
        if self._quiet or self._now is None or self.nodes is None or node is None or scene.IsClosing():
            return
        if node in (self._now.basis.ct, self._now.basis.bones):
            self.listener(None)
            return
        name = node.GetAttribute(ITEM_ATTRIBUTE) or ""
        if self.cuts.on_node_removed(node):
            pass
        elif any(node is document for document in self._shown.documents):
            self._shown.whole = False
        elif any(node is n for s in self.nodes.screws.values() for n in (s.axis, s.model)):
            self._drop(f"Delete {name}", screw_edits.removed, name)
        elif any(node is g for g in self.nodes.guides.values()):
            self._drop(f"Delete {name}", screw_edits.without_guide, name)
        else:
            return
        if (
            self.nodes.plan.GetScene() is None and not self.nodes.screws and not self.cuts.shown.nodes
        ):  # its whole folder was deleted
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
            if name in self._shown.axes:
                self._observers.remove(self._shown.axes[name])
            self._shown.drop(name)
            self._shown.update(before.case.plan, self._now.case.plan)
            self._shown.write(self._now.case, self._now.basis)

    # ------------------------------------------------------------------------------------------------ showing
    def _commit(self, label: str, snapshot: Snapshot) -> None:
        self.history.push(label, snapshot)
        self._change_to(snapshot)

    def _go_to(self, snapshot: Snapshot | None) -> bool:
        if snapshot is None:
            return False
        self._dragged, self.problem = None, ""
        self._change_to(snapshot)
        return True

    def _change_to(self, snapshot: Snapshot) -> None:
        shown = None if self._now is None else self._now.case.plan
        self._now = snapshot
        self._show(shown)
        self.listener(None)

    def _show(self, shown: Plan | None) -> None:
        """Bring the scene's nodes, which show a plan so far (None: none yet), to the case in hand."""
        assert self._now is not None
        with self._silence():
            for axis in self._shown.axes.values():
                self._observers.remove(axis)
            self._shown.show(self._now.case, self._now.basis, shown)
            assert self.nodes is not None
            self.cuts.show(self._now.case, self._now.basis, self.nodes.folder)
            self._mark_in_hand("1")
        self._written, self._held = True, self._now.basis.holds
        self._watch_nodes()

    def _mark_in_hand(self, mark: str | None) -> None:
        if self.nodes is not None:
            self.nodes.plan.SetAttribute(IN_HAND_ATTRIBUTE, mark)

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Follow none of the changes inside the block: they are this session's own."""
        was_quiet, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = was_quiet
