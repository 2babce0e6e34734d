"""Many lines through a pedicle, of which only those are followed that can hold the screw that is looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray

from .candidate_lines import Lines, LineTracer

#: Of the way that every screw passes, so many places tell first how deep a line's axis can lie.
_PLACES = 10
#: Lines are sampled at other places than these: by so much a line may be found deeper than here, mm.
_DOUBT_MM = 0.1
#: Where the deepest lines are wanted, so many times as many of the most promising ones are followed first, and not fewer than these.
_TIMES, _AT_ONCE = 4, 64


@dataclass(eq=False)
class Candidates:
    """Lines with how deep their axes lie in the narrow part of the bone, followed where asked for.

    Parameters
    ----------
    parameters
        (N, 4) of the tracer's family.
    passed
        The share of the family's way that every screw passes, 0 to 1.
    """

    tracer: LineTracer
    parameters: FloatArray
    passed: float
    _room_mm: FloatArray = field(init=False)
    _followed: NDArray[np.bool_] = field(init=False)
    _lines: Lines = field(init=False)

    def __post_init__(self) -> None:
        start, end = self.tracer.family.ends_ras(self.parameters)
        share = np.linspace(0.0, self.passed, _PLACES)[:, None]
        places = start[:, None] + share * (end - start)[:, None]
        self._room_mm = self.tracer.fine.depth_mm(places).min(axis=1) + _DOUBT_MM
        self._followed = np.zeros(len(self.parameters), dtype=bool)
        self._lines = self.tracer.follow(self.parameters[:0])

    def __len__(self) -> int:
        return len(self.parameters)

    def deeper_than(self, depth_mm: float) -> Lines:
        """Return all lines whose axis can lie so deep, and maybe others."""
        return self._with(self._room_mm >= depth_mm)

    def deepest(self, count: int, depths_mm: Callable[[Lines], FloatArray]) -> Lines:
        """Return lines among which are the `count` whose axes lie deepest by a measure (N,) of them, and maybe others.

        The measure is at most the least depth along the way that every screw passes.
        """
        order = np.argsort(-self._room_mm, kind="stable")
        at_once = max(_AT_ONCE, _TIMES * count)
        wanted = order[:at_once]
        while True:
            lines = self._with(np.isin(np.arange(len(self)), wanted))
            found = np.sort(depths_mm(lines))[::-1]
            least = found[count - 1] if len(found) >= count else -np.inf
            # Step by step: the best of what is left may show that the rest is not needed.
            at_once *= _TIMES
            wanted = order[(~self._followed & (self._room_mm > least))[order]][:at_once]
            if not len(wanted):
                return lines

    def _with(self, wanted: NDArray[np.bool_]) -> Lines:
        new = wanted & ~self._followed
        if new.any():
            self._followed |= new
            more = self.tracer.follow(self.parameters[new])
            parts = (self._lines, more) if len(self._lines.parameters) else (more,)
            self._lines = Lines(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Lines)))
        return self._lines
