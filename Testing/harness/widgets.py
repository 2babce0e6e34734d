"""Stand-ins for the ctk and qMRML widgets that the panels use.

Each has the properties, signals and slots that Slicer's class has and that a panel may touch; add to them what a panel
needs, never more. `REGISTRY` is how ``.ui`` files find them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

Property, Signal = QtCore.Property, QtCore.Signal
REGISTRY: dict[str, type[QtWidgets.QWidget]] = {}


def registered(cls: type[QtWidgets.QWidget]) -> type[QtWidgets.QWidget]:
    """Let ``.ui`` files find a stand-in."""
    REGISTRY[cls.__name__] = cls
    return cls


def _stored(name: str, kind: Any, default: Any, changed: Callable[[Any], None] | None = None) -> tuple[Any, Any]:
    """Return a Q_PROPERTY that only remembers its value, and its setter."""
    attribute = f"_{name}"

    def read(self: Any) -> Any:
        return getattr(self, attribute, default)

    def write(self: Any, value: Any) -> None:
        if value != read(self):
            setattr(self, attribute, value)
            if changed is not None:
                changed(self)

    return Property(kind, read, write), write


def _passed_on(inner: str, name: str, kind: Any) -> tuple[Any, Any]:
    """Return a Q_PROPERTY that is the one of an inner widget, and its setter."""

    def read(self: Any) -> Any:
        return getattr(getattr(self, inner), name)

    def write(self: Any, value: Any) -> None:
        setattr(getattr(self, inner), name, value)

    return Property(kind, read, write), write


# ---------------------------------------------------------------------------------------------------------- ctk
@registered
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A titled section that opens and closes."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*[a for a in arguments if isinstance(a, QtWidgets.QWidget)])
        self._is_collapsed = False
        self._hidden_with_it: list[QtWidgets.QWidget] = []
        for text in (a for a in arguments if isinstance(a, str)):
            self.setText(text)
        self.setContentsMargins(6, 24, 4, 4)
        self.clicked.connect(lambda *_: self.setCollapsed(not self._is_collapsed))

    def setCollapsed(self, collapsed: bool) -> None:
        collapsed = bool(collapsed)
        if collapsed == self._is_collapsed:
            return
        self._is_collapsed = collapsed
        children = [c for c in self.children() if isinstance(c, QtWidgets.QWidget)]
        if collapsed:  # as in ctk, what was hidden before stays hidden when the section is opened
            self._hidden_with_it = [c for c in children if not c.isHidden()]
        for child in children if collapsed else self._hidden_with_it:
            child.setVisible(not collapsed)
        self.setMaximumHeight(24 if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: self._is_collapsed, setCollapsed)

    def minimumSizeHint(self) -> QtCore.QSize:
        return self.sizeHint()

    def sizeHint(self) -> QtCore.QSize:
        header = QtCore.QSize(160, 24)
        layout = self.layout()
        if self._is_collapsed or layout is None:
            return header
        return layout.totalSizeHint().expandedTo(header)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, 22)
        option.text = ("▸ " if self._is_collapsed else "▾ ") + self.text
        painter.drawControl(QtWidgets.QStyle.CE_PushButton, option)


@registered
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a spin box; the spin box alone is kept here."""

    valueChanged = Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._box.setRange(0.0, 99.0)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self.valueChanged)

    value, setValue = _passed_on("_box", "value", float)
    minimum, setMinimum = _passed_on("_box", "minimum", float)
    maximum, setMaximum = _passed_on("_box", "maximum", float)
    singleStep, setSingleStep = _passed_on("_box", "singleStep", float)
    decimals, setDecimals = _passed_on("_box", "decimals", int)
    suffix, setSuffix = _passed_on("_box", "suffix", str)


@registered
class ctkPathLineEdit(QtWidgets.QWidget):
    """A path with a browse button."""

    currentPathChanged = Signal(str)
    Files, Dirs, Writable, Readable = 1, 4, 16, 32

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QtWidgets.QLineEdit(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        self._edit.textChanged.connect(self.currentPathChanged)

    currentPath, setCurrentPath = _passed_on("_edit", "text", str)
    filters, setFilters = _stored("filters", int, 1)
    settingKey, setSettingKey = _stored("settingKey", str, "")

    def addCurrentPathToHistory(self) -> None:
        """Do nothing: there are no settings here."""


@registered
class ctkDirectoryButton(QtWidgets.QPushButton):
    """A button that shows a folder."""

    directoryChanged = Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._folder = os.getcwd()

    def setDirectory(self, folder: str) -> None:
        folder = QtCore.QDir(folder).absolutePath()
        if folder != self._folder:
            self._folder = folder
            self.setText(folder)
            self.directoryChanged.emit(folder)

    directory = Property(str, lambda self: self._folder, setDirectory)


# ---------------------------------------------------------------------------------------------------------- qMRML
@registered
class qMRMLWidget(QtWidgets.QWidget):
    """A widget with a scene, which it hands on to what its ``.ui`` file connects to `mrmlSceneChanged`."""

    mrmlSceneChanged = Signal(object)
    isEntered = Property(bool, lambda self: self._entered, lambda self, value: setattr(self, "_entered", value))

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._scene: Any = None
        self._entered = False

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


@registered
class qSlicerWidget(qMRMLWidget):
    """The base of Slicer's panels."""


@registered
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """What Slicer puts a scripted module's panel in, and finds it by."""

    _panel: Any = None

    def hold(self, panel: Any) -> None:
        """Remember the panel; in Slicer this happens where the module is loaded."""
        self._panel = panel

    def self(this) -> Any:
        """Return the panel."""
        return this._panel


@registered
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """A choice of the scene's nodes of some classes, on the real scene.

    As in Slicer, None may be chosen only with `noneEnabled`; without it the first node that appears is chosen.
    """

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observers: list[int] = []
        self._node: Any = None
        self._items: list[Any] = []
        self._attributes: dict[str, dict[str, str | None]] = {}
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(lambda index: self._choose(self._items[index]))
        self._refresh()

    def _refresh(self) -> None:
        if not shiboken6.isValid(self) or (self._scene is not None and self._scene.IsBatchProcessing()):
            return
        nodes = [n for n in self._scene_nodes() if self._accepts(n)]
        self._items = ([None] if self.noneEnabled or not nodes else []) + nodes
        self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems([self.noneDisplay if n is None else n.GetName() for n in self._items])
        self._box.blockSignals(False)
        fallback = None if self.noneEnabled or not nodes else nodes[0]
        self._choose(self._node if self._node in nodes else fallback)

    nodeTypes, setNodeTypes = _stored("node_types", "QStringList", [], _refresh)
    noneEnabled, setNoneEnabled = _stored("none_enabled", bool, False, _refresh)
    noneDisplay, setNoneDisplay = _stored("none_display", str, "None", _refresh)
    showHidden, setShowHidden = _stored("show_hidden", bool, False, _refresh)
    showChildNodeTypes, setShowChildNodeTypes = _stored("show_children", bool, True, _refresh)
    addEnabled, setAddEnabled = _stored("add_enabled", bool, True)
    removeEnabled, setRemoveEnabled = _stored("remove_enabled", bool, True)
    renameEnabled, setRenameEnabled = _stored("rename_enabled", bool, False)
    editEnabled, setEditEnabled = _stored("edit_enabled", bool, False)
    selectNodeUponCreation, setSelectNodeUponCreation = _stored("select_new", bool, True)
    baseName, setBaseName = _stored("base_name", str, "")

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        self._attributes.setdefault(node_type, {})[name] = value
        self._refresh()

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._scene, self._observers = scene, []
        if scene is not None:
            kinds = slicer.vtkMRMLScene
            for event in (
                kinds.NodeAddedEvent,
                kinds.NodeRemovedEvent,
                kinds.EndBatchProcessEvent,
                kinds.EndCloseEvent,
                kinds.EndImportEvent,
            ):
                self._observers.append(scene.AddObserver(event, lambda *_: self._refresh()))
        self._refresh()
        self.mrmlSceneChanged.emit(scene)

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        self._choose(self._scene.GetNodeByID(node) if isinstance(node, str) and self._scene is not None else node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self._choose(self._scene.GetNodeByID(node_id) if node_id and self._scene is not None else None)

    currentNodeID = Property(str, lambda self: "" if self._node is None else self._node.GetID(), setCurrentNodeID)

    def addNode(self, node_type: str = "") -> Any:
        """Add a node as the user's 'Create new' does."""
        kind = node_type or self.nodeTypes[0]
        name = self.baseName or kind.removeprefix("vtkMRML").removesuffix("Node")
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(name))
        for key, value in self._attributes.get(kind, {}).items():
            node.SetAttribute(key, value or "")
        self._refresh()
        if self.selectNodeUponCreation:
            self._choose(node)
        self.nodeAddedByUser.emit(node)
        return node

    def nodeCount(self) -> int:
        return len([n for n in self._items if n is not None])

    def _choose(self, node: Any) -> None:
        if node not in self._items:
            node = None
        if node in self._items:
            self._box.blockSignals(True)
            self._box.setCurrentIndex(self._items.index(node))
            self._box.blockSignals(False)
        if node is not self._node:
            self._node = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit("" if node is None else node.GetID())

    def _scene_nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        return [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]

    def _accepts(self, node: vtk.vtkObject) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        for kind in self.nodeTypes:
            if node.IsA(kind) if self.showChildNodeTypes else node.GetClassName() == kind:
                wanted = self._attributes.get(kind, {})
                values = {name: node.GetAttribute(name) for name in wanted}
                return all(values[n] is not None and v in (None, values[n]) for n, v in wanted.items())
        return False
