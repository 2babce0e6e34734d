"""Subject hierarchy: folders, and nodes in them."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

#: Which of the application's plugins owns the item of a node; written as the application writes it, so that a scene
#: made without it shows the right icons and menus when it is opened.
_OWNERS = (
    ("vtkMRMLLabelMapVolumeNode", "LabelMaps"),
    ("vtkMRMLVolumeNode", "Volumes"),
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLTransformNode", "Transforms"),
    ("vtkMRMLTableNode", "Tables"),
    ("vtkMRMLTextNode", "Texts"),
)


def hierarchy_node(scene: Any) -> Any:
    """Return the scene's subject hierarchy node."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def add_folder(scene: Any, name: str, parent: int | None = None) -> int:
    """Add a folder (under another, or at the top) and return its item."""
    hierarchy = hierarchy_node(scene)
    item = int(hierarchy.CreateFolderItem(hierarchy.GetSceneItemID() if parent is None else parent, name))
    hierarchy.SetItemOwnerPluginName(item, "Folder")
    return item


def put_in_folder(scene: Any, node: Any, folder: int) -> int:
    """Put a node into a folder and return its item (made here when nothing made one yet)."""
    hierarchy = hierarchy_node(scene)
    item = int(hierarchy.GetItemByDataNode(node))
    if item:
        hierarchy.SetItemParent(item, folder)
    else:
        item = int(hierarchy.CreateItem(folder, node))
    if not hierarchy.GetItemOwnerPluginName(item):
        for class_name, owner in _OWNERS:
            if node.IsA(class_name):
                hierarchy.SetItemOwnerPluginName(item, owner)
                break
    return item


def children(scene: Any, folder: int, *, recursive: bool = False) -> tuple[int, ...]:
    """Return the items in a folder."""
    ids = vtk.vtkIdList()
    hierarchy_node(scene).GetItemChildren(folder, ids, recursive)
    return tuple(ids.GetId(i) for i in range(ids.GetNumberOfIds()))


def nodes_in_folder(scene: Any, folder: int) -> tuple[Any, ...]:
    """Return the nodes in a folder and in the folders below it."""
    hierarchy = hierarchy_node(scene)
    nodes = (hierarchy.GetItemDataNode(item) for item in children(scene, folder, recursive=True))
    return tuple(node for node in nodes if node is not None)
