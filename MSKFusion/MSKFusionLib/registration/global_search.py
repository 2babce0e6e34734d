"""Candidate poses without a start: every translation at once, for a grid of rotations.

The agreement of edge directions (normalised gradient fields, squared so that contrast may invert; Haber and Modersitzki
2006, doi 10.1007/11866763_89) is a correlation of second-order tensors, so one FFT gives it for all translations.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..frames import RAS_LPS, FloatArray, invert_rigid, rigid, transform_points
from ..progress import Progress
from ..volume import Volume, transform_to_sitk
from .mutual_information import arms_ras
from .preprocess import BODY_HU, FloatVoxels, IntArray, at_spacing, on_cubes

#: Turns between two reports of progress, each of which may end the search.
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pose worth refining: 4x4 from CT RAS to MR RAS, and its score (standard deviations above the typical pose)."""

    ct_to_mr_ras: FloatArray
    score: float


@dataclass(frozen=True)
class SearchOptions:
    """How finely to look, and what to keep.

    Parameters
    ----------
    spacing_mm, most_voxels
        The grid that both images are compared on. A CT of more than `most_voxels` of these is looked at more coarsely.
    least_overlap
        Of the smaller of both bodies, the share that must lie within the other's field of view.
    per_rotation, candidates, apart_mm
        How many of the best shifts of each turn to keep, how many poses in all, and how different these must be.
    """

    spacing_mm: float = 8.0
    most_voxels: int = 120_000
    least_overlap: float = 0.35
    per_rotation: int = 4
    candidates: int = 60
    apart_mm: float = 10.0


def search(
    ct: Volume,
    mr: Volume,
    signal: Volume,
    turns: FloatArray,
    options: SearchOptions,
    progress: Progress,
) -> list[Candidate]:
    """Return the best poses of all shifts and some turns, each distinct, best first.

    Parameters
    ----------
    ct, mr, signal
        CT in HU, and what `even_out_mr` makes of the MR; all may be thinned already.
    turns
        (N, 3, 3), CT RAS to MR RAS.
    """
    sp = max(options.spacing_mm, float(np.cbrt(np.prod(ct.extent_mm) / options.most_voxels)))
    grid = on_cubes(ct, sp)
    inside = np.ones(grid.voxels.shape, dtype=bool)
    mr_coarse, mr_weight = at_spacing(mr, sp), at_spacing(signal, sp)
    centre_mr, half_mm = _body_box(mr_coarse, mr_weight.voxels)

    axes = grid.directions_ras
    corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]) * half_mm @ mr.directions_ras.T
    halves = [np.ceil(np.abs(corners @ turn @ axes).max(0) / sp).astype(int)[::-1] for turn in turns]
    most = 2 * np.max(halves, axis=0) + 1
    n = np.array(grid.voxels.shape)
    # The box may stick out of the CT by this much; the pad of the circular correlation holds it on either side.
    overhang = most - np.round(0.4 * np.minimum(most, n)).astype(int)
    shape = [fft.next_fast_len(int(s), real=True) for s in n + overhang]

    ct_tensor, ct_strength = _edge_tensor(np.clip(grid.voxels, -1000, 700), inside)
    air = (grid.voxels < BODY_HU) & inside
    of_ct = _spectra([*ct_tensor, ct_strength, inside.astype(np.float32), air.astype(np.float32)], shape)
    of_ct[:6] *= _MULTIPLICITY[:, None, None, None]
    body_voxels = float(((grid.voxels > BODY_HU) & inside).sum())
    images = mr_coarse.to_sitk(), mr_weight.to_sitk()

    def best_shifts(turn: FloatArray, half: IntArray) -> list[tuple[float, FloatArray]]:
        value, weight, valid = _turned(images, centre_mr, turn, axes, 2 * half + 1, sp)
        tensor, strength = _edge_tensor(value, valid & (weight > 0.3))
        of_mr = np.conj(_spectra([*tensor, strength, weight], shape))
        agreement, possible, count, on_air = fft.irfftn(
            np.stack(
                [
                    np.einsum("nkji,nkji->kji", of_ct[:6], of_mr[:6]),
                    of_ct[6] * of_mr[6],
                    of_ct[7] * of_mr[7],
                    of_ct[8] * of_mr[7],
                ]
            ),
            shape,
            axes=(1, 2, 3),
        )
        share_on_air = on_air / np.maximum(count, 1.0)
        # Tensors without trace: zero on average for unrelated directions, spread as the root of what was compared.
        score = agreement / np.sqrt(np.maximum(possible, 0) + 0.02 * strength.sum()) - 8.0 * np.maximum(
            share_on_air - 0.05, 0
        )
        score[count < options.least_overlap * min(float(weight.sum()), body_voxels)] = -np.inf
        poses = []
        for value_here, index in _peaks(score, options.per_rotation):
            shift = np.where(index >= n, index - np.array(shape), index) + half  # box centre, CT index (k, j, i)
            centre_ct = grid.origin_ras + axes @ (sp * shift[::-1])
            poses.append((value_here, rigid(turn, centre_mr - turn @ centre_ct)))
        return poses

    found: list[tuple[float, FloatArray]] = []
    # Turns side by side rather than each transform on all cores: the transforms are too small to be shared out.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(turns), _AT_ONCE):
            progress(first / len(turns), "global search")
            some = slice(first, first + _AT_ONCE)
            for poses in pool.map(best_shifts, turns[some], halves[some]):
                found += poses
    found.sort(key=lambda item: -item[0])
    return _distinct(found, centre_mr, options)


def _distinct(found: list[tuple[float, FloatArray]], centre_mr: FloatArray, options: SearchOptions) -> list[Candidate]:
    """Return the best poses, none within `apart_mm` (as `pose_distance_mm` measures) of a better one; best first."""
    kept: list[Candidate] = []
    # Two poses are as far apart as where they come from: one inverse for each, and all kept ones compared at once.
    arms = arms_ras(centre_mr)
    sources = np.empty((options.candidates, *arms.shape))
    for score, pose in found:
        source = transform_points(invert_rigid(pose), arms)
        apart_mm = np.linalg.norm(sources[: len(kept)] - source, axis=2).mean(axis=1)
        if (apart_mm > options.apart_mm).all():
            sources[len(kept)] = source
            kept.append(Candidate(pose, score))
        if len(kept) >= options.candidates:
            break
    return kept


def _spectra(parts: list[FloatVoxels], shape: list[int]) -> NDArray[np.complex64]:
    """Return the transforms (N, ...) of arrays of one size, padded with zeros to `shape`; the padding is not transformed."""
    rows = fft.rfft(np.stack(parts), shape[2], axis=3)
    return np.asarray(fft.fft(fft.fft(rows, shape[1], axis=2), shape[0], axis=1))


#: How often xx, yy, zz, xy, xz, yz occur in a symmetric tensor's inner product.
_MULTIPLICITY = np.array([1, 1, 1, 2, 2, 2], dtype=np.float32)


def _edge_tensor(values: FloatVoxels, valid: NDArray[np.bool_]) -> tuple[list[FloatVoxels], FloatVoxels]:
    """Return the traceless tensor of the normalised edge direction (xx, yy, zz, xy, xz, yz) and its strength (0 to 1)."""
    x, y, z = (ndimage.gaussian_filter1d(values, 1.0, axis=axis, order=1) for axis in (2, 1, 0))
    squared = x * x + y * y + z * z
    valid = ndimage.binary_erosion(valid)
    typical = float(squared[valid].mean()) if valid.any() else 1.0
    scale = valid / (squared + 0.36 * typical + 1e-12)
    strength = squared * scale
    third = strength / 3
    tensor = [
        x * x * scale - third,
        y * y * scale - third,
        z * z * scale - third,
        x * y * scale,
        x * z * scale,
        y * z * scale,
    ]
    return [a.astype(np.float32) for a in tensor], strength.astype(np.float32)


def _body_box(mr: Volume, weight: FloatVoxels) -> tuple[FloatArray, FloatArray]:
    """Return the middle (RAS) of the box around what has signal, and its half edges in mm along the image axes."""
    lower, upper = [], []
    for axis in (2, 1, 0):
        mass = np.cumsum(weight.sum(tuple(a for a in range(3) if a != axis)))
        lower.append(np.searchsorted(mass, 0.005 * mass[-1]))
        upper.append(np.searchsorted(mass, 0.995 * mass[-1]))
    lo, hi = np.array(lower, dtype=float), np.minimum(np.array(upper, dtype=float), np.array(mr.shape_ijk) - 1)
    middle = mr.ijk_to_ras @ np.r_[(lo + hi) / 2, 1.0]
    return middle[:3], (hi - lo + 1) / 2 * mr.spacing_mm


def _turned(
    images: tuple[sitk.Image, sitk.Image],
    centre_mr: FloatArray,
    turn: FloatArray,
    axes: FloatArray,
    box_kji: NDArray[np.int_],
    sp: float,
) -> tuple[FloatVoxels, FloatVoxels, NDArray[np.bool_]]:
    """Resample MR and its foreground weight on a box along the CT axes, around the world's zero: p -> centre_mr + turn p.

    The third result is the MR's field of view.
    """
    size = box_kji[::-1]
    transform = transform_to_sitk(rigid(turn, centre_mr))
    direction = RAS_LPS[:3, :3] @ axes
    origin = (-direction @ ((size - 1) / 2 * sp)).tolist()

    def resample(image: sitk.Image, fill: float) -> FloatVoxels:
        out = sitk.Resample(
            image, size.tolist(), transform, sitk.sitkLinear, origin, [sp] * 3, direction.ravel().tolist(), fill,
            sitk.sitkFloat32,
        )  # fmt: skip
        return sitk.GetArrayFromImage(out)

    mr, weight = images
    value, w = resample(mr, 0.0), resample(weight, -1.0)
    valid = w > -0.01
    return value, np.maximum(w, 0.0), valid


def _peaks(score: FloatVoxels, count: int) -> list[tuple[float, NDArray[np.int_]]]:
    """Return the highest local maxima of a periodic array."""
    top = (score == ndimage.maximum_filter(score, 3, mode="wrap")) & np.isfinite(score)
    where = np.flatnonzero(top)
    values = score.ravel()[where]
    best = np.argsort(-values, kind="stable")[:count]
    return [(float(values[b]), np.array(np.unravel_index(where[b], score.shape))) for b in best]
