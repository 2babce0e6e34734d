"""How far a rigid registration may be off, at any point: what fits that it was not made of say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..frames import FloatArray, invert_rigid
from ..volume import Modality, Volume
from .mutual_information import apart_mm
from .point_map import grid_over, voxel_points_ras

#: Shares of what counts besides the two halves' disagreement: the choice of tissue, and what no evidence within one pair
#: can show. From generated pairs and RIRE; see docs/methods.md.
_SELECTION_SHARE, _VOXEL_SHARE = 0.5, 0.03


@dataclass(frozen=True, eq=False)
class Refits:
    """Other fits of the same pair, each 4x4 between the same frames as the result.

    Parameters
    ----------
    pose_ras
        The result.
    halves_ras
        Fitted on one half of the blocks of the volume each.
    whole_body_ras
        Fitted on all of the body instead of what surrounds bone.
    mr_voxel_mm
        The MR's longest voxel edge.
    """

    pose_ras: FloatArray
    halves_ras: tuple[FloatArray, FloatArray]
    whole_body_ras: FloatArray
    mr_voxel_mm: float

    def split_half_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far apart (...,) the two halves' fits put points (..., 3)."""
        return apart_mm(*self.halves_ras, points_ras)

    def selection_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far apart (...,) the result and the fit of the whole body put points (..., 3)."""
        return apart_mm(self.whole_body_ras, self.pose_ras, points_ras)

    def error_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return the expected error (...,) in mm at points (..., 3) that move with the bones.

        Of soft tissue that has moved against the bones it says nothing.
        """
        return combined_mm(self.split_half_mm(points_ras), self.selection_mm(points_ras), self.mr_voxel_mm)

    def error_map(self, fixed: Volume, step_mm: float) -> Volume:
        """Return `error_mm` on a grid of `step_mm` over an image of the frame that the fits start from."""
        grid = grid_over(fixed, step_mm, "expected error in mm")
        errors = self.error_mm(voxel_points_ras(grid)).astype(np.float32)
        return grid.with_voxels(errors, modality=Modality.UNKNOWN)

    def inverted(self) -> Refits:
        """Return the same fits the other way round."""
        a, b = self.halves_ras
        return Refits(
            invert_rigid(self.pose_ras),
            (invert_rigid(a), invert_rigid(b)),
            invert_rigid(self.whole_body_ras),
            self.mr_voxel_mm,
        )


def combined_mm(split_half_mm: ArrayLike, selection_mm: ArrayLike, mr_voxel_mm: float) -> FloatArray:
    """Return the expected error from what chance in the sample gives, the choice of tissue, and the MR's resolution."""
    split, selection = np.asarray(split_half_mm, dtype=np.float64), np.asarray(selection_mm, dtype=np.float64)
    return np.asarray(np.sqrt(split**2 + (_SELECTION_SHARE * selection) ** 2 + (_VOXEL_SHARE * mr_voxel_mm) ** 2))
