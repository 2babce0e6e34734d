"""The nodes that show a plan in a scene, brought from one state of it to the next with as little change as can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from MSKFusionLib.mrml import place_under

from ..mesh import Mesh
from ..pipeline import Case
from ..plan import Plan
from ..plan_file import plan_to_json
from .item_nodes import axis_ends, put_ends, update_guide, update_screw
from .plan_basis import Basis, remember
from .plan_scene import PlanNodes, add_items, plan_to_scene
from .remove import remove_plan
from .tables import fill_guide_table, fill_screw_table


class ShownPlan:
    """The nodes of a plan; what they show is whatever case was shown last.

    Parameters
    ----------
    nodes
        Those of a loaded scene; None has them made when a case is first shown.
    """

    def __init__(self, scene: Any, nodes: PlanNodes | None = None) -> None:
        self.scene, self.nodes = scene, nodes
        #: Whether none of the documents was deleted in the scene.
        self.whole = True
        #: The surfaces that the guides' models show, by name.
        self._meshes: dict[str, Mesh] = {}

    @property
    def axes(self) -> dict[str, Any]:
        """The line of each screw by its name."""
        return {} if self.nodes is None else {name: s.axis for name, s in self.nodes.screws.items()}

    def show(self, case: Case, basis: Basis, shown: Plan | None) -> None:
        """Bring the nodes and the documents to a case.

        Parameters
        ----------
        shown
            The plan that they show so far; None makes them all anew.
        """
        same = shown is not None and shown.plan_id == case.plan.plan_id
        if same and shown is not None and self.whole and self.nodes is not None:
            self._exchange(case)
            self.update(shown, case.plan)
        else:
            self._rebuild(case, basis, shown)
        self.place(basis)
        self.write(case, basis)

    def _exchange(self, case: Case) -> None:
        """Remove the nodes of screws and guides that are no more, and add those of new ones; all others are left alone."""
        assert self.nodes is not None
        solids = {name: solid.mesh for name, solid in case.guides.items()}
        guides = {g.name for g in case.plan.guides}
        stale = {
            n for n in self.nodes.guides if n not in guides or (n in solids and self._meshes.get(n) is not solids[n])
        }
        screws = {s.name: s for s in case.plan.screws}
        for name in [*(n for n in self.nodes.screws if n not in screws), *stale]:
            self.drop(name)
        if not guides and self.nodes.guide_metrics is not None:
            self.scene.RemoveNode(self.nodes.guide_metrics)
            self.nodes = replace(self.nodes, guide_metrics=None)
        before = self.nodes
        new = tuple(s for name, s in screws.items() if name not in before.screws)
        meshes = {name: mesh for name, mesh in solids.items() if name not in before.guides}
        if new or meshes or (guides and before.guide_metrics is None):
            self.nodes = add_items(self.scene, case.plan, before, new, meshes)
        self._meshes = solids

    def place(self, basis: Basis) -> None:
        """Put the plan where the CT is: under the same transform, or none."""
        if self.nodes is None or basis.ct.GetScene() is None:
            return
        screws = [node for pair in self.nodes.screws.values() for node in (pair.axis, pair.model)]
        for node in (*screws, *self.nodes.guides.values()):
            if node.GetParentTransformNode() is not basis.ct.GetParentTransformNode():
                place_under(node, basis.ct.GetParentTransformNode())

    def update(self, shown: Plan, plan: Plan, keep: str = "") -> None:
        """Give the nodes of each screw and guide that has changed its new values; the line named `keep` is in a hand."""
        assert self.nodes is not None
        old = {s.name: s for s in shown.screws}
        for screw in plan.screws:
            nodes, before = self.nodes.screws.get(screw.name), old.get(screw.name, screw)
            if nodes is None:
                continue
            if before is not screw or axis_ends(nodes.axis) != (screw.entry_ras, screw.tip_ras):
                update_screw(nodes, before, screw, move_axis=screw.name != keep)
        guides = {g.name: g for g in shown.guides}
        for guide in plan.guides:
            if guide.name in self.nodes.guides and guides.get(guide.name, guide) is not guide:
                update_guide(self.nodes.guides[guide.name], guides[guide.name], guide)

    def _rebuild(self, case: Case, basis: Basis, shown: Plan | None) -> None:
        """Make all nodes of the plan anew, where the CT is. Surfaces of guides whose solids are not at hand are kept."""
        named = {g.name for g in case.plan.guides}
        meshes = {name: mesh for name, mesh in self._surfaces().items() if name in named}
        meshes.update({name: solid.mesh for name, solid in case.guides.items()})
        for plan_id in {case.plan.plan_id, *([] if shown is None else [shown.plan_id])}:
            remove_plan(self.scene, plan_id)
        nodes = plan_to_scene(self.scene, case.plan, guide_meshes=meshes, arrange_views=False)
        self.nodes = replace(nodes, ct=basis.ct, segmentation=basis.bones)
        self._meshes = {name: solid.mesh for name, solid in case.guides.items()}
        self.whole = True

    def restore(self, plan: Plan, name: str) -> None:
        """Put a line back where its screw is: what could not be followed is not left standing in the scene."""
        screw = next(s for s in plan.screws if s.name == name)
        if axis_ends(self.axes[name]) != (screw.entry_ras, screw.tip_ras):
            put_ends(self.axes[name], screw)

    def drop(self, name: str) -> None:
        """Take the nodes of a screw or a guide out of the scene, those that are still in it, and forget them."""
        assert self.nodes is not None
        pair = self.nodes.screws.get(name)
        for node in (*((pair.axis, pair.model) if pair is not None else ()), self.nodes.guides.get(name)):
            if node is not None and node.GetScene() is not None:
                self.scene.RemoveNode(node)
        screws = {n: s for n, s in self.nodes.screws.items() if n != name}
        guides = {n: g for n, g in self.nodes.guides.items() if n != name}
        self.nodes = replace(self.nodes, screws=screws, guides=guides)

    def write(self, case: Case, basis: Basis) -> None:
        """Write the plan document and the tables of metrics; where one was deleted, `whole` says so."""
        assert self.nodes is not None
        if any(d is not None and d.GetScene() is None for d in self.documents):
            self.whole = False  # all are made anew with the next change, or when somebody asks for it
            return
        self.nodes.plan.SetText(plan_to_json(case.plan))
        remember(self.nodes.plan, basis)
        fill_screw_table(self.nodes.metrics, case.plan.screws)
        if self.nodes.guide_metrics is not None:
            fill_guide_table(self.nodes.guide_metrics, case.plan.guides)

    @property
    def documents(self) -> tuple[Any, ...]:
        """The nodes of the plan document and of the tables."""
        return () if self.nodes is None else (self.nodes.plan, self.nodes.metrics, self.nodes.guide_metrics)

    def _surfaces(self) -> dict[str, Mesh]:
        shown = self.nodes.guides if self.nodes is not None else {}
        return {n: Mesh.from_polydata(g.GetPolyData()) for n, g in shown.items() if g.GetScene() is not None}
