"""Stand-ins for `slicer.ScriptedLoadableModule` and `slicer.i18n` (own code; what the modules here use of them)."""

from __future__ import annotations

import types
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets

from .widgets import qSlicerScriptedLoadableModuleWidget


class ScriptedLoadableModule:
    """The description of a module; `parent` holds title, category, help."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title, parent.helpText, parent.acknowledgementText = "", "", ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)


class ScriptedLoadableModuleWidget:
    """The base of a panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        if parent is None:
            parent = qSlicerScriptedLoadableModuleWidget()
            parent.setLayout(QtWidgets.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        """Build the panel."""

    def cleanup(self) -> None:
        """Let go of everything."""

    def enter(self) -> None:
        """Come to the panel."""

    def exit(self) -> None:
        """Leave the panel."""


class ScriptedLoadableModuleLogic:
    """The base of a module's logic, with its one parameter node in the scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The base of a module's self test."""

    def delayDisplay(self, message: str, requestedDelay: Any = None, msec: Any = None) -> None:
        """Show nothing."""

    def runTest(self) -> None:
        """Do nothing by default."""


def modules() -> dict[str, types.ModuleType]:
    """Return the stand-ins by the name that Slicer's scripts import them under."""
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    classes = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    for cls in classes:
        setattr(base, cls.__name__, cls)
    base.__all__ = [cls.__name__ for cls in classes]
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    i18n.getContext = lambda file: Path(file).stem
    return {base.__name__: base, i18n.__name__: i18n}
