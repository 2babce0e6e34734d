"""A stand-in for `slicer.parameterNodeWrapper` (own code; the part of its behaviour that the panels use).

As strict as Slicer's: a widget and a type that Slicer could not connect are refused here too, so that a panel that works
in a test is not stopped by its own parameters in the application.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk


@dataclass
class WithinRange:
    """The value lies between two numbers."""

    minimum: float
    maximum: float

    def check(self, value: Any) -> None:
        if value is None or not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass
class Choice:
    """The value is one of a list."""

    choices: list[Any]

    def check(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


@dataclass
class Default:
    """The value where none is stored yet."""

    value: Any


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: type
    checks: tuple[Any, ...]
    default: Any

    @property
    def is_node(self) -> bool:
        return issubclass(self.kind, slicer.vtkMRMLNode)

    def is_stored(self, node: Any) -> bool:
        return self.name in (node.GetParameterNames() or ())

    def write(self, node: Any, value: Any) -> None:
        if self.is_node:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name}: a {self.kind.__name__} is wanted, not a {type(value).__name__}")
            node.SetNodeReferenceID(self.name, None if value is None else value.GetID())
            return
        accepted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, accepted):
            raise TypeError(f"{self.name}: a {self.kind.__name__} is wanted, not a {type(value).__name__}")
        for check in self.checks:
            check.check(value)
        node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)


def _parameter(name: str, hint: Any, given: Any) -> _Parameter:
    annotations: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *rest = typing.get_args(hint)
        annotations = tuple(rest)
    plain = isinstance(hint, type) and not isinstance(hint, types.GenericAlias)
    if not plain or not issubclass(hint, (slicer.vtkMRMLNode, bool, int, float, str, pathlib.PurePath, enum.Enum)):
        raise TypeError(f"{name}: the stand-in for parameterNodeWrapper has no {hint}")
    checks = tuple(a for a in annotations if hasattr(a, "check"))
    if given is ...:
        given = next((a.value for a in annotations if isinstance(a, Default)), ...)
    if given is ... and checks:
        raise TypeError(f"{name}: give a default; what Slicer takes by itself need not pass the checks")
    if given is ... and not issubclass(hint, slicer.vtkMRMLNode):
        given = next(iter(hint)) if issubclass(hint, enum.Enum) else hint()
    return _Parameter(name, hint, checks, None if given is ... else given)


@dataclass(frozen=True)
class _Connector:
    parameter: _Parameter
    widget: Any
    signal: str
    read: Callable[[], Any]
    write: Callable[[Any], None]


def _connector(parameter: _Parameter, widget: Any) -> _Connector:
    """Return what joins a parameter and a widget; exactly these pairs exist in Slicer too."""
    kind, widget_class = parameter.kind, type(widget).__name__
    if widget_class == "qMRMLNodeComboBox" and parameter.is_node:
        widget.nodeTypes = [kind.__name__]
        return _Connector(parameter, widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    if widget_class == "QComboBox" and issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda member: member.name)
        return _choices(parameter, widget, [(label(member), member) for member in kind])
    if widget_class == "QComboBox" and kind in (int, float, str, bool):
        choices = next((c.choices for c in parameter.checks if isinstance(c, Choice)), None)
        if choices is None:
            raise RuntimeError(f"{parameter.name}: a QComboBox needs the annotation Choice")
        return _choices(parameter, widget, [(str(c), c) for c in choices])
    attribute = {
        ("QCheckBox", bool): ("checked", "stateChanged"),
        ("QPushButton", bool): ("checked", "toggled"),
        ("QSpinBox", int): ("value", "valueChanged"),
        ("QSlider", int): ("value", "valueChanged"),
        ("QDoubleSpinBox", float): ("value", "valueChanged"),
        ("ctkSliderWidget", float): ("value", "valueChanged"),
        ("QLineEdit", str): ("text", "textChanged"),
        ("ctkPathLineEdit", pathlib.Path): ("currentPath", "currentPathChanged"),
        ("ctkDirectoryButton", pathlib.Path): ("directory", "directoryChanged"),
    }.get((widget_class, kind))
    if attribute is None:
        raise RuntimeError(f"Slicer cannot connect parameter '{parameter.name}' ({kind.__name__}) to a {widget_class}")
    for check in parameter.checks:
        if isinstance(check, WithinRange):
            widget.minimum, widget.maximum = check.minimum, check.maximum
    name, signal = attribute

    def write(value: Any) -> None:
        setattr(widget, name, str(value) if kind is pathlib.Path else value)

    return _Connector(parameter, widget, signal, lambda: kind(getattr(widget, name)), write)


def _choices(parameter: _Parameter, widget: Any, items: list[tuple[str, Any]]) -> _Connector:
    widget.clear()
    for text, _ in items:
        widget.addItem(text)
    values = [value for _, value in items]

    def write(value: Any) -> None:
        widget.currentIndex = values.index(value)

    return _Connector(parameter, widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def parameterNodeWrapper(cls: type) -> type:
    """Make a class of annotated fields a typed view of a parameter node."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _parameter(name, hint, cls.__dict__.get(name, ...)) for name, hint in hints.items()}

    def init(self: Any, node: Any) -> None:
        self.parameterNode, self._connected, self._updating = node, {}, False
        for p in parameters.values():
            if not p.is_node and not p.is_stored(node):
                p.write(node, p.default)

    def connect_gui(self: Any, ui: Any) -> int:
        widgets = [w for w in vars(ui).values() if getattr(w, "property", None) and w.property("SlicerParameterName")]
        named = [(w.property("SlicerParameterName"), w) for w in widgets]
        unknown = [name for name, _ in named if name not in parameters]
        if unknown:
            raise ValueError(f"the .ui file names the parameter '{unknown[0]}', which the parameter node lacks")
        connectors = [_connector(parameters[name], widget) for name, widget in named]

        def to_gui(*_: Any) -> None:
            if self._updating:
                return
            self._updating = True
            try:
                for c in connectors:
                    c.write(c.parameter.read(self.parameterNode))
            finally:
                self._updating = False

        to_gui()
        slots = []
        for c in connectors:

            def to_node(*_: Any, c: _Connector = c) -> None:
                if not self._updating:
                    c.parameter.write(self.parameterNode, c.read())

            getattr(c.widget, c.signal).connect(to_node)
            slots.append((c, to_node))
        tag = len(self._connected) + 1
        self._connected[tag] = (slots, self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, to_gui))
        return tag

    def disconnect_gui(self: Any, tag: int) -> None:
        slots, observer = self._connected.pop(tag)
        for c, slot in slots:
            getattr(c.widget, c.signal).disconnect(slot)
        self.parameterNode.RemoveObserver(observer)

    cls.__init__, cls.connectGui, cls.disconnectGui = init, connect_gui, disconnect_gui
    cls.allParameters = parameters
    for name, p in parameters.items():

        def read(self: Any, p: _Parameter = p) -> Any:
            return p.read(self.parameterNode)

        def write(self: Any, value: Any, p: _Parameter = p) -> None:
            p.write(self.parameterNode, value)

        setattr(cls, name, property(read, write))
    for method in ("AddObserver", "RemoveObserver", "StartModify", "EndModify", "Modified"):

        def call(self: Any, *arguments: Any, method: str = method) -> Any:
            return getattr(self.parameterNode, method)(*arguments)

        setattr(cls, method, call)
    return cls


def module() -> types.ModuleType:
    """Return the stand-in under the name that Slicer's scripts import."""
    made = types.ModuleType("slicer.parameterNodeWrapper")
    for item in (parameterNodeWrapper, WithinRange, Choice, Default):
        setattr(made, item.__name__, item)
    return made
