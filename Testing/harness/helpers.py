"""Small things that the tests of both panels need."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from MSKFusionLib.volume import Modality, Volume


def press(button: Any) -> None:
    """Press a button as a user does; what its handler raises (Qt would only print it) is raised here."""
    assert button.isEnabled(), f"'{button.text}' cannot be pressed"
    raised: list[BaseException] = []
    before = sys.excepthook
    sys.excepthook = lambda kind, error, trace: raised.append(error)
    try:
        button.click()
    finally:
        sys.excepthook = before
    if raised:
        raise raised[0]


def nodes_of_class(scene: Any, kind: str) -> list[Any]:
    """Return the scene's nodes of a class."""
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def small_volume(modality: Modality, name: str) -> Volume:
    """Return a volume of a few voxels, oblique and off the origin."""
    voxels = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8)
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    return Volume(voxels, np.array([5.0, -3.0, 11.0]), np.array([1.0, 1.5, 2.0]), turn, modality=modality, name=name)


def replace_function(monkeypatch: Any, target: str, stand_in: Callable[..., Any]) -> None:
    """Put a quick function in place of `package.module.function`; calls that the real one would refuse still fail."""
    module_name, name = target.rsplit(".", 1)
    _import_whole(module_name.partition(".")[0])
    signature = inspect.signature(getattr(importlib.import_module(module_name), name))

    def checked(*arguments: Any, **keywords: Any) -> Any:
        signature.bind(*arguments, **keywords)
        return stand_in(*arguments, **keywords)

    checked.__signature__ = signature
    monkeypatch.setattr(target, checked)


@functools.cache
def _import_whole(package: str) -> None:
    """Import every module of a package: one that is imported first while a stand-in stands would keep it for good."""
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(found.name)


@contextmanager
def meanwhile(panel: Any, act: Callable[[], Any]) -> Iterator[list[bool]]:
    """Do something once in the block, as soon as a job of a panel lets the application handle its events; tell whether it was."""
    done: list[bool] = []
    breathe = panel.job._breathe

    def breathe_and_act() -> None:
        breathe()
        if not done:
            done.append(True)
            act()

    panel.job._breathe = breathe_and_act
    try:
        yield done
    finally:
        panel.job._breathe = breathe
