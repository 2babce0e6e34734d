"""Bone given to the seed that it is joined to by the cheapest way through dense bone.

A flood that rises voxel by voxel passes a joint at its one brightest voxel, and then takes all beyond. A path has to
pay for its length as well, so that a transverse process goes to its own lamina (cheapest paths from all seeds at once;
Dijkstra 1959, doi 10.1007/BF01386390; as image foresting transform: Falcao et al. 2004, doi 10.1109/TPAMI.2004.1261076).
"""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

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
    spacing_mm: float,
    steepness: float = 5.0,
    head_start_mm: dict[int, float] | None = None,
) -> NDArray[np.uint8]:
    """Return the seeds grown over the mask along the cheapest paths (Dijkstra from all seeds at once)."""
    # The inside of seeds takes no part.
    inner = ndimage.minimum_filter((seeds > 0).view(np.uint8), 3) > 0
    active = mask & ~inner
    number = np.full(mask.shape, -1, dtype=np.int32)
    count = int(active.sum())
    number[active] = np.arange(count, dtype=np.int32)
    cost = np.exp(steepness * (1.0 - density)) * spacing_mm
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
    starts = np.array([(head_start_mm or {}).get(int(v), 0.0) for v in labels]) + 1e-3
    weights.append(starts[source - count].astype(np.float32))
    graph = sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(count + len(labels),) * 2
    ).tocsr()
    _, _, origin = csgraph.dijkstra(
        graph, directed=False, indices=count + np.arange(len(labels)), min_only=True, return_predecessors=True
    )
    out = seeds.copy()
    reached = origin[:count]
    values = np.where(reached >= 0, labels[np.clip(reached - count, 0, len(labels) - 1)], 0)
    out[active] = values
    return out


def _pair(shape: tuple[int, ...], offset: NDArray[np.int_]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
    there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape, strict=True))
    return here, there


def smoothed(labels: NDArray[np.uint8], size: int = 5) -> NDArray[np.uint8]:
    """Return the labels with each voxel near another label given to the majority around it; background stays."""
    out = labels.copy()
    share = np.zeros(labels.shape, dtype=np.float32)
    for value in np.unique(labels)[1:]:
        box = ndimage.find_objects((labels == value).view(np.uint8))[0]
        box = tuple(slice(max(0, b.start - size), b.stop + size) for b in box)
        here = ndimage.uniform_filter((labels[box] == value).astype(np.float32), size, mode="constant")
        better = (here > share[box] + 1e-6) & (labels[box] > 0)
        out[box][better] = value
        share[box][better] = here[better]
    return out
