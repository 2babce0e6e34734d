"""The part of the planner's panel that shows osteotomies before and after in two 3D views. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from MSKFusionLib.errors import MSKError

from .plan import Plan


class TwoViews(Protocol):
    """The two views (`mrml.before_after.BeforeAfterViews`)."""

    left: Callable[[], None]

    def show(self) -> None:
        """Show the plan in hand."""

    def follow(self) -> None:
        """Follow a hand."""

    def release(self) -> None:
        """Show everything as it was."""

    def mend(self) -> None:
        """Put back what a scene holds that was saved meanwhile."""


class BeforeAfterArea:
    """A button that keeps the two views shown as long as there is something to compare.

    Parameters
    ----------
    ui
        The widgets: `beforeAfterButton`, `statusLabel`.
    """

    def __init__(self, ui: Any, views: TwoViews) -> None:
        self._ui, self._views = ui, views
        views.left = self.stop
        ui.beforeAfterButton.connect("toggled(bool)", self._on_toggled)

    def show(self, plan: Plan | None) -> None:
        """Show what became of a plan; without osteotomies the views go back."""
        can = plan is not None and bool(plan.osteotomies)
        self._ui.beforeAfterButton.enabled = can
        if not can:
            self.stop()
        elif self._ui.beforeAfterButton.checked:
            self._show()

    def follow(self) -> None:
        """Follow a hand on a plane or a landmark."""
        self._views.follow()

    def stop(self) -> None:
        """Go back to the views as they were."""
        self._ui.beforeAfterButton.checked = False
        self._views.release()

    def mend(self) -> None:
        """Put right a scene that was saved while the two views were shown."""
        self._views.mend()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Show everything as it was inside the block: what is written there knows nothing of the two views."""
        self._views.release()
        try:
            yield
        finally:
            if self._ui.beforeAfterButton.checked:
                self._show()

    def _on_toggled(self, checked: bool) -> None:
        if checked:
            self._show()
        else:
            self._views.release()

    def _show(self) -> None:
        try:
            self._views.show()
        except MSKError as error:
            self.stop()
            self._ui.statusLabel.text = str(error)
