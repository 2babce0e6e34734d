"""Bone that is not spine parted into its bones, and a broken bone into its fragments.

Two bones, or two fragments, that touch do so over less than their own width: through a joint whose space shows as a dark
sheet here and there, or at the edges of a fracture. A bone's own narrow places are as narrow for some way on both sides.
So the mask, dark sheets taken out, is cut at every neck that a ball of 2 mm does not pass (watershed of the distance to its
border from what is left; Beucher and Lantuejoul 1979), and two parts are joined again unless, 4 to 6 mm behind their contact,
both are at least twice as wide as the contact has bright bone.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import Box, label_boxes
from ..distance_map import signed_distance_mm
from .joints import raised_and_sheets

Labels = NDArray[np.int32]

#: A sheet this much darker than both sides is taken out before the mask is cut.
_SHEET_HU, _SHEET_HALF_MM = 60.0, 2.0
#: Radius of the ball that must pass, and the least volume that counts as a part.
_NECK_MM, _LEAST_CORE_MM3 = 2.0, 1000.0
#: A contact is dark where it has less than this share of the density on both sides of it, looked for so far.
_DARK_SHARE, _SIDE_MM = 0.85, 4.0
#: Parts that touch at less than this only touch.
_LEAST_CONTACT_MM2 = 20.0
#: So much wider than the bright part of a contact both parts must be, at this depth, to be two. On the two broken pelves
#: at hand places where a bone is merely narrow reach 1.5, and fractures and joints begin at 2.0.
_TIMES_WIDER = 1.75
_DEPTH_MM = (4.0, 6.0)
#: Loose pieces below this are no bone of their own.
_LEAST_PIECE_MM3 = 1000.0
#: Few at once: each takes some ten MB for every litre of bone.
_AT_ONCE = 2


def split(hu: NDArray[np.float32], bone: NDArray[np.bool_], spacing_mm: float) -> Labels:
    """Return the bone's parts, numbered from 1 in falling order of size; small loose pieces are 0.

    Parameters
    ----------
    hu
        Smoothed CT (K, J, I), on cubic voxels of about a millimetre.
    bone
        Bone with its marrow.
    """
    # First joints, darker than marrow is; then, within each part, what is only darker than the walls beside it: impacted
    # fractures, but also marrow between two walls, which is joined again.
    parts = _split_once(hu, bone, spacing_mm, marrow_is_dark=False)
    count = int(parts.max())

    def again(one: tuple[int, Box]) -> Labels:
        value, box = one
        return _split_once(hu[box], parts[box] == value, spacing_mm, marrow_is_dark=True)

    boxes = list(label_boxes(parts, 2).items())
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        found = list(pool.map(again, boxes))
    for (_, box), more in zip(boxes, found, strict=True):
        for n in range(2, int(more.max()) + 1):
            count += 1
            parts[box][more == n] = count
    return _by_size(parts, spacing_mm)


def loose(bone: NDArray[np.bool_], spacing_mm: float) -> Labels:
    """Return the pieces that do not hang together, numbered from 1 in falling order of size; small ones are 0."""
    found, _ = ndimage.label(bone)
    return _by_size(found.astype(np.int32), spacing_mm)


def _split_once(hu: NDArray[np.float32], bone: NDArray[np.bool_], spacing_mm: float, *, marrow_is_dark: bool) -> Labels:
    raised, sheets = raised_and_sheets(hu, bone, np.full(3, spacing_mm), _SHEET_HALF_MM)
    if not marrow_is_dark and bone.any():
        even = np.minimum(raised, np.median(raised[bone]))
        reach = 2 * max(round(_SHEET_HALF_MM / spacing_mm), 1) + 1
        sheets = ndimage.grey_closing(even, size=(reach,) * 3) - even
    solid = bone & (sheets <= _SHEET_HU)
    depth = -signed_distance_mm(solid, np.full(3, spacing_mm))
    seeds = _cores(bone, depth, spacing_mm)
    return _joined(_grown(np.where(solid, depth, 0), bone, seeds), raised, spacing_mm)


def _cores(bone: NDArray[np.bool_], depth_mm: NDArray[np.float32], spacing_mm: float) -> Labels:
    """Return where a ball fits in: one number for each part that is large enough, and for each loose piece without one."""
    voxel_mm3 = spacing_mm**3
    # Depths are counted from the middle of the outermost voxels.
    cores, count = ndimage.label(depth_mm > _NECK_MM - spacing_mm)
    large = np.bincount(cores.ravel(), minlength=count + 1) * voxel_mm3 >= _LEAST_CORE_MM3
    large[0] = False
    numbers = np.where(large, np.cumsum(large), 0).astype(np.int32)
    seeds: Labels = numbers[cores]
    pieces, count = ndimage.label(bone)
    seeded = np.zeros(count + 1, dtype=bool)
    seeded[np.unique(pieces[seeds > 0])] = True
    loose = ~seeded & (np.bincount(pieces.ravel(), minlength=count + 1) * voxel_mm3 >= _LEAST_PIECE_MM3)
    loose[0] = False
    more = np.where(loose, np.cumsum(loose) + int(numbers.max(initial=0)), 0).astype(np.int32)
    return np.where(seeds > 0, seeds, more[pieces]).astype(np.int32)


def _grown(depth_mm: NDArray[np.float32], bone: NDArray[np.bool_], seeds: Labels) -> Labels:
    """Return the seeds grown through the bone, thickest first."""
    height = np.where(bone, 254 - np.clip(depth_mm * 20, 0, 250), 255).astype(np.uint8)
    nothing = int(seeds.max()) + 1
    markers = seeds.copy()
    markers[~ndimage.binary_dilation(bone, np.ones((3, 3, 3)))] = nothing
    grown = sitk.GetArrayFromImage(
        sitk.MorphologicalWatershedFromMarkers(
            sitk.GetImageFromArray(height), sitk.GetImageFromArray(markers), False, False
        )
    )
    return np.where(bone & (grown != nothing), grown, 0).astype(np.int32)


@dataclass(eq=False)
class _Contact:
    """Where two parts touch: voxel faces (N, 3) as the lower voxel's index, and the axis across each."""

    faces_kji: NDArray[np.intp]
    axis: NDArray[np.intp]


def _joined(parts: Labels, raised: NDArray[np.float32], spacing_mm: float) -> Labels:
    """Return the parts with those joined that are one bone: the widest contact first, until only necks are left."""
    while True:
        contacts = {p: c for p, c in _contacts(parts).items() if len(c.axis) * spacing_mm**2 >= _LEAST_CONTACT_MM2}
        score = {pair: _times_wider(parts, raised, pair, contact, spacing_mm) for pair, contact in contacts.items()}
        table = np.arange(int(parts.max()) + 1)
        touched: set[int] = set()
        for pair in sorted(score, key=lambda p: score[p]):
            # Each part at most once a round: after that its shape is another.
            if score[pair] < _TIMES_WIDER and not touched & set(pair):
                table[pair[1]] = pair[0]
                touched |= set(pair)
        if not touched:
            return parts
        parts = table[parts].astype(np.int32)


def _contacts(parts: Labels) -> dict[tuple[int, int], _Contact]:
    found: dict[tuple[int, int], list[NDArray[np.intp]]] = {}
    for axis in range(3):
        low, high = (np.take(parts, range(a, parts.shape[axis] - 1 + a), axis) for a in (0, 1))
        faces = np.argwhere((low != high) & (low > 0) & (high > 0))
        a, b = low[tuple(faces.T)], high[tuple(faces.T)]
        for pair in {(int(x), int(y)) for x, y in zip(np.minimum(a, b), np.maximum(a, b), strict=True)}:
            own = (np.minimum(a, b) == pair[0]) & (np.maximum(a, b) == pair[1])
            rows = faces[own]
            found.setdefault(pair, []).append(np.column_stack([rows, np.full(len(rows), axis)]))
    joined = {pair: np.concatenate(rows) for pair, rows in found.items()}
    return {pair: _Contact(rows[:, :3], rows[:, 3]) for pair, rows in joined.items()}


def _times_wider(
    parts: Labels, raised: NDArray[np.float32], pair: tuple[int, int], contact: _Contact, spacing_mm: float
) -> float:
    """Return how many times wider than the bright part of their contact the narrower of two parts is behind it."""
    margin = int(np.ceil((_DEPTH_MM[1] + 2) / spacing_mm)) + 2
    low = np.maximum(contact.faces_kji.min(axis=0) - margin, 0)
    high = np.minimum(contact.faces_kji.max(axis=0) + margin + 2, parts.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    here, own = parts[box], contact.faces_kji - low
    across = np.eye(3, dtype=int)[contact.axis]
    bright = 1.0 - _dark(here, raised[box], pair, own + 0.5 * across, spacing_mm)
    touching = np.zeros(here.shape, dtype=bool)
    touching[tuple(own.T)] = True
    touching[tuple((own + across).T)] = True
    widths = []
    first, last = (round(d / spacing_mm) for d in _DEPTH_MM)
    for value in pair:
        inside = here == value
        layer = touching & inside
        start = np.count_nonzero(layer)
        reached, shells = layer, []
        for n in range(last):
            # Alternating neighbourhoods make the front nearly round.
            grown = ndimage.binary_dilation(reached, ndimage.generate_binary_structure(3, 1 + 2 * (n % 2))) & inside
            shells.append(np.count_nonzero(grown & ~reached))
            reached = grown
        # A front that alternates runs 1.37 voxels a step on the average; faces and voxels of the contact differ alike.
        widths.append(np.mean(shells[first:last]) / 1.37 / max(start * bright, 1e-6))
    return float(min(widths))


def _dark(
    parts: Labels,
    raised: NDArray[np.float32],
    pair: tuple[int, int],
    middles: NDArray[np.float64],
    spacing_mm: float,
) -> float:
    """Return the share of a contact where the CT is darker than on both sides."""
    side = (parts == pair[1]).astype(np.float32) - (parts == pair[0])
    gradient = np.stack([ndimage.gaussian_filter(side, 2.0, order=[int(a == b) for b in range(3)]) for a in range(3)])
    normal = ndimage.map_coordinates(gradient[0], middles.T, order=1, mode="nearest")
    normals = np.column_stack(
        [normal, *(ndimage.map_coordinates(g, middles.T, order=1, mode="nearest") for g in gradient[1:])]
    )
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    reach = np.arange(-_SIDE_MM, _SIDE_MM + 0.1, 1.0) / spacing_mm
    places = middles[:, None, :] + reach[None, :, None] * normals[:, None, :]
    values = ndimage.map_coordinates(raised, places.reshape(-1, 3).T, order=1, mode="nearest").reshape(len(middles), -1)
    half = len(reach) // 2
    at = values[:, half - 1 : half + 2].min(axis=1)
    beside = np.minimum(values[:, :half].max(axis=1), values[:, half + 1 :].max(axis=1))
    return float(np.mean(at < _DARK_SHARE * np.maximum(beside, 1.0)))


def _by_size(parts: Labels, spacing_mm: float) -> Labels:
    sizes = np.bincount(parts.ravel()) * spacing_mm**3
    sizes[0] = 0
    table = np.zeros(len(sizes), dtype=np.int32)
    order = [n for n in np.argsort(-sizes) if sizes[n] >= _LEAST_PIECE_MM3]
    table[order] = np.arange(1, len(order) + 1)
    return table[parts].astype(np.int32)
