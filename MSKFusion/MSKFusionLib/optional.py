"""Packages that only some work needs: loaded where that work begins, named where they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from .errors import MissingComponentError


def load_optional(*names: str, missing: str) -> Any:
    """Return the first module of `names`, all of them imported.

    Parameters
    ----------
    names
        As `import` takes them: ``torch``, ``monai.transforms``.
    missing
        What needs them, how they are installed, and what can be done without: the error's words.

    Raises
    ------
    MissingComponentError
        When one of them is not installed.
    """
    try:
        modules = [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise MissingComponentError(missing) from error
    return modules[0]


def check_optional(name: str, *, missing: str) -> None:
    """Make sure that a package is installed, without importing it: before long work that ends in needing it.

    Raises
    ------
    MissingComponentError
        When it is not.
    """
    if importlib.util.find_spec(name) is None:
        raise MissingComponentError(missing)
