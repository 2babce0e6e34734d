"""The final fit: full resolution, on what is rigid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray
from ..volume import Volume
from .mutual_information import MutualInformation, Samples, climb
from .preprocess import near_bone_under_skin
from .sampling import body_mask, crop_to_overlap, draw_samples

#: Below this much volume around bone the whole body is used instead.
LEAST_BONE_MM3 = 30_000.0


@dataclass(frozen=True, eq=False)
class BoneFit:
    """CT and MR with the part of the CT that the fit looks at."""

    ct: Volume
    mr: Volume
    mask: NDArray[np.bool_]
    on_bone: bool

    @classmethod
    def prepare(cls, ct: Volume, mr: Volume, ct_to_mr_ras: FloatArray) -> BoneFit:
        """Crop the CT to the MR's field of view and find what lies around bone there."""
        crop = crop_to_overlap(ct, mr, ct_to_mr_ras)
        mask = near_bone_under_skin(crop)
        on_bone = float(mask.sum()) * crop.voxel_mm3 >= LEAST_BONE_MM3
        return cls(crop, mr, mask if on_bone else body_mask(crop), on_bone)

    def samples(self, pose: FloatArray, seed: int, count: int) -> Samples:
        """Draw points that stay in the MR's field of view in the fit: none comes or goes to change the information."""
        return draw_samples(self.ct, self.mask, count, seed, mr=self.mr, ct_to_mr_ras=pose, margin_mm=-3.0)

    def fit(
        self,
        pose: FloatArray,
        seed: int,
        count: int,
        choose: Callable[[Samples], NDArray[np.bool_]] | None = None,
    ) -> FloatArray:
        """Return the 4x4 near `pose` with the most information; points are drawn again once it has moved.

        Parameters
        ----------
        choose
            Marks the samples (N,) to use; None uses all.
        """
        for _ in range(2):
            samples = self.samples(pose, seed, count)
            if choose is not None:
                samples = samples.subset(choose(samples))
            information = MutualInformation(samples, self.mr)
            pose = climb(information, pose, self.mr.centre_ras, bound_mm=4.0, restarts=2, overlap_weight=0.0)[1]
        return pose
