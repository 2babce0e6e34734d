"""Bone that is not spine: found, its marrow filled, parted into single bones and fragments."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import Box, label_boxes, mask_box
from ..distance_map import signed_distance_mm
from ..volume import Volume
from . import pieces
from .bone_mask import METAL_HU, bone_mask, bone_threshold_hu, soft_tissue_hu
from .refine import on_image_box
from .rooms import inner_rooms
from .working import on_grid, sample_ct, sample_nearest

#: Without soft tissue in view, and air round dense bone, a CT has been cut down to its bone beforehand: fat is a tenth of
#: any body part.
_FAT_HU, _LEAST_FAT = (-150.0, -30.0), 0.03
_LEAST_AIR, _CORTEX_HU, _LEAST_CORTEX = 0.5, 400.0, 0.05
_AIR_HU = -400.0
_COARSEST_MM = 2.0
#: So many voxels at most; larger images are looked at on coarser ones.
_MOST_VOXELS = 16e6
#: Smoothing and the gap of a shell that is closed.
_BLUR_MM, _GAP_MM = 0.6, 1.5
_BODY_MM = 4.0
#: So much round a bone, or a slab of one, is looked at to place its border.
_ROOM_MM, _SLAB_MM, _AT_ONCE = 8.0, 64.0, 2
#: Marrow that the image cuts lies this near to bone.
_MARROW_MM = 9.0
#: Contrast is denser inside than at its rim, bone the other way round.
_CORE_MM, _CONTRAST_RATIO, _CONTRAST_BELOW_MM3 = 4.0, 1.15, 1e5
#: Most of what is left over along the border of the spine's labels lies this near to it.
_CRUST_MM, _CRUST_SHARE = 3.0, 0.6
#: Values of the parts, in an 8-bit label image, and of the spine beside them.
_MOST_PARTS, _SPINE = 50, 255
#: Bones of so much shell may hold marrow in rooms. What takes more room than a hip bone, by far, is several in one.
_LEAST_MARROW_MM3, _MOST_ROOM_MM3 = 15e3, 10e6


def is_bone_only(ct: Volume) -> bool:
    """Tell whether all soft tissue has been taken out of a CT, so that what is not air is bone."""
    hu = ct.voxels[:: max(1, ct.voxels.shape[0] // 64)]
    tissue = hu > _AIR_HU
    fat = (hu > _FAT_HU[0]) & (hu < _FAT_HU[1])
    count = np.count_nonzero(tissue)
    dense = np.count_nonzero(hu > _CORTEX_HU) > _LEAST_CORTEX * count
    return bool(0 < count < (1 - _LEAST_AIR) * tissue.size and np.count_nonzero(fat) < _LEAST_FAT * count and dense)


def shows_joints(ct: Volume) -> bool:
    """Tell whether a CT is fine enough for bones to be parted at joints and to be named: a joint is 2 to 4 mm wide."""
    return bool(ct.spacing_mm.max() <= _COARSEST_MM)


@dataclass(frozen=True, eq=False)
class BoneInView:
    """Where a CT shows bone of any kind, on a grid of cubic voxels along the image's axes.

    Parameters
    ----------
    smooth, bone
        (K, J, I) on `grid`: the CT in HU, and what of it is dense enough.
    bone_only
        Whether all soft tissue was taken out of the CT beforehand.
    soft_hu, least_hu
        Soft tissue of this patient, and the least value that the border of a bone is put at.
    """

    grid: Volume
    smooth: NDArray[np.float32]
    bone: NDArray[np.bool_]
    bone_only: bool
    soft_hu: float = 0.0
    least_hu: float = 0.0

    @classmethod
    def of(cls, ct: Volume, least_spacing_mm: float) -> BoneInView:
        """Look at a CT on voxels of `least_spacing_mm`, larger ones where the image is large."""
        spacing = max(least_spacing_mm, float(np.prod(ct.extent_mm) / _MOST_VOXELS) ** (1 / 3))
        grid = _along_image(ct, spacing)
        hu = sample_ct(ct, grid)
        if is_bone_only(ct):
            bone = hu > _AIR_HU
            hu = np.where(bone, np.minimum(hu, METAL_HU), _FAT_HU[1]).astype(np.float32)
            return cls(grid, ndimage.gaussian_filter(hu, _BLUR_MM / spacing), bone, True)
        metal = hu >= METAL_HU
        hu = np.minimum(hu, METAL_HU)
        smooth = ndimage.gaussian_filter(hu, _BLUR_MM / spacing)
        threshold = bone_threshold_hu(hu)
        bone = bone_mask(smooth, threshold, spacing) & _body(hu, spacing)
        bone &= ~ndimage.binary_dilation(metal, np.ones((3, 3, 3)))
        return cls(grid, smooth, bone, False, soft_tissue_hu(hu)[0], threshold - 20.0)


def other_bones(ct: Volume, taken: NDArray[np.bool_], seen: BoneInView) -> NDArray[np.uint8]:
    """Return the bones that are not spine on the grid of `ct`, numbered from 1 in falling order of size.

    Where the voxels are too coarse to show joints (`shows_joints`) each is what hangs together.

    Parameters
    ----------
    taken
        (K, J, I) on the grid of `ct`: vertebrae and sacrum, which are left out.
    seen
        What `BoneInView.of` finds in `ct`.
    """
    grid, spacing = seen.grid, float(seen.grid.spacing_mm[0])
    free = sample_nearest(taken.astype(np.uint8), on_grid(taken, ct), grid) == 0
    bone = seen.bone & free
    if not bone.any():
        return np.zeros(ct.voxels.shape, dtype=np.uint8)
    solid = bone | _enclosed(bone, spacing)
    box = mask_box(solid, 4)
    smooth, solid = seen.smooth[box], solid[box] & free[box]
    if not seen.bone_only:
        solid = _without_contrast(solid, smooth, spacing)
    parts = pieces.split(smooth, solid, spacing) if shows_joints(ct) else pieces.loose(solid, spacing)
    parts[parts > _MOST_PARTS] = 0
    parts = _without_crust(parts, free[box], spacing)
    found = np.zeros(bone.shape, dtype=np.uint8)
    found[box] = np.where(free[box], _filled(parts.astype(np.uint8), spacing), 0)
    if shows_joints(ct) and not seen.bone_only:
        found = _with_rooms(found, free, spacing)
    if seen.bone_only:
        reach = ndimage.grey_dilation(found, size=(3, 3, 3))
        near = sample_nearest(np.where(found > 0, found, reach), grid, ct)
        return np.where((ct.voxels > _AIR_HU) & ~taken, near, 0).astype(np.uint8)
    out = _on_image(found, grid, ct, seen.soft_hu, seen.least_hu)
    out[taken] = 0
    return out


def _on_image(found: NDArray[np.uint8], grid: Volume, ct: Volume, soft_hu: float, least_hu: float) -> NDArray[np.uint8]:
    """Return bones on `grid` (along the image's axes) on the image's voxels, their border on the edge that the CT shows.

    One by one and in slabs: hip bones and ribs lie at the rim of a trunk, whose whole box would take gigabytes.
    """
    out = np.zeros(ct.voxels.shape, dtype=np.uint8)
    spacing = float(grid.spacing_mm[0])
    room, slab = (int(np.ceil(mm / spacing)) for mm in (_ROOM_MM, _SLAB_MM))
    slabs = [
        (value, first, min(first + slab, along.stop), (along, *across))
        for value, (along, *across) in label_boxes(found, room).items()
        for first in range(along.start, along.stop, slab)
    ]

    def bounded(one: tuple[int, int, int, Box]) -> tuple[Box, NDArray[np.uint8]] | None:
        _, first, last, (along, *across) = one
        part = (slice(max(first - room, along.start), min(last + room, along.stop)), *across)
        return on_image_box(found[part], grid.within(part), ct, soft_hu, least_hu)

    # Few at once: each takes some hundred MB.
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        for (value, first, last, (along, *_)), there in zip(slabs, pool.map(bounded, slabs), strict=True):
            if there is None:
                continue
            (slices, *rest), labels = there
            # The slices of the image that belong to this slab, the others are its neighbours'.
            low, high = (int(np.ceil(k * spacing / ct.spacing_mm[2])) for k in (first, last))
            low = low if first > along.start else 0
            high = high if last < along.stop else ct.voxels.shape[0]
            low, high = max(low, slices.start), min(high, slices.stop)
            if high > low:
                own = labels[low - slices.start : high - slices.start] == value
                out[(slice(low, high), *rest)][own] = value
    return out


def _body(hu: NDArray[np.float32], spacing_mm: float) -> NDArray[np.bool_]:
    """Return the patient: the largest thing that is not air; the table lies apart, or hangs on by a thin edge."""
    # A patient needs no fine voxels.
    step = max(1, round(_BODY_MM / spacing_mm))
    solid = hu[::step, ::step, ::step] > _AIR_HU
    labels, count = ndimage.label(ndimage.binary_erosion(solid, border_value=1))
    if not count:
        return np.ones(hu.shape, dtype=bool)
    largest = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    near = ndimage.binary_dilation(largest, iterations=2)
    for axis, n in enumerate(hu.shape):
        near = np.take(np.repeat(near, step, axis), range(n), axis)
    return np.asarray(near)


def _along_image(ct: Volume, spacing_mm: float) -> Volume:
    """Return an empty grid of cubic voxels along the image's own axes: the image's border is the grid's."""
    count = np.maximum(np.floor(ct.extent_mm / spacing_mm + 1e-6).astype(int) + 1, 1)
    voxels: NDArray[np.int16] = np.broadcast_to(np.zeros((), np.int16), tuple(int(n) for n in count[::-1]))
    return Volume(voxels, ct.origin_ras, np.full(3, spacing_mm), ct.directions_ras, name="working grid")


def _enclosed(bone: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    """Return what bone, its smallest gaps closed, encloses in two of the three planes: marrow, and the inside of joints.

    Where the image cuts a bone its marrow lies open at one side of the image, between two walls: that counts as enclosed
    as far as it lies near bone.
    """
    radius = max(1, round(_GAP_MM / spacing_mm))
    closed = sitk.GetArrayFromImage(
        sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(bone.astype(np.uint8)), [radius] * 3)
    )
    planes = np.zeros(bone.shape, dtype=np.uint8)
    cut = np.zeros(bone.shape, dtype=bool)

    def along(axis: int) -> list[tuple[tuple[slice | int, ...], NDArray[np.bool_], NDArray[np.bool_]]]:
        """Return the holes of every plane across an axis that has bone in it, and where in the image they are."""
        found = []
        for n, plane in enumerate(np.moveaxis(closed, axis, 0)):
            if plane.any():
                part = mask_box(plane > 0, 1)
                where: list[slice | int] = list(part)
                where.insert(axis, n)
                found.append((tuple(where), *_holes(plane[part] > 0)))
        return found

    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        for one in pool.map(along, range(3)):
            for where, holes, at_one_side in one:
                planes[where] += holes
                cut[where] |= at_one_side
    found: NDArray[np.bool_] = planes >= 2
    doubtful = found & cut
    if doubtful.any():
        box = mask_box(doubtful, int(np.ceil(_MARROW_MM / spacing_mm)) + 1)
        near = signed_distance_mm(bone[box], np.full(3, spacing_mm)) < _MARROW_MM
        found[box] &= near | ~cut[box]
    return found


def _holes(closed: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what a plane's bone encloses, by itself or with one side of the image, and where the latter is so.

    The plane may be cut down to its bone and one voxel round it: what is open there hangs together along the rim.
    """
    open_parts, count = ndimage.label(~closed)
    sides = np.zeros(count + 1, dtype=np.uint8)
    for line in (open_parts[0], open_parts[-1], open_parts[:, 0], open_parts[:, -1]):
        sides[np.unique(line)] += 1
    sides[0] = 2
    return (sides <= 1)[open_parts] | closed, (sides == 1)[open_parts]


def _without_contrast(bone: NDArray[np.bool_], hu: NDArray[np.float32], spacing_mm: float) -> NDArray[np.bool_]:
    """Return the bone without pieces that are densest inside: contrast in bowel, vessel or bladder."""
    labels, _ = ndimage.label(bone, np.ones((3, 3, 3)))
    depth = -signed_distance_mm(bone, np.full(3, spacing_mm))
    out = bone.copy()
    for value, box in label_boxes(labels).items():
        here = labels[box] == value
        if np.count_nonzero(here) * spacing_mm**3 > _CONTRAST_BELOW_MM3:
            continue
        core = here & (depth[box] > _CORE_MM - spacing_mm)
        if core.sum() > 20 and hu[box][core].mean() > _CONTRAST_RATIO * hu[box][here & ~core].mean():
            out[box][here] = False
    return out


def _without_crust(parts: pieces.Labels, free: NDArray[np.bool_], spacing_mm: float) -> pieces.Labels:
    """Return the parts without those that are only what is left over along the spine's own border."""
    near = signed_distance_mm(~free, np.full(3, spacing_mm)) < _CRUST_MM
    sizes = np.bincount(parts.ravel())
    crust = np.bincount(parts[near], minlength=len(sizes)) > _CRUST_SHARE * sizes
    return np.where(crust[parts], 0, parts)


def _with_rooms(found: NDArray[np.uint8], free: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.uint8]:
    """Return the bones, large ones with the marrow that lies open through gaps of the shell or where the image cuts it."""
    out = found.copy()
    walls = np.where(free, found, _SPINE).astype(np.uint8)
    unseen = np.zeros(found.shape, dtype=bool)
    counts = np.bincount(found.ravel())
    for value, box in label_boxes(found).items():
        room_mm3 = float(np.prod([s.stop - s.start for s in box])) * spacing_mm**3
        if counts[value] * spacing_mm**3 > _LEAST_MARROW_MM3 and room_mm3 < _MOST_ROOM_MM3:
            out[inner_rooms(walls, value, unseen, spacing_mm)] = value
    return out


def _filled(parts: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.uint8]:
    """Return the parts, each with what its own shell encloses."""
    out = parts.copy()
    radius = max(1, round(_GAP_MM / spacing_mm))
    for value, box in label_boxes(parts, radius + 1).items():
        own = np.pad((parts[box] == value).astype(np.uint8), radius + 1)
        closed = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(own), [radius] * 3)
        full = sitk.GetArrayFromImage(sitk.BinaryFillhole(closed)) > 0
        full = full[(slice(radius + 1, -radius - 1),) * 3]
        out[box][full & (out[box] == 0)] = value
    return out
