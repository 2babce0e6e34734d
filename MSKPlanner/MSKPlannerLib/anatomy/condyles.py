"""Condyles of a bone's end: the lines that touch both, and the notch between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import IntArray

#: A line over both condyles is at least this long, mm, and the bone lies this far behind it in the middle.
_LEAST_SPAN_MM, _LEAST_POCKET_MM = 22.0, 4.0
#: Steps along the line by which a silhouette's edge is taken, mm.
_STEP_MM = 1.0
#: A condyle's outermost place is fitted within this of its outermost point, mm; and as if it curved at least so much, 1/mm.
_ABOUT_MM, _LEAST_BEND = 10.0, 0.01
#: So many of the lowest points of a step say where the edge is.
_FEW = 4
#: Shares of a pocket's depth at which its walls are looked for.
_LEVELS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)


@dataclass(frozen=True, eq=False)
class Bridge:
    """A line that touches a silhouette in two places and leaves a pocket between them.

    Parameters
    ----------
    one, other
        Rows of the two points that it touches.
    out
        (2,) unit normal of the line, away from the bone, in the silhouette's plane.
    pocket_mm
        Greatest depth of the bone behind the line between the two.
    """

    one: int
    other: int
    out: FloatArray
    pocket_mm: float


def deepest_bridge(
    flat: FloatArray, facing: FloatArray | None = None, least_pocket_mm: float = _LEAST_POCKET_MM
) -> Bridge | None:
    """Return the edge of a silhouette's hull that has the deepest pocket behind it, None where there is none.

    Parameters
    ----------
    flat
        (N, 2) points of a surface seen along an axis.
    facing
        Where given, only edges that look within 45 degrees of it.
    least_pocket_mm
        Shallower pockets do not count.
    """
    hull = ConvexHull(flat).vertices
    best: Bridge | None = None
    for one, other in zip(hull, np.roll(hull, -1), strict=True):
        along = flat[other] - flat[one]
        span = float(np.linalg.norm(along))
        if span < _LEAST_SPAN_MM:
            continue
        # Hulls run counter-clockwise: outwards is to the right.
        out = unit(np.array([along[1], -along[0]]))
        if facing is not None and out @ unit(facing) < np.cos(np.pi / 4):
            continue
        pocket = _pocket(flat, flat[one], along / span, out, span)
        if pocket >= least_pocket_mm and (best is None or pocket > best.pocket_mm):
            best = Bridge(int(one), int(other), out, pocket)
    return best


def _pocket(flat: FloatArray, start: FloatArray, along: FloatArray, out: FloatArray, span: float) -> float:
    """Return how far the bone falls back behind an edge, where it does so most, in its middle half."""
    place, depth = (flat - start) @ along, -(flat - start) @ out
    bins = np.floor((place / span - 0.25) / 0.5 * 12).astype(int)
    depths = [depth[bins == b].min() for b in range(12) if (bins == b).any()]
    return float(max(depths, default=0.0))


def summit(points: FloatArray, start: FloatArray, out: FloatArray) -> FloatArray:
    """Return where a surface reaches farthest in a direction, by the curved surface that fits it about there.

    The outermost point of a rough surface is that of its noise; a fit to what lies about it (10 mm) is not.

    Parameters
    ----------
    points
        (N, 3) points of the surface.
    start
        (3,) its outermost point.
    out
        Unit.
    """
    near = points[np.linalg.norm(points - start, axis=1) < _ABOUT_MM]
    if len(near) < 12:
        return start
    u, v = perpendicular_axes(out)
    x, y, height = (near - start) @ u, (near - start) @ v, (near - start) @ out
    a = np.column_stack([np.ones(len(x)), x, y, 0.5 * x * x, x * y, 0.5 * y * y])
    c, slope_x, slope_y, xx, xy, yy = np.linalg.lstsq(a, height, rcond=None)[0]
    # Where the surface hardly curves the top stays near where it was found.
    bend, turn = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    step = turn @ (turn.T @ [slope_x, slope_y] / np.maximum(-bend, _LEAST_BEND))
    step *= min(1.0, 0.5 * _ABOUT_MM / max(float(np.linalg.norm(step)), 1e-9))
    top = float(
        np.array([1, *step, 0.5 * step[0] ** 2, step[0] * step[1], 0.5 * step[1] ** 2])
        @ [c, slope_x, slope_y, xx, xy, yy]
    )
    return np.asarray(start + step[0] * u + step[1] * v + top * out)


def notch(flat: FloatArray, bridge: Bridge) -> FloatArray:
    """Return the top of the pocket behind a line, in the middle between its walls, (2,) in the silhouette's plane."""
    start = flat[bridge.one]
    along = flat[bridge.other] - start
    span = float(np.linalg.norm(along))
    place, depth = (flat - start) @ (along / span), -(flat - start) @ bridge.out
    bins = np.floor(place / _STEP_MM).astype(int)
    count = int(span / _STEP_MM)
    # The lowest of the bone in each step along the line: the silhouette's own edge.
    edge = np.array([_lowest(depth[bins == b]) for b in range(count)])
    inner = np.arange(count // 5, count - count // 5)
    top = float(np.nanpercentile(edge[inner], 90))
    # Walls are steep about half the pocket's depth, so noise hardly moves them along the line; several levels even it out.
    middles = [between_walls(edge, inner, level * top) for level in _LEVELS]
    at = float(np.mean(middles)) * _STEP_MM
    return start + at / span * along - top * bridge.out


def _lowest(depth: FloatArray) -> float:
    """Return where a silhouette's edge lies in a step: the mean of a few, since the very lowest is that of the noise."""
    few = np.sort(depth)[:_FEW]
    return float(few.mean()) if len(few) else float("nan")


def between_walls(edge: FloatArray, inner: IntArray, level: float) -> float:
    """Return the middle between the two walls of a pocket (or a mound) at a depth (or height), in steps.

    Parameters
    ----------
    edge
        Depth at each step along the line.
    inner
        Steps in which the pocket lies; at one of them at least it is deeper than the level.
    """
    deep = inner[edge[inner] > level]
    low, high = int(deep[0]), int(deep[-1])

    def crossing(inside: int, outside: int) -> float:
        drop = edge[inside] - edge[outside]
        share = (edge[inside] - level) / drop if np.isfinite(drop) and drop > 0 else 0.5
        return inside + share * (outside - inside)

    return 0.5 * (crossing(low, low - 1) + crossing(high, high + 1)) + 0.5
