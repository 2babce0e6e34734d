"""Panels off screen. Skips where Qt's system libraries are missing, except on CI, where that is a failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from MSKPlannerLib.editing import elsewhere

# What several tests of panels share lies beside this file; tests are imported by path, not as a package.
sys.path.insert(0, str(Path(__file__).parent))

_WORKED_OUT = elsewhere.worked_out
SYSTEM_PACKAGES = "libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3 libglib2.0-0 libx11-6"


@pytest.fixture(scope="session", autouse=True)
def qt_off_screen() -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    try:
        from PySide6 import QtUiTools, QtWidgets  # noqa: F401  whether they can be imported is the question
    except ImportError as error:
        message = f"Qt cannot be loaded ({error}). On Debian: apt-get install {SYSTEM_PACKAGES}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def session(qt_off_screen):
    from harness.session import module_session

    with module_session() as opened:
        yield opened


@pytest.fixture(autouse=True)
def planner_works_here(monkeypatch) -> None:
    """MSK Planner's long work is packed as for its other process and done in this one, where the tests' stand-ins are."""
    real = elsewhere.worked_out
    monkeypatch.setattr(elsewhere, "worked_out", lambda *arguments, **keywords: real(*arguments, **keywords))


@pytest.fixture
def planner_works_away(planner_works_here, monkeypatch) -> None:
    """MSK Planner's long work is done in its other process, as in the application."""
    monkeypatch.setattr(elsewhere, "worked_out", _WORKED_OUT)


@pytest.fixture
def shown_errors(session, monkeypatch) -> list[str]:
    """What a user would have read in error dialogs."""
    import slicer

    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: shown.append(text))
    return shown
