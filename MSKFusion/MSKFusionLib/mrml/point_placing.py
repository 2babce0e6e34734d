"""One point that a user clicks in the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frames import FloatArray
from .between import points_between
from .placing import Later, Placing


class PointPlacing(Placing):
    """Takes one point from the user each time `start` is called; see `Placing`."""

    def __init__(self, scene: Any, ended: Callable[[], None], later: Later) -> None:
        super().__init__(scene, ended, later)
        self._frame: Any = None
        self._placed: Callable[[FloatArray], None] = lambda point: None

    def start(self, name: str, placed: Callable[[FloatArray], None], frame: Any = None) -> None:
        """Wait for a click.

        Parameters
        ----------
        name
            What the views write at the point.
        placed
            Called with the point (3,), mm.
        frame
            The node in whose own frame the point is wanted; None takes RAS.
        """
        node = self._new_node("vtkMRMLMarkupsFiducialNode", name)
        node.SetControlPointLabelFormat(name.replace("%", ""))
        self._frame, self._placed = frame, placed
        self._wait_for(node)

    def _is_defined(self, node: Any) -> bool:
        return bool(node.GetNumberOfDefinedControlPoints())

    def _taken(self, node: Any) -> Callable[[], None]:
        point = np.zeros(3)
        node.GetNthControlPointPositionWorld(0, point)
        if self._frame is not None and self._frame.GetScene() is not None:
            # The list is under no transform: its own frame is the world.
            point = points_between(node, self._frame, [point])[0]
        placed = self._placed
        return lambda: placed(point)
