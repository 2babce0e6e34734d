"""A case in one readable file (TOML)."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from MSKFusionLib.errors import InputError


@dataclass(frozen=True)
class CaseFile:
    """What the file says; paths are absolute, everything else as in the command line's options."""

    ct: Path
    mr: Path | None = None
    ct_series: str | None = None
    mr_series: str | None = None
    bones: Path | None = None
    numbering: str | None = None
    level: str | None = None
    levels: tuple[str, ...] | None = None
    implants: Path | None = None
    screws: Mapping[str, Any] = field(default_factory=dict)
    guides: Mapping[str, Any] = field(default_factory=dict)
    sites: tuple[Mapping[str, Any], ...] = ()


T = TypeVar("T")
_PATHS = ("ct", "mr", "bones", "implants")
_TEXTS = ("ct_series", "mr_series", "numbering", "level")
_TABLES = ("screws", "guides")


def read_case_file(path: str | Path) -> CaseFile:
    """Read a case; paths in it are relative to the file.

    Raises
    ------
    InputError
        When the file is missing, is not TOML, names nothing to plan on, or has a key that nobody reads.
    """
    p = Path(path)
    if not p.is_file():
        raise InputError("there is no such file", "Give a CASE.toml; docs/case-file.md shows one.", where=str(p))
    try:
        content = tomllib.loads(p.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML ({error})", "docs/case-file.md shows a case.", where=str(p)) from error
    known = {*_PATHS, *_TEXTS, *_TABLES, "levels", "sites"}
    unknown = sorted(set(content) - known)
    if unknown:
        raise InputError(f"nobody reads the key '{unknown[0]}'", f"Known: {', '.join(sorted(known))}.", where=str(p))
    if "ct" not in content:
        raise InputError("the key 'ct' is missing", 'Write ct = "folder or file".', where=str(p))
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key == "levels":
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                raise InputError("'levels' is not a list of names", 'Write levels = ["L3", "L4"].', where=str(p))
            values[key] = tuple(v.upper() for v in value)
        elif key == "sites":
            if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
                raise InputError("'sites' is not a list of tables", "Write [[sites]] and its keys below.", where=str(p))
            values[key] = tuple(_with_path(v, p.parent) for v in value)
        elif key in _TABLES:
            if not isinstance(value, dict):
                raise InputError(f"'{key}' is not a table", f"Write [{key}] and its keys below.", where=str(p))
            values[key] = value
        elif not isinstance(value, str):
            raise InputError(f"'{key}' is not text", f'Write {key} = "...".', where=str(p))
        else:
            values[key] = (p.parent / value).resolve() if key in _PATHS else value
    return CaseFile(**values)


def _with_path(table: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return a site's table with the path of a page of one's own taken from the case file's folder."""
    site = table.get("site")
    if isinstance(site, str) and site.lower().endswith(".toml"):
        return {**table, "site": str((folder / site).resolve())}
    return table


def options_from_table(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Return an options dataclass with the values of a TOML table.

    Raises
    ------
    InputError
        For a key that the options do not have, or a value of another kind.
    """
    fields = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    default = kind()
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise InputError(f"nobody reads the key '{key}'", f"Known: {', '.join(fields)}.", where=where)
        wanted = getattr(default, key)
        values[key] = tuple(value) if isinstance(value, list) and isinstance(wanted, tuple) else value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (isinstance(values[key], type(wanted)) or (number and isinstance(wanted, float))):
            raise InputError(f"'{key}' = {value!r} is not of the kind of {wanted!r}", where=where)
    return kind(**values)
