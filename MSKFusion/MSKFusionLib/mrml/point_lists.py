"""Point lists of the scene as landmarks of the images that they were placed in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import FloatArray
from ..registration.landmarks import LandmarkPairs
from .between import points_between
from .tied_nodes import tie
from .transforms import place_under


def points_of(node: Any, volume: Any) -> dict[str, FloatArray]:
    """Return the placed points (3,) of a list by their names, mm in a volume's own frame.

    A point that still has the name that Slicer gave it (the list's, and a number) goes by its number.

    Raises
    ------
    InputError
        When two have one name.
    """
    found: dict[str, FloatArray] = {}
    for n in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(n) != node.PositionDefined:
            continue
        label = node.GetNthControlPointLabel(n).strip()
        name = label.removeprefix(node.GetName()).lstrip("-_ ") or label
        if name in found:
            raise InputError(f"two points are named '{name}'", "Rename one of them.", where=node.GetName())
        found[name] = np.array(node.GetNthControlPointPosition(n))
    moved = points_between(node, volume, list(found.values())) if found else ()
    return dict(zip(found, moved, strict=True))


def attach_points(node: Any, volume: Any) -> None:
    """Tie a point list to the volume that its points were placed in: it goes where the volume goes (`tied_nodes`).

    Its points stay where they are in the world.
    """
    tie(node, volume)
    above = volume.GetParentTransformNode()
    if node.GetParentTransformNode() is above:
        return
    count = node.GetNumberOfControlPoints()
    moved = points_between(node, volume, [node.GetNthControlPointPosition(n) for n in range(count)])
    was_modifying = node.StartModify()
    place_under(node, above)
    for n, point in enumerate(moved):
        if node.GetNthControlPointPositionStatus(n) == node.PositionDefined:
            node.SetNthControlPointPosition(n, *point)
    node.EndModify(was_modifying)


def landmark_pairs(
    fixed: Any, moving: Any, fixed_points: Any | None, moving_points: Any | None
) -> LandmarkPairs | None:
    """Return the landmarks of two volumes, paired by their names; None where none are placed.

    Parameters
    ----------
    fixed_points, moving_points
        Point list nodes, or None.

    Raises
    ------
    InputError
        When a name is in one list only.
    """
    first, second = (
        {} if node is None else points_of(node, volume)
        for node, volume in ((fixed_points, fixed), (moving_points, moving))
    )
    return LandmarkPairs.by_name(first, second) if first or second else None
