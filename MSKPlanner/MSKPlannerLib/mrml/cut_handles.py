"""The hand on the planes of osteotomies: what is dragged or deleted in the scene becomes a case of the session."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import vtk

from MSKFusionLib.errors import InputError, MSKError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.mrml.observers import Observers

from ..anatomy.limb_landmarks import spoken
from ..editing import osteotomy_edits
from ..osteotomy.planned import asked_of
from ..pipeline import Case
from ..plan import Point
from ..plan_osteotomy import Osteotomy
from .limb_marks import moved_landmarks, wanted_landmarks
from .osteotomy_nodes import is_at, plane_frame, put_plane
from .plan_basis import Basis
from .plan_scene import ITEM_ATTRIBUTE
from .shown_osteotomies import ShownOsteotomies

#: Moves that come one by one within this time, without the events of a grasp, are one step of the history, s.
_ONE_MOVE_S = 0.8


#: What the hand is on where it is on the landmarks of the leg.
LANDMARKS = "landmarks"


class Host(Protocol):
    """What the session gives to the hand: the plan, and how to go on with another."""

    problem: str

    @property
    def case(self) -> Case | None:
        """The plan in hand."""

    def current_case(self) -> Case:
        """Return it, if it can be worked on."""

    def hold(self, case: Case, item: str) -> None:
        """Go on with a case while a hand is on it."""

    def step(self, label: str, case: Case, *, same: bool = False) -> None:
        """Go on with a case as a step of the history; as part of the last one where it is the same move."""

    def dropped(self, label: str, case: Case) -> None:
        """Go on with a case of which something was deleted in the scene: nothing is made anew now."""

    def fall_back(self) -> None:
        """Go back to the case of the last step."""

    def tell(self, item: str | None) -> None:
        """Tell whoever listens."""


class CutHandles:
    """Shows the osteotomies of a session's plan and follows their planes."""

    def __init__(self, scene: Any, host: Host) -> None:
        self.shown = ShownOsteotomies(scene)
        self._scene, self._host = scene, host
        self._observers = Observers()
        self._dragged: str | None = None
        self._quiet = False
        self._last: tuple[str, float] = ("", 0.0)
        self._label = ""

    def __len__(self) -> int:
        return len(self._observers)

    def show(self, case: Case, basis: Basis, folder: int | None) -> None:
        """Bring the nodes to a case, and follow its planes."""
        self._observers.clear()
        self._silently(lambda: self.shown.show(case, basis, folder))
        for node in self.shown.planes.values():
            for event, method in (
                (node.PointModifiedEvent, self._on_moved),
                (vtk.vtkCommand.ModifiedEvent, self._on_moved),  # handles that turn a plane move no point
                (node.PointRemovedEvent, self._on_moved),
                (node.PointStartInteractionEvent, self._on_grasped),
                (node.PointEndInteractionEvent, self._on_released),
            ):
                self._observers.add(node, event, method)
            node.SetLocked(False)
        points = self.shown.landmarks
        if points is not None:
            for event, method in (
                (points.PointModifiedEvent, self._on_landmark),
                (points.PointAddedEvent, self._on_landmark),
                (points.PointRemovedEvent, self._on_landmark),
                (points.PointStartInteractionEvent, self._on_landmark_grasped),
                (points.PointEndInteractionEvent, self._on_released),
            ):
                self._observers.add(points, event, method)
            points.SetLocked(False)

    def forget(self) -> None:
        """Let go of everything; the planes are no handles any more."""
        self._observers.clear()
        for node in (*self.shown.planes.values(), self.shown.landmarks):
            if node is not None and node.GetScene() is not None:
                node.SetLocked(True)
        self.shown, self._dragged = ShownOsteotomies(self._scene), None

    def select(self, name: str) -> None:
        """Show the handles of one plane in the views, and of no other."""
        for other, node in self.shown.planes.items():
            if node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetHandlesInteractive(other == name)

    def on_node_removed(self, node: Any) -> bool:
        """Take an osteotomy whose node was deleted out of the plan; tell whether it was one."""
        case, name = self._host.case, self.shown.owner(node)
        if self._quiet or case is None or not name:
            return False
        self._dragged = None
        self._observers.remove(self.shown.nodes[name].plane)
        # Deleted is deleted, whether or not the plan's images are still there.
        left = osteotomy_edits.removed(case, name)
        self._silently(lambda: self.shown.drop(name))
        self._silently(lambda: self.shown.update(left.plan))
        self._host.dropped(f"Delete {name}", left)
        return True

    # ------------------------------------------------------------------------------------------------ events
    def _on_grasped(self, node: Any, event: Any) -> None:
        self._dragged = node.GetAttribute(ITEM_ATTRIBUTE)

    def _on_moved(self, node: Any, event: Any) -> None:
        """Follow a plane: while it is dragged angles, measures and transforms; what takes long when it is let go."""
        name = node.GetAttribute(ITEM_ATTRIBUTE) or ""
        record = self._record(name)
        if self._quiet or record is None or node is not self.shown.planes.get(name):
            return
        frame = plane_frame(node)
        if frame is not None and is_at(frame, asked_of(record).shape):
            return
        self._follow(name, f"Move {name}", lambda case, now: _moved_plane(case, name, frame, solids=now))

    def _on_landmark_grasped(self, node: Any, event: Any) -> None:
        self._dragged = LANDMARKS

    def _on_landmark(self, node: Any, event: Any) -> None:
        """Follow a landmark of the leg: with it every measure, and each angle that is for a target."""
        case = self._host.case
        if self._quiet or case is None or node is not self.shown.landmarks:
            return
        moved = moved_landmarks(node, wanted_landmarks(case.plan))
        if moved == {}:
            return
        label = f"Place {', '.join(spoken(n) for n in moved)}" if moved else ""
        self._follow(LANDMARKS, label, lambda case, now: _moved_landmarks(case, moved, solids=now))

    def _follow(self, item: str, label: str, change: Callable[[Case, bool], Case]) -> None:
        """Go on with what a hand does; `change` is told whether the fragments are to be made now."""
        dragged = self._dragged == item
        try:
            changed = change(self._host.current_case(), not dragged)
        except MSKError as error:
            self._host.problem = str(error)
            if not dragged:
                self._put_back(item)
            self._host.tell(item)
            return
        self._host.problem = ""
        if dragged:
            self._label = label
            self._silently(lambda: self.shown.update(changed.plan, keep=item))
            self._host.hold(changed, item)
        else:
            before, now = self._last, (label, time.monotonic())
            self._last = now
            self._host.step(label, changed, same=before[0] == label and now[1] - before[1] < _ONE_MOVE_S)

    def _on_released(self, node: Any, event: Any) -> None:
        """Make the fragments of what was dragged, and take all of the drag as one step."""
        item, self._dragged = self._dragged, None
        case = self._host.case
        if item is None or case is None:
            return
        if any(not f.mesh_sha256 for o in case.plan.osteotomies for f in o.fragments):  # it was moved
            try:
                self._host.step(self._label, osteotomy_edits.carried_out_again(self._host.current_case()))
            except MSKError as error:
                self._host.fall_back()
                self._host.problem = str(error)
                self._host.tell(item)
        self._put_back(item)

    def _record(self, name: str) -> Osteotomy | None:
        case = self._host.case
        return None if case is None else next((o for o in case.plan.osteotomies if o.name == name), None)

    def _put_back(self, name: str) -> None:
        """Put a plane or the landmarks where the plan has them: what could not be followed is not left standing in the scene."""
        case = self._host.case
        if name == LANDMARKS and case is not None:
            self._silently(lambda: self.shown.put_landmarks(case.plan))
        record, node = self._record(name), self.shown.planes.get(name)
        if record is not None and node is not None and node.GetScene() is not None:
            self._silently(lambda: put_plane(node, asked_of(record).shape))

    def _silently(self, work: Callable[[], None]) -> None:
        """Follow none of the changes that the work makes: they are this session's own."""
        was_quiet, self._quiet = self._quiet, True
        try:
            work()
        finally:
            self._quiet = was_quiet


def _moved_plane(case: Case, name: str, frame: FloatArray | None, *, solids: bool) -> Case:
    if frame is None:
        raise InputError("a cut has one plane, through one point", where=name)
    return osteotomy_edits.placed(case, name, frame, solids=solids)


def _moved_landmarks(case: Case, moved: Mapping[str, Point] | None, *, solids: bool) -> Case:
    if moved is None:
        raise InputError("the landmarks of a leg are moved, not added or deleted", where="landmarks")
    return osteotomy_edits.landmarks_placed(case, moved, solids=solids)
