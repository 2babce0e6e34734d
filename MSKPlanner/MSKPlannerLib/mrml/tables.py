"""The metrics of a plan as table nodes, with units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import vtk

from ..plan import Guide, Screw
from ..plan_columns import GUIDE_COLUMNS, SCREW_COLUMNS, Column


def screw_table(scene: Any, screws: Sequence[Screw]) -> Any:
    """Add a table with one row a screw; numbers that are not known are NaN."""
    return _table(scene, "Screw metrics", SCREW_COLUMNS, screws)


def guide_table(scene: Any, guides: Sequence[Guide]) -> Any:
    """Add a table with one row a guide."""
    return _table(scene, "Guide metrics", GUIDE_COLUMNS, guides)


def fill_screw_table(node: Any, screws: Sequence[Screw]) -> None:
    """Put other screws into a table."""
    _fill(node, SCREW_COLUMNS, screws)


def fill_guide_table(node: Any, guides: Sequence[Guide]) -> None:
    """Put other guides into a table."""
    _fill(node, GUIDE_COLUMNS, guides)


def _table(scene: Any, name: str, columns: Sequence[Column], rows: Sequence[Any]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    _fill(node, columns, rows)
    return node


def _fill(node: Any, columns: Sequence[Column], rows: Sequence[Any]) -> None:
    was_modifying = node.StartModify()
    node.SetLocked(False)
    node.RemoveAllColumns()
    node.SetUseColumnTitleAsColumnHeader(True)
    for column in columns:
        array = vtk.vtkDoubleArray() if column.is_number else vtk.vtkStringArray()
        array.SetName(column.title)
        for row in rows:
            if column.is_number:
                value = column.value(row)
                array.InsertNextValue(math.nan if value is None else float(value))
            else:
                array.InsertNextValue(column.text(row))
        node.AddColumn(array)
        node.SetColumnDescription(column.title, column.meaning)
        if column.unit:
            node.SetColumnUnitLabel(column.title, column.unit)
    node.SetLocked(True)
    node.EndModify(was_modifying)
