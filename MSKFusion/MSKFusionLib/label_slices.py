"""Label images as large as the CT, counted and renumbered slice by slice.

An index array takes eight bytes a voxel: of a whole trunk at once that is a gigabyte, and the time to fill it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voxel_counts(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many voxels (256,) of a label image (K, J, I) have each value."""
    counts = np.zeros(256, dtype=np.int64)
    for one in labels:
        counts += np.bincount(one.ravel(), minlength=256)
    return counts


def renumbered(labels: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a label image (K, J, I) with ``table[value]`` for each value; the table (256,) has all of them."""
    out = np.empty_like(labels)
    for one, new in zip(labels, out, strict=True):
        new[...] = table[one]
    return out
