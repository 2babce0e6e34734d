"""The part of the planner's panel that says what guide is wanted, and lists what is wrong with the guides, and where.

Knows no toolkit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.translation import tr as _

from .colours import REJECTED_COLOUR, hex_colour
from .editing.cut_guides import SAW_FROM
from .editing.guide_edits import CUT, DRILL, LEVELS, PIN, SKIN, GuideRequest
from .editing.pin_guides import PinRequest
from .guides.problems import Finding, findings
from .pin_area import PinArea
from .plan import Plan
from .plan_texts import guides_in_words, level_names
from .screws.sites.request import PEDICLE
from .table_area import CellMaker, head_table

#: The kinds in the order of the list.
_KINDS = (DRILL, LEVELS, CUT, SKIN, PIN)
#: The names of guides wrap, so that there is room for what was found, pixels.
_NAME_PX = 110


class GuideArea:
    """The kind of guide and what it needs to know; table of findings, of which the one that is chosen is gone to.

    Parameters
    ----------
    ui
        The widgets: `guideKindComboBox`, `presetComboBox`, `printerComboBox`, `guideForLabel`, `guideForArea`, `guideCutComboBox`,
        `guideLevelsLineEdit`, `sawFromLabel`, `sawFromArea`, `sawFromComboBox`, `holesSpinBox`, `fixedLevelsCheckBox`,
        `guidesLabel`, `problemsTable`, `problemsLabel`.
    pins
        The part for wires.
    go_to
        Shows the place of a finding.
    changed
        Told when another kind is chosen: what is missing for it may be another thing.
    """

    def __init__(
        self,
        ui: Any,
        make_cell: CellMaker,
        pins: PinArea,
        go_to: Callable[[Finding], None],
        changed: Callable[[], None],
    ) -> None:
        self._ui, self._make_cell, self._pins, self._go_to, self._changed = ui, make_cell, pins, go_to, changed
        self._findings: tuple[Finding, ...] = ()
        self._cuts: tuple[str, ...] = ()
        self._showing = self._suggested = False
        for text in (
            _("drill guides, one a vertebra"),
            _("drill guide for several vertebrae"),
            _("cutting guide of an osteotomy"),
            _("frame on the skin"),
            _("guide for K-wires on any bone"),
        ):
            ui.guideKindComboBox.addItem(text)
        for text in ("", _("the front"), _("the back"), _("the right"), _("the left")):
            ui.sawFromComboBox.addItem(text)
        table = ui.problemsTable
        head_table(table, (_("Guide"), _("Finding")))
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("itemSelectionChanged()", self._on_chosen)
        ui.guideKindComboBox.connect("currentIndexChanged(int)", self._on_kind)
        self.show_kind()

    @property
    def kind(self) -> str:
        """The kind that is chosen."""
        return _KINDS[max(0, self._ui.guideKindComboBox.currentIndex)]

    @property
    def request(self) -> GuideRequest:
        """What is asked for, as the widgets have it.

        Raises
        ------
        InputError
            When the points of a row of wires cannot be told apart.
        """
        ui, cut = self._ui, self._ui.guideCutComboBox.currentIndex
        return GuideRequest(
            self.kind,
            ui.presetComboBox.currentText,
            ui.printerComboBox.currentText,
            level_names(ui.guideLevelsLineEdit.text),
            bool(ui.fixedLevelsCheckBox.checked),
            self._cuts[cut] if 0 <= cut < len(self._cuts) else "",
            ("", *SAW_FROM)[max(0, ui.sawFromComboBox.currentIndex)],
            int(ui.holesSpinBox.value),
            self._pins.request if self.kind == PIN else PinRequest(),
        )

    @property
    def alone(self) -> bool:
        """Whether the chosen kind can be designed before there is a plan."""
        return self.kind == PIN

    def missing(self, plan: Plan | None) -> str:
        """Return what is missing before a guide of the chosen kind can be designed, in words; empty where nothing is."""
        if self.kind == CUT:
            return "" if plan is not None and plan.osteotomies else _("Plan an osteotomy first.")
        if self.kind == PIN:
            return self._pins.missing(plan)
        if plan is None or not plan.screws:
            return _("Plan the screws first.")
        usable = any((s.site, s.verdict) == (PEDICLE, Verdict.ACCEPTED) for s in plan.screws)
        return "" if usable or self.kind == DRILL else _("No pedicle screw of the plan is accepted.")

    def show(self, plan: Plan | None) -> None:
        """List the findings on the guides of a plan, and the osteotomies that a guide can be for."""
        self._ui.guidesLabel.text = guides_in_words(plan)
        self._show_cuts(plan)
        self._suggest(plan)
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
            table.setColumnWidth(0, min(table.columnWidth(0), _NAME_PX))
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

    def _show_cuts(self, plan: Plan | None) -> None:
        names = () if plan is None else tuple(o.name for o in plan.osteotomies)
        if names == self._cuts:
            return
        box = self._ui.guideCutComboBox
        chosen = self._cuts[box.currentIndex] if 0 <= box.currentIndex < len(self._cuts) else ""
        self._cuts = names
        box.clear()
        for name in names:
            box.addItem(name)
        box.currentIndex = names.index(chosen) if chosen in names else (0 if names else -1)

    def _suggest(self, plan: Plan | None) -> None:
        """Offer the guide that a plan of osteotomies alone can have, once: then it is the user's choice."""
        only_cuts = plan is not None and bool(plan.osteotomies) and not plan.screws
        if only_cuts and not self._suggested and self.kind == DRILL:
            self._ui.guideKindComboBox.currentIndex = _KINDS.index(CUT)
        self._suggested = self._suggested or only_cuts

    def show_kind(self) -> None:
        """Show what the chosen kind needs to know, and nothing else; called again when the section is opened."""
        ui, kind = self._ui, self.kind
        for widget, wanted in (
            (ui.guideForLabel, kind not in (DRILL, PIN)),
            (ui.guideForArea, kind not in (DRILL, PIN)),
            (ui.guideCutComboBox, kind == CUT),
            (ui.guideLevelsLineEdit, kind in (LEVELS, SKIN)),
            (ui.sawFromLabel, kind in (CUT, PIN)),
            (ui.sawFromArea, kind in (CUT, PIN)),
            (ui.holesSpinBox, kind == CUT),
            (ui.fixedLevelsCheckBox, kind == LEVELS),
        ):
            widget.visible = wanted
        self._pins.show(kind == PIN)
        ui.sawFromLabel.text = _("Come from:") if kind == PIN else _("Saw from:")
        ui.sawFromComboBox.setItemText(0, _("square to the bone") if kind == PIN else _("where it opens"))
        ui.presetComboBox.enabled = kind in (DRILL, LEVELS)

    def _on_kind(self, index: int) -> None:
        self.show_kind()
        self._changed()

    def _on_chosen(self) -> None:
        row = self._ui.problemsTable.currentRow()
        if not self._showing and 0 <= row < len(self._findings):
            self._go_to(self._findings[row])
