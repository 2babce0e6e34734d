"""Axes and the angle of a leg as markups that follow its planned correction, and the table of its measures before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk

from ..anatomy.limb_landmarks import LimbLandmarks
from ..colours import AXIS_COLOURS
from ..osteotomy.planned import landmarks_of, limb_after, whole_change
from ..plan import Plan

#: Each mark: its key, its name, its points, its colour, and whether it lies where the leg is before the correction.
_LINES = (
    ("femoral axis", "Femoral axis", ("hip_centre", "femoral_knee_centre"), "femur", False),
    ("tibial axis", "Tibial axis", ("tibial_knee_centre", "ankle_centre"), "tibia", False),
    ("weight-bearing line", "Weight-bearing line", ("hip_centre", "ankle_centre"), "after", False),
    ("weight-bearing line before", "Weight-bearing line before", ("hip_centre", "ankle_centre"), "before", True),
)
_ANGLE = "hip-knee-ankle angle"
_ANGLE_POINTS = ("hip_centre", "femoral_knee_centre", "ankle_centre")
#: What the table says, column by column.
_COLUMNS = ("Measure", "Unit", "Before", "After", "Change")


def wanted_marks(plan: Plan) -> dict[str, tuple[str, str, np.ndarray, str]]:
    """Return what marks a plan has, by their keys: node class, name, points (N, 3) RAS mm, colour; none without a measured leg."""
    if plan.limb is None or not any(o.role for o in plan.osteotomies):
        return {}
    before, after = landmarks_of(plan.limb), limb_after(plan.limb, plan.osteotomies)
    marks = {}
    for key, name, names, colour, at_first in _LINES:
        points = _known(before if at_first else after, names)
        if points is not None:
            marks[key] = ("vtkMRMLMarkupsLineNode", name, points, colour)
    points = _known(after, _ANGLE_POINTS)
    value = next((m.after for m in whole_change(plan.osteotomies) if m.name == "hka_deg"), None)
    if points is not None and value is not None:
        marks[_ANGLE] = ("vtkMRMLMarkupsAngleNode", f"HKA {value:.1f}°", points, "after")
    return marks


def add_mark(scene: Any, kind: str, name: str, points: np.ndarray, colour: str) -> Any:
    """Add a locked line or angle."""
    node = scene.AddNewNodeByClass(kind, name)
    for point in points:
        node.AddControlPoint(vtk.vtkVector3d(*point))
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*AXIS_COLOURS[colour])
    display.SetSelectedColor(*AXIS_COLOURS[colour])
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(1.2)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(kind == "vtkMRMLMarkupsAngleNode")
    return node


def put_mark(node: Any, points: np.ndarray) -> None:
    """Put a mark's points where they are to be, however many it has."""
    while node.GetNumberOfControlPoints() > len(points):
        node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)
    for index, point in enumerate(points):
        if index >= node.GetNumberOfControlPoints():
            node.AddControlPoint(vtk.vtkVector3d(*point))
        elif np.abs(np.array(node.GetNthControlPointPosition(index)) - point).max() > 1e-9:
            node.SetNthControlPointPosition(index, *point)


def fill_measures(node: Any, plan: Plan) -> None:
    """Write the measures before and after into a table node; numbers that cannot be made are NaN."""
    rows = whole_change(plan.osteotomies)
    was_modifying = node.StartModify()
    node.SetLocked(False)
    node.RemoveAllColumns()
    node.SetUseColumnTitleAsColumnHeader(True)
    texts = {"Measure": [r.title for r in rows], "Unit": [r.unit for r in rows]}
    numbers = {
        "Before": [r.before for r in rows],
        "After": [r.after for r in rows],
        "Change": [None if r.before is None or r.after is None else r.after - r.before for r in rows],
    }
    for name in _COLUMNS:
        array = vtk.vtkStringArray() if name in texts else vtk.vtkDoubleArray()
        array.SetName(name)
        for text in texts.get(name, ()):
            array.InsertNextValue(text)
        for number in numbers.get(name, ()):
            array.InsertNextValue(math.nan if number is None else number)
        node.AddColumn(array)
    node.SetLocked(True)
    node.EndModify(was_modifying)


def _known(points: LimbLandmarks, names: Sequence[str]) -> np.ndarray | None:
    found = np.array([getattr(points, n) for n in names])
    return found if np.isfinite(found).all() else None
