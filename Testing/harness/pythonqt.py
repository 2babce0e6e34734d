"""PySide6's classes with PythonQt's habits.

PythonQt gives every Q_PROPERTY as an attribute *and* through its setter, connects signals by signature, and refuses new
attributes on C++ objects. PySide6 does none of that. `patch` changes the classes once a process; nothing else here uses
PySide6, so nobody else sees it.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

QT_MODULES = (QtCore, QtGui, QtWidgets)
#: Virtual functions that are properties too: an attribute in their place would make Shiboken call itself for ever.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}

_pyside_setattr = QtCore.QObject.__setattr__
_pyside_getattribute = QtCore.QObject.__getattribute__
_pyside_connect = QtCore.QObject.connect
_pyside_disconnect = QtCore.QObject.disconnect
_pyside_find_child = QtCore.QObject.findChild
_pyside_find_children = QtCore.QObject.findChildren

#: Connections made by signature: (object, signature, the callable given, the callable connected).
_connections: list[tuple[QtCore.QObject, str, Callable[..., Any], Callable[..., Any]]] = []
_state = {"patched": False, "strict": True}


class _PropertyAttribute:
    """A Q_PROPERTY that is read and written as an attribute (`button.enabled = False`)."""

    def __init__(self, name: str, original: Any, writable: bool) -> None:
        self._name, self._original, self._writable = name, original, writable

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None:
            return QtCore.QObject.property(instance, self._name)
        return self._original.__get__(None, owner) if hasattr(self._original, "__get__") else self._original

    def __set__(self, instance: Any, value: Any) -> None:
        owner = type(instance).__name__
        if not self._writable:
            raise AttributeError(f"Property '{self._name}' of {owner} object is not writable")
        meta = instance.metaObject()
        kind = meta.property(meta.indexOfProperty(self._name)).typeName()
        if kind in ("int", "uint") and isinstance(value, float):
            value = int(value)
        wrong_text = kind == "QString" and not isinstance(value, str)
        if wrong_text or not QtCore.QObject.setProperty(instance, self._name, value):
            raise AttributeError(
                f"Property '{self._name}' of type '{kind}' does not accept an object of type {type(value).__name__}"
            )


def patch() -> None:
    """Change PySide6's classes; does nothing the second time."""
    if _state["patched"]:
        return
    _state["patched"] = True
    for module in QT_MODULES:
        for cls in [getattr(module, name) for name in dir(module)]:
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                _patch_class(cls)
    base = QtCore.QObject
    base.name = _PropertyAttribute("objectName", None, True)
    # Shiboken's own attribute lookup would hide these two.
    base.__getattribute__ = _getattribute
    base.connect, base.disconnect = _connect, _disconnect
    base.className = lambda self: self.metaObject().className()
    base.delete = lambda self: shiboken6.delete(self)
    base.findChild = lambda self, kind=QtCore.QObject, *a: _pyside_find_child(self, _class_of(kind), *a)
    base.findChildren = lambda self, kind=QtCore.QObject, *a: list(_pyside_find_children(self, _class_of(kind), *a))


def _patch_class(cls: type) -> None:
    meta = cls.staticMetaObject
    if "__setattr__" in cls.__dict__ and cls is not QtCore.QObject:
        cls.__setattr__ = _setattr
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        found = meta.property(index)
        name = found.name()
        if name not in _VIRTUAL:
            original = cls.__dict__.get(name, getattr(cls, name, None))
            setattr(cls, name, _PropertyAttribute(name, original, found.isWritable()))


@contextmanager
def attributes_allowed() -> Iterator[None]:
    """Let new attributes be set on Qt objects inside the block (Qt's own loader does that)."""
    _state["strict"] = False
    try:
        yield
    finally:
        _state["strict"] = True


def _setattr(self: Any, name: str, value: Any) -> None:
    plain = type(self).__module__.startswith("PySide6")
    if _state["strict"] and plain and not hasattr(type(self), name) and not name.startswith("__"):
        raise AttributeError(
            f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects is not allowed"
        )
    _pyside_setattr(self, name, value)


def _getattribute(self: Any, name: str) -> Any:
    if name in ("connect", "disconnect"):
        return types.MethodType(_connect if name == "connect" else _disconnect, self)
    return _pyside_getattribute(self, name)


def _by_signature(arguments: tuple[Any, ...]) -> str | None:
    """Return the signature of a PythonQt call; None for PySide6's own calls ('2clicked(bool)' comes from `SIGNAL`)."""
    if not arguments or not isinstance(arguments[0], (str, bytes)):
        return None
    text = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
    return None if text.startswith("2") else text


def _connect(self: Any, *arguments: Any) -> Any:
    signature = _by_signature(arguments)
    if signature is None or len(arguments) != 2:
        return _pyside_connect(*arguments) if _is_pyside_call(arguments) else _pyside_connect(self, *arguments)
    signal, given = _find_signal(self, signature)
    function = arguments[1]
    count = min(given, _accepted_arguments(function))

    def call(*values: Any) -> None:
        function(*values[:count])

    signal.connect(call)
    _connections.append((self, signature, function, call))
    return True


def _disconnect(self: Any, *arguments: Any) -> Any:
    signature = _by_signature(arguments)
    if signature is None:
        return _pyside_disconnect(*arguments) if _is_pyside_call(arguments) else _pyside_disconnect(self, *arguments)
    found = [
        c for c in _connections if c[0] is self and c[1] == signature and (len(arguments) == 1 or c[2] == arguments[1])
    ]
    for connection in found:
        _find_signal(self, signature)[0].disconnect(connection[3])
        _connections.remove(connection)
    return bool(found)


def _is_pyside_call(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments) and isinstance(arguments[0], QtCore.QObject)


def _find_signal(instance: Any, signature: str) -> tuple[Any, int]:
    """Return a signal and how many values it sends; a name or a signature that Qt does not know raises, as in Slicer."""
    name = signature.split("(")[0]
    signal = getattr(instance, name, None)
    missing = AttributeError(f"QObject::connect: no such signal {type(instance).__name__}::{signature}")
    if signal is None or not hasattr(signal, "connect"):
        raise missing
    arguments = signature[signature.index("(") + 1 : signature.rindex(")")] if "(" in signature else ""
    if "vtk" not in arguments:  # the stand-ins send nodes as Python objects, whose signature Qt does not know
        normal = QtCore.QMetaObject.normalizedSignature(signature)
        normal = normal if isinstance(normal, str) else bytes(normal).decode()
        if instance.metaObject().indexOfSignal(normal) < 0:
            raise missing
        if hasattr(signal, "__getitem__"):
            overload = normal[normal.index("(") + 1 : -1]
            signal = signal[overload] if overload else signal
    return signal, len([a for a in arguments.split(",") if a.strip()])


def _accepted_arguments(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 99
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 99
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _class_of(kind: Any) -> Any:
    """Return a class by its name, as PythonQt takes it; a name that nobody knows finds nothing."""
    if not isinstance(kind, str):
        return kind
    for module in QT_MODULES:
        if hasattr(module, kind):
            return getattr(module, kind)
    return type("_Unknown", (QtCore.QObject,), {})
