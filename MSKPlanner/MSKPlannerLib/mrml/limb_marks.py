"""Axes and the angle of a leg as markups that follow its planned correction, and the table of its measures before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import vtk

from ..anatomy.limb_landmarks import POINTS, LimbLandmarks, spoken
from ..colours import AXIS_COLOURS, CUT_COLOUR
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
#: Of the marks that a plan always shows, those that lie where the leg is before the correction.
LIES_BEFORE = tuple(key for key, *_rest, at_first in _LINES if at_first)
_ANGLE_POINTS = ("hip_centre", "femoral_knee_centre", "ankle_centre")
#: The angle is drawn this far up and down from the knee: Slicer's arc and label stand out by as much as its legs are long, and those
#: of whole bones put the label out of the view. The legs themselves are the axes.
_ANGLE_LEG_MM = 110.0
#: How thick an axis is drawn, mm, and how much of it is seen through bone.
_LINE_MM, _THROUGH_BONE = 2.0, 0.6
#: How much of what is behind a label its ground hides.
_LABEL_GROUND = 0.75
#: A landmark nearer than this to where it was is there, mm.
_SAME_MM = 1e-6
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
        marks[_ANGLE] = ("vtkMRMLMarkupsAngleNode", f"HKA {value:.1f}°", _beside_the_knee(points), "after")
    return marks


def marks_before(plan: Plan) -> dict[str, tuple[str, str, np.ndarray, str]]:
    """Return the marks that a plan has before its correction beside those of `wanted_marks`, as that gives them."""
    if plan.limb is None or not any(o.role for o in plan.osteotomies):
        return {}
    points = landmarks_of(plan.limb)
    marks = {}
    for key, name, names, colour, at_first in _LINES:
        known = _known(points, names)
        if known is not None and not at_first and colour != "after":
            marks[f"{key} before"] = ("vtkMRMLMarkupsLineNode", f"{name} before", known, colour)
    known = _known(points, _ANGLE_POINTS)
    value = next((m.before for m in whole_change(plan.osteotomies) if m.name == "hka_deg"), None)
    if known is not None and value is not None:
        marks[f"{_ANGLE} before"] = ("vtkMRMLMarkupsAngleNode", f"HKA {value:.1f}°", _beside_the_knee(known), "before")
    return marks


def add_mark(scene: Any, kind: str, name: str, points: np.ndarray, colour: str) -> Any:
    """Add a locked line or angle."""
    return filled_mark(scene.AddNewNodeByClass(kind, name), points, colour)


def filled_mark(node: Any, points: np.ndarray, colour: str) -> Any:
    """Give a new line or angle its points and its looks; return it."""
    for point in points:
        node.AddControlPoint(vtk.vtkVector3d(*point))
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*AXIS_COLOURS[colour])
    display.SetSelectedColor(*AXIS_COLOURS[colour])
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(1.2)
    display.SetOccludedVisibility(True)  # axes run inside the bones
    display.SetOccludedOpacity(_THROUGH_BONE)
    display.SetCurveLineSizeMode(display.UseLineDiameter)
    display.SetLineDiameter(_LINE_MM)
    display.SetPointLabelsVisibility(False)
    angle = bool(node.IsA("vtkMRMLMarkupsAngleNode"))
    display.SetPropertiesLabelVisibility(angle)
    if angle:
        # A leg that is straight has its label on the bone: it is read on a ground of its own.
        text = display.GetTextProperty()
        text.SetBackgroundColor(1.0, 1.0, 1.0)
        text.SetBackgroundOpacity(_LABEL_GROUND)
        # Its name has the angle of the frontal plane; the one in space beside it would be a second, other number.
        node.GetMeasurement("angle").SetEnabled(False)
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


def wanted_landmarks(plan: Plan) -> dict[str, tuple[float, float, float]]:
    """Return the landmarks that a plan shows, as they lie in the image; none without a leg that is cut, or marked by hand."""
    limb = plan.limb
    if limb is None or not (any(o.role for o in plan.osteotomies) or "placed" in limb.origin.values()):
        return {}
    return {n: limb.landmarks_ras[n] for n in POINTS if n in limb.landmarks_ras}


def put_landmarks(node: Any, points: Mapping[str, Sequence[float]]) -> None:
    """Put a point list where landmarks are: made anew where its points are not theirs in number."""
    if node.GetNumberOfControlPoints() != len(points):
        node.RemoveAllControlPoints()
        for name, point in points.items():
            index = node.AddControlPoint(vtk.vtkVector3d(*point), spoken(name))
            node.SetNthControlPointDescription(index, name)
    for index, point in enumerate(points.values()):
        if tuple(node.GetNthControlPointPosition(index)) != tuple(point):
            node.SetNthControlPointPosition(index, *point)


def moved_landmarks(node: Any, points: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float, float]] | None:
    """Return the landmarks whose points lie elsewhere, where they lie now; None where points were added or deleted."""
    if node.GetNumberOfControlPoints() != len(points) or node.GetNumberOfDefinedControlPoints() != len(points):
        return None
    moved = {}
    for index, (name, point) in enumerate(points.items()):
        r, a, s = node.GetNthControlPointPosition(index)
        if max(abs(r - point[0]), abs(a - point[1]), abs(s - point[2])) > _SAME_MM:
            moved[name] = (float(r), float(a), float(s))
    return moved


def add_landmarks(scene: Any) -> Any:
    """Add an empty point list for the landmarks of a leg, locked until its moves are followed."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Landmarks of the leg, before")
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*CUT_COLOUR)
    display.SetSelectedColor(*CUT_COLOUR)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(3.0)
    display.SetTextScale(2.0)
    return node


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


def _beside_the_knee(points: np.ndarray) -> np.ndarray:
    """Return the points of an angle (3, 3) with its outer ones on the same rays, near its corner."""
    rays = points[[0, 2]] - points[1]
    length = np.linalg.norm(rays, axis=1, keepdims=True)
    near = points[1] + rays * np.minimum(1.0, _ANGLE_LEG_MM / np.maximum(length, 1e-9))
    return np.array([near[0], points[1], near[1]])
