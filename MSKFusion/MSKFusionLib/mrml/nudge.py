"""Moving an image by hand: a rigid transform with handles between it (with its registration) and the fixed image's frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from ..frames import rotation_angle_deg
from .between import points_between
from .registrations import ROLE_ATTRIBUTE
from .tied_nodes import put_volume_under
from .transforms import from_vtk_matrix, place_under

_ROLE = "nudge"


def nudge_of(moving: Any) -> Any | None:
    """Return the transform by which a volume was moved by hand; None where it was not."""
    above = moving.GetParentTransformNode()
    while above is not None and above.GetAttribute(ROLE_ATTRIBUTE) != _ROLE:
        above = above.GetParentTransformNode()
    return above


def start_nudge(fixed: Any, moving: Any) -> Any:
    """Show handles that move a volume in every view, rigidly; a nudge that is there goes on.

    What the volume is registered by stays as it is: the nudge comes above it, and turns about the volume's middle.

    Returns
    -------
    vtkMRMLLinearTransformNode
    """
    node = nudge_of(moving)
    if node is None:
        scene = moving.GetScene()
        node = scene.AddNewNodeByClass(
            "vtkMRMLLinearTransformNode", scene.GenerateUniqueName(f"{moving.GetName()} moved by hand")
        )
        node.SetAttribute(ROLE_ATTRIBUTE, _ROLE)
        node.SetNodeReferenceID("fixed", fixed.GetID())
        node.SetNodeReferenceID("moving", moving.GetID())
        child = _topmost_of_registration(moving)
        place_under(node, child.GetParentTransformNode())
        if child is moving:
            put_volume_under(moving, node)
        else:
            place_under(child, node)
        centre = points_between(moving, node, [_centre(moving)])[0]
        # The node's own transform is still the identity: its frame is the one that it maps to.
        node.SetCenterOfTransformation(*centre)
        node.CreateDefaultDisplayNodes()
    _show_handles(node, True)
    return node


def stop_nudge(moving: Any) -> None:
    """Take the handles away; the volume stays where the hand put it."""
    node = nudge_of(moving)
    if node is not None:
        _show_handles(node, False)


def remove_nudge(moving: Any) -> None:
    """Put a volume back to where it was before it was moved by hand."""
    node = nudge_of(moving)
    if node is not None:
        _remove(node)


def _remove(node: Any) -> None:
    scene, above = node.GetScene(), node.GetParentTransformNode()
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLTransformableNode")):
        child = scene.GetNthNodeByClass(n, "vtkMRMLTransformableNode")
        if child.GetParentTransformNode() is node:
            place_under(child, above)
    scene.RemoveNode(node)


def remove_idle_nudges(scene: Any) -> None:
    """Remove moves by hand that move nothing any more: their image was deleted, or somebody put it elsewhere."""
    kind = "vtkMRMLLinearTransformNode"
    nodes = [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]
    for node in [n for n in nodes if n.GetAttribute(ROLE_ATTRIBUTE) == _ROLE]:
        moving = node.GetNodeReference("moving")
        if moving is None or nudge_of(moving) is not node:
            _remove(node)


def nudge_amount(moving: Any) -> tuple[float, float]:
    """Return how far the middle of a volume was moved by hand (mm), and by what angle it was turned (degrees)."""
    node = nudge_of(moving)
    if node is None:
        return 0.0, 0.0
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(matrix)
    change = from_vtk_matrix(matrix)
    centre = np.array(node.GetCenterOfTransformation())
    shift = change[:3, :3] @ centre + change[:3, 3] - centre
    return float(np.linalg.norm(shift)), float(rotation_angle_deg(change))


def _topmost_of_registration(moving: Any) -> Any:
    """Return what the nudge moves: the registration that the volume is under, else the volume."""
    above = moving.GetParentTransformNode()
    return above if above is not None and above.GetAttribute(ROLE_ATTRIBUTE) == "registration" else moving


def _centre(volume: Any) -> tuple[float, float, float]:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    extent = volume.GetImageData().GetExtent()
    middle = [(a + b) / 2.0 for a, b in zip(extent[0::2], extent[1::2], strict=True)]
    r, a, s, _ = matrix.MultiplyPoint((*middle, 1.0))
    return r, a, s


def _show_handles(node: Any, shown: bool) -> None:
    display = node.GetDisplayNode()
    if display is None:
        return
    display.SetEditorScalingEnabled(False)
    display.SetEditorScalingSliceEnabled(False)
    display.SetEditorTranslationSliceEnabled(True)
    display.SetEditorRotationSliceEnabled(True)
    display.SetEditorVisibility(shown)
    display.SetEditorVisibility3D(shown)
    display.SetEditorSliceIntersectionVisibility(shown)
