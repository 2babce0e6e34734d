"""A part of the planner's panel that shows one kind of the plan's parts in a table and edits the chosen one.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes) and makes the table's cells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from MSKFusionLib.errors import MSKError
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.translation import tr as _

from .colours import REJECTED_COLOUR, hex_colour
from .pipeline import Case
from .plan import Plan

#: Makes a cell of a text, its colour as ``#rrggbb`` (empty for the usual one) and what is told over it.
CellMaker = Callable[[str, str, str], Any]
#: Applies a change (`editing`) under a label: `PlanSession.edit`.
Editor = Callable[..., None]


class _Part(Protocol):
    """What screws and osteotomies have in common."""

    @property
    def name(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def remarks(self) -> str: ...


PartT = TypeVar("PartT", bound=_Part)


class TableArea(ABC, Generic[PartT]):
    """Table of a plan's parts of one kind, and what can be done to the one that is chosen in it.

    Parameters
    ----------
    ui
        The panel's widgets; of them `statusLabel` says why a change was refused.
    table
        The widget of the table.
    headings
        The table's columns.
    reviewed
        The change that sets or takes away the mark of having been reviewed.
    choose
        Told the name of the part that is chosen.
    """

    def __init__(
        self,
        ui: Any,
        table: Any,
        make_cell: CellMaker,
        headings: Sequence[str],
        edit: Editor,
        reviewed: Callable[..., Case],
        choose: Callable[[str], None],
    ) -> None:
        self._ui, self._table, self._make_cell, self._edit, self._choose = ui, table, make_cell, edit, choose
        self._reviewed = reviewed
        self._plan: Plan | None = None
        self._editable = self._showing = False
        head_table(table, headings)
        table.connect("itemSelectionChanged()", self._on_chosen)

    @abstractmethod
    def _parts(self, plan: Plan) -> tuple[PartT, ...]: ...

    @abstractmethod
    def _cells(self, part: PartT) -> tuple[str, ...]: ...

    @abstractmethod
    def _show_chosen(self) -> None: ...

    @property
    def _shown(self) -> tuple[PartT, ...]:
        return () if self._plan is None else self._parts(self._plan)

    @property
    def chosen(self) -> PartT | None:
        """The part whose row is chosen."""
        row, parts = self._table.currentRow(), self._shown
        return parts[row] if 0 <= row < len(parts) else None

    def show(self, plan: Plan | None, *, editable: bool) -> None:
        """Show the parts of a plan; the chosen one stays chosen as long as there is one of its name."""
        before = self.chosen
        self._plan, self._editable = plan, editable
        parts = self._shown
        self._showing = True
        try:
            self._table.setRowCount(len(parts))
            for row, part in enumerate(parts):
                self._fill(row, part)
            self._table.resizeColumnsToContents()
            names = [p.name for p in parts]
            row = names.index(before.name) if before is not None and before.name in names else -1
            self._table.setCurrentCell(row, 0 if row >= 0 else -1)
        finally:
            self._showing = False
        self._show_chosen()

    def choose(self, name: str) -> None:
        """Choose a part's row, as a click on it does."""
        for row, part in enumerate(self._shown):
            if part.name == name:
                self._table.setCurrentCell(row, 0)
                self._on_chosen()

    def _fill(self, row: int, part: PartT) -> None:
        colour = hex_colour(REJECTED_COLOUR) if part.verdict is Verdict.REJECTED else ""
        told = f"{part.name}: {verdict_in_words(part.verdict)}" + (f": {part.remarks}" if part.remarks else "")
        for column, text in enumerate(self._cells(part)):
            self._table.setItem(row, column, self._make_cell(text, colour, told))

    # ------------------------------------------------------------------------------------------------ the user's side
    def _on_chosen(self) -> None:
        if self._showing:
            return
        self._show_chosen()
        if self.chosen is not None:
            self._choose(self.chosen.name)

    def _on_reviewed(self, mark: bool) -> None:
        part = self.chosen
        if not self._showing and part is not None:
            label = (_("Mark {name} as reviewed") if mark else _("Take the mark off {name}")).format(name=part.name)
            self._act(label, self._reviewed, part.name, mark)

    def _acting(self, label: str, change: Callable[..., Case]) -> Callable[[], None]:
        def act() -> None:
            if self.chosen is not None:
                self._act(label.format(name=self.chosen.name), change, self.chosen.name)

        return act

    def _act(self, label: str, change: Callable[..., Case], *arguments: Any) -> None:
        self._ui.statusLabel.text = ""
        try:
            self._edit(label, change, *arguments)
        except MSKError as error:
            self._ui.statusLabel.text = str(error)
            self._show_chosen()  # what was typed is not so


def verdict_in_words(verdict: Verdict) -> str:
    """Return a verdict in the language of the panel."""
    return _("accepted") if verdict is Verdict.ACCEPTED else _("rejected")


def head_table(table: Any, headings: Sequence[str]) -> None:
    """Give a table its columns."""
    table.setColumnCount(len(headings))
    table.setHorizontalHeaderLabels(list(headings))
    table.verticalHeader().setVisible(False)
