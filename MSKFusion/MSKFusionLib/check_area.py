"""The part of MSK Fusion's panel in which a registration is looked at, accepted or rejected, and moved by hand.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes), and what moves and shows the images.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from .errors import MSKError
from .translation import tr as _


class Look(Enum):
    """What the slice views show."""

    BLEND = 0
    CHECKERBOARD = 1
    OUTLINES = 2
    ERROR = 3


class Checked(Protocol):
    """The pair of images in hand (`mrml.registration_check.RegistrationCheck`)."""

    def ready(self) -> bool:
        """Whether two images are chosen."""

    def missing(self, look: Look) -> str:
        """What is missing to look at them so, in words; empty where nothing is."""

    def show(self, look: Look, value: float) -> str:
        """Show them: with the share (0 to 1) of the upper layer, or the squares' size in mm; return what is to be said."""

    def placed(self) -> bool:
        """Whether there is a registration, or a move by hand, to decide on."""

    def decision(self) -> str:
        """What was decided, in words; empty before."""

    def decide(self, accepted: bool) -> None:
        """Keep the MR where it is, or put it back."""

    def nudge(self, on: bool) -> None:
        """Show or hide the handles."""

    def nudging(self) -> bool:
        """Whether there is a transform that handles move."""

    def nudged(self) -> tuple[float, float]:
        """How far the MR was moved by hand, mm and degrees."""

    def put_back(self) -> None:
        """Take back what was moved by hand."""

    def tidy(self) -> None:
        """Take away what belongs to images that are gone."""


class CheckArea:
    """Looks, the hand, and the decision.

    Parameters
    ----------
    ui
        The widgets: `lookComboBox`, `lookSlider`, `lookLabel`, `nudgeButton`, `backButton`, `againButton`, `nudgeLabel`,
        `acceptButton`, `rejectButton`, `decisionLabel`, `statusLabel`.
    again
        Registers from where the MR is now.
    changed
        Called after every press that can change where the MR lies; it is to call `update`.
    """

    def __init__(self, ui: Any, checked: Checked, again: Callable[[], None], changed: Callable[[], None]) -> None:
        self._ui, self._checked, self._changed = ui, checked, changed
        self._showing = False
        self._values = {Look.BLEND: 50.0, Look.CHECKERBOARD: 20.0, Look.ERROR: 50.0}
        for name in (
            _("CT and MR, one over the other"),
            _("Both by turns, in squares"),
            _("Outlines of the CT's bones on the MR"),
            _("Expected error over the CT"),
        ):
            ui.lookComboBox.addItem(name)
        ui.lookComboBox.connect("activated(int)", self._on_look)
        ui.lookSlider.connect("valueChanged(double)", self._on_value)
        ui.nudgeButton.connect("toggled(bool)", self._on_nudge)
        ui.backButton.connect("clicked(bool)", self._on_back)
        ui.againButton.connect("clicked(bool)", again)
        ui.acceptButton.connect("clicked(bool)", lambda: self._decide(True))
        ui.rejectButton.connect("clicked(bool)", lambda: self._decide(False))
        ui.lookLabel.visible = False
        self._show_slider()

    @property
    def look(self) -> Look:
        """What is chosen to be looked at."""
        return Look(max(int(self._ui.lookComboBox.currentIndex), 0))

    def update(self) -> None:
        """Show what can be done with the images in hand, and how they lie."""
        self._checked.tidy()
        ui, ready, placed = self._ui, self._checked.ready(), self._checked.placed()
        moved_mm, turned_deg = self._checked.nudged() if ready else (0.0, 0.0)
        moved = ready and (moved_mm > 5e-3 or turned_deg > 5e-3)
        missing = _("Choose a CT and an MR first.")
        for widget, possible, told in (
            (ui.lookComboBox, ready, _("What the slice views show, to see whether edges of bone lie on each other.")),
            (ui.nudgeButton, ready, _("Handles in the views move and turn the MR; pressed again they go.")),
            (ui.backButton, moved, _("Take back what was moved by hand.")),
            (ui.againButton, moved, _("Register again, starting from where the MR is now.")),
            (ui.acceptButton, placed, _("I have looked at it: the MR stays where it is.")),
            (ui.rejectButton, placed, _("I have looked at it: the MR goes back to where it was.")),
        ):
            widget.enabled = possible
            widget.toolTip = told if possible or ready else missing
        ui.lookSlider.enabled = ready and self.look in self._values
        ui.nudgeLabel.text = (
            _("Moved by hand: {mm:.1f} mm, {deg:.1f}°. The verdict above is that of the place before.").format(
                mm=moved_mm, deg=turned_deg
            )
            if moved
            else ""
        )
        ui.nudgeLabel.visible = bool(moved)
        ui.decisionLabel.text = self._checked.decision() if ready else ""
        for label in (ui.decisionLabel, ui.lookLabel):
            label.visible = bool(label.text)
        if ui.nudgeButton.checked and not (ready and self._checked.nudging()):
            ui.nudgeButton.checked = False

    def stop(self) -> None:
        """Take the handles away."""
        self._ui.nudgeButton.checked = False

    def show(self) -> None:
        """Show what is chosen in the views."""
        self._ui.lookLabel.text = ""
        try:
            missing = self._checked.missing(self.look)
            said = missing or self._checked.show(self.look, self._value())
        except MSKError as error:
            said = str(error)
        self._ui.lookLabel.text = said
        self._ui.lookLabel.visible = bool(said)

    def _value(self) -> float:
        value = float(self._ui.lookSlider.value)
        return value if self.look is Look.CHECKERBOARD else value / 100.0

    def _on_look(self) -> None:
        self._show_slider()
        self.show()

    def _show_slider(self) -> None:
        look, slider = self.look, self._ui.lookSlider
        self._showing = True
        try:
            slider.enabled = look in self._values and self._checked.ready()
            if look in self._values:
                slider.suffix = _(" mm") if look is Look.CHECKERBOARD else " %"
                slider.minimum, slider.maximum = (5.0, 100.0) if look is Look.CHECKERBOARD else (0.0, 100.0)
                slider.value = self._values[look]
        finally:
            self._showing = False

    def _on_value(self, value: float) -> None:
        if not self._showing:
            self._values[self.look] = value
            self.show()

    def _on_nudge(self, on: bool) -> None:
        self._checked.nudge(bool(on))
        if on and self.look is Look.CHECKERBOARD:  # squares do not follow the hand, layers do
            self._ui.lookComboBox.currentIndex = Look.BLEND.value
            self._on_look()
        self._changed()

    def _on_back(self) -> None:
        self.stop()
        self._checked.put_back()
        self._changed()

    def _decide(self, accepted: bool) -> None:
        self.stop()
        self._checked.decide(accepted)
        self._changed()
