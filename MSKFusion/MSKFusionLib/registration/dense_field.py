"""A displacement on a grid before another map: soft tissue moves first, then all goes where the bones go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ProcessingError
from ..frames import FloatArray, invert_rigid, transform_points
from ..interpolation import interpolate
from ..volume import Volume
from .point_map import PointMap, solve_by_steps, volume_change, voxel_points_ras

_CHUNK = 500_000
_FOLD_MM = 0.5


@dataclass(frozen=True, eq=False)
class DenseFieldMap:
    """From the CT's frame to the MR's: a displacement of the CT's points, then a rigid or piecewise map.

    Parameters
    ----------
    grid
        Where the displacement is given, in the CT's frame; nothing is displaced outside it.
    displacement_ras
        (K, J, I, 3) mm, linear between the grid's points and 0 at its border.
    common_ras
        4x4 from CT to MR.
    initial
        The map that follows the displacement, where that is more than `common_ras`.
    """

    grid: Volume
    displacement_ras: NDArray[np.float32]
    common_ras: FloatArray
    initial: PointMap | None = None

    def displacement(self, points_ras: ArrayLike) -> FloatArray:
        """Return by how much (..., 3; mm) points are displaced within the CT's frame."""
        points = np.asarray(points_ras, dtype=np.float64)
        flat = points.reshape(-1, 3)
        out = np.zeros_like(flat)
        parts = [np.ascontiguousarray(self.displacement_ras[..., n]) for n in range(3)]
        for first in range(0, len(flat), _CHUNK):
            ijk = transform_points(self.grid.ras_to_ijk, flat[first : first + _CHUNK])
            inside = np.all((ijk >= 0) & (ijk <= np.array(self.grid.shape_ijk) - 1), axis=1)
            where = first + np.flatnonzero(inside)
            for n, part in enumerate(parts):
                out[where, n] = interpolate(part, ijk[inside])
        return out.reshape(points.shape)

    def __call__(self, points_ras: ArrayLike) -> FloatArray:
        """Take points (..., 3; RAS mm) of the CT to the MR."""
        moved = np.asarray(points_ras, dtype=np.float64) + self.displacement(points_ras)
        return transform_points(self.common_ras, moved) if self.initial is None else self.initial(moved)

    def inverse(self, points_ras: ArrayLike) -> FloatArray:
        """Return the points (..., 3; RAS mm) of the CT that lie at given ones of the MR.

        Raises
        ------
        ProcessingError
            When the map folds there, so that it has no inverse.
        """
        target = np.asarray(points_ras, dtype=np.float64).reshape(-1, 3)
        back = self.initial.inverse(target) if self.initial else transform_points(invert_rigid(self.common_ras), target)
        found, miss_mm, worst = solve_by_steps(lambda at: at + self.displacement(at), back)
        if miss_mm > _FOLD_MM:
            raise ProcessingError(
                f"the tissue near {np.round(target[worst], 0)} RAS mm is moved so unevenly that it folds"
            )
        return found.reshape(np.shape(points_ras))

    def volume_changes(self) -> FloatArray:
        """Return the Jacobian determinant (K, J, I) of the whole map at the grid's points; 0 and less is a fold."""
        return volume_change(self(voxel_points_ras(self.grid)), self.grid.spacing_mm, self.grid.directions_ras)

    def field_volume_changes(self) -> FloatArray:
        """Return the same of the displacement alone, without the map that follows it."""
        moved = voxel_points_ras(self.grid) + self.displacement_ras
        return volume_change(moved, self.grid.spacing_mm, self.grid.directions_ras)
