"""From a wide corridor to one screw: the line with the most purchase among those that keep the wished clearance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import norm, qmc

from MSKFusionLib.frames import FloatArray, transform_points, unit_rows
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.volume import Volume

from ..bone.depth_field import DepthField
from .breach_risk import PlannedCylinder, axis_clearances_mm, normal_draws
from .corridor import ALL_MOVES, Corridor, LineFamily
from .error_budget import ErrorBudget
from .line_rooms import line_rooms
from .line_slopes import LineSlopes
from .safety import entry_zone_mm

#: Distance in mm (...,) of RAS points (..., 3) from something; large where it is far.
DistanceFunction = Callable[[FloatArray], FloatArray]

_STEP_MM = 0.75
#: Farthest that the bone behind the corridor's start is followed to the entry, and the screw from its entry.
_ENTRY_REACH_MM = 26.0
_SCREW_REACH_MM = 75.0
#: Sampling about the best line so far: how many lines, and how the first round's spread shrinks.
_ROUNDS = ((4096, 1.0), (1024, 0.3), (1024, 0.1), (512, 0.03))
#: Half width of the first round: of the direction along u and v (tangents), and bounds of the shift within the isthmus.
_TURN_SPREAD = (0.35, 0.3)
_SHIFT_SPREAD_MM = (0.6, 4.0)
#: The search samples the axis; measured on its surface afterwards a screw may have a few hundredths less.
_SAMPLING_MARGIN_MM = 0.05
#: The last moves of a screw in a pedicle that is narrow for it, at either end of its line.
_POLISH_FROM_MM, _POLISH_TO_MM = 0.6, 0.03
#: So many of each round's lines are looked at by their surface; of those so far apart so many are moved, roughly at first.
_LIKELY, _APART_MM, _BEGINNINGS, _ROUGHLY_MM = 32, 1.0, 3, 0.15
#: So many lines about the polished one are looked at, so many of them polished too; those that have as much room as the best
#: but for this are equal.
_STARTS, _TOPS, _AS_GOOD_MM = 128, 6, 0.005
#: Of the 80 lines about one so many are measured: those that promise most by its slopes.
_MEASURED = 16
#: Errors that lines are compared under by their risk, and how far a breach is blurred for that.
_DRAWS, _BLUR_MM = 512, 0.2
#: Behind the entry a sleeve of this radius needs a free way of this length.
_APPROACH_RADIUS_MM = 2.5
_APPROACH_MM = 50.0
#: So far in from the entry a facet joint may lie beside the screw.
_JOINT_REACH_MM = 18.0
#: and so far behind the isthmus the articular processes end.
_JOINT_END_MM = 4.0
#: Up to this much above the wished clearance is worth a tenth of the purchase.
_WORTHWHILE_CLEARANCE_MM = 0.5
_WORTH = 0.1
_TIE = 0.001
#: Lines that lack no more than this of the wished clearance may be near one that has it.
_WORTH_A_LOOK_MM = 0.5


@dataclass(frozen=True)
class TrajectoryLimits:
    """Where entry and tip may lie, in the vertebra's frame (y anterior, mm from the body's centre).

    Parameters
    ----------
    posterior_limit_y_mm
        The entry lies behind this.
    least_tip_y_mm, deepest_tip_y_mm
        The tip lies between these.
    anterior_margin_mm
        Bone left in front of the tip along the axis.
    counted_y_mm
        From here on the clearance counts even where the entry zone is not over: the back of the isthmus.
    highest_entry_z_mm
        The entry lies below this (z superior).
    """

    posterior_limit_y_mm: float
    least_tip_y_mm: float
    deepest_tip_y_mm: float
    anterior_margin_mm: float
    counted_y_mm: float
    highest_entry_z_mm: float = np.inf


@dataclass(frozen=True, eq=False)
class Choice:
    """One screw on one line."""

    entry_ras: FloatArray
    tip_ras: FloatArray
    diameter_mm: float
    length_mm: float


def ways_are_free(
    entry_ras: FloatArray, direction_ras: FloatArray, bone: DepthField, neighbours: DistanceFunction | None
) -> NDArray[np.bool_]:
    """Tell (N,) for lines (N, 3) if the way of the tools to the entry leads through no bone, of this vertebra or another."""
    back = np.arange(4.0, _APPROACH_MM, 2.0)
    way = entry_ras[:, None] - back[:, None] * direction_ras[:, None]
    free = (bone.depth_mm(way) < -0.5).all(axis=1)
    if neighbours is not None:
        free &= (neighbours(way) > _APPROACH_RADIUS_MM).all(axis=1)
    return np.asarray(free)


@dataclass(frozen=True, eq=False)
class _Lines:
    """Candidate lines with what does not depend on the screw."""

    parameters: FloatArray  # (N, 4)
    entry_ras: FloatArray  # (N, 3)
    direction_ras: FloatArray  # (N, 3)
    depth_mm: FloatArray  # (N, S) from the entry on
    reach_mm: FloatArray  # (N,) longest screw by the tip's limits
    least_mm: FloatArray  # (N,) shortest screw by the tip's limits
    pedicle_mm: FloatArray  # (N,) way from the entry to the back of the isthmus
    neighbour_mm: FloatArray  # (N,) least distance of the axis near its entry from other vertebrae
    usable: NDArray[np.bool_]  # (N,) enters from behind, with a free way to the entry

    def only(self, n: int) -> _Lines:
        """Return one of the lines."""
        return _Lines(*(getattr(self, field.name)[n : n + 1] for field in fields(self)))


class TrajectorySearch:
    """Searches the lines about a corridor. Deterministic: Sobol points, no random numbers."""

    def __init__(
        self,
        fine: DepthField,
        coarse: DepthField,
        frame_to_ras: FloatArray,
        family: LineFamily,
        corridor: Corridor,
        isthmus_share: float,
        limits: TrajectoryLimits,
        neighbours: DistanceFunction | None = None,
        joint_margin_mm: float = 0.0,
    ) -> None:
        """Prepare the search.

        Parameters
        ----------
        fine, coarse
            The bone where the screws run, and all of it.
        corridor, isthmus_share
            The widest corridor of `family`, and where between start and end the isthmus lies (0 to 1).
        neighbours
            Distance from other vertebrae: screws are led past them.
        joint_margin_mm
            Kept from the screw's surface to the neighbours near the entry, where the facet joints are.
        """
        self._fine = fine
        self._coarse = coarse
        self._frame_to_ras = frame_to_ras
        self._family = family
        self._centre = corridor.parameters
        self._share = isthmus_share
        # A screw thinner than the corridor by so much can be moved by so much; 1.5 mm is below any screw's radius.
        self._shift_spread = float(np.clip(corridor.clearance_mm - 1.5, *_SHIFT_SPREAD_MM))
        self._limits = limits
        self._neighbours = neighbours
        self._joint_margin = joint_margin_mm
        self._along = np.arange(0.0, _SCREW_REACH_MM, _STEP_MM)

    def best(
        self, ct: Volume | None, diameter_mm: float, lengths_mm: Sequence[float], clearance_mm: float
    ) -> Choice | None:
        """Return the screw of one diameter with the most purchase that keeps a clearance, None where no line does.

        Purchase is the CT value averaged over a ball of the screw's radius, summed along its length (HU mm), or the
        length where there is no CT. Clearance beyond the wished one adds up to a tenth, so that of two equal paths the
        safer is taken.
        """
        blurred = None if ct is None else _blurred(ct, self._region, diameter_mm / 2)
        top: tuple[float, FloatArray, Choice] | None = None
        centre = self._centre
        for number, (_, shrink) in enumerate(_ROUNDS):
            lines = self._first_lines if number == 0 else self._lines(centre, number, shrink)
            length, clearance = self._longest(lines, diameter_mm, lengths_mm, clearance_mm)
            fits = np.flatnonzero(length > 0)
            if len(fits) == 0:
                if top is None:
                    # Nothing yet: look closer where most room is, unless that is far from enough.
                    _, clearance = self._longest(lines, diameter_mm, lengths_mm, None)
                    if clearance.max() < clearance_mm - _WORTH_A_LOOK_MM:
                        return None
                    centre = lines.parameters[int(clearance.argmax())]
                continue
            score = self._purchase(lines, fits, length[fits], blurred)
            extra = np.clip((clearance[fits] - clearance_mm) / _WORTHWHILE_CLEARANCE_MM, 0, 1)
            # The last term only settles ties (all paths of one length are equal where there is no CT).
            score = score + np.abs(score) * (_WORTH * extra + _TIE * clearance[fits])
            winner = int(score.argmax())
            if top is None or score[winner] > top[0]:
                n = int(fits[winner])
                centre = lines.parameters[n]
                top = (float(score[winner]), centre, self._choice(lines, n, diameter_mm, float(length[n])))
        return top[2] if top else None

    def widest(self, diameter_mm: float, lengths_mm: Sequence[float]) -> tuple[Choice, float] | None:
        """Return the screw of one diameter with the most bone round it and how much that is (mm).

        None where no line reaches the body.
        """
        top: tuple[float, FloatArray, Choice] | None = None
        likely: list[tuple[float, FloatArray, Choice]] = []
        for number, (_, shrink) in enumerate(_ROUNDS):
            lines = self._first_lines if number == 0 else self._lines(top[1] if top else self._centre, number, shrink)
            length, clearance = self._longest(lines, diameter_mm, lengths_mm, None)
            n = int(clearance.argmax())
            if length[n] > 0 and (top is None or clearance[n] > top[0]):
                top = (float(clearance[n]), lines.parameters[n], self._choice(lines, n, diameter_mm, float(length[n])))
            likely += self._roomiest(lines, clearance, length, diameter_mm)
        if top is None:
            return None
        # The sampling goes by the depth of the axis, which is blunt where it counts: on the ridge in the middle of a thin
        # pedicle a field of half-millimetre steps is flat, and a tenth of a millimetre too low. The surface is not; and it may
        # have more room on another line, some millimetres off, that the axis tells no better than this one.
        places = [(top[1], top[2]), *((x, choice) for _, x, choice in sorted(likely, key=lambda item: -item[0]))]
        apart: list[tuple[FloatArray, Choice]] = []
        for x, choice in places:
            if all(np.abs(x - other).max() >= _APART_MM for other, _ in apart):
                apart.append((x, choice))
        found = []
        for x, choice in apart[:_BEGINNINGS]:
            polished = self._polished(x, choice, self._rooms, to_mm=_ROUGHLY_MM)[0]
            line = self._follow(self._family.parameters_of(polished.entry_ras, polished.tip_ras)[None])
            found.append((self._room(line, polished)[0], polished))
        _, best = max(found, key=lambda item: item[0])
        x = self._family.parameters_of(best.entry_ras, best.tip_ras)
        best = self._polished(x, best, self._rooms, from_mm=_ROUGHLY_MM)[0]
        return self._middle_of_the_widest(best)

    def _roomiest(
        self, lines: _Lines, clearance: FloatArray, length: FloatArray, diameter_mm: float
    ) -> list[tuple[float, FloatArray, Choice]]:
        """Return the room, the place and the screw of each of the lines whose axis lies deepest."""
        order = np.argsort(-np.where(length > 0, clearance, -np.inf), kind="stable")[:_LIKELY]
        out = []
        for size in np.unique(length[order][length[order] > 0]):
            rows = order[length[order] == size]
            first = self._choice(lines, int(rows[0]), diameter_mm, float(size))
            for n, (room, _) in zip(rows, self._rooms(lines, rows, first), strict=True):
                choice = self._choice(lines, int(n), diameter_mm, float(size))
                out.append((float(room), lines.parameters[n], choice))
        return out

    def _middle_of_the_widest(self, choice: Choice) -> tuple[Choice, float]:
        """Return the middle of the lines near a polished one that have as much room, and the least depth of its surface.

        The widest place is a plateau rather than a peak: its highest points owe their height to errors of the surface that
        was found, its middle is far from every edge.
        """
        x = self._family.parameters_of(choice.entry_ras, choice.tip_ras)
        near = x + _POLISH_FROM_MM * (2 * qmc.Sobol(4, scramble=False).random(_STARTS) - 1)
        lines = self._follow(near[self._family.outside_limits_mm(near) <= 1e-9])
        rows = np.flatnonzero(self._fits(lines, choice))
        rooms = [(float(room), int(n)) for (room, _), n in zip(self._rooms(lines, rows, choice), rows, strict=True)]
        tops = [choice]
        for _, n in sorted(rooms, reverse=True)[:_TOPS]:
            start = self._choice(lines, n, choice.diameter_mm, choice.length_mm)
            tops.append(self._polished(lines.parameters[n], start, self._rooms, from_mm=_POLISH_FROM_MM / 3)[0])
        places = np.array([self._family.parameters_of(t.entry_ras, t.tip_ras) for t in tops])
        found = [self._room(self._follow(place[None]), choice) for place in places]
        best = max(range(len(tops)), key=lambda n: found[n])
        as_good = [n for n, room in enumerate(found) if room[0] >= found[best][0] - _AS_GOOD_MM]
        middle = self._follow(places[as_good].mean(axis=0)[None])
        room = self._room(middle, choice)
        if bool(self._fits(middle, choice)[0]) and room[0] >= found[best][0] - _AS_GOOD_MM:
            return self._choice(middle, 0, choice.diameter_mm, choice.length_mm), room[1]
        return tops[best], found[best][1]

    def allows(self, choice: Choice) -> bool:
        """Tell whether a screw keeps to the limits and to the room for neighbours."""
        x = self._family.parameters_of(choice.entry_ras, choice.tip_ras)
        return bool(self._fits(self._follow(x[None]), choice)[0])

    def least_risk(self, choice: Choice, budget: ErrorBudget) -> Choice:
        """Return the screw of the same size near `choice` that is least likely to breach by an error budget.

        The errors are drawn once, so that all lines are compared under the same ones.
        """
        draws = normal_draws(_DRAWS, seed=0)

        def safety(lines: _Lines, rows: NDArray[np.int_], size: Choice) -> FloatArray:
            out = np.empty((len(rows), 2))
            for row, n in enumerate(rows):
                tip = lines.entry_ras[n] + size.length_mm * lines.direction_ras[n]
                cylinder = PlannedCylinder(lines.entry_ras[n], tip, size.diameter_mm, float(lines.pedicle_mm[n]))
                clearance = axis_clearances_mm(self._fine.depth_mm, cylinder, budget, draws)
                # A share of draws moves in steps; blurred by this it has a slope to follow.
                out[row] = -float(norm.cdf(-clearance / _BLUR_MM).mean()), float(clearance.min())
            return out

        return self._polished(
            self._family.parameters_of(choice.entry_ras, choice.tip_ras), choice, safety, by_slopes=False
        )[0]

    def _polished(
        self,
        x: FloatArray,
        choice: Choice,
        rooms_of: Callable[[_Lines, NDArray[np.int_], Choice], FloatArray],
        *,
        from_mm: float = _POLISH_FROM_MM,
        to_mm: float = _POLISH_TO_MM,
        by_slopes: bool = True,
    ) -> tuple[Choice, float]:
        """Move a screw of fixed size to where it has the most room; return it and the second figure of that room.

        `rooms_of` tells two figures (N, 2) of some of the lines; the first decides, the second where it is equal.
        A pattern search over all neighbours of a place in four dimensions (`corridor.ALL_MOVES`).
        """
        line = self._follow(x[None])
        room, step = tuple(rooms_of(line, np.zeros(1, dtype=int), choice)[0]), from_mm
        slopes: LineSlopes | None = None
        while step > to_mm:
            around = x + step * ALL_MOVES
            around = around[self._family.outside_limits_mm(around) <= 1e-9]
            if by_slopes:
                if slopes is None:
                    slopes = self._slopes(line, choice)
                around = around[np.argsort(-slopes.rooms(around - x), kind="stable")[:_MEASURED]]
            lines = self._follow(around)
            rows = np.flatnonzero(self._fits(lines, choice))
            rooms = rooms_of(lines, rows, choice) if len(rows) else np.empty((0, 2))
            best, n = max(
                ((tuple(r), int(n)) for r, n in zip(rooms, rows, strict=True)), default=((-np.inf, -np.inf), 0)
            )
            if best[0] > room[0] + 1e-4:
                x, room, line, slopes = lines.parameters[n], best, lines.only(n), None
                choice = self._choice(lines, n, choice.diameter_mm, choice.length_mm)
            else:
                step /= 2
        return choice, float(room[1])

    def _slopes(self, line: _Lines, size: Choice) -> LineSlopes:
        entry, pedicle = line.entry_ras[0], float(line.pedicle_mm[0])
        tip = entry + size.length_mm * line.direction_ras[0]
        return LineSlopes.of_screw(self._fine, self._family, entry, tip, size.diameter_mm, pedicle)

    def _fits(self, lines: _Lines, size: Choice) -> NDArray[np.bool_]:
        fits = lines.usable & (size.length_mm <= lines.reach_mm) & (size.length_mm >= lines.least_mm)
        return np.asarray(fits & (lines.neighbour_mm >= size.diameter_mm / 2 + self._joint_margin))

    def _rooms(self, lines: _Lines, rows: NDArray[np.int_], size: Choice) -> FloatArray:
        """Return (N, 2) of some lines; see `line_rooms`."""
        entry, way, pedicle = lines.entry_ras[rows], lines.direction_ras[rows], lines.pedicle_mm[rows]
        depth = lines.depth_mm[rows]
        return line_rooms(self._fine, entry, way, size.length_mm, size.diameter_mm, pedicle, depth, _STEP_MM)

    def _room(self, line: _Lines, size: Choice) -> tuple[float, float]:
        """Return what `_rooms` does of one line."""
        mean, least = self._rooms(line, np.zeros(1, dtype=int), size)[0]
        return float(mean), float(least)

    # ------------------------------------------------------------------ candidates
    @cached_property
    def _first_lines(self) -> _Lines:
        return self._lines(self._centre, 0, 1.0)

    @cached_property
    def _region(self) -> FloatArray:
        """Points (N, 3) that span where the screws may run."""
        lines = self._first_lines
        ends = lines.entry_ras + np.maximum(lines.reach_mm, 1.0)[:, None] * lines.direction_ras
        return (
            np.concatenate([lines.entry_ras[lines.usable], ends[lines.usable]])
            if lines.usable.any()
            else lines.entry_ras
        )

    def _lines(self, centre: FloatArray, number: int, shrink: float) -> _Lines:
        count = _ROUNDS[number][0]
        cube = qmc.Sobol(4, scramble=False).random(count) * 2 - 1
        # Sobol's first point is a corner of the cube; the middle, which is the best line so far, is what belongs there.
        cube[0] = 0.0
        # Lines are sampled by where they pass the isthmus and how they are turned about it.
        shift = cube[:, :2] * self._shift_spread * shrink
        distance = float(np.linalg.norm(self._family.end_ras - self._family.start_ras))
        limits = np.array([self._family.u_shift_mm, self._family.v_shift_mm])
        # No wider than the limits, of which narrow ones would leave few lines.
        spread = np.minimum(np.array(_TURN_SPREAD) * distance, limits[:, 1] - limits[:, 0])
        turn = cube[:, 2:] * spread * shrink
        x = centre + np.concatenate([shift - self._share * turn, shift + (1 - self._share) * turn], axis=1)
        return self._follow(x[self._family.outside_limits_mm(x) <= 1e-9])

    def _follow(self, x: FloatArray) -> _Lines:
        """Find each line's entry behind the corridor's start and sample the depth from there on."""
        start, end = self._family.ends_ras(x)
        direction = unit_rows(end - start)
        back = np.arange(0.0, _ENTRY_REACH_MM, _STEP_MM)
        behind = self._fine.depth_mm(start[:, None] - back[:, None] * direction[:, None])
        outside = behind <= 0
        first = outside.argmax(axis=1)
        rows = np.arange(len(x))
        inner = behind[rows, np.maximum(first - 1, 0)]
        share = inner / np.maximum(inner - behind[rows, first], 1e-6)
        entry = start - (back[np.maximum(first - 1, 0)] + share * _STEP_MM)[:, None] * direction
        depth = self._fine.depth_mm(entry[:, None] + self._along[:, None] * direction[:, None])
        usable = outside.any(axis=1) & (first > 0) & self._free_behind(entry, direction)
        reach, least, pedicle, behind_pedicle = self._tip_limits(entry, direction, depth)
        beside = np.full(len(x), np.inf)
        if self._neighbours is not None and self._joint_margin > 0:
            first = np.arange(0.0, _JOINT_REACH_MM, 1.5)
            beside = self._neighbours(entry[:, None] + first[:, None] * direction[:, None]).min(axis=1)
        return _Lines(x, entry, direction, depth, reach, least, pedicle, beside, usable & behind_pedicle)

    def _free_behind(self, entry: FloatArray, direction: FloatArray) -> NDArray[np.bool_]:
        """Tell for which lines the way to the entry does not lead through this vertebra, or another."""
        return ways_are_free(entry, direction, self._coarse, self._neighbours)

    def _tip_limits(
        self, entry: FloatArray, direction: FloatArray, depth: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return the longest and the shortest screw (N,) by the tip's place, the way to the pedicle, and if the entry may lie there."""
        to_frame = np.linalg.inv(self._frame_to_ras)
        place = transform_points(to_frame, entry)
        y = place[:, 1]
        slope = np.maximum(direction @ to_frame[1, :3], 0.1)
        # The first two samples are at the surface of the entry itself.
        leaves = depth[:, 2:] < 0
        exit_index = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 2, len(self._along) - 1)
        to_front = self._along[exit_index] - self._limits.anterior_margin_mm
        reach = np.minimum(to_front, (self._limits.deepest_tip_y_mm - y) / slope)
        least = (self._limits.least_tip_y_mm - y) / slope
        pedicle = (self._limits.counted_y_mm - y) / slope
        placed = (y < self._limits.posterior_limit_y_mm) & (place[:, 2] < self._limits.highest_entry_z_mm)
        return reach, least, pedicle, placed

    # ------------------------------------------------------------------ screws on lines
    def _longest(
        self, lines: _Lines, diameter_mm: float, lengths_mm: Sequence[float], clearance_mm: float | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return for each line the longest screw that keeps the clearance (0: none), and the clearance it has.

        Without a wished clearance: the longest that costs no clearance over the shortest that reaches the body.
        """
        first = np.clip(np.minimum(entry_zone_mm(diameter_mm), lines.pedicle_mm), 0.0, None)
        counted = np.where(self._along >= first[:, None] - 0.5 * _STEP_MM, lines.depth_mm, np.inf)
        has = np.minimum.accumulate(counted, axis=1) - diameter_mm / 2
        usable = lines.usable & (lines.neighbour_mm >= diameter_mm / 2 + self._joint_margin)
        if self._joint_margin > 0 and clearance_mm is not None:
            # Between entry and pedicle lie the facets, where a label is least sure: more room is kept there.
            behind = (self._along >= first[:, None]) & (self._along < lines.pedicle_mm[:, None] - _JOINT_END_MM)
            rear = np.where(behind, lines.depth_mm, np.inf).min(axis=1) - diameter_mm / 2
            usable &= rear >= clearance_mm + 0.5 * self._joint_margin
        length = np.zeros(len(lines.parameters))
        clearance = np.full(len(lines.parameters), -np.inf)
        for candidate in sorted(lengths_mm):
            at = min(int(np.ceil(candidate / _STEP_MM)), len(self._along) - 1)
            ok = usable & (candidate <= lines.reach_mm) & (candidate >= lines.least_mm)
            ok &= has[:, at] >= (clearance - 0.02 if clearance_mm is None else clearance_mm + _SAMPLING_MARGIN_MM)
            length[ok] = candidate
            clearance[ok] = has[ok, at]
        return length, clearance

    def _purchase(
        self, lines: _Lines, chosen: NDArray[np.int_], length: FloatArray, blurred: Volume | None
    ) -> FloatArray:
        if blurred is None:
            return length
        step = 2 * _STEP_MM
        along = np.arange(step / 2, float(length.max()), step)
        points = lines.entry_ras[chosen][:, None] + along[:, None] * lines.direction_ras[chosen][:, None]
        values = np.where(along < length[:, None], sample_volume(blurred, points), 0.0)
        return np.asarray(values.sum(axis=1) * step)

    def _choice(self, lines: _Lines, n: int, diameter_mm: float, length_mm: float) -> Choice:
        entry = lines.entry_ras[n]
        return Choice(entry, entry + length_mm * lines.direction_ras[n], diameter_mm, length_mm)


def _blurred(ct: Volume, region_ras: FloatArray, radius_mm: float) -> Volume:
    """Return the part of a CT around some points, averaged over a ball of the radius (a Gaussian of equal variance)."""
    ijk = transform_points(ct.ras_to_ijk, region_ras)
    room = np.ceil(2 * radius_mm / ct.spacing_mm) + 1
    part = ct.cropped(np.floor(ijk.min(axis=0) - room), np.ceil(ijk.max(axis=0) + room) + 1)
    sigma = radius_mm / np.sqrt(5.0) / ct.spacing_mm[::-1]
    return part.with_voxels(ndimage.gaussian_filter(part.voxels.astype(np.float32), sigma, truncate=3))
