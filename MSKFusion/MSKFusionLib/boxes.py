"""The smallest boxes of a grid that hold labels or a mask, so that work can be done in them alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

#: Slices along k, j, i.
Box = tuple[slice, ...]


def label_boxes(labels: NDArray[np.integer], margin_voxels: int = 0) -> dict[int, Box]:
    """Return the box of every label above 0 that is in a label array, by value in rising order.

    Parameters
    ----------
    margin_voxels
        Voxels added on every side, as far as the grid goes.
    """
    found = enumerate(ndimage.find_objects(labels), 1)
    return {value: _grown(box, labels.shape, margin_voxels) for value, box in found if box is not None}


def mask_box(mask: NDArray[np.bool_], margin_voxels: ArrayLike = 0) -> Box:
    """Return the box of a mask.

    Parameters
    ----------
    margin_voxels
        Voxels added on every side, one number or one an axis, as far as the grid goes.

    Raises
    ------
    ValueError
        For an empty mask.
    """
    # One axis after another, each within what is left: of a whole trunk this takes half as long as `ndimage.find_objects`.
    found: list[slice] = []
    for axis in range(mask.ndim):
        part = mask[tuple(found)]
        hit = np.flatnonzero(part.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not len(hit):
            raise ValueError("an empty mask has no box")
        found.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return _grown(tuple(found), mask.shape, margin_voxels)


def touches_border(box: Box, shape: tuple[int, ...]) -> bool:
    """Tell whether a box reaches the first or the last voxel of the grid along any axis."""
    return any(s.start == 0 or s.stop == n for s, n in zip(box, shape, strict=True))


def _grown(box: Box, shape: tuple[int, ...], margin_voxels: ArrayLike) -> Box:
    margins = np.broadcast_to(margin_voxels, (len(box),)).tolist()
    return tuple(slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margins, shape, strict=True))
