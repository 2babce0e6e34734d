"""The disc between two vertebral bodies in MR: what lies between their endplates, within the wall that goes from one to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...frames import FloatArray
from .body_shape import BodyShape
from .chain import DISC_MM, Plate

#: Annulus and ligaments bulge over the bodies' rims by about so much.
_BULGE_MM = 0.5


@dataclass(frozen=True, eq=False)
class DiscSpace:
    """The space of a disc.

    Parameters
    ----------
    upper, lower
        The bodies that it lies between; one of them may be None, and then `plate` stands for its endplate, in the
        frame of the other.
    """

    upper: BodyShape | None
    lower: BodyShape | None
    plate: Plate | None = None

    def heights_mm(self, points_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how far points (N, 3) of the image frame lie below the upper and above the lower endplate."""
        known = self.upper or self.lower
        assert known is not None
        far = np.zeros(len(points_mm))
        if self.plate is not None:
            local = known.block.to_local(points_mm)
            a, b, c = self.plate.coefficients
            far = local[:, 2] - (a * local[:, 0] + b * local[:, 1] + c)
        below, above = -far, far
        if self.upper is not None:
            x, y, z = self.upper.block.to_local(points_mm).T
            below = -z - self.upper.plate_mm("lower", x, y)
        if self.lower is not None:
            x, y, z = self.lower.block.to_local(points_mm).T
            above = z - self.lower.plate_mm("upper", x, y)
        return below, above

    def inside(self, points_mm: FloatArray) -> NDArray[np.bool_]:
        """Tell which points (N, 3) of the image frame lie in it."""
        below, above = self.heights_mm(points_mm)
        between = (below >= 0) & (above >= 0) & (below + above < 1.5 * DISC_MM[1])
        share = np.clip(below / np.maximum(below + above, 1e-6), 0.0, 1.0)
        room = np.zeros(len(points_mm))
        weight = np.zeros(len(points_mm))
        for shape, part, z in ((self.upper, 1.0 - share, -1), (self.lower, share, 1)):
            if shape is None:
                continue
            x, y, _ = shape.block.to_local(points_mm).T
            side = shape.block.sides_mm[1 if z < 0 else 0]
            edge = shape.wall_mm(x, y, np.full(len(x), z * (side - 1.5)))
            room += part * (edge + _BULGE_MM - np.hypot(x, y))
            weight += part
        return np.asarray(between & (room > 0) & (weight > 0))

    def middle_mm(self) -> FloatArray:
        """Return its middle (3,) in the image frame."""
        if self.upper is not None and self.lower is not None:
            a = self.upper.block.to_image(np.array([0.0, 0.0, -self.upper.block.sides_mm[1]]))
            b = self.lower.block.to_image(np.array([0.0, 0.0, self.lower.block.sides_mm[0]]))
            return np.asarray((a + b) / 2)
        known, sign = (self.upper, -1) if self.upper is not None else (self.lower, 1)
        assert known is not None
        assert self.plate is not None
        near = sign * known.block.sides_mm[1 if sign < 0 else 0]
        return known.block.to_image(np.array([0.0, 0.0, 0.5 * (near + float(self.plate.coefficients[2]))]))

    def height_mm(self) -> float:
        """Return its height, the mean over the middle of the endplates."""
        known = self.upper or self.lower
        assert known is not None
        gx, gy = (g.ravel() for g in np.meshgrid(np.linspace(-10, 10, 5), np.linspace(-8, 8, 5)))
        flat = np.stack([gx, gy, np.zeros(25)], axis=-1) @ known.block.axes.T + self.middle_mm()
        below, above = self.heights_mm(flat)
        return float(np.mean(below + above))
