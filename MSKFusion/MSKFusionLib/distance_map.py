"""How far the voxels of a grid are from a mask."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray


def signed_distance_mm(mask: NDArray[np.bool_], spacing_kji_mm: ArrayLike) -> NDArray[np.float32]:
    """Return each voxel's distance (K, J, I) to the outermost voxels of `mask`, in mm: negative deeper inside.

    It is exact between voxel centres (Maurer et al. 2003, doi 10.1109/TPAMI.2003.1177156): 0 in the outermost voxels of
    the mask, one voxel's spacing in those beside it. Infinite everywhere for an empty mask.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(np.asarray(spacing_kji_mm, dtype=np.float64)[::-1].tolist())
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.asarray(sitk.GetArrayFromImage(distance), dtype=np.float32)
