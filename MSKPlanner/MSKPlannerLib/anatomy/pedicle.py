"""The pedicle of a vertebra: its narrowest place, found on the depth field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MSKFusionLib.frames import FloatArray, transform_points, unit

from ..bone.depth_field import DepthField

_STEP_MM = 0.75
#: How far beside the midline, and below and above the body's middle, a pedicle is looked for.
_REACH_SIDE_MM = 34.0
_REACH_DOWN_MM, _REACH_UP_MM = 14.0, 22.0
#: A pedicle's course is looked for so far behind and before its isthmus, which of a wide one may lie within the body's back.
_COURSE_MM, _COURSE_STEP_MM = (-8.0, 4.0), 0.5
#: Where it is taller than at its lowest by this, something has joined it; fewer planes than this tell no course.
_MOST_TALLER, _LEAST_PLANES = 1.15, 6


@dataclass(frozen=True, eq=False)
class Pedicle:
    """The narrowest place (isthmus) of one pedicle.

    Parameters
    ----------
    centre_ras
        The point of the isthmus that is farthest from the cortex.
    axis_ras
        Unit direction of the pedicle there, from back to front.
    width_mm
        Least width of the section across the axis, about right-left.
    height_mm
        Its extent at right angles to the width.
    inscribed_mm
        Diameter of the largest sphere that passes the isthmus.
    """

    centre_ras: FloatArray
    axis_ras: FloatArray
    width_mm: float
    height_mm: float
    inscribed_mm: float


def find_pedicle(
    bone: DepthField, frame_to_ras: FloatArray, sign: float, body_back: float, canal_width: float, canal_depth: float
) -> Pedicle | None:
    """Return the isthmus of the pedicle on one side, None where no bone joins arch and body there.

    In each coronal plane beside the canal the deepest point of the bone is looked for; the pedicle's isthmus is the
    plane where that depth is least: what limits a round body on its way from the arch into the vertebral body.

    Parameters
    ----------
    frame_to_ras
        4x4 from the vertebra's frame (x right, y anterior, z superior; origin in the body's centre).
    sign
        +1 for the right, -1 for the left.
    body_back
        Frame y of the body's back wall at the midline.
    canal_width, canal_depth
        Of the open canal, mm.
    """
    # Farther back than the middle of the canal lies the arch, whose isthmus (the pars) may be thinner than the pedicle.
    ys = np.arange(body_back - max(6.0, 0.5 * canal_depth), body_back + 2.5, _STEP_MM)
    # The medial wall of a pedicle lies at the canal's edge; nothing nearer to the midline than half of that belongs to it.
    xs = np.arange(max(4.0, 0.3 * canal_width), _REACH_SIDE_MM, _STEP_MM) * sign
    zs = np.arange(-_REACH_DOWN_MM, _REACH_UP_MM, _STEP_MM)
    y, x, z = np.meshgrid(ys, xs, zs, indexing="ij")
    depth = bone.depth_mm(transform_points(frame_to_ras, np.stack([x, y, z], axis=-1)))
    track = _track(depth)
    deepest = np.array([depth[n, i, j] for n, (i, j) in enumerate(track)])
    low = deepest.min()
    if low <= 0.2:
        return None
    # A pedicle of even width has no single narrowest plane: the middle of the flat stretch is taken.
    start = int(deepest.argmin())
    flat = deepest <= low + 0.3
    runs, _ = ndimage.label(flat)
    n = round(float(np.flatnonzero(runs == runs[start]).mean()))
    line = np.array([[xs[i], ys[m], zs[j]] for m, (i, j) in enumerate(track) if abs(ys[m] - ys[n]) <= 4.0])
    slope_x, slope_z = (np.polyfit(line[:, 1], line[:, c], 1)[0] for c in (0, 2))
    axis = unit(frame_to_ras[:3, :3] @ np.array([np.clip(slope_x, -1, 1), 1.0, np.clip(slope_z, -0.6, 0.6)]))
    centre = transform_points(frame_to_ras, np.array([xs[track[n][0]], ys[n], zs[track[n][1]]]))
    return _measure(bone, np.asarray(centre), axis, frame_to_ras[:3, 0] * sign)


def sagittal_course_deg(bone: DepthField, frame_to_ras: FloatArray, pedicle: Pedicle) -> float | None:
    """Return by how many degrees a pedicle rises forwards in the vertebra's frame, None where it has no borders to tell it by.

    The middle between its upper and lower border is followed. The deepest points, which `Pedicle.axis_ras` goes by, say little
    here: a tall pedicle is about as deep over half its height.
    """
    to_frame = np.linalg.inv(frame_to_ras)
    centre, axis = transform_points(to_frame, pedicle.centre_ras), to_frame[:3, :3] @ pedicle.axis_ras
    along = np.arange(_COURSE_MM[0], _COURSE_MM[1] + 1e-6, _COURSE_STEP_MM)
    found = {}
    for y in along:
        # Aside it goes with the deepest points: there the transverse process would draw the middle outwards.
        found[y] = _upright(bone, frame_to_ras, centre + np.array([axis[0] / max(axis[1], 0.5) * y, y, 0.0]))
    heights = np.array([length for _, length in found.values()])
    if not (heights > 0).any():
        return None
    # Behind and before, articular process, pars and endplates join it: there it is taller at once.
    low = np.where(heights > 0, heights, np.inf)
    slim = low <= _MOST_TALLER * low.min()
    runs, _ = ndimage.label(slim)
    kept = runs == runs[int(low.argmin())]
    places = np.array([(y, middle) for (y, (middle, _)), keep in zip(found.items(), kept, strict=True) if keep])
    if len(places) < _LEAST_PLANES:
        return None
    return float(np.degrees(np.arctan(np.polyfit(places[:, 0], places[:, 1], 1)[0])))


def _upright(bone: DepthField, frame_to_ras: FloatArray, point: FloatArray) -> tuple[float, float]:
    """Return the middle height, in the frame, of the bone above and below one of its points, and its extent; 0 where it has no end."""
    t = np.arange(0.0, 20.0, 0.25)
    ends = []
    for sign in (-1.0, 1.0):
        depth = bone.depth_mm(transform_points(frame_to_ras, point + (sign * t)[:, None] * np.array([0.0, 0.0, 1.0])))
        outside = np.flatnonzero(depth < 0)
        if len(outside) == 0 or outside[0] == 0:
            return 0.0, 0.0
        i = int(outside[0])
        ends.append(sign * float(t[i - 1] + 0.25 * depth[i - 1] / (depth[i - 1] - depth[i])))
    return float(point[2] + 0.5 * (ends[0] + ends[1])), ends[1] - ends[0]


def _track(depth: FloatArray) -> list[tuple[int, int]]:
    """Return for each plane (first axis, back to front) the deepest point (i, j) of the strand that joins back and front.

    The strand is what lies on the way with the widest narrowest place (by dynamic programming from both ends). Taking
    the deepest point of each plane instead would lose a thin pedicle against the processes beside it.
    """
    forward, backward = depth.copy(), depth.copy()
    for n in range(1, len(depth)):
        forward[n] = np.minimum(depth[n], ndimage.maximum_filter(forward[n - 1], size=5))
        backward[-1 - n] = np.minimum(depth[-1 - n], ndimage.maximum_filter(backward[-n], size=5))
    through = np.minimum(forward, backward)
    on_strand = through >= through[0].max() - 1e-6
    places = [int(np.where(keep, plane, -np.inf).argmax()) for plane, keep in zip(depth, on_strand, strict=True)]
    return [(place // depth.shape[2], place % depth.shape[2]) for place in places]


def _measure(bone: DepthField, centre: FloatArray, axis: FloatArray, lateral: FloatArray) -> Pedicle | None:
    """Refine the centre in the section across the axis, and measure the section."""
    across = unit(lateral - (lateral @ axis) * axis)
    up = np.cross(across, axis)
    grid = np.arange(-3.0, 3.01, 0.25)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    section = centre + a[..., None] * across + b[..., None] * up
    depth = bone.depth_mm(section)
    best = np.unravel_index(int(depth.argmax()), depth.shape)
    centre = section[best]
    angles = np.radians(np.arange(-40, 41, 5))
    chords = [_chord(bone, centre, np.cos(t) * across + np.sin(t) * up) for t in angles]
    narrow = int(np.argmin(chords))
    t = angles[narrow]
    height = _chord(bone, centre, np.cos(t) * up - np.sin(t) * across)
    if chords[narrow] <= 0:
        return None
    return Pedicle(centre, axis, float(chords[narrow]), height, float(2 * depth[best]))


def _chord(bone: DepthField, centre: FloatArray, direction: FloatArray) -> float:
    """Return the length of the bone through a point along a direction, mm."""
    t = np.arange(0.0, 20.0, 0.25)
    total = 0.0
    for sign in (-1.0, 1.0):
        depth = bone.depth_mm(centre + (sign * t)[:, None] * direction)
        outside = np.flatnonzero(depth < 0)
        if len(outside) == 0:
            total += float(t[-1])
        elif outside[0] > 0:
            i = int(outside[0])
            total += float(t[i - 1] + 0.25 * depth[i - 1] / (depth[i - 1] - depth[i]))
    return total
