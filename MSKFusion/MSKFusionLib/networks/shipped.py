"""The networks that come with the planner, by their names; each is a MONAI bundle like any other."""

from __future__ import annotations

from pathlib import Path

from ..errors import MissingComponentError
from ..resources import resource_path
from .bundle_files import METADATA

_FOLDER = "Networks"


def shipped_networks() -> dict[str, Path]:
    """Return the folders of the bundles that are installed with the planner, by name."""
    try:
        folder = resource_path(_FOLDER)
    except MissingComponentError:
        return {}
    return {p.name: p for p in sorted(folder.iterdir()) if (p / METADATA).is_file()}


def find_network(word: str) -> Path:
    """Return where a network lies: a path that is there, else the shipped network of that name, else the path as it is."""
    given = Path(word)
    return given if given.exists() else shipped_networks().get(word, given)
