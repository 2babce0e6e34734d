"""Slicer's own Python base classes in place of the stand-ins, where `SLICER_SOURCE` names a checkout of Slicer.

    git clone --branch 5.12 https://github.com/Slicer/Slicer.git
    SLICER_SOURCE=Slicer .venv/bin/python -m pytest Testing/gui

Taken from it are `slicer.ScriptedLoadableModule`, `slicer.parameterNodeWrapper` and `slicer.i18n`; `slicer.util` is that of
slicer-core, and the widgets are those of the harness.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from functools import cache
from pathlib import Path

_FOLDER = Path("Base") / "Python" / "slicer"
#: In the order in which they need each other.
_NAMES = ("i18n", "parameterNodeWrapper", "ScriptedLoadableModule")


def source_folder() -> Path | None:
    """Return the folder of Slicer's Python files that `SLICER_SOURCE` names; None where it is not set.

    Raises
    ------
    FileNotFoundError
        When there are none: a switch that silently does nothing would be worse.
    """
    root = os.environ.get("SLICER_SOURCE")
    if not root:
        return None
    folder = Path(root) / _FOLDER
    if not (folder / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"SLICER_SOURCE={root}: there is no {_FOLDER}/ScriptedLoadableModule.py")
    return folder


#: Widget classes that Slicer's connectors ask about and the harness has no stand-in for.
_OTHER_WIDGETS = ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget")


@cache
def load(folder: Path) -> dict[str, types.ModuleType]:
    """Run Slicer's files and return the modules by the names that scripts import them under; `qt` and `ctk` are there."""
    loaded: dict[str, types.ModuleType] = {}
    for short in _NAMES:
        name, package = f"slicer.{short}", folder / short
        path = package / "__init__.py" if package.is_dir() else folder / f"{short}.py"
        spec = importlib.util.spec_from_file_location(
            name, path, submodule_search_locations=[str(package)] if package.is_dir() else None
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        loaded[name] = module
    return loaded


def other_widgets() -> dict[str, type]:
    """Return classes that no widget has, by the names that Slicer's connectors look for in `slicer`."""
    return {name: type(name, (), {}) for name in _OTHER_WIDGETS}


class Unused(types.ModuleType):
    """A module of Qt classes in which a class that the harness lacks is one that no widget has."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made
