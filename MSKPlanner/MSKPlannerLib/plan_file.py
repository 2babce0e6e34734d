"""Reading, checking and writing the plan document (`plan.json`).

The dataclasses of `plan` are the only description of the document: writing, strict reading and the published JSON
schema (`docs/plan.schema.json`) are all derived from them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import InputError

from .plan import Plan

#: Raised by one with every change that an older reader cannot follow.
SCHEMA_VERSION = 5
#: Versions that are read: what they lack has a default that says so (2 had no recipes of guides, 3 no osteotomies,
#: 4 no forms of cuts and no resections).
_READABLE_VERSIONS = ("2", "3", "4", "5")
_SCHEMA_KEY = "schema"
_SCHEMA_NAME = "mskplanner-plan"


def plan_to_json(plan: Plan) -> str:
    """Return the document as text: the same plan gives the same text, every float in full precision.

    Raises
    ------
    InputError
        When the plan holds what the reader would refuse, so that no unreadable document is ever written.
    """
    checked = _parse(_plain(plan), Plan, "plan")
    document = {_SCHEMA_KEY: f"{_SCHEMA_NAME}/{SCHEMA_VERSION}", **_plain(checked)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plan_from_json(text: str, where: str = "plan.json") -> Plan:
    """Read a document and check every field.

    Raises
    ------
    InputError
        When it is not JSON, not a plan, of another schema version, or a field is missing, unknown or of a wrong type.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InputError(f"not valid JSON ({error})", "Export the plan again.", where=where) from error
    if not isinstance(document, dict) or not str(document.get(_SCHEMA_KEY, "")).startswith(f"{_SCHEMA_NAME}/"):
        raise InputError("this is not a plan of MSK Planner", "Give the plan.json of an output folder.", where=where)
    version = str(document.pop(_SCHEMA_KEY)).removeprefix(f"{_SCHEMA_NAME}/")
    if version not in _READABLE_VERSIONS:
        raise InputError(
            f"the plan has schema version {version}, this program reads version {SCHEMA_VERSION}",
            "Open it with the release that wrote it, or plan again.",
            where=where,
        )
    return typing.cast(Plan, _parse(document, Plan, f"{where}: plan"))


def plan_sha256(plan: Plan) -> str:
    """Return the hash of the document: what the files made from it name it by."""
    return hashlib.sha256(plan_to_json(plan).encode("utf-8")).hexdigest()


def read_plan(path: str | Path) -> Plan:
    """Read the plan document of an output folder, or the file itself."""
    p = Path(path)
    p = p / "plan.json" if p.is_dir() else p
    if not p.is_file():
        raise InputError("there is no plan here", "Give an output folder with a plan.json, or that file.", where=str(p))
    try:
        return plan_from_json(p.read_text(encoding="utf-8"), where=str(p))
    except UnicodeDecodeError as error:
        raise InputError("this is not a text file", "Give the plan.json of an output folder.", where=str(p)) from error


def plan_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the document."""
    definitions: dict[str, Any] = {}
    body = _schema_of(Plan, definitions)
    plan = definitions.pop(Plan.__name__)
    plan["properties"] = {_SCHEMA_KEY: {"const": f"{_SCHEMA_NAME}/{SCHEMA_VERSION}"}, **plan["properties"]}
    plan["required"] = [_SCHEMA_KEY, *plan["required"]]
    assert body == {"$ref": f"#/$defs/{Plan.__name__}"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MSK Planner plan document",
        **plan,
        "$defs": definitions,
    }


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, Path):
        return value.as_posix()
    return float(value)


def _parse(value: Any, expected: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _parse(value, next(a for a in arguments if a is not type(None)), where)
    if dataclasses.is_dataclass(expected):
        return _parse_dataclass(value, expected, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(value, "a list", where)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_parse(v, arguments[0], f"{where}[{n}]") for n, v in enumerate(value))
        if len(value) != len(arguments):
            raise _wrong(value, f"{len(arguments)} values", where)
        return tuple(_parse(v, a, f"{where}[{n}]") for n, (v, a) in enumerate(zip(value, arguments, strict=True)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(value, "an object", where)
        return {k: _parse(v, arguments[1], f"{where}.{k}") for k, v in value.items()}
    if isinstance(expected, type) and issubclass(expected, Enum):
        try:
            return expected(value)
        except ValueError:
            raise _wrong(value, f"one of {', '.join(str(m.value) for m in expected)}", where) from None
    if expected is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _wrong(value, "a finite number", where)
        return float(value)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise _wrong(value, {"str": "text", "bool": "true or false", "int": "a whole number"}[expected.__name__], where)
    return value


def _parse_dataclass(value: Any, expected: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(value, "an object", where)
    hints = typing.get_type_hints(expected)
    fields = {f.name: f for f in dataclasses.fields(expected)}
    unknown = sorted(set(value) - set(fields))
    missing = sorted(n for n, f in fields.items() if _required(f) and n not in value)
    if unknown or missing:
        what = f"unknown field {unknown[0]!r}" if unknown else f"the field {missing[0]!r} is missing"
        raise InputError(what, "Plan again, or mend the file.", where=where)
    return expected(**{n: _parse(v, hints[n], f"{where}.{n}") for n, v in value.items()})


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _wrong(value: Any, wanted: str, where: str) -> InputError:
    return InputError(f"{json.dumps(value)[:40]} is not {wanted}", "Plan again, or mend the file.", where=where)


def _schema_of(expected: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return {}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema_of(a, definitions) for a in arguments]}
    if expected is type(None):
        return {"type": "null"}
    if dataclasses.is_dataclass(expected):
        name = typing.cast(type, expected).__name__
        if name not in definitions:
            definitions[name] = {}
            hints = typing.get_type_hints(expected)
            fields = dataclasses.fields(expected)
            definitions[name] = {
                "type": "object",
                "additionalProperties": False,
                "properties": {f.name: _schema_of(hints[f.name], definitions) for f in fields},
                "required": [f.name for f in fields if _required(f)],
            }
        return {"$ref": f"#/$defs/{name}"}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": _schema_of(arguments[0], definitions)}
        items = [_schema_of(a, definitions) for a in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
    if isinstance(expected, type) and issubclass(expected, Enum):
        return {"enum": [m.value for m in expected]}
    return {"type": {"str": "string", "float": "number", "int": "integer", "bool": "boolean"}[expected.__name__]}
