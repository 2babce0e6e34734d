"""A border found along rays: where each ray leaves a tissue, held to how its neighbours leave it.

The rays stand on a grid (over an endplate, around a wall). Each has a cost for every place where the border may be; the
borders move together, each to the cheapest place near where its neighbours say it should be (iterated conditional
modes, Besag 1986, doi 10.1111/j.2517-6161.1986.tb01412.x), on top of the shape that they start from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...frames import FloatArray

#: Distance between the samples of a ray.
STEP_MM = 0.5
#: A change of this share of the tissue's own value is another tissue; a rise of `unlike` by `_SHARP` a mm is a sharp border.
_OTHER_SHARE, _SHARP = 0.45, 0.5
_ROUNDS = 12


@dataclass(frozen=True, eq=False)
class Border:
    """Where a grid of rays leaves a tissue.

    Parameters
    ----------
    at_mm
        Along each ray (U, V).
    seen
        0 to 1: how clearly (U, V).
    """

    at_mm: FloatArray
    seen: FloatArray


def unlike(values: NDArray[np.float32], tissue: float) -> NDArray[np.float32]:
    """Return how unlike a tissue's value each value is: 0 the same, from 1 on another; 0 where there is no value (NaN)."""
    apart = np.abs(values - tissue) / (_OTHER_SHARE * max(tissue, 1e-6))
    return np.nan_to_num(np.minimum(apart, 1.5), nan=0.0).astype(np.float32)


def first_leave_mm(
    values: NDArray[np.float32], tissue: float, enough: float = 0.55, lasting: int = 2
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return where each ray (..., T) first leaves a tissue (NaN: nowhere), and whether it runs out of the image before.

    Parameters
    ----------
    lasting
        So many samples one after another must be unlike the tissue.
    """
    off = unlike(values, tissue) > enough
    run = off.copy()
    for n in range(1, lasting):
        run[..., :-n] &= off[..., n:]
        run[..., -n:] = False
    found = run.any(axis=-1)
    at = np.where(found, run.argmax(axis=-1) * STEP_MM, np.nan)
    missing = np.isnan(values)
    ends = np.where(missing.any(axis=-1), missing.argmax(axis=-1) * STEP_MM, np.inf)
    out = ends < np.where(found, at, np.inf)
    return np.where(out, ends, at), out


def leaving_cost(apart: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cost (..., T) of a border at each sample of rays along which `unlike` is known: -1 sharp, 1 beyond another."""
    smooth = ndimage.gaussian_filter1d(apart, 1.0, axis=-1, mode="nearest")
    rise = np.gradient(smooth, STEP_MM, axis=-1)
    beyond = np.maximum.accumulate(smooth, axis=-1)
    back = round(1.5 / STEP_MM)
    beyond = np.concatenate([np.zeros_like(beyond[..., :back]), beyond[..., :-back]], axis=-1)
    return np.asarray(-np.clip(rise / _SHARP, 0, 1) + np.clip((beyond - 0.5) / 0.4, 0, 1), dtype=np.float32)


def settle(
    cost: NDArray[np.float32],
    start_mm: FloatArray,
    *,
    sigma: tuple[float, float],
    around: tuple[bool, bool] = (False, False),
    stiffness: float = 0.12,
    within_mm: float = 6.0,
) -> Border:
    """Return the border that the rays agree on.

    Parameters
    ----------
    cost
        (U, V, T), from `leaving_cost`; sample t lies t times `STEP_MM` along the ray.
    start_mm
        (U, V): the shape that it keeps where nothing is seen.
    sigma
        How far neighbours speak for each other, in rays along U and V.
    around
        Whether the first and the last ray along U or V are neighbours.
    stiffness
        Cost of each squared mm away from where the neighbours say.
    within_mm
        A border further than this from the start is not looked for.
    """
    t = np.arange(cost.shape[-1]) * STEP_MM
    modes = tuple("wrap" if a else "nearest" for a in around)
    far = np.abs(t - start_mm[..., None]) > within_mm
    base = np.where(far, 9.0, cost)
    offset = np.zeros_like(start_mm)
    at, seen = start_mm.copy(), np.zeros_like(start_mm)
    for n in range(_ROUNDS):
        firm = stiffness * min(1.0, 0.15 + 0.1 * n)
        total = base + firm * (t - (start_mm + offset)[..., None]) ** 2
        best = total.argmin(axis=-1)
        at = t[best]
        seen = np.clip(-np.take_along_axis(cost, best[..., None], -1)[..., 0], 0.0, 1.0)
        weight = seen + 0.02
        smooth = [ndimage.gaussian_filter(a, sigma, mode=modes) for a in (weight * (at - start_mm), weight)]
        offset = smooth[0] / smooth[1]
    # Clear places stay where they are; the others follow their neighbours.
    fine = ndimage.gaussian_filter(seen * (at - start_mm) + 0.3 * offset, 0.6, mode=modes)
    fine /= ndimage.gaussian_filter(seen + 0.3, 0.6, mode=modes)
    return Border(start_mm + fine, seen)
