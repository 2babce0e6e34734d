"""The last moves of a screw in a pedicle that is narrow for it: by its own surface, to the middle of the widest place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from MSKFusionLib.frames import FloatArray

from .breach_risk import PlannedCylinder, axis_clearances_mm, normal_draws
from .candidate_lines import STEP_MM, Choice, Lines, LineTracer
from .corridor import ALL_MOVES
from .error_budget import ErrorBudget
from .line_rooms import line_rooms
from .line_slopes import LineSlopes

#: At either end of the line the moves begin with this and end with that.
_POLISH_FROM_MM, _POLISH_TO_MM = 0.6, 0.03
#: So many of some lines are looked at by their surface; of those so far apart so many are moved, roughly at first.
MOST_LIKELY, _APART_MM, _BEGINNINGS, _ROUGHLY_MM = 32, 1.0, 3, 0.15
#: So many lines about the polished one are looked at, so many of them polished too; those that have as much room as the best
#: but for this are equal.
_STARTS, _TOPS, _AS_GOOD_MM = 128, 6, 0.005
#: Of the 80 lines about one so many are measured: those that promise most by its slopes.
_MEASURED = 16
#: Errors that lines are compared under by their risk, and how far a breach is blurred for that.
_DRAWS, _BLUR_MM = 512, 0.2


@dataclass(frozen=True, eq=False)
class Likely:
    """A line that may be among the widest: its room in mm by axis or surface, its parameters (4,) and the screw on it."""

    room_mm: float
    parameters: FloatArray
    screw: Choice


@dataclass(eq=False)
class _Climber:
    """Where a pattern search stands."""

    x: FloatArray
    choice: Choice
    room: tuple[float, ...]
    step_mm: float
    line: Lines
    slopes: LineSlopes | None = None


@dataclass(frozen=True, eq=False)
class LinePolish:
    """Moves screws of fixed size along with their lines."""

    tracer: LineTracer

    def widest(self, first: Likely, likely: list[Likely]) -> tuple[Choice, float]:
        """Return the middle of the lines with the most room that is found from some, and the least depth of its surface.

        Parameters
        ----------
        first
            The line whose axis lies deepest: begun from whatever its room.
        """
        # The sampling goes by the depth of the axis, which is blunt where it counts: on the ridge in the middle of a thin
        # pedicle a field of half-millimetre steps is flat, and a tenth of a millimetre too low. The surface is not; and it may
        # have more room on another line, some millimetres off, that the axis tells no better than this one.
        places = [(first.parameters, first.screw)]
        places += [(line.parameters, line.screw) for line in sorted(likely, key=lambda line: -line.room_mm)]
        apart: list[tuple[FloatArray, Choice]] = []
        for x, choice in places:
            if all(np.abs(x - other).max() >= _APART_MM for other, _ in apart):
                apart.append((x, choice))
        found = []
        beginnings = apart[:_BEGINNINGS]
        for length in dict.fromkeys(choice.length_mm for _, choice in beginnings):
            same = [(x, choice) for x, choice in beginnings if choice.length_mm == length]
            tops = self.polished(same, self._rooms, to_mm=_ROUGHLY_MM)
            rooms = self._rooms_at(np.array([self.tracer.parameters_of(t) for t in tops]), tops[0])
            found += [(float(room), top) for room, top in zip(rooms[:, 0], tops, strict=True)]
        _, best = max(found, key=lambda item: item[0])
        x = self.tracer.parameters_of(best)
        best = self.polished([(x, best)], self._rooms, from_mm=_ROUGHLY_MM)[0]
        return self._middle_of_the_widest(best)

    def roomiest(self, lines: Lines, clearance: FloatArray, length: FloatArray, diameter_mm: float) -> list[Likely]:
        """Return those lines whose axis lies deepest, by their clearance (N,) with a screw of so much length (N,)."""
        order = np.argsort(-np.where(length > 0, clearance, -np.inf), kind="stable")[:MOST_LIKELY]
        out = []
        for size in np.unique(length[order][length[order] > 0]):
            rows = order[length[order] == size]
            first = lines.screw(int(rows[0]), diameter_mm, float(size))
            for n, (room, _) in zip(rows, self._rooms(lines, rows, first), strict=True):
                choice = lines.screw(int(n), diameter_mm, float(size))
                out.append(Likely(float(room), lines.parameters[n], choice))
        return out

    def _middle_of_the_widest(self, choice: Choice) -> tuple[Choice, float]:
        """Return the middle of the lines near a polished one that have as much room, and the least depth of its surface.

        The widest place is a plateau rather than a peak: its highest points owe their height to errors of the surface that
        was found, its middle is far from every edge.
        """
        x = self.tracer.parameters_of(choice)
        near = x + _POLISH_FROM_MM * (2 * qmc.Sobol(4, scramble=False).random(_STARTS) - 1)
        lines = self.tracer.follow(near[self.tracer.family.outside_limits_mm(near) <= 1e-9])
        rows = np.flatnonzero(self.tracer.fits(lines, choice))
        rooms = [(float(room), int(n)) for (room, _), n in zip(self._rooms(lines, rows, choice), rows, strict=True)]
        chosen = [n for _, n in sorted(rooms, reverse=True)[:_TOPS]]
        starts = [(lines.parameters[n], lines.screw(n, choice.diameter_mm, choice.length_mm)) for n in chosen]
        tops = [choice, *self.polished(starts, self._rooms, from_mm=_POLISH_FROM_MM / 3)]
        places = np.array([self.tracer.parameters_of(t) for t in tops])
        found = [(float(mean), float(least)) for mean, least in self._rooms_at(places, choice)]
        best = max(range(len(tops)), key=lambda n: found[n])
        as_good = [n for n, room in enumerate(found) if room[0] >= found[best][0] - _AS_GOOD_MM]
        middle = self.tracer.follow(places[as_good].mean(axis=0)[None])
        room = self._room(middle, choice)
        if bool(self.tracer.fits(middle, choice)[0]) and room[0] >= found[best][0] - _AS_GOOD_MM:
            return middle.screw(0, choice.diameter_mm, choice.length_mm), room[1]
        return tops[best], found[best][1]

    def least_risk(self, choice: Choice, budget: ErrorBudget) -> Choice:
        """Return the screw of the same size near `choice` that is least likely to breach by an error budget.

        The errors are drawn once, so that all lines are compared under the same ones.
        """
        draws = normal_draws(_DRAWS, seed=0)

        def safety(lines: Lines, rows: NDArray[np.int_], size: Choice) -> FloatArray:
            out = np.empty((len(rows), 2))
            for row, n in enumerate(rows):
                tip = lines.entry_ras[n] + size.length_mm * lines.direction_ras[n]
                cylinder = PlannedCylinder(lines.entry_ras[n], tip, size.diameter_mm, float(lines.pedicle_mm[n]))
                clearance = axis_clearances_mm(self.tracer.fine.depth_mm, cylinder, budget, draws)
                # A share of draws moves in steps; blurred by this it has a slope to follow.
                out[row] = -float(norm.cdf(-clearance / _BLUR_MM).mean()), float(clearance.min())
            return out

        return self.polished([(self.tracer.parameters_of(choice), choice)], safety, by_slopes=False)[0]

    def polished(
        self,
        starts: Sequence[tuple[FloatArray, Choice]],
        rooms_of: Callable[[Lines, NDArray[np.int_], Choice], FloatArray],
        *,
        from_mm: float = _POLISH_FROM_MM,
        to_mm: float = _POLISH_TO_MM,
        by_slopes: bool = True,
    ) -> list[Choice]:
        """Move each of some screws, all of one size, to where it has the most room.

        `rooms_of` tells two figures (N, 2) of some of the lines; the first decides, the second where it is equal.
        A pattern search over all neighbours of a place in four dimensions (`corridor.ALL_MOVES`), side by side from all
        starts: measuring many lines at once costs little more than measuring few.
        """
        if not starts:
            return []
        size = starts[0][1]
        lines = self.tracer.follow(np.array([x for x, _ in starts]))
        rooms = rooms_of(lines, np.arange(len(starts)), size)
        all_ = [
            _Climber(x, choice, tuple(room), from_mm, lines.only(n))
            for n, ((x, choice), room) in enumerate(zip(starts, rooms, strict=True))
        ]
        while climbing := [c for c in all_ if c.step_mm > to_mm]:
            if by_slopes:
                self._tell_slopes([c for c in climbing if c.slopes is None], size)
            around = [self._around(c) for c in climbing]
            lines = self.tracer.follow(np.concatenate(around))
            whose = np.repeat(np.arange(len(climbing)), [len(a) for a in around])
            rows = np.flatnonzero(self.tracer.fits(lines, size))
            rooms = rooms_of(lines, rows, size) if len(rows) else np.empty((0, 2))
            for number, climber in enumerate(climbing):
                own = np.flatnonzero(whose[rows] == number)
                best, n = max(((tuple(rooms[m]), int(rows[m])) for m in own), default=((-np.inf, -np.inf), 0))
                if best[0] > climber.room[0] + 1e-4:
                    climber.x, climber.room, climber.line = lines.parameters[n], best, lines.only(n)
                    climber.choice, climber.slopes = lines.screw(n, size.diameter_mm, size.length_mm), None
                else:
                    climber.step_mm /= 2
        return [c.choice for c in all_]

    def _around(self, climber: _Climber) -> FloatArray:
        """Return the neighbours of a climber's line that are measured: all, or those that promise most by its slopes."""
        around = climber.x + climber.step_mm * ALL_MOVES
        around = around[self.tracer.family.outside_limits_mm(around) <= 1e-9]
        if climber.slopes is None:
            return around
        return around[np.argsort(-climber.slopes.rooms(around - climber.x), kind="stable")[:_MEASURED]]

    def _tell_slopes(self, climbers: Sequence[_Climber], size: Choice) -> None:
        if not climbers:
            return
        entries = np.concatenate([c.line.entry_ras for c in climbers])
        tips = entries + size.length_mm * np.concatenate([c.line.direction_ras for c in climbers])
        pedicle = np.concatenate([c.line.pedicle_mm for c in climbers])
        found = LineSlopes.of_screws(self.tracer.fine, self.tracer.family, entries, tips, size.diameter_mm, pedicle)
        for climber, slopes in zip(climbers, found, strict=True):
            climber.slopes = slopes

    def _rooms(self, lines: Lines, rows: NDArray[np.int_], size: Choice) -> FloatArray:
        """Return (N, 2) of some lines; see `line_rooms`."""
        entry, way, pedicle = lines.entry_ras[rows], lines.direction_ras[rows], lines.pedicle_mm[rows]
        depth = lines.depth_mm[rows]
        return line_rooms(self.tracer.fine, entry, way, size.length_mm, size.diameter_mm, pedicle, depth, STEP_MM)

    def _rooms_at(self, places: FloatArray, size: Choice) -> FloatArray:
        """Return what `_rooms` does of lines by their parameters (N, 4)."""
        return self._rooms(self.tracer.follow(places), np.arange(len(places)), size)

    def _room(self, line: Lines, size: Choice) -> tuple[float, float]:
        """Return what `_rooms` does of one line."""
        mean, least = self._rooms(line, np.zeros(1, dtype=int), size)[0]
        return float(mean), float(least)
