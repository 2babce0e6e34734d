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
_RINGS = 12
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
        each = max(1, _MOST_POINTS // ((int(count) + len(CAP_RINGS)) * ANGLES))
        for first in range(0, len(rows), each):
            part = slice(first, first + each)
            found = screws.nearest(rows[part], along[part], lengths[rows[part]], least[part], nearest)
            out[rows[part]] = np.stack([found.mean(axis=1), found[:, 0]], axis=1)
    return out


class _Screws:
    """Points on the surfaces of screws of one size, in the indices of the bone's grid."""

    def __init__(
        self, bone: DepthField, entries: FloatArray, axes: FloatArray, across: FloatArray, ring: FloatArray
    ) -> None:
        self._bone = bone
        to_grid = bone.directions_ras / bone.step_mm
        self._entries, self._axes, across = bone.to_ijk(entries), axes @ to_grid, across @ to_grid
        self._ring = ring @ across
        self._cap = np.concatenate([share * ring for share in CAP_RINGS]) @ across

    def nearest(
        self,
        rows: NDArray[np.int_],
        along_mm: FloatArray,
        tips_mm: FloatArray,
        least_mm: FloatArray,
        count: int,
    ) -> FloatArray:
        """Return the `count` least depths (N, count), rising, of rings of the wall (N, M along) and the tip's disc.

        Parameters
        ----------
        least_mm
            (N, M) what no point of a ring is less deep than.
        """
        few = max(_RINGS, -(-count // ANGLES))
        if few >= along_mm.shape[1]:
            wall = self._depths(rows, along_mm, self._ring)
            return self._sorted([wall, self._depths(rows, tips_mm[:, None], self._cap)], count)
        first = np.argpartition(least_mm, few - 1, axis=1)[:, :few]
        some = self._depths(rows, np.take_along_axis(along_mm, first, axis=1), self._ring)
        enough = np.partition(some, count - 1, axis=1)[:, count - 1]
        wanted = least_mm < enough[:, None]
        np.put_along_axis(wanted, first, False, axis=1)
        # The tip's disc lies within the last ring's bound.
        at_tip = np.flatnonzero(least_mm[:, -1] < enough)
        tips = np.full((len(rows), self._cap.shape[1]), np.inf)
        tips[at_tip] = self._depths(rows[at_tip], tips_mm[at_tip, None], self._cap)
        line, ring = np.nonzero(wanted)
        slot = np.arange(len(line)) - np.searchsorted(line, line)
        others = np.full((len(rows), int(slot.max(initial=-1)) + 1, ANGLES), np.inf)
        others[line, slot] = self._depths(rows[line], along_mm[line, ring][:, None], self._ring)
        return self._sorted([some, others.reshape(len(rows), -1), tips], count)

    @staticmethod
    def _sorted(depths: list[FloatArray], count: int) -> FloatArray:
        return np.sort(np.partition(np.concatenate(depths, axis=1), count - 1, axis=1)[:, :count], axis=1)

    def _depths(self, rows: NDArray[np.int_], along_mm: FloatArray, around: FloatArray) -> FloatArray:
        """Return the depths (N, M * A) of places (N, M) along some lines, each with points round it (lines, A, 3)."""
        entry, axis, ring = self._entries[rows], self._axes[rows], around[rows]
        places = np.empty((3, *along_mm.shape, ring.shape[1]), dtype=np.float32)
        for n in range(3):
            middle = entry[:, n, None] + along_mm * axis[:, n, None]
            np.add(middle[:, :, None], ring[:, None, :, n], out=places[n], casting="same_kind")
        return self._bone.depth_at(*places).reshape(len(rows), along_mm.shape[1] * ring.shape[1])
