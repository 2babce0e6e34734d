"""Voxel centres that lie bent in the patient: what a scanner sees of a body that has moved softly since the CT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from ..frames import FloatArray
from .grid import FloatImage, Grid


@dataclass(frozen=True, eq=False)
class BentGrid(Grid):
    """A grid whose voxel centres are where a smooth map takes them.

    Shapes and textures are evaluated at the moved places themselves; nothing is rendered straight and bent afterwards.

    Parameters
    ----------
    bend
        Takes points (..., 3; world mm) to where they are in the unbent patient.
    reach_mm
        The farthest that `bend` takes any point.
    _places
        The bent places (3, K, J, I) of a block of a grid where they are known already.
    """

    bend: Callable[[FloatArray], FloatArray]
    reach_mm: float
    _places: FloatImage | None = None

    @cached_property
    def places(self) -> FloatImage:
        """The world coordinates (3, K, J, I; mm) of every voxel centre, bent."""
        if self._places is not None:
            return self._places
        out = np.empty((3, *self.shape), dtype=np.float32)
        for k in range(self.shape[0]):
            layer = Grid.block(self, (k, 0, 0), (k + 1, *self.shape[1:]))
            straight = np.stack(layer.coordinates(), axis=-1).astype(np.float64)
            out[:, k : k + 1] = np.moveaxis(self.bend(straight), -1, 0)
        return out

    def block(self, lower_kji: ArrayLike, upper_kji: ArrayLike) -> Grid:
        """Return the part of the grid between two indices (upper not included), its places shared."""
        straight = Grid.block(self, lower_kji, upper_kji)
        lo, hi = np.asarray(lower_kji, dtype=int), np.asarray(upper_kji, dtype=int)
        box = tuple(slice(int(a), int(b)) for a, b in zip(lo, hi, strict=True))
        return BentGrid(straight.shape, straight.ijk_to_world, self.bend, self.reach_mm, self.places[:, *box])

    def box_around(self, lower: ArrayLike, upper: ArrayLike, frame_to_world: FloatArray) -> tuple[slice, ...] | None:
        """Return the array slices that hold a box given in another frame, with room for how far places are bent."""
        room = self.reach_mm
        return Grid.box_around(self, np.asarray(lower) - room, np.asarray(upper) + room, frame_to_world)

    def coordinates(self, world_to_frame: FloatArray | None = None) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Return x, y, z of every bent place in a frame, as float32 arrays of the grid's shape."""
        x, y, z = self.places
        if world_to_frame is None:
            return x, y, z
        m = world_to_frame.astype(np.float32)
        first, second, third = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in m[:3])
        return first, second, third
