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
class PartFits:
    """Fits of consecutive parts of the anatomy, each on its own: they differ where one rigid motion does not serve.

    Parameters
    ----------
    axis_ras
        Unit vector along which the parts follow each other.
    places_mm
        The middle of each part along the axis, rising.
    poses_ras
        The 4x4 of each.
    """

    axis_ras: FloatArray
    places_mm: tuple[float, ...]
    poses_ras: tuple[FloatArray, ...]

    def apart_mm(self, pose_ras: FloatArray, points_ras: ArrayLike) -> FloatArray:
        """Return how far (...,) the parts' own fits put points (..., 3) from where `pose_ras` puts them.

        Between the middles of two parts the distance passes from the one's to the other's.
        """
        points = np.asarray(points_ras, dtype=np.float64)
        if not self.poses_ras:
            return np.zeros(points.shape[:-1])
        apart = np.stack([apart_mm(p, pose_ras, points) for p in self.poses_ras], axis=-1)
        at = np.interp(points @ self.axis_ras, self.places_mm, np.arange(len(self.places_mm)))
        lower = np.minimum(at.astype(int), max(len(self.places_mm) - 2, 0))
        upper = np.minimum(lower + 1, len(self.places_mm) - 1)
        share = at - lower
        below, above = (np.take_along_axis(apart, i[..., None], -1)[..., 0] for i in (lower, upper))
        return np.asarray((1 - share) * below + share * above)

    def inverted(self) -> PartFits:
        """Return the same fits the other way round; the axis and the places are those that the first turns them into."""
        first = self.poses_ras[0] if self.poses_ras else np.eye(4)
        axis = first[:3, :3] @ self.axis_ras
        shift = float(first[:3, 3] @ axis)
        return PartFits(axis, tuple(p + shift for p in self.places_mm), tuple(invert_rigid(p) for p in self.poses_ras))


NO_PARTS = PartFits(np.array([0.0, 0.0, 1.0]), (), ())


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
    parts
        Fitted on consecutive parts of the anatomy each.
    """

    pose_ras: FloatArray
    halves_ras: tuple[FloatArray, FloatArray]
    whole_body_ras: FloatArray
    mr_voxel_mm: float
    parts: PartFits = NO_PARTS

    def split_half_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far apart (...,) the two halves' fits put points (..., 3)."""
        return apart_mm(*self.halves_ras, points_ras)

    def selection_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far apart (...,) the result and the fit of the whole body put points (..., 3)."""
        return apart_mm(self.whole_body_ras, self.pose_ras, points_ras)

    def bend_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far (...,) the fit of the part that points (..., 3) lie in takes them from the result."""
        return self.parts.apart_mm(self.pose_ras, points_ras)

    def error_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return the expected error (...,) in mm at points (..., 3) that move with the bones.

        Of soft tissue that has moved against the bones it says nothing.
        """
        return combined_mm(
            self.split_half_mm(points_ras), self.selection_mm(points_ras), self.bend_mm(points_ras), self.mr_voxel_mm
        )

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
            self.parts.inverted(),
        )


def combined_mm(
    split_half_mm: ArrayLike, selection_mm: ArrayLike, bend_mm: ArrayLike, mr_voxel_mm: float
) -> FloatArray:
    """Return the expected error from chance in the sample, the choice of tissue, what does not move as one, and the voxels."""
    split, selection, bend = (np.asarray(v, dtype=np.float64) for v in (split_half_mm, selection_mm, bend_mm))
    squares = split**2 + (_SELECTION_SHARE * selection) ** 2 + bend**2 + (_VOXEL_SHARE * mr_voxel_mm) ** 2
    return np.asarray(np.sqrt(squares))
