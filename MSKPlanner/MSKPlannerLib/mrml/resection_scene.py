"""A resection in a scene: its planes, the specimen, what stays, the tumour, and the bared bone coloured by its margin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from MSKFusionLib.frames import FloatArray, rigid, unit

from ..colours import BONE_COLOUR, CUT_COLOUR, MOVED_COLOUR, REMOVED_COLOUR, judged_colour
from ..mesh import Mesh
from ..plan import Plan
from ..plan_resection import ResectionCut, ResectionRecord
from .item_nodes import with_normals
from .plan_scene import PlanBuilder

PLANE_ROLE, PART_ROLE, MARGIN_ROLE = "resection-plane", "resection-part", "resection-margin"
#: A plane reaches this far to each side, mm.
_REACH_MM = 45.0
_TUMOUR_COLOUR = (0.72, 0.1, 0.15)
_LOOKS: Mapping[str, tuple[tuple[float, float, float], float]] = {
    "specimen": (MOVED_COLOUR, 0.5),
    "remaining": (BONE_COLOUR, 1.0),
    "dust": (REMOVED_COLOUR, 0.35),
    "tumour": (_TUMOUR_COLOUR, 1.0),
}


@dataclass(frozen=True, eq=False)
class ResectionNodes:
    """vtkMRMLMarkupsPlaneNode by the cuts' names, vtkMRMLModelNode by the parts', and of the margins where they were given."""

    planes: Mapping[str, Any]
    parts: Mapping[str, Any]
    margins: Any


def resection_to_scene(
    scene: Any, plan: Plan, record: ResectionRecord, meshes: Mapping[str, Mesh],
    margins: tuple[Mesh, FloatArray] | None = None, folder: int | None = None,
) -> ResectionNodes:  # fmt: skip
    """Add a resection of a plan to a scene.

    Parameters
    ----------
    meshes
        By the parts' names (`osteotomy.planned_resection.part_meshes`).
    margins
        Bared bone, and its distance from the tumour at each corner, mm.
    folder
        The plan's folder in the subject hierarchy.
    """
    build = PlanBuilder(scene, plan, folder)
    into = build.folder("Resections")
    parts = {}
    for part in record.parts:
        if part.name not in meshes:
            continue
        colour, opacity = _LOOKS[part.name]
        shown = judged_colour(colour, record.verdict) if part.name == "specimen" else colour
        node = build.model(with_normals(meshes[part.name], None), f"{record.bone}, {part.name}", shown, opacity)
        node.SetDescription(record.remarks)
        parts[part.name] = build.add(node, into, PART_ROLE, f"{record.name}, {part.name}", record.verdict)
    planes = {}
    for cut in record.cuts:
        node = _plane(scene, record, cut)
        planes[cut.name] = build.add(node, into, PLANE_ROLE, f"{record.name}, {cut.name}", record.verdict)
    coloured = None
    if margins is not None:
        coloured = build.add(_margins(build, record, *margins), into, MARGIN_ROLE, record.name, record.verdict)
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{record.name}, cuts")
    _fill(table, record)
    build.add(table, build.folder("Documents"), "resection-cuts", record.name)
    return ResectionNodes(planes, parts, coloured)


def _plane(scene: Any, record: ResectionRecord, cut: ResectionCut) -> Any:
    """Add a locked plane: its place is what keeps the margin."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", f"{record.bone}, {cut.name}")
    node.SetPlaneType(node.PlaneTypePointNormal)
    node.SetSizeMode(node.SizeModeAbsolute)
    node.CreateDefaultDisplayNodes()
    z = np.array(cut.normal_ras)
    saw = np.array(cut.saw_direction_ras)
    x = unit(saw - (saw @ z) * z)
    frame = rigid(np.column_stack([x, np.cross(z, x), z]), np.array(cut.point_ras))
    node.AddControlPoint(vtk.vtkVector3d(*frame[:3, 3]), cut.name)
    node.SetAxes(*(vtk.vtkVector3d(*frame[:3, i]) for i in range(3)))
    node.SetOrigin(*frame[:3, 3])
    node.SetPlaneBounds(-_REACH_MM, _REACH_MM, -_REACH_MM, _REACH_MM)
    node.SetLocked(True)
    node.SetDescription(
        f"margin {cut.margin_mm:.2f} mm; saw {cut.saw_depth_mm:.0f} mm deep, {cut.off_approach_deg:.0f} degrees off the approach"
    )
    display = node.GetDisplayNode()
    display.SetColor(*judged_colour(CUT_COLOUR, record.verdict))
    display.SetSelectedColor(*judged_colour(CUT_COLOUR, record.verdict))
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetFillOpacity(0.2)
    return node


def _margins(build: PlanBuilder, record: ResectionRecord, bared: Mesh, margins_mm: FloatArray) -> Any:
    """Add the bared bone with its margins as scalars, shown from the wished margin on."""
    data = bared.to_polydata()
    values = numpy_to_vtk(np.ascontiguousarray(margins_mm, dtype=np.float64), deep=True)
    values.SetName("margin_mm")
    data.GetPointData().SetScalars(values)
    node = build.model(data, f"{record.bone}, margin in mm", CUT_COLOUR)
    display = node.GetDisplayNode()
    display.SetActiveScalarName("margin_mm")
    display.SetScalarVisibility(True)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(record.wished_mm, max(float(margins_mm.max()), record.wished_mm + 1.0))
    return node


def _fill(table: Any, record: ResectionRecord) -> None:
    columns: dict[str, list[str | float]] = {
        "Cut": [c.name for c in record.cuts],
        "Margin mm": [c.margin_mm for c in record.cuts],
        "Saw depth mm": [c.saw_depth_mm for c in record.cuts],
        "Off approach deg": [c.off_approach_deg for c in record.cuts],
        "Area mm2": [c.area_mm2 for c in record.cuts],
    }
    for name, values in columns.items():
        array: Any = vtk.vtkStringArray() if name == "Cut" else vtk.vtkDoubleArray()
        array.SetName(name)
        for value in values:
            array.InsertNextValue(value)
        table.AddColumn(array)
