"""The part of the planner's panel that holds the plans of the scene and lays them side by side. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from MSKFusionLib.errors import MSKError
from MSKFusionLib.translation import tr as _

from .plan import Plan
from .plan_variants import compared, letter_of
from .table_area import CellMaker


class ShelvedPlan(Protocol):
    """A plan of the scene (`mrml.plan_shelf.PlanInScene`)."""

    @property
    def plan_id(self) -> str:
        """Its name in the document."""

    @property
    def title(self) -> str:
        """What it is called."""

    @property
    def in_hand(self) -> bool:
        """Whether it is the one that is worked on."""


class Shelf(Protocol):
    """The plans of the scene (`mrml.plan_shelf.PlanShelf`)."""

    def plans(self) -> Sequence[ShelvedPlan]:
        """Return them."""

    def documents(self) -> Sequence[tuple[ShelvedPlan, Plan]]:
        """Return those that can be read, with their documents."""

    def copy(self) -> None:
        """Go on with a copy of the one in hand."""

    def open(self, plan_id: str) -> None:
        """Take another one in hand."""

    def forget(self) -> None:
        """Forget those that are not in hand."""


class PlansArea:
    """Which plan is in hand, a button that copies it, and the table that compares all.

    Parameters
    ----------
    ui
        The widgets: `plansComboBox`, `copyPlanButton`, `compareTable`, `statusLabel`.
    """

    def __init__(self, ui: Any, make_cell: CellMaker, shelf: Shelf) -> None:
        self._ui, self._make_cell, self._shelf = ui, make_cell, shelf
        self._ids: list[str] = []
        self._showing = False
        ui.compareTable.verticalHeader().setVisible(False)
        ui.plansComboBox.connect("currentIndexChanged(int)", self._on_chosen)
        ui.copyPlanButton.connect("clicked(bool)", self._on_copy)

    def show(self, *, editable: bool) -> None:
        """Show the plans of the scene.

        Parameters
        ----------
        editable
            Whether the one in hand can be worked on, and so be copied.
        """
        ui, plans = self._ui, self._shelf.plans()
        self._ids = [p.plan_id for p in plans]
        held = next((n for n, p in enumerate(plans) if p.in_hand), -1)
        self._showing = True
        try:
            box = ui.plansComboBox
            titles = [p.title for p in plans] or [_("no plan yet")]
            if [box.itemText(n) for n in range(box.count)] != titles:
                box.clear()
                for title in titles:
                    box.addItem(title)
            box.currentIndex = held if plans else 0
            box.enabled = len(plans) > (held >= 0)
        finally:
            self._showing = False
        ui.copyPlanButton.enabled = editable
        self._compare()

    @property
    def several(self) -> bool:
        """Whether there is more than one plan."""
        return len(self._ids) > 1

    def forget(self) -> None:
        """Forget the plans that are not in hand."""
        self._shelf.forget()

    def _compare(self) -> None:
        documents, table = self._shelf.documents(), self._ui.compareTable
        table.visible = len(documents) > 1
        if len(documents) < 2:
            table.setRowCount(0)
            return
        rows = compared([plan for _found, plan in documents])
        letters = [letter_of(found.plan_id) for found, _plan in documents]
        headings = [
            _("{letter} (in hand)").format(letter=letter) if f.in_hand else letter
            for letter, (f, _plan) in zip(letters, documents, strict=True)
        ]
        table.setColumnCount(1 + len(documents))
        table.setHorizontalHeaderLabels([_("Screw"), *headings])
        table.setRowCount(len(rows))
        for n, row in enumerate(rows):
            name = f"≠ {row.name}" if row.differs else row.name
            told = _("differs") if row.differs else _("the same in all plans")
            for column, text in enumerate((name, *row.cells)):
                table.setItem(n, column, self._make_cell(text, "", f"{row.name}: {told}"))
        table.resizeColumnsToContents()

    def _on_chosen(self, index: int) -> None:
        if not self._showing and 0 <= index < len(self._ids):
            self._do(lambda: self._shelf.open(self._ids[index]))

    def _on_copy(self) -> None:
        self._do(self._shelf.copy)

    def _do(self, work: Any) -> None:
        self._ui.statusLabel.text = ""
        try:
            work()
        except MSKError as error:
            self._ui.statusLabel.text = str(error)
        # The scene's plans are others now, whatever was told of the one in hand on the way.
        self.show(editable=bool(self._ui.copyPlanButton.enabled))
