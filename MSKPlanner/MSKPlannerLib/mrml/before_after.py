"""Two 3D views side by side: the bones as they are in the first, where a plan's osteotomies put them in the second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk

from MSKFusionLib.mrml import place_under
from MSKFusionLib.mrml.observers import Observers
from MSKFusionLib.translation import tr as _

from ..colours import BONE_COLOUR
from ..editing.cut_bones import moved_by, surface_of
from ..editing.cut_guides import OF_CUTS
from ..mesh import Mesh
from ..pipeline import Case
from .limb_marks import LIES_BEFORE, filled_mark, marks_before, put_mark
from .osteotomy_nodes import fragment_surface
from .passing import add_passing, keep_out
from .plan_scene import filled_model
from .plan_session import PlanSession
from .view_nodes import ViewState, copy_camera, view_3d

#: The list of a display node that is shown in no view.
_NOWHERE = "none"
#: On display nodes and on the layout, what they were before: a scene that is saved meanwhile is put right when it is opened.
_LIST_ATTRIBUTE, _LAYOUT_ATTRIBUTE = "MSKPlanner.ViewsBefore", "MSKPlanner.LayoutBefore"
#: A fragment nearer than this to where it is in the image has not been moved, mm.
_SAME = 1e-6
#: Layout names of the two views, which the application's own layouts have as well.
FIRST, SECOND = "1", "2"


@dataclass(frozen=True, eq=False)
class _Former:
    """What the layout and the two views were before; None: there was no such layout node."""

    arrangement: int | None
    views: tuple[ViewState, ...]


class BeforeAfterViews:
    """Shows a plan's osteotomies before and after in two 3D views, and leaves everything as it was when it is let go.

    What is shown in which view is a matter of the display nodes' lists of views; the slice views show what they did. The user's
    segmentation is not seen in the two 3D views: the surfaces that are cut stand for it, with the other bones of the leg.

    Parameters
    ----------
    left
        Called where the user has chosen another layout, which ends it.
    """

    def __init__(self, session: PlanSession, left: Callable[[], None] = lambda: None) -> None:
        self._session, self.left = session, left
        self._former: _Former | None = None
        #: Lists of views as they were, by display node.
        self._lists: dict[Any, tuple[str, ...]] = {}
        #: Bones and marks that are only there to be compared.
        self._added: dict[str, Any] = {}
        self._observers = Observers()

    def __len__(self) -> int:
        """Return how many observers it holds."""
        return len(self._observers)

    @property
    def shown(self) -> bool:
        """Whether the two views are shown."""
        return self._former is not None

    def show(self) -> None:
        """Show the osteotomies of the plan in hand as they are now; called again after every change.

        Raises
        ------
        MSKError
            When the surface of a bone cannot be made; nothing is shown then.
        """
        case = self._session.case
        if case is None or not case.plan.osteotomies:
            self.release()
            return
        bones = _bones(case)  # first, because this can fail
        if self._former is None:
            self._begin()
        first, second = (view_3d(self._session.scene, name) for name in (FIRST, SECOND))
        self._add(case, bones)
        self._place()
        self._put_lists(dict(self._wanted(first, second)))

    def follow(self) -> None:
        """Follow a hand on the landmarks: the axes before. Everything else follows by its transform."""
        case = self._session.case
        if self._former is None or case is None:
            return
        for key, (_kind, name, points, _colour) in marks_before(case.plan).items():
            if key in self._added and self._added[key].GetScene() is not None:
                put_mark(self._added[key], points)
                self._added[key].SetName(name)

    def release(self, *, keep_layout: bool = False) -> None:
        """Show everything as it was.

        Parameters
        ----------
        keep_layout
            Leave the layout: the user has chosen another.
        """
        self._observers.clear()
        former, self._former = self._former, None
        if former is None:
            return
        self._put_lists({})
        for key in list(self._added):
            self._drop(key)
        layout = _layout(self._session.scene)
        if layout is not None:
            layout.RemoveAttribute(_LAYOUT_ATTRIBUTE)
            if former.arrangement is not None and not keep_layout:
                layout.SetViewArrangement(former.arrangement)
        for view in former.views:
            view.restore()

    def mend(self) -> None:
        """Put back what a scene holds that was saved while its two views were shown."""
        scene = self._session.scene
        if self._former is not None:
            return
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLDisplayNode")):
            display = scene.GetNthNodeByClass(n, "vtkMRMLDisplayNode")
            held = display.GetAttribute(_LIST_ATTRIBUTE)
            if held is not None:
                _put_list(display, tuple(held.split()))
                display.RemoveAttribute(_LIST_ATTRIBUTE)
        for name in (FIRST, SECOND):
            ViewState.mend(scene, name)
        layout = _layout(scene)
        held = None if layout is None else layout.GetAttribute(_LAYOUT_ATTRIBUTE)
        if held is not None:
            layout.RemoveAttribute(_LAYOUT_ATTRIBUTE)
            layout.SetViewArrangement(int(held) if held.isdecimal() else layout.SlicerLayoutFourUpView)

    # ------------------------------------------------------------------------------------------------ in detail
    def _begin(self) -> None:
        scene = self._session.scene
        layout = _layout(scene)
        arrangement = None if layout is None else layout.GetViewArrangement()
        before = ViewState.of(scene, FIRST), ViewState.of(scene, SECOND)
        if layout is not None:
            layout.SetAttribute(_LAYOUT_ATTRIBUTE, str(arrangement))
            layout.SetViewArrangement(layout.SlicerLayoutDual3DView)
        self._former = _Former(arrangement, before)
        views = [view_3d(scene, name) for name in (FIRST, SECOND)]
        for view, title in zip(views, (_("before"), _("after")), strict=True):
            view.SetLayoutLabel(title)
            view.SetLinkedControl(True)
        for state in before:
            state.remember()
        views[1].SetRenderMode(views[0].GetRenderMode())
        copy_camera(scene, *views)
        if layout is not None:
            self._observers.add(layout, vtk.vtkCommand.ModifiedEvent, self._on_layout)
        ct = self._session.basis.ct if self._session.basis is not None else None
        if ct is not None and ct.GetScene() is not None:
            self._observers.add(ct, ct.TransformModifiedEvent, self._on_ct_moved)

    def _add(self, case: Case, bones: dict[str, Mesh]) -> None:
        """Have the whole bones and the axes before in the scene, and those bones that a cut of another moves."""
        scene, marks = self._session.scene, marks_before(case.plan)
        cut = {o.bone for o in case.plan.osteotomies}
        wanted = {f"before {b}" for b in bones} | {f"after {b}" for b in bones if b not in cut} | set(marks)
        for key in [k for k, node in self._added.items() if k not in wanted or node.GetScene() is None]:
            self._drop(key)
        for bone, mesh in bones.items():
            for when in ("before", "after"):
                key = f"{when} {bone}"
                if key in wanted and key not in self._added:
                    name = _("{bone}, before") if when == "before" else _("{bone}, after")
                    node = add_passing(scene, "vtkMRMLModelNode", name.format(bone=bone))
                    filled_model(node, fragment_surface(mesh), BONE_COLOUR)
                    node.GetDisplayNode().SetVisibility2D(False)
                    self._added[key] = keep_out(node)
        for key, (kind, name, points, colour) in marks.items():
            if key not in self._added:
                self._added[key] = keep_out(filled_mark(add_passing(scene, kind, name), points, colour))
        self.follow()

    def _place(self) -> None:
        """Put what is only shown where the CT is; a bone that another's cut moves, where that puts it."""
        case, basis = self._session.case, self._session.basis
        if case is None or basis is None or basis.ct.GetScene() is None:
            return
        above, cuts = basis.ct.GetParentTransformNode(), self._session.cuts.shown.nodes
        for key, node in self._added.items():
            parent = above
            mover = moved_by(case, key.removeprefix("after ")) if key.startswith("after ") else None
            if mover is not None and mover[0] in cuts:
                parent = cuts[mover[0]].motions.get(mover[1], above)
            if node.GetScene() is not None and node.GetParentTransformNode() is not parent:
                place_under(node, parent)

    def _wanted(self, first: Any, second: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """Give every display node that is not shown in both views, with the views that it is shown in."""
        scene, session = self._session.scene, self._session
        slices = tuple(
            scene.GetNthNodeByClass(n, "vtkMRMLSliceNode").GetID()
            for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode"))
        )
        before, after = (first.GetID(), *slices), (second.GetID(), *slices)
        case, shown = session.case, session.cuts.shown
        assert case is not None
        for record in case.plan.osteotomies:
            nodes = shown.nodes[record.name]
            for model in nodes.models.values():
                yield from _displays(model, after)
            if not _stays(record.fragments[0].image_to_planned_ras):  # another cut has moved its plane with the bone
                yield from _displays(nodes.plane, after)
        for key, mark in shown.marks.items():
            yield from _displays(mark, before if key in LIES_BEFORE else after)
        yield from _displays(shown.landmarks, before)
        if session.basis is not None:
            yield from _displays(session.basis.bones, slices or (_NOWHERE,))
        for name, guide in ({} if session.nodes is None else session.nodes.guides).items():
            kind = next((g.recipe.kind for g in case.plan.guides if g.name == name and g.recipe is not None), "")
            if kind in OF_CUTS:
                yield from _displays(guide, after if kind == "reduction" else before)
        for key, node in self._added.items():
            yield from _displays(node, (second.GetID(),) if key.startswith("after ") else before)

    def _put_lists(self, wanted: dict[Any, tuple[str, ...]]) -> None:
        """Give display nodes their lists of views, and those that are not among them any more the ones that they had."""
        for display in [d for d in self._lists if d not in wanted]:
            _put_list(display, self._lists.pop(display))
            display.RemoveAttribute(_LIST_ATTRIBUTE)
        for display, views in wanted.items():
            if display not in self._lists:
                self._lists[display] = tuple(display.GetViewNodeIDs() or ())
                display.SetAttribute(_LIST_ATTRIBUTE, " ".join(self._lists[display]))
            _put_list(display, views)

    def _drop(self, key: str) -> None:
        node = self._added.pop(key)
        for n in range(node.GetNumberOfDisplayNodes()):
            self._lists.pop(node.GetNthDisplayNode(n), None)
        if node.GetScene() is not None:
            self._session.scene.RemoveNode(node)

    def _on_layout(self, layout: Any, event: Any) -> None:
        if self._former is not None and layout.GetViewArrangement() != layout.SlicerLayoutDual3DView:
            self.release(keep_layout=True)
            self.left()

    def _on_ct_moved(self, *_: Any) -> None:
        self._place()


def _bones(case: Case) -> dict[str, Mesh]:
    """Return the whole surfaces of the bones that are compared: those that are cut, and those of their leg."""
    limb, known = case.plan.limb, {s.name for s in case.segmentation.segments}
    of_leg = limb.bones.values() if limb is not None and any(o.role for o in case.plan.osteotomies) else ()
    names = dict.fromkeys([*(o.bone for o in case.plan.osteotomies), *of_leg])
    return {name: surface_of(case, name) for name in names if name in known}


def _stays(image_to_planned_ras: Any) -> bool:
    return bool(np.abs(np.asarray(image_to_planned_ras) - np.eye(4)).max() < _SAME)


def _displays(node: Any, views: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Give every display node of a node that is in the scene with a list of views."""
    if node is not None and node.GetScene() is not None:
        for n in range(node.GetNumberOfDisplayNodes()):
            if node.GetNthDisplayNode(n) is not None:
                yield node.GetNthDisplayNode(n), views


def _put_list(display: Any, views: tuple[str, ...]) -> None:
    if display.GetScene() is not None and tuple(display.GetViewNodeIDs() or ()) != views:
        display.SetViewNodeIDs(views)


def _layout(scene: Any) -> Any:
    """Return the node of the application's layout; None where there is no window."""
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
