"""What the command line says while it works and when it is done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from MSKFusionLib.progress import Progress

_BAR_WIDTH = 30
#: On anything but a terminal a line is written when the step changes, and not more often than this.
_SECONDS_BETWEEN_LINES = 5.0


def console_progress(stream: TextIO | None = None) -> Progress:
    """Return a callback that draws a bar on a terminal and plain lines elsewhere (standard error)."""
    out = stream or sys.stderr
    last_message, last_time = "", 0.0

    def bar(fraction: float, message: str) -> None:
        done = round(_BAR_WIDTH * min(max(fraction, 0.0), 1.0))
        out.write(f"\r[{'#' * done}{'.' * (_BAR_WIDTH - done)}] {100 * fraction:3.0f} % {message:<48.48}")
        if fraction >= 1.0:
            out.write("\n")
        out.flush()

    def line(fraction: float, message: str) -> None:
        nonlocal last_message, last_time
        now = time.monotonic()
        if message == last_message and now - last_time < _SECONDS_BETWEEN_LINES:
            return
        last_message, last_time = message, now
        out.write(f"{100 * fraction:3.0f} % {message}\n")
        out.flush()

    return bar if out.isatty() else line


def say(summary: str, result: Mapping[str, Any], *, as_json: bool) -> None:
    """Write the one-paragraph summary, or the whole result for machines, to standard output."""
    text = json.dumps(result, indent=2, ensure_ascii=False) if as_json else summary
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text columns."""
    lines = [list(head), *[list(r) for r in rows]]
    widths = [max(len(line[c]) for line in lines) for c in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
