"""Landmarks of a limb with what they measure, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

LandmarksT = TypeVar("LandmarksT")
MeasuresT = TypeVar("MeasuresT")


@dataclass(frozen=True, eq=False)
class FoundPoints(Generic[LandmarksT, MeasuresT]):
    """The landmarks of a limb and where each comes from.

    Parameters
    ----------
    landmarks
        Those that are known; see their `missing`.
    origin
        For each known landmark "surface", "placed", or "estimated".
    placed_off_mm
        For each landmark that was placed and found as well: how far apart both lie.
    measures
        NaN where landmarks are missing.
    not_found
        What the surfaces do not show, and why.
    notes
        What was assumed, and placed landmarks that lie far from the found ones.
    """

    landmarks: LandmarksT
    origin: Mapping[str, str]
    placed_off_mm: Mapping[str, float]
    measures: MeasuresT
    not_found: tuple[str, ...]
    notes: tuple[str, ...]
