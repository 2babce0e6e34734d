"""The nodes of one screw and of one guide: made, and brought up to what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import vtk

from MSKFusionLib.mrml import VERDICT_ATTRIBUTE
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.terminology import Colour

from ..colours import GUIDE_COLOUR, OUT_OF_DATE_COLOUR, SCREW_COLOUR, judged_colour
from ..mesh import Mesh
from ..plan import Guide, Point, Screw
from ..screws.shape import screw_mesh


@dataclass(frozen=True, eq=False)
class ScrewNodes:
    """The nodes of one screw: its axis (vtkMRMLMarkupsLineNode, entry then tip) and its body (vtkMRMLModelNode)."""

    axis: Any
    model: Any


def axis_name(screw: Screw) -> str:
    """Return what the node of a screw's axis is called."""
    return f"{screw.name} axis{_mark(screw.verdict)}"


def body_name(screw: Screw) -> str:
    """Return what the model of a screw is called."""
    return f"{screw.name}, {screw.diameter_mm:g} x {screw.length_mm:.3g} mm{_mark(screw.verdict)}"


def guide_name(guide: Guide) -> str:
    """Return what the model of a guide is called."""
    return guide.name + (" (out of date)" if guide.out_of_date else _mark(guide.verdict))


def screw_colour(screw: Screw) -> Colour:
    """Return the colour of a screw by its verdict."""
    return judged_colour(SCREW_COLOUR, screw.verdict)


def guide_colour(guide: Guide) -> Colour:
    """Return the colour of a guide by its verdict, and whether it still fits its screws."""
    return OUT_OF_DATE_COLOUR if guide.out_of_date else judged_colour(GUIDE_COLOUR, guide.verdict)


def add_axis(scene: Any, screw: Screw) -> Any:
    """Add the line of a screw's axis, locked: only where its moves are followed (`plan_session`) it is a handle."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", axis_name(screw))
    for label, point in (("entry", screw.entry_ras), ("tip", screw.tip_ras)):
        index = node.AddControlPoint(vtk.vtkVector3d(*point), f"{screw.name} {label}")
        node.SetNthControlPointDescription(index, f"{label} of {screw.name}")
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    _colour_axis(node, screw)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(1.6)
    display.SetLineThickness(0.4)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    # By default a point that is dragged in a 3D view jumps onto the surface under the mouse: a tip lies within bone.
    display.SetSnapMode(display.SnapModeUnconstrained)
    return node


def axis_ends(node: Any) -> tuple[Point, Point] | None:
    """Return entry and tip of a line in its own frame; None where it has not just these two points."""
    if node.GetNumberOfDefinedControlPoints() != 2 or node.GetNumberOfControlPoints() != 2:
        return None
    entry, tip = [0.0] * 3, [0.0] * 3
    node.GetNthControlPointPosition(0, entry)
    node.GetNthControlPointPosition(1, tip)
    return (entry[0], entry[1], entry[2]), (tip[0], tip[1], tip[2])


def update_screw(nodes: ScrewNodes, old: Screw, new: Screw, *, move_axis: bool = True) -> None:
    """Bring a screw's nodes to what became of it, its line only where no hand is on it. Names that the user gave stay."""
    if move_axis and axis_ends(nodes.axis) != (new.entry_ras, new.tip_ras):
        put_ends(nodes.axis, new)
    if (old.entry_ras, old.tip_ras, old.diameter_mm) != (new.entry_ras, new.tip_ras, new.diameter_mm):
        nodes.model.SetAndObservePolyData(body_surface(new))
    for node, name in ((nodes.axis, axis_name), (nodes.model, body_name)):
        _rename(node, name(old), name(new))
        if old.verdict is not new.verdict:
            node.SetAttribute(VERDICT_ATTRIBUTE, new.verdict.value)
    if old.verdict is not new.verdict:
        _colour_axis(nodes.axis, new)
        if nodes.model.GetDisplayNode() is not None:
            nodes.model.GetDisplayNode().SetColor(*screw_colour(new))
    nodes.model.SetDescription(new.remarks)


def put_ends(node: Any, screw: Screw) -> None:
    """Put a line's two points where a screw's entry and tip are, however many points it has."""
    while node.GetNumberOfControlPoints() > 2:
        node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)
    for index, (label, point) in enumerate((("entry", screw.entry_ras), ("tip", screw.tip_ras))):
        if index < node.GetNumberOfControlPoints():
            node.SetNthControlPointPosition(index, *point)
        else:
            node.AddControlPoint(vtk.vtkVector3d(*point), f"{screw.name} {label}")


def update_guide(node: Any, old: Guide, new: Guide) -> None:
    """Bring a guide's model to what became of it; its surface is as it was."""
    _rename(node, guide_name(old), guide_name(new))
    node.SetAttribute(VERDICT_ATTRIBUTE, new.verdict.value)
    node.SetDescription(new.remarks)
    if node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetColor(*guide_colour(new))


def body_surface(screw: Screw) -> vtk.vtkPolyData:
    """Return the surface of a screw for a model."""
    return with_normals(screw_mesh(screw), 40.0)


def with_normals(mesh: Mesh, feature_angle_deg: float | None) -> vtk.vtkPolyData:
    """Return the mesh with point normals for smooth shading, its points where they are.

    An angle splits the points along sharper edges; the surface is then no longer joined there.
    """
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(mesh.to_polydata())
    normals.SetOutputPointsPrecision(vtk.vtkAlgorithm.DOUBLE_PRECISION)
    normals.ConsistencyOff()
    normals.SetSplitting(feature_angle_deg is not None)
    if feature_angle_deg is not None:
        normals.SetFeatureAngle(feature_angle_deg)
    normals.Update()
    return normals.GetOutput()


def _colour_axis(node: Any, screw: Screw) -> None:
    display = node.GetDisplayNode()
    if display is not None:
        display.SetColor(*screw_colour(screw))
        display.SetSelectedColor(*screw_colour(screw))


def _rename(node: Any, given: str, name: str) -> None:
    if given != name and node.GetName() == given:
        node.SetName(name)


def _mark(verdict: Verdict) -> str:
    return "" if verdict is Verdict.ACCEPTED else " (rejected)"
