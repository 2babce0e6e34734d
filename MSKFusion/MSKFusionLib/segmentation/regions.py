"""Bone given to the seed that it is joined to by the cheapest way through dense bone.

A flood that rises voxel by voxel passes a joint at its one brightest voxel, and then takes all beyond. A path has to
pay for its length as well, so that a transverse process goes to its own lamina (cheapest paths from all seeds at once;
Dijkstra 1959, doi 10.1007/BF01386390; as image foresting transform: Falcao et al. 2004, doi 10.1109/TPAMI.2004.1261076).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from ..boxes import label_boxes

#: The price of a mm at the threshold of bone is e to this power times that of dense cortex.
_STEEPNESS = 5.0
#: A flood's way may cost this many times the cheapest way, and so much more.
_DETOUR, _DETOUR_MM = 1.6, 8.0
_LIMIT_MM = 400.0
_BEYOND_MM = 8.0
_OFFSETS = np.array([o for o in product((-1, 0, 1), repeat=3) if o > (0, 0, 0)])


def densities(hu: NDArray[np.float32], mask: NDArray[np.bool_], threshold_hu: float) -> NDArray[np.float32]:
    """Return how dense bone is, 0 at the threshold and 1 at the patient's dense cortex."""
    densest = float(np.clip(np.percentile(hu[mask], 98), 500, 1500)) if mask.any() else 900.0
    scaled = np.clip((hu - threshold_hu) / (densest - threshold_hu), 0, 1).astype(np.float32)
    scaled[~mask] = 0
    raised = sitk.GrayscaleFillhole(sitk.GetImageFromArray(np.round(scaled * 250).astype(np.uint8)))
    return (sitk.GetArrayFromImage(raised) / 250.0).astype(np.float32)


def grow(
    density: NDArray[np.float32],
    mask: NDArray[np.bool_],
    seeds: NDArray[np.uint8],
    flooded: NDArray[np.uint8],
    spacing_mm: float,
    beyond_mm: Callable[[NDArray[np.bool_], int], NDArray[np.float64]],
) -> NDArray[np.uint8]:
    """Return the flood's labels where paths agree, and those of the cheapest paths where the flood went a long way round.

    Parameters
    ----------
    density
        0 to 1 (K, J, I); a path pays for a voxel by how far it is from dense.
    seeds
        Where both start; what they mark is kept.
    flooded
        The result of the flood from the same seeds.
    beyond_mm
        Tells for the voxels of a mask how far they lie beyond where a label can reach; the farther, the dearer.
    """
    # The inside of seeds takes no part.
    inner = ndimage.minimum_filter((seeds > 0).view(np.uint8), 3) > 0
    active = mask & ~inner
    number = np.full(mask.shape, -1, dtype=np.int32)
    count = int(active.sum())
    number[active] = np.arange(count, dtype=np.int32)
    cost = np.exp(_STEEPNESS * (1.0 - density)) * spacing_mm
    rows, columns, weights = [], [], []
    for offset in _OFFSETS:
        here, there = _pair(mask.shape, offset)
        a, b = number[here], number[there]
        both = (a >= 0) & (b >= 0)
        rows.append(a[both])
        columns.append(b[both])
        weights.append(0.5 * (cost[here][both] + cost[there][both]) * float(np.linalg.norm(offset)))
    labels = np.unique(seeds[seeds > 0])
    at = active & (seeds > 0)
    source = count + np.searchsorted(labels, seeds[at])
    rows.append(source.astype(np.int32))
    columns.append(number[at])
    weights.append(np.full(len(source), 1e-3, dtype=np.float32))
    graph = sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(count + len(labels),) * 2
    ).tocsr()
    price = csgraph.dijkstra(graph, directed=False, indices=count + np.arange(len(labels)), limit=_LIMIT_MM)[:, :count]
    for row, value in enumerate(labels):
        price[row] *= 1.0 + np.maximum(beyond_mm(active, int(value)), 0.0) / _BEYOND_MM
    best = price.argmin(axis=0)
    least = price.min(axis=0)
    place = np.clip(np.searchsorted(labels, flooded[active]), 0, len(labels) - 1)
    taken = price[place, np.arange(count)]
    known = (labels[place] == flooded[active]) & ~(taken > _DETOUR * least + _DETOUR_MM)
    out = seeds.copy()
    out[active] = np.where(known, flooded[active], np.where(np.isfinite(least), labels[best], flooded[active]))
    return out


def _pair(shape: tuple[int, ...], offset: NDArray[np.int_]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
    there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape, strict=True))
    return here, there


def smoothed(labels: NDArray[np.uint8], size: int = 5) -> NDArray[np.uint8]:
    """Return the labels with each voxel near another label given to the majority around it; background stays."""
    out = labels.copy()
    share = np.zeros(labels.shape, dtype=np.float32)
    for value, box in label_boxes(labels, size).items():
        here = ndimage.uniform_filter((labels[box] == value).astype(np.float32), size, mode="constant")
        better = (here > share[box] + 1e-6) & (labels[box] > 0)
        out[box][better] = value
        share[box][better] = here[better]
    return out
