"""The nodes of one osteotomy: its plane with handles, and its fragments, each under the transform that the plan gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk

from MSKFusionLib.frames import FloatArray, check_rigid
from MSKFusionLib.mrml import VERDICT_ATTRIBUTE
from MSKFusionLib.terminology import Colour

from ..colours import BONE_COLOUR, CUT_COLOUR, MOVED_COLOUR, REMOVED_COLOUR, judged_colour
from ..mesh import Mesh
from ..osteotomy.cut_shape import CutKind, CutShape
from ..osteotomy.planned import asked_of
from ..plan_osteotomy import Fragment, Osteotomy

_COLOURS = {"staying": BONE_COLOUR, "moved": MOVED_COLOUR, "wedge": REMOVED_COLOUR}
#: A plane reaches this far behind its hinge and to each side of it, and from the hinge to the saw, mm.
_REACH_MM = (15.0, 75.0, 40.0)
#: A handle nearer than this to where its plan says it is, was not moved, mm and degrees alike.
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class OsteotomyNodes:
    """vtkMRMLMarkupsPlaneNode, and by the fragments' names vtkMRMLModelNode and the vtkMRMLLinearTransformNode above it."""

    plane: Any
    models: Mapping[str, Any]
    motions: Mapping[str, Any]

    @property
    def all(self) -> tuple[Any, ...]:
        """Every node, models before their transforms."""
        return (self.plane, *self.models.values(), *self.motions.values())


def plane_name(osteotomy: Osteotomy) -> str:
    """Return what the node of an osteotomy's plane is called."""
    return f"{osteotomy.name} plane" + (" (rejected)" if osteotomy.verdict != "accepted" else "")


def fragment_name(osteotomy: Osteotomy, fragment: Fragment) -> str:
    """Return what the model of a fragment is called."""
    return f"{osteotomy.bone}, {fragment.name}"


def add_plane(scene: Any, osteotomy: Osteotomy) -> Any:
    """Add the plane of an osteotomy, locked: only where its moves are followed it is a handle."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", plane_name(osteotomy))
    node.SetPlaneType(node.PlaneTypePointNormal)
    node.SetSizeMode(node.SizeModeAbsolute)
    node.CreateDefaultDisplayNodes()
    put_plane(node, asked_of(osteotomy).shape)
    back, ahead, beside = _REACH_MM
    node.SetPlaneBounds(-back, ahead, -beside, beside)
    node.SetLocked(True)
    display = node.GetDisplayNode()
    _colour(node, osteotomy)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(2.0)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetFillOpacity(0.25)
    display.SetScaleHandleVisibility(False)
    return node


def plane_frame(node: Any) -> FloatArray | None:
    """Return the frame of a plane's node (origin on the hinge, x to the saw's entry, z across), in its own node's frame.

    None where it is no plane any more: its point was deleted.
    """
    if node.GetNumberOfDefinedControlPoints() != 1:
        return None
    matrix = vtk.vtkMatrix4x4()
    node.GetObjectToNodeMatrix(matrix)
    frame = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    # A handle that was turned often leaves rounding in the axes.
    u, _, v = np.linalg.svd(frame[:3, :3])
    frame[:3, :3] = u @ v
    return frame if np.isfinite(frame).all() and np.linalg.det(frame[:3, :3]) > 0 else None


def is_at(frame: FloatArray, shape: CutShape) -> bool:
    """Tell whether a frame is that of a cut; a derotation's x and y are of no account."""
    off = np.abs(check_rigid(frame, "plane") - shape.to_ras)
    return bool((off[:, 2:] if shape.kind is CutKind.TURN else off).max() < _SAME)


def put_plane(node: Any, shape: CutShape) -> None:
    """Put a plane's node where a cut is, however many points it has."""
    while node.GetNumberOfControlPoints() > 1:
        node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)
    frame = shape.to_ras
    if not node.GetNumberOfControlPoints():
        node.AddControlPoint(vtk.vtkVector3d(*frame[:3, 3]), "hinge")
    x, y, z = (vtk.vtkVector3d(*frame[:3, i]) for i in range(3))
    node.SetAxes(x, y, z)
    node.SetOrigin(*frame[:3, 3])


def update_plane(node: Any, old: Osteotomy, new: Osteotomy, *, move: bool = True) -> None:
    """Bring a plane's node to what became of its osteotomy. A name that the user gave stays."""
    if move:
        frame, shape = plane_frame(node), asked_of(new).shape
        if frame is None or not is_at(frame, shape):
            put_plane(node, shape)
    if plane_name(old) != plane_name(new) and node.GetName() == plane_name(old):
        node.SetName(plane_name(new))
    node.SetAttribute(VERDICT_ATTRIBUTE, new.verdict.value)
    node.SetDescription(new.remarks)
    _colour(node, new)


def put_motion(node: Any, fragment: Fragment) -> None:
    """Give a fragment's transform the place that the plan gives it."""
    matrix = vtk.vtkMatrix4x4()
    for r, row in enumerate(fragment.image_to_planned_ras):
        for c, value in enumerate(row):
            matrix.SetElement(r, c, value)
    held = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(held)
    if any(held.GetElement(r, c) != matrix.GetElement(r, c) for r in range(4) for c in range(4)):
        node.SetMatrixTransformToParent(matrix)


def fragment_colour(osteotomy: Osteotomy, fragment: Fragment) -> Colour:
    """Return the colour of a fragment by what becomes of it and the verdict."""
    return (
        judged_colour(_COLOURS[fragment.name], osteotomy.verdict)
        if fragment.name == "moved"
        else _COLOURS[fragment.name]
    )


def fragment_surface(mesh: Mesh) -> vtk.vtkPolyData:
    """Return the surface of a fragment for a model: its own triangles, so that what is exported is what is seen."""
    return mesh.to_polydata()


def _colour(node: Any, osteotomy: Osteotomy) -> None:
    display = node.GetDisplayNode()
    if display is not None:
        colour = judged_colour(CUT_COLOUR, osteotomy.verdict)
        display.SetColor(*colour)
        display.SetSelectedColor(*colour)
