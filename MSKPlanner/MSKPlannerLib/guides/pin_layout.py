"""The outline of a guide for wires: discs round their entries, arms from each to a name plate where bone carries it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray

from .bars import BAR_MM
from .base import Footprint, Map, reachable_ground, strip_outline
from .body import Seat
from .field import smooth_min
from .options import GuideOptions
from .sleeve import Sleeve

#: Bone this much lower than the deepest entry is left alone.
DEEPEST_MM = 8.0
#: Width of the ribs as a share of the arms'.
_RIB_SHARE = 0.8
#: What is narrower than this and deeper than that is no ground.
_CLEFT_WIDE_MM, _CLEFT_DEEP_MM = 10.0, 2.0
#: The plate stands at least this far from a sleeve or a bar, and is looked for this far from amid the entries.
_PLATE_OFF_MM = 1.0
PLATE_REACH_MM = 18.0
#: What a mm farther away, and a mm less level, cost a place of the plate, in shares of bone under it.
_PER_MM, _PER_STEP = 0.015, 0.03
_LEAST_BONE = 0.4
#: A bar is looked at in so many places.
_ALONG_BAR = 12


def lay_over_bone(
    top: Map,
    blocked: Map,
    seat: Seat,
    sleeves: Sequence[Sleeve],
    half_uv: FloatArray,
    options: GuideOptions,
    name: str,
    bars: Sequence[tuple[FloatArray, FloatArray]] = (),
) -> Footprint:
    """Lay the outline of a pin guide.

    Parameters
    ----------
    top, blocked
        Heights a column, as `base.plan_footprint`.
    half_uv
        Half the size of the name plate.
    bars
        Ends of the bars between the sleeves, RAS mm: the plate stands clear of them as of the sleeves.

    Raises
    ------
    ProcessingError
        When no bone round the entries can be reached, or there is no place for the plate.
    """
    entries = [seat.local(s.entry_ras) for s in sleeves]
    step = seat.grid.spacing_mm
    # A cut that stands open, or a groove, is bridged: nothing of the guide hangs into it.
    open_top = np.where(_cleft(top, step), np.float32(-np.inf), top)
    ground = reachable_ground(open_top, blocked, min(e[2] for e in entries) - DEEPEST_MM, step, options)
    middle = _place_of_plate(ground.usable, top, seat, sleeves, bars, half_uv, name)
    arm = options.arm_width_mm / 2
    outline = _arms(entries, middle, seat, arm, max(arm, options.sleeve_diameter_mm / 2 + 1.5))
    rib = _arms(entries, middle, seat, arm * _RIB_SHARE, 0.0)
    no_crest = np.full(len(seat.v), -np.inf, dtype=np.float32)
    return Footprint(ground.within(outline, options), rib, ground.floor, no_crest, middle)


def _arms(entries: Sequence[FloatArray], middle: FloatArray, seat: Seat, half_width: float, radius: float) -> Map:
    """Return strips from every entry to the plate, and from entry to entry along the row."""
    arms = strip_outline(entries, middle, seat.u, seat.v, half_width, radius)
    for a, b in pairwise(_order(np.array(entries)[:, :2])):
        arms = smooth_min(arms, strip_outline([entries[a]], entries[b], seat.u, seat.v, half_width, radius), 4.0)
    return arms


def in_row(sleeves: Sequence[Sleeve]) -> list[tuple[Sleeve, Sleeve]]:
    """Return each sleeve with the next one along their row."""
    order = _order(np.array([s.entry_ras for s in sleeves]))
    return [(sleeves[a], sleeves[b]) for a, b in pairwise(order)]


def _order(places: FloatArray) -> list[int]:
    """Return the order of places (N, 2 or 3) along the line that fits them best."""
    if len(places) < 2:
        return list(range(len(places)))
    away = places - places.mean(axis=0)
    return [int(k) for k in np.argsort(away @ np.linalg.svd(away, full_matrices=False)[2][0])]


def _cleft(top: Map, step_mm: float) -> NDArray[np.bool_]:
    """Return the columns that lie deep between higher ones near them."""
    size = 2 * max(1, round(_CLEFT_WIDE_MM / 2 / step_mm)) + 1
    lowest = float(top[np.isfinite(top)].min(initial=0.0))
    filled = np.where(np.isfinite(top), top, lowest)
    return np.asarray(ndimage.grey_closing(filled, (size, size)) - filled > _CLEFT_DEEP_MM)


def _place_of_plate(
    usable: NDArray[np.bool_],
    top: Map,
    seat: Seat,
    sleeves: Sequence[Sleeve],
    bars: Sequence[tuple[FloatArray, FloatArray]],
    half_uv: FloatArray,
    name: str,
) -> FloatArray:
    """Return the (u, v, w) that has most bone under a plate, and level, clear of sleeves and bars and near amid them."""
    step = seat.grid.spacing_mm
    size = tuple(2 * max(1, round(float(h) / step)) + 1 for h in half_uv)
    share = ndimage.uniform_filter(usable.astype(np.float32), size, mode="constant")
    height = np.where(usable, top, np.nan)
    highest = ndimage.maximum_filter(np.where(usable, top, -np.inf), size)
    lowest = ndimage.minimum_filter(np.where(usable, top, np.inf), size)
    ends = np.array([seat.local(p) for s in sleeves for p in (s.entry_ras, s.at(s.length_mm / 2), s.end_ras)])
    amid = np.mean([seat.local(s.entry_ras) for s in sleeves], axis=0)
    away = np.hypot(seat.u[:, None] - amid[0], seat.v[None, :] - amid[1])
    score = share - _PER_MM * away - _PER_STEP * np.where(np.isfinite(highest - lowest), highest - lowest, 99.0)
    clear = away < PLATE_REACH_MM + float(np.linalg.norm(ends[:, :2] - amid[:2], axis=1).max())
    t = np.linspace(0.0, 1.0, _ALONG_BAR)[:, None]
    along = [seat.local(a + t * (b - a)) for a, b in bars]
    for p, radius_mm in [(p, sleeves[0].radius_mm) for p in ends] + [(p, BAR_MM) for bar in along for p in bar]:
        off = np.hypot(
            np.maximum(np.abs(seat.u - p[0]) - half_uv[0], 0.0)[:, None],
            np.maximum(np.abs(seat.v - p[1]) - half_uv[1], 0.0)[None, :],
        )
        clear &= off > radius_mm + _PLATE_OFF_MM
    clear &= (share > _LEAST_BONE) & np.isfinite(height)
    if not clear.any():
        raise ProcessingError(
            f"{name}: there is no bone for the name plate beside the sleeves; set the wires further apart, make the text "
            "smaller, or choose another insertion direction."
        )
    i, j = np.unravel_index(int(np.where(clear, score, -np.inf).argmax()), score.shape)
    return np.array([seat.u[i], seat.v[j], float(top[i, j])])
