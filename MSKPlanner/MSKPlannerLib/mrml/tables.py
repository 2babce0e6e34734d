"""The metrics of a plan as table nodes, with units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import vtk

from ..plan import Guide, Screw


@dataclass(frozen=True)
class _Column:
    """One column: its title, its unit, what it means, and where the value comes from (a number or a text)."""

    title: str
    unit: str
    meaning: str
    value: Callable[[Any], float | str | None]
    number: bool = True


def _text(title: str, meaning: str, value: Callable[[Any], str]) -> _Column:
    return _Column(title, "", meaning, value, number=False)


_SCREW_COLUMNS = (
    _text("Screw", "Name in the plan document", lambda s: s.name),
    _text("Level", "Vertebra", lambda s: s.level),
    _text("Side", "Of the patient", lambda s: s.side),
    _Column("Diameter (mm)", "mm", "Outer diameter of the thread", lambda s: s.diameter_mm),
    _Column("Length (mm)", "mm", "From the entry to the tip", lambda s: s.length_mm),
    _Column("Clearance (mm)", "mm", "Least distance of the screw to the cortex, all round", lambda s: s.clearance_mm),
    _text("Grade", "Gertzbein-Robbins, A to E", lambda s: s.grade),
    _Column("Breach (mm)", "mm", "How far the screw leaves the bone", lambda s: s.breach_mm),
    _Column("Mean (HU)", "HU", "Mean CT value in the screw's cylinder", lambda s: s.hu_mean),
    _Column("Minimum (HU)", "HU", "Lowest CT value in the screw's cylinder", lambda s: s.hu_min),
    _Column("Pedicle width (mm)", "mm", "At the isthmus", lambda s: s.pedicle_width_mm),
    _text("Verdict", "Whether the screw passed its own check", lambda s: s.verdict.value),
    _text("Reasons", "Why", lambda s: "; ".join(s.reasons)),
)
_GUIDE_COLUMNS = (
    _text("Guide", "Name in the plan document", lambda g: g.name),
    _text("Level", "Vertebra", lambda g: g.level),
    _text("Watertight", "Whether the mesh is closed", lambda g: "yes" if g.watertight else "no"),
    _Column("Bodies", "", "Separate parts", lambda g: g.bodies),
    _Column("Volume (mm3)", "mm3", "Material", lambda g: g.volume_mm3),
    _Column("Thinnest wall (mm)", "mm", "Least thickness of any wall", lambda g: g.min_wall_mm),
    _Column("Asked gap (mm)", "mm", "Fit clearance to the bone that was asked for", lambda g: g.fit_clearance_mm),
    _Column("Mean gap (mm)", "mm", "Fit clearance as designed", lambda g: g.fit_gap_mean_mm),
    _Column("Largest gap error (mm)", "mm", "Farthest from what was asked", lambda g: g.fit_gap_max_error_mm),
    _text("Verdict", "Whether the guide passed its own checks", lambda g: g.verdict.value),
    _text("Reasons", "Why", lambda g: "; ".join(g.reasons)),
)


def screw_table(scene: Any, screws: Sequence[Screw]) -> Any:
    """Add a table with one row a screw; numbers that are not known are NaN."""
    return _table(scene, "Screw metrics", _SCREW_COLUMNS, screws)


def guide_table(scene: Any, guides: Sequence[Guide]) -> Any:
    """Add a table with one row a guide."""
    return _table(scene, "Guide metrics", _GUIDE_COLUMNS, guides)


def _table(scene: Any, name: str, columns: Sequence[_Column], rows: Sequence[Any]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetUseColumnTitleAsColumnHeader(True)
    for column in columns:
        array = vtk.vtkDoubleArray() if column.number else vtk.vtkStringArray()
        array.SetName(column.title)
        for row in rows:
            value = column.value(row)
            if column.number:
                array.InsertNextValue(math.nan if value is None else float(value))
            else:
                array.InsertNextValue(str(value))
        node.AddColumn(array)
        node.SetColumnDescription(column.title, column.meaning)
        if column.unit:
            node.SetColumnUnitLabel(column.title, column.unit)
    node.SetLocked(True)
    return node
