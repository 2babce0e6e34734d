"""The harness itself: PythonQt's habits that the panels rely on, and that nothing of it is left behind."""

import enum
import pathlib
import sys
from typing import Annotated

import pytest

from harness.slicer_source import source_folder


def test_properties_are_attributes_and_setters(session):
    import qt

    button = qt.QPushButton("a")
    assert button.text == "a"
    button.text = "b"
    button.setEnabled(False)
    assert (button.text, button.enabled) == ("b", False)


def test_new_attributes_on_qt_objects_are_refused(session):
    import qt

    with pytest.raises(AttributeError, match="not allowed"):
        qt.QPushButton().remark = "x"
    with pytest.raises(AttributeError, match="does not accept"):
        qt.QPushButton().text = 5


def test_connect_by_signature(session):
    import qt

    calls = []
    button = qt.QPushButton()
    button.connect("clicked(bool)", lambda: calls.append("none"))
    button.connect("clicked(bool)", calls.append)
    button.click()
    assert calls == ["none", False]
    button.disconnect("clicked(bool)", calls.append)
    button.click()
    assert calls == ["none", False, "none"]
    with pytest.raises(AttributeError, match="no such signal"):
        button.connect("pressed(bool)", calls.append)


def test_node_selector_follows_the_scene(session):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLModelNode"]
    selector.noneEnabled = True
    chosen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", chosen.append)
    selector.setMRMLScene(session.scene)
    model = session.scene.AddNewNodeByClass("vtkMRMLModelNode", "one")
    session.scene.AddNewNodeByClass("vtkMRMLTableNode", "other")
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    selector.setCurrentNode(model)
    session.scene.RemoveNode(model)
    assert selector.currentNode() is None
    assert chosen == [model, None]
    selector.setMRMLScene(None)


def test_parameter_node_is_typed_and_as_strict_as_slicers(session):
    import qt
    import slicer
    from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

    class Side(enum.Enum):
        LEFT = 1
        RIGHT = 2

    @parameterNodeWrapper
    class Node:
        volume: slicer.vtkMRMLScalarVolumeNode
        side: Side
        level: Annotated[str, Choice(["L1", "L2"])] = "L1"
        width: Annotated[float, WithinRange(1.0, 5.0)] = 1.0
        count: int = 3
        folder: pathlib.Path = pathlib.Path("/tmp/x")

    node = Node(session.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    assert (node.volume, node.side, node.level, node.width, node.count) == (None, Side.LEFT, "L1", 1.0, 3)
    node.side, node.width = Side.RIGHT, 2.5
    again = Node(node.parameterNode)
    assert (again.side, again.width, again.folder) == (Side.RIGHT, 2.5, pathlib.Path("/tmp/x"))
    for name, wrong in (("level", "L9"), ("width", 6.0), ("count", "3"), ("volume", node.parameterNode)):
        with pytest.raises((ValueError, TypeError)):
            setattr(node, name, wrong)
    text = qt.QLineEdit()
    text.setProperty("SlicerParameterName", "count")
    with pytest.raises(RuntimeError, match=r"cannot connect|Unable to create GUI connector"):
        node.connectGui(type("Ui", (), {"__init__": lambda self: setattr(self, "text", text)})())
    if source_folder() is not None:  # what follows is the stand-in's own limit
        return
    with pytest.raises(TypeError, match="no list"):
        parameterNodeWrapper(type("Bad", (), {"__annotations__": {"items": list[int]}}))


def test_a_widget_without_a_stand_in_is_an_error(session, tmp_path):
    import slicer

    ui = tmp_path / "x.ui"
    ui.write_text('<ui version="4.0"><class>X</class><widget class="qMRMLUnheardOf" name="X"/></ui>')
    with pytest.raises(RuntimeError, match=r"qMRMLUnheardOf.*harness/widgets\.py"):
        slicer.util.loadUI(str(ui))


def test_nothing_is_left_behind(qt_off_screen):
    import slicer

    from harness.session import module_session

    before = {name: getattr(slicer, name, None) for name in ("app", "mrmlScene", "modules", "qMRMLNodeComboBox")}
    with module_session() as opened:
        opened.open_panel("MSKFusion")
        assert "qt" in sys.modules
    assert {name: getattr(slicer, name, None) for name in before} == before
    for name in ("qt", "ctk", "slicer.parameterNodeWrapper", "slicer.ScriptedLoadableModule", "MSKFusion"):
        assert name not in sys.modules
