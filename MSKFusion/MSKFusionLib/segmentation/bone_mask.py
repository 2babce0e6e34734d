"""Where bone is, on the working grid: a threshold that fits the patient, grown from what is surely bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Soft tissue of any patient lies between fat and enhanced organs.
_SOFT_RANGE_HU = (-40.0, 140.0)
METAL_HU = 2500.0


def soft_tissue_hu(hu: NDArray[np.float32]) -> tuple[float, float]:
    """Return the commonest value of soft tissue and its spread (standard deviation, noise included) in HU."""
    values = hu[(hu > _SOFT_RANGE_HU[0]) & (hu < _SOFT_RANGE_HU[1])]
    if values.size < 100:
        return 50.0, 20.0
    counts, edges = np.histogram(values, bins=90, range=_SOFT_RANGE_HU)
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 3)
    mode = float(edges[int(smooth.argmax())] + 1.0)
    # The half above the mode is muscle and organs only; below it fat adds to the spread.
    above = values[values > mode] - mode
    return mode, float(np.clip(1.4826 * np.median(above), 8.0, 60.0))


def bone_threshold_hu(hu: NDArray[np.float32]) -> float:
    """Return the value above which smoothed voxels may be bone: soft tissue with its noise lies below it."""
    mode, spread = soft_tissue_hu(hu)
    return float(np.clip(mode + max(90.0, 3.0 * spread), 130.0, 230.0))


def bone_mask(hu: NDArray[np.float32], threshold_hu: float, spacing_mm: float) -> NDArray[np.bool_]:
    """Return where bone is: above the threshold and connected to something as dense as cortex.

    Parameters
    ----------
    hu
        Smoothed CT (K, J, I).
    """
    candidate = hu > threshold_hu
    labels, count = ndimage.label(candidate)
    if not count:
        return candidate
    dense = np.bincount(labels.ravel(), weights=(hu > threshold_hu + 120).ravel().astype(float), minlength=count + 1)
    size = np.bincount(labels.ravel(), minlength=count + 1)
    keep = (dense * spacing_mm**3 > 30) & (size * spacing_mm**3 > 80)
    keep[0] = False
    mask: NDArray[np.bool_] = keep[labels]
    return mask
