"""How far a guide could slide and rock under its contact: the play that a small gap leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from .field import Distance

#: The gap for which the play is told.
GAP_MM = 0.1
#: Contact points that are looked at; more change the figures by little.
_POINTS = 400
#: Directions tried across the insertion, half a turn of them (the other half mirrors it).
_DIRECTIONS = 8


@dataclass(frozen=True)
class Stability:
    """The greatest motions that change the gap nowhere on the contact by more than 0.1 mm.

    Parameters
    ----------
    slide_mm
        Across the insertion direction, in whichever way is easiest, at the middle of the contact.
    turn_deg
        About the insertion direction.
    rock_deg
        About an axis across it.
    """

    slide_mm: float
    turn_deg: float
    rock_deg: float


#: The play of what no contact holds.
_FREE = Stability(10.0, 45.0, 45.0)


def stability_on(bone: Distance, points_ras: FloatArray, insertion_ras: FloatArray) -> Stability:
    """Measure the play of a contact (N, 3), mm, on a bone, whose normals are taken there; see `stability`."""
    if not len(points_ras):
        return _FREE
    return stability(points_ras, bone.distance_and_gradient(points_ras)[1], insertion_ras)


def stability(points_ras: FloatArray, normals_ras: FloatArray, insertion_ras: FloatArray) -> Stability:
    """Measure the play of a contact by linear programmes over small motions (translation and rotation together).

    A small motion t + w x r changes the gap at a point by its component along the normal there; the contact allows those
    that change it by at most 0.1 mm everywhere. The sphere or the cylinder that could turn for ever is bounded at 10 mm
    and 45 degrees. After the geometrically stable contact of Gelfand et al. 2003 (doi 10.1109/IM.2003.1240258), with the
    greatest change in place of the mean.

    Parameters
    ----------
    points_ras, normals_ras
        (N, 3) places of the contact, mm, and unit normals of the bone there.
    insertion_ras
        The direction it is put on along.
    """
    if len(points_ras) < 6:
        return _FREE
    keep = np.unique(np.linspace(0, len(points_ras) - 1, _POINTS).astype(int))
    p = points_ras[keep] - points_ras.mean(axis=0)
    n = normals_ras[keep]
    size = float(np.abs(p).max())
    # Rotations as the way they move the contact's edge: all six unknowns are mm.
    rows = np.concatenate([n, np.cross(p, n) / size], axis=1)
    a = np.concatenate([rows, -rows])
    limits = [(-10.0, 10.0)] * 3 + [(-size * np.pi / 4, size * np.pi / 4)] * 3
    w = unit(insertion_ras)
    u, v = perpendicular_axes(w)

    def most(goal: FloatArray) -> float:
        found = linprog(-goal, A_ub=a, b_ub=np.full(len(a), GAP_MM), bounds=limits, method="highs")
        return float(-found.fun) if found.status == 0 else float("inf")

    turns = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    across = [np.cos(t) * u + np.sin(t) * v for t in turns]
    none = np.zeros(3)
    slide = max(most(np.concatenate([d, none])) for d in across)
    rock = max(most(np.concatenate([none, d])) for d in across)
    turn = most(np.concatenate([none, w]))
    return Stability(slide, float(np.degrees(turn / size)), float(np.degrees(rock / size)))
