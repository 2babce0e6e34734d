"""Pictures of a plan by Slicer's own views: the 3D view, and slices along a screw."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike

from MSKFusionLib.frames import FloatArray, as_point, unit
from MSKFusionLib.mrml import inside_application

from ..plan import Screw
from ..screws.planes import screw_planes
from .offscreen import OffscreenSlice, offscreen_3d, offscreen_slice, write_png
from .plan_scene import ITEM_ATTRIBUTE, ROLE_ATTRIBUTE, nodes_of_plan
from .render_probe import can_render

_VIEW_ANGLE_DEG = 30.0
#: How much wider the picture is than what it must show.
_MARGIN = 1.08
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class Camera:
    """Where a 3D picture is taken from, RAS mm."""

    position_ras: tuple[float, float, float]
    focal_ras: tuple[float, float, float]
    up_ras: tuple[float, float, float] = (0.0, 0.0, 1.0)
    view_angle_deg: float = 30.0


def pictures_possible() -> bool:
    """Tell whether pictures can be made: always in the application, elsewhere where a probe process could draw."""
    return inside_application() or can_render()


def camera_towards(
    bounds_ras: ArrayLike,
    from_ras: ArrayLike = (0.45, -1.0, 0.35),
    up_ras: ArrayLike = (0.0, 0.0, 1.0),
    *,
    aspect: float = 900 / 700,
) -> Camera:
    """Return a camera that sees all of a box, and as little else as it can.

    Parameters
    ----------
    bounds_ras
        Lowest and highest corner, (2, 3), mm.
    from_ras
        Direction from the box to the camera; by default from behind, a little from the right and from above.
    aspect
        Width of the picture by its height.
    """
    box = np.asarray(bounds_ras, dtype=np.float64)
    centre = box.mean(axis=0)
    back = unit(from_ras)
    right = unit(np.cross(np.asarray(up_ras, dtype=np.float64), back))
    up = np.cross(back, right)
    corners = np.array([[box[a, 0], box[b, 1], box[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) - centre
    half = np.tan(np.radians(_VIEW_ANGLE_DEG / 2)) / _MARGIN
    needed = np.maximum(np.abs(corners @ right) / (half * aspect), np.abs(corners @ up) / half) + corners @ back
    return Camera(as_point(centre + needed.max() * back), as_point(centre), as_point(up), _VIEW_ANGLE_DEG)


def bounds_of(nodes: Sequence[Any], segments: Collection[str] | None = None) -> FloatArray:
    """Return lowest and highest corner (2, 3), RAS mm, of nodes; of a segmentation only what is seen of it.

    Parameters
    ----------
    segments
        The segments of a segmentation that count; None takes those that are visible in 3D.
    """
    boxes: list[tuple[float, ...]] = []
    for node in nodes:
        if node.IsA("vtkMRMLSegmentationNode"):
            boxes += _segment_bounds(node, segments)
        else:
            box = [0.0] * 6
            node.GetRASBounds(box)
            boxes.append(tuple(box))
    found = np.array([b for b in boxes if b[1] >= b[0]]).reshape(-1, 3, 2)
    if not len(found):
        return np.array([[-50.0] * 3, [50.0] * 3])
    return np.stack([found[:, :, 0].min(axis=0), found[:, :, 1].max(axis=0)])


def _segment_bounds(node: Any, segments: Collection[str] | None) -> list[tuple[float, ...]]:
    content, display = node.GetSegmentation(), node.GetDisplayNode()
    boxes = []
    for index in range(content.GetNumberOfSegments()):
        segment_id = content.GetNthSegmentID(index)
        if segments is None:
            counts = display.GetSegmentVisibility(segment_id) and display.GetSegmentVisibility3D(segment_id)
        else:
            counts = content.GetSegment(segment_id).GetName() in segments
        surface = vtk.vtkPolyData()
        if counts and node.GetClosedSurfaceRepresentation(segment_id, surface) and surface.GetNumberOfPoints():
            boxes.append(tuple(surface.GetBounds()))
    return boxes


def render_scene_3d(
    scene: Any,
    path: str | Path,
    camera: Camera | None = None,
    *,
    visible: Sequence[Any] | None = None,
    segments: Collection[str] | None = None,
    bone_opacity: float = 0.45,
    guide_opacity: float | None = None,
    size: tuple[int, int] = (900, 700),
) -> Path | None:
    """Write a picture of the scene's 3D view.

    Parameters
    ----------
    camera
        By default from behind and above, on all that is visible.
    visible
        The nodes to show; None shows what is visible in the scene, without the screws' axes.
    segments
        The segments to show of a segmentation; None shows those that are visible.
    bone_opacity
        Of segments and bone models, so that the screws in them are seen.
    guide_opacity
        Of guides; None leaves them as they are in the scene.

    Returns
    -------
    The file, or None where nothing can be drawn on this machine.
    """
    if not pictures_possible():
        return None
    shown = list(visible) if visible is not None else _visible_nodes(scene)
    with _only(scene, shown, segments, bone_opacity, guide_opacity=guide_opacity), offscreen_3d(scene, size) as view:
        node = view.node
        node.SetBoxVisible(False)
        node.SetAxisLabelsVisible(False)
        node.SetBackgroundColor(1.0, 1.0, 1.0)
        node.SetBackgroundColor2(1.0, 1.0, 1.0)
        node.SetOrientationMarkerType(slicer.vtkMRMLAbstractViewNode.OrientationMarkerTypeCube)
        node.SetOrientationMarkerSize(slicer.vtkMRMLAbstractViewNode.OrientationMarkerSizeSmall)
        place = camera or camera_towards(bounds_of(shown, segments), aspect=size[0] / size[1])
        view.camera_node.SetPosition(place.position_ras)
        view.camera_node.SetFocalPoint(place.focal_ras)
        view.camera_node.SetViewUp(place.up_ras)
        view.camera_node.SetViewAngle(place.view_angle_deg)
        write_png(view.draw(), str(path))
    return Path(path)


def render_slices_along_screw(
    scene: Any,
    screw: Screw,
    path: str | Path,
    volume_node: Any,
    *,
    superior_ras: ArrayLike = (0.0, 0.0, 1.0),
    isthmus_ras: ArrayLike | None = None,
    panel_px: int = 420,
) -> Path | None:
    """Write one picture of three slices: two that contain the screw's axis, one across it at the pedicle.

    The first is close to axial, the second close to sagittal, the third close to coronal; the patient's left is on
    the right, letters on the edges say what is where. The screw's outline and those of the segments are drawn.

    Parameters
    ----------
    volume_node
        The CT behind; shown in its own window and level (bone).
    superior_ras
        The vertebra's own upward direction, where it is known.
    isthmus_ras
        Where the cross-section is taken (its nearest point on the axis); about a third down the screw otherwise.

    Returns
    -------
    The file, or None where nothing can be drawn on this machine.
    """
    if not pictures_possible():
        return None
    planes = screw_planes(screw, superior_ras, isthmus_ras)
    model = [node for node in nodes_of_plan(scene, role="screw") if node.GetAttribute(ITEM_ATTRIBUTE) == screw.name]
    segmentations = [n for n in _displayable(scene) if n.IsA("vtkMRMLSegmentationNode")]
    panels = []
    with (
        _only(scene, [*model, *segmentations], None, None, fill=0.0),
        offscreen_slice(scene, (panel_px, panel_px)) as view,
    ):
        view.show(volume_node)
        for title, slice_to_ras, width_mm in planes:
            view.place(slice_to_ras, width_mm)
            _label(view, title, slice_to_ras, width_mm, panel_px)
            panels.append(view.draw())
    gap = np.full((panel_px, 4, 3), 255, dtype=np.uint8)
    write_png(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1), str(path))
    return Path(path)


def _label(view: OffscreenSlice, title: str, slice_to_ras: FloatArray, width_mm: float, panel_px: int) -> None:
    view.clear_texts()
    view.write(title, 0.5, 0.965, size_px=max(10, panel_px // 30))
    size = max(12, panel_px // 24)
    right, up = slice_to_ras[:3, 0], slice_to_ras[:3, 1]
    for direction, x, y in ((right, 0.965, 0.5), (-right, 0.035, 0.5), (up, 0.5, 0.91), (-up, 0.5, 0.035)):
        view.write(_letter(direction), x, y, size_px=size)
    view.write(f"{width_mm:.0f} mm wide", 0.86, 0.035, size_px=max(9, panel_px // 36))


def _letter(direction: FloatArray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _LETTERS[axis][int(direction[axis] > 0)]


# ---------------------------------------------------------------------- what is visible
def _displayable(scene: Any) -> list[Any]:
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return [n for n in nodes if n.IsA("vtkMRMLDisplayableNode") and n.GetDisplayNode() and not n.GetHideFromEditors()]


def _drawn(scene: Any) -> list[Any]:
    """Return the nodes that draw something of their own in the views (transforms and volumes do not here)."""
    classes = ("vtkMRMLModelNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode")
    return [n for n in _displayable(scene) if any(n.IsA(c) for c in classes)]


def _visible_nodes(scene: Any) -> list[Any]:
    nodes = [n for n in _drawn(scene) if n.GetDisplayNode().GetVisibility()]
    return [n for n in nodes if n.GetAttribute(ROLE_ATTRIBUTE) != "screw-axis"]


@contextmanager
def _only(
    scene: Any,
    shown: Sequence[Any],
    segments: Collection[str] | None,
    bone_opacity: float | None,
    fill: float | None = None,
    guide_opacity: float | None = None,
) -> Iterator[None]:
    """Show only some nodes and segments; afterwards every display node is as it was."""
    kept: list[tuple[Any, Any, tuple[str, ...]]] = []
    wanted = {node.GetID() for node in shown}
    try:
        for node in _drawn(scene):
            display = node.GetDisplayNode()
            copy = scene.CreateNodeByClass(display.GetClassName())
            copy.UnRegister(None)
            copy.CopyContent(display)
            kept.append((display, copy, tuple(display.GetViewNodeIDs() or ())))
            display.RemoveAllViewNodeIDs()  # whatever view of the application it is kept to: this is another
            display.SetVisibility(node.GetID() in wanted)
            if fill is not None and node.GetAttribute(ROLE_ATTRIBUTE) == "screw":
                # Outlines are thin: as bright as the colour can be, to be seen on grey bone.
                display.SetColor(*(value / max(display.GetColor()) for value in display.GetColor()))
                display.SetSliceIntersectionThickness(3)
            if node.IsA("vtkMRMLSegmentationNode"):
                _adjust_segmentation(node, segments, bone_opacity, fill)
            opacity = {"bone": bone_opacity, "guide": guide_opacity}.get(node.GetAttribute(ROLE_ATTRIBUTE))
            if opacity is not None:
                display.SetOpacity(opacity)
        yield
    finally:
        for display, copy, views in kept:
            display.CopyContent(copy)
            display.SetViewNodeIDs(views)


def _adjust_segmentation(
    node: Any, segments: Collection[str] | None, bone_opacity: float | None, fill: float | None
) -> None:
    display = node.GetDisplayNode()
    if bone_opacity is not None:
        display.SetOpacity3D(bone_opacity)
    if fill is not None:
        display.SetOpacity2DFill(fill)
    content = node.GetSegmentation()
    for index in range(content.GetNumberOfSegments()):
        segment_id = content.GetNthSegmentID(index)
        # What would hide the bones in 3D (muscle, skin) crowds a slice with outlines too.
        wanted = display.GetSegmentVisibility3D(segment_id)
        if segments is not None:
            wanted = content.GetSegment(segment_id).GetName() in segments
        display.SetSegmentVisibility(segment_id, wanted)
        display.SetSegmentVisibility3D(segment_id, wanted)
