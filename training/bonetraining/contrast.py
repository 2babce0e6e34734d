"""An image of any contrast from a tissue map: from CT to MR of any weighting, and contrasts that no scanner has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .patients import TISSUES, Maps

_CT_SHARE, _USUAL_MR_SHARE = 0.4, 0.35
_LARGEST_NOISE_HU = 60.0
_FEWEST_LAYERS = 8
#: About what the usual weightings show, in the order of `TISSUES`; each is scattered by a third for every image.
_USUAL_MR = (
    (0.02, 1.00, 0.35, 0.65, 0.05, 0.35, 0.18, 0.40, 0.20, 0.40),  # T1
    (0.02, 0.80, 0.22, 0.50, 0.05, 0.60, 1.00, 0.45, 0.15, 0.60),  # T2
    (0.02, 0.12, 0.30, 0.18, 0.04, 0.70, 1.00, 0.50, 0.30, 0.80),  # fat-suppressed T2, STIR
    (0.02, 0.90, 0.60, 0.65, 0.08, 0.75, 0.85, 0.65, 0.30, 0.75),  # proton density
)


def draw_image(maps: Maps, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return values (K, J, I): a CT of the patient in two of five draws, else MR of about a usual weighting or of any."""
    kind = rng.random()
    if kind < _CT_SHARE:
        shift = rng.normal(0.0, 15.0, len(TISSUES)).astype(np.float32)
        shift[TISSUES.index("air")] = 0.0
        bone = np.isin(maps.tissue, (TISSUES.index("marrow"), TISSUES.index("cortex")))
        image = maps.hu.astype(np.float32) * np.where(bone, np.float32(rng.uniform(0.65, 1.35)), np.float32(1.0))
        image += shift[maps.tissue]
        image += rng.normal(0.0, rng.uniform(0.0, _LARGEST_NOISE_HU), image.shape).astype(np.float32)
        return _blurred(image, rng)
    if kind < _CT_SHARE + _USUAL_MR_SHARE:
        level = np.array(_USUAL_MR[int(rng.integers(len(_USUAL_MR)))]) * np.exp(rng.normal(0.0, 0.3, len(TISSUES)))
    else:
        level = rng.uniform(0.0, 1.0, len(TISSUES))
        level[TISSUES.index("air")] = rng.uniform(0.0, 0.08)
        if rng.random() < 0.7:  # cortex gives no signal in MR of most weightings
            level[TISSUES.index("cortex")] = rng.uniform(0.0, 0.15)
    spread = rng.uniform(0.0, 0.08, len(TISSUES))
    grain = ndimage.gaussian_filter(rng.normal(size=maps.tissue.shape), rng.uniform(0.4, 1.5))
    grain /= max(1e-6, float(grain.std()))
    image = (level[maps.tissue] + spread[maps.tissue] * grain).astype(np.float32)
    return _thick_slices(_blurred(image, rng), rng)


def _blurred(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(image, rng.uniform(0.0, 0.9)), dtype=np.float32)


def _thick_slices(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the image as read back from slices up to three voxels thick along one axis, in half of the draws."""
    if rng.random() < 0.5:
        return image
    axis = int(rng.integers(3))
    factor = rng.uniform(1.2, 3.0)
    count = int(image.shape[axis] / factor)
    if count < _FEWEST_LAYERS:
        return image
    sigma = [0.4 * factor if a == axis else 0.0 for a in range(3)]
    zoom = [count / n if a == axis else 1.0 for a, n in enumerate(image.shape)]
    thick = ndimage.zoom(ndimage.gaussian_filter(image, sigma), zoom, order=1)
    back = [image.shape[a] / n for a, n in enumerate(thick.shape)]
    return np.asarray(ndimage.zoom(thick, back, order=1), dtype=np.float32)
