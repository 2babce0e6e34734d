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
    """

    ct: Volume
    mr: Volume
    grid: Volume
    mask: NDArray[np.bool_]
    body: NDArray[np.bool_]
    on_bone: bool

    @classmethod
    def prepare(cls, ct: Volume, mr: Volume, ct_to_mr_ras: FloatArray) -> BoneFit:
        """Crop the CT to the MR's field of view and find what lies around bone there."""
        crop = crop_to_overlap(ct, mr, ct_to_mr_ras)
        grid = at_spacing(crop, 1.8)
        mask, body = near_bone_under_skin(grid), body_mask(grid)
        on_bone = float(mask.sum()) * grid.voxel_mm3 >= LEAST_BONE_MM3
        return cls(crop, mr, grid, mask if on_bone else body, body, on_bone)

    @property
    def mr_voxel_mm(self) -> float:
        """The MR's longest voxel edge: how finely it can be told where a surface lies."""
        return float(self.mr.spacing_mm.max())

    def samples(self, pose: FloatArray, seed: int, count: int, *, whole_body: bool = False) -> Samples:
        """Draw points that stay in the MR's field of view in the fit: none comes or goes to change the information."""
        mask = self.body if whole_body else self.mask
        return draw_samples(self.ct, self.grid, mask, count, seed, mr=self.mr, ct_to_mr_ras=pose, margin_mm=-3.0)

    def fit(self, pose: FloatArray, seed: int, count: int, landmarks: LandmarkPairs | None = None) -> FloatArray:
        """Return the 4x4 near `pose` with the most information; points are drawn again once it has moved."""
        for _ in range(2):
            pose = self.climb(self.samples(pose, seed, count), pose, landmarks)
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
