"""What muscle and fat are worth in an MR image, read from where they lie: fat under the skin, muscle beneath it.

Weightings differ in everything but this: where fat is not suppressed it is brighter than muscle. Where the skin is not in
view, fat is not brighter than muscle, or the two cannot be told apart, nothing is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import ProcessingError
from .prepare import PreparedMR

#: Signal above this share of the image's brightest is body; skin is as deep as the first of these, fat may reach the last.
_BODY_SHARE = 0.1
SKIN_MM, _SHALLOW_MM, _DEEP_MM = 2.5, 8.0, 15.0
_LEAST_SHELL_ML = 3.0
#: Fat is so much brighter than muscle where it is not suppressed, and most of what lies just below the skin is brighter too.
_LEAST_RATIO, _LEAST_SHELL_RATIO = 1.35, 1.15
#: ... and this share of the brightest there is (fluid).
_LEAST_FAT_SHARE = 0.4
#: Muscle is darker than this share of fat, and brighter than the other: below lie cortex, tendon and air.
_MUSCLE_SHARES = (0.1, 0.78)
#: Between the two the image must be rarer than at either, by so much.
_DEEPEST_VALLEY = 0.9
#: Marrow is as bright as muscle at least where fat is not suppressed.
_LEAST_MARROW_RATIO = 0.9
_SMOOTHED_MM = 0.6
#: The fit of what is left of the shading: voxels, rounds, how far (logarithm) a voxel may be off, and what it corrects at most.
_FEWEST, _MOST_FITTED, _ROUNDS, _REACH, _MOST_FIELD = 200, 60_000, 12, 0.35, 0.7
_WAY_OUT = "Muscle and fat are labelled in T1, T2 and PD without fat suppression, with the skin in view."


@dataclass(frozen=True, eq=False)
class TissueLevels:
    """Muscle and fat in one image.

    Parameters
    ----------
    values
        (K, J, I) the image without shading, a little smoothed.
    muscle, fat
        Their values in it.
    depth_mm
        (K, J, I) how deep each voxel lies below the body's surface, 0 outside.
    apart
        0 to 1: how much rarer values between the two are than either.
    """

    values: NDArray[np.float32]
    muscle: float
    fat: float
    depth_mm: NDArray[np.float32]
    apart: float


def find_levels(
    image: PreparedMR, where: NDArray[np.bool_] | None = None, marrow: NDArray[np.bool_] | None = None
) -> TissueLevels:
    """Return what muscle and fat are worth.

    Parameters
    ----------
    where
        (K, J, I) voxels of the source among which muscle is looked for; everywhere where it is left out.
    marrow
        (K, J, I) voxels of vertebral bodies where they are known.

    Raises
    ------
    ProcessingError
        When the skin is not in view, fat is suppressed, or muscle and fat are not told apart.
    """
    source = image.source
    even = (np.asarray(source.voxels, dtype=np.float32) - float(min(0.0, source.voxels.min()))) / image.bias
    values = ndimage.gaussian_filter(even / image.signal_level, _SMOOTHED_MM / source.spacing_mm[::-1])
    brightest = float(np.percentile(values, 98.0))
    depth = body_depth_mm(values > _BODY_SHARE * brightest, source.spacing_mm[::-1])
    tissue = (depth > 0) & (values > _BODY_SHARE * brightest)
    shallow = values[(depth > SKIN_MM) & (depth < _SHALLOW_MM)]
    shell = values[tissue & (depth > SKIN_MM) & (depth < _DEEP_MM)]
    if not np.any(depth <= 0) or shell.size * source.voxel_mm3 < 1000.0 * _LEAST_SHELL_ML:
        raise ProcessingError(f"the skin is not in view: nothing says what fat is worth here. {_WAY_OUT}")
    about = float(np.percentile(shell, 80.0))
    fat = float(np.median(shell[np.abs(shell - about) < 0.25 * about]))
    among = tissue & (depth > SKIN_MM) if where is None else tissue & where & (depth > SKIN_MM)
    found = values[among]
    low, high = (s * fat for s in _MUSCLE_SHARES)
    if found.size < _FEWEST:
        raise ProcessingError(f"there is hardly any tissue that is darker than fat. {_WAY_OUT}")
    muscle = _commonest(found, low, high)
    fluid = float(np.percentile(values, 99.5))
    if (
        fat < _LEAST_FAT_SHARE * fluid
        or fat < _LEAST_RATIO * muscle
        or float(np.median(shallow)) < _LEAST_SHELL_RATIO * muscle
    ):
        raise ProcessingError(
            "what lies under the body's surface is no brighter than what lies deeper: fat is suppressed, or the skin is not"
            f" in view. {_WAY_OUT}"
        )
    if marrow is not None and marrow.any() and float(np.median(values[marrow])) < _LEAST_MARROW_RATIO * muscle:
        raise ProcessingError(f"marrow is darker than muscle: fat is suppressed in this image. {_WAY_OUT}")
    _apart(values[tissue & (depth > SKIN_MM)], muscle, fat)
    values = _evened(values, among | (tissue & (depth > SKIN_MM) & (depth < _DEEP_MM)), muscle, fat)
    found = values[among]
    muscle = _commonest(found, low, high)
    return TissueLevels(values, muscle, fat, depth, _apart(values[tissue & (depth > SKIN_MM)], muscle, fat))


def _commonest(values: NDArray[np.float32], low: float, high: float) -> float:
    """Return the value between two bounds that occurs most."""
    count, edges = np.histogram(values, 160, (0.0, 1.4 * high))
    middles, often = 0.5 * (edges[1:] + edges[:-1]), ndimage.gaussian_filter1d(count.astype(float), 2.5)
    inside = (middles > low) & (middles < high)
    return float(middles[inside][np.argmax(often[inside])])


def _apart(values: NDArray[np.float32], muscle: float, fat: float) -> float:
    """Return how much rarer (0 to 1) values between muscle and fat are than the rarer of the two.

    Raises
    ------
    ProcessingError
        When they are hardly rarer.
    """
    count, edges = np.histogram(values, 160, (0.0, 1.4 * fat))
    middles, often = 0.5 * (edges[1:] + edges[:-1]), ndimage.gaussian_filter1d(count.astype(float), 2.5)
    peaks = [float(often[np.abs(middles - v) < 0.06 * fat].max()) for v in (muscle, fat)]
    between = often[(middles > muscle) & (middles < fat)]
    valley = float(between.min(initial=np.inf)) / max(min(peaks), 1e-9)
    if not valley < _DEEPEST_VALLEY:
        raise ProcessingError(f"muscle and fat are not told apart in this image. {_WAY_OUT}")
    return 1.0 - valley


def _evened(values: NDArray[np.float32], where: NDArray[np.bool_], muscle: float, fat: float) -> NDArray[np.float32]:
    """Return the image without the shading that is left: muscle and fat made alike all over by a field that bends twice.

    After Wells et al. 1996 (doi 10.1109/42.511747), with two tissues and a quadratic logarithmic field.
    """
    at = np.argwhere(where)
    at = at[:: max(1, len(at) // _MOST_FITTED)]
    size = np.array(values.shape)
    basis = _quadratic(2.0 * at / size - 1.0)
    logs = np.log(np.maximum(values[tuple(at.T)], 1e-3))
    levels = np.log(np.array([muscle, fat]))
    field = np.zeros(basis.shape[1])
    for _ in range(_ROUNDS):
        off = (logs - basis @ field)[:, None] - levels
        own = np.abs(off).argmin(axis=1)
        off = off[np.arange(len(own)), own]
        near = np.abs(off) < _REACH
        # Both tissues say as much, however much there is of each.
        weight = np.sqrt(near / np.maximum(np.bincount(own, near, 2), 1.0)[own])
        small = 1e-3 * np.eye(basis.shape[1])
        change = np.linalg.lstsq(
            np.vstack([basis * weight[:, None], small]), np.append(off * weight, np.zeros(len(small))), rcond=None
        )[0]
        change[0] = 0.0  # the levels stay what they are
        field += change
    out = np.empty_like(values)
    for k in range(size[0]):
        j, i = np.meshgrid(*(2.0 * np.arange(n) / n - 1.0 for n in size[1:]), indexing="ij")
        place = np.stack([np.full(j.shape, 2.0 * k / size[0] - 1.0), j, i], axis=-1)
        out[k] = values[k] / np.exp(np.clip(_quadratic(place) @ field, -_MOST_FIELD, _MOST_FIELD))
    return out


def _quadratic(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1, the coordinates (..., 3) and their products (..., 10)."""
    k, j, i = np.moveaxis(place, -1, 0)
    return np.stack([np.ones_like(k), k, j, i, k * k, j * j, i * i, k * j, j * i, k * i], axis=-1)


def body_depth_mm(signal: NDArray[np.bool_], spacing_kji_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return how deep each voxel lies in the body (K, J, I), 0 outside; where the image ends the body goes on.

    Parameters
    ----------
    signal
        Where there is some.
    """
    across = int(np.argmax(spacing_kji_mm))
    joined = ndimage.binary_closing(np.pad(signal, 2, mode="edge"), iterations=2)[2:-2, 2:-2, 2:-2]
    pieces, _ = ndimage.label(~joined)
    # Air is what reaches the image's border within a slice; cortex, gas and flow inside the body do not.
    edges = [pieces.take(end, axis).ravel() for axis in range(3) if axis != across for end in (0, -1)]
    outside = np.unique(np.concatenate(edges))
    air = np.isin(pieces, outside[outside > 0])
    sizes = np.bincount(pieces.ravel())
    small = np.flatnonzero(sizes < 0.005 * signal.size)
    air &= ~np.isin(pieces, small)
    if not air.any():
        return np.zeros(signal.shape, dtype=np.float32)
    return np.asarray(ndimage.distance_transform_edt(~air, sampling=spacing_kji_mm), dtype=np.float32)
