"""Three parallel screws spread as wide as the bone allows: the largest inverted triangle that a neck holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, unit
from MSKFusionLib.interpolation import interpolate

from ..bone.depth_field import DepthField
from .safety import entry_zone_mm

#: Of the lines' samples at the end.
_STEP_MM = 0.7
#: Rounds of the search: step of the direction (degrees), of the places and of the lines' samples (mm), and how many of its best
#: directions the next round looks about.
_ROUNDS = ((4.0, 1.0, 2.0, 6), (2.0, 1.0, 1.0, 3), (1.0, 0.5, 1.0, 1))
#: The last moves, of one screw or of the direction: first and last step, mm (of the direction: so much at the ends of the lines).
_POLISH_FROM_MM, _POLISH_TO_MM = 0.4, 0.04
#: Most places of one direction whose triangles are all tried.
_MOST_PLACES = 150


@dataclass(frozen=True, eq=False)
class TriangleProblem:
    """Where three parallel screws may lie.

    Parameters
    ----------
    field
        Depth in the bone.
    middle_ras
        A point (3,) that the lines pass beside: the middle of the neck.
    axes_ras
        3x3, columns: anterior and up across the neck, and the neck's axis into the head.
    half_mm
        Places are looked for so far from the middle, along the first two axes.
    turn_deg
        Limits of the direction, from the neck's axis towards anterior and towards up: (2, 2).
    back_mm, ahead_mm
        Lines are followed so far from the middle.
    lowest_ras, up_ras
        Entries lie above the plane through this point, across this direction, by at least the screw's radius.
    lateral_ras, least_lateral
        The bone's outward normal at an entry has at least this share towards lateral.
    head_ras, head_radius_mm, tip_margin_mm
        The ball that the tips end in, and the bone between them and its surface.
    """

    field: DepthField
    middle_ras: FloatArray
    axes_ras: FloatArray
    half_mm: float
    turn_deg: FloatArray
    back_mm: float
    ahead_mm: float
    lowest_ras: FloatArray
    up_ras: FloatArray
    lateral_ras: FloatArray
    least_lateral: float
    head_ras: FloatArray
    head_radius_mm: float
    tip_margin_mm: float
    clearance_mm: float
    least_apart_mm: float
    most_tilt_deg: float


@dataclass(frozen=True, eq=False)
class Triangle:
    """Three parallel screws: below, anterior above, posterior above.

    Parameters
    ----------
    entries_ras, tips_ras
        (3, 3), a row a screw.
    lengths_mm
        (3,) of the table.
    area_mm2
        Of the triangle of their axes, across them.
    """

    entries_ras: FloatArray
    tips_ras: FloatArray
    lengths_mm: FloatArray
    diameter_mm: float
    area_mm2: float

    @property
    def direction_ras(self) -> FloatArray:
        """Unit, of all three."""
        return unit(self.tips_ras[0] - self.entries_ras[0])

    @property
    def apart_mm(self) -> FloatArray:
        """Distances (3,) of the axes: below to anterior, below to posterior, anterior to posterior."""
        d = self.direction_ras
        pairs = [(0, 1), (0, 2), (1, 2)]
        arms = np.array([self.entries_ras[b] - self.entries_ras[a] for a, b in pairs])
        return np.asarray(np.linalg.norm(arms - (arms @ d)[:, None] * d, axis=1))


@dataclass(frozen=True, eq=False)
class _Places:
    """Lines of one direction that hold a screw."""

    flat: FloatArray  # (N, 2) across the direction: anterior, up
    entry_ras: FloatArray  # (N, 3)
    length_mm: FloatArray  # (N,)


def widest_triangle(problem: TriangleProblem, diameter_mm: float, lengths_mm: FloatArray) -> Triangle | None:
    """Return the three parallel screws whose triangle is largest, one below and two above; None where none was found.

    For every direction of a grid the lines that hold a screw are found by the depth of their axis; of their places the
    largest triangle is looked for among those on the border of what is possible: its area only grows when a corner moves
    away from the opposite side, so that no corner of the largest one lies within. The best directions are looked about
    with finer steps.
    """
    best: tuple[float, FloatArray, Triangle] | None = None
    starts: list[FloatArray] | None = None
    tried: dict[tuple[float, float, float], Triangle | None] = {}
    for turn_step, place_step, step, count in _ROUNDS:
        found = []
        for turn in _grid(problem.turn_deg, turn_step, starts):
            key = (round(float(turn[0]), 3), round(float(turn[1]), 3), place_step)
            if key not in tried:
                tried[key] = _largest(problem, turn, (place_step, step), diameter_mm, lengths_mm)
            triangle = tried[key]
            if triangle is not None:
                found.append((triangle.area_mm2, turn, triangle))
        found.sort(key=lambda f: -f[0])
        if found and (best is None or found[0][0] > best[0]):
            best = found[0]
        # Where there was none, the next round looks with finer steps about the middle, where most room is.
        starts = [f[1] for f in found[:count]] or [np.zeros(2) if best is None else best[1]]
    return None if best is None else _polished(problem, best[1], best[2], lengths_mm)


def _polished(problem: TriangleProblem, turn_deg: FloatArray, triangle: Triangle, lengths_mm: FloatArray) -> Triangle:
    """Move the screws of a triangle, one at a time or all by a turn, as long as it grows: the grid's steps are left behind."""
    size = triangle.diameter_mm
    direction = triangle.direction_ras
    axis = problem.axes_ras[:, 2]
    arm = triangle.entries_ras - problem.middle_ras
    through = arm - ((arm @ axis) / (direction @ axis))[:, None] * direction
    places = through @ problem.axes_ras[:, :2]
    turn, best, step = np.asarray(turn_deg, dtype=np.float64), triangle, _POLISH_FROM_MM
    ways = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)])
    while step > _POLISH_TO_MM:
        one = [places + step * way * (np.arange(3) == n)[:, None] for n in range(3) for way in ways]
        turned = np.clip(turn + np.degrees(step / problem.ahead_mm) * ways, *problem.turn_deg.T)
        tried = [(turn, one), *((t, [places]) for t in turned)]
        moved = [(f, t, p) for t, group in tried for f, p in _triangles_at(problem, t, group, size, lengths_mm)]
        found, t, p = max(moved, key=lambda m: m[0].area_mm2, default=(best, turn, places))
        if found.area_mm2 > best.area_mm2 + 1e-3:
            turn, places, best = t, p, found
        else:
            step /= 2
    return best


def _triangles_at(
    problem: TriangleProblem,
    turn_deg: FloatArray,
    groups: list[FloatArray],
    diameter_mm: float,
    lengths_mm: FloatArray,
) -> list[tuple[Triangle, FloatArray]]:
    """Return the triangles of groups of three places (3, 2) in one direction, with their places: of those that hold."""
    direction = direction_of(problem, turn_deg)
    through = problem.middle_ras + np.concatenate(groups) @ problem.axes_ras[:, :2].T
    ok, entry, length = _screws_on(problem, through, direction, diameter_mm, lengths_mm, _STEP_MM)
    out = []
    for n, places in enumerate(groups):
        part = slice(3 * n, 3 * n + 3)
        if not ok[part].all():
            continue
        e, mm = entry[part], length[part]
        found = largest_inverted(_flat(problem, direction, e), problem.least_apart_mm, problem.most_tilt_deg)
        if found is not None:
            rows, area = found
            triangle = Triangle(e[rows], e[rows] + mm[rows][:, None] * direction, mm[rows], diameter_mm, area)
            out.append((triangle, places))
    return out


def _flat(problem: TriangleProblem, direction: FloatArray, points_ras: FloatArray) -> FloatArray:
    """Return places (N, 2) across a direction: towards anterior and up."""
    u = unit(problem.axes_ras[:, 0] - (problem.axes_ras[:, 0] @ direction) * direction)
    v = np.cross(direction, u)
    v = v if v @ problem.axes_ras[:, 1] > 0 else -v
    return np.asarray((points_ras - problem.middle_ras) @ np.stack([u, v], axis=1))


def _grid(limits_deg: FloatArray, step: float, around: list[FloatArray] | None) -> list[FloatArray]:
    """Return the directions of a round: all within the limits, or the neighbours of some."""
    if around is None:
        axes = [np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step for low, high in limits_deg]
        return [np.array([a, b]) for a in axes[0] for b in axes[1]]
    near = {
        (float(a), float(b))
        for turn in around
        for a in np.clip(turn[0] + step * np.arange(-1, 2), *limits_deg[0])
        for b in np.clip(turn[1] + step * np.arange(-1, 2), *limits_deg[1])
    }
    return [np.array(turn) for turn in sorted(near)]


def direction_of(problem: TriangleProblem, turn_deg: FloatArray) -> FloatArray:
    """Return the unit direction that is turned so far towards anterior and up from the neck's axis."""
    slope = np.tan(np.radians(turn_deg))
    return unit(problem.axes_ras @ np.array([slope[0], slope[1], 1.0]))


def _largest(
    problem: TriangleProblem,
    turn_deg: FloatArray,
    steps_mm: tuple[float, float],
    diameter_mm: float,
    lengths_mm: FloatArray,
) -> Triangle | None:
    direction = direction_of(problem, turn_deg)
    places = _places(problem, direction, steps_mm, diameter_mm, lengths_mm)
    if len(places.flat) < 3:
        return None
    found = largest_inverted(places.flat, problem.least_apart_mm, problem.most_tilt_deg)
    if found is None:
        return None
    rows, area = found
    entries, lengths = places.entry_ras[rows], places.length_mm[rows]
    return Triangle(entries, entries + lengths[:, None] * direction, lengths, diameter_mm, area)


def _places(
    problem: TriangleProblem,
    direction: FloatArray,
    steps_mm: tuple[float, float],
    diameter_mm: float,
    lengths_mm: FloatArray,
) -> _Places:
    """Return the lines of a direction on the border of what holds a screw; steps across them and along them."""
    step_mm, sample_mm = steps_mm
    count = int(problem.half_mm / step_mm)
    across = np.arange(-count, count + 1) * step_mm
    y, x = (g.ravel() for g in np.meshgrid(across, across, indexing="ij"))
    through = problem.middle_ras + x[:, None] * problem.axes_ras[:, 0] + y[:, None] * problem.axes_ras[:, 1]
    need = diameter_mm / 2 + problem.clearance_mm
    # Most places lie outside the neck: one look there leaves a third of them.
    inside = problem.field.depth_mm(through) >= need - 1e-6
    rows = np.flatnonzero(inside)
    ok, entry, length = _screws_on(problem, through[rows], direction, diameter_mm, lengths_mm, sample_mm)
    good = np.zeros(len(x), dtype=bool)
    good[rows[ok]] = True
    shape = (2 * count + 1, 2 * count + 1)
    grid = np.pad(good.reshape(shape), 1)
    inner = grid[:-2, 1:-1] & grid[2:, 1:-1] & grid[1:-1, :-2] & grid[1:-1, 2:]
    border = good & ~inner.ravel()
    keep = border[rows[ok]]
    entries = entry[ok][keep]
    return _Places(_flat(problem, direction, entries), entries, length[ok][keep])


def _screws_on(
    problem: TriangleProblem,
    through_ras: FloatArray,
    direction: FloatArray,
    diameter_mm: float,
    lengths_mm: FloatArray,
    step_mm: float,
) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
    """Tell which lines hold a screw (N,), with their entries (N, 3) and lengths (N,); sampled in steps."""
    n = len(through_ras)
    if n == 0:
        return np.zeros(0, dtype=bool), np.empty((0, 3)), np.empty(0)
    need = diameter_mm / 2 + problem.clearance_mm
    t = np.arange(-problem.back_mm, problem.ahead_mm + step_mm, step_mm)
    zero = int(np.argmin(np.abs(t)))
    field = problem.field
    ijk = field.to_ijk(through_ras)[:, None] + t[:, None] * (field.directions_ras.T @ direction / field.step_mm)
    depth = interpolate(field.depth, ijk)
    # Outside the map there is no bone that counts.
    last = np.array(field.shape_ijk) - 1.0
    depth = np.where(np.all((ijk >= 0) & (ijk <= last), axis=-1), depth, -1.0)
    behind = depth[:, zero::-1]
    out = behind <= 0
    has_entry = out.any(axis=1)
    first = np.maximum(out.argmax(axis=1), 1)
    row = np.arange(n)
    inner, outer = behind[row, first - 1], behind[row, first]
    share = np.clip(inner / np.maximum(inner - outer, 1e-6), 0, 1)
    t_entry = t[zero] - (first - 1 + share) * step_mm
    entry = through_ras + t_entry[:, None] * direction
    ok = has_entry & ((entry - problem.lowest_ras) @ problem.up_ras >= diameter_mm / 2)
    # The wall, from behind the entry zone to the tip.
    low = depth < need - 1e-6
    counted = t[None, :] >= (t_entry + entry_zone_mm(diameter_mm))[:, None]
    ok &= ~(low & counted & (t <= 0)).any(axis=1)
    blocked = low & (t > 0)
    safe = np.where(blocked.any(axis=1), t[np.minimum(blocked.argmax(axis=1), len(t) - 1)] - step_mm, t[-1])
    # The rim of the tip's disc stays under the head's surface by the margin.
    arm = through_ras - problem.head_ras
    along = arm @ direction
    aside = np.linalg.norm(arm - along[:, None] * direction, axis=1) + diameter_mm / 2
    room = (problem.head_radius_mm - problem.tip_margin_mm) ** 2 - aside**2
    ok &= room > 0
    farthest = np.minimum(safe, np.sqrt(np.maximum(room, 0)) - along)
    fits = lengths_mm[None, :] <= (farthest - t_entry)[:, None]
    length = np.where(fits.any(axis=1), np.max(np.where(fits, lengths_mm, 0.0), axis=1), 0.0)
    # Its tip lies in the head, beyond its middle.
    ok &= (length > 0) & (t_entry + length + along >= 0)
    rows = np.flatnonzero(ok)
    if len(rows):
        facing = field.outward_ras(entry[rows]) @ problem.lateral_ras
        ok[rows] = facing >= problem.least_lateral
    return ok, entry, length


def largest_inverted(
    flat: FloatArray, least_apart_mm: float, most_tilt_deg: float
) -> tuple[NDArray[np.int_], float] | None:
    """Return which three of some places (N, 2: anterior, up) make the largest inverted triangle, and its area.

    The lowest stands below the line of the two others, between them, and that line rises or falls by no more than
    `most_tilt_deg`. In the order below, anterior, posterior.
    """
    rows = np.arange(len(flat))
    if len(rows) > _MOST_PLACES:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_PLACES).astype(int))]
    p = flat[rows]
    front, back = (g.ravel() for g in np.meshgrid(np.arange(len(p)), np.arange(len(p)), indexing="ij"))
    top = p[front] - p[back]
    wide = np.linalg.norm(top, axis=1)
    usable = (top[:, 0] > 0) & (wide >= least_apart_mm)
    usable &= np.abs(top[:, 1]) <= np.tan(np.radians(most_tilt_deg)) * top[:, 0]
    front, back, top, wide = front[usable], back[usable], top[usable], wide[usable]
    if not len(front):
        return None
    way = top / wide[:, None]
    arm = p[None, :, :] - p[back][:, None, :]
    foot = np.einsum("bnk,bk->bn", arm, way)
    under = arm[..., 0] * way[:, None, 1] - arm[..., 1] * way[:, None, 0]
    ok = (under > 0) & (foot >= 0) & (foot <= wide[:, None])
    ok &= np.hypot(foot, under) >= least_apart_mm
    ok &= np.hypot(foot - wide[:, None], under) >= least_apart_mm
    area = np.where(ok, 0.5 * wide[:, None] * under, -1.0)
    pair, low = np.unravel_index(int(area.argmax()), area.shape)
    if area[pair, low] <= 0:
        return None
    return rows[[low, front[pair], back[pair]]], float(area[pair, low])
