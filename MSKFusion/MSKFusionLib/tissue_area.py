"""The part of MSK Fusion's panel in which an MR is labelled, and what it shows is joined with the bones of the CT.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes), its Logic and how it runs long work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import InputError
from .frames import FloatArray
from .fusion_texts import found_in_words, joined_in_words
from .progress import Progress
from .registration.result import RegistrationResult
from .translation import tr as _


@dataclass(frozen=True, eq=False)
class TissueInputs:
    """What the panel has chosen: nodes (None where none is), and what else the work is told."""

    ct: Any = None
    mr: Any = None
    bones: Any = None
    labels: Any = None
    level: Any = None
    network: str | None = None


@dataclass(frozen=True)
class LabelWork:
    """What labels an MR in the scene (the module's Logic); every result begins with the segmentation's node.

    Parameters
    ----------
    spine
        Given MR, name and place of the known level, and progress; ``network=`` finds it in place of the rules.
    tissue
        Given MR, its labels (or None) and progress.
    lesion
        Given MR, a point of its own frame, its labels (or None) and progress.
    join
        Given CT, its bones, MR, its labels, their registration and progress.
    """

    spine: Callable[..., tuple[Any, Any]]
    tissue: Callable[..., tuple[Any, Any]]
    lesion: Callable[..., tuple[Any, Any]]
    join: Callable[..., tuple[Any, Any]]


class Click(Protocol):
    """Waits for one point (`mrml.point_placing.PointPlacing`)."""

    active: bool

    def start(self, name: str, placed: Callable[[FloatArray], None], frame: Any = None) -> None:
        """Wait for a click."""

    def stop(self) -> None:
        """Wait no longer."""


class TissueArea:
    """Spine, muscle and fat, lesions; one label set with the CT's bones.

    Parameters
    ----------
    ui
        The widgets: `segmentMrButton`, `tissueButton`, `lesionButton`, `joinButton`, `mrLabelsLabel`, `statusLabel`.
    run
        Does long work with the panel locked: given the words for a failure and the work, returns its result or None.
    registration
        Gives the registration that the two images lie by; None where there is none that is known and trusted.
    chosen
        Called with the node that labels of the MR were put into.
    alone
        Stops what else waits for a click.
    """

    def __init__(
        self,
        ui: Any,
        work: LabelWork,
        click: Click,
        run: Callable[[str, Callable[[Progress], Any]], Any],
        inputs: Callable[[], TissueInputs],
        registration: Callable[[], RegistrationResult | None],
        chosen: Callable[[Any], None],
        alone: Callable[[], None],
    ) -> None:
        self._ui, self._work, self._click, self._run = ui, work, click, run
        self._inputs, self._registration, self._chosen, self._alone = inputs, registration, chosen, alone
        self._of: Any = None
        ui.segmentMrButton.connect("clicked(bool)", self.on_spine)
        ui.tissueButton.connect("clicked(bool)", self.on_tissue)
        ui.lesionButton.connect("clicked(bool)", self.on_lesion)
        ui.joinButton.connect("clicked(bool)", self.on_join)

    def update(self) -> None:
        """Show what can be done with what is chosen."""
        ui, now = self._ui, self._inputs()
        first = _("Choose an MR first.")
        ui.segmentMrButton.text = _("Segment the spine in the &MR") if now.network is None else _("Segment the &MR")
        for button, told in (
            (ui.segmentMrButton, _("Find vertebral bodies, discs and spinal canal in the MR.")),
            (ui.tissueButton, _("Find muscle and fat in the MR; beside the spine alone where that is labelled.")),
            (ui.lesionButton, _("Click into a tumour, cyst or oedema in the MR: its border is followed from there.")),
        ):
            button.enabled = now.mr is not None
            button.toolTip = told if button.enabled else first
        ui.lesionButton.checked = self._click.active
        missing = self._missing_to_join(now)
        ui.joinButton.enabled = not missing
        ui.joinButton.toolTip = missing or _("Bones as the CT shows them, the rest from the MR, in one segmentation.")
        if self._of is not now.mr:
            self._of = None
            ui.mrLabelsLabel.text = _("No MR segmented yet.")

    def on_spine(self) -> None:
        """Label the spine in the MR."""
        now = self._inputs()
        name, place = (None, "lowest") if now.level is None else now.level
        self._label(lambda report: self._work.spine(now.mr, name, place, report, network=now.network), now)

    def on_tissue(self) -> None:
        """Label muscle and fat in the MR."""
        now = self._inputs()
        self._label(lambda report: self._work.tissue(now.mr, now.labels, report), now)

    def on_lesion(self) -> None:
        """Wait for a click into a lesion, or no longer."""
        if self._click.active:
            self._click.stop()
            return
        self._alone()
        now = self._inputs()
        self._click.start(_("lesion"), lambda point: self._on_lesion_clicked(now, point), now.mr)
        self.update()

    def _on_lesion_clicked(self, then: TissueInputs, point: FloatArray) -> None:
        self._label(lambda report: self._work.lesion(then.mr, point, then.labels, report), then)

    def on_join(self) -> None:
        """Put bones and tissue into one segmentation."""
        now, result = self._inputs(), self._registration()

        def work(report: Progress) -> Any:
            if result is None:
                raise InputError(self._missing_to_join(now))
            return self._work.join(now.ct, now.bones, now.mr, now.labels, result, report)

        done = self._run(_("Bones and tissue could not be joined."), work)
        if done is not None:
            self._ui.mrLabelsLabel.text = joined_in_words(done[1])
            self._ui.statusLabel.text = _("Done.")

    def _label(self, work: Callable[[Progress], Any], then: TissueInputs) -> None:
        done = self._run(_("The segmentation failed."), work)
        if done is not None:
            self._chosen(done[0])
            self._of = then.mr
            self._ui.mrLabelsLabel.text = found_in_words(done[1])
            self._ui.statusLabel.text = _("Done.")

    def _missing_to_join(self, now: TissueInputs) -> str:
        if now.ct is None or now.mr is None:
            return _("Choose a CT and an MR first.")
        if now.bones is None or now.labels is None:
            return _("Choose the bones of the CT and the labels of the MR first.")
        if self._registration() is None:
            return _(
                "Register the MR to the CT first: a registration of an earlier session, a rejected one and one that was "
                "moved by hand do not tell how exactly the MR lies."
            )
        return ""
