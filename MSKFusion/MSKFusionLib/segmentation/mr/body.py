"""One vertebral body in MR, from a point in it: a block whose six sides are where its marrow ends.

Marrow is alike all over a body in every sequence and darker or brighter tissue lies all round it, so the sides are found
without knowing the sequence. Endplates are planes first (robustly fitted), which gives the body's own frame; pedicles,
through which the marrow goes on, are bridged by what the rest of the back wall says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...frames import FloatArray
from .prepare import PreparedMR
from .surfaces import STEP_MM, first_leave_mm

#: Measures of vertebral bodies from T1 to L5 in adults with room on both sides: height, depth, width in mm.
HEIGHT_MM, DEPTH_MM, WIDTH_MM = (11.0, 42.0), (15.0, 48.0), (18.0, 66.0)
#: How far a side is looked for.
_REACH_MM = 46.0
_ROUNDS = 6
#: A ray that ends within this distance of its plane belongs to it.
_ON_PLANE_MM = 2.5
#: The shading that N4 leaves: the logarithm's change a mm, and over a whole body.
_STEEPEST, _MOST_TREND = 0.02, 0.6
_SIDES = ("up", "down", "front", "back", "right", "left")
DIRECTIONS = np.array([[0, 0, 1], [0, 0, -1], [0, 1, 0], [0, -1, 0], [1, 0, 0], [-1, 0, 0]], dtype=float)


@dataclass(frozen=True, eq=False)
class Block:
    """A vertebral body as a block in its own frame.

    Parameters
    ----------
    centre_mm
        In the image frame (3,).
    axes
        3x3, its columns are the body's right, front and up in the image frame.
    sides_mm
        Distance from the centre of the upper, lower, front, back, right and left side (6,).
    seen
        Share of the rays of each side that end where the side is (6,).
    cut
        Where the image ends before the side does (6,).
    marrow, spread
        Value of the marrow at the centre and how much (a share of it) it varies about its trend.
    trend_per_mm
        Change of the logarithm of the marrow's value a mm along right, front and up (3,): what is left of the shading.
    """

    centre_mm: FloatArray
    axes: FloatArray
    sides_mm: FloatArray
    seen: FloatArray
    cut: tuple[bool, ...]
    marrow: float
    spread: float
    trend_per_mm: FloatArray

    @property
    def height_mm(self) -> float:
        """From endplate to endplate."""
        return float(self.sides_mm[0] + self.sides_mm[1])

    @property
    def depth_mm(self) -> float:
        """From front to back."""
        return float(self.sides_mm[2] + self.sides_mm[3])

    @property
    def width_mm(self) -> float:
        """From side to side."""
        return float(self.sides_mm[4] + self.sides_mm[5])

    def to_image(self, local_mm: FloatArray) -> FloatArray:
        """Return points (..., 3) of the body's frame in the image frame."""
        return np.asarray(self.centre_mm + local_mm @ self.axes.T)

    def to_local(self, points_mm: FloatArray) -> FloatArray:
        """Return points (..., 3) of the image frame in the body's frame."""
        return np.asarray((points_mm - self.centre_mm) @ self.axes)

    def values(self, image: PreparedMR, local_mm: FloatArray) -> NDArray[np.float32]:
        """Return the image at points (..., 3) of the body's frame as a share of its marrow; NaN outside the image."""
        trend = np.exp(np.clip(local_mm @ self.trend_per_mm, -_MOST_TREND, _MOST_TREND)) * self.marrow
        return np.asarray(image.values(self.to_image(local_mm)) / trend, dtype=np.float32)

    def wrong(self) -> str:
        """Return why this is no vertebral body; nothing where it may be one."""
        sizes = (
            ("high", self.height_mm, HEIGHT_MM, any(self.cut[:2])),
            ("deep", self.depth_mm, DEPTH_MM, any(self.cut[2:4])),
            ("wide", self.width_mm, WIDTH_MM, any(self.cut[4:])),
        )
        for word, size, (low, high), open_ended in sizes:
            if size > high or (size < low and not open_ended):
                return f"{size:.0f} mm {word}, a vertebral body is {low:.0f} to {high:.0f}"
        for name, seen, cut in zip(_SIDES, self.seen, self.cut, strict=True):
            if not cut and seen < (0.5 if name in ("up", "down", "front", "back") else 0.3):
                return (
                    f"no border is seen on its {name} side" if name not in ("up", "down") else "an endplate is not seen"
                )
        if self.cut[0] and self.cut[1]:
            return "the image shows neither of its endplates"
        if self.spread > 0.3:
            return "it is not alike all over"
        if not any(self.cut) and not 0.35 < self.height_mm / self.depth_mm < 1.5:
            return f"{self.height_mm:.0f} mm high and {self.depth_mm:.0f} mm deep"
        return ""


def fit_block(
    image: PreparedMR, point_mm: FloatArray, axes: FloatArray | None = None, size_mm: FloatArray | None = None
) -> Block | str:
    """Return the vertebral body around a point of the image frame, or why there is none.

    Parameters
    ----------
    axes
        What is known of its frame, e.g. that of its neighbour.
    size_mm
        Height, depth and width that are known of it, e.g. those of its neighbour.
    """
    frame = np.eye(3) if axes is None else axes
    half = np.array([4.0, 4.0, 4.0]) if size_mm is None else 0.5 * np.asarray(size_mm)[[2, 1, 0]]
    centre = np.asarray(point_mm, dtype=float)
    n = 0
    while True:
        share = min(0.35 + 0.1 * n, 0.62)
        block = _sides(image, centre, frame, np.maximum(share * half, 2.5))
        if block is None:
            return "a border is missing round it"
        n += 1
        if n == _ROUNDS:
            return block
        s = block.sides_mm
        sizes = np.array([s[4] + s[5], s[2] + s[3], s[0] + s[1]])
        if np.any(sizes < 5.0):
            return "it is too small"
        half = 0.5 * np.minimum(sizes, [52.0, 40.0, 34.0])
        shift = np.array([s[4] - s[5], s[2] - s[3], s[0] - s[1]]) / 2
        centre = centre + frame @ np.clip(shift, -8.0, 8.0)
        if n >= 2:
            frame = _turned(image, replace(block, centre_mm=centre), half)


def _rays(half_a: float, half_b: float, count: int) -> FloatArray:
    a, b = np.meshgrid(np.linspace(-half_a, half_a, count), np.linspace(-half_b, half_b, count), indexing="ij")
    return np.stack([a.ravel(), b.ravel()], axis=-1)


def _starts(side: int, half: FloatArray, count: int = 7) -> FloatArray:
    """Return where the rays of a side begin (N, 3), on the plane through the centre."""
    axis = (2, 2, 1, 1, 0, 0)[side]
    others = [a for a in range(3) if a != axis]
    flat = _rays(float(half[others[0]]), float(half[others[1]]), count)
    starts = np.zeros((len(flat), 3))
    starts[:, others] = flat
    return starts


def _sides(image: PreparedMR, centre: FloatArray, frame: FloatArray, half: FloatArray) -> Block | None:
    """Return the six sides as seen by bundles of rays that begin within `half` (right, front, up) of the centre."""
    inner = np.stack(np.meshgrid(*[np.linspace(-0.8, 0.8, 7) * h for h in half], indexing="ij"), -1).reshape(-1, 3)
    values = image.values(centre + inner @ frame.T)
    known = np.isfinite(values) & (values > 0.02)
    if known.sum() < 100:
        return None
    marrow, trend, spread = _marrow(inner[known], values[known], bool(half.min() > 5.0))
    if marrow < 0.12:
        return None
    blank = Block(centre, frame, np.zeros(6), np.zeros(6), (False,) * 6, marrow, spread, trend)
    t = np.arange(0.0, _REACH_MM, STEP_MM)
    sides, seen, cut = np.zeros(6), np.zeros(6), []
    for side, direction in enumerate(DIRECTIONS):
        starts = _starts(side, half)
        if side == 3:  # the pedicles take the marrow on behind the upper half's sides
            starts[:, 0] *= 0.6
        points = starts[:, None] + t[:, None] * direction
        values = blank.values(image, points)
        begun = np.isfinite(values[:, 0])  # what begins outside the image says nothing
        if begun.sum() < 6:
            return None
        starts = starts[begun]
        at, out = first_leave_mm(values[begun], 1.0)
        if float(out.mean()) > 0.5:
            sides[side], seen[side] = float(np.median(at[out])), 0.0
            cut.append(True)
            continue
        cut.append(False)
        hit = np.isfinite(at) & ~out
        if float(hit.mean()) < 0.3:
            return None
        sides[side] = float(np.median(at[hit]))
        # An endplate may be hollow and a wall bent: what counts is whether the rays agree.
        seen[side] = float(np.mean(np.abs(np.where(hit, at, np.inf) - _plane(starts, at, hit)) < _ON_PLANE_MM))
    return replace(blank, sides_mm=sides, seen=seen, cut=tuple(cut))


def _marrow(local_mm: FloatArray, values: NDArray[np.float32], with_trend: bool) -> tuple[float, FloatArray, float]:
    """Return the marrow's value at the centre, the trend of its logarithm a mm (3,), and the spread about it."""
    logs = np.log(values)
    use = np.ones(len(logs), dtype=bool)
    fit = np.r_[0.0, 0.0, 0.0, np.median(logs)]
    design = np.column_stack([local_mm, np.ones(len(logs))])
    for _ in range(3 if with_trend else 0):
        fit = np.linalg.lstsq(design[use], logs[use], rcond=None)[0]
        fit[:3] = np.clip(fit[:3], -_STEEPEST, _STEEPEST)
        rest = logs - design @ fit
        fit[3] += np.median(rest[use])
        use = np.abs(rest - np.median(rest[use])) < max(0.08, 2.0 * 1.4826 * float(np.median(np.abs(rest))))
    rest = logs - design @ fit
    spread = float(np.subtract(*np.percentile(rest, [84, 16]))) / 2
    return float(np.exp(fit[3])), fit[:3], spread


def _plane(starts: FloatArray, at: FloatArray, hit: NDArray[np.bool_]) -> FloatArray:
    """Return the robust plane through the ends of the rays, at each ray."""
    return _coefficients(starts, at, hit) @ np.vstack([starts.T, np.ones(len(starts))])


def _coefficients(starts: FloatArray, at: FloatArray, hit: NDArray[np.bool_]) -> FloatArray:
    design = np.column_stack([starts, np.ones(len(starts))])
    varies = np.r_[np.ptp(starts, axis=0) > 1e-6, True]
    found = np.zeros(4)
    found[3] = np.median(at[hit])
    for limit in (8.0, 4.0, _ON_PLANE_MM):
        use = hit & (np.abs(np.where(hit, at, 1e9) - design @ found) < limit)
        if use.sum() < 8:
            break
        found = np.zeros(4)
        found[varies] = np.linalg.lstsq(design[use][:, varies], at[use], rcond=None)[0]
    return found


def _turned(image: PreparedMR, block: Block, half: FloatArray) -> FloatArray:
    """Return the frame that follows the endplates, and the back and the front wall about the body's own axis."""
    t = np.arange(0.0, _REACH_MM, STEP_MM)
    slopes: dict[int, FloatArray] = {}
    for side in (0, 1, 2, 3):
        if block.cut[side]:
            continue
        starts = _starts(side, 0.62 * half)
        points = starts[:, None] + t[:, None] * DIRECTIONS[side]
        at, out = first_leave_mm(block.values(image, points), 1.0)
        hit = np.isfinite(at) & ~out
        if hit.mean() < 0.5:
            continue
        found = _coefficients(starts, at, hit)
        on = np.abs(np.where(hit, at, 1e9) - found @ np.vstack([starts.T, np.ones(len(starts))])) < _ON_PLANE_MM
        if on.mean() > 0.5:
            slopes[side] = found[:3] * (1 if side in (0, 2) else -1)
    # z = a x + b y on an endplate: its normal is (-a, -b, 1).
    plates = [slopes[s] for s in (0, 1) if s in slopes]
    turn = np.zeros(3)  # small turns about right, front, up
    if plates:
        a, b = np.mean([p[:2] for p in plates], axis=0)
        turn[0], turn[1] = np.arctan(b), -np.arctan(a)
    walls = [slopes[s] for s in (2, 3) if s in slopes]
    if len(walls) == 2:
        turn[2] = 0.5 * float(np.arctan(np.mean([w[0] for w in walls])))
    turn = np.clip(turn, -0.25, 0.25)
    x, y, z = turn
    small = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])
    q, r = np.linalg.qr(block.axes @ small)
    return np.asarray(q * np.sign(np.diag(r)))
