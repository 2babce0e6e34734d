"""The part of the planner's panel that shows and edits screws.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes) and makes the table's cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.translation import tr as _

from .editing import screw_edits
from .editing.asked import budget_of
from .plan import Plan, Screw
from .plan_columns import SCREW_COLUMNS, pick
from .screws.implants import DIAMETER_RANGE_MM, LENGTH_RANGE_MM, load_implants
from .table_area import CellMaker, Editor, TableArea, verdict_in_words

_STALE = "?"


class ScrewArea(TableArea[Screw]):
    """Table of screws, and what can be done to the one that is chosen in it.

    Parameters
    ----------
    ui
        The widgets: `screwsTable`, `screwLabel`, `sizeComboBox`, `diameterSpinBox`, `lengthSpinBox`, `reviewedCheckBox`,
        `copyButton`, `swapButton`, `removeButton`, `statusLabel`.
    choose
        Told the name of the screw that is chosen.
    """

    def __init__(self, ui: Any, make_cell: CellMaker, edit: Editor, choose: Callable[[str], None]) -> None:
        headings = (
            _("Screw"),
            _("Size\n(mm)"),
            _("Grade"),
            _("Bone\n(mm)"),
            _("Mean\n(HU)"),
            _("Risk\n(%)"),
            _("Seen"),
        )
        super().__init__(ui, ui.screwsTable, make_cell, headings, edit, screw_edits.reviewed, choose)
        self._sizes = load_implants().sizes_mm
        for size in self._sizes:
            ui.sizeComboBox.addItem(_size_text(*size))
        for box, (low, high) in ((ui.diameterSpinBox, DIAMETER_RANGE_MM), (ui.lengthSpinBox, LENGTH_RANGE_MM)):
            box.minimum, box.maximum = low, high
        ui.sizeComboBox.connect("currentIndexChanged(int)", self._on_table_size)
        ui.diameterSpinBox.connect("valueChanged(double)", self._on_size)
        ui.lengthSpinBox.connect("valueChanged(double)", self._on_size)
        ui.reviewedCheckBox.connect("toggled(bool)", self._on_reviewed)
        for button, label, change in (
            (ui.copyButton, _("Copy {name} to the other side"), screw_edits.copied_to_other_side),
            (ui.swapButton, _("Swap the sides of {name}"), screw_edits.with_sides_swapped),
            (ui.removeButton, _("Remove {name}"), screw_edits.removed),
        ):
            button.connect("clicked(bool)", self._acting(label, change))

    def _parts(self, plan: Plan) -> tuple[Screw, ...]:
        return plan.screws

    def update(self, plan: Plan, name: str) -> None:
        """Show what became of one screw while it is dragged, and choose it."""
        self._plan = plan
        for row, screw in enumerate(plan.screws):
            if screw.name == name:
                self._fill(row, screw)
                if self._table.currentRow() != row:
                    self._table.setCurrentCell(row, 0)
        self._show_chosen()

    def _cells(self, part: Screw) -> tuple[str, ...]:
        return _cells(part, stale=self._plan is not None and _risk_is_stale(self._plan, part))

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
        self._act(_("Size of {name}").format(name=screw.name), screw_edits.resized, screw.name, diameter_mm, length)


def screw_in_words(screw: Screw | None) -> str:
    """Return what there is to say of a screw under the table."""
    if screw is None:
        return _("Choose a screw in the table to change it, or drag its ends in the views.")
    facts = [_("Grade {grade}").format(grade=screw.grade)]
    if screw.breaches_mm:
        facts.append(
            _("breaches {list}").format(list=", ".join(f"{w} {mm:.1f} mm" for w, mm in screw.breaches_mm.items()))
        )
    if screw.heary:
        facts.append(_("Heary {grade}").format(grade=screw.heary))
    if screw.convergence_deg is not None and screw.sagittal_deg is not None:
        facts.append(
            _("convergence {deg:z.0f}°, rise {rise:z.0f}°").format(deg=screw.convergence_deg, rise=screw.sagittal_deg)
        )
    facts += [f"{name} {mm:z.1f} mm" for name, mm in list(screw.structures_mm.items())[:2]]
    by = _("placed by hand") if screw.by_hand else _("planned")
    lines = [f"{screw.name}, {by}: {verdict_in_words(screw.verdict)}. {', '.join(facts)}."]
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
