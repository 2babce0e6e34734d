"""The observers that one object has on others, so that it can let go of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


class Observers:
    """Observers that were added and not removed yet. They keep nobody alive: whose owner is gone is not called."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, int]] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(self, observed: Any, event: Any, method: Callable[..., None]) -> None:
        """Call a bound method at an event of a VTK object."""
        weak = WeakMethod(method)

        def call(caller: Any, name: Any, *data: Any) -> None:
            alive = weak()
            if alive is not None:
                alive(caller, name, *data)

        if hasattr(method, "CallDataType"):  # set by vtk.calldata_type: VTK sends what the event is about
            call.CallDataType = method.CallDataType  # type: ignore[attr-defined]
        self._held.append((observed, observed.AddObserver(event, call)))

    def remove(self, observed: Any) -> None:
        """Let go of one object."""
        for held in [h for h in self._held if h[0] is observed]:
            held[0].RemoveObserver(held[1])
            self._held.remove(held)

    def clear(self) -> None:
        """Let go of everything."""
        for observed, tag in self._held:
            observed.RemoveObserver(tag)
        self._held.clear()
