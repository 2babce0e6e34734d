"""How likely a screw is to breach, once every error between plan and patient is counted.

The errors of a budget are drawn together by quasi-random sampling (scrambled Sobol points; Owen 1998, doi
10.1006/jcom.1998.0487), each draw is measured as a planned screw is, and independent scrambles tell how far the share may be off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import norm, qmc

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..plan import BreachRisk
from .error_budget import ErrorBudget
from .safety import (
    DepthFunction,
    breach_direction,
    counted_zone_start_mm,
    cylinder_points,
    gertzbein_robbins_grade,
)

GRADES = ("A", "B", "C", "D", "E")
#: Two across the axis, one along it, two turns, three of the registration, one of the surface.
_DIMENSIONS = 9
_SCRAMBLES = 8
_FIRST, _MOST = 256, 4096
#: Points of one screw: coarser than a single screw is measured, since there are thousands. The corners of so coarse a ring lie
#: outside the circle by as much as its sides lie inside, so that on average over all directions the screw is as thick as it is.
_STEP_MM, _ANGLES = 1.0, 16
_RING = 1 + (np.pi / _ANGLES) ** 2 / 6
_POINTS_AT_ONCE = 400_000
WANTED_STANDARD_ERROR = 0.005


@dataclass(frozen=True, eq=False)
class PlannedCylinder:
    """A screw as it is measured.

    Parameters
    ----------
    entry_ras, tip_ras
        RAS mm.
    counted_from_mm
        See `safety.assess_screw`.
    axes_ras, side
        3x3 (right, anterior, superior as columns) and ``left`` or ``right``: for directions.
    """

    entry_ras: FloatArray
    tip_ras: FloatArray
    diameter_mm: float
    counted_from_mm: float | None = None
    axes_ras: FloatArray | None = None
    side: str = ""


def breach_risk(
    depth: DepthFunction,
    screw: PlannedCylinder,
    budget: ErrorBudget,
    *,
    seed: int = 0,
    wanted_standard_error: float = WANTED_STANDARD_ERROR,
) -> BreachRisk:
    """Return how likely a screw is to breach, and its expected grades.

    Sampling goes on until the standard error is below `wanted_standard_error` (at most 32768 screws).

    Parameters
    ----------
    depth
        Signed depth in mm of RAS points, positive inside bone.
    seed
        The same seed gives the same figures.
    """
    surface = _Surface.of(screw)
    engines = [qmc.Sobol(_DIMENSIONS, scramble=True, rng=np.random.default_rng((seed, n))) for n in range(_SCRAMBLES)]
    clearances: list[FloatArray] = []
    worst: list[tuple[FloatArray, NDArray[np.bool_]]] = []
    count = _FIRST
    while True:
        drawn = [_normal(engine.random(count)) for engine in engines]
        found = [surface.measure(depth, budget, normal) for normal in drawn]
        clearances.append(np.stack([f[0] for f in found]))
        worst += [(f[1], f[2]) for f in found]
        every = np.concatenate(clearances, axis=1)
        shares = (every < 0).mean(axis=1)
        # Where no draw breached, the next might have.
        error = max(float(shares.std(ddof=1) / np.sqrt(_SCRAMBLES)), 0.5 / every.size)
        if error <= wanted_standard_error or every.shape[1] >= _MOST:
            break
        count = every.shape[1]
    grades = _grade_shares(every.ravel())
    return BreachRisk(
        float(shares.mean()),
        grades,
        _usual_direction(screw, worst),
        float(every.mean()),
        error,
        int(every.size),
        budget.name,
    )


def normal_draws(count: int, seed: int) -> FloatArray:
    """Return standard normal draws (count, 9) of all errors of a budget, spread as evenly as a power of two allows."""
    return _normal(qmc.Sobol(_DIMENSIONS, scramble=True, rng=np.random.default_rng(seed)).random(count))


def axis_clearances_mm(
    depth: DepthFunction, screw: PlannedCylinder, budget: ErrorBudget, draws: FloatArray
) -> FloatArray:
    """Return the clearance (N,) of a screw under drawn errors (N, 9) by the depth of its axis alone.

    Quick, and on the safe side: a ball about every point of the axis holds the screw's section there.
    """
    surface = _Surface.of(screw)
    turn, shift_ras, offset = surface.displacements(budget, draws)
    start, end = surface.points[:, 2].min(), surface.points[:, 2].max() - screw.diameter_mm / 2
    along = np.linspace(start, max(end, start), max(2, int((end - start) / _STEP_MM) + 1))
    axis = turn @ np.array([0.0, 0.0, 1.0]) @ surface.to_ras.T
    points = surface.entry_ras + shift_ras[:, None] + along[:, None] * axis[:, None]
    return np.asarray(depth(points).min(axis=1) + offset - screw.diameter_mm / 2)


@dataclass(frozen=True, eq=False)
class _Surface:
    """The counted surface of a screw in its own frame: across, across, along; the entry at 0."""

    points: FloatArray
    tip_count: int
    entry_ras: FloatArray
    to_ras: FloatArray

    @classmethod
    def of(cls, screw: PlannedCylinder) -> _Surface:
        entry, tip = np.asarray(screw.entry_ras, dtype=np.float64), np.asarray(screw.tip_ras, dtype=np.float64)
        length, axis = float(np.linalg.norm(tip - entry)), unit(tip - entry)
        start = counted_zone_start_mm(length, screw.diameter_mm, screw.counted_from_mm)
        points, tip_count = cylinder_points(length, _RING * screw.diameter_mm, start, step_mm=_STEP_MM, angles=_ANGLES)
        return cls(points, tip_count, entry, np.stack([*perpendicular_axes(axis), axis], axis=1))

    def measure(
        self, depth: DepthFunction, budget: ErrorBudget, normal: FloatArray
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return the clearance (N,) of displaced screws, and of those that breach: which way (M, 3), and if at the front."""
        clearance = np.empty(len(normal))
        ways, front = [], []
        at_once = max(1, _POINTS_AT_ONCE // len(self.points))
        for first in range(0, len(normal), at_once):
            some = slice(first, first + at_once)
            turn, shift_ras, offset = self.displacements(budget, normal[some])
            arms = np.einsum("nij,pj->npi", turn, self.points) @ self.to_ras.T
            depths = depth(self.entry_ras + shift_ras[:, None] + arms) + offset[:, None]
            nearest = depths.argmin(axis=1)
            rows = np.arange(len(nearest))
            clearance[some] = depths[rows, nearest]
            out = np.flatnonzero(clearance[some] < 0)
            axis = turn[out] @ np.array([0.0, 0.0, 1.0]) @ self.to_ras.T
            arm = arms[out, nearest[out]]
            ways.append(arm - np.einsum("ni,ni->n", arm, axis)[:, None] * axis)
            at_tip = self.points[nearest[out], 2] >= self.points[-1, 2] - 1e-6
            front.append(at_tip & (depths[out, len(self.points) - self.tip_count] < 0))
        return clearance, np.concatenate(ways), np.concatenate(front)

    def displacements(self, budget: ErrorBudget, normal: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Turn standard normal draws (N, 9) into turns (N, 3, 3) about the entry, shifts (N, 3) in RAS and offsets (N,)."""
        across, along = budget.entry_sd_mm * normal[:, :2], budget.depth_sd_mm * normal[:, 2:3]
        shift = np.concatenate([across, along], axis=1) @ self.to_ras.T + budget.registration_sd_mm * normal[:, 5:8]
        about = np.radians(budget.turn_sd_deg) * normal[:, 3:5]
        turn = Rotation.from_rotvec(np.concatenate([about, np.zeros((len(normal), 1))], axis=1)).as_matrix()
        return turn, shift, budget.surface_sd_mm * normal[:, 8]


def _normal(uniform: ArrayLike) -> FloatArray:
    return np.asarray(norm.ppf(np.clip(uniform, 1e-12, 1 - 1e-12)))


def _grade_shares(clearance_mm: FloatArray) -> dict[str, float]:
    breaches = np.maximum(-clearance_mm, 0.0)
    found = [gertzbein_robbins_grade(float(b)) for b in breaches]
    return {grade: found.count(grade) / len(found) for grade in GRADES}


def _usual_direction(screw: PlannedCylinder, worst: list[tuple[FloatArray, NDArray[np.bool_]]]) -> str:
    if screw.axes_ras is None or screw.side not in ("left", "right"):
        return ""
    names = [
        "anterior" if front else breach_direction(way, screw.axes_ras, screw.side)
        for ways, fronts in worst
        for way, front in zip(ways, fronts, strict=True)
    ]
    return max(sorted(set(names)), key=names.count) if names else ""
