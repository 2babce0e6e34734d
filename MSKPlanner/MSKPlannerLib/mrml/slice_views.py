"""What the application's slice views show: when a scene is opened, and when somebody wants to go to a place."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike

from MSKFusionLib.frames import FloatArray
from MSKFusionLib.mrml.volumes import node_to_volume

_VIEWS = (("Red", "Axial", 2), ("Yellow", "Sagittal", 0), ("Green", "Coronal", 1))
#: The slice views that every layout of the application has.
LAYOUT_NAMES = tuple(name for name, _, _ in _VIEWS)


def arrange_slice_views(scene: Any, background: Any, foreground: Any, centre_ras: FloatArray) -> None:
    """Put volumes into the red, yellow and green slice views and their planes through a point.

    The views' own nodes are taken where they exist (in the application); else they are added, so that the
    application finds them in the saved scene.

    Parameters
    ----------
    background, foreground
        Volume nodes or None; the foreground is blended in by a fifth.
    """
    if background is None:
        return
    extent = float(node_to_volume(background).extent_mm.max())
    for name, orientation, axis in _VIEWS:
        view = _view_node(scene, "vtkMRMLSliceNode", name)
        view.SetOrientation(orientation)
        width, height = view.GetDimensions()[:2]
        view.SetFieldOfView(extent, extent * height / max(width, 1), 1.0)
        view.SetSliceOffset(float(centre_ras[axis]))
        view.JumpSliceByCentering(*centre_ras.tolist())
        layers = _view_node(scene, "vtkMRMLSliceCompositeNode", name)
        layers.SetBackgroundVolumeID(background.GetID())
        if foreground is not None:
            layers.SetForegroundVolumeID(foreground.GetID())
            layers.SetForegroundOpacity(0.2)


def jump_slices(scene: Any, point_ras: ArrayLike) -> None:
    """Bring every slice view to a point (3,), RAS mm: its plane through it, however that is turned, and it in the middle."""
    point = [float(v) for v in np.asarray(point_ras, dtype=np.float64)]
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        scene.GetNthNodeByClass(n, "vtkMRMLSliceNode").JumpSliceByCentering(*point)


def _view_node(scene: Any, class_name: str, layout_name: str) -> Any:
    node = scene.GetSingletonNode(layout_name, class_name)
    if node is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(layout_name)
        node.SetLayoutName(layout_name)
        node.SetName(layout_name)
        if class_name == "vtkMRMLSliceNode":
            node.SetLayoutLabel(layout_name[0])
            node.SetLayoutColor(getattr(slicer.vtkMRMLSliceNode, f"Get{layout_name}Color")())
            node.SetDimensions(500, 500, 1)
        node = scene.AddNode(node)
    return node
