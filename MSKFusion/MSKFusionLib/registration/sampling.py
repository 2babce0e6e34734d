"""Points of the CT at which it is compared with the MR."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError
from ..frames import FloatArray, invert_rigid, transform_points
from ..volume import Volume
from .mutual_information import Samples
from .preprocess import BODY_HU, tissue_classes

LEAST_SAMPLES = 500


def body_mask(ct: Volume, margin_voxels: int = 1) -> NDArray[np.bool_]:
    """Return the body with a rim of air around it."""
    return ndimage.binary_dilation(ct.voxels > BODY_HU, iterations=margin_voxels)


def draw_samples(
    ct: Volume,
    grid: Volume,
    mask: NDArray[np.bool_],
    count: int,
    seed: int,
    *,
    mr: Volume | None = None,
    ct_to_mr_ras: FloatArray | None = None,
    margin_mm: float = 12.0,
) -> Samples:
    """Draw at most `count` points within a mask, jittered off the voxel centres, with their tissue class.

    Parameters
    ----------
    ct
        Where the classes are read.
    grid, mask
        The mask, and the image on whose grid it is (it may be coarser than `ct`).
    mr, ct_to_mr_ras
        When given, only points that lie in the MR's field of view, or within `margin_mm` of it, under this 4x4.

    Raises
    ------
    InputError
        When fewer than 500 points are there.
    """
    rng = np.random.default_rng(seed)
    flat = np.flatnonzero(mask.ravel())
    wished = count if mr is None else 4 * count
    # Shuffled also when all are taken: the first `count` that are in view must not be the lowest slices.
    # A coarse mask has fewer voxels than points are wished for: then each gives several.
    times = min(4, -(-wished // max(1, len(flat))))
    flat = rng.permutation(np.tile(flat, times))[:wished]
    kji = np.stack(np.unravel_index(flat, mask.shape), 1) + rng.uniform(-0.5, 0.5, (len(flat), 3))
    points = transform_points(grid.ijk_to_ras, np.clip(kji, 0, np.array(mask.shape) - 1)[:, ::-1])
    if mr is not None and ct_to_mr_ras is not None:
        ijk = transform_points(mr.ras_to_ijk @ ct_to_mr_ras, points)
        margin = margin_mm / mr.spacing_mm
        points = points[np.all((ijk > -margin) & (ijk < np.array(mr.shape_ijk) - 1 + margin), axis=1)][:count]
    if len(points) < LEAST_SAMPLES:
        raise InputError(
            "the two images show too little of the same body to be compared", "Check that they are one patient's."
        )
    return samples_at(ct, points)


def samples_at(ct: Volume, points_ras: FloatArray) -> Samples:
    """Return points (N, 3) with the tissue class that the CT has there."""
    at_kji = transform_points(ct.ras_to_ijk, points_ras)[:, ::-1]
    return Samples(points_ras, tissue_classes(ndimage.map_coordinates(ct.voxels, at_kji.T, order=1, mode="nearest")))


def crop_to_overlap(ct: Volume, mr: Volume, ct_to_mr_ras: FloatArray, margin_mm: float = 18.0) -> Volume:
    """Return the part of the CT that lies in the MR's field of view, and a margin."""
    ijk = transform_points(ct.ras_to_ijk @ invert_rigid(ct_to_mr_ras), mr.corners_ras())
    margin = margin_mm / ct.spacing_mm
    lower = np.clip(np.floor(ijk.min(0) - margin), 0, np.array(ct.shape_ijk) - 1)
    upper = np.clip(np.ceil(ijk.max(0) + margin) + 1, 0, ct.shape_ijk)
    if np.any(upper - lower < 4):
        return ct
    return ct.cropped(lower, upper)
