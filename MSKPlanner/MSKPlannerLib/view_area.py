"""The part of the planner's panel that turns the slice views to the chosen screw. Knows no toolkit."""

from __future__ import annotations

from typing import Any, Protocol

from MSKFusionLib.errors import MSKError

from .plan import Screw

#: Where the slice across a screw is taken at first: about at the pedicle.
_ACROSS_SHARE = 0.35


class Views(Protocol):
    """The slice views (`mrml.screw_views.ScrewViews`)."""

    def align(self, screw: Screw, across_mm: float) -> None:
        """Turn the views to a screw."""

    def release(self) -> None:
        """Turn the views back."""


class ViewArea:
    """A button that keeps the slice views along the chosen screw, and a slider along it for the slice across.

    Parameters
    ----------
    ui
        The widgets: `alignButton`, `acrossSlider`, `statusLabel`.
    """

    def __init__(self, ui: Any, views: Views) -> None:
        self._ui, self._views = ui, views
        self._screw: Screw | None = None
        self._showing = False
        ui.alignButton.connect("toggled(bool)", self._on_toggled)
        ui.acrossSlider.connect("valueChanged(double)", self._on_across)

    def show(self, screw: Screw | None) -> None:
        """Follow another screw, or what became of this one; without one the views turn back."""
        another = screw is not None and (self._screw is None or screw.name != self._screw.name)
        self._screw = screw
        self._ui.alignButton.enabled = screw is not None
        if screw is None:
            self.stop()
        else:
            self._showing = True
            self._ui.acrossSlider.maximum = screw.length_mm
            if another:
                self._ui.acrossSlider.value = round(_ACROSS_SHARE * screw.length_mm, 1)
            self._showing = False
        self._align()

    def stop(self) -> None:
        """Turn the views back."""
        self._ui.alignButton.checked = False

    def _on_toggled(self, checked: bool) -> None:
        if not checked:
            self._views.release()
        self._align()

    def _on_across(self, value: float) -> None:
        if not self._showing:
            self._align()

    def _align(self) -> None:
        on = bool(self._ui.alignButton.checked) and self._screw is not None
        self._ui.acrossSlider.enabled = on
        if not on or self._screw is None:
            return
        try:
            self._views.align(self._screw, float(self._ui.acrossSlider.value))
        except MSKError as error:
            self._ui.statusLabel.text = str(error)
