"""The spinal canal in MR, behind a chain of vertebral bodies.

Whatever fills it (fluid and fat in T2, fat around dark fluid in T1) the canal ends where something bright falls off to the
dark cortex and ligaments round it. Where nothing bright lies at its border the canal keeps the shape of its neighbours,
and in front the back walls of bodies and discs bound it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import make_interp_spline
from scipy.spatial import cKDTree

from ...frames import FloatArray
from .body_shape import BodyShape
from .canal_ends import followed
from .chain import Plate
from .prepare import PreparedMR
from .surfaces import STEP_MM, settle

_ANGLES, _STATION_MM = 40, 1.5
#: Half the width and depth of a canal in adults (Panjabi et al. 1992), and how far its middle may lie behind the bodies.
_HALF_WIDTH_MM, _HALF_DEPTH_MM, _BEHIND_MM = 11.0, 7.5, np.arange(5.0, 13.1, 1.0)
_LONGEST_RAY_MM = 20.0
#: Brighter than this share of the marrow is all the same.
_BRIGHT = 1.2
#: A fall of this much (of the marrow's value) a mm is a clear border.
_CLEAR_FALL = 0.30
_OWN_ROOM_MM = 2.5
#: Beyond the bodies: so many cross-sections stand for the end, the radius changes by such steps at such a cost, the border lies
#: within so much of it, and over so many cross-sections so much of the border must be seen. A canal ends at the least radius.
_NEAR_STATIONS, _SCALE_STEP, _SCALE_COST, _END_ROOM_MM = 4, 0.05, 0.02, 1.5
#: The rim of dark fluid counts so much of a fall from fat; dura and what fat there is lie between it and the bone.
_RISE_SHARE, _RIM_MM = 0.6, 1.0
_SEEN_STATIONS, _LEAST_SEEN_END, _LEAST_RADIUS_MM = 7, 0.28, 1.5
#: Cost of a canal's measures as far from the usual as one adult of three has.
_UNUSUAL = 0.01


@dataclass(frozen=True, eq=False)
class Canal:
    """The canal as cross-sections along a line.

    Parameters
    ----------
    centres_mm, right, front
        Of the cross-sections (S, 3), in the image frame, from foot to head.
    radius_mm
        Of the canal (angle, S); the first angle points right, then to the front.
    seen
        Share of the border at the sides and behind that is clear.
    """

    centres_mm: FloatArray
    right: FloatArray
    front: FloatArray
    radius_mm: FloatArray
    seen: float

    @property
    def width_mm(self) -> float:
        """From side to side, in the middle of the canals' cross-sections."""
        return float(np.median(self.radius_mm[0] + self.radius_mm[_ANGLES // 2]))

    @property
    def depth_mm(self) -> float:
        """From front to back, likewise."""
        return float(np.median(self.radius_mm[_ANGLES // 4] + self.radius_mm[3 * _ANGLES // 4]))

    def inside(self, points_mm: FloatArray) -> NDArray[np.bool_]:
        """Tell which points (N, 3) of the image frame lie in the canal."""
        distance, near = cKDTree(self.centres_mm).query(points_mm, distance_upper_bound=_LONGEST_RAY_MM + 4.0)
        found = np.zeros(len(points_mm), dtype=bool)
        ok = np.flatnonzero(np.isfinite(distance))
        n = near[ok]
        rest = points_mm[ok] - self.centres_mm[n]
        up = np.cross(self.right[n], self.front[n])
        x, y, z = (np.einsum("ij,ij->i", rest, axis) for axis in (self.right[n], self.front[n], up))
        angle = np.mod(np.arctan2(y, x), 2 * np.pi) * _ANGLES / (2 * np.pi)
        wrapped = np.vstack([self.radius_mm, self.radius_mm[:1]])
        limit = ndimage.map_coordinates(wrapped, [angle, n.astype(float)], order=1, mode="nearest")
        # Beyond the first and the last cross-section there is no canal.
        found[ok] = (np.hypot(x, y) < limit) & (np.abs(z) <= _STATION_MM)
        return found


def trace_canal(
    image: PreparedMR, shapes: tuple[BodyShape, ...], above: Plate | None = None, below: Plate | None = None
) -> Canal | str:
    """Return the canal behind bodies (from head to foot), or why it is not found.

    Parameters
    ----------
    above, below
        The endplates that face the first and the last body, where only they are seen: the canal is followed to them.
    """
    back, right, front, marrow = _back_wall(shapes, above, below)
    if len(back) < 8:
        return "too little of the spine is in view"
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    cos, sin = np.cos(angle), np.sin(angle)
    best: tuple[float, float, FloatArray, NDArray[np.float32]] | None = None
    for behind in _BEHIND_MM:
        cost = _border_cost(image, back - behind * front, right, front, marrow, behind, cos, sin)
        if cost is None:
            return "the image ends behind the bodies"
        # Cross-sections differ by a mm or two: each counts with its best border near by.
        near = ndimage.minimum_filter1d(cost, round(3.0 / STEP_MM) | 1, axis=2)
        total, radius = _common_radius(near.mean(axis=1), cos, sin, behind)
        if best is None or total < best[0]:
            best = total, behind, radius, cost
    assert best is not None
    _, behind, common, cost = best
    centres = back - behind * front
    start = np.repeat(common[:, None], len(centres), axis=1)
    own = settle(cost, start, sigma=(2.0, 4.0), around=(True, False), stiffness=0.15, within_mm=_OWN_ROOM_MM)
    radius = np.minimum(own.at_mm, np.where(sin > 0.05, (behind + 0.3) / np.maximum(sin, 0.05), 99.0)[:, None])
    canal = Canal(centres, right, front, radius, float(np.mean(own.seen[sin < 0.5] > 0.25)))
    if not 9.0 <= canal.width_mm <= 38.0 or not 6.0 <= canal.depth_mm <= 28.0:
        return f"what lies behind the bodies is {canal.width_mm:.0f} mm wide and {canal.depth_mm:.0f} mm deep"
    return _with_ends(image, canal, marrow, cos, sin)


def _with_ends(image: PreparedMR, canal: Canal, marrow: FloatArray, cos: FloatArray, sin: FloatArray) -> Canal:
    """Return the canal with what of it goes on beyond both ends, as far as its border is seen there."""
    foot = _end(image, canal, marrow, cos, sin, slice(None, None, -1))
    head = _end(image, canal, marrow, cos, sin, slice(None))

    def whole(low: FloatArray, middle: FloatArray, high: FloatArray, axis: int = 0) -> FloatArray:
        return np.concatenate([np.flip(low, axis), middle, high], axis=axis)

    return replace(
        canal,
        centres_mm=whole(foot.centres_mm, canal.centres_mm, head.centres_mm),
        right=whole(foot.right, canal.right, head.right),
        front=whole(foot.front, canal.front, head.front),
        radius_mm=whole(foot.radius_mm, canal.radius_mm, head.radius_mm, 1),
    )


def _end(
    image: PreparedMR, canal: Canal, marrow: FloatArray, cos: FloatArray, sin: FloatArray, outwards: slice
) -> Canal:
    """Return the canal's cross-sections beyond one end, the nearest first; `outwards` puts the known ones in that order."""
    course = followed(image, canal.centres_mm[outwards], canal.right[outwards], canal.front[outwards], _STATION_MM)
    near = canal.radius_mm[:, outwards][:, -_NEAR_STATIONS:].mean(axis=1)
    level = np.full(len(course.centres_mm), float(marrow[outwards][-1]))
    cost = None
    if len(level):
        # Nothing is known of what lies in front: no back wall of a body bounds it.
        cost = _border_cost(
            image, course.centres_mm, course.right, course.front, level, 99.0, cos, sin, without_fat=True
        )
    if cost is None:
        return Canal(course.centres_mm[:0], course.right[:0], course.front[:0], np.zeros((_ANGLES, 0)), 0.0)
    start = near[:, None] * _narrowing(cost, near)
    own = settle(cost, start, sigma=(2.0, 4.0), around=(True, False), stiffness=0.15, within_mm=_END_ROOM_MM)
    clear = ndimage.uniform_filter1d((own.seen > 0.25).mean(axis=0), _SEEN_STATIONS, mode="nearest")
    lost = np.flatnonzero((clear < _LEAST_SEEN_END) | (own.at_mm[sin < -0.9].mean(axis=0) < _LEAST_RADIUS_MM))
    n = int(lost[0]) if len(lost) else len(level)
    return Canal(
        course.centres_mm[:n],
        course.right[:n],
        course.front[:n],
        own.at_mm[:, :n],
        float(clear[:n].mean()) if n else 0.0,
    )


def _narrowing(cost: NDArray[np.float32], near: FloatArray) -> FloatArray:
    """Return by what the canal's radius is multiplied at each cross-section beyond its end (S,), from 1 changing slowly."""
    scales = np.arange(0.3, 1.16, _SCALE_STEP)
    index = np.clip(np.round(scales[:, None] * near / STEP_MM).astype(int), 0, cost.shape[2] - 1)
    each = np.stack([cost[np.arange(len(near)), :, i].mean(axis=0) for i in index])  # (scale, station)
    total = np.where(np.abs(scales - 1.0) < 1.5 * _SCALE_STEP, each[:, 0], np.inf)
    back = np.zeros(each.shape, dtype=int)
    for n in range(1, each.shape[1]):
        padded = np.pad(total, 1, constant_values=np.inf)
        options = np.stack([padded[:-2] + _SCALE_COST, padded[1:-1], padded[2:] + _SCALE_COST])
        back[:, n] = options.argmin(axis=0) - 1
        total = options.min(axis=0) + each[:, n]
    at = int(total.argmin())
    path = [at]
    for n in range(each.shape[1] - 1, 0, -1):
        at = at + int(back[at, n])
        path.append(at)
    return ndimage.gaussian_filter1d(scales[path[::-1]], 2.0, mode="nearest")


def _border_cost(
    image: PreparedMR,
    centres: FloatArray,
    right: FloatArray,
    front: FloatArray,
    marrow: FloatArray,
    behind_mm: float,
    cos: FloatArray,
    sin: FloatArray,
    *,
    without_fat: bool = False,
) -> NDArray[np.float32] | None:
    """Return the cost (angle, station, T) of the canal's border on rays from the centres; None where the image ends.

    -1 where something as bright as marrow falls off sharply, more behind a first fall and in front of the back wall.

    Parameters
    ----------
    without_fat
        Dark fluid may end at bone as well, with hardly any fat between: there the border is where it becomes brighter.
    """
    t = np.arange(0.0, _LONGEST_RAY_MM, STEP_MM)
    across = right[None] * cos[:, None, None] + front[None] * sin[:, None, None]
    values = image.values(centres[None, :, None] + across[:, :, None] * t[:, None])
    if float(np.isnan(values[:, :, : round(6.0 / STEP_MM)]).mean()) > 0.2:
        return None
    values = np.nan_to_num(np.clip(values / marrow[None, :, None], 0.0, _BRIGHT), nan=0.0)
    smooth = ndimage.gaussian_filter1d(values, 1.0, axis=-1, mode="nearest")
    fall = np.clip(-np.gradient(smooth, STEP_MM, axis=-1) / _CLEAR_FALL, 0.0, 1.0)
    # Dark fluid and roots within a ring of fat are no border: only what falls from something bright is.
    fall *= np.clip((np.maximum.accumulate(smooth, axis=-1) - 0.6) / 0.3, 0.0, 1.0)
    before = np.maximum.accumulate(fall, axis=-1)
    back = round(2.0 / STEP_MM)
    before = np.concatenate([np.zeros_like(before[..., :back]), before[..., :-back]], axis=-1)
    beyond = 2.0 * (sin[:, None, None] * t > behind_mm + 0.5)
    if without_fat:
        rise = np.clip(np.gradient(smooth, STEP_MM, axis=-1) / _CLEAR_FALL, 0.0, 1.0)
        out = round(_RIM_MM / STEP_MM)
        rise = np.concatenate([np.zeros_like(rise[..., :out]), rise[..., :-out]], axis=-1)
        fall = np.maximum(fall, _RISE_SHARE * rise)
    return np.asarray(-fall + 0.8 * before + beyond, dtype=np.float32)


def _common_radius(
    cost: NDArray[np.floating], cos: FloatArray, sin: FloatArray, behind_mm: float
) -> tuple[float, FloatArray]:
    """Return cost and radius (angle,) of the ellipse about the centres whose border is clearest over the whole length.

    What is usual in adults decides where the picture does not.
    """
    best, radius = np.inf, np.zeros(len(cos))
    t = np.arange(cost.shape[1]) * STEP_MM
    for width in np.arange(7.0, 16.1, 0.5):
        for depth in np.arange(4.5, min(11.6, behind_mm + 0.6), 0.5):
            r = 1.0 / np.sqrt((cos / width) ** 2 + (sin / depth) ** 2)
            index = np.minimum(np.round(r / STEP_MM).astype(int), len(t) - 1)
            gap = max(behind_mm - depth - 1.0, 0.0)
            unusual = ((width - _HALF_WIDTH_MM) / 3.0) ** 2 + ((depth - _HALF_DEPTH_MM) / 2.0) ** 2 + (gap / 2.0) ** 2
            total = float(np.take_along_axis(cost, index[:, None], 1).mean()) + _UNUSUAL * unusual
            if total < best:
                best, radius = total, r
    return best, radius


def _back_wall(
    shapes: tuple[BodyShape, ...], above: Plate | None, below: Plate | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the back of bodies and discs (S, 3) from foot to head, right and front there, and the marrow's value."""
    knots, rights, fronts, marrows = [], [], [], []
    for shape in reversed(shapes):
        block = shape.block
        low, high = -block.sides_mm[1] - 1.0, block.sides_mm[0] + 1.0
        middle = 0.5 * (low + high)
        for z in (low, middle, high):
            inner = float(np.clip(z, low + 3.0, high - 3.0))
            # The wall bulges in the middle, where the vein leaves: the median over the inner third of its width.
            x = np.linspace(-6.0, 6.0, 7)
            radius = shape.wall_mm(x, np.full(7, -block.sides_mm[3]), np.full(7, inner))
            slant = np.hypot(x, block.sides_mm[3])
            y = -float(np.median(radius * block.sides_mm[3] / slant))
            knots.append(block.to_image(np.array([0.0, y, z])))
            rights.append(block.axes[:, 0])
            fronts.append(block.axes[:, 1])
            marrows.append(block.marrow)
    for plate, shape, at_end in ((above, shapes[0], len(knots)), (below, shapes[-1], 0)):
        if plate is not None:
            block = shape.block
            _, b, c = plate.coefficients
            knots.insert(at_end, block.to_image(np.array([0.0, -block.sides_mm[3], c - b * block.sides_mm[3]])))
            rights.insert(at_end, block.axes[:, 0])
            fronts.insert(at_end, block.axes[:, 1])
            marrows.insert(at_end, block.marrow)
    points = np.array(knots)
    at = np.r_[0.0, np.cumsum(np.maximum(np.linalg.norm(np.diff(points, axis=0), axis=1), 0.5))]
    s = np.arange(0.0, at[-1] + 1e-6, _STATION_MM)
    line = make_interp_spline(at, points, k=1)(s)
    line = ndimage.gaussian_filter1d(line, 3.0 / _STATION_MM, axis=0, mode="nearest")
    front = ndimage.gaussian_filter1d(make_interp_spline(at, np.array(fronts), k=1)(s), 4.0, axis=0, mode="nearest")
    right = make_interp_spline(at, np.array(rights), k=1)(s)
    up = np.gradient(line, axis=0)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    front -= up * np.einsum("ij,ij->i", front, up)[:, None]
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    right = np.cross(front, up)
    return line, right, front, np.interp(s, at, marrows)
