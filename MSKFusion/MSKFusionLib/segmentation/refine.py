"""From labels on the working grid to the image's own voxels, with the border on the cortical edge.

A fixed threshold makes bone too thick where cortex is dense and too thin where it is porous or thin. Here each place
has its own threshold between the densest bone within 2 mm and the tissue outside, and what lies below it is
peeled off from outside only, so that marrow stays.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import Box, label_boxes, mask_box
from ..distance_map import signed_distance_mm
from ..frames import transform_points
from ..volume import Volume
from .bone_mask import METAL_HU
from .working import on_grid, sample_linear, sample_nearest

_BAND_MM = 2.0
_PEAK_MM = 1.4
_PEAK_CAP_HU = 1400.0
#: Where between the tissue outside and the densest bone nearby the border lies. Half for a thick wall; a cortex of
#: 1 to 2 mm seen through a blur of 0.65 mm (scanner and smoothing) peaks below its true value, so that its edge lies
#: at 0.57 to 0.73 of what is seen (the blurred step divided by the blurred plate; Treece et al. 2010,
#: doi 10.1016/j.media.2010.01.003, on the same bias of half-maximum edges). A cortex of 0.9 mm that straddles two voxels
#: of 1.5 mm or more leaves each of them less than half of what one voxel shows that holds it whole: there the border
#: lies lower, or the wall would be broken wherever it runs between voxels.
_EDGE_SHARES, _AT_SPACING_MM = (0.6, 0.4), (1.0, 1.5)
#: On such voxels it lies lower still for each mm that a place is inside of where the working grid has its border: the
#: shell of a thin process has gaps, and marrow must not drain through them.
_SHARES_PER_MM_INSIDE = (0.0, 0.6)

#: What is peeled off is reached through what lies lower than the border by this share; from there it is so far, at most, to
#: the border (the rise of a blurred edge between both). A wall that noise or thinness lets fall below the border here and
#: there would drain the marrow behind it.
_SURE_SHARE, _RISE_MM = 0.6, 0.5

#: On voxels larger than this a border that jumps from voxel to voxel is noise; each label's is evened over so many voxels, and lies where
#: the label fills so much of what is round it: less than half, or thin processes would lose more than they gain.
_COARSE_MM, _EVEN_VOXELS, _EVEN_SHARE = 1.0, 0.65, 0.42


def on_image_grid(
    labels: NDArray[np.uint8], grid: Volume, ct: Volume, soft_hu: float, least_hu: float
) -> NDArray[np.uint8]:
    """Return labels (K, J, I on `grid`) on the grid of `ct`, their border put on the edge that the CT shows.

    Parameters
    ----------
    soft_hu
        The patient's soft tissue, for where nothing better is near.
    least_hu
        No border is put at a lower value than this: noise of soft tissue lies below it.
    """
    out = np.zeros(ct.voxels.shape, dtype=np.uint8)
    found = on_image_box(labels, grid, ct, soft_hu, least_hu)
    if found is not None:
        out[found[0]] = found[1]
    return out


def on_image_box(
    labels: NDArray[np.uint8], grid: Volume, ct: Volume, soft_hu: float, least_hu: float
) -> tuple[Box, NDArray[np.uint8]] | None:
    """Return the box of `ct` round the labels and what `on_image_grid` finds in it; None where there is no label."""
    box = _box_on(ct, labels, grid)
    if box is None:
        return None
    part = ct.within(box)
    labels, grid = _with_rim(labels, grid)
    spacing = float(grid.spacing_mm[0])
    with ThreadPoolExecutor(1) as beside:
        label = beside.submit(_label_there, labels, grid, part)
        bone = labels > 0
        inside_mm = -signed_distance_mm(bone, grid.spacing_mm[::-1])
        # Voxels far from any other label or background are bone whatever their value: marrow.
        size = 2 * max(1, round(1.2 / spacing)) + 1
        core = bone & (ndimage.minimum_filter(labels, size) == ndimage.maximum_filter(labels, size))
        depth = sample_linear(inside_mm, grid, on_grid(part.voxels, part), fill=-99.0)
        core_there = sample_nearest(core.astype(np.uint8), grid, part) > 0
        keep = _peeled(part, depth, core_there, soft_hu, least_hu)
        kept = np.where(keep, label.result(), 0).astype(np.uint8)
    return box, without_crumbs(kept, part.voxel_mm3)


def evened(labels: NDArray[np.uint8], ct: Volume) -> NDArray[np.uint8]:
    """Return labels (K, J, I on the grid of `ct`) without the steps of single voxels in their borders, where voxels are coarse.

    On voxels of 1.5 mm the noise of one voxel moves the border by the whole of it.
    """
    if float(np.prod(ct.spacing_mm) ** (1 / 3)) <= _COARSE_MM:
        return labels
    out = np.zeros_like(labels)
    most = np.full(labels.shape, _EVEN_SHARE, dtype=np.float32)
    for value, box in label_boxes(labels, 3).items():
        share = ndimage.gaussian_filter((labels[box] == value).astype(np.float32), _EVEN_VOXELS, mode="nearest")
        here = (share > most[box]) & ((ct.voxels[box] <= METAL_HU) | (labels[box] == value))
        out[box][here] = value
        most[box][here] = share[here]
    return out


def _with_rim(labels: NDArray[np.uint8], grid: Volume) -> tuple[NDArray[np.uint8], Volume]:
    """Return labels and their grid one voxel larger on all sides: the image's last voxels may lie beyond the grid's."""
    wider = np.pad(labels, 1, mode="edge")
    return wider, replace(grid, voxels=wider, origin_ras=grid.origin_ras - grid.directions_ras @ grid.spacing_mm)


def _label_there(labels: NDArray[np.uint8], grid: Volume, part: Volume) -> NDArray[np.uint8]:
    """Return the label that each voxel of a part of the image gets where it is kept: the nearest one, some mm outside too."""
    spread = labels
    for _ in range(int(np.ceil(_BAND_MM / float(grid.spacing_mm[0]))) + 1):
        spread = np.where(spread == 0, ndimage.maximum_filter(spread, 3), spread)
    return sample_nearest(spread, grid, part).astype(np.uint8)


def _peeled(
    ct: Volume, depth_mm: NDArray[np.float32], core: NDArray[np.bool_], soft_hu: float, least_hu: float
) -> NDArray[np.bool_]:
    spacing = ct.spacing_mm[::-1]
    smooth = ct.voxels.astype(np.float32)
    np.clip(smooth, -1000, METAL_HU, out=smooth)
    if spacing.max() < 1.5:
        smooth = ndimage.gaussian_filter(smooth, 0.45 / spacing)
    size = tuple(2 * max(1, round(_PEAK_MM / s)) + 1 if s < 2.5 else 3 for s in spacing)
    with ThreadPoolExecutor(1) as beside:
        near = np.where(depth_mm > -1.0, smooth, np.float32(-1000))
        highest = beside.submit(ndimage.maximum_filter, near, size)
        # What lies outside: the mean of voxels clearly outside within some mm.
        outside = ((depth_mm < -1.2) & (smooth > -200)).astype(np.float32)
        window = tuple(2 * max(1, round(4.0 / s)) + 1 for s in spacing)
        weights = ndimage.uniform_filter(outside, window)
        means = ndimage.uniform_filter(outside * np.minimum(smooth, 200), window)
        peaks = highest.result()

    band = max(_BAND_MM, 0.6 * float(spacing.max()))
    free = depth_mm < -band
    # Only here is anything to be decided: a tenth of the box of a bent bone.
    rim = np.flatnonzero(~free & ~core)
    value, depth, weight = smooth.ravel()[rim], depth_mm.ravel()[rim], weights.ravel()[rim]
    around = np.where(weight > 0.02, means.ravel()[rim] / np.maximum(weight, 1e-3), soft_hu)
    rise = np.minimum(peaks.ravel()[rim], _PEAK_CAP_HU) - around
    voxel_mm = float(np.prod(spacing) ** (1 / 3))
    share = float(np.interp(voxel_mm, _AT_SPACING_MM, _EDGE_SHARES))
    lower = float(np.interp(voxel_mm, _AT_SPACING_MM, _SHARES_PER_MM_INSIDE)) * np.maximum(depth, 0)
    edge = np.maximum(around + share * rise, least_hu) - lower * rise
    sure = np.maximum(around + _SURE_SHARE * share * rise, least_hu) - lower * rise
    metal = ct.voxels.ravel()[rim] > METAL_HU
    free.ravel()[rim] = (value < sure) | metal
    # Only what is reached from outside is peeled off, and a thin wall's gaps are no way in.
    pieces, _ = ndimage.label(free)
    reached = np.zeros(int(pieces.max()) + 1, dtype=bool)
    reached[pieces[depth_mm < -band]] = True
    reached[0] = False
    outside_now = reached[pieces]
    rind = rim[(value < edge) | metal]
    for _ in range(int(np.ceil(_RISE_MM / float(spacing.min())))):
        outside_now.ravel()[rind[_beside(outside_now, rind)]] = True
    keep: NDArray[np.bool_] = ~outside_now & (depth_mm > -band)
    return keep


def _beside(mask: NDArray[np.bool_], places: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which of some places (flat indices) have a neighbour in the mask; rows go on in the next at the border."""
    flat = mask.ravel()
    found = np.zeros(len(places), dtype=bool)
    for step in (1, mask.shape[2], mask.shape[1] * mask.shape[2]):
        for sign in (-1, 1):
            found |= flat[np.clip(places + sign * step, 0, flat.size - 1)]
    return found


def _box_on(ct: Volume, labels: NDArray[np.uint8], grid: Volume) -> Box | None:
    """Return the slices of `ct` around all labels with a margin, in array order."""
    if not labels.any():
        return None
    found = mask_box(labels > 0)
    margin = 6.0 / grid.spacing_mm
    lower = np.array([b.start for b in found])[::-1] - margin
    upper = np.array([b.stop for b in found])[::-1] + margin
    box = [[x, y, z] for x in (lower[0], upper[0]) for y in (lower[1], upper[1]) for z in (lower[2], upper[2])]
    corners = transform_points(grid.ijk_to_ras, np.array(box))
    ijk = transform_points(ct.ras_to_ijk, corners)
    low = np.clip(np.floor(ijk.min(axis=0)).astype(int), 0, np.array(ct.shape_ijk) - 1)
    high = np.clip(np.ceil(ijk.max(axis=0)).astype(int) + 1, low + 1, ct.shape_ijk)
    return tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))


def without_crumbs(labels: NDArray[np.uint8], voxel_mm3: float, smallest_mm3: float = 60.0) -> NDArray[np.uint8]:
    """Return the labels without pieces smaller than `smallest_mm3`; each label keeps its largest piece."""
    out = labels.copy()
    for value, box in label_boxes(labels).items():
        part = labels[box] == value
        pieces, count = ndimage.label(part)
        if count < 2:
            continue
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        small = sizes * voxel_mm3 < smallest_mm3
        small[int(sizes.argmax())] = False
        small[0] = False
        out[box][small[pieces]] = 0
    return out
