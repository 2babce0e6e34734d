"""One point that a user clicks in the views: the application's own place mode on a point list that goes again afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from ..frames import FloatArray
from .between import points_between
from .observers import Observers

#: Does something after the event that is being handled: a node must not go while its own event is.
Later = Callable[[Callable[[], None]], None]
_POINTS = "vtkMRMLMarkupsFiducialNode"


class PointPlacing:
    """Takes one point from the user each time `start` is called.

    Parameters
    ----------
    ended
        Called when no click is waited for any more: after one, or when the user gave up (another mouse mode, Escape,
        the list deleted).
    later
        See `Later`.
    """

    def __init__(self, scene: Any, ended: Callable[[], None], later: Later) -> None:
        self._scene, self._ended, self._later = scene, ended, later
        self._node: Any = None
        self._frame: Any = None
        self._placed: Callable[[FloatArray], None] = lambda point: None
        self._observers = Observers()

    @property
    def active(self) -> bool:
        """Whether a click is waited for."""
        return self._node is not None

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
        self.stop()
        node = self._scene.AddNewNodeByClass(_POINTS, name)
        node.SetSaveWithScene(False)
        node.SetControlPointLabelFormat(name.replace("%", ""))
        node.CreateDefaultDisplayNodes()
        self._node, self._frame, self._placed = node, frame, placed
        selection, interaction = self._modes()
        selection.SetReferenceActivePlaceNodeClassName(_POINTS)
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SwitchToSinglePlaceMode()
        self._observers.add(node, node.PointPositionDefinedEvent, self._on_point)
        self._observers.add(interaction, interaction.InteractionModeChangedEvent, self._on_mode)
        self._observers.add(self._scene, type(self._scene).NodeRemovedEvent, self._on_removed)
        self._observers.add(self._scene, type(self._scene).StartCloseEvent, self._on_close)

    def stop(self) -> None:
        """Wait no longer, and take the list away."""
        node, self._node = self._node, None
        self._observers.clear()
        if node is None:
            return
        _, interaction = self._modes()
        if interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
        if node.GetScene() is not None and not self._scene.IsClosing():
            self._scene.RemoveNode(node)
        self._ended()

    def _modes(self) -> tuple[Any, Any]:
        logic = slicer.app.applicationLogic()
        return logic.GetSelectionNode(), logic.GetInteractionNode()

    def _on_point(self, *_: Any) -> None:
        if self._node is not None and self._node.GetNumberOfDefinedControlPoints():
            self._later(self._finish)

    def _on_mode(self, *_: Any) -> None:
        _, interaction = self._modes()
        if self._node is not None and interaction.GetCurrentInteractionMode() != interaction.Place:
            self._later(self._finish)

    def _finish(self) -> None:
        """Hand the point on; without one the user gave up."""
        node = self._node
        if node is None:
            return
        point = None
        if node.GetScene() is not None and node.GetNumberOfDefinedControlPoints():
            world = np.zeros(3)
            node.GetNthControlPointPositionWorld(0, world)
            frame = self._frame if self._frame is not None and self._frame.GetScene() is not None else None
            # The list is under no transform: its own frame is the world.
            point = world if frame is None else points_between(node, frame, [world])[0]
        placed = self._placed
        self.stop()
        if point is not None:
            placed(point)

    def _on_removed(self, *_: Any) -> None:
        if self._node is not None and self._node.GetScene() is None and not self._scene.IsClosing():
            self._later(self.stop)

    def _on_close(self, *_: Any) -> None:
        self.stop()
