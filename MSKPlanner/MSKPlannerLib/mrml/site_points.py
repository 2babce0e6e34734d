"""The points that some sites need, or take, from the user: a point list with their names, placed by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk

from MSKFusionLib.mrml.point_lists import attach_points, points_of

from ..anatomy.limb_landmarks import spoken
from ..plan import Point


def begin_site_points(scene: Any, title: str, names: Sequence[str], ct: Any) -> Any:
    """Add a point list that waits for one click for each of a site's points, in their order, and goes where the CT goes.

    Returns
    -------
    vtkMRMLMarkupsFiducialNode
        The user's own from then on: saved with the scene, its points dragged, renamed or deleted as any.
    """
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(title))
    node.CreateDefaultDisplayNodes()
    for name in names:
        # It is there with its name, and waits for its place.
        node.UnsetNthControlPointPosition(node.AddControlPoint(vtk.vtkVector3d(0.0, 0.0, 0.0), spoken(name)))
    node.SetFixedNumberOfControlPoints(True)  # place mode ends by itself with the last of them
    attach_points(node, ct)
    logic = slicer.app.applicationLogic()
    selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SwitchToPersistentPlaceMode()
    return node


def site_points(node: Any | None, ct: Any, names: Sequence[str]) -> dict[str, Point]:
    """Return the placed points of a list that are named as a site's points are, in the CT's own frame; others are left out.

    Raises
    ------
    InputError
        When two have one name.
    """
    if node is None:
        return {}
    found = {name.lower().replace(" ", "_"): point for name, point in points_of(node, ct).items()}
    return {n: (float(p[0]), float(p[1]), float(p[2])) for n, p in found.items() if n in names}
