"""`slicer.app` on a QApplication: what a panel may touch of the application object."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets


class ModuleManager(QtCore.QObject):
    """The list of loaded modules."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> list[str]:
        return list(vars(slicer.modules))


class Application(QtWidgets.QApplication):
    """The one application object of a test process; it serves whatever scene is open."""

    startupCompleted = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__(["slicer-harness"])
        self._module_manager = ModuleManager()
        #: The application without Qt that the scene brought along; set by `session`.
        self.headless: Any = None

    def __getattr__(self, name: str) -> Any:
        headless = self.__dict__.get("headless")
        if headless is None:
            raise AttributeError(f"slicer.app has no '{name}' in the harness")
        return getattr(headless, name)

    def applicationLogic(self) -> Any:
        return self.headless.applicationLogic()

    def mrmlScene(self) -> Any:
        return self.headless.mrmlScene()

    def moduleManager(self) -> ModuleManager:
        return self._module_manager

    def translate(self, context: str, text: str) -> str:
        """Return the text: there are no translations here."""
        return text

    def layoutManager(self) -> None:
        """Return None, as Slicer does when it runs without a main window."""

    def testingEnabled(self) -> bool:
        """Return False, so that errors take the path they take for a user; there is no main window for a dialog."""
        return False

    def pauseRender(self) -> None:
        """Do nothing: there are no views."""

    def resumeRender(self) -> None:
        """Do nothing: there are no views."""
