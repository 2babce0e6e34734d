"""Presets: small TOML files in `Resources` that a user can read, copy and change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.resources import resource_path


def read_preset(preset: str | Path, folder: str) -> tuple[dict[str, Any], str]:
    """Return what a preset (by name, of a folder of `Resources`) or a TOML file holds, and what to call it in an error.

    Raises
    ------
    InputError
        When there is no such preset or file, or it is not valid TOML.
    """
    path = Path(preset)
    if path.suffix.lower() != ".toml":
        names = sorted(p.stem for p in resource_path(folder).glob("*.toml"))
        if str(preset).lower() not in names:
            raise InputError(f"there is no preset '{preset}'", f"There are: {', '.join(names)}; or give a .toml file.")
        path = resource_path(folder, f"{str(preset).lower()}.toml")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.name
    except FileNotFoundError as error:
        raise InputError("there is no such file", "Check the path.", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is not valid TOML ({error})", where=str(path)) from error


def number(value: object, key: str, where: str) -> float:
    """Return a value of a preset as a number that is not negative; `key` names it in the error."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InputError(f"{key} = {value!r} is not a number of 0 or more", where=where)
    return float(value)


def require_within(options: object, limits: Mapping[str, tuple[float, float]], where: str) -> None:
    """Raise an InputError for the first of some numbers of an options object that is not within its limits."""
    for key, (low, high) in limits.items():
        value = getattr(options, key)
        if not low <= value <= high:
            raise InputError(f"{key} = {value} is not between {low} and {high}", where=where)
