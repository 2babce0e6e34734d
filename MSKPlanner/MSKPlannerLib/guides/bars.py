"""Bars between the sleeves of a guide, away from the bone: they join its parts where the bone gives no ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MSKFusionLib.frames import FloatArray

from .body import Seat
from .field import Distance, Field, rod_field
from .options import GuideOptions
from .sleeve import Sleeve

#: A bar stands at one of these shares of its sleeves' length, the lowest at which bone leaves it free.
_BAR_AT = (0.45, 0.55, 0.65, 0.75, 0.85)
#: Radius of a bar.
BAR_MM = 3.5
#: Bone is looked for so far outward of a bar: it has to come off.
_WAY_OFF_MM = (0.0, 3.0, 8.0, 15.0, 25.0)


def bar_between(
    a: Sleeve, b: Sleeve, bones: Sequence[Distance], outward_ras: FloatArray, options: GuideOptions
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of a bar between two sleeves, RAS mm: as near to the bone as it and its way off are free of it."""
    t = np.linspace(0.0, 1.0, 60)[:, None]
    for share in _BAR_AT:
        one, other = a.at(share * a.length_mm), b.at(share * b.length_mm)
        line = one + t * (other - one)
        points = np.concatenate([line + way * outward_ras for way in _WAY_OFF_MM])
        free = min(float(bone.distance_mm(points).min()) for bone in bones)
        if free > BAR_MM + max(options.fit_clearance_mm, options.neighbour_clearance_mm):
            break
    return one, other


def bars_field(seat: Seat, ends: Sequence[tuple[FloatArray, FloatArray]]) -> Field:
    """Return the field of bars between ends (RAS mm) on the grid of a seat."""
    u, v, w = seat.u[:, None, None], seat.v[None, :, None], seat.w[None, None, :]
    return np.minimum.reduce([rod_field(seat.local(a), seat.local(b), BAR_MM, u, v, w) for a, b in ends])
