"""A way through poses made shorter while it stays free.

Any two places of the way are joined straight where that is free: in all six numbers, or in the turn or the shift alone with the
others as they are (partial shortcuts; Geraerts & Overmars 2007, doi 10.1177/0278364907079280); and corners are drawn towards the
straight line between their neighbours, in all numbers or in some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from MSKFusionLib.frames import FloatArray

#: Shortcuts that are tried, and after how many in a row that gain nothing it is enough.
_TRIES, _ENOUGH = 300, 60
#: What a shortcut must gain, mm, to be worth its corners.
_GAIN_MM = 0.2
#: Which of the six numbers are straightened: all, the turn, the shift, and each direction of the shift.
_PARTS = (
    (True,) * 6,
    (True, True, True, False, False, False),
    (False, False, False, True, True, True),
    (False, False, False, True, False, False),
    (False, False, False, False, True, False),
    (False, False, False, False, False, True),
)


def shortened(
    corners: Sequence[FloatArray],
    is_free: Callable[[FloatArray, FloatArray], bool],
    way_mm: Callable[[FloatArray, FloatArray], float],
    rng: np.random.Generator,
) -> list[FloatArray]:
    """Return the corners (6,) of a shorter way between the same ends.

    Parameters
    ----------
    corners
        Of a free way.
    is_free
        Whether one gets straight from one pose to another.
    way_mm
        Length of that.
    """
    way = [np.asarray(c, dtype=np.float64) for c in corners]
    idle = 0
    for n in range(_TRIES):
        if len(way) < 3 or idle >= _ENOUGH:
            break
        if n == 0 and is_free(way[0], way[-1]):
            return [way[0], way[-1]]
        part = np.array(_PARTS[0] if n % 3 == 0 else _PARTS[int(rng.integers(len(_PARTS)))])
        change = _with_shortcut if n % 3 < 2 else _with_corner_drawn
        shorter = change(way, part, is_free, way_mm, rng)
        idle = idle + 1 if shorter is None else 0
        way = way if shorter is None else shorter
    return way


def _with_shortcut(
    way: list[FloatArray],
    part: np.ndarray,
    is_free: Callable[[FloatArray, FloatArray], bool],
    way_mm: Callable[[FloatArray, FloatArray], float],
    rng: np.random.Generator,
) -> list[FloatArray] | None:
    """Return the way with two places of it joined; None where that is not free or gains nothing."""
    steps = np.array([way_mm(a, b) for a, b in pairwise(way)])
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    low, high = np.sort(rng.uniform(0, ends[-1], 2))
    first, last = (int(np.clip(np.searchsorted(ends, at, side="right") - 1, 0, len(steps) - 1)) for at in (low, high))
    if first == last:
        return None
    a = way[first] + (low - ends[first]) / steps[first] * (way[first + 1] - way[first])
    b = way[last] + (high - ends[last]) / steps[last] * (way[last + 1] - way[last])
    between = way[first + 1 : last + 1]
    straight = [
        np.where(part, a + (ends[first + 1 + k] - low) / (high - low) * (b - a), pose) for k, pose in enumerate(between)
    ]
    new = [a, b] if part.all() else [a, *straight, b]
    gained = high - low - _length(new, way_mm)
    if gained < _GAIN_MM or not all(is_free(p, q) for p, q in pairwise(new)):
        return None
    # Ends that fall onto a corner of the way are that corner.
    inner = [p for p in (*way[: first + 1], *new, *way[last + 1 :])]
    return [p for k, p in enumerate(inner) if k == 0 or k == len(inner) - 1 or way_mm(inner[k - 1], p) > 1e-9]


def _with_corner_drawn(
    way: list[FloatArray],
    part: np.ndarray,
    is_free: Callable[[FloatArray, FloatArray], bool],
    way_mm: Callable[[FloatArray, FloatArray], float],
    rng: np.random.Generator,
) -> list[FloatArray] | None:
    """Return the way with one corner drawn in; None where that is not free or gains nothing."""
    k = int(rng.integers(1, len(way) - 1))
    before, corner, after = way[k - 1 : k + 2]
    to, on = way_mm(before, corner), way_mm(corner, after)
    share = 1.0 - rng.random() ** 2
    drawn = np.where(part, corner + share * (before + to / max(to + on, 1e-9) * (after - before) - corner), corner)
    if to + on - way_mm(before, drawn) - way_mm(drawn, after) < _GAIN_MM:
        return None
    if not is_free(before, drawn) or not is_free(drawn, after):
        return None
    return [*way[:k], drawn, *way[k + 1 :]]


def _length(way: list[FloatArray], way_mm: Callable[[FloatArray, FloatArray], float]) -> float:
    return sum(way_mm(a, b) for a, b in pairwise(way))
