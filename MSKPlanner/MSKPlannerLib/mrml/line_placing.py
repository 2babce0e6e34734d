"""Two points that a user clicks in the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MSKFusionLib.mrml import place_under
from MSKFusionLib.mrml.placing import Later, Placing

from ..plan import Point
from .item_nodes import axis_ends

#: Given entry and tip as they were clicked, in the frame of the node that the plan is in.
Placed = Callable[[Point, Point], None]


class LinePlacing(Placing):
    """Takes an entry and a tip from the user, once each time `start` is called; see `Placing`.

    Parameters
    ----------
    placed
        Called with both points (3,), mm.
    """

    def __init__(self, scene: Any, placed: Placed, ended: Callable[[], None], later: Later) -> None:
        super().__init__(scene, ended, later)
        self._placed = placed

    def start(self, frame: Any = None) -> None:
        """Wait for two clicks.

        Parameters
        ----------
        frame
            The node in whose frame the points are wanted (the plan's CT); None takes RAS.
        """
        node = self._new_node("vtkMRMLMarkupsLineNode", "New screw")
        node.GetDisplayNode().SetPropertiesLabelVisibility(False)
        if frame is not None and frame.GetParentTransformNode() is not None:
            place_under(node, frame.GetParentTransformNode())
        self._wait_for(node)

    def _is_defined(self, node: Any) -> bool:
        return axis_ends(node) is not None

    def _taken(self, node: Any) -> Callable[[], None]:
        ends = axis_ends(node)
        assert ends is not None
        return lambda: self._placed(*ends)
