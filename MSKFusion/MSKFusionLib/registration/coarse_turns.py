"""Which of all turns are worth a closer look: every one is scored on a coarse grid, and only the best go on.

A turn is one of the 24 turns of a cube after a smaller one. The MR is resampled for the smaller turns only; the cube's
turns swap and flip the CT's axes, which costs nothing. Edges are found on the fine grid and then averaged: on a coarse
image most of them would be gone.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray
from ..progress import Progress
from .edge_directions import ct_channels, mr_channels, padded_shape, scores, spectra
from .preprocess import BODY_HU, FloatVoxels, IntArray
from .search_grid import SearchGrid

#: Edges are averaged over cubes of so many voxels of the fine grid.
SHRINK = 2
#: Small turns between two reports of progress.
_AT_ONCE = 4


def score_turns(
    grid: SearchGrid, small_ras: FloatArray, cube: FloatArray, least_overlap: float, progress: Progress
) -> FloatArray:
    """Return the best score (N, 24) over all shifts of each small turn after each of the cube's.

    Parameters
    ----------
    small_ras
        (N, 3, 3), CT RAS to MR RAS.
    cube
        (24, 3, 3) along the CT's axes.
    """
    boxes = [grid.box_kji(turn) for turn in small_ras]
    widest = -(-np.max(boxes, axis=0) // SHRINK)
    turned_cts = [TurnedCt.of(grid.ct.voxels, turn, widest) for turn in cube]
    shapes = {ct.shape for ct in turned_cts}

    def best_of(number: int) -> list[float]:
        channels = mr_channels(*grid.turned_mr(small_ras[number], boxes[number]))
        strength, weight = float(channels[5].sum()), float(channels[6].sum())
        channels = averaged(channels)
        of_mr = {shape: spectra(channels, shape) for shape in shapes}
        least = [least_overlap * min(weight, ct.body) for ct in turned_cts]
        return [
            float(scores(ct.spectra, of_mr[ct.shape], ct.shape, strength, count).max())
            for ct, count in zip(turned_cts, least, strict=True)
        ]

    best: list[list[float]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(small_ras), _AT_ONCE):
            progress(first / len(small_ras), "global search")
            best += pool.map(best_of, range(first, min(first + _AT_ONCE, len(small_ras))))
    return np.array(best)


@dataclass(frozen=True, eq=False)
class TurnedCt:
    """The CT after one of the cube's turns: the spectra of its channels, their shape, and the voxels of the body."""

    spectra: NDArray[np.complex64]
    shape: tuple[int, int, int]
    body: float

    @classmethod
    def of(cls, ct_hu: FloatVoxels, turn: FloatArray, box_kji: IntArray) -> TurnedCt:
        """Turn a CT, for an MR of at most `box_kji` coarse voxels."""
        turned = with_axes_turned(ct_hu, turn)
        channels = averaged(ct_channels(turned))
        shape = padded_shape(np.array(channels.shape[1:]), box_kji)
        return cls(spectra(channels, shape), shape, float((turned > BODY_HU).sum()))


def with_axes_turned(voxels: FloatVoxels, turn: FloatArray) -> FloatVoxels:
    """Return an image (k, j, i) turned by one of the cube's turns, which acts on (i, j, k)."""
    source = np.argmax(np.abs(turn), axis=1)  # the axis that each new axis comes from
    turned = voxels.transpose([2 - int(source[2 - axis]) for axis in range(3)])
    backwards = tuple(2 - axis for axis in range(3) if turn[axis, source[axis]] < 0)
    return np.ascontiguousarray(np.flip(turned, backwards))


def averaged(channels: FloatVoxels) -> FloatVoxels:
    """Return the means of cubes of `SHRINK` voxels, scaled so that products of two sum up as before; beyond the end is nothing."""
    n, *size = channels.shape
    more = [-s % SHRINK for s in size]
    whole = np.pad(channels, [(0, 0), *((0, m) for m in more)])
    k, j, i = (s // SHRINK for s in whole.shape[1:])
    return np.asarray(whole.reshape(n, k, SHRINK, j, SHRINK, i, SHRINK).sum(axis=(2, 4, 6))) * np.float32(SHRINK**-1.5)
