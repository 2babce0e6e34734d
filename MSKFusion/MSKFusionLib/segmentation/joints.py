"""Joints cut at the image's own resolution.

Facet joints are about a millimetre wide: on a working grid of that size the two facets touch, and one may go to the
wrong vertebra. Here the labels near every contact of two vertebrae are forgotten and flooded anew through the CT
itself, densest bone first, from what is left of each vertebra (watershed from markers, Meyer and Beucher 1990,
doi 10.1016/1047-3203(90)90014-M): a facet is joined to its own vertebra by cortex, to its neighbour by the joint.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import Box, mask_box
from ..distance_map import signed_distance_mm
from .bone_mask import METAL_HU

#: Labels closer to each other than this touch, for what the working grid could tell.
_CONTACT_MM = 1.6
#: Labels this near to a contact are found anew: a facet is about 15 mm wide and 6 mm thick.
_FORGOTTEN_MM = 8.0
#: A vertebra cut by the image is flooded from when it has at least this share of its neighbour's volume.
_LEAST_SHARE = 0.5
#: Half the width of a joint space, and how much deeper than it looks it is made.
_SHEET_MM, _SHEET_WEIGHT = 1.0, 2.0
#: Voxels up to this size show a facet joint as it is.
_RESOLVED_MM = 1.0
#: HU steps of the flood; finer ones only follow noise.
_STEP_HU = 10.0


def recut_joints(
    labels: NDArray[np.uint8], hu: NDArray[np.generic], spacing_kji_mm: NDArray[np.float64], order: list[int]
) -> NDArray[np.uint8]:
    """Return the labels with the contacts of neighbouring vertebrae found anew on the image's own grid.

    Parameters
    ----------
    labels, hu
        (K, J, I), on one grid; the CT in HU.
    order
        Label values of the vertebrae from head to foot; each is looked at with the next.
    """
    out = labels.copy()
    if not (labels > 0).any():
        return out
    # In the spine's box alone, which reaches the image's border only where a label does.
    box = mask_box(labels > 0, _margin(spacing_kji_mm) + 1)
    out[box] = _recut_all(out[box], hu[box], spacing_kji_mm, order)
    return out


def _recut_all(
    labels: NDArray[np.uint8], hu: NDArray[np.generic], spacing_kji_mm: NDArray[np.float64], order: list[int]
) -> NDArray[np.uint8]:
    out = labels.copy()
    for upper, lower in pairwise(order):
        before = out.copy()
        _recut(out, hu, spacing_kji_mm, upper, lower)
        # Parts of a vertebra that the image cuts may hang together outside the image only: they are left as they were
        # where the flood would give them to a vertebra that is wholly in view.
        if any(_is_cut(out, value) and not _is_cut(before, value) for value in (upper, lower)):
            out = before
    return out


def _recut(
    labels: NDArray[np.uint8], hu: NDArray[np.generic], spacing_kji_mm: NDArray[np.float64], upper: int, lower: int
) -> None:
    box = _shared_box(labels, upper, lower, spacing_kji_mm)
    if box is None:
        return
    if _is_stump(labels, upper, lower) or _is_stump(labels, lower, upper):
        return
    part = labels[box]
    pair = (part == upper) | (part == lower)
    forgotten = _near_contact(part == upper, part == lower, spacing_kji_mm)
    if not forgotten.any():
        return
    markers = np.zeros(part.shape, dtype=np.uint8)
    for marker, value in ((1, upper), (2, lower)):
        rest = (part == value) & ~forgotten
        pieces, count = ndimage.label(rest)
        if count == 0:
            return
        if _is_cut(labels, value):
            markers[rest] = marker
        else:  # a piece cut off by the forgotten zone may be what the neighbour lost: only the main piece tells
            markers[pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())] = marker
    open_to_flood = forgotten | (pair & (markers == 0))
    flooded = _flood(np.asarray(hu[box], dtype=np.float32), open_to_flood, markers, spacing_kji_mm)
    found = open_to_flood & (flooded > 0)
    part[found] = np.where(flooded[found] == 1, upper, lower)


def _near_contact(
    upper: NDArray[np.bool_], lower: NDArray[np.bool_], spacing_kji_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return what of two labels lies near a place where they come near each other."""
    near = np.zeros(upper.shape, dtype=bool)
    if not upper.any() or not lower.any():
        return near
    # Distances are asked for only where both can be near: there each sees all of the other that matters.
    reach = np.ceil((_CONTACT_MM + _FORGOTTEN_MM) / spacing_kji_mm).astype(int) + 1
    both = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(mask_box(upper, reach), mask_box(lower, reach), strict=True)
    )
    if any(s.start >= s.stop for s in both):
        return near
    own, other = upper[both], lower[both]
    pair = own | other
    contact = pair.copy()
    for mask in (own, other):
        contact &= mask.any() and signed_distance_mm(mask, spacing_kji_mm) <= _CONTACT_MM
    if contact.any():
        near[both] = pair & (signed_distance_mm(contact, spacing_kji_mm) <= _FORGOTTEN_MM)
    return near


def _flood(
    hu: NDArray[np.float32],
    where: NDArray[np.bool_],
    markers: NDArray[np.uint8],
    spacing_kji_mm: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Return the marker whose flood, rising through the densest bone first, reaches each voxel."""
    smooth = ndimage.gaussian_filter(np.clip(hu, -200, METAL_HU), 0.35 / spacing_kji_mm)
    seen = where | (markers > 0)
    if float(np.prod(spacing_kji_mm)) ** (1 / 3) > _RESOLVED_MM:
        smooth = opened_joints(smooth, seen, spacing_kji_mm)
    height = np.round((METAL_HU - smooth) / _STEP_HU).astype(np.float32)
    height[~seen] = float(height.max()) + 1.0
    # Outside the two vertebrae lies a third marker, so that no flood runs round through soft tissue.
    basins = np.where(seen, markers, 3).astype(np.uint8)
    result = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(height), sitk.GetImageFromArray(basins), markWatershedLine=False, fullyConnected=False
    )
    found = sitk.GetArrayFromImage(result)
    return np.where(found == 3, 0, found).astype(np.uint8)


def opened_joints(
    hu: NDArray[np.float32], bone: NDArray[np.bool_], spacing_kji_mm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the CT with marrow raised to the shell round it and the sheets between two plates lowered.

    On voxels as wide as a joint the space between two dense facets is denser than marrow, and a flood would cross the
    one before the other.
    """
    raised, sheets = raised_and_sheets(hu, bone, spacing_kji_mm)
    return raised - np.float32(_SHEET_WEIGHT) * sheets


def raised_and_sheets(
    hu: NDArray[np.float32],
    bone: NDArray[np.bool_],
    spacing_kji_mm: NDArray[np.float64],
    half_width_mm: float = _SHEET_MM,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the CT within bone with enclosed marrow raised to its shell, and how much darker than its sides a sheet is.

    Marrow is enclosed, a joint is open at its rim; and what is left of a joint is a thin sheet darker than both sides (a
    black top-hat; Serra 1982) up to twice `half_width_mm` wide.
    """
    within = np.where(bone, np.clip(hu, 0, METAL_HU), 0).astype(np.int16)
    raised = sitk.GetArrayFromImage(sitk.GrayscaleFillhole(sitk.GetImageFromArray(within)))
    reach = np.maximum(np.round(half_width_mm / spacing_kji_mm), 1).astype(int)
    closed = ndimage.grey_closing(raised, size=tuple(2 * reach + 1))
    return raised.astype(np.float32), (closed - raised).astype(np.float32)


def _is_stump(labels: NDArray[np.uint8], value: int, other: int) -> bool:
    """Tell whether the image cuts off most of a vertebra: too little is left of it to flood from."""
    few = np.count_nonzero(labels == value) < _LEAST_SHARE * np.count_nonzero(labels == other)
    return bool(few and _is_cut(labels, value))


def _is_cut(labels: NDArray[np.uint8], value: int) -> bool:
    """Tell whether a label reaches the border of the image; looks at the border alone, for it is asked often."""
    return any(bool((np.take(labels, end, axis) == value).any()) for axis in range(3) for end in (0, -1))


def _shared_box(labels: NDArray[np.uint8], upper: int, lower: int, spacing_kji_mm: NDArray[np.float64]) -> Box | None:
    """Return the slices around both vertebrae, with a margin."""
    of_upper, of_lower = labels == upper, labels == lower
    if not of_upper.any() or not of_lower.any():
        return None
    return mask_box(of_upper | of_lower, _margin(spacing_kji_mm))


def _margin(spacing_kji_mm: NDArray[np.float64]) -> NDArray[np.int_]:
    return np.asarray(np.ceil(2.0 / spacing_kji_mm), dtype=int)
