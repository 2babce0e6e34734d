"""The part of the planner's panel that says what K-wires a guide leads. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from MSKFusionLib.translation import tr as _

from .editing.cut_guides import SAW_FROM
from .editing.pin_guides import PinRequest
from .plan import Plan, Point


class Marking(Protocol):
    """What takes the points of a row from the user (`mrml.pin_marking.PinMarking`)."""

    def begin(self, bone: str) -> Any:
        """Begin a point list for the first and the last wire, and return it."""

    def ends(self, node: Any) -> tuple[Point | None, Point | None]:
        """Return the places of both; None for one that is not placed."""


class PinArea:
    """Bone, number and angle of the wires, and the points between which they stand.

    Parameters
    ----------
    ui
        The widgets: `pinForLabel`, `pinForArea`, `pinBoneComboBox`, `pinKindComboBox`, `pinsLabel`, `pinsArea`, `pinCountSpinBox`,
        `pinAngleSpinBox`, `pinSizeLabel`, `pinSizeArea`, `pinDiameterSpinBox`, `pinDepthSpinBox`, `pinPointsButton`,
        `pinPointsWidget`; `sawFromComboBox`, which says for wires, too, from where they come.
    changed
        Told when another kind of wires is chosen: what is missing for it may be another thing.
    """

    def __init__(self, ui: Any, marking: Marking, changed: Callable[[], None]) -> None:
        self._ui, self._marking, self._changed = ui, marking, changed
        self._bones: tuple[str, ...] = ()
        self._shown = False
        for text in (_("between two points"), _("along its screws")):
            ui.pinKindComboBox.addItem(text)
        ui.pinKindComboBox.connect("currentIndexChanged(int)", self._on_kind)
        ui.pinPointsButton.connect("clicked(bool)", self._on_points)

    @property
    def bone(self) -> str:
        """The bone that is chosen; empty where there is none."""
        index = self._ui.pinBoneComboBox.currentIndex
        return self._bones[index] if 0 <= index < len(self._bones) else ""

    @property
    def of_screws(self) -> bool:
        """Whether the wires take the axes of screws of the plan."""
        return bool(self._ui.pinKindComboBox.currentIndex == 1)

    @property
    def request(self) -> PinRequest:
        """What is asked for, as the widgets and the points have it.

        Raises
        ------
        InputError
            When both points have one name.
        """
        ui = self._ui
        first, last = (None, None) if self.of_screws else self._marking.ends(ui.pinPointsWidget.currentNode())
        return PinRequest(
            self.bone,
            self.of_screws,
            first,
            last,
            int(ui.pinCountSpinBox.value),
            float(ui.pinAngleSpinBox.value),
            float(ui.pinDepthSpinBox.value),
            ("", *SAW_FROM)[max(0, ui.sawFromComboBox.currentIndex)],
            float(ui.pinDiameterSpinBox.value),
        )

    def missing(self, plan: Plan | None) -> str:
        """Return what is missing before wires can be led, in words; empty where nothing is."""
        if not self.bone:
            return _("Choose a CT and the segmented bones first.")
        return _("Plan the screws first.") if self.of_screws and (plan is None or not plan.screws) else ""

    def show_bones(self, names: Sequence[str]) -> None:
        """Offer the bones there are, the chosen one staying chosen."""
        if tuple(names) == self._bones:
            return
        box, chosen = self._ui.pinBoneComboBox, self.bone
        self._bones = tuple(names)
        box.clear()
        for name in names:
            box.addItem(name)
        box.currentIndex = self._bones.index(chosen) if chosen in self._bones else (0 if names else -1)
        self._show()

    def show(self, wanted: bool) -> None:
        """Show the widgets, or hide them where another kind of guide is chosen."""
        self._shown = wanted
        self._show()

    def _show(self) -> None:
        ui, row = self._ui, self._shown and not self.of_screws
        for widget in (ui.pinForLabel, ui.pinForArea, ui.pinSizeLabel, ui.pinSizeArea):
            widget.visible = self._shown
        for widget in (ui.pinsLabel, ui.pinsArea, ui.pinPointsButton, ui.pinPointsWidget, ui.pinDepthSpinBox):
            widget.visible = row
        ui.pinPointsButton.enabled = bool(self.bone)

    def _on_kind(self, index: int) -> None:
        self._show()
        self._changed()

    def _on_points(self) -> None:
        self._ui.pinPointsWidget.setCurrentNode(self._marking.begin(self.bone))
