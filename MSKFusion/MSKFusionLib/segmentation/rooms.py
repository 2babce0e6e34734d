"""What a bone with gaps in its shell encloses: rooms behind necks.

Marrow in a porous shell, or in one that noise has broken, hangs together with the outside through the gaps; so do the sacral
canal and the foramina through their mouths. What tells them apart is shape: a gap is far narrower than the room behind it, a
canal is about as wide all along. So the space between bone is cut into basins at its narrowest places (watershed of the
distance to bone; Beucher and Lantuejoul 1979), basins are joined over the widest passes first, and a room that is
much wider than the pass over which it would be joined to the outside is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import Box, label_boxes
from ..distance_map import signed_distance_mm
from ..frames import FloatArray

#: So much round a bone is looked at.
_ROOM_ABOUT_MM = 6.0
#: A pass narrower than this (radius) is a gap whatever the room behind it, if that is wider than this.
_LEAST_PASS_MM = 2.0
#: A gap is never wider (radius), nor marrow: between ribs, in a pelvis or a skull are rooms behind necks as well.
_WIDEST_PASS_MM, _WIDEST_ROOM_MM = 4.5, 25.0
#: A room is so many times wider than the pass to it, at least. Canal and foramina narrow by less between two wide places.
_TIMES_WIDER = 1.7
#: Smaller rooms than this are not told from a bend of a canal or of a joint.
_LEAST_ROOM_MM3 = 400.0
#: So much of the bone round a room is the bone's own: between two bones lie joints, which are rooms as well.
_OWN_SHARE = 0.6
#: Pieces of bone smaller than this, in the middle of marrow, are noise or trabeculae and no wall.
_LEAST_WALL_MM3 = 150.0
#: Basins are told apart by the distance in such steps, and by two of them at least.
_STEPS_PER_MM, _LEAST_STEPS = 8, 2.0


def inner_rooms(
    labels: NDArray[np.uint8], value: int, unseen: NDArray[np.bool_], spacing_mm: float
) -> NDArray[np.bool_]:
    """Return the space that a bone encloses, where its shell may have gaps; canal and foramina are outside.

    Parameters
    ----------
    labels
        (K, J, I) all bones in view, on cubic voxels.
    value
        Label of the bone that is asked for.
    unseen
        (K, J, I) what lies outside the image: there everything is taken to be closed.
    """
    found = np.zeros(labels.shape, dtype=bool)
    box = label_boxes(labels, round(_ROOM_ABOUT_MM / spacing_mm)).get(value)
    if box is None:
        return found
    bone, own = labels[box] > 0, labels[box] == value
    solid = _without_crumbs(bone, spacing_mm)
    closed = solid | unseen[box]
    room_mm = np.maximum(signed_distance_mm(closed, np.full(3, spacing_mm)), 0)
    basins = _basins(room_mm, closed)
    outside = np.unique(basins[_outskirts(box, labels.shape) & ~closed])
    inside = _Space.of(basins, room_mm, spacing_mm).inside(outside)
    found[box] = _mostly_own(inside[basins], solid, own) & ~bone
    return found


def _without_crumbs(wall: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(wall, np.ones((3, 3, 3)))
    large = np.bincount(pieces.ravel(), minlength=count + 1) * spacing_mm**3 >= _LEAST_WALL_MM3
    large[0] = False
    return np.asarray(large[pieces])


def _basins(room_mm: NDArray[np.float32], closed: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the space cut at its narrowest places, numbered from 1; 0 in bone."""
    height = np.clip(254 - np.round(room_mm * _STEPS_PER_MM), 0, 254).astype(np.uint8)
    height[closed] = 255
    cut = sitk.MorphologicalWatershed(sitk.GetImageFromArray(height), _LEAST_STEPS, False, False)
    basins = sitk.GetArrayFromImage(cut).astype(np.int32)
    basins[closed] = 0
    return np.asarray(basins)


def _outskirts(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the outermost voxels of a box round a bone: what is there lies outside of the bone.

    Where the image ends, it may end in the bone: there only the edge of the face does.
    """
    size = tuple(s.stop - s.start for s in box)
    faces, edges = np.zeros(size, dtype=bool), np.zeros(size, dtype=np.uint8)
    for axis, (along, whole) in enumerate(zip(box, shape, strict=True)):
        for end, cut in ((0, along.start == 0), (-1, along.stop == whole)):
            at: list[slice | int] = [slice(None)] * 3
            at[axis] = end
            edges[tuple(at)] += 1
            if not cut:
                faces[tuple(at)] = True
    return np.asarray(faces | (edges > 1))


@dataclass(frozen=True, eq=False)
class _Space:
    """Basins (N) as a graph: how wide each is at its widest, its volume, and the passes (M) between them.

    Parameters
    ----------
    widest_mm, volume_mm3
        (N + 1,) by number; number 0 is bone.
    between
        (M, 2) numbers of two basins, widest pass first.
    pass_mm
        (M,) radius of the pass.
    """

    widest_mm: NDArray[np.float32]
    volume_mm3: FloatArray
    between: NDArray[np.int64]
    pass_mm: NDArray[np.float32]

    @classmethod
    def of(cls, basins: NDArray[np.int32], room_mm: NDArray[np.float32], spacing_mm: float) -> _Space:
        count = int(basins.max()) + 1
        widest = np.zeros(count, dtype=np.float32)
        np.maximum.at(widest, basins.ravel(), room_mm.ravel())
        volume = np.asarray(np.bincount(basins.ravel(), minlength=count) * spacing_mm**3, dtype=float)
        keys, passes = [], []
        for axis in range(3):
            here, there = (np.moveaxis(basins, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
            near, far = (np.moveaxis(room_mm, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
            across = (here != there) & (here > 0) & (there > 0)
            a, b = here[across].astype(np.int64), there[across].astype(np.int64)
            keys.append(np.minimum(a, b) * count + np.maximum(a, b))
            passes.append(np.minimum(near[across], far[across]))
        key, radius = np.concatenate(keys), np.concatenate(passes)
        widest_first = np.argsort(-radius, kind="stable")
        pair, first = np.unique(key[widest_first], return_index=True)
        radius = radius[widest_first][first]
        order = np.argsort(-radius, kind="stable")
        return cls(widest, volume, np.stack(np.divmod(pair[order], count), axis=1), radius[order])

    def inside(self, outside: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return (N + 1,) which basins are rooms that the outside does not reach.

        Parameters
        ----------
        outside
            Numbers of the basins that are outside for sure.
        """
        parent = list(range(len(self.widest_mm)))
        widest, volume = self.widest_mm.tolist(), self.volume_mm3.tolist()
        out = [False] * len(parent)
        for n in outside.tolist():
            out[n] = True

        def root(n: int) -> int:
            while parent[n] != n:
                parent[n] = parent[parent[n]]
                n = parent[n]
            return n

        for (a, b), radius in zip(self.between.tolist(), self.pass_mm.tolist(), strict=True):
            one, other = root(a), root(b)
            if one == other:
                continue
            if out[one] != out[other]:
                inner = other if out[one] else one
                if _is_room(widest[inner], volume[inner], radius):
                    continue
            parent[other] = one
            widest[one], volume[one] = max(widest[one], widest[other]), volume[one] + volume[other]
            out[one] = out[one] or out[other]
        roots = [root(n) for n in range(len(parent))]
        found = np.array([not out[n] and widest[n] <= _WIDEST_ROOM_MM for n in roots])
        found[0] = False
        return found


def _is_room(widest_mm: float, volume_mm3: float, pass_mm: float) -> bool:
    """Tell whether what lies behind a pass is a room of its own."""
    if volume_mm3 < _LEAST_ROOM_MM3 or pass_mm > _WIDEST_PASS_MM or widest_mm > _WIDEST_ROOM_MM:
        return False
    return widest_mm >= _TIMES_WIDER * pass_mm or pass_mm < _LEAST_PASS_MM <= widest_mm


def _mostly_own(found: NDArray[np.bool_], solid: NDArray[np.bool_], own: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rooms of which the bone round them is mostly the bone's own."""
    rooms, count = ndimage.label(found)
    reach = ndimage.maximum_filter(rooms, 3)
    beside = np.bincount(reach[solid], minlength=count + 1)
    beside_own = np.bincount(reach[solid & own], minlength=count + 1)
    keep = beside_own > _OWN_SHARE * beside
    keep[0] = False
    return np.asarray(keep[rooms])
