"""The nodes that show a plan's osteotomies in a scene, brought from one state of it to the next."""

from __future__ import annotations

from typing import Any

from MSKFusionLib.mrml import ROLE_ATTRIBUTE, place_under

from ..editing.cut_bones import surface_of
from ..mesh import Mesh
from ..osteotomy.planned import asked_of, parts_of
from ..pipeline import Case
from ..plan import Plan
from ..plan_osteotomy import Osteotomy
from .limb_marks import (
    add_landmarks,
    add_mark,
    fill_measures,
    put_landmarks,
    put_mark,
    wanted_landmarks,
    wanted_marks,
)
from .osteotomy_nodes import (
    OsteotomyNodes,
    add_plane,
    fragment_colour,
    fragment_name,
    fragment_surface,
    put_motion,
    update_plane,
)
from .plan_basis import Basis
from .plan_scene import ITEM_ATTRIBUTE, PlanBuilder, nodes_of_plan

#: The name of a fragment, on its model and its transform.
FRAGMENT_ATTRIBUTE = "MSKPlanner.Fragment"
PLANE_ROLE, FRAGMENT_ROLE, MOTION_ROLE, MARK_ROLE, TABLE_ROLE, LANDMARKS_ROLE = (
    "cut-plane",
    "fragment",
    "fragment-motion",
    "limb-axis",
    "limb-measures",
    "limb-landmarks",
)


class ShownOsteotomies:
    """Planes, fragments, axes and the table of measures; what they show is whatever case was shown last."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.nodes: dict[str, OsteotomyNodes] = {}
        self._marks: dict[str, Any] = {}
        self._table: Any = None
        #: The landmarks of the leg as a point list, where there is one.
        self.landmarks: Any = None
        #: What the nodes show, by name.
        self._shown: dict[str, Osteotomy] = {}

    @property
    def planes(self) -> dict[str, Any]:
        """The plane of each osteotomy by its name."""
        return {name: nodes.plane for name, nodes in self.nodes.items()}

    @property
    def marks(self) -> dict[str, Any]:
        """The axes and the angle by their keys (`limb_marks.wanted_marks`)."""
        return dict(self._marks)

    @property
    def whole(self) -> bool:
        """Whether none of the axes and the table was deleted in the scene."""
        return all(n is None or n.GetScene() is not None for n in (*self._marks.values(), self._table, self.landmarks))

    def find(self, plan: Plan) -> None:
        """Take the nodes that a loaded scene holds of a plan; what is missing is made anew when the plan is shown."""
        planes: dict[str, Any] = {}
        parts: dict[tuple[str, str, str], Any] = {}
        for node in nodes_of_plan(self.scene, plan.plan_id):
            role, item = node.GetAttribute(ROLE_ATTRIBUTE) or "", node.GetAttribute(ITEM_ATTRIBUTE) or ""
            if role == PLANE_ROLE:
                planes[item] = node
            elif role in (FRAGMENT_ROLE, MOTION_ROLE):
                parts[role, item, node.GetAttribute(FRAGMENT_ATTRIBUTE) or ""] = node
            elif role == MARK_ROLE:
                self._marks[item] = node
            elif role == TABLE_ROLE:
                self._table = node
            elif role == LANDMARKS_ROLE:
                self.landmarks = node
        for osteotomy in plan.osteotomies:
            names = [f.name for f in osteotomy.fragments]
            models = {n: parts.get((FRAGMENT_ROLE, osteotomy.name, n)) for n in names}
            motions = {n: parts.get((MOTION_ROLE, osteotomy.name, n)) for n in names}
            if osteotomy.name in planes and all((*models.values(), *motions.values())):
                self.nodes[osteotomy.name] = OsteotomyNodes(planes[osteotomy.name], models, motions)
                self._shown[osteotomy.name] = osteotomy

    def show(self, case: Case, basis: Basis, folder: int | None) -> None:
        """Bring the nodes to a case.

        Parameters
        ----------
        folder
            The plan's folder in the subject hierarchy.
        """
        build = PlanBuilder(self.scene, case.plan, folder)
        wanted = {o.name: o for o in case.plan.osteotomies}
        for name in [n for n, nodes in self.nodes.items() if n not in wanted or not _there(nodes, wanted[n])]:
            self.drop(name)
        for name, osteotomy in wanted.items():
            if name not in self.nodes:
                self.nodes[name] = self._added(build, osteotomy, self._solids(case, osteotomy))
            elif _surfaces(self._shown[name]) != _surfaces(osteotomy):
                for part, mesh in self._solids(case, osteotomy).items():
                    self.nodes[name].models[part].SetAndObservePolyData(fragment_surface(mesh))
            self._bring(name, osteotomy)
        self._show_marks(build, case.plan)
        self.place(basis)

    def update(self, plan: Plan, keep: str = "") -> None:
        """Follow a hand: transforms, axes, angle, table and colours, no surfaces; the plane named `keep` is in the hand."""
        for osteotomy in plan.osteotomies:
            nodes = self.nodes.get(osteotomy.name)
            if nodes is None:
                continue
            update_plane(nodes.plane, self._shown[osteotomy.name], osteotomy, move=osteotomy.name != keep)
            for fragment in osteotomy.fragments:
                if fragment.name in nodes.motions:
                    put_motion(nodes.motions[fragment.name], fragment)
            self._shown[osteotomy.name] = osteotomy
        wanted = wanted_marks(plan)
        self._drop_marks(set(wanted))
        for key, (_, name, points, _) in wanted.items():
            if key in self._marks and self._marks[key].GetScene() is not None:
                put_mark(self._marks[key], points)
                _name_angle(self._marks[key], name)
        if self._table is not None and self._table.GetScene() is not None:
            fill_measures(self._table, plan)
        self.put_landmarks(plan)

    def put_landmarks(self, plan: Plan) -> None:
        """Put the landmarks where the plan has them."""
        if self.landmarks is not None and self.landmarks.GetScene() is not None:
            put_landmarks(self.landmarks, wanted_landmarks(plan))

    def place(self, basis: Basis) -> None:
        """Put everything where the CT is: under the same transform, or none."""
        if basis.ct.GetScene() is None:
            return
        above = basis.ct.GetParentTransformNode()
        moved = [n for nodes in self.nodes.values() for n in nodes.motions.values()]
        for node in (*moved, *self._marks.values(), self.landmarks):
            if node is not None and node.GetScene() is not None and node.GetParentTransformNode() is not above:
                place_under(node, above)
        for nodes in self.nodes.values():  # a plane lies in the part that stays, also where another cut has moved that
            if nodes.plane.GetParentTransformNode() is not nodes.motions["staying"]:
                place_under(nodes.plane, nodes.motions["staying"])

    def drop(self, name: str) -> None:
        """Take the nodes of an osteotomy out of the scene, those that are still in it, and forget them."""
        nodes = self.nodes.pop(name, None)
        for node in () if nodes is None else nodes.all:
            if node is not None and node.GetScene() is not None:
                self.scene.RemoveNode(node)
        self._shown.pop(name, None)

    def owner(self, node: Any) -> str:
        """Return the name of the osteotomy that a node belongs to; empty where it is none's."""
        return next((name for name, nodes in self.nodes.items() if any(node is n for n in nodes.all)), "")

    # ------------------------------------------------------------------------------------------------ in detail
    def _solids(self, case: Case, osteotomy: Osteotomy) -> dict[str, Mesh]:
        parts = parts_of(surface_of(case, osteotomy.bone), asked_of(osteotomy).shape)
        solids = {"staying": parts.staying, "moved": parts.moved}
        return solids if parts.wedge is None else {**solids, "wedge": parts.wedge}

    def _added(self, build: PlanBuilder, osteotomy: Osteotomy, solids: dict[str, Mesh]) -> OsteotomyNodes:
        folder = build.folder("Osteotomies")
        plane = build.add(add_plane(self.scene, osteotomy), folder, PLANE_ROLE, osteotomy.name, osteotomy.verdict)
        models, motions = {}, {}
        for fragment in osteotomy.fragments:
            name = fragment_name(osteotomy, fragment)
            opacity = 0.35 if fragment.name == "wedge" else 1.0
            surface = fragment_surface(solids[fragment.name])
            model = build.model(surface, name, fragment_colour(osteotomy, fragment), opacity)
            motion = self.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"{name}, to its place")
            models[fragment.name] = build.add(model, folder, FRAGMENT_ROLE, osteotomy.name, osteotomy.verdict)
            motions[fragment.name] = build.add(motion, folder, MOTION_ROLE, osteotomy.name)
            for node in (model, motion):
                node.SetAttribute(FRAGMENT_ATTRIBUTE, fragment.name)
            place_under(model, motion)
        self._shown[osteotomy.name] = osteotomy
        return OsteotomyNodes(plane, models, motions)

    def _bring(self, name: str, osteotomy: Osteotomy) -> None:
        nodes = self.nodes[name]
        update_plane(nodes.plane, self._shown[name], osteotomy)
        for fragment in osteotomy.fragments:
            model = nodes.models[fragment.name]
            put_motion(nodes.motions[fragment.name], fragment)
            if model.GetDisplayNode() is not None:
                model.GetDisplayNode().SetColor(*fragment_colour(osteotomy, fragment))
        self._shown[name] = osteotomy

    def _drop_marks(self, kept: set[str]) -> None:
        """Take the axes that are not kept out of the scene, and the table where none is."""
        for key in [k for k in self._marks if k not in kept]:
            node = self._marks.pop(key)
            if node.GetScene() is not None:
                self.scene.RemoveNode(node)
        if not kept:
            for node in (self._table, self.landmarks):
                if node is not None and node.GetScene() is not None:
                    self.scene.RemoveNode(node)
            self._table = self.landmarks = None

    def _show_marks(self, build: PlanBuilder, plan: Plan) -> None:
        wanted = wanted_marks(plan)
        self._drop_marks({key for key in wanted if key in self._marks and self._marks[key].GetScene() is not None})
        for key, (kind, name, points, colour) in wanted.items():
            if key not in self._marks:
                node = add_mark(self.scene, kind, name, points, colour)
                self._marks[key] = build.add(node, build.folder("Osteotomies"), MARK_ROLE, key)
            put_mark(self._marks[key], points)
            _name_angle(self._marks[key], name)
        if wanted:
            if self._table is None or self._table.GetScene() is None:
                node = self.scene.AddNewNodeByClass("vtkMRMLTableNode", "Leg before and after")
                self._table = build.add(node, build.folder("Documents"), TABLE_ROLE)
            fill_measures(self._table, plan)
            if self.landmarks is None or self.landmarks.GetScene() is None:
                node = add_landmarks(self.scene)
                self.landmarks = build.add(node, build.folder("Osteotomies"), LANDMARKS_ROLE)
            self.put_landmarks(plan)


def _surfaces(osteotomy: Osteotomy) -> list[tuple[str, str]]:
    """Return what tells the fragments' surfaces of one state from those of another."""
    return [(f.name, f.mesh_sha256) for f in osteotomy.fragments]


def _there(nodes: OsteotomyNodes, osteotomy: Osteotomy) -> bool:
    """Tell whether all nodes are in the scene, and one for each fragment."""
    return set(nodes.models) == {f.name for f in osteotomy.fragments} and all(
        n.GetScene() is not None for n in nodes.all
    )


def _name_angle(node: Any, name: str) -> None:
    """The angle says its value in its name, as the table has it: in the limb's frontal plane."""
    if node.IsA("vtkMRMLMarkupsAngleNode") and node.GetName().startswith("HKA") and node.GetName() != name:
        node.SetName(name)
