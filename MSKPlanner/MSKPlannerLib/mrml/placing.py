"""Two points that a user clicks in the views: the application's own place mode on a line that goes again afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from MSKFusionLib.mrml import place_under
from MSKFusionLib.mrml.observers import Observers

from ..plan import Point
from .item_nodes import axis_ends

#: Does something after the event that is being handled: a node must not go while its own event is.
Later = Callable[[Callable[[], None]], None]
#: Given entry and tip as they were clicked, in the frame of the node that the plan is in.
Placed = Callable[[Point, Point], None]
_LINE = "vtkMRMLMarkupsLineNode"


class LinePlacing:
    """Takes an entry and a tip from the user, once each time `start` is called.

    Parameters
    ----------
    placed
        Called with both points (3,), mm.
    ended
        Called after it and when the user gives up: another mouse mode, Escape, the line deleted.
    later
        See `Later`.
    """

    def __init__(self, scene: Any, placed: Placed, ended: Callable[[], None], later: Later) -> None:
        self._scene, self._placed, self._ended, self._later = scene, placed, ended, later
        self._node: Any = None
        self._observers = Observers()

    @property
    def active(self) -> bool:
        """Whether clicks are waited for."""
        return self._node is not None

    def start(self, frame: Any = None) -> None:
        """Wait for two clicks.

        Parameters
        ----------
        frame
            The node in whose frame the points are wanted (the plan's CT); None takes RAS.
        """
        self.stop()
        node = self._scene.AddNewNodeByClass(_LINE, "New screw")
        node.SetSaveWithScene(False)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetPropertiesLabelVisibility(False)
        if frame is not None and frame.GetParentTransformNode() is not None:
            place_under(node, frame.GetParentTransformNode())
        self._node = node
        selection, interaction = self._modes()
        selection.SetReferenceActivePlaceNodeClassName(_LINE)
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SwitchToSinglePlaceMode()
        self._observers.add(node, node.PointPositionDefinedEvent, self._on_point)
        self._observers.add(interaction, interaction.InteractionModeChangedEvent, self._on_mode)
        self._observers.add(self._scene, type(self._scene).NodeRemovedEvent, self._on_removed)
        self._observers.add(self._scene, type(self._scene).StartCloseEvent, self._on_close)

    def stop(self) -> None:
        """Wait no longer, and take the line away."""
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
        if self._node is not None and axis_ends(self._node) is not None:
            self._later(self._finish)

    def _finish(self) -> None:
        ends = axis_ends(self._node) if self._node is not None else None
        if ends is None:
            return
        self.stop()
        self._placed(*ends)

    def _on_mode(self, *_: Any) -> None:
        _, interaction = self._modes()
        if self._node is not None and interaction.GetCurrentInteractionMode() != interaction.Place:
            self._later(self._end)

    def _end(self) -> None:
        """Tell the end of the second click, after which the mode ends by itself, from giving up."""
        if self._node is not None and axis_ends(self._node) is not None:
            self._finish()
        else:
            self.stop()

    def _on_removed(self, *_: Any) -> None:
        if self._node is not None and self._node.GetScene() is None and not self._scene.IsClosing():
            self._later(self.stop)

    def _on_close(self, *_: Any) -> None:
        self.stop()
