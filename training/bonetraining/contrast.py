"""An image of any contrast from a tissue map: from CT to MR of any weighting, and contrasts that no scanner has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .patients import TISSUES, Maps

_CT_SHARE = 0.35
_LARGEST_NOISE_HU = 60.0
_FEWEST_LAYERS = 8


def draw_image(maps: Maps, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return values (K, J, I): a CT of the patient in about a third of the draws, else a grey value drawn for each tissue."""
    if rng.random() < _CT_SHARE:
        image = maps.hu.astype(np.float32)
        image += rng.normal(0.0, rng.uniform(0.0, _LARGEST_NOISE_HU), image.shape).astype(np.float32)
        return _blurred(image, rng)
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
