"""How well the edges of two images run along each other, for all shifts at once.

The agreement of edge directions (normalised gradient fields, squared so that contrast may invert; Haber and Modersitzki
2006, doi 10.1007/11866763_89) is a correlation of second-order tensors, so one FFT gives it for all translations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .preprocess import BODY_HU, FloatVoxels, IntArray

#: Values of CT between which edges are looked for, in HU.
_CT_RANGE_HU = (-1000.0, 700.0)
#: The body of one image may lie on so much air of the other before that costs, and what each share beyond it costs.
_FREE_AIR_SHARE, _AIR_COST = 0.05, 8.0
#: Peaks are looked for among about so many of the highest shifts first; how high that is a sample tells.
_FEW, _SAMPLE = 1000, 4000


def edge_channels(values: FloatVoxels, valid: NDArray[np.bool_]) -> FloatVoxels:
    """Return the direction of edges (6, k, j, i): a traceless tensor in an orthonormal basis of five, and its strength (0 to 1)."""
    x, y, z = (ndimage.gaussian_filter1d(values, 1.0, axis=axis, order=1) for axis in (2, 1, 0))
    xx, yy, zz = x * x, y * y, z * z
    squared = xx + yy + zz
    valid = ndimage.binary_erosion(valid)
    typical = float(squared[valid].mean()) if valid.any() else 1.0
    scale = (valid / (squared + 0.36 * typical + 1e-12)).astype(np.float32)
    root = scale * np.float32(np.sqrt(2))
    return np.stack(
        [
            (xx - yy) * scale * np.float32(np.sqrt(0.5)),
            (2 * zz - xx - yy) * scale * np.float32(np.sqrt(1 / 6)),
            x * y * root,
            x * z * root,
            y * z * root,
            squared * scale,
        ]
    )


def ct_channels(ct_hu: FloatVoxels) -> FloatVoxels:
    """Return what a CT is compared by (8, k, j, i): its edges, where it is, and where it shows air."""
    inside = np.ones(ct_hu.shape, dtype=bool)
    edges = edge_channels(np.clip(ct_hu, *_CT_RANGE_HU), inside)
    return np.concatenate([edges, inside[None].astype(np.float32), (ct_hu < BODY_HU)[None].astype(np.float32)])


def mr_channels(values: FloatVoxels, weight: FloatVoxels, valid: NDArray[np.bool_]) -> FloatVoxels:
    """Return what an MR is compared by (7, k, j, i): its edges within the foreground, and the foreground's weight."""
    return np.concatenate([edge_channels(values, valid & (weight > 0.3)), weight[None]])


def spectra(channels: FloatVoxels, shape: Sequence[int]) -> NDArray[np.complex64]:
    """Return the transforms (N, ...) of channels (N, k, j, i), padded with zeros to `shape`; the padding is not transformed."""
    rows = fft.rfft(channels, shape[2], axis=3)
    return np.asarray(fft.fft(fft.fft(rows, shape[1], axis=2), shape[0], axis=1))


def padded_shape(ct_kji: IntArray, box_kji: IntArray) -> tuple[int, int, int]:
    """Return the shape of a circular correlation that a box may stick out of the CT in, by up to three fifths of itself."""
    overhang = box_kji - np.round(0.4 * np.minimum(box_kji, ct_kji)).astype(int)
    k, j, i = (fft.next_fast_len(int(s), real=True) for s in ct_kji + overhang)
    return k, j, i


def scores(
    of_ct: NDArray[np.complex64],
    of_mr: NDArray[np.complex64],
    shape: Sequence[int],
    strength: float,
    least_count: float,
) -> FloatVoxels:
    """Return how well each shift of the MR over the CT fits, in standard deviations above an unrelated one.

    Parameters
    ----------
    of_ct, of_mr
        `spectra` of `ct_channels` and of `mr_channels`.
    strength
        The sum of the MR's edge strengths.
    least_count
        Shifts with less of the MR's foreground on the CT score minus infinity.
    """
    of_mr = np.conj(of_mr)
    products = np.empty((4, *of_mr.shape[1:]), dtype=np.complex64)
    np.einsum("nkji,nkji->kji", of_ct[:5], of_mr[:5], out=products[0])
    np.multiply(of_ct[5], of_mr[5], out=products[1])
    np.multiply(of_ct[6:], of_mr[6], out=products[2:])
    agreement, possible, count, on_air = fft.irfftn(products, shape, axes=(1, 2, 3), overwrite_x=True)
    # Tensors without trace: zero on average for unrelated directions, spread as the root of what was compared.
    np.maximum(possible, 0, out=possible)
    possible += np.float32(0.02 * strength)
    agreement /= np.sqrt(possible, out=possible)
    on_air /= np.maximum(count, 1.0)
    on_air -= np.float32(_FREE_AIR_SHARE)
    np.maximum(on_air, 0, out=on_air)
    on_air *= np.float32(_AIR_COST)
    agreement -= on_air
    agreement[count < least_count] = -np.inf
    return np.asarray(agreement)


def peaks(score: FloatVoxels, count: int) -> list[tuple[float, IntArray]]:
    """Return the highest local maxima of a periodic array, each with its index; best first."""
    flat = score.ravel()
    # Most of the array lies far below its peaks: what is above a high level is compared with its neighbours alone.
    some = flat[:: max(1, flat.size // _SAMPLE)]
    few = min(max(1, _FEW * some.size // flat.size), some.size)
    found = _peaks_above(score, float(np.partition(some, -few)[-few]))
    if len(found) < count:
        found = np.flatnonzero((score == ndimage.maximum_filter(score, 3, mode="wrap")) & np.isfinite(score))
    best = found[np.argsort(-flat[found], kind="stable")[:count]]
    return [(float(flat[b]), np.array(np.unravel_index(b, score.shape))) for b in best]


def _peaks_above(score: FloatVoxels, level: float) -> IntArray:
    """Return the flat indices of the local maxima above a level."""
    where = np.flatnonzero(score.ravel() > level)
    kji = np.stack(np.unravel_index(where, score.shape), axis=1)
    values = score.ravel()[where]
    highest = np.ones(len(where), dtype=bool)
    for offset in np.ndindex(3, 3, 3):
        beside = (kji + np.array(offset) - 1) % np.array(score.shape)
        highest &= values >= score[beside[:, 0], beside[:, 1], beside[:, 2]]
    return where[highest]
