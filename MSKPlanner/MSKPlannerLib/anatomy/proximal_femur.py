"""The frame of a hip's femur from what a CT of the hip shows of it: head, neck, upper shaft, lesser trochanter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal
from scipy.spatial import cKDTree

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit, unit_rows

from ..mesh import Mesh
from .bone_end import principal_axis, surface_points
from .femur import neck_centre, ring_middle
from .sphere_fit import Ball, find_ball

#: What a user may place instead of what is found.
LANDMARKS = ("head_centre", "neck_centre", "shaft_proximal", "shaft_distal", "lesser_trochanter")
_HEAD_RADIUS_MM = (16.0, 34.0)
#: Larger heads are rare; where nothing else fits either, it is none.
_LARGE_HEAD_MM = 30.0
#: A head shows at least this share of its ball: a bone that has grown together with its socket does not.
_LEAST_SEEN = 0.5
#: The part of a femur that is looked at, from its top, mm.
_TOP_MM = 190.0
#: The shaft's axis is that of the slices between these distances below the head, in radii of the head; below the lesser
#: trochanter and above the bow. So much of it is needed, mm.
_SHAFT_R, _SHAFT_LEAST_MM = (3.4, 6.0), 16.0
#: The neck lies so far from the head's centre, in radii; lines through it within so much of the widest are as wide.
_NECK_R, _AS_WIDE_MM = (0.8, 1.55), 0.2
#: What a neck looks like: its angle with the shaft, the head's distance from the shaft's axis, its width against the head's.
_NECK_SHAFT_DEG, _OFFSET_MM, _NECK_TO_HEAD = (100.0, 160.0), (20.0, 75.0), (0.35, 0.95)
#: The lesser trochanter is looked for so far below the head (in radii) and so far round the shaft from the head towards
#: posterior; it stands out of the shaft by so much, over so many neighbouring directions of 6 degrees.
_LESSER_R, _LESSER_DEG, _LESSER_STANDS_MM, _LESSER_WIDE = (1.2, 3.9), (0.0, 130.0), 1.5, 3
#: A placed one lies no farther from the surface.
_LESSER_OFF_MM = 10.0
#: Head and trochanter of one femur lie on its medial side: a smaller share across the patient tells nothing.
_LEAST_ACROSS = 0.4


@dataclass(frozen=True, eq=False)
class ProximalFemur:
    """Places and directions of the upper end of a femur, RAS mm.

    Parameters
    ----------
    head
        The ball of the head.
    neck_centre_ras
        Middle of the neck's narrowest section.
    neck_axis_ras
        Unit, from the shaft into the head.
    up_ras
        Unit, along the shaft's axis, proximal.
    shaft_ras
        A point of the shaft's axis.
    anterior_ras
        Unit, across neck and shaft, to the front.
    lesser_trochanter_ras
        Its most prominent point.
    placed
        What the user placed.
    """

    side: str
    head: Ball
    neck_centre_ras: FloatArray
    neck_axis_ras: FloatArray
    up_ras: FloatArray
    shaft_ras: FloatArray
    anterior_ras: FloatArray
    lesser_trochanter_ras: FloatArray
    placed: tuple[str, ...] = ()

    @property
    def neck_shaft_deg(self) -> float:
        """The angle between neck and shaft."""
        return float(np.degrees(np.arccos(np.clip(-self.neck_axis_ras @ self.up_ras, -1, 1))))

    @property
    def lateral_ras(self) -> FloatArray:
        """Unit, out of the bone on the side of the greater trochanter, across the shaft."""
        outwards = -self.neck_axis_ras
        return unit(outwards - (outwards @ self.up_ras) * self.up_ras)

    @property
    def axes_ras(self) -> FloatArray:
        """Right, anterior and superior of the bone as columns: what directions are named by."""
        right = self.lateral_ras if self.side == "right" else -self.lateral_ras
        return np.stack([right, self.anterior_ras, self.up_ras], axis=1)

    def above_lesser_trochanter_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return how far (...,) points lie above the level of the lesser trochanter, along the shaft."""
        return np.asarray((points_ras - self.lesser_trochanter_ras) @ self.up_ras)


def proximal_femur(
    surface: Mesh, side: str, placed: Mapping[str, FloatArray] | None = None, where: str = "femur"
) -> ProximalFemur:
    """Find the frame of the upper end of a femur.

    The head is the ball that its surface shows most of, the neck's axis runs from its centre through the middle of the
    narrowest slice beside it, the shaft's axis through the slices below the lesser trochanter, and this is what stands
    farthest out of the shaft behind and medially. Head, neck and shaft have to lie as they do in a femur.

    Parameters
    ----------
    surface
        Closed surface in the patient's RAS mm, 1 to 2 mm between its corners, at least from the head to 90 mm below it.
    side
        ``left`` or ``right``: which femur it is called; its shape and pose must agree.
    placed
        Points (3,) of `LANDMARKS` that the user placed: they take the place of what is found.

    Raises
    ------
    InputError
        When a landmark is not known, or half of the shaft's axis is placed.
    GeometryError
        When a part is missing or looks unlike a femur; the message says which, and what to place.
    """
    given = dict(placed or {})
    unknown = [name for name in given if name not in LANDMARKS]
    if unknown:
        raise InputError(f"'{unknown[0]}' is no landmark of a hip", f"There are: {', '.join(LANDMARKS)}.", where=where)
    points, area = surface_points(surface)
    top = points[:, 2] > points[:, 2].max() - _TOP_MM
    points, area = points[top], area[top]
    _near_the_bone(points, given, where)
    head = _head(points, area, given.get("head_centre"), where)
    neck = given.get("neck_centre")
    if neck is None:
        neck = neck_centre(points, area, head)
        if neck is None:
            raise GeometryError("no neck is narrower than the head beside it", "Place 'neck_centre'.", where=where)
        neck = _within_neck(points, head, neck)
    axis = unit(head.centre_ras - neck)
    shaft, up = _shaft(points, area, head, given, where)
    _looks_like_a_femur(points, head, neck, axis, shaft, up, where)
    across = float(unit(axis - (axis @ up) * up)[0])
    if abs(across) < _LEAST_ACROSS:
        raise GeometryError(
            "the head lies neither to the left nor to the right of its shaft",
            "The hip is turned too far: check the image's orientation.",
            where=where,
        )
    # The head lies medially: of a right femur to the left of its shaft.
    if (across < 0) != (side == "right"):
        raise GeometryError(
            f"this is not a {side} femur: its head points away from the midline",
            "Left and right are swapped: name the segments anew.",
            where=where,
        )
    medial = unit(axis - (axis @ up) * up)
    right = -medial if side == "right" else medial
    anterior = np.cross(up, right)
    lesser = given.get("lesser_trochanter")
    if lesser is None:
        lesser = _lesser_trochanter(points, head, shaft, up, medial, -anterior)
    if lesser is None:
        raise GeometryError(
            "the lesser trochanter cannot be told", "Place 'lesser_trochanter' on its tip.", where=where
        )
    return ProximalFemur(
        side, head, np.asarray(neck), axis, up, shaft, np.asarray(anterior), np.asarray(lesser), tuple(sorted(given))
    )


def _near_the_bone(points: FloatArray, given: Mapping[str, FloatArray], where: str) -> None:
    """Refuse points that lie where this femur is not: of the other side, or of another image."""
    if not given:
        return
    tree = cKDTree(points)
    for name, point in given.items():
        off = float(tree.query(point)[0])
        if off > (_LESSER_OFF_MM if name == "lesser_trochanter" else _HEAD_RADIUS_MM[1]):
            raise GeometryError(
                f"'{name}' lies {off:.0f} mm from the surface of this femur",
                "Say --side, and place it again.",
                where=where,
            )


def _head(points: FloatArray, area: FloatArray, centre: FloatArray | None, where: str) -> Ball:
    """Return the ball of the head; about a placed centre the radius is that of the surface nearest to it."""
    if centre is not None:
        away = np.linalg.norm(points - centre, axis=1)
        radius = float(np.quantile(away, 0.002))
        near = away[away < radius + 6.0]
        if not _HEAD_RADIUS_MM[0] <= radius <= _HEAD_RADIUS_MM[1]:
            raise GeometryError(
                f"'head_centre' lies {radius:.0f} mm from the surface",
                "Place it in the middle of the head.",
                where=where,
            )
        radius = float(np.median(near[near < radius + 3.0]))
        return Ball(np.asarray(centre), radius, 1.0, float(np.std(near)))
    high = points[:, 2] > points[:, 2].max() - 0.6 * _TOP_MM
    ball = find_ball(points[high], area[high], _HEAD_RADIUS_MM)
    if ball is None or ball.seen_share < _LEAST_SEEN:
        seen = 0 if ball is None else round(100 * ball.seen_share)
        raise GeometryError(
            f"no femoral head can be told: no ball is seen to {100 * _LEAST_SEEN:.0f} % (best {seen} %)",
            "Part femur and hip bone, take an image of the whole head, or place 'head_centre'.",
            where=where,
        )
    return ball


def _within_neck(points: FloatArray, head: Ball, neck: FloatArray) -> FloatArray:
    """Return the middle of the neck's narrowest part on the line from the head's centre that keeps farthest from its cortex.

    Slices of a short neck run out into the trochanters on one side and pull its axis there; the line in its middle does not.
    """
    tree = cKDTree(points)
    along = np.arange(_NECK_R[0], _NECK_R[1], 0.06) * head.radius_mm
    axis = unit(neck - head.centre_ras)
    for half, step in ((24.0, 3.0), (4.0, 0.5)):
        u, v = perpendicular_axes(axis)
        a, b = (np.tan(np.radians(g.ravel())) for g in np.meshgrid(*[np.arange(-half, half + 0.1, step)] * 2))
        ways = unit_rows(axis + a[:, None] * u + b[:, None] * v)
        room = tree.query(head.centre_ras + along[:, None] * ways[:, None])[0].min(axis=1)
        # What is as good but for the surface's noise says more of the middle together than one line alone.
        axis = unit(ways[room > room.max() - _AS_WIDE_MM].mean(axis=0))
    room = tree.query(head.centre_ras + along[:, None] * axis)[0]
    return np.asarray(head.centre_ras + float(along[room < room.min() + _AS_WIDE_MM].mean()) * axis)


def _shaft(
    points: FloatArray, area: FloatArray, head: Ball, given: Mapping[str, FloatArray], where: str
) -> tuple[FloatArray, FloatArray]:
    """Return a point and the direction (up) of the upper shaft's axis."""
    ends = [given.get(name) for name in ("shaft_proximal", "shaft_distal")]
    if ends[0] is not None and ends[1] is not None:
        if float(np.linalg.norm(ends[0] - ends[1])) < 10.0:
            raise InputError("the two points of the shaft are less than 10 mm apart", where=where)
        return ends[1], unit(ends[0] - ends[1])
    if ends[0] is not None or ends[1] is not None:
        raise InputError("the shaft's axis needs 'shaft_proximal' and 'shaft_distal'", where=where)
    r, c = head.radius_mm, head.centre_ras
    far = np.linalg.norm(points - c, axis=1) > _SHAFT_R[0] * r
    low = (c - points)[:, 2] > 0
    shaft = far & low
    if shaft.sum() < 60:
        raise _cut_shaft(head, where)
    up = np.array([0.0, 0.0, 1.0])
    if float(np.ptp(points[shaft][:, 2])) > 2 * r:
        axis = principal_axis(points[shaft], area[shaft])
        up = axis if axis[2] > 0 else -axis
    middle = points[shaft].mean(axis=0)
    for _ in range(6):
        below = (c - points) @ up
        # The bone's end, cut by the image, is no slice of it.
        lowest = min(float(below.max()) - 2.0, _SHAFT_R[1] * r)
        if lowest - _SHAFT_R[0] * r < _SHAFT_LEAST_MM:
            raise _cut_shaft(head, where)
        levels = np.linspace(_SHAFT_R[0] * r, lowest, max(5, int((lowest - _SHAFT_R[0] * r) / 3.0)))
        rings = [points[np.abs(below - at) < 2.0] for at in levels]
        middles = np.array([ring_middle(ring, up) for ring in rings if len(ring) >= 12])
        if len(middles) < 4:
            raise _cut_shaft(head, where)
        middle = middles.mean(axis=0)
        way = np.linalg.svd(middles - middle)[2][0]
        up = way if way[2] > 0 else -way
    return middle, up


def _cut_shaft(head: Ball, where: str) -> GeometryError:
    if head.radius_mm > _LARGE_HEAD_MM:
        return GeometryError(
            f"the roundest part has a radius of {head.radius_mm:.0f} mm: rather a socket in the same label than a head",
            "Part femur and hip bone, or place 'head_centre'.",
            where=where,
        )
    return GeometryError(
        "too little of the shaft below the lesser trochanter is in view to tell its axis",
        "Take a longer image, or place 'shaft_proximal' and 'shaft_distal' on its axis.",
        where=where,
    )


def _looks_like_a_femur(
    points: FloatArray,
    head: Ball,
    neck: FloatArray,
    axis: FloatArray,
    shaft: FloatArray,
    up: FloatArray,
    where: str,
) -> None:
    """Refuse what has a ball and a bar but is no hip: a condyle and its shaft, a socket, two bones in one label."""
    angle = float(np.degrees(np.arccos(np.clip(-axis @ up, -1, 1))))
    arm = head.centre_ras - shaft
    offset = float(np.linalg.norm(arm - (arm @ up) * up))
    along = (points - neck) @ axis
    off = np.linalg.norm(points - neck - along[:, None] * axis, axis=1)
    ring = off[(np.abs(along) < 2.0) & (off < 1.3 * head.radius_mm)]
    width = float(ring.mean()) / head.radius_mm if len(ring) else np.inf
    for value, limits, words in (
        (angle, _NECK_SHAFT_DEG, f"neck and shaft meet at {angle:.0f} degrees"),
        (offset, _OFFSET_MM, f"the head lies {offset:.0f} mm beside the shaft's axis"),
        (width, _NECK_TO_HEAD, f"the neck is {width:.2f} times as wide as the head"),
    ):
        if not limits[0] <= value <= limits[1]:
            raise GeometryError(
                f"this does not look like the upper end of a femur: {words}",
                "Check the label (femur alone, whole head, no metal), or place the landmarks.",
                where=where,
            )


def _lesser_trochanter(
    points: FloatArray, head: Ball, shaft: FloatArray, up: FloatArray, medial: FloatArray, posterior: FloatArray
) -> FloatArray | None:
    """Return the tip of what stands farthest out of the shaft behind and medially; None where nothing does."""
    arm = points - shaft
    radial = arm - (arm @ up)[:, None] * up
    reach = np.linalg.norm(radial, axis=1)
    below = (head.centre_ras - points) @ up
    turned = np.degrees(np.arctan2(radial @ posterior, radial @ medial))
    heights = np.arange(_LESSER_R[0] * head.radius_mm, _LESSER_R[1] * head.radius_mm, 1.0)
    angles = np.arange(_LESSER_DEG[0], _LESSER_DEG[1] + 1.0, 6.0)
    profile = np.full((len(angles), len(heights)), np.nan)
    for a, angle in enumerate(angles):
        sector = np.abs(turned - angle) < 5.0
        for h, height in enumerate(heights):
            here = reach[sector & (np.abs(below - height) < 2.0)]
            if len(here):
                profile[a, h] = float(here.max())
    stands, at = np.zeros(len(angles)), np.zeros(len(angles), dtype=int)
    for a, row in enumerate(profile):
        if np.isnan(row).mean() > 0.3:
            continue
        known = np.flatnonzero(~np.isnan(row))
        smooth = ndimage.gaussian_filter1d(np.interp(np.arange(len(row)), known, row[known]), 1.5)
        peaks, found = signal.find_peaks(smooth, prominence=0.3)
        if len(peaks):
            best = int(found["prominences"].argmax())
            stands[a], at[a] = float(found["prominences"][best]), int(peaks[best])
    best = int(stands.argmax())
    wide = (stands > 0.5 * stands[best]) & (np.abs(heights[at] - heights[at[best]]) < 8.0)
    if stands[best] < _LESSER_STANDS_MM or wide.sum() < _LESSER_WIDE:
        return None
    near = (np.abs(turned - angles[best]) < 8.0) & (np.abs(below - heights[at[best]]) < 3.0)
    tip = points[near]
    return np.asarray(tip[reach[near] > reach[near].max() - 1.0].mean(axis=0))
