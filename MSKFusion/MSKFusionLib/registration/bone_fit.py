"""The final fit: full resolution, on what is rigid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray
from ..volume import Volume
from .climb import climb
from .landmarks import LandmarkPairs
from .mutual_information import MutualInformation, Samples
from .pair import Pair
from .preprocess import at_spacing, near_bone_under_skin
from .sampling import body_mask, crop_to_overlap, draw_samples

#: Below this much volume around bone the whole body is used instead.
LEAST_BONE_MM3 = 30_000.0


@dataclass(frozen=True, eq=False)
class BoneFit:
    """CT and MR with the part of the CT that the fit looks at.

    Parameters
    ----------
    ct, mr
        At full resolution.
    grid
        A coarser CT, whose grid the masks are on.
    mask, body
        What lies around bone (all of the body where there is too little bone), and the body with its skin.
    on_bone
        Whether the mask is around bone.
    """

    ct: Volume
    mr: Volume
    grid: Volume
    mask: NDArray[np.bool_]
    body: NDArray[np.bool_]
    on_bone: bool

    @classmethod
    def prepare(cls, pair: Pair, ct_to_mr_ras: FloatArray) -> BoneFit:
        """Crop the CT to the MR's field of view and find what lies around bone there."""
        crop = crop_to_overlap(pair.ct, pair.mr, ct_to_mr_ras)
        grid = at_spacing(crop, 1.8)
        mask = body = body_mask(grid)
        on_bone = False
        if pair.shows_bone:
            near_bone = near_bone_under_skin(grid)
            on_bone = float(near_bone.sum()) * grid.voxel_mm3 >= LEAST_BONE_MM3
            mask = near_bone if on_bone else body
        return cls(crop, pair.mr, grid, mask, body, on_bone)

    @property
    def mask_mm3(self) -> float:
        """The volume that the fit looks at."""
        return float(self.mask.sum()) * self.grid.voxel_mm3

    @property
    def mr_voxel_mm(self) -> float:
        """The MR's longest voxel edge: how finely it can be told where a surface lies."""
        return float(self.mr.spacing_mm.max())

    def samples(self, pose: FloatArray, seed: int, count: int, *, whole_body: bool = False) -> Samples:
        """Draw points in the MR's field of view at `pose`, its first and last slices included.

        Where slices are thick these two hold much of what there is: without them RIRE's head is placed 0.2 mm worse.
        """
        mask = self.body if whole_body else self.mask
        return draw_samples(self.ct, self.grid, mask, count, seed, mr=self.mr, ct_to_mr_ras=pose, margin_mm=0.0)

    def fit(self, pose: FloatArray, seed: int, count: int, landmarks: LandmarkPairs | None = None) -> FloatArray:
        """Return the 4x4 near `pose` with the most information: first of a quarter of the points, then of all."""
        for drawn in (count // 4, count):
            pose = self.climb(self.samples(pose, seed, drawn), pose, landmarks)
        return pose

    def climb(self, samples: Samples, pose: FloatArray, landmarks: LandmarkPairs | None = None) -> FloatArray:
        """Return the 4x4 near `pose` with the most information in these samples."""
        information = MutualInformation(samples, self.mr)
        return climb(
            information,
            pose,
            self.mr.centre_ras,
            bound_mm=4.0,
            restarts=2,
            overlap_weight=0.0,
            landmarks=landmarks,
        )[1]
