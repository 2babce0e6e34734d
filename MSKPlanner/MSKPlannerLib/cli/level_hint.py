"""Levels of the spine as they are written on the command line."""

from __future__ import annotations

from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation import LevelHint


def parse_level_hint(text: str | None) -> LevelHint | None:
    """Return the hint that ``L3@R,A,S``, ``L5@lowest`` or ``T9@highest`` names.

    Raises
    ------
    InputError
        When it is none of these.
    """
    if text is None:
        return None
    level, at, place = text.partition("@")
    if not at:
        raise InputError(f"'{text}' does not say where {text} is", "Write L3@R,A,S or L5@lowest.", where="--level")
    if place in ("lowest", "highest"):
        return LevelHint(level.upper(), place)
    try:
        r, a, s = (float(v) for v in place.split(","))
    except ValueError:
        raise InputError(f"'{place}' is not a RAS point", "Write L3@R,A,S or L5@lowest.", where="--level") from None
    return LevelHint(level.upper(), (r, a, s))


def parse_levels(text: str | None) -> tuple[str, ...] | None:
    """Return the levels of ``L3,L4``."""
    return None if text is None else tuple(part.strip().upper() for part in text.split(",") if part.strip())
