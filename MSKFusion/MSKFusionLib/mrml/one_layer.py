"""Segments that share one layer of voxels, as those of a labelmap do: read in one pass over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from ..segmentation.labels import Segment

_BINARY = "Binary labelmap"
#: Voxels that lie this near to each other, in voxels, are the same.
_SAME_VOXEL = 1e-3


def fill_from_one_layer(segments: Sequence[Any], entries: Sequence[Segment], grid: Any, labels: NDArray[Any]) -> bool:
    """Put segments into labels where they share one layer of voxels that are those of the grid; tell whether they do.

    Parameters
    ----------
    segments, entries
        `vtkSegment` each with its binary labelmap, and the label that it is to have.
    grid
        `vtkOrientedImageData` whose voxels begin at index 0; `labels` (K, J, I) lie on it, all 0.
    """
    layers = [segment.GetRepresentation(_BINARY) for segment in segments]
    layer = layers[0]
    if layer is None or any(other is not layer for other in layers) or layer.IsEmpty():
        return False
    first = _first_on_grid(layer, grid)
    voxels = vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(layer.GetDimensions()[::-1])
    if first is None or voxels.dtype.kind not in "iu" or voxels.min() < 0:
        return False
    low = np.maximum(first, 0)
    high = np.minimum(first + voxels.shape, labels.shape)
    if (high <= low).any():
        return True
    value_of = np.zeros(max(int(voxels.max()), *(s.GetLabelValue() for s in segments)) + 1, dtype=labels.dtype)
    for segment, entry in zip(segments, entries, strict=True):
        value_of[segment.GetLabelValue()] = entry.value
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    here = tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))
    labels[there] = value_of[voxels[here]]
    return True


def _first_on_grid(image: Any, grid: Any) -> Any:
    """Return the index (k, j, i) on the grid of an image's first voxel; None where its voxels are not those of the grid."""
    matrices = []
    for oriented in (image, grid):
        to_world = vtk.vtkMatrix4x4()
        oriented.GetImageToWorldMatrix(to_world)
        matrices.append(np.array([[to_world.GetElement(r, c) for c in range(4)] for r in range(4)]))
    to_grid = np.linalg.inv(matrices[1]) @ matrices[0]
    extent = image.GetExtent()
    first = to_grid @ [extent[0], extent[2], extent[4], 1.0]
    last = np.array(grid.GetDimensions()).max()
    same = np.abs(to_grid[:3, :3] - np.eye(3)).max() * last < _SAME_VOXEL
    whole = np.abs(first[:3] - np.rint(first[:3])).max() < _SAME_VOXEL
    return np.rint(first[2::-1]).astype(int) if same and whole else None
