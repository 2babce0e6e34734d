"""The part of the planner's panel that says what can be done now, and what of the plan is out of date. Knows no toolkit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MSKFusionLib.translation import tr as _

from .editing.chain import Link, chain_in_words
from .editing.up_to_date import OutOfDate
from .plan import Plan
from .plan_texts import structures_in_words


@dataclass(frozen=True)
class PanelState:
    """What the buttons hang on (`mrml.panel_state.state_of`).

    Parameters
    ----------
    ready
        Whether a CT and bones are chosen.
    planned
        Whether the plan in hand was made of them as they are.
    movable
        Whether the plan can be taken over to them.
    undo, redo
        What would be taken back and done again; empty: nothing.
    segments, levels
        Names of the chosen bones, and the vertebrae that a screw can be planned in.
    """

    ready: bool
    planned: bool
    stale: OutOfDate
    movable: bool
    plan: Plan | None
    undo: str
    redo: str
    chain: tuple[Link, ...]
    segments: tuple[str, ...]
    levels: tuple[str, ...]


class StateArea:
    """The large buttons, undo and redo, the chain, and what is out of date.

    Parameters
    ----------
    ui, cut_ui
        The widgets: `planButton`, `guidesButton`, `exportButton`, `updateButton`, `undoButton`, `redoButton`, `structuresLabel`,
        `chainLabel`, `outOfDateLabel`, `screwsLabel`; `addCutButton`.
    """

    def __init__(self, ui: Any, cut_ui: Any) -> None:
        self._ui, self._cut_ui = ui, cut_ui

    def show(self, state: PanelState, *, folder: bool, bone: bool, no_guide: str, alone: bool = False) -> None:
        """Enable what can be done, and say what is missing for the rest.

        Parameters
        ----------
        folder, bone
            Whether a folder for export and a bone to cut are chosen.
        no_guide
            Why no guide can be designed; empty where one can.
        alone
            Whether it can be designed before there is a plan.
        """
        ui = self._ui
        begun = state.planned or (alone and state.ready and state.plan is None)
        missing = _("Choose a CT and the segmented bones first.")
        for button, possible, reason in (
            (ui.planButton, state.ready, missing),
            (self._cut_ui.addCutButton, state.ready and bone, missing),
            (ui.guidesButton, begun and not no_guide, no_guide or _("Bring the plan up to date first.")),
            (ui.exportButton, state.planned and folder, _("Plan the screws and choose a folder first.")),
            (ui.updateButton, bool(state.stale or state.movable), _("Nothing in the plan is out of date.")),
            (ui.undoButton, bool(state.undo), _("There is nothing to undo.")),
            (ui.redoButton, bool(state.redo), _("There is nothing to do again.")),
        ):
            button.enabled = possible
            button.toolTip = "" if possible else reason
        for button, label in ((ui.undoButton, state.undo), (ui.redoButton, state.redo)):
            button.toolTip = label or button.toolTip
        ui.structuresLabel.text = structures_in_words(state.segments)
        ui.structuresLabel.visible = bool(state.segments)
        ui.chainLabel.text = chain_in_words(state.chain)
        ui.chainLabel.toolTip = "\n".join(f"{link.name}: {link.why}" for link in state.chain if link.why)
        ui.outOfDateLabel.text = "\n".join(state.stale.lines) if state.stale else ""
        ui.outOfDateLabel.visible = bool(state.stale)
        if state.plan is not None and state.ready and not state.planned:
            ui.screwsLabel.text = _(
                "Out of date: the images or the bones have changed. Bring the plan up to date, or plan the screws again."
            )
