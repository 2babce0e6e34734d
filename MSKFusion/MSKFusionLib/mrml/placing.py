"""What a user clicks in the views: the application's own place mode on a markups node that goes again afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import slicer

from .observers import Observers

#: Does something after the event that is being handled: a node must not go while its own event is.
Later = Callable[[Callable[[], None]], None]


class Placing(ABC):
    """Waits for the clicks that define one markups node.

    Parameters
    ----------
    ended
        Called when no click is waited for any more: after the last one, or when the user gave up (another mouse mode,
        Escape, the node deleted).
    later
        See `Later`.
    """

    def __init__(self, scene: Any, ended: Callable[[], None], later: Later) -> None:
        self._scene, self._ended, self._later = scene, ended, later
        self._node: Any = None
        self._observers = Observers()

    @abstractmethod
    def _is_defined(self, node: Any) -> bool:
        """Whether all clicks are there."""

    @abstractmethod
    def _taken(self, node: Any) -> Callable[[], None]:
        """Read the clicks of a node that is about to go; return what hands them on."""

    @property
    def active(self) -> bool:
        """Whether clicks are waited for."""
        return self._node is not None

    def _new_node(self, kind: str, name: str) -> Any:
        """Return a node that is not saved, with its display; what waited before is taken away."""
        self.stop()
        node = self._scene.AddNewNodeByClass(kind, name)
        node.SetSaveWithScene(False)
        node.CreateDefaultDisplayNodes()
        return node

    def _wait_for(self, node: Any) -> None:
        self._node = node
        selection, interaction = _modes()
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SwitchToSinglePlaceMode()
        self._observers.add(node, node.PointPositionDefinedEvent, self._on_point)
        self._observers.add(interaction, interaction.InteractionModeChangedEvent, self._on_mode)
        self._observers.add(self._scene, type(self._scene).NodeRemovedEvent, self._on_removed)
        self._observers.add(self._scene, type(self._scene).StartCloseEvent, self._on_close)

    def stop(self) -> None:
        """Wait no longer, and take the node away."""
        node, self._node = self._node, None
        self._observers.clear()
        if node is None:
            return
        _, interaction = _modes()
        if interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
        if node.GetScene() is not None and not self._scene.IsClosing():
            self._scene.RemoveNode(node)
        self._ended()

    def _on_point(self, *_: Any) -> None:
        if self._node is not None and self._is_defined(self._node):
            self._later(self._finish)

    def _on_mode(self, *_: Any) -> None:
        _, interaction = _modes()
        if self._node is not None and interaction.GetCurrentInteractionMode() != interaction.Place:
            self._later(self._finish)

    def _finish(self) -> None:
        """Hand the clicks on; the mode ends by itself after the last one, and before it when the user gives up."""
        node = self._node
        if node is None:
            return
        hand_on = self._taken(node) if node.GetScene() is not None and self._is_defined(node) else None
        self.stop()
        if hand_on is not None:
            hand_on()

    def _on_removed(self, *_: Any) -> None:
        if self._node is not None and self._node.GetScene() is None and not self._scene.IsClosing():
            self._later(self.stop)

    def _on_close(self, *_: Any) -> None:
        self.stop()


def _modes() -> tuple[Any, Any]:
    logic = slicer.app.applicationLogic()
    return logic.GetSelectionNode(), logic.GetInteractionNode()
