"""A plan as MRML nodes: named, coloured, tagged with their role, in one subject hierarchy folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import vtk

from MSKFusionLib.frames import FloatArray
from MSKFusionLib.mrml import (
    ROLE_ATTRIBUTE,
    VERDICT_ATTRIBUTE,
    add_folder,
    children,
    hierarchy_node,
    place_registration,
    put_in_folder,
    segmentation_to_node,
    volume_to_node,
)
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.terminology import Colour, structure_colour
from MSKFusionLib.volume import Volume

from ..mesh import Mesh
from ..plan import Guide, Plan, Screw
from ..plan_file import plan_from_json, plan_to_json
from .item_nodes import (
    ScrewNodes,
    add_axis,
    body_name,
    body_surface,
    guide_colour,
    guide_name,
    screw_colour,
    with_normals,
)
from .slice_views import arrange_slice_views
from .tables import guide_table, screw_table

#: The plan that a node belongs to.
PLAN_ATTRIBUTE = "MSKPlanner.PlanID"
#: The name of the screw, guide or segment in the plan document.
ITEM_ATTRIBUTE = "MSKPlanner.Item"


@dataclass(frozen=True, eq=False)
class PlanNodes:
    """The nodes of a plan, by what they are; None where the plan has no such part.

    Parameters
    ----------
    folder
        Item of the plan's folder in the subject hierarchy.
    plan
        vtkMRMLTextNode with the plan document.
    """

    folder: int
    plan: Any
    metrics: Any
    ct: Any = None
    mr: Any = None
    registration: Any = None
    segmentation: Any = None
    guide_metrics: Any = None
    screws: Mapping[str, ScrewNodes] = field(default_factory=dict)
    guides: Mapping[str, Any] = field(default_factory=dict)
    bones: Mapping[str, Any] = field(default_factory=dict)


def plan_to_scene(
    scene: Any,
    plan: Plan,
    *,
    ct: Volume | None = None,
    mr: Volume | None = None,
    registration: RegistrationResult | None = None,
    segmentation: Segmentation | None = None,
    guide_meshes: Mapping[str, Mesh] | None = None,
    bone_meshes: Mapping[str, Mesh] | None = None,
    arrange_views: bool = True,
) -> PlanNodes:
    """Add a plan and what it rests on to the scene.

    Parameters
    ----------
    scene
        `vtkMRMLScene`.
    ct, mr
        The fixed and the moving image. The moving one is put under the registration's transform and keeps its own
        voxels and origin. A rejected registration is in the scene, named so, and nothing is put under it.
    guide_meshes
        By the guides' names in the plan.
    bone_meshes
        Surfaces to show in 3D instead of those made from the segmentation, by segment name.
    arrange_views
        Also show the images in the red, yellow and green slice views, through the middle of the plan.

    Returns
    -------
    PlanNodes
    """
    build = PlanBuilder(scene, plan)
    images = build.folder("Images")
    ct_node = build.add(volume_to_node(scene, ct), images, "ct") if ct else None
    mr_node = build.add(volume_to_node(scene, mr), images, "mr") if mr else None
    transform = _add_registration(build, registration, images, ct, ct_node, mr_node) if registration and ct else None
    segmentation_node = None
    if segmentation is not None:
        node = segmentation_to_node(scene, segmentation, "Segmentation", closed_surfaces=not bone_meshes)
        segmentation_node = build.add(node, build.folder("Anatomy"), "segmentation")
        segmentation_node.GetDisplayNode().SetOpacity3D(0.6)
    bones = _add_bones(build, bone_meshes or {}, segmentation_node)
    screws = _add_screws(build, plan.screws)
    guides = _add_guides(build, plan.guides, guide_meshes or {})
    documents = build.folder("Documents")
    nodes = PlanNodes(
        folder=build.top,
        plan=build.add(_text_node(scene, plan), documents, "plan"),
        metrics=build.add(screw_table(scene, plan.screws), documents, "metrics"),
        ct=ct_node,
        mr=mr_node,
        registration=transform,
        segmentation=segmentation_node,
        guide_metrics=build.add(guide_table(scene, plan.guides), documents, "metrics") if plan.guides else None,
        screws=screws,
        guides=guides,
        bones=bones,
    )
    if arrange_views:
        arrange_slice_views(scene, ct_node or mr_node, mr_node if ct_node else None, _middle_ras(plan, ct or mr))
    return nodes


def add_items(
    scene: Any, plan: Plan, nodes: PlanNodes, screws: tuple[Screw, ...], guide_meshes: Mapping[str, Mesh]
) -> PlanNodes:
    """Add screws and guides of a plan to those that are in the scene, and the table of guides where it is the first."""
    build = PlanBuilder(scene, plan, nodes.folder)
    table = nodes.guide_metrics
    if plan.guides and table is None:
        table = build.add(guide_table(scene, plan.guides), build.folder("Documents"), "metrics")
    return replace(
        nodes,
        folder=build.top,
        guide_metrics=table,
        screws={**nodes.screws, **_add_screws(build, screws)},
        guides={**nodes.guides, **_add_guides(build, plan.guides, guide_meshes)},
    )


def scene_to_plan(scene: Any, plan_id: str | None = None) -> Plan | None:
    """Read the plan document back from the scene; the first one where no ID is given, None where there is none.

    Raises
    ------
    InputError
        When the document in the scene is not valid.
    """
    nodes = nodes_of_plan(scene, plan_id, role="plan")
    return plan_from_json(nodes[0].GetText(), where=f"scene node '{nodes[0].GetName()}'") if nodes else None


def nodes_of_plan(scene: Any, plan_id: str | None = None, role: str | None = None) -> tuple[Any, ...]:
    """Return the nodes that plans left in the scene, by their attributes; None takes any plan or any role."""
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return tuple(
        node
        for node in nodes
        if node.GetAttribute(PLAN_ATTRIBUTE) is not None
        and (plan_id is None or node.GetAttribute(PLAN_ATTRIBUTE) == plan_id)
        and (role is None or node.GetAttribute(ROLE_ATTRIBUTE) == role)
    )


def found_plan_nodes(scene: Any, plan: Plan) -> PlanNodes | None:
    """Return the nodes that a loaded scene holds of a plan; None where one of a screw or of the documents is missing."""
    by_role: dict[str, dict[str, Any]] = {}
    tables: dict[str, Any] = {}
    for node in nodes_of_plan(scene, plan.plan_id):
        role = node.GetAttribute(ROLE_ATTRIBUTE) or ""
        if role == "metrics":
            tables[node.GetTable().GetColumnName(0) if node.GetNumberOfColumns() else ""] = node
        else:
            by_role.setdefault(role, {})[node.GetAttribute(ITEM_ATTRIBUTE) or ""] = node
    axes, models = by_role.get("screw-axis", {}), by_role.get("screw", {})
    names = {s.name for s in plan.screws}
    if "plan" not in by_role or "Screw" not in tables or not (set(axes) == set(models) == names):
        return None
    hierarchy = hierarchy_node(scene)
    document = by_role["plan"][""]
    return PlanNodes(
        folder=hierarchy.GetItemParent(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(document))),
        plan=document,
        metrics=tables["Screw"],
        guide_metrics=tables.get("Guide"),
        screws={name: ScrewNodes(axes[name], models[name]) for name in names},
        guides=by_role.get("guide", {}),
    )


class PlanBuilder:
    """Puts nodes into the folders of one plan and tags them."""

    def __init__(self, scene: Any, plan: Plan, folder: int | None = None) -> None:
        self.scene, self.plan = scene, plan
        there = folder is not None and folder in children(scene, hierarchy_node(scene).GetSceneItemID(), recursive=True)
        self.top = folder if there and folder is not None else add_folder(scene, f"Plan {plan.plan_id}")
        hierarchy = hierarchy_node(scene)
        inside = [item for item in children(scene, self.top) if hierarchy.GetItemDataNode(item) is None]
        self._folders = {hierarchy.GetItemName(item): item for item in inside}

    def folder(self, name: str) -> int:
        """Return the subfolder of that name."""
        if name not in self._folders:
            self._folders[name] = add_folder(self.scene, name, self.top)
        return self._folders[name]

    def add(self, node: Any, folder: int, role: str, item: str = "", verdict: Verdict | None = None) -> Any:
        """Tag a node and put it into a folder."""
        node.SetAttribute(ROLE_ATTRIBUTE, role)
        node.SetAttribute(PLAN_ATTRIBUTE, self.plan.plan_id)
        if item:
            node.SetAttribute(ITEM_ATTRIBUTE, item)
        if verdict is not None:
            node.SetAttribute(VERDICT_ATTRIBUTE, verdict.value)
        put_in_folder(self.scene, node, folder)
        return node

    def model(self, surface: vtk.vtkPolyData, name: str, colour: Colour, opacity: float = 1.0) -> Any:
        """Add a model that is seen in 3D and as an outline in slices."""
        return filled_model(self.scene.AddNewNodeByClass("vtkMRMLModelNode", name), surface, colour, opacity)


def filled_model(node: Any, surface: vtk.vtkPolyData, colour: Colour, opacity: float = 1.0) -> Any:
    """Give a new model its surface and its looks: seen in 3D and as an outline in slices; return it."""
    node.SetAndObservePolyData(surface)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*colour)
    display.SetOpacity(opacity)
    display.SetAmbient(0.2)
    display.SetSpecular(0.25)
    display.SetPower(20)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(2)
    return node


def _middle_ras(plan: Plan, volume: Volume | None) -> FloatArray:
    points = [p for screw in plan.screws for p in (screw.entry_ras, screw.tip_ras)]
    if points:
        return np.mean(points, axis=0)
    return volume.centre_ras if volume is not None else np.zeros(3)


def _add_registration(
    build: PlanBuilder, registration: RegistrationResult, folder: int, ct: Volume, ct_node: Any, mr_node: Any
) -> Any:
    name = f"{mr_node.GetName() if mr_node else 'MR'} on {ct_node.GetName()}"
    nodes = place_registration(build.scene, registration, ct, name, mr_node, ct_node)
    for bone in nodes.bones.values():
        build.add(bone, folder, "bone-registration")
    return build.add(nodes.whole, folder, "registration")


def _add_screws(build: PlanBuilder, screws: tuple[Screw, ...]) -> dict[str, ScrewNodes]:
    nodes = {}
    for screw in screws:
        folder = build.folder("Screws")
        line = add_axis(build.scene, screw)
        model = build.model(body_surface(screw), body_name(screw), screw_colour(screw))
        model.SetDescription(screw.remarks)
        nodes[screw.name] = ScrewNodes(
            build.add(line, folder, "screw-axis", screw.name, screw.verdict),
            build.add(model, folder, "screw", screw.name, screw.verdict),
        )
    return nodes


def _add_guides(build: PlanBuilder, guides: tuple[Guide, ...], meshes: Mapping[str, Mesh]) -> dict[str, Any]:
    designed = {guide.name: guide for guide in guides}
    nodes = {}
    for name, mesh in meshes.items():
        guide = designed[name]
        # The very mesh that is printed, without normals: shaded facet by facet, edges stay crisp.
        node = build.model(mesh.to_polydata(), guide_name(guide), guide_colour(guide), 0.6)
        node.SetDescription(guide.remarks)
        nodes[name] = build.add(node, build.folder("Guides"), "guide", name, guide.verdict)
    return nodes


def _add_bones(build: PlanBuilder, meshes: Mapping[str, Mesh], segmentation_node: Any) -> dict[str, Any]:
    nodes = {}
    for name, mesh in meshes.items():
        node = build.model(with_normals(mesh, None), f"{name} surface", structure_colour(name, "bone"), 0.6)
        node.GetDisplayNode().SetVisibility2D(False)  # the segment's own outline is there
        nodes[name] = build.add(node, build.folder("Anatomy"), "bone", name)
    if meshes and segmentation_node is not None:
        segmentation_node.GetDisplayNode().SetVisibility3D(False)
    return nodes


def _text_node(scene: Any, plan: Plan) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", f"Plan {plan.plan_id} document")
    node.SetEncoding(vtk.VTK_ENCODING_UTF_8)
    node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)
    node.SetText(plan_to_json(plan))
    return node
