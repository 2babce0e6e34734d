"""What belongs to an image goes where the image goes: points that were placed in it, and what was labelled in it."""

from __future__ import annotations

from typing import Any

import slicer

from .transforms import place_under

#: From a point list to the volume that its points were placed in.
_OF = "placed in"


def tie(node: Any, volume: Any) -> None:
    """Tie a node to a volume; a segmentation is tied to the one that its grid was taken from without this."""
    node.SetNodeReferenceID(_OF, volume.GetID())


def put_volume_under(volume: Any, transform: Any | None) -> None:
    """Put a volume under a transform (None: take it out), and what is tied to it and lies where it did."""
    before, scene = volume.GetParentTransformNode(), volume.GetScene()
    place_under(volume, transform)
    grid = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for kind, role in (("vtkMRMLMarkupsFiducialNode", _OF), ("vtkMRMLSegmentationNode", grid)):
        for n in range(scene.GetNumberOfNodesByClass(kind)):
            node = scene.GetNthNodeByClass(n, kind)
            if node.GetNodeReference(role) is volume and node.GetParentTransformNode() is before:
                place_under(node, transform)
