"""Choosing a node that can only be meant, to save the user a click."""

from __future__ import annotations

from typing import Any

from .hierarchy import hierarchy_node
from .volumes import MODALITY_ATTRIBUTE


def first_volume(scene: Any, modality: str) -> Any | None:
    """Return the first scalar volume that says it is of a modality ("CT", "MR"); None where none says so.

    A volume says so by our own attribute, or by what Slicer's DICOM reader noted in the subject hierarchy. Voxels are
    not looked at: a guess here would only look like knowledge.
    """
    hierarchy = hierarchy_node(scene)
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode")
        if node.GetHideFromEditors() or node.GetClassName() != "vtkMRMLScalarVolumeNode":
            continue
        stated = node.GetAttribute(MODALITY_ATTRIBUTE)
        if stated is None and hierarchy is not None:
            item = hierarchy.GetItemByDataNode(node)
            stated = hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else None
        if stated == modality:
            return node
    return None
