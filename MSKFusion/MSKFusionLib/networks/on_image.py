"""Labels of the network's grid on the image's own: the border between two runs where both are equally likely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import label_boxes
from ..frames import FloatArray, transform_points
from ..progress import Progress
from ..volume import Volume, resample_to
from .sliding_window import Likeliest


def labels_on_image(found: Likeliest, ijk_to_ras: FloatArray, image: Volume, progress: Progress) -> NDArray[np.uint16]:
    """Return the label (K, J, I) of every voxel of an image; 0, the background, beyond the network's grid.

    The probability of each label that occurs is interpolated linearly, and the largest wins: what MONAI's `Invertd` does
    with probabilities, but label by label, each in its own box.

    Parameters
    ----------
    found
        On the network's grid.
    ijk_to_ras
        4x4 of that grid.
    """
    labels_kji, shares_kji = found.labels.transpose(0, 3, 2, 1), found.shares.transpose(0, 3, 2, 1)
    first = labels_kji[0]
    grid = Volume.from_ijk_to_ras(first, ijk_to_ras, name="network's grid")
    boxes = label_boxes(first, margin_voxels=2)
    labels = np.zeros(image.voxels.shape, dtype=np.uint16)
    if not boxes:
        return labels
    span = tuple(
        slice(min(b[a].start for b in boxes.values()), max(b[a].stop for b in boxes.values())) for a in range(3)
    )
    where = _box_on_image(grid, span, image)
    if where is None:
        return labels
    target = image.within(where)

    def share(label: int, box: tuple[slice, ...]) -> NDArray[np.float32]:
        out = np.zeros(first[box].shape, dtype=np.float32)
        for names, values in zip(labels_kji, shares_kji, strict=True):
            np.add(out, values[box], out=out, where=names[box] == label)
        return out

    background = grid.within(span)
    best = resample_to(background.with_voxels(share(0, span)), target, np.eye(4), order=1, fill=1.0).voxels
    inner = labels[where]
    for n, (label, box) in enumerate(boxes.items()):
        progress(n / len(boxes), "labels onto the image's grid")
        place = _box_on_image(grid, box, target)
        if place is None:
            continue
        part = grid.within(box)
        here = resample_to(
            part.with_voxels(share(label, box)), target.within(place), np.eye(4), order=1, fill=0.0
        ).voxels
        wins = here > best[place]
        best[place][wins] = here[wins]
        inner[place][wins] = label
    return labels


def keep_largest(labels: NDArray[np.uint16], values: Sequence[int]) -> None:
    """Set all but the largest connected piece of each of some labels to background, in place."""
    boxes = label_boxes(labels)
    for value in values:
        if value not in boxes:
            continue
        part = labels[boxes[value]]
        pieces, count = ndimage.label(part == value, structure=np.ones((3, 3, 3)))
        if count > 1:
            sizes = np.bincount(pieces.ravel())[1:]
            part[(part == value) & (pieces != 1 + int(sizes.argmax()))] = 0


def mean_shares(found: Likeliest, labels: int) -> FloatArray:
    """Return each label's mean probability over the voxels where it is the likeliest; 0 for one that is nowhere."""
    flat = found.labels[0].ravel()
    counts = np.bincount(flat, minlength=labels)
    sums = np.bincount(flat, weights=found.shares[0].ravel(), minlength=labels)
    return np.asarray(sums / np.maximum(counts, 1), dtype=np.float64)


def _box_on_image(grid: Volume, box: tuple[slice, ...], image: Volume) -> tuple[slice, ...] | None:
    """Return the box of `image` (k, j, i) that holds a box of `grid`; None where they do not meet."""
    corners = transform_points(image.ras_to_ijk, grid.within(box).corners_ras())
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, image.shape_ijk)
    if np.any(high <= low):
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
