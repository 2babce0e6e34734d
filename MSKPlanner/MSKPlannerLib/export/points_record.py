"""Landmarks of a limb and what they measure as plain data, for files and for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from MSKFusionLib import __version__

from ..anatomy.found_points import FoundPoints
from ..anatomy.limb_landmarks import spoken
from ..anatomy.limb_measures import MeasureInfo
from ..anatomy.sensitivity import Sensitivity

#: Standard deviation of a landmark along each axis for which standard errors are given, mm.
LANDMARK_SD_MM = 1.0


def describe_points(
    found: FoundPoints[Any, Any],
    rates: Sensitivity,
    infos: Mapping[str, MeasureInfo],
    needs: Mapping[str, Sequence[str]],
    in_words: Callable[[str, float], str],
    points: Sequence[str],
) -> dict[str, Any]:
    """Return landmarks and measures with what each means and rests on; what cannot be made is None, with the reason.

    Parameters
    ----------
    infos, needs
        By the names of the measures: what each is, and the landmarks that it is made of.
    in_words
        Says what a value of a measure means.
    points
        The landmarks' names, in their order.
    """
    measures = []
    for name, info in infos.items():
        value = float(getattr(found.measures, name))
        made = bool(np.isfinite(value))
        lacking = ", ".join(spoken(n) for n in needs[name] if n in found.landmarks.missing)
        worst = rates.worst_landmark(name) if made else None
        measures.append(
            {
                "name": name,
                "title": info.title,
                "value": value if made else None,
                "unit": info.unit,
                "usual": info.usual,
                "in_words": in_words(name, value) if made else f"cannot be made: no {lacking}",
                "per_mm": None if worst is None else worst[1],
                "most_sensitive_to": None if worst is None else worst[0],
                "standard_error_at_1_mm": rates.standard_error(name, LANDMARK_SD_MM) if made else None,
                "estimated": any(found.origin.get(n) == "estimated" for n in needs[name]),
                "definition": info.definition,
                "source": info.source,
            }
        )
    return {
        "mskplanner": __version__,
        "side": found.landmarks.side,
        "measures": measures,
        "landmarks": [
            {
                "name": n,
                "position_ras": [float(v) for v in getattr(found.landmarks, n)],
                "origin": found.origin[n],
                "placed_off_mm": found.placed_off_mm.get(n),
            }
            for n in points
            if n in found.origin
        ],
        "missing": list(found.landmarks.missing),
        "not_found": list(found.not_found),
        "notes": list(found.notes),
    }
