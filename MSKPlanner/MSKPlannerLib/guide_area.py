"""The part of the planner's panel that lists what is wrong with the guides, and where. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MSKFusionLib.translation import tr as _

from .colours import REJECTED_COLOUR, hex_colour
from .guides.problems import Finding, findings
from .plan import Plan
from .table_area import CellMaker, head_table


class GuideArea:
    """Table of findings; the one that is chosen is gone to.

    Parameters
    ----------
    ui
        The widgets: `problemsTable`, `problemsLabel`.
    go_to
        Shows the place of a finding.
    """

    def __init__(self, ui: Any, make_cell: CellMaker, go_to: Callable[[Finding], None]) -> None:
        self._ui, self._make_cell, self._go_to = ui, make_cell, go_to
        self._findings: tuple[Finding, ...] = ()
        self._showing = False
        table = ui.problemsTable
        head_table(table, (_("Guide"), _("Finding")))
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("itemSelectionChanged()", self._on_chosen)

    def show(self, plan: Plan | None) -> None:
        """List the findings on the guides of a plan."""
        found = findings(plan.guides) if plan is not None else ()
        if found == self._findings and self._ui.problemsTable.rowCount == len(found):
            return
        self._findings = found
        table = self._ui.problemsTable
        self._showing = True
        try:
            table.setCurrentCell(-1, -1)
            table.setRowCount(len(found))
            for row, finding in enumerate(found):
                colour = hex_colour(REJECTED_COLOUR) if finding.bad else ""
                where = _("of the whole guide") if finding.place_ras is None else _("click to go there")
                words = f"✗ {finding.words}" if finding.bad else finding.words
                for column, text in enumerate((finding.guide, words)):
                    table.setItem(row, column, self._make_cell(text, colour, f"{finding.words}; {where}"))
            table.resizeColumnToContents(0)
        finally:
            self._showing = False
        bad = sum(f.bad for f in found)
        table.visible = bool(found)
        self._ui.problemsLabel.text = (
            _("{bad} to look at, {count} tightest places. Choose a row to go to its place.").format(
                bad=bad, count=len(found) - bad
            )
            if found
            else ""
        )

    def _on_chosen(self) -> None:
        row = self._ui.problemsTable.currentRow()
        if not self._showing and 0 <= row < len(self._findings):
            self._go_to(self._findings[row])
