"""Stand-ins for the widgets of Slicer's Markups module that the panels use."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtWidgets

from .widgets import Property, Signal, qMRMLNodeComboBox, qSlicerWidget, registered

_LIST = "vtkMRMLMarkupsFiducialNode"
#: Column of the names; in Slicer the others hold where a point is.
_NAME = 0


@registered
class qSlicerMarkupsPlaceWidget(qSlicerWidget):
    """Buttons that place points of a list and delete them."""

    activeMarkupsPlaceModeChanged = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._place, self._delete = QtWidgets.QToolButton(self), QtWidgets.QToolButton(self)
        self._place.setText("+")
        self._delete.setText("×")
        self._place.setCheckable(True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._place)
        layout.addWidget(self._delete)
        self._place.toggled.connect(self.setPlaceModeEnabled)
        self._delete.clicked.connect(self._delete_last)
        self.setCurrentNode(None)

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        self._node = node
        for button in (self._place, self._delete):
            button.setEnabled(node is not None)

    def placeButton(self) -> Any:
        return self._place

    def deleteButton(self) -> Any:
        return self._delete

    def setPlaceModeEnabled(self, enabled: bool) -> None:
        logic = slicer.app.applicationLogic()
        selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        if not enabled:
            interaction.SwitchToViewTransformMode()
        elif self._node is not None:
            selection.SetReferenceActivePlaceNodeClassName(_LIST)
            selection.SetActivePlaceNodeID(self._node.GetID())
            interaction.SwitchToPersistentPlaceMode()
        self._place.setChecked(bool(enabled))

    def _mode(self) -> bool:
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        return interaction.GetCurrentInteractionMode() == interaction.Place and bool(self._place.isChecked())

    placeModeEnabled = Property(bool, _mode, setPlaceModeEnabled)

    def _delete_last(self) -> None:
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)


@registered
class qSlicerSimpleMarkupsWidget(qSlicerWidget):
    """A choice of point lists, the buttons that place their points, and a table that names them."""

    markupsNodeChanged = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._observers: tuple[Any, list[int]] = (None, [])
        self._selector = qMRMLNodeComboBox(self)
        self._selector.setNodeTypes([_LIST])
        self._selector.setNoneEnabled(True)
        self._placing = qSlicerMarkupsPlaceWidget(self)
        self._table = QtWidgets.QTableWidget(0, 4, self)
        self._table.setHorizontalHeaderLabels(["Label", "R", "A", "S"])
        self._table.setMaximumHeight(118)
        line = QtWidgets.QHBoxLayout()
        line.addWidget(self._selector)
        line.addWidget(self._placing)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self._table)
        self._selector.currentNodeChanged.connect(self._on_node)
        self._table.cellChanged.connect(self._on_edited)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._selector.setMRMLScene(scene)

    def currentNode(self) -> Any:
        return self._selector.currentNode()

    def setCurrentNode(self, node: Any) -> None:
        self._selector.setCurrentNode(node)

    def setNodeBaseName(self, name: str) -> None:
        self._selector.setBaseName(name)

    def tableWidget(self) -> Any:
        return self._table

    def markupsPlaceWidget(self) -> Any:
        return self._placing

    def markupsSelectorComboBox(self) -> Any:
        return self._selector

    def _on_node(self, node: Any) -> None:
        before, tags = self._observers
        for tag in tags:
            before.RemoveObserver(tag)
        self._observers = (node, [])
        if node is not None:
            events = (node.PointAddedEvent, node.PointRemovedEvent, node.PointModifiedEvent)
            self._observers = (node, [node.AddObserver(event, lambda *_: self._fill()) for event in events])
        self._placing.setCurrentNode(node)
        self._fill()
        self.markupsNodeChanged.emit()

    def _fill(self) -> None:
        node = self.currentNode()
        self._table.blockSignals(True)
        self._table.setRowCount(0 if node is None else node.GetNumberOfControlPoints())
        for row in range(int(self._table.rowCount)):
            cells = [node.GetNthControlPointLabel(row), *(f"{v:.1f}" for v in node.GetNthControlPointPosition(row))]
            for column, text in enumerate(cells):
                self._table.setItem(row, column, QtWidgets.QTableWidgetItem(text))
        self._table.blockSignals(False)

    def _on_edited(self, row: int, column: int) -> None:
        if column == _NAME and self.currentNode() is not None:
            self.currentNode().SetNthControlPointLabel(row, self._table.item(row, column).text())
