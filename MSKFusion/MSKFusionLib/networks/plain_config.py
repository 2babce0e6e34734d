"""A bundle's configuration read as data: references are followed, and whatever would run code is refused.

MONAI's own parser evaluates every text that begins with ``$`` and makes an object of every ``_target_``: a bundle from
elsewhere could do anything. Nothing here is ever evaluated or imported.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

#: ``@preprocessing::transforms::0`` or, as older bundles write it, ``@displayable_configs#sw_overlap``.
_REFERENCE = re.compile(r"\$?@(\w+(?:(?:::|#)\w+)*)")
_MOST_DEEP = 30
MOST_BYTES = 4_000_000


def read_json(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises
    ------
    InputError
        When it is not one, or too large or too deep to be a configuration.
    """
    if len(data) > MOST_BYTES:
        raise InputError(f"{len(data)} bytes are too many for a configuration", "Give a MONAI bundle.", where=where)
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("this is not valid JSON", "Get the bundle again.", where=where) from error
    if not isinstance(content, dict):
        raise InputError("this JSON holds no object at its top", "Get the bundle again.", where=where)
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


@dataclass(frozen=True)
class PlainConfig:
    """A JSON object whose values are looked up with their references followed.

    Parameters
    ----------
    content
        What `read_json` gave.
    where
        The file's name, for messages.
    """

    content: dict[str, Any]
    where: str

    def has(self, key: str) -> bool:
        """Tell whether there is something under a key."""
        try:
            self._found(key)
        except InputError:
            return False
        return True

    def value(self, key: str) -> Any:
        """Return what is under a key (``network_def``, ``displayable_configs::sw_overlap``), wholly as plain values.

        Raises
        ------
        InputError
            When it is missing, refers to nothing or in a circle, or holds an expression.
        """
        return self._plain(self._found(key), key, 0)

    def part(self, key: str, wanted: Collection[str]) -> dict[str, Any]:
        """Return only the wanted entries of the object under a key; what else it holds is not looked at."""
        found = self._found(key)
        if not isinstance(found, dict):
            raise InputError(f"'{key}' is no object", "Give a whole MONAI bundle.", where=self.where)
        return {k: self.value(f"{key}::{k}") for k in found if k in wanted}

    def count(self, key: str) -> int:
        """Return how many entries the list under a key has."""
        found = self._found(key)
        if not isinstance(found, list):
            raise InputError(f"'{key}' is no list", "Give a whole MONAI bundle.", where=self.where)
        return len(found)

    def _found(self, key: str) -> Any:
        """Return what is under a key as it stands, references at its top and on the way to it followed."""
        return self._walk(self.content, re.split(r"::|#", key), key, 0)

    def _walk(self, here: Any, steps: Sequence[str], key: str, depth: int) -> Any:
        for n, step in enumerate(steps):
            here = self._followed(here, key, depth)
            if isinstance(here, dict) and step in here:
                here = here[step]
            elif isinstance(here, list) and step.isdigit() and int(step) < len(here):
                here = here[int(step)]
            else:
                missing = "::".join(steps[: n + 1])
                words = f"'{missing}' is missing" if depth == 0 else f"'{key}' refers to '{missing}', which is missing"
                raise InputError(words, "Give a whole MONAI bundle.", where=self.where)
        return self._followed(here, key, depth)

    def _followed(self, here: Any, key: str, depth: int) -> Any:
        reference = _REFERENCE.fullmatch(here.strip()) if isinstance(here, str) else None
        if reference is None:
            return here
        if depth > _MOST_DEEP:
            raise InputError(f"'{key}' refers to itself", where=self.where)
        return self._walk(self.content, re.split(r"::|#", reference[1]), key, depth + 1)

    def _plain(self, value: Any, key: str, depth: int) -> Any:
        if depth > _MOST_DEEP:
            raise InputError(f"'{key}' is nested too deeply or refers to itself", where=self.where)
        value = self._followed(value, key, 0)
        if isinstance(value, dict):
            return {k: self._plain(v, f"{key}::{k}", depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(v, f"{key}::{n}", depth + 1) for n, v in enumerate(value)]
        if isinstance(value, str) and value.lstrip()[:1] in ("$", "%", "@"):
            raise InputError(
                f"'{key}' is the expression \"{value[:60]}\", and expressions are never run here",
                "Write the value itself in its place, if you trust the bundle.",
                where=self.where,
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"'{key}' is not a finite number", where=self.where)
        return value
