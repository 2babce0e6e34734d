"""The part of the planner's panel that shows and edits osteotomies.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes) and makes the tables' cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from MSKFusionLib.translation import tr as _

from .anatomy.limb_measures import MEASURES
from .cut_texts import cut_cells, cut_in_words, kind_in_words, measure_cells, shown_per_unit
from .editing import osteotomy_edits
from .editing.cut_bones import LEG_BONES
from .editing.form_edits import FORMS
from .osteotomy.cut_shape import CutKind
from .osteotomy.planned import whole_change
from .osteotomy.target import Target
from .plan import Plan
from .plan_osteotomy import BeforeAfter, Osteotomy
from .table_area import CellMaker, Editor, TableArea, head_table

#: What a wedge or derotation can be made for, in the order of the list: the measure, what the box shows for it, its range
#: and where it begins, in the box's unit.
TARGETS = (
    ("hka_deg", "°", (150.0, 210.0), 180.0),
    ("weight_bearing_share", " %", (-20.0, 120.0), 62.0),
    ("mpta_deg", "°", (60.0, 120.0), 87.0),
    ("ldfa_deg", "°", (60.0, 120.0), 88.0),
    ("femoral_torsion_deg", "°", (-40.0, 60.0), 15.0),
    ("tibial_torsion_deg", "°", (-40.0, 80.0), 30.0),
)
#: Of the list of cuts: the plain kinds, then `form_edits.FORMS`.
KINDS = (CutKind.OPENING, CutKind.CLOSING, CutKind.TURN)
_LARGEST_DEG, _LARGEST_MM, _THICKEST_MM = 60.0, 60.0, 10.0


class CutArea(TableArea[Osteotomy]):
    """Table of osteotomies, what can be done to the one that is chosen, and the leg's measures before and after.

    Parameters
    ----------
    ui
        The widgets: `cutsTable`, `measuresTable`, `cutBoneComboBox`, `cutLabel`, the boxes of kind, angle, gap, kerf and target,
        `cutReviewedCheckBox`, `turnCutButton`, `removeCutButton`, `statusLabel`.
    choose
        Told the name of the osteotomy that is chosen.
    """

    def __init__(self, ui: Any, make_cell: CellMaker, edit: Editor, choose: Callable[[str], None]) -> None:
        headings = (_("Bone"), _("Cut"), _("Angle\n(°)"), _("Gap\n(mm)"), _("Hinge\n(mm)"), _("Seen"))
        super().__init__(ui, ui.cutsTable, make_cell, headings, edit, osteotomy_edits.reviewed, choose)
        self._bones: tuple[str, ...] = ()
        head_table(ui.measuresTable, (_("Measure"), _("Before"), _("After"), _("Change")))
        for measure, *_range in TARGETS:
            ui.cutTargetComboBox.addItem(MEASURES[measure].title)
        for box, low, high in (
            (ui.cutAngleSpinBox, -_LARGEST_DEG, _LARGEST_DEG),
            (ui.cutGapSpinBox, 0.0, _LARGEST_MM),
            (ui.cutKerfSpinBox, 0.0, _THICKEST_MM),
        ):
            box.minimum, box.maximum = low, high
        ui.cutKindComboBox.connect("currentIndexChanged(int)", self._on_kind)
        ui.cutAngleSpinBox.connect("valueChanged(double)", self._on_angle)
        ui.cutGapSpinBox.connect("valueChanged(double)", self._on_gap)
        ui.cutKerfSpinBox.connect("valueChanged(double)", self._on_kerf)
        ui.cutTargetComboBox.connect("currentIndexChanged(int)", self._on_target)
        ui.cutTargetSpinBox.connect("valueChanged(double)", self._on_target_value)
        ui.cutReviewedCheckBox.connect("toggled(bool)", self._on_reviewed)
        ui.turnCutButton.connect("clicked(bool)", self._acting(_("Turn {name} over"), osteotomy_edits.turned_over))
        ui.removeCutButton.connect("clicked(bool)", self._acting(_("Remove {name}"), osteotomy_edits.removed))

    @property
    def bone(self) -> str:
        """The bone that is chosen for a new cut; empty where there is none."""
        index = self._ui.cutBoneComboBox.currentIndex
        return self._bones[index] if 0 <= index < len(self._bones) else ""

    def show_bones(self, names: Sequence[str]) -> None:
        """Offer the segments of the bones, the bones of a leg first; the chosen one stays chosen."""
        ordered = tuple(sorted(names, key=lambda n: (not _is_leg(n), names.index(n))))
        if ordered == self._bones:
            return
        before, self._bones = self.bone, ordered
        box = self._ui.cutBoneComboBox
        box.clear()
        for name in ordered:
            box.addItem(name)
        box.currentIndex = ordered.index(before) if before in ordered else (0 if ordered else -1)

    def show(self, plan: Plan | None, *, editable: bool) -> None:
        """Show the osteotomies of a plan, and the leg's measures."""
        super().show(plan, editable=editable)
        self._show_measures()

    def _parts(self, plan: Plan) -> tuple[Osteotomy, ...]:
        return plan.osteotomies

    def _cells(self, part: Osteotomy) -> tuple[str, ...]:
        return cut_cells(part)

    def update(self, plan: Plan, name: str) -> None:
        """Show what becomes of the osteotomies while one of them is dragged, which is chosen, or a landmark of the leg; a screw does not matter."""
        if any(s.name == name for s in plan.screws):
            return
        self._plan = plan
        for row, cut in enumerate(plan.osteotomies):
            self._fill(row, cut)
            if cut.name == name and self._table.currentRow() != row:
                self._table.setCurrentCell(row, 0)
        self._show_chosen()
        self._show_measures()

    def _show_chosen(self) -> None:
        ui, cut = self._ui, self.chosen
        can = self._editable and cut is not None
        gap = cut is not None and cut.gap_mm is not None
        step = cut is not None and cut.kind == CutKind.STEP.value
        wedge = gap and not step
        for widget, possible in (
            (ui.cutKindComboBox, can),
            (ui.cutAngleSpinBox, can and not step),
            (ui.cutGapSpinBox, can and gap),
            (ui.cutKerfSpinBox, can),
            (ui.cutTargetComboBox, can and not step and cut is not None and bool(cut.role)),
            (ui.cutTargetSpinBox, can and cut is not None and cut.target is not None),
            (ui.cutReviewedCheckBox, can),
            (ui.turnCutButton, can and wedge),
            (ui.removeCutButton, can),
        ):
            widget.enabled = possible
        ui.cutLabel.text = cut_in_words(cut, None if self._plan is None else self._plan.limb)
        if cut is None:
            return
        self._showing = True
        try:
            ui.cutKindComboBox.currentIndex = _kind_index(cut)
            ui.cutAngleSpinBox.minimum = 0.0 if wedge else -_LARGEST_DEG
            ui.cutAngleSpinBox.value = cut.angle_deg
            ui.cutGapSpinBox.value = 0.0 if cut.gap_mm is None else cut.gap_mm
            ui.cutKerfSpinBox.value = cut.planes[0].kerf_mm
            names = [t[0] for t in TARGETS]
            index = names.index(cut.target.measure) if cut.target is not None and cut.target.measure in names else -1
            ui.cutTargetComboBox.currentIndex = index + 1
            if index >= 0 and cut.target is not None:
                self._show_target(index, cut.target.value)
            ui.cutReviewedCheckBox.checked = cut.reviewed
        finally:
            self._showing = False

    def _show_target(self, index: int, value: float | None = None) -> None:
        measure, suffix, (low, high), usual = TARGETS[index]
        box = self._ui.cutTargetSpinBox
        box.suffix, box.minimum, box.maximum = suffix, low, high
        box.value = usual if value is None else value * shown_per_unit(measure)

    def _show_measures(self) -> None:
        rows = () if self._plan is None else _whole_change(self._plan)
        table = self._ui.measuresTable
        table.visible = bool(rows)
        table.setRowCount(len(rows))
        for row, measure in enumerate(rows):
            told = MEASURES[measure.name].definition if measure.name in MEASURES else measure.title
            for column, text in enumerate(measure_cells(measure)):
                table.setItem(row, column, self._make_cell(text, "", told))
        table.resizeColumnsToContents()

    # ------------------------------------------------------------------------------------------------ the user's side
    def _on_kind(self, index: int) -> None:
        cut = self.chosen
        if self._showing or cut is None or index in (-1, _kind_index(cut)):
            return
        if index < len(KINDS):
            kind = KINDS[index]
            self._act(
                _("{kind} at {name}").format(kind=kind_in_words(kind.value), name=cut.name),
                osteotomy_edits.with_kind,
                cut.name,
                kind,
            )
        else:
            form = FORMS[index - len(KINDS)]
            self._act(
                _("{kind} at {name}").format(kind=kind_in_words(form), name=cut.name),
                osteotomy_edits.with_form,
                cut.name,
                form,
            )

    def _on_angle(self, value: float) -> None:
        cut = self.chosen
        # The box shows a tenth of a degree: what it only rounds is not changed.
        if not self._showing and cut is not None and abs(value - cut.angle_deg) > 0.051:
            self._act(_("Angle of {name}").format(name=cut.name), osteotomy_edits.with_angle, cut.name, value)

    def _on_gap(self, value: float) -> None:
        cut = self.chosen
        if not self._showing and cut is not None and cut.gap_mm is not None and abs(value - cut.gap_mm) > 0.051:
            self._act(_("Gap of {name}").format(name=cut.name), osteotomy_edits.with_gap, cut.name, value)

    def _on_kerf(self, value: float) -> None:
        cut = self.chosen
        if not self._showing and cut is not None and abs(value - cut.planes[0].kerf_mm) > 1e-6:
            self._act(_("Saw of {name}").format(name=cut.name), osteotomy_edits.with_kerf, cut.name, value)

    def _on_target(self, index: int) -> None:
        cut = self.chosen
        if self._showing or cut is None:
            return
        if index <= 0:
            if cut.target is not None:
                self._act(
                    _("No target of {name}").format(name=cut.name), osteotomy_edits.with_angle, cut.name, cut.angle_deg
                )
            return
        self._showing = True
        try:
            self._show_target(index - 1)
        finally:
            self._showing = False
        self._aim(cut, index - 1, TARGETS[index - 1][3])

    def _on_target_value(self, value: float) -> None:
        cut, index = self.chosen, self._ui.cutTargetComboBox.currentIndex - 1
        if self._showing or cut is None or index < 0:
            return
        held = None if cut.target is None else cut.target.value * shown_per_unit(cut.target.measure)
        if held is None or abs(held - value) > 0.051 or cut.target is None or cut.target.measure != TARGETS[index][0]:
            self._aim(cut, index, value)

    def _aim(self, cut: Osteotomy, index: int, value: float) -> None:
        measure = TARGETS[index][0]
        target = Target(measure, value / shown_per_unit(measure))
        self._act(_("Target of {name}").format(name=cut.name), osteotomy_edits.with_target, cut.name, target)


def _whole_change(plan: Plan) -> tuple[BeforeAfter, ...]:
    """Return the measures that are known, before the first and after the last cut of the leg."""
    return tuple(m for m in whole_change(plan.osteotomies) if m.before is not None or m.after is not None)


def _kind_index(cut: Osteotomy) -> int:
    """Return the row of a cut's kind in the list."""
    if cut.form is None:
        return KINDS.index(CutKind(cut.kind))
    closing = " closing" if cut.kind == CutKind.CLOSING.value else ""
    return len(KINDS) + FORMS.index(cut.form.name + closing)


def _is_leg(name: str) -> bool:
    return any(bone in name.lower() for bone in LEG_BONES[:2])
