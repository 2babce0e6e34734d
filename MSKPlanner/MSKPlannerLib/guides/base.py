"""Where a guide touches the bone, seen along the insertion direction: lamina, base and sides of the spinous process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray

from .field import smooth_max, smooth_min
from .options import GuideOptions

Map = NDArray[np.float32]
#: Bone deeper than this below the deeper entry (facet joints, transverse processes, the canal's front wall) is left alone.
_DEEPEST_MM = 6.0
#: A midline this much higher than the bone beside it is a spinous process with a crest to keep clear of.
_PROMINENT_MM = 8.0
_CREST_MM = 5.0
#: Width of the rib as a share of the bridge's.
_RIB_SHARE = 0.6
#: Half width of the strip in which the midline is looked for.
_MIDLINE_MM = 8.0


@dataclass(frozen=True, eq=False)
class Footprint:
    """The guide's outline seen from outside, as maps (U, V) over the grid's columns.

    Parameters
    ----------
    outline
        Distance-like, negative where the contact shell may stand.
    rib
        The same for the rib that joins sleeves and bridge whether bone is under it or not.
    floor_w
        Height that the guide may not go below: the bone's top, or the nearest bone's where there is none.
    crest_w
        (V,) height of the midline a row; -inf where there is no crest to keep clear of.
    middle
        (u, v, w) of the bone's top in the middle of the bridge.
    """

    outline: Map
    rib: Map
    floor_w: Map
    crest_w: NDArray[np.float32]
    middle: FloatArray


def column_tops(values: NDArray[np.float32], level: float, w: FloatArray) -> Map:
    """Return the greatest height a column at which `values` is below `level`; -inf where it never is."""
    below = values < level
    last = values.shape[2] - 1 - np.argmax(below[..., ::-1], axis=2)
    return np.where(below.any(axis=2), w[last], -np.inf).astype(np.float32)


def plan_footprint(
    top: Map,
    blocked: Map,
    entries_uvw: Sequence[FloatArray],
    u: FloatArray,
    v: FloatArray,
    spacing_mm: float,
    options: GuideOptions,
) -> Footprint:
    """Lay the guide's outline over bone that can be reached.

    Parameters
    ----------
    top
        Height of the bone a column, -inf without bone.
    blocked
        Height of the neighbouring bones with their clearance a column, -inf without.
    entries_uvw
        Entries of the sleeves in the grid's frame.
    u, v
        Coordinates of the columns.

    Raises
    ------
    ProcessingError
        When no reachable bone lies between the entries.
    """
    deepest = min(e[2] for e in entries_uvw) - _DEEPEST_MM
    ground = reachable_ground(top, blocked, deepest, spacing_mm, options)
    middle = _middle_of_bridge(top, ground.usable, entries_uvw, u, v, options)
    outline = strip_outline(entries_uvw, middle, u, v, options.arm_width_mm / 2, options.sleeve_diameter_mm / 2 + 1.5)
    rib = strip_outline(entries_uvw, middle, u, v, options.arm_width_mm * _RIB_SHARE / 2, 0.0)
    crest = _crest(top, ground.usable, middle, u)
    return Footprint(ground.within(outline, options), rib, ground.floor, crest, middle)


@dataclass(frozen=True, eq=False)
class Ground:
    """Where a guide may stand, as maps: whether it can be reached, mm to the edge of that (positive inside), its floor."""

    usable: NDArray[np.bool_]
    to_edge: Map
    floor: Map

    def within(self, outline: Map, options: GuideOptions) -> Map:
        """Return an outline that ends the margin inside the ground's edge."""
        return smooth_max(outline, np.float32(options.edge_margin_mm) - self.to_edge, 1.0)


def reachable_ground(top: Map, blocked: Map, deepest: float, spacing_mm: float, options: GuideOptions) -> Ground:
    """Return the ground above a height; maps as `plan_footprint`.

    Raises
    ------
    ProcessingError
        When there is none.
    """
    bone = top > deepest
    usable = bone & (blocked <= top + options.fit_clearance_mm)
    # Specks of bone seen through a gap are no ground to stand on.
    usable = ndimage.binary_opening(usable, iterations=max(1, round(0.8 / spacing_mm)))
    if not usable.any():
        raise ProcessingError(
            "No bone around the entries can be reached from behind; a neighbouring bone is in the way."
        )
    inside = ndimage.distance_transform_edt(usable, sampling=spacing_mm)
    nearest: NDArray[np.int64]
    outside, nearest = ndimage.distance_transform_edt(~usable, sampling=spacing_mm, return_indices=True)
    # The mask's steps would show as a saw in the guide's rim.
    to_edge = ndimage.gaussian_filter((inside - outside).astype(np.float32), 1.0 / spacing_mm)
    beyond = ndimage.gaussian_filter(top[tuple(nearest)], 1.0 / spacing_mm)
    floor = np.where(bone, np.minimum(top, beyond), beyond).astype(np.float32)
    return Ground(usable, to_edge, floor)


def _middle_of_bridge(
    top: Map,
    usable: NDArray[np.bool_],
    entries_uvw: Sequence[FloatArray],
    u: FloatArray,
    v: FloatArray,
    options: GuideOptions,
) -> FloatArray:
    """Return the place on the midline where a bridge finds most bone on both sides of the spinous process."""
    strip = np.abs(u) < _MIDLINE_MM
    share = usable[strip].mean(axis=0)
    half = max(1, round(options.arm_width_mm / 2 / float(v[1] - v[0])))
    window = np.convolve(share, np.ones(2 * half + 1) / (2 * half + 1), mode="same")
    # Of places with like amounts of bone, the one nearest to the entries makes the stiffest bridge.
    entry_v = float(np.mean([e[1] for e in entries_uvw]))
    score = window - 0.004 * np.abs(v - entry_v) - np.where(np.abs(v - entry_v) > 25.0, 1.0, 0.0)
    row = int(score.argmax())
    if window[row] < 0.3:
        raise ProcessingError(
            "There is too little reachable bone on the midline for a bridge; a neighbouring spinous process covers it."
        )
    rows = slice(max(0, row - half), row + half + 1)
    heights = np.where(usable[:, rows] & strip[:, None], top[:, rows], -np.inf)
    height = heights.max(axis=0)
    found = np.isfinite(height)
    at_u = float(np.median(u[heights.argmax(axis=0)[found]]))
    return np.array([at_u, v[row], float(np.median(height[found]))])


def off_line(places: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return how far places (..., 2) lie from the line between two others (2,)."""
    t = np.clip((places - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-9), 0, 1)
    return np.asarray(np.linalg.norm(places - a - t[..., None] * (b - a), axis=-1))


def strip_outline(
    entries: Sequence[FloatArray], middle: FloatArray, u: FloatArray, v: FloatArray, half_width: float, radius: float
) -> Map:
    """Return the outline of discs around the entries and of a strip from each over the middle."""
    p = np.stack(np.broadcast_arrays(u[:, None], v[None, :]), axis=-1)
    result = np.full(p.shape[:2], np.float32(1e3))
    for e in entries:
        a, b = np.asarray(e[:2]), np.asarray(middle[:2])
        strip = off_line(p, a, b) - half_width
        disc = np.linalg.norm(p - a, axis=-1) - radius
        result = smooth_min(result, np.minimum(strip, disc).astype(np.float32), 4.0)
    return result


def _crest(top: Map, usable: NDArray[np.bool_], middle: FloatArray, u: FloatArray) -> NDArray[np.float32]:
    strip = np.abs(u - middle[0]) < 6.0
    beside = (np.abs(u - middle[0]) > 7.0) & (np.abs(u - middle[0]) < 12.0)
    crest = np.where(usable[strip], top[strip], -np.inf).max(axis=0)
    ground = np.where(usable[beside], top[beside], np.nan)
    counted = np.isfinite(ground).sum(axis=0)
    level = np.nansum(ground, axis=0) / np.maximum(counted, 1)
    prominent = np.isfinite(crest) & (counted > 0) & (crest - level > _PROMINENT_MM)
    if not prominent.any():
        return np.full(len(crest), -np.inf, dtype=np.float32)
    rows = np.arange(len(crest))
    smooth = ndimage.gaussian_filter1d(np.interp(rows, rows[prominent], crest[prominent]), 2.0)
    return np.where(prominent, smooth, -np.inf).astype(np.float32)


#: The edges of the spinous process are ridges a few mm thick, where a segmentation is least sure of the surface (up to
#: half a millimetre too low on generated patients): the guide keeps off them in the midline.
_RIDGE_MM, _RIDGE_END_MM, _RIDGE_RELIEF_MM = 1.5, 3.0, 0.5


def wished_gap(footprint: Footprint, w: FloatArray, u: FloatArray, options: GuideOptions) -> NDArray[np.float32]:
    """Return the wished gap to the bone on the grid: the fit clearance, more over the crest and the edges of the spinous process."""
    gap = np.full((len(u), len(footprint.crest_w), len(w)), options.fit_clearance_mm, dtype=np.float32)
    if options.ligament_relief_mm <= 0:
        return gap
    prominent = np.isfinite(footprint.crest_w)
    over = w[None, :] - (footprint.crest_w[:, None] - _CREST_MM)
    t = np.where(prominent[:, None], np.clip(np.where(prominent[:, None], over, 0.0) / 3.0, 0, 1), 0.0)
    relief = options.ligament_relief_mm * t * t * (3 - 2 * t)
    relief = ndimage.gaussian_filter1d(relief, 1.5 / float(w[1] - w[0]), axis=0)
    fading = np.clip((14.0 - np.abs(u - footprint.middle[0])) / 3.0, 0, 1)
    gap += (fading[:, None, None] * relief).astype(np.float32)
    beside = np.abs(u - footprint.middle[0])
    ridge = np.clip((_RIDGE_END_MM - beside) / (_RIDGE_END_MM - _RIDGE_MM), 0, 1) * _RIDGE_RELIEF_MM
    return np.maximum(gap, options.fit_clearance_mm + ridge[:, None, None].astype(np.float32))
