"""Running one long job from a module's panel: progress and cancel in, errors in words out.

Knows no toolkit: the panel hands in its widgets (PythonQt's, with properties as attributes) and the call that lets the
application handle its events, so that both modules share this and it can be tested without them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from .errors import Cancelled, MSKError
from .progress import Progress

Result = TypeVar("Result")
#: Events are handled at most this often; often enough for a cancel button, rarely enough not to slow the work.
_BREATH_SECONDS = 0.05


class JobArea:
    """The part of a panel that runs one job at a time.

    Parameters
    ----------
    ui
        The panel's widgets: `workArea` (everything that must not be touched meanwhile), `progressBar` (0 to 100),
        `cancelButton` and `statusLabel`.
    breathe
        Lets the application handle its events.
    """

    def __init__(self, ui: Any, breathe: Callable[[], None]) -> None:
        self._ui, self._breathe = ui, breathe
        self._cancelled = False
        self._last_breath = 0.0
        self.running = False

    def run(
        self, work: Callable[[Progress], Result], guard: AbstractContextManager[Any], stopped: str = "Stopped."
    ) -> Result | None:
        """Do `work` with the panel locked; return its result, or None where it was cancelled or failed in words.

        Parameters
        ----------
        guard
            Shows an error to the user on its way out (`slicer.util.tryWithErrorDisplay`).
        stopped
            What the status says after the user cancelled.

        Raises
        ------
        Exception
            Anything that is not an `MSKError`, after the status says so: it is a bug, and belongs in the log.
        """
        if self.running:
            return None
        self._cancelled, self.running = False, True
        self._lock(True)
        self._ui.statusLabel.text = ""
        try:
            with guard:
                try:
                    return work(self.report)
                except Cancelled:
                    self._ui.statusLabel.text = stopped
        except MSKError as error:
            self._ui.statusLabel.text = str(error)
        except Exception as error:
            self._ui.statusLabel.text = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.running = False
            self._lock(False)
        return None

    def cancel(self) -> None:
        """Stop the running job at its next report."""
        self._cancelled = True

    def report(self, fraction: float, message: str) -> None:
        """Show progress (this is the job's `Progress`).

        Raises
        ------
        Cancelled
            When the user asked for it.
        """
        now = time.monotonic()
        if now - self._last_breath >= _BREATH_SECONDS:
            self._last_breath = now
            self._ui.progressBar.value = int(100 * min(max(fraction, 0.0), 1.0))
            self._ui.statusLabel.text = message
            self._breathe()
        if self._cancelled:
            raise Cancelled("stopped by the user")

    def _lock(self, locked: bool) -> None:
        self._ui.workArea.enabled = not locked
        self._ui.cancelButton.enabled = locked
        self._ui.progressBar.value = 0
        self._last_breath = 0.0
