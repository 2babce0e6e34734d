"""Discs found along the spine: where two endplates lie close together with less between them, level after level.

The body region is read in the canal's curved frame. For every place and tilt, the mean over a plane says how dense it
is; a disc is a valley between two ridges. Pedicles, which every body has in its upper half and no disc has, are the
second evidence, because in porous bone a disc is denser than the marrow. The discs of the whole spine are then chosen
together (dynamic programming): heights of neighbouring vertebrae are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..frames import FloatArray
from ..volume import Volume
from .spine_axis import SpineAxis, sample_along

_SAGITTAL_TILTS_DEG = np.arange(-30.0, 31.0, 6.0)
_CORONAL_TILTS_DEG = np.arange(-20.0, 21.0, 5.0)
_HALF_DISC_MM = 9
#: From the middle of a disc to the middle of the next one.
_MIN_LEVEL_MM, _MAX_LEVEL_MM = 14, 50
_U = np.arange(-14.0, 15.0, 2.0)
_V = np.arange(4.0, 50.0, 2.0)
_MIN_DISC_SCORE = 0.45
#: A vertebra and its disc are about this high, in depths of the body, from the mid thoracic spine to L5.
_HEIGHT_TO_DEPTH = 0.85


@dataclass(frozen=True, eq=False)
class Disc:
    """The mid-plane of an intervertebral disc.

    Parameters
    ----------
    step
        Where it crosses the axis through the middles of the bodies, in steps of the spine axis.
    centre_ras, normal_ras
        A point of the plane and its unit normal, towards the head.
    score
        Contrast of the endplates to what is between them, and of the pedicles; about 1 for a clear disc, 0 for none.
    """

    step: float
    centre_ras: FloatArray
    normal_ras: FloatArray
    score: float


@dataclass(frozen=True, eq=False)
class BodyColumn:
    """Where the vertebral bodies lie in front of the canal: distances in mm along the anterior direction, per step."""

    back_mm: FloatArray
    front_mm: FloatArray

    @property
    def middle_mm(self) -> FloatArray:
        """Distance of the bodies' middle from the canal's centre line."""
        return (self.back_mm + self.front_mm) / 2


def body_column(axis: SpineAxis, hu: NDArray[np.float32], grid: Volume) -> BodyColumn:
    """Return how far in front of the canal the bodies begin and end."""
    u, v = np.meshgrid(np.arange(-8.0, 9.0, 2.0), np.arange(0.0, 56.0, 1.0))
    values = sample_along(axis, hu, grid, np.arange(len(axis)), u, v).reshape(len(axis), *u.shape)
    weight = np.clip((values - 60.0) / 200.0, 0, 1).mean(axis=2)
    # Endplates are dense where the marrow is not: they speak for a whole body height.
    window = round(30 / axis.step_mm) | 1
    strong = ndimage.gaussian_filter1d(ndimage.maximum_filter1d(weight, window, axis=0), 8.0 / axis.step_mm, axis=0)
    plateau = np.median(strong[:, 10:22], axis=1)
    back, front = np.full(len(axis), 7.0), np.full(len(axis), 36.0)
    for n in range(len(axis)):
        inside = strong[n] > 0.5 * plateau[n]
        back[n] = np.clip(int(inside[:18].argmax()), 4, 14)
        beyond = np.flatnonzero(~inside[18:])
        front[n] = 18 + beyond[0] if len(beyond) else 46.0
    smooth = 15.0 / axis.step_mm
    return BodyColumn(
        ndimage.gaussian_filter1d(back, smooth, mode="nearest"),
        ndimage.gaussian_filter1d(np.clip(front, 20, 48), smooth, mode="nearest"),
    )


def find_discs(axis: SpineAxis, column: BodyColumn, hu: NDArray[np.float32], grid: Volume) -> tuple[Disc, ...]:
    """Return the discs in view from head to foot.

    Parameters
    ----------
    hu
        CT on a straight grid of about 1 mm (K, J, I).
    """
    score, sagittal, coronal = _disc_scores(axis, column, hu, grid)
    pedicles = _pedicle_profile(axis, hu, grid)
    # A disc has open foramina beside the canal, and pedicles begin a few mm below it.
    shift = round(11 / axis.step_mm)
    below = np.concatenate([pedicles[shift:], np.full(shift, pedicles[-1])])
    contrast = np.clip((below - pedicles) / max(np.ptp(pedicles), 0.05), -0.8, 0.8)
    evidence = score + 0.8 * contrast
    chosen = _choose(evidence, _HEIGHT_TO_DEPTH * (column.front_mm - column.back_mm), axis.step_mm)
    discs = []
    for step in chosen:
        sag, cor = np.radians(sagittal[step]), np.radians(coronal[step])
        centre = axis.points_ras(step, 0.0, column.middle_mm[step])
        # The plane s = v tan(sagittal) + u tan(coronal) in the frame of the axis; s runs to the feet.
        normal = np.tan(sag) * axis.anterior[step] + np.tan(cor) * axis.right[step] - axis.caudal[step]
        discs.append(Disc(float(step), centre, normal / np.linalg.norm(normal), float(evidence[step])))
    return tuple(discs)


def _disc_scores(
    axis: SpineAxis, column: BodyColumn, hu: NDArray[np.float32], grid: Volume
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the best score of a disc at every step, and the tilts (degrees) that it has it with."""
    margin = 14
    steps = np.arange(-margin, len(axis) + margin)
    u, v = np.meshgrid(_U, _V)
    values = np.clip(sample_along(axis, hu, grid, steps, u, v), -50, 450)
    middle, half = column.middle_mm, np.maximum(column.front_mm - column.back_mm, 16) / 2
    offset_v = v.ravel()[None] - middle[:, None]
    inside = (offset_v / (0.72 * half[:, None])) ** 2 + (u.ravel()[None] / 14.0) ** 2 < 1
    weight = inside / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    best = np.full(len(axis), -np.inf)
    best_sag, best_cor = np.zeros(len(axis)), np.zeros(len(axis))
    column_index = np.arange(u.size)[None]
    reach = np.arange(2, _HALF_DISC_MM + 1)
    for sag in _SAGITTAL_TILTS_DEG:
        for cor in _CORONAL_TILTS_DEG:
            offset = np.round(offset_v * np.tan(np.radians(sag)) + u.ravel()[None] * np.tan(np.radians(cor)))
            row = np.clip(np.arange(len(axis))[:, None] + offset.astype(int) + margin, 0, len(steps) - 1)
            mean = (values[row, column_index] * weight).sum(axis=1)
            mean = ndimage.gaussian_filter1d(mean, 0.7)
            padded = np.pad(mean, _HALF_DISC_MM, mode="edge")
            up = np.max([padded[_HALF_DISC_MM - r : len(padded) - _HALF_DISC_MM - r] for r in reach], axis=0)
            down = np.max([padded[_HALF_DISC_MM + r : len(padded) - _HALF_DISC_MM + r] for r in reach], axis=0)
            valley = np.minimum(up, down) - mean + 0.15 * (np.maximum(up, down) - mean)
            # A small preference for planes across the axis decides where the picture does not.
            valley -= 0.15 * np.hypot(sag, cor)
            better = valley > best
            best[better], best_sag[better], best_cor[better] = valley[better], sag, cor
    scale = max(float(np.percentile(best, 93)), 25.0)
    return np.clip(best / scale, -0.5, 1.5), best_sag, best_cor


def _pedicle_profile(axis: SpineAxis, hu: NDArray[np.float32], grid: Volume) -> FloatArray:
    """Return how much bone lies beside the front half of the canal on the weaker side, per step."""
    sides = []
    for sign in (-1, 1):
        u, v = np.meshgrid(sign * np.arange(9.0, 19.0, 1.5), np.arange(-2.0, 8.0, 2.0))
        values = sample_along(axis, hu, grid, np.arange(len(axis)), u, v).reshape(len(axis), *u.shape)
        bone = np.clip((values - 100.0) / 250.0, 0, 1)
        sides.append(bone.max(axis=2).mean(axis=1))
    return ndimage.gaussian_filter1d(np.minimum(*sides) + 0.3 * np.maximum(*sides), 2.0 / axis.step_mm)


def _choose(score: FloatArray, expected_mm: FloatArray, step_mm: float) -> list[int]:
    """Return the steps of the discs that are best together: high scores, level heights that change little."""
    peaks = np.flatnonzero((score == ndimage.maximum_filter1d(score, 5)) & (score > 0.1))
    if not len(peaks):
        return []
    low, high = _MIN_LEVEL_MM / step_mm, _MAX_LEVEL_MM / step_mm
    # best[(a, b)]: the best sum of a chain whose last two discs are peaks a and b.
    best: dict[tuple[int, int], tuple[float, int]] = {}
    gain = score - _MIN_DISC_SCORE
    for b in range(len(peaks)):
        best[-1, b] = (float(gain[peaks[b]]), -2)
        for a in range(b):
            gap = peaks[b] - peaks[a]
            if not low <= gap <= high:
                continue
            unusual = np.log(gap * step_mm / expected_mm[(peaks[a] + peaks[b]) // 2])
            here = gain[peaks[b]] - 0.5 * (unusual / 0.3) ** 2
            options = [(best[-1, a][0] + here, -1)]
            for before in range(a):
                if (before, a) in best:
                    ratio = np.log(gap / (peaks[a] - peaks[before]))
                    options.append((best[before, a][0] + here - 0.5 * (ratio / 0.3) ** 2, before))
            best[a, b] = max(options)
    a, b = max(best, key=lambda key: best[key][0])
    chain = [b]
    while a >= 0:
        before = best[a, b][1]
        chain.append(a)
        a, b = before, a
    return [int(peaks[n]) for n in chain[::-1]]
