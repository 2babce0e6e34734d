"""From a wide corridor to one screw: the line with the most purchase among those that keep the wished clearance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import qmc

from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.volume import Volume

from ..bone.depth_field import DepthField
from .candidate_lines import STEP_MM, Choice, DistanceFunction, Lines, LineTracer, TrajectoryLimits
from .candidates import Candidates
from .corridor import Corridor, LineFamily
from .error_budget import ErrorBudget
from .line_polish import MOST_LIKELY, Likely, LinePolish
from .safety import entry_zone_mm

#: Sampling about the best line so far: how many lines, and how the first round's spread shrinks.
_ROUNDS = ((4096, 1.0), (1024, 0.3), (1024, 0.1), (512, 0.03))
#: Half width of the first round: of the direction along u and v (tangents), and bounds of the shift within the isthmus.
_TURN_SPREAD = (0.35, 0.3)
_SHIFT_SPREAD_MM = (0.6, 4.0)
#: The search samples the axis; measured on its surface afterwards a screw may have a few hundredths less.
_SAMPLING_MARGIN_MM = 0.05
#: So far behind the isthmus the articular processes end.
_JOINT_END_MM = 4.0
#: Up to this much above the wished clearance is worth a tenth of the purchase.
_WORTHWHILE_CLEARANCE_MM = 0.5
_WORTH = 0.1
_TIE = 0.001
#: Lines that lack no more than this of the wished clearance may be near one that has it.
_WORTH_A_LOOK_MM = 0.5
#: So many lines tell where the screws may run.
_SPAN = 512


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
        self._tracer = LineTracer(fine, coarse, frame_to_ras, family, limits, neighbours, joint_margin_mm)
        self._polish = LinePolish(self._tracer)
        self._family = family
        self._centre = corridor.parameters
        self._share = isthmus_share
        # A screw thinner than the corridor by so much can be moved by so much; 1.5 mm is below any screw's radius.
        self._shift_spread = float(np.clip(corridor.clearance_mm - 1.5, *_SHIFT_SPREAD_MM))
        self._joint_margin = joint_margin_mm
        self._along = self._tracer.along_mm
        y = transform_points(np.linalg.inv(frame_to_ras), np.stack([family.start_ras, family.end_ras]))[:, 1]
        # Every screw passes the family's way as far as to where the shortest one ends.
        self._passed = float(np.clip((limits.least_tip_y_mm - y[0]) / (y[1] - y[0]), isthmus_share, 1.0))

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
            some = self._first if number == 0 else self._candidates(centre, number, shrink)
            lines = some.deeper_than(diameter_mm / 2 + clearance_mm)
            length, clearance = self._longest(lines, diameter_mm, lengths_mm, clearance_mm)
            fits = np.flatnonzero(length > 0)
            if len(fits) == 0:
                if top is None:
                    # Nothing yet: look closer where most room is, unless that is far from enough.
                    lines = some.deepest(1, lambda these: self._axis_depth_mm(these, diameter_mm, lengths_mm))
                    _, clearance = self._longest(lines, diameter_mm, lengths_mm, None)
                    if clearance.max(initial=-np.inf) < clearance_mm - _WORTH_A_LOOK_MM:
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
                top = (float(score[winner]), centre, lines.screw(n, diameter_mm, float(length[n])))
        return top[2] if top else None

    def widest(self, diameter_mm: float, lengths_mm: Sequence[float]) -> tuple[Choice, float] | None:
        """Return the screw of one diameter with the most bone round it and how much that is (mm).

        None where no line reaches the body.
        """
        top: Likely | None = None
        likely: list[Likely] = []
        for number, (_, shrink) in enumerate(_ROUNDS):
            centre = top.parameters if top else self._centre
            some = self._first if number == 0 else self._candidates(centre, number, shrink)
            lines = some.deepest(MOST_LIKELY, lambda these: self._axis_depth_mm(these, diameter_mm, lengths_mm))
            length, clearance = self._longest(lines, diameter_mm, lengths_mm, None)
            if not len(length):
                continue
            n = int(clearance.argmax())
            if length[n] > 0 and (top is None or clearance[n] > top.room_mm):
                top = Likely(float(clearance[n]), lines.parameters[n], lines.screw(n, diameter_mm, float(length[n])))
            likely += self._polish.roomiest(lines, clearance, length, diameter_mm)
        return None if top is None else self._polish.widest(top, likely)

    def allows(self, choice: Choice) -> bool:
        """Tell whether a screw keeps to the limits and to the room for neighbours."""
        return bool(self._tracer.fits(self._tracer.follow(self._tracer.parameters_of(choice)[None]), choice)[0])

    def least_risk(self, choice: Choice, budget: ErrorBudget) -> Choice:
        """Return the screw of the same size near `choice` that is least likely to breach by an error budget."""
        return self._polish.least_risk(choice, budget)

    # ------------------------------------------------------------------ candidates
    @cached_property
    def _first(self) -> Candidates:
        return self._candidates(self._centre, 0, 1.0)

    @cached_property
    def _region(self) -> FloatArray:
        """Points (N, 3) that span where the screws may run."""
        # Of Sobol's points any first ones are spread over all.
        lines = self._tracer.follow(self._first.parameters[:_SPAN])
        ends = lines.entry_ras + np.maximum(lines.reach_mm, 1.0)[:, None] * lines.direction_ras
        return (
            np.concatenate([lines.entry_ras[lines.usable], ends[lines.usable]])
            if lines.usable.any()
            else lines.entry_ras
        )

    def _candidates(self, centre: FloatArray, number: int, shrink: float) -> Candidates:
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
        return Candidates(self._tracer, x[self._family.outside_limits_mm(x) <= 1e-9], self._passed)

    # ------------------------------------------------------------------ screws on lines
    def _longest(
        self, lines: Lines, diameter_mm: float, lengths_mm: Sequence[float], clearance_mm: float | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return for each line the longest screw that keeps the clearance (0: none), and the clearance it has.

        Without a wished clearance: the longest that costs no clearance over the shortest that reaches the body.
        """
        first = np.clip(np.minimum(entry_zone_mm(diameter_mm), lines.pedicle_mm), 0.0, None)
        counted = np.where(self._along >= first[:, None] - 0.5 * STEP_MM, lines.depth_mm, np.inf)
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
            at = min(int(np.ceil(candidate / STEP_MM)), len(self._along) - 1)
            ok = usable & (candidate <= lines.reach_mm) & (candidate >= lines.least_mm)
            ok &= has[:, at] >= (clearance - 0.02 if clearance_mm is None else clearance_mm + _SAMPLING_MARGIN_MM)
            length[ok] = candidate
            clearance[ok] = has[ok, at]
        return length, clearance

    def _axis_depth_mm(self, lines: Lines, diameter_mm: float, lengths_mm: Sequence[float]) -> FloatArray:
        """Return the least depth (N,) that the axes of `_longest` screws have, -inf where a line holds none."""
        return self._longest(lines, diameter_mm, lengths_mm, None)[1] + diameter_mm / 2

    def _purchase(
        self, lines: Lines, chosen: NDArray[np.int_], length: FloatArray, blurred: Volume | None
    ) -> FloatArray:
        if blurred is None:
            return length
        step = 2 * STEP_MM
        along = np.arange(step / 2, float(length.max()), step)
        points = lines.entry_ras[chosen][:, None] + along[:, None] * lines.direction_ras[chosen][:, None]
        values = np.where(along < length[:, None], sample_volume(blurred, points), 0.0)
        return np.asarray(values.sum(axis=1) * step)


def _blurred(ct: Volume, region_ras: FloatArray, radius_mm: float) -> Volume:
    """Return the part of a CT around some points, averaged over a ball of the radius (a Gaussian of equal variance)."""
    ijk = transform_points(ct.ras_to_ijk, region_ras)
    room = np.ceil(2 * radius_mm / ct.spacing_mm) + 1
    part = ct.cropped(np.floor(ijk.min(axis=0) - room), np.ceil(ijk.max(axis=0) + room) + 1)
    sigma = radius_mm / np.sqrt(5.0) / ct.spacing_mm[::-1]
    return part.with_voxels(ndimage.gaussian_filter(part.voxels.astype(np.float32), sigma, truncate=3))
