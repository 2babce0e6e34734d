"""The part of the planner's panel with the landmarks of a leg: which there are, where they come from, and placing them by a click.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes) and makes the table's cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from MSKFusionLib.errors import MSKError
from MSKFusionLib.translation import tr as _

from .anatomy.limb_landmarks import POINTS, spoken
from .editing.leg_marks import FRAME_POINTS
from .table_area import CellMaker, head_table


class Marking(Protocol):
    """What places the landmarks (`mrml.leg_marking.LegMarking`)."""

    changed: Callable[[], None]

    @property
    def active(self) -> bool:
        """Whether a click is waited for."""

    def origins(self) -> Mapping[str, str]:
        """Where each landmark that there is comes from."""

    def wanted(self) -> Sequence[str]:
        """What must be clicked yet before the leg is measured."""

    def possible(self) -> bool:
        """Whether the chosen segment is a bone of a leg."""

    def wait(self, name: str) -> None:
        """Wait for a click."""

    def stop(self) -> None:
        """Wait no longer."""

    def forget(self, name: str) -> None:
        """Take a landmark away."""


class LandmarkArea:
    """Table of landmarks, a button that places the chosen one by a click in the views, and one that takes it away.

    Parameters
    ----------
    ui
        The widgets: `landmarksTable`, `placeLandmarkButton`, `forgetLandmarkButton`, `landmarksLabel`, `statusLabel`.
    """

    def __init__(self, ui: Any, make_cell: CellMaker, marking: Marking) -> None:
        self._ui, self._make_cell, self._marking = ui, make_cell, marking
        self._shown: tuple[tuple[str, str], ...] = ()
        marking.changed = self.show
        head_table(ui.landmarksTable, (_("Landmark"), _("Comes from")))
        ui.landmarksTable.connect("itemSelectionChanged()", self._show_chosen)
        ui.placeLandmarkButton.connect("clicked(bool)", self._on_place)
        ui.forgetLandmarkButton.connect("clicked(bool)", self._on_forget)
        self.show()

    @property
    def chosen(self) -> str:
        """The landmark whose row is chosen; empty where none is."""
        row = self._ui.landmarksTable.currentRow()
        return POINTS[row] if 0 <= row < len(POINTS) else ""

    def show(self) -> None:
        """Show the landmarks; the chosen one stays chosen, or the next that is wanted is."""
        origins, wanted = self._marking.origins(), self._marking.wanted()
        rows = tuple((n, _origin_in_words(origins.get(n, ""))) for n in POINTS)
        if rows != self._shown:
            self._shown = rows
            table = self._ui.landmarksTable
            row = table.currentRow()
            table.setRowCount(len(rows))
            for n, (name, origin) in enumerate(rows):
                needed = any(name in points for points in FRAME_POINTS.values())
                told = _("A bone's frame rests on it.") if needed else ""
                for column, text in enumerate((spoken(name), origin)):
                    table.setItem(n, column, self._make_cell(text, "", told))
            table.resizeColumnsToContents()
            table.setCurrentCell(row, 0 if row >= 0 else -1)
        if wanted and (not self.chosen or self.chosen in origins):
            self._ui.landmarksTable.setCurrentCell(POINTS.index(wanted[0]), 0)
        self._show_chosen()

    def stop(self) -> None:
        """Wait for no click any more."""
        self._marking.stop()

    def _show_chosen(self) -> None:
        ui, marking = self._ui, self._marking
        possible = marking.possible()
        ui.placeLandmarkButton.enabled = marking.active or (possible and bool(self.chosen))
        ui.placeLandmarkButton.checked = marking.active
        ui.forgetLandmarkButton.enabled = possible and self.chosen in marking.origins()
        wanted = marking.wanted()
        if marking.active:
            ui.landmarksLabel.text = _("In the views: click the {name}. Escape gives up.").format(
                name=spoken(self.chosen)
            )
        elif wanted:
            ui.landmarksLabel.text = _("Before the leg is measured, click yet: {names}.").format(
                names=", ".join(spoken(n) for n in wanted)
            )
        elif possible:
            ui.landmarksLabel.text = _("Choose a landmark and place it by a click, or drag it in a view.")
        else:
            ui.landmarksLabel.text = _("Choose a femur or tibia whose name says its side (left tibia).")

    def _on_place(self) -> None:
        if self._marking.active:
            self._marking.stop()
        elif self.chosen:
            self._marking.wait(self.chosen)

    def _on_forget(self) -> None:
        self._ui.statusLabel.text = ""
        try:
            self._marking.forget(self.chosen)
        except MSKError as error:
            self._ui.statusLabel.text = str(error)


def _origin_in_words(origin: str) -> str:
    return {
        "surface": _("the bone's surface"),
        "placed": _("your hand"),
        "clicked": _("your click"),
        "estimated": _("an estimate"),
        "": _("not known"),
    }.get(origin, origin)
