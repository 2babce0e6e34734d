"""Screws in a generated CT, with the streaks that metal makes.

Rays through metal lose more of the soft part of the beam than the reconstruction believes (beam hardening), and hardly
any photons arrive behind long ways through it (starvation). Both are errors of the projections of the slices that hold
metal: they are made there, in parallel beams, and reconstructed on their own into the picture that is added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from MSKFusionLib.volume import Volume

METAL_HU = 3071
_ANGLES_DEG = np.arange(0.0, 180.0, 2.0)
_STREAK_MM = 1.4
_WATER_PER_MM = 0.02
#: Titanium takes about five times more than water at 70 keV; hardening loses a share of the squared way.
_METAL_TO_WATER, _HARDENING, _STARVATION = 5.0, 0.06, 0.012


def with_screws(ct: Volume, lines_ras: ArrayLike, radius_mm: float, seed: int) -> tuple[Volume, NDArray[np.bool_]]:
    """Return the CT with a cylinder of metal along each line (N, 2, 3), and where the metal is (K, J, I)."""
    metal = np.zeros(ct.voxels.shape, dtype=bool)
    for start, end in np.asarray(lines_ras, dtype=float):
        metal |= _cylinder(ct, start, end, radius_mm)
    hu = ct.voxels.astype(np.float32)
    rng = np.random.default_rng([seed, 77])
    for k in np.flatnonzero(metal.any(axis=(1, 2))):
        hu[k] += _streaks(metal[k], hu[k], ct.spacing_mm[:2], rng)
    hu[metal] = METAL_HU
    return ct.with_voxels(np.clip(np.rint(hu), -1024, METAL_HU).astype(np.int16), step="screws with streaks"), metal


def _cylinder(ct: Volume, start: NDArray[np.float64], end: NDArray[np.float64], radius_mm: float) -> NDArray[np.bool_]:
    out = np.zeros(ct.voxels.shape, dtype=bool)
    ends = np.stack([start, end]) @ ct.ras_to_ijk[:3, :3].T + ct.ras_to_ijk[:3, 3]
    reach = np.ceil(radius_mm / ct.spacing_mm) + 1
    low = np.clip(np.floor(ends.min(0) - reach), 0, ct.shape_ijk).astype(int)
    high = np.clip(np.ceil(ends.max(0) + reach) + 1, 0, ct.shape_ijk).astype(int)
    i, j, k = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
    points = np.stack([i, j, k], axis=-1) @ ct.ijk_to_ras[:3, :3].T + ct.ijk_to_ras[:3, 3]
    along = end - start
    share = np.clip((points - start) @ along / (along @ along), 0, 1)
    inside = np.linalg.norm(points - start - share[..., None] * along, axis=-1) < radius_mm
    out[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = inside.transpose(2, 1, 0)
    return out


def _streaks(
    metal: NDArray[np.bool_], hu: NDArray[np.float32], spacing_mm: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what the errors of the projections of one slice (J, I) add to it, in HU."""
    zoom = spacing_mm[::-1] / _STREAK_MM
    small = ndimage.zoom(metal.astype(np.float32), zoom, order=1)
    body = ndimage.zoom(np.clip(hu / 1000.0 + 1.0, 0, 2.5), zoom, order=1)
    side = int(np.ceil(np.hypot(*small.shape))) + 2
    square = np.zeros((2, side, side), dtype=np.float32)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    at = (slice(top, top + small.shape[0]), slice(left, left + small.shape[1]))
    square[0][at], square[1][at] = small, body
    filtered = np.abs(np.fft.rfftfreq(2 * side)) * 2
    total = np.zeros((side, side), dtype=np.float32)
    for angle in _ANGLES_DEG:
        turned = ndimage.rotate(square, angle, axes=(1, 2), reshape=False, order=1)
        ways = turned.sum(axis=1) * _STREAK_MM * _WATER_PER_MM
        metal_way, whole_way = ways[0] * _METAL_TO_WATER, ways[1] + ways[0] * _METAL_TO_WATER
        error = -_HARDENING * metal_way**2
        # Noise of the logarithm of few photons, where metal is in the ray.
        error += _STARVATION * np.exp(np.minimum(whole_way, 9.0) / 2) * rng.standard_normal(side) * (metal_way > 0.05)
        ramp = np.fft.irfft(np.fft.rfft(error, 2 * side) * filtered, 2 * side)[:side]
        back = np.broadcast_to(ramp.astype(np.float32), (side, side))
        total += ndimage.rotate(back, -angle, reshape=False, order=1)
    picture = total * np.pi / (2 * len(_ANGLES_DEG)) / (_STREAK_MM * _WATER_PER_MM) * 1000.0
    grown = ndimage.zoom(picture[at], np.array(hu.shape) / np.array(small.shape), order=1)
    return np.asarray(grown[: hu.shape[0], : hu.shape[1]], dtype=np.float32)
