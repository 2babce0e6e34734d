"""Puts the harness in place for one test, loads module files, opens panels, and takes everything away again."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import shiboken6
import slicer
import slicer.util
from PySide6 import QtCore, QtUiTools, QtWidgets

from MSKFusionLib.mrml.headless import headless_scene

from . import markups_widgets, parameter_node, pythonqt, scripted_module, slicer_source
from .application import Application
from .ui_loader import UiLoader
from .widgets import REGISTRY, qSlicerScriptedLoadableModuleWidget

ROOT = Path(__file__).resolve().parents[2]
#: Read for the stand-ins that they put into the registry.
WIDGET_FAMILIES = (markups_widgets,)


class Session:
    """A scene with an application around it. Made by `module_session`."""

    def __init__(self, scene: Any, application: Application) -> None:
        self.scene, self.application = scene, application
        self._loaded: dict[str, types.ModuleType] = {}
        self._panels: list[Any] = []

    def load(self, name: str) -> types.ModuleType:
        """Run a module file (`MSKFusion/MSKFusion.py`) as Slicer does at its start, and return it."""
        path = ROOT / name / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        self._loaded[name] = module
        spec.loader.exec_module(module)
        description = types.SimpleNamespace(path=str(path), name=name, widgetRepresentation=lambda: self._shown(name))
        getattr(module, name)(description)
        setattr(slicer.modules, name.lower(), description)
        return module

    def open_panel(self, name: str) -> Any:
        """Return a module's panel, set up and entered."""
        if name not in self._loaded:
            self.load(name)
        parent = qSlicerScriptedLoadableModuleWidget()
        parent.setLayout(QtWidgets.QVBoxLayout())
        parent.setMRMLScene(self.scene)
        panel = getattr(self._loaded[name], f"{name}Widget")(parent)
        self._panels.append(panel)
        parent.hold(panel)
        panel.setup()
        parent.isEntered = True
        panel.enter()
        return panel

    def _shown(self, name: str) -> Any:
        """Return what holds a module's panel, which is opened where it is not, as Slicer does."""
        kind = getattr(self._loaded[name], f"{name}Widget")
        found = next((p for p in self._panels if isinstance(p, kind)), None)
        return (found or self.open_panel(name)).parent

    def close_panel(self, panel: Any) -> None:
        """Take a panel away as Slicer does when it ends."""
        self._panels.remove(panel)
        panel.cleanup()
        panel.parent.setMRMLScene(None)
        for child in panel.parent.findChildren(QtWidgets.QWidget):
            if hasattr(child, "setMRMLScene"):
                child.setMRMLScene(None)
        shiboken6.delete(panel.parent)

    def close(self) -> None:
        """Close every panel and forget the modules."""
        for panel in list(self._panels):
            self.close_panel(panel)
        for name in self._loaded:
            sys.modules.pop(name, None)
            delattr(slicer.modules, name.lower())


@contextmanager
def module_session() -> Iterator[Session]:
    """Give a session; afterwards `slicer` and `sys.modules` are as they were."""
    pythonqt.patch()
    application = QtWidgets.QApplication.instance() or Application()
    source = slicer_source.source_folder()
    stand_ins = {
        "qt": _qt_module(),
        "ctk": _ctk_module(),
        parameter_node.module().__name__: parameter_node.module(),
        **scripted_module.modules(),
    }
    attributes: dict[str, Any] = {name: cls for name, cls in REGISTRY.items() if name.startswith("q")}
    if source is not None:
        attributes.update(slicer_source.other_widgets())
    before = {name: sys.modules.get(name) for name in stand_ins}
    with headless_scene() as scene:
        application.headless = slicer.app
        slicer.app = application
        sys.modules.update(stand_ins)
        for name, value in attributes.items():
            setattr(slicer, name, value)
        if source is not None:
            stand_ins.update(slicer_source.load(source))
            sys.modules.update(stand_ins)
        attributes.update({n.removeprefix("slicer."): m for n, m in stand_ins.items() if n.startswith("slicer.")})
        for name, value in attributes.items():
            setattr(slicer, name, value)
        session = Session(scene, application)
        try:
            yield session
        finally:
            session.close()
            for name, value in before.items():
                if value is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = value
            for name in attributes:
                delattr(slicer, name)
            slicer.app = application.headless
            application.headless = None


def _qt_module() -> types.ModuleType:
    made = types.ModuleType("qt")
    for module in (*pythonqt.QT_MODULES, QtUiTools):
        for name in dir(module):  # not vars(): PySide6 makes its classes when they are first asked for
            if not name.startswith("_"):
                setattr(made, name, getattr(module, name))
    made.QUiLoader = UiLoader
    made.QObject = QtCore.QObject
    return made


def _ctk_module() -> types.ModuleType:
    made = types.ModuleType("ctk") if slicer_source.source_folder() is None else slicer_source.Unused("ctk")
    for name, cls in REGISTRY.items():
        if name.startswith("ctk"):
            setattr(made, name, cls)
    return made
