"""How much bone screws of one size have on many lines at once: what the last moves in a narrow pedicle go by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, unit_rows

from ..bone.depth_field import DepthField
from .safety import ANGLES, CAP_RINGS, STEP_MM, entry_zone_mm

#: The mean depth of this share of the screw's surface counts, the part nearest to the cortex. A surface found in an image has
#: errors of its own: where the least depth alone decides, the line is taken whose errors flatter it most.
_NEAREST_SHARE = 0.03
#: So many points are looked up at once.
_MOST_POINTS = 300_000
#: Rings of the wall that are looked at first: those whose axis lies least deep.
_RINGS = 28
#: Depth falls by no more than this a mm: by one between the grid's points, by a little more between lines of a grid.
_STEEPEST = 1.15


def nearest_count(points: int) -> int:
    """Return how many of a screw's surface points count as those nearest to the cortex."""
    return max(1, int(_NEAREST_SHARE * points))


def line_rooms(
    bone: DepthField,
    entries_ras: FloatArray,
    directions_ras: FloatArray,
    length_mm: float,
    diameter_mm: float,
    counted_from_mm: FloatArray,
    axis_depth_mm: FloatArray,
    axis_step_mm: float,
) -> FloatArray:
    """Return (N, 2) for screws of one size: the mean depth in mm of the part of their surface nearest to the cortex, and the least.

    The points are those of `safety.screw_surface`; all lines at once, as a screw's own few thousand points cost less than the calls.
    No point is less deep than the axis beside it by more than the screw's radius. So the rings with the least axis depth are looked at
    first, and the others only where they could hold one of the nearest points.

    Parameters
    ----------
    entries_ras, directions_ras
        (N, 3); the directions unit.
    counted_from_mm
        (N,) along each, as in `safety.assess_screw`.
    axis_depth_mm, axis_step_mm
        (N, S) depth along the axis from the entry on, and its steps.
    """
    # As `screw_surface` has them, to the last digit: how many steps there are hangs on it.
    arms = (entries_ras + length_mm * directions_ras) - entries_ras
    lengths = np.linalg.norm(arms, axis=1)
    start = np.minimum(np.minimum(entry_zone_mm(diameter_mm), lengths), np.maximum(counted_from_mm, 0.0))
    counts = np.maximum(2, np.ceil((lengths - start) / STEP_MM).astype(int) + 1)
    w = unit_rows(arms)
    u = unit_rows(np.cross(np.where(np.abs(w[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]]), w))
    angle = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    ring = diameter_mm / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    screws = _Screws(bone, entries_ras, w, np.stack([u, np.cross(w, u)], axis=1), ring)
    out = np.empty((len(entries_ras), 2))
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        nearest = nearest_count((int(count) + len(CAP_RINGS)) * ANGLES)
        along = start[rows, None] + np.arange(count) * ((lengths[rows, None] - start[rows, None]) / (count - 1))
        sample = np.clip(np.rint(along / axis_step_mm).astype(int), 0, axis_depth_mm.shape[1] - 1)
        off = np.abs(along - sample * axis_step_mm) + diameter_mm / 2
        least = np.take_along_axis(axis_depth_mm[rows], sample, axis=1) - _STEEPEST * off
        if count > 1.4 * _RINGS and nearest <= _RINGS * ANGLES:
            order = np.argpartition(least, _RINGS, axis=1)[:, : _RINGS + 1]
            first, other = order[:, :_RINGS], least[np.arange(len(rows)), order[:, _RINGS]]
            some = screws.nearest(rows, np.take_along_axis(along, first, axis=1), None, nearest)
            # The tip's disc lies within the last ring's bound.
            done = some[:, -1] < np.minimum(other, least[:, -1])
            out[rows[done]] = np.stack([some[done].mean(axis=1), some[done, 0]], axis=1)
            rows, along = rows[~done], along[~done]
        if len(rows):
            found = screws.nearest(rows, along, lengths[rows], nearest)
            out[rows] = np.stack([found.mean(axis=1), found[:, 0]], axis=1)
    return out


class _Screws:
    """Points on the surfaces of screws of one size."""

    def __init__(
        self, bone: DepthField, entries: FloatArray, axes: FloatArray, across: FloatArray, ring: FloatArray
    ) -> None:
        self._bone, self._entries, self._axes, self._across, self._ring = bone, entries, axes, across, ring

    def nearest(
        self, rows: NDArray[np.int_], along_mm: FloatArray, tips_mm: FloatArray | None, count: int
    ) -> FloatArray:
        """Return the `count` least depths (N, count) of rings of the wall (N, M along), rising, with the tip's disc where asked."""
        rings = np.concatenate([share * self._ring for share in CAP_RINGS])
        each = along_mm.shape[1] * ANGLES + len(rings)
        out = np.empty((len(rows), count))
        for part in np.array_split(np.arange(len(rows)), max(1, -(-len(rows) * each // _MOST_POINTS))):
            lines = rows[part]
            entry, axis, across = self._entries[lines, None], self._axes[lines, None], self._across[lines]
            wall = (entry + along_mm[part, :, None] * axis)[:, :, None] + (self._ring @ across)[:, None]
            points = wall.reshape(len(part), -1, 3)
            if tips_mm is not None:
                points = np.concatenate([points, entry + tips_mm[part, None, None] * axis + rings @ across], axis=1)
            depth = self._bone.depth_mm(points)
            out[part] = np.sort(np.partition(depth, count - 1, axis=1)[:, :count], axis=1)
        return out
