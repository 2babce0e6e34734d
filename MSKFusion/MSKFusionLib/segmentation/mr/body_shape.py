"""The surface of a vertebral body in MR: endplates and wall traced from its block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...frames import FloatArray
from .body import Block
from .prepare import PreparedMR
from .surfaces import STEP_MM, Border, leaving_cost, settle, unlike

#: Marrow ends at the inside of the shell; shell and bony endplate belong to the bone (about half a millimetre thick:
#: Edwards et al. 2001, doi 10.1016/S8756-3282(01)00495-9).
_SHELL_MM = 0.5
_PLATE_STEP_MM, _ANGLES, _WALL_STEP_MM = 2.0, 48, 2.0
#: How far the surface may lie from the block's sides.
_PLATE_ROOM_MM, _WALL_ROOM_MM = 5.0, 6.0
#: Power of the superellipse that a body's cross-section is like.
_POWER = 2.5
#: A voxel nearer than this to the axis belongs to every direction at once.
_AXIS_MM = 1e-3


@dataclass(frozen=True, eq=False)
class BodyShape:
    """The surface of a body in its own frame: two height maps and one map of radii.

    Parameters
    ----------
    x_mm, y_mm, upper_mm, lower_mm
        Heights (X, Y) of the endplates over a grid, from the centre, both positive.
    z_mm, radius_mm
        Radius (angle, Z) of the wall about the axis; the first angle points right, then to the front.
    seen
        Share of the surface where the border is clear.
    """

    block: Block
    x_mm: FloatArray
    y_mm: FloatArray
    upper_mm: FloatArray
    lower_mm: FloatArray
    z_mm: FloatArray
    radius_mm: FloatArray
    seen: float

    def plate_mm(self, which: str, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the height over (x, y) of the ``upper`` endplate, or how deep the ``lower`` lies."""
        at = [(x - self.x_mm[0]) / _PLATE_STEP_MM, (y - self.y_mm[0]) / _PLATE_STEP_MM]
        heights = self.upper_mm if which == "upper" else self.lower_mm
        return np.asarray(ndimage.map_coordinates(heights, at, order=1, mode="nearest"))

    def wall_mm(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Return how far the wall lies from the axis in the direction of (x, y) at height z."""
        angle = np.mod(np.arctan2(y, x), 2 * np.pi) * _ANGLES / (2 * np.pi)
        step = (z - self.z_mm[0]) / _WALL_STEP_MM
        wrapped = np.vstack([self.radius_mm, self.radius_mm[:1]])
        return np.asarray(ndimage.map_coordinates(wrapped, [angle, step], order=1, mode="nearest"))

    def inside(self, local_mm: FloatArray) -> NDArray[np.bool_]:
        """Tell which points (N, 3) of the body's frame lie in it."""
        x, y, z = local_mm.T
        radius = np.maximum(np.hypot(x, y), _AXIS_MM)
        found: NDArray[np.bool_] = (z < self.plate_mm("upper", x, y)) & (-z < self.plate_mm("lower", x, y))
        return found & (radius < self.wall_mm(x, y, z))


def trace_body(image: PreparedMR, block: Block) -> BodyShape:
    """Return the surface of a body from its block."""
    up, down, front, back, right, left = block.sides_mm
    x = np.arange(-left - 3.0, right + 3.0 + _PLATE_STEP_MM, _PLATE_STEP_MM)
    y = np.arange(-back - 3.0, front + 3.0 + _PLATE_STEP_MM, _PLATE_STEP_MM)
    plates = [_plate(image, block, x, y, sign) for sign in (1, -1)]
    z = np.arange(-down, up + _WALL_STEP_MM, _WALL_STEP_MM)
    wall = _wall(image, block, z)
    over = (np.abs(x)[:, None] / max(left, right)) ** 2 + (np.abs(y)[None] / max(front, back)) ** 2 < 0.8
    clear = [p.seen[over] for p, cut in zip(plates, block.cut[:2], strict=True) if not cut] + [wall.seen.ravel()]
    return BodyShape(
        block,
        x,
        y,
        plates[0].at_mm + _SHELL_MM,
        plates[1].at_mm + _SHELL_MM,
        z,
        wall.at_mm + _SHELL_MM,
        float(np.mean([np.mean(c > 0.25) for c in clear])),
    )


def _plate(image: PreparedMR, block: Block, x: FloatArray, y: FloatArray, sign: int) -> Border:
    side = 0 if sign > 0 else 1
    t = np.arange(0.0, block.sides_mm[side] + _PLATE_ROOM_MM + 4.0, STEP_MM)
    gx, gy = np.meshgrid(x, y, indexing="ij")
    start = np.full(gx.shape, block.sides_mm[side])
    if block.cut[side]:
        return Border(start + 2.0, np.zeros_like(start))
    # Beside the waist a ray would begin outside: there it begins where the body is at its widest.
    points = np.stack(np.broadcast_arrays(gx[..., None], gy[..., None], sign * t), axis=-1)
    apart = unlike(block.values(image, points), 1.0)
    early = t < 0.45 * block.sides_mm[side]
    apart[..., early] = np.minimum(apart[..., early], 0.3)
    return settle(leaving_cost(apart), start, sigma=(1.5, 1.5), within_mm=_PLATE_ROOM_MM)


def _wall(image: PreparedMR, block: Block, z: FloatArray) -> Border:
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    cos, sin = np.cos(angle), np.sin(angle)
    _, _, front, back, right, left = block.sides_mm
    a, b = np.where(cos >= 0, right, left), np.where(sin >= 0, front, back)
    around = (np.abs(cos / a) ** _POWER + np.abs(sin / b) ** _POWER) ** (-1 / _POWER)
    start = np.repeat(around[:, None], len(z), axis=1)
    t = np.arange(0.0, float(start.max()) + _WALL_ROOM_MM + 4.0, STEP_MM)
    directions = np.stack([cos, sin, np.zeros(_ANGLES)], axis=-1)
    points = directions[:, None, None, :] * t[:, None] + np.array([0.0, 0.0, 1.0]) * z[None, :, None, None]
    apart = unlike(block.values(image, points), 1.0)
    # Veins in the middle are no wall.
    apart = np.where(t < 0.55 * start[..., None], np.minimum(apart, 0.3), apart).astype(np.float32)
    return settle(leaving_cost(apart), start, sigma=(1.5, 1.5), around=(True, False), within_mm=_WALL_ROOM_MM)
