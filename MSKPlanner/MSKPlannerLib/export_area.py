"""The part of the planner's panel that writes mesh files: which bodies, format, frame. Knows no toolkit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import MSKError
from MSKFusionLib.translation import tr as _

from .export.plan_bodies import WHAT, BodyChoice, Written


class ExportArea:
    """Choice of what is written, and how.

    Parameters
    ----------
    ui
        The widgets: `guidesCheckBox`, `bonesCheckBox`, `screwsCheckBox`, `formatComboBox`, `frameComboBox`, `mergedCheckBox`,
        `outdatedCheckBox`, `exportBodiesButton`, `statusLabel`.
    write
        Writes what was chosen.
    """

    def __init__(self, ui: Any, write: Callable[[BodyChoice], None]) -> None:
        self._ui, self._write = ui, write
        ui.exportBodiesButton.connect("clicked(bool)", self._on_export)

    @property
    def allow_outdated(self) -> bool:
        """Whether what is out of date shall be written too."""
        return bool(self._ui.outdatedCheckBox.checked)

    def show(self, *, possible: bool, stale: bool) -> None:
        """Enable what can be done; what is out of date is asked about anew each time."""
        self._ui.exportBodiesButton.enabled = possible
        self._ui.outdatedCheckBox.enabled = stale
        if not stale:
            self._ui.outdatedCheckBox.checked = False

    def _on_export(self) -> None:
        ui = self._ui
        boxes = dict(zip(WHAT, (ui.guidesCheckBox, ui.bonesCheckBox, ui.screwsCheckBox), strict=True))
        what = tuple(name for name, box in boxes.items() if box.checked)
        try:
            choice = BodyChoice(
                what, (ui.formatComboBox.currentText.lower(),), ui.frameComboBox.currentText, ui.mergedCheckBox.checked
            )
        except MSKError as error:
            ui.statusLabel.text = str(error)
            return
        self._write(choice)


def bodies_folder(folder: str | Path, choice: BodyChoice) -> Path:
    """Return where the files of a choice go: a folder of their own beside the plan's files."""
    return Path(folder) / f"{'_'.join(choice.formats)}_{choice.frame.lower()}"


def written_in_words(folder: Path, files: tuple[Written, ...], frame: str) -> str:
    """Return what was written, in words."""
    names = ", ".join(f.file for f in files[:4])
    if len(files) > 4:
        names = _("{names} and {count} more").format(names=names, count=len(files) - 4)
    return _("Written to {folder} in {frame} mm: {names}.").format(folder=folder, frame=frame, names=names)
