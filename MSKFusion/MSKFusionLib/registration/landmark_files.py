"""Landmarks from the files that Slicer writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import FloatArray, flip_ras_lps


def read_landmarks(path: str | Path) -> dict[str, FloatArray]:
    """Return the points (RAS mm) of a Slicer markups file (``.mrk.json``, or the older ``.fcsv``) by their labels.

    Raises
    ------
    InputError
        When the file is missing or no such file, a label stands twice, or a position is no three numbers.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError("there is no such file", "Save the point list in Slicer (.mrk.json).", where=str(path))
    try:
        text = file.read_text(encoding="utf-8")
        rows, is_lps = _from_fcsv(text) if file.suffix.lower() == ".fcsv" else _from_json(text)
    except (ValueError, KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise InputError(
            "this is not a point list of Slicer", "Save it in Slicer as .mrk.json or .fcsv.", where=str(path)
        ) from error
    found: dict[str, FloatArray] = {}
    for label, position in rows:
        if label in found:
            raise InputError(f"the label '{label}' stands twice", "Give each point its own.", where=str(path))
        point = np.array(position, dtype=np.float64)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise InputError(f"'{label}' has no position", "Place it, or delete it.", where=str(path))
        found[label] = flip_ras_lps(point) if is_lps else point
    if not found:
        raise InputError("there is no point in this list", where=str(path))
    return found


def _from_json(text: str) -> tuple[list[tuple[str, Any]], bool]:
    markups = json.loads(text)["markups"][0]
    system = markups.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        raise ValueError(system)
    # A point that was defined but not placed keeps a position of zero.
    placed = [p for p in markups["controlPoints"] if p.get("positionStatus", "defined") == "defined"]
    return [(str(p["label"]), [float(c) for c in p["position"]]) for p in placed], system == "LPS"


def _from_fcsv(text: str) -> tuple[list[tuple[str, Any]], bool]:
    lines = [line for line in text.splitlines() if line.strip()]
    system = next(line.split("=")[1].strip() for line in lines if line.startswith("#") and "CoordinateSystem" in line)
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    if system not in ("LPS", "1", "RAS", "0"):
        raise ValueError(system)
    return [(row[11], [float(c) for c in row[1:4]]) for row in rows], system in ("LPS", "1")
