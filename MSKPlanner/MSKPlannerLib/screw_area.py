"""The part of the planner's panel that shows and edits screws.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes) and makes the table's cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from MSKFusionLib.errors import MSKError
from MSKFusionLib.registration.result import Verdict

from .colours import REJECTED_COLOUR, hex_colour
from .editing import screw_edits
from .editing.asked import budget_of
from .pipeline import Case
from .plan import Plan, Screw
from .plan_columns import SCREW_COLUMNS, pick
from .screws.implants import DIAMETER_RANGE_MM, LENGTH_RANGE_MM, load_implants

#: Makes a cell of a text, its colour as ``#rrggbb`` (empty for the usual one) and what is told over it.
CellMaker = Callable[[str, str, str], Any]
#: Applies a change (`editing.screw_edits`) under a label: `PlanSession.edit`.
Editor = Callable[..., None]
COLUMNS = ("Screw", "Size", "Grade", "Clearance", "HU", "Risk", "Reviewed")
_STALE = "?"


class ScrewArea:
    """Table of screws, and what can be done to the one that is chosen in it.

    Parameters
    ----------
    ui
        The widgets: `screwsTable`, `screwLabel`, `sizeComboBox`, `diameterSpinBox`, `lengthSpinBox`, `reviewedCheckBox`,
        `copyButton`, `swapButton`, `removeButton`, `statusLabel`.
    headings
        By the names in `COLUMNS`.
    choose
        Told the name of the screw that is chosen.
    """

    def __init__(
        self, ui: Any, make_cell: CellMaker, headings: Mapping[str, str], edit: Editor, choose: Callable[[str], None]
    ) -> None:
        self._ui, self._make_cell, self._edit, self._choose = ui, make_cell, edit, choose
        self._plan: Plan | None = None
        self._editable = self._showing = False
        self._sizes = load_implants().sizes_mm
        table = ui.screwsTable
        table.setColumnCount(len(COLUMNS))
        table.setHorizontalHeaderLabels([headings[name] for name in COLUMNS])
        table.verticalHeader().setVisible(False)
        for size in self._sizes:
            ui.sizeComboBox.addItem(_size_text(*size))
        for box, (low, high) in ((ui.diameterSpinBox, DIAMETER_RANGE_MM), (ui.lengthSpinBox, LENGTH_RANGE_MM)):
            box.minimum, box.maximum = low, high
        table.connect("itemSelectionChanged()", self._on_chosen)
        ui.sizeComboBox.connect("currentIndexChanged(int)", self._on_table_size)
        ui.diameterSpinBox.connect("valueChanged(double)", self._on_size)
        ui.lengthSpinBox.connect("valueChanged(double)", self._on_size)
        ui.reviewedCheckBox.connect("toggled(bool)", self._on_reviewed)
        for button, label, change in (
            (ui.copyButton, "Copy {} to the other side", screw_edits.copied_to_other_side),
            (ui.swapButton, "Swap the sides of {}", screw_edits.with_sides_swapped),
            (ui.removeButton, "Remove {}", screw_edits.removed),
        ):
            button.connect("clicked(bool)", self._acting(label, change))

    @property
    def chosen(self) -> Screw | None:
        """The screw whose row is chosen."""
        row = self._ui.screwsTable.currentRow()
        screws = self._plan.screws if self._plan is not None else ()
        return screws[row] if 0 <= row < len(screws) else None

    def show(self, plan: Plan | None, *, editable: bool) -> None:
        """Show the screws of a plan; the chosen one stays chosen as long as there is one of its name."""
        before = self.chosen
        self._plan, self._editable = plan, editable
        screws = plan.screws if plan is not None else ()
        table = self._ui.screwsTable
        self._showing = True
        try:
            table.setRowCount(len(screws))
            for row, screw in enumerate(screws):
                self._fill(row, screw)
            table.resizeColumnsToContents()
            names = [s.name for s in screws]
            if before is not None and before.name in names:
                table.setCurrentCell(names.index(before.name), 0)
            else:
                table.setCurrentCell(-1, -1)
        finally:
            self._showing = False
        self._show_chosen()

    def choose(self, name: str) -> None:
        """Choose a screw's row, as a click on it does."""
        for row, screw in enumerate(self._plan.screws if self._plan is not None else ()):
            if screw.name == name:
                self._ui.screwsTable.setCurrentCell(row, 0)
                self._on_chosen()

    def update(self, plan: Plan, name: str) -> None:
        """Show what became of one screw while it is dragged, and choose it."""
        self._plan = plan
        for row, screw in enumerate(plan.screws):
            if screw.name == name:
                self._fill(row, screw)
                if self._ui.screwsTable.currentRow() != row:
                    self._ui.screwsTable.setCurrentCell(row, 0)
        self._show_chosen()

    def _fill(self, row: int, screw: Screw) -> None:
        table = self._ui.screwsTable
        colour = hex_colour(REJECTED_COLOUR) if screw.verdict is Verdict.REJECTED else ""
        told = f"{screw.name}: {screw.verdict.value}" + (f": {screw.remarks}" if screw.remarks else "")
        for column, text in enumerate(
            _cells(screw, stale=self._plan is not None and _risk_is_stale(self._plan, screw))
        ):
            table.setItem(row, column, self._make_cell(text, colour, told))

    def _show_chosen(self) -> None:
        ui, screw = self._ui, self.chosen
        can = self._editable and screw is not None
        for widget in (
            ui.sizeComboBox,
            ui.diameterSpinBox,
            ui.lengthSpinBox,
            ui.reviewedCheckBox,
            ui.copyButton,
            ui.swapButton,
            ui.removeButton,
        ):
            widget.enabled = can
        ui.screwLabel.text = screw_in_words(screw)
        if screw is None:
            return
        self._showing = True
        try:
            ui.diameterSpinBox.value, ui.lengthSpinBox.value = screw.diameter_mm, screw.length_mm
            ui.reviewedCheckBox.checked = screw.reviewed
            ui.sizeComboBox.currentIndex = 1 + next(
                (n for n, size in enumerate(self._sizes) if _is_size(screw, size)), -1
            )
        finally:
            self._showing = False

    # ------------------------------------------------------------------------------------------------ the user's side
    def _on_chosen(self) -> None:
        if self._showing:
            return
        self._show_chosen()
        if self.chosen is not None:
            self._choose(self.chosen.name)

    def _on_table_size(self, index: int) -> None:
        if index > 0:
            self._resize(*self._sizes[index - 1])

    def _on_size(self, value: float) -> None:
        self._resize(self._ui.diameterSpinBox.value, self._ui.lengthSpinBox.value)

    def _resize(self, diameter_mm: float, length_mm: float) -> None:
        screw = self.chosen
        if self._showing or screw is None:
            return
        # The box shows a tenth of a millimetre: what it only rounds is not changed.
        length = screw.length_mm if abs(length_mm - screw.length_mm) <= 0.051 else length_mm
        self._act(f"Size of {screw.name}", screw_edits.resized, screw.name, diameter_mm, length)

    def _on_reviewed(self, mark: bool) -> None:
        screw = self.chosen
        if not self._showing and screw is not None:
            label = f"Mark {screw.name} as reviewed" if mark else f"Take the mark off {screw.name}"
            self._act(label, screw_edits.reviewed, screw.name, mark)

    def _acting(self, label: str, change: Callable[..., Case]) -> Callable[[], None]:
        def act() -> None:
            if self.chosen is not None:
                self._act(label.format(self.chosen.name), change, self.chosen.name)

        return act

    def _act(self, label: str, change: Callable[..., Case], *arguments: Any) -> None:
        self._ui.statusLabel.text = ""
        try:
            self._edit(label, change, *arguments)
        except MSKError as error:
            self._ui.statusLabel.text = str(error)
            self._show_chosen()  # what was typed is not so


def screw_in_words(screw: Screw | None) -> str:
    """Return what there is to say of a screw under the table."""
    if screw is None:
        return "Choose a screw in the table to change it, or drag its ends in the views."
    facts = [f"Grade {screw.grade}"]
    if screw.breaches_mm:
        facts.append("breaches " + ", ".join(f"{way} {mm:.1f} mm" for way, mm in screw.breaches_mm.items()))
    if screw.heary:
        facts.append(f"Heary {screw.heary}")
    if screw.convergence_deg is not None and screw.sagittal_deg is not None:
        facts.append(f"convergence {screw.convergence_deg:z.0f}°, rise {screw.sagittal_deg:z.0f}°")
    facts += [f"{name} {mm:z.1f} mm" for name, mm in list(screw.structures_mm.items())[:2]]
    by = "placed by hand" if screw.by_hand else "planned"
    lines = [f"{screw.name}, {by}: {screw.verdict.value}. {', '.join(facts)}."]
    lines += [f"✗ {reason}" for reason in screw.reasons]
    lines += [f"• {note}" for note in screw.notes]
    return "\n".join(lines)


def _cells(screw: Screw, *, stale: bool) -> tuple[str, ...]:
    clearance, mean, risk = (c.text(screw) for c in pick(SCREW_COLUMNS, "Clearance", "Mean", "Breach risk"))
    grade = f"{screw.grade} ✗" if screw.verdict is Verdict.REJECTED else screw.grade
    size = _size_text(screw.diameter_mm, screw.length_mm)
    return screw.name, size, grade, clearance, mean, _STALE if stale else risk, "✓" if screw.reviewed else ""


def _risk_is_stale(plan: Plan, screw: Screw) -> bool:
    return screw.risk is None and bool(plan.parameters.get("error_budget")) and budget_of(plan) is not None


def _size_text(diameter_mm: float, length_mm: float) -> str:
    return f"{diameter_mm:g} x {length_mm:.3g}"


def _is_size(screw: Screw, size: tuple[float, float]) -> bool:
    return abs(screw.diameter_mm - size[0]) < 1e-6 and abs(screw.length_mm - size[1]) < 1e-6
