"""Reading ``.ui`` files with the stand-ins of `widgets` in them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .pythonqt import _pyside_find_child, attributes_allowed
from .widgets import REGISTRY


class UiLoader(QtUiTools.QUiLoader):
    """Qt's loader; a widget class that has no stand-in is an error, not an empty widget."""

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> Any:
        if class_name in REGISTRY:
            widget = REGISTRY[class_name](parent) if parent is not None else REGISTRY[class_name]()
            widget.setObjectName(name)
            self._made.append(widget)
            return widget
        if class_name not in self.availableWidgets():
            raise RuntimeError(f"no stand-in for widget class {class_name}: write one in Testing/harness/widgets.py")
        return super().createWidget(class_name, parent, name)

    def load(self, file: QtCore.QFile, parent: QtWidgets.QWidget | None = None) -> Any:
        self._made: list[QtWidgets.QWidget] = []
        if file.isOpen():
            file.close()
        root = ElementTree.parse(file.fileName()).getroot()
        connections = _take_vtk_connections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with attributes_allowed():
            widget = super().load(buffer, parent)
        if widget is None:
            return None

        def named(name: str) -> Any:
            found = widget if widget.objectName == name else _pyside_find_child(widget, QtCore.QObject, name)
            if found is None:
                raise RuntimeError(f"{file.fileName()}: a connection names '{name}', which is not there")
            return found

        for connection in connections:
            signal = getattr(named(connection["sender"]), connection["signal"].split("(")[0])
            signal.connect(getattr(named(connection["receiver"]), connection["slot"].split("(")[0]))
        _alive.append(self._made)  # PySide6 would let go of Python widgets that only C++ holds
        return widget


_alive: list[list[QtWidgets.QWidget]] = []


def _take_vtk_connections(root: ElementTree.Element) -> list[dict[str, str]]:
    """Remove and return the connections that send VTK objects; Qt's meta-objects do not know their types here."""
    taken = []
    for group in root.iter("connections"):
        for connection in list(group):
            if "vtkMRML" in (connection.findtext("signal") or ""):
                taken.append({k: connection.findtext(k) or "" for k in ("sender", "signal", "receiver", "slot")})
                group.remove(connection)
    return taken
