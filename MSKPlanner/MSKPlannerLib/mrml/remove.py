"""Taking a plan out of the scene again, so that a new one can stand in its place."""

from __future__ import annotations

from typing import Any

from MSKFusionLib.mrml import children, hierarchy_node

from .plan_scene import ROLE_ATTRIBUTE, nodes_of_plan

#: What the plan itself made. Images, transforms and segmentations are the user's, whatever folder they are in.
_MADE_BY_PLAN = frozenset(
    {"plan", "metrics", "screw", "screw-axis", "guide", "bone"}
    | {"cut-plane", "fragment", "fragment-motion", "limb-axis", "limb-measures", "limb-landmarks"}
)


def remove_plan(scene: Any, plan_id: str) -> None:
    """Remove the nodes that `plan_to_scene` made for a plan, and the folders that are empty then."""
    hierarchy = hierarchy_node(scene)
    folders: list[int] = []
    for node in nodes_of_plan(scene, plan_id):
        if node.GetAttribute(ROLE_ATTRIBUTE) not in _MADE_BY_PLAN:
            continue
        item = hierarchy.GetItemByDataNode(node)
        above = hierarchy.GetItemParent(item) if item else 0
        while above and above != hierarchy.GetSceneItemID():
            if above not in folders:
                folders.append(above)
            above = hierarchy.GetItemParent(above)
        scene.RemoveNode(node)
    for folder in sorted(folders, key=lambda f: -_depth(hierarchy, f)):
        for empty in [*children(scene, folder), folder]:
            if hierarchy.GetItemDataNode(empty) is None and not children(scene, empty):
                hierarchy.RemoveItem(empty)


def _depth(hierarchy: Any, item: int) -> int:
    depth = 0
    while item and item != hierarchy.GetSceneItemID():
        item, depth = hierarchy.GetItemParent(item), depth + 1
    return depth
