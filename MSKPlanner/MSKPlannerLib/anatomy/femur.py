"""Landmarks of a femur found on its surface, in any pose; and the side it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, unit

from ..mesh import Mesh
from .bone_end import dense_points, principal_axis, smoothed, surface_points
from .condyles import deepest_bridge, notch, summit
from .sphere_fit import Ball, find_ball

#: Radii of femoral heads, children's included, mm.
_HEAD_RADIUS_MM = (13.0, 34.0)
#: A head shows at least this share of its ball.
_LEAST_SEEN = 0.5
#: How much of the bone's end holds the condyles, mm.
_END_MM = 60.0
#: Of the smoothing: outermost points of a rougher surface are those of its noise.
_PASS_BAND = 0.02
#: Slices of the neck up to so much wider than the narrowest one tell its axis together.
_NARROW = 1.05
#: Shorter pieces are not whole, mm.
_WHOLE_MM = 150.0


@dataclass(frozen=True, eq=False)
class FemurPoints:
    """What was found on a femur, RAS mm; None where the surface does not show it.

    Parameters
    ----------
    side
        "left" or "right", from where the head lies; None without a head.
    head
        The ball of the head.
    neck_centre
        Centre of the narrowest section of the neck.
    femoral_knee_centre
        Highest point of the notch in the frontal silhouette, as far forward as the middle of the distal condyles.
    distal_condyles, posterior_condyles
        (2, 3): medial first and lateral second; where the side is not known, in no order.
    not_found
        What is missing, and why.
    """

    side: str | None
    head: Ball | None
    neck_centre: FloatArray | None
    femoral_knee_centre: FloatArray | None
    distal_condyles: FloatArray | None
    posterior_condyles: FloatArray | None
    not_found: tuple[str, ...]


def find_femur_points(femur: Mesh, up_ras: ArrayLike | None = None) -> FemurPoints:
    """Return the landmarks that the surface of a femur shows.

    Parameters
    ----------
    femur
        Closed surface, RAS mm, in any pose, about 0.5 to 3 mm between its corners.
    up_ras
        Rough direction from knee to hip: needed where the hip is not in view, not used where it is.

    Raises
    ------
    InputError
        When the mesh is empty.
    GeometryError
        When no head can be told from a condyle and no direction is given.
    """
    if len(femur.faces) < 100:
        raise InputError("the surface has hardly any triangles", "Make it again.", where="femur")
    points, area = surface_points(femur)
    # Least squares want the surface as it is, outermost points want it without its noise.
    smooth = dense_points(smoothed(femur, _PASS_BAND))
    head, missing = _head(points, area)
    found, up = None, np.zeros(3)
    if head is not None:
        up = _long_axis(points, area, head)
        for _ in range(4):
            # The mechanical axis from what was found takes the place of the long axis.
            found = _condyles(smooth, up)
            if found is None:
                break
            up = unit(head.centre_ras - found[0])
        if found is None:
            # A condyle is as round as a head. Only the far end tells which it is.
            head, missing = None, ["hip centre, neck and side: the bone's other end shows no condyles"]
    if head is None:
        if up_ras is None:
            raise GeometryError(
                f"no femoral head can be told ({missing[0]})",
                "Give the direction from knee to hip, or a bone that is whole.",
                where="femur",
            )
        up = unit(np.asarray(up_ras, dtype=np.float64))
        found = _condyles(smooth, up)
    neck = None if head is None else neck_centre(points, area, head)
    if head is not None and neck is None:
        missing.append("neck centre: no narrow place beside the head")
    if found is None:
        missing.append("condyles and knee centre: no two condyles with a notch between them")
        return FemurPoints(None, head, neck, None, None, None, tuple(missing))
    knee, distal, posterior, front = found
    side = None
    if head is not None and neck is not None:
        # The head lies medially of its neck.
        across = unit(np.cross(front, up))  # to the patient's right
        side = "right" if (neck - head.centre_ras) @ across > 0 else "left"
        lateral = across if side == "right" else -across
        distal, posterior = (pair[np.argsort(pair @ lateral)] for pair in (distal, posterior))
    return FemurPoints(side, head, neck, knee, distal, posterior, tuple(missing))


def _head(points: FloatArray, area: FloatArray) -> tuple[Ball | None, list[str]]:
    """Return the ball of the head, or why there is none."""
    if np.ptp(points @ principal_axis(points, area)) < _WHOLE_MM:
        return None, [f"hip centre, neck and side: the bone is shorter than {_WHOLE_MM:g} mm"]
    ball = find_ball(points, area, _HEAD_RADIUS_MM)
    if ball is None or ball.seen_share < _LEAST_SEEN:
        seen = 0 if ball is None else round(100 * ball.seen_share)
        return None, [f"hip centre, neck and side: no ball is seen to {100 * _LEAST_SEEN:.0f} % (best {seen} %)"]
    return ball, []


def _long_axis(points: FloatArray, area: FloatArray, head: Ball) -> FloatArray:
    """Return the direction in which the bone is longest, towards its head."""
    axis = principal_axis(points, area)
    return axis if (head.centre_ras - np.average(points, axis=0, weights=area)) @ axis > 0 else -axis


def _condyles(points: FloatArray, up: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
    """Return knee centre, distal and posterior points and the direction to the front, for a given axis."""
    height = points @ up
    end = points[height < height.min() + _END_MM]
    u = unit(np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.8 else [0, 1.0, 0]))
    v = np.cross(up, u)
    back = deepest_bridge(np.column_stack([end @ u, end @ v]))
    if back is None:
        return None
    front = -(back.out[0] * u + back.out[1] * v)
    posterior = np.array([summit(end, end[n], -front) for n in (back.one, back.other)])
    line = posterior[1] - posterior[0]
    front = unit(front - (front @ line) / (line @ line) * line)
    across = np.cross(front, up)
    silhouette = np.column_stack([end @ across, end @ up])
    low = deepest_bridge(silhouette, facing=np.array([0.0, -1.0]))
    if low is None:
        return None
    distal = np.array([summit(end, end[n], -up) for n in (low.one, low.other)])
    # The silhouette does not say how far forward the notch counts: as far as the condyles beside it.
    x, z = notch(silhouette, low)
    knee = x * across + z * up + float(distal.mean(axis=0) @ front) * front
    return knee, distal, posterior, front


def neck_centre(points: FloatArray, area: FloatArray, head: Ball) -> FloatArray | None:
    """Return the middle of the narrowest slice across the neck.

    The axis of the neck runs from the head's centre through the middle of the slice; a few rounds settle it.
    """
    r, c = head.radius_mm, head.centre_ras
    near = np.linalg.norm(points - c, axis=1)
    shell = (near > 1.15 * r) & (near < 1.8 * r)
    if shell.sum() < 20:
        return None
    axis = unit(np.average(points[shell], axis=0, weights=area[shell]) - c)
    level = 0.0
    for _ in range(8):
        along = (points - c) @ axis
        off = np.linalg.norm(points - c - along[:, None] * axis, axis=1)
        slices = []
        for at in np.arange(0.7, 1.7, 0.05) * r:
            ring = (np.abs(along - at) < 0.08 * r) & (off < 1.3 * r)
            if ring.sum() < 12:
                continue
            # The mean distance from the slice's own middle stands for its width.
            middle = ring_middle(points[ring], axis)
            flat = points[ring] - middle
            width = float(np.linalg.norm(flat - (flat @ axis)[:, None] * axis, axis=1).mean())
            slices.append((width, float(at), middle + (c + at * axis - middle) @ axis * axis))
        if not slices:
            return None
        least, level, _ = min(slices, key=lambda s: s[0])
        # Slices that are as narrow but for noise say more of the axis together than one alone.
        axis = unit(np.sum([m - c for w, _, m in slices if w < _NARROW * least], axis=0))
    return np.asarray(c + level * axis)


def ring_middle(ring: FloatArray, axis: FloatArray) -> FloatArray:
    """Return the middle of a ring's extent in all directions across an axis: even where it is sampled unevenly."""
    u = unit(np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.8 else [0, 1.0, 0]))
    v = np.cross(axis, u)
    x, y = ring @ u, ring @ v
    angles = np.radians(np.arange(0, 180, 10))
    spread = np.outer(x, np.cos(angles)) + np.outer(y, np.sin(angles))
    mid = 0.5 * (spread.max(axis=0) + spread.min(axis=0))
    flat = np.linalg.lstsq(np.column_stack([np.cos(angles), np.sin(angles)]), mid, rcond=None)[0]
    return flat[0] * u + flat[1] * v + float((ring @ axis).mean()) * axis
