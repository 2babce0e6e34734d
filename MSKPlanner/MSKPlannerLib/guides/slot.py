"""The slot of a saw in a guide, or the open ledge in its place: its frame, its block as a field, itself as an exact solid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points

from .field import Distance, smooth_max
from .solid import box

#: The slot starts this far inside the bone's surface, so that its foot is open on a slanted surface too.
_INSIDE_MM = 12.0
#: The way of the saw above the block is kept free as far as this.
_FREE_ABOVE_MM = 60.0
#: The block is made this much too high on the grid and then cut flat.
_OVERHEIGHT_MM = 1.0
#: Beside an open ledge the guide ends at the saw's plane as far out, and as far into the bone, as this.
_OPEN_MM = 90.0
#: Bone under the block that is higher than the place where the saw enters is looked for so far up.
_HIGHEST_MM = 15.0


@dataclass(frozen=True, eq=False)
class Slot:
    """A slot along a plane.

    Parameters
    ----------
    to_ras
        Rigid 4x4: origin in the plane where the saw meets the bone, x across the saw in the plane, y the plane's normal,
        z outward (against the saw).
    width_mm, thickness_mm
        Of the opening, along x and y.
    top_mm
        Height of the block's flat top over the origin, along z.
    low_mm
        The block reaches down to here along z (negative); bone cuts it off before.
    end_wall_mm, wall_mm, ledge_mm
        Material at the ends, below the plane, and above it (the name stands on the ledge).
    inside_mm
        The slot starts this far inside the bone's surface.
    open_ledge
        The blade lies on the face of the block above the plane; below it nothing stands, nor at its ends.
    """

    name: str
    to_ras: FloatArray
    width_mm: float
    thickness_mm: float
    top_mm: float
    low_mm: float
    end_wall_mm: float
    wall_mm: float
    ledge_mm: float
    inside_mm: float = _INSIDE_MM
    open_ledge: bool = False

    @property
    def what(self) -> str:
        """What it is called."""
        return "ledge" if self.open_ledge else "slot"

    @property
    def outward_ras(self) -> FloatArray:
        """Unit direction against the saw."""
        return np.array(self.to_ras[:3, 2])

    @property
    def normal_ras(self) -> FloatArray:
        """Unit normal of the plane, to the side of the ledge."""
        return np.array(self.to_ras[:3, 1])

    def local(self, points_ras: FloatArray) -> FloatArray:
        """Return points (..., 3) in the slot's frame."""
        return transform_points(invert_rigid(self.to_ras), points_ras)

    @property
    def block_corners(self) -> FloatArray:
        """Lowest and highest corner (2, 3) of the block in the slot's frame."""
        half = self.width_mm / 2 + self.end_wall_mm
        across = self.thickness_mm / 2
        below = across if self.open_ledge else -across - self.wall_mm
        return np.array([[-half, below, self.low_mm], [half, across + self.ledge_mm, self.top_mm]])

    @property
    def block_vertices_ras(self) -> FloatArray:
        """The block's eight corners (8, 3), RAS mm."""
        x, y, z = self.block_corners.T
        return np.asarray(transform_points(self.to_ras, np.array([[a, b, c] for a in x for b in y for c in z])))

    @property
    def ledge_to_ras(self) -> FloatArray:
        """Rigid 4x4 of the flat top beside the opening, where the name stands: x along the slot, z outward."""
        return self.to_ras @ rigid(translation=[0.0, self.thickness_mm / 2 + self.ledge_mm / 2, self.top_mm])

    def block_field(self, points_ras: FloatArray) -> NDArray[np.float32]:
        """Return the distance-like field of the block, a little too high."""
        p = self.local(points_ras)
        low, high = self.block_corners
        sides = np.maximum.reduce([low[0] - p[..., 0], p[..., 0] - high[0], low[1] - p[..., 1], p[..., 1] - high[1]])
        ends = np.maximum(low[2] - p[..., 2], p[..., 2] - high[2] - _OVERHEIGHT_MM)
        return smooth_max(sides.astype(np.float32), ends.astype(np.float32), 1.0)

    def opening_field(self, points_ras: FloatArray) -> NDArray[np.float32]:
        """Return the field of the opening, negative inside."""
        p = self.local(points_ras)
        if self.open_ledge:
            return (p[..., 1] - self.thickness_mm / 2).astype(np.float32)
        off = [
            np.abs(p[..., 0]) - self.width_mm / 2,
            np.abs(p[..., 1]) - self.thickness_mm / 2,
            -self.inside_mm - p[..., 2],
        ]
        # Beyond a corner as far as it is: by the farther side alone the wall round it would count as thinner than it is.
        beyond = np.sqrt(sum(np.maximum(d, 0.0) ** 2 for d in off))
        return np.asarray(beyond + np.minimum(np.maximum.reduce(off), 0.0), dtype=np.float32)

    def opening(self) -> Any:
        """Return the way of the saw as a solid; of an open ledge all that lies before it."""
        if self.open_ledge:
            far = np.array([_OPEN_MM, self.thickness_mm / 2, self.top_mm + _FREE_ABOVE_MM])
            return box(-np.array([_OPEN_MM, _OPEN_MM, _OPEN_MM]), far, self.to_ras)
        half = np.array([self.width_mm / 2, self.thickness_mm / 2])
        return box(np.array([*-half, -self.inside_mm]), np.array([*half, self.top_mm + _FREE_ABOVE_MM]), self.to_ras)

    def above_top(self) -> Any:
        """Return what is cut off so that the block ends flat."""
        low, high = self.block_corners
        over = np.array([0.75, 0.75])
        return box(
            np.array([*(low[:2] - over), self.top_mm]), np.array([*(high[:2] + over), self.top_mm + 6.0]), self.to_ras
        )

    def raised(self, bone: Distance, above_mm: float) -> Slot:
        """Return the slot with its top so far above the highest bone under its block."""
        low, high = self.block_corners
        x, y = (np.arange(a, b + 0.9, 1.0) for a, b in zip(low[:2], high[:2], strict=True))
        z = np.arange(0.0, _HIGHEST_MM, 0.5)
        grid = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
        inside = bone.distance_mm(transform_points(self.to_ras, grid.reshape(-1, 3))).reshape(grid.shape[:3]) < 0
        return replace(self, top_mm=float(grid[..., 2][inside].max(initial=0.0)) + above_mm)

    def middle_points(self, step_mm: float, low_mm: float, high_mm: float) -> FloatArray:
        """Return points (N, 3) RAS of the slot's middle plane between two heights, half a step inside its ends."""
        n = max(2, int(self.width_mm / step_mm))
        x = (np.arange(n) + 0.5) / n * self.width_mm - self.width_mm / 2
        z = np.arange(low_mm, high_mm, step_mm)
        grid = np.stack(np.meshgrid(x, [0.0], z, indexing="ij"), axis=-1).reshape(-1, 3)
        return np.asarray(transform_points(self.to_ras, grid))
