"""The widest straight corridor through a bone, with a proof of how much wider another could be."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray

from ..bone.depth_field import DepthField

_SAMPLE_MM = 0.75
_FIRST_CELL_MM = 2.0
_WAY_STEP_MM = 2.0
_CHUNK = 20_000
#: Of a line's samples every so manieth is looked at first.
_FEW = 8
#: Half width of the box about a line in which others are tried.
_NEAR_MM = 2.5
#: Ends a pattern search.
_LEAST_STEP_MM = 0.02


def _few_moves() -> FloatArray:
    """Return each parameter alone, and both ends together, which shifts the line without turning it."""
    moves = np.vstack([np.eye(4), [[1, 0, 1, 0], [0, 1, 0, 1]]])
    return np.vstack([moves, -moves])


def _all_moves() -> FloatArray:
    """Return unit moves in the 80 directions of a place's neighbours on a grid of the four parameters."""
    moves = np.array([m for m in itertools.product((-1.0, 0.0, 1.0), repeat=4) if any(m)])
    return np.asarray(moves / np.linalg.norm(moves, axis=1, keepdims=True))


_FEW_MOVES = _few_moves()
#: A least depth has creases that a search along fewer directions stays caught in.
ALL_MOVES = _all_moves()


@dataclass(frozen=True, eq=False)
class Approach:
    """What the drill must not meet on its way to a line's start: bone other than the one that it enters.

    Parameters
    ----------
    obstacles
        Depth in that bone, negative outside it.
    reach_mm, radius_mm
        So far behind the start, and so wide, the way must be free.
    """

    obstacles: DepthField
    reach_mm: float
    radius_mm: float


@dataclass(frozen=True, eq=False)
class LineFamily:
    """All lines from a point of one rectangle to a point of another.

    Parameters
    ----------
    start_ras, end_ras
        Middles of the two rectangles, RAS mm.
    u_ras, v_ras
        Unit directions of the sides of both rectangles, at right angles to each other.
    half_start_mm, half_end_mm
        Half side lengths along u and v.
    u_shift_mm, v_shift_mm
        Limits of (end - start) along u and v: with the rectangles' distance they are limits of the direction.
    approach
        None where every way to the start is free.
    """

    start_ras: FloatArray
    end_ras: FloatArray
    u_ras: FloatArray
    v_ras: FloatArray
    half_start_mm: tuple[float, float]
    half_end_mm: tuple[float, float]
    u_shift_mm: tuple[float, float] = (-np.inf, np.inf)
    v_shift_mm: tuple[float, float] = (-np.inf, np.inf)
    approach: Approach | None = None

    def ends_ras(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return start and end points (N, 3) of lines (N, 4): u and v at the start, u and v at the end."""
        start = self.start_ras + x[:, :1] * self.u_ras + x[:, 1:2] * self.v_ras
        end = self.end_ras + x[:, 2:3] * self.u_ras + x[:, 3:4] * self.v_ras
        return start, end

    def parameters_of(self, first_ras: FloatArray, second_ras: FloatArray) -> FloatArray:
        """Return the parameters (4,) of the line through two points (3,), wherever they lie on it."""
        normal = np.cross(self.u_ras, self.v_ras)
        direction = np.asarray(second_ras) - first_ras
        out = []
        for middle in (self.start_ras, self.end_ras):
            point = first_ras + direction * float((middle - first_ras) @ normal / (direction @ normal))
            out += [float((point - middle) @ self.u_ras), float((point - middle) @ self.v_ras)]
        return np.array(out)

    def outside_limits_mm(self, x: FloatArray) -> FloatArray:
        """Return how far (N,) the shifts of lines (N, 4) are outside their limits, 0 where they are within."""
        between = self.end_ras - self.start_ras
        out = np.zeros(len(x))
        for i, (axis, limits) in enumerate(((self.u_ras, self.u_shift_mm), (self.v_ras, self.v_shift_mm))):
            shift = between @ axis + x[:, 2 + i] - x[:, i]
            out = np.maximum(out, np.maximum(limits[0] - shift, shift - limits[1]))
        return np.maximum(out, 0.0)

    def blocked(self, x: FloatArray, start_mm: float = 0.0, end_mm: float = 0.0) -> NDArray[np.bool_]:
        """Tell (N,) whether the way to the start of lines (N, 4) is blocked.

        Parameters
        ----------
        start_mm, end_mm
            Tell it of all lines whose ends are within these distances of those of `x`.
        """
        if self.approach is None or not len(x):
            return np.zeros(len(x), dtype=bool)
        start, end = self.ends_ras(x)
        length = float(np.linalg.norm(self.end_ras - self.start_ras))
        back = np.arange(0.0, self.approach.reach_mm, _WAY_STEP_MM) / length
        points = start[:, None] - back[:, None] * (end - start)[:, None]
        depth = self.approach.obstacles.depth_mm(points) + self.approach.radius_mm
        # Behind the start a point moves with the start and against the end.
        return np.asarray((depth > (1 + back) * start_mm + back * end_mm).any(axis=1))


@dataclass(frozen=True, eq=False)
class Corridor:
    """The best line of a family.

    Parameters
    ----------
    parameters
        (4,) of the family.
    clearance_mm
        Least depth along the line: the radius of the largest cylinder about it.
    bound_mm
        No line of the family has more than this.
    """

    start_ras: FloatArray
    end_ras: FloatArray
    parameters: FloatArray
    clearance_mm: float
    bound_mm: float
    evaluations: int


def line_clearance_mm(bone: DepthField, family: LineFamily, x: FloatArray) -> FloatArray:
    """Return the least depth (N,) along each line (N, 4), sampled every 0.75 mm."""
    length = float(np.linalg.norm(family.end_ras - family.start_ras))
    t = np.linspace(0.0, 1.0, max(2, int(np.ceil(length / _SAMPLE_MM)) + 1))[:, None]
    out = np.empty(len(x))
    for i in range(0, len(x), _CHUNK):
        start, end = family.ends_ras(x[i : i + _CHUNK])
        out[i : i + _CHUNK] = bone.depth_mm(start[:, None] * (1 - t) + end[:, None] * t).min(axis=1)
    return out


def widest_corridor(
    bone: DepthField, family: LineFamily, *, gap_mm: float = 0.1, max_evaluations: int = 400_000
) -> Corridor:
    """Return the line with the greatest clearance, and a bound that no line of the family exceeds.

    Branch and bound over the four line parameters. Depth is 1-Lipschitz, and a point of a line moves no farther than its
    ends, mixed by where it lies between them; so the clearance in a cell is at most the least, along its middle line, of
    the depth plus that movement. Cells whose bound is within `gap_mm` of the best line found are closed (most of them by
    every eighth sample alone), the others cut in sixteen. The incumbent is improved by a pattern search whenever it changes.

    Raises
    ------
    ProcessingError
        When the limits leave no line.
    """
    half = np.array([*family.half_start_mm, *family.half_end_mm], dtype=np.float64)
    counts = np.maximum(np.ceil(half / _FIRST_CELL_MM).astype(int), 1)
    size = half / counts  # half side of a cell along each parameter
    grids = [(2 * np.arange(n) + 1 - n) * s for n, s in zip(counts, size, strict=True)]
    cells = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 4)
    corners = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    best, best_x, evaluations, closed_bound = -np.inf, None, 0, -np.inf
    while len(cells):
        # A cell stays while any of its lines can be within the direction limits.
        slack = max(float(size[0] + size[2]), float(size[1] + size[3]))
        outside = family.outside_limits_mm(cells)
        cells, outside = cells[outside <= slack], outside[outside <= slack]
        if not len(cells):
            break
        start_mm, end_mm = float(np.hypot(size[0], size[1])), float(np.hypot(size[2], size[3]))
        open_ = ~family.blocked(cells, start_mm, end_mm)
        cells, outside = cells[open_], outside[open_]
        if not len(cells):
            break
        values, bounds = _cell_bounds(bone, family, cells, start_mm, end_mm, best + gap_mm)
        evaluations += len(cells)
        allowed = np.where((outside <= 1e-9) & ~family.blocked(cells), values, -np.inf)
        top = int(allowed.argmax())
        if allowed[top] > best:
            value, step_mm = float(allowed[top]), float(size.max())
            best_x, best, used = _climb(
                bone, family, cells[top], value, moves=_FEW_MOVES, step_mm=step_mm, least_gain_mm=1e-6
            )
            evaluations += used
        alive = bounds > best + gap_mm
        if (~alive).any():
            closed_bound = max(closed_bound, float(bounds[~alive].max()))
        if alive.any() and evaluations + 16 * int(alive.sum()) > max_evaluations:
            closed_bound = max(closed_bound, float(bounds.max()))
            break
        cells = (cells[alive][:, None] + size * corners[None]).reshape(-1, 4)
        size = size / 2
    if best_x is None:
        raise ProcessingError("no line keeps to the direction limits with a free way to its start: widen them")
    start, end = family.ends_ras(best_x[None])
    # A closed cell's bound may lie below the incumbent; the incumbent itself is always reached.
    return Corridor(start[0], end[0], best_x, best, max(best, closed_bound), evaluations)


def _cell_bounds(
    bone: DepthField, family: LineFamily, cells: FloatArray, start_mm: float, end_mm: float, closed_below: float
) -> tuple[FloatArray, FloatArray]:
    """Return the clearance of each cell's middle line (-inf where a few samples close the cell) and the cell's bound.

    Parameters
    ----------
    start_mm, end_mm
        How far the ends of a cell's lines are from those of its middle line at most.
    """
    length = float(np.linalg.norm(family.end_ras - family.start_ras))
    t = np.linspace(0.0, 1.0, max(2, int(np.ceil(length / _SAMPLE_MM)) + 1))
    values, bounds = np.full(len(cells), -np.inf), np.empty(len(cells))
    few = np.unique(np.append(np.arange(0, len(t), _FEW), len(t) - 1))
    for i in range(0, len(cells), _CHUNK // _FEW):
        part = slice(i, min(i + _CHUNK // _FEW, len(cells)))
        start, end = family.ends_ras(cells[part])

        def depths(
            at: FloatArray, rows: NDArray[np.int_] | slice, a: FloatArray = start, b: FloatArray = end
        ) -> FloatArray:
            return bone.depth_mm(a[rows][:, None] * (1 - at[:, None]) + b[rows][:, None] * at[:, None])

        bound = (depths(t[few], slice(None)) + (1 - t[few]) * start_mm + t[few] * end_mm).min(axis=1)
        open_ = np.flatnonzero(bound > closed_below)
        if len(open_):
            whole = depths(t, open_)
            bound[open_] = (whole + (1 - t) * start_mm + t * end_mm).min(axis=1)
            values[i + open_] = whole.min(axis=1)
        bounds[part] = bound
    return values, bounds


def polished_corridor(bone: DepthField, family: LineFamily, corridor: Corridor, *, starts: int = 6) -> Corridor:
    """Move a corridor's line to the top of its hill, by moves in all 80 directions of the four parameters.

    A least depth has creases that even these moves stop in: the best of some hundred lines nearby are climbed from too.
    """
    half = np.array([*family.half_start_mm, *family.half_end_mm])

    def top_from(x: FloatArray, value: float) -> tuple[FloatArray, float, int]:
        return _climb(bone, family, x, value, moves=ALL_MOVES, step_mm=0.8, least_gain_mm=1e-5)

    tops = [top_from(corridor.parameters, corridor.clearance_mm)]
    if starts:
        near = np.clip(tops[0][0] + _NEAR_MM * (2 * qmc.Sobol(4, scramble=False).random(256) - 1), -half, half)
        near = near[(family.outside_limits_mm(near) <= 1e-9) & ~family.blocked(near)]
        values = line_clearance_mm(bone, family, near) if len(near) else np.empty(0)
        tops += [top_from(near[n], float(values[n])) for n in np.argsort(values)[::-1][:starts]]
    x, value, _ = max(tops, key=lambda top: top[1])
    used = sum(top[2] for top in tops) + (256 if starts else 0)
    start, end = family.ends_ras(x[None])
    return Corridor(start[0], end[0], x, value, max(value, corridor.bound_mm), corridor.evaluations + used)


def _climb(
    bone: DepthField,
    family: LineFamily,
    x: FloatArray,
    value: float,
    *,
    moves: FloatArray,
    step_mm: float,
    least_gain_mm: float,
) -> tuple[FloatArray, float, int]:
    """Improve a line by a pattern search within the family; return it, its clearance and the evaluations used."""
    half = np.array([*family.half_start_mm, *family.half_end_mm])
    used = 0
    while step_mm > _LEAST_STEP_MM:
        around = np.clip(x + step_mm * moves, -half, half)
        values = line_clearance_mm(bone, family, around)
        values[(family.outside_limits_mm(around) > 1e-9) | family.blocked(around)] = -np.inf
        used += len(around)
        top = int(values.argmax())
        if values[top] > value + least_gain_mm:
            x, value = around[top], float(values[top])
        else:
            step_mm /= 2
    return x, value, used
