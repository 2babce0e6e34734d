"""Structures labelled in MR on the CT's grid, and where they run into bone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import Box, mask_box
from .distance_map import signed_distance_mm
from .frames import FloatArray, transform_points
from .interpolation import interpolate
from .segmentation.labels import Segmentation
from .volume import Volume

#: Every so manieth voxel is mapped first, to find where a structure will come to lie.
_COARSE = 8
_CHUNK = 400_000


@dataclass(frozen=True)
class Disagreement:
    """One place where the labels of the two images cannot both be right.

    Parameters
    ----------
    name, bone
        The structure of the MR and the bone of the CT that it runs into.
    deepest_mm
        How deep, at `place_ras` (RAS mm of the CT).
    allowed_mm
        What error and voxels explain.
    volume_mm3
        Of the overlap that is deeper than that.
    """

    name: str
    bone: str
    deepest_mm: float
    allowed_mm: float
    place_ras: tuple[float, float, float]
    volume_mm3: float

    def __str__(self) -> str:
        r, a, s = self.place_ras
        return (
            f"{self.name} of the MR lies {self.deepest_mm:.1f} mm deep in {self.bone} of the CT at RAS {r:.0f}, {a:.0f}, {s:.0f}: "
            f"error and voxels explain {self.allowed_mm:.1f} mm"
        )


@dataclass(frozen=True, eq=False)
class Carried:
    """A structure of the MR on the CT's grid.

    Parameters
    ----------
    box
        Where on the grid it lies.
    depth_mm
        How deep in it each voxel of the box is (K, J, I); negative outside.
    """

    box: Box
    depth_mm: NDArray[np.float32]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which voxels of the box belong to it."""
        return np.asarray(self.depth_mm > 0)


def carried_onto(
    grid: Volume, others: Segmentation, name: str, ct_to_mr: Callable[[FloatArray], FloatArray]
) -> Carried | None:
    """Return where on the CT's grid a structure of the MR comes to lie; None where it lies outside.

    Parameters
    ----------
    ct_to_mr
        Takes RAS points (N, 3) of the CT to the MR.
    """
    source = others.around(name, 6.0)
    mask = source.voxels == others[name].value
    spacing_kji = source.spacing_mm[::-1]
    # The mean of the distances to the mask and to what is not: 0 half-way between their outermost voxels.
    depth = 0.5 * (signed_distance_mm(~mask, spacing_kji) - signed_distance_mm(mask, spacing_kji))
    depth = np.clip(depth, -20.0, 200.0).astype(np.float32)
    last = np.array(source.shape_ijk) - 1.0

    def in_source(kji: NDArray[np.int_]) -> FloatArray:
        points = transform_points(grid.ijk_to_ras, kji[:, ::-1].astype(np.float64))
        return transform_points(source.ras_to_ijk, ct_to_mr(points))

    coarse = np.stack(
        np.meshgrid(*[np.unique(np.append(np.arange(0, n, _COARSE), n - 1)) for n in grid.voxels.shape], indexing="ij"),
        -1,
    ).reshape(-1, 3)
    at = in_source(coarse)
    # What lies between two coarse points may be in the box where neither is.
    reach = _COARSE * float(grid.spacing_mm.max()) * 1.5 / source.spacing_mm
    near = np.all((at >= -reach) & (at <= last + reach), axis=1)
    if not near.any():
        return None
    low = np.maximum(coarse[near].min(axis=0) - _COARSE, 0)
    high = np.minimum(coarse[near].max(axis=0) + _COARSE + 1, grid.voxels.shape)
    shape = tuple(high - low)
    out = np.full(int(np.prod(shape)), -20.0, dtype=np.float32)
    for first in range(0, len(out), _CHUNK):
        flat = np.arange(first, min(first + _CHUNK, len(out)))
        ijk = in_source(np.stack(np.unravel_index(flat, shape), axis=-1) + low)
        seen = np.all((ijk >= 0) & (ijk <= last), axis=1)
        out[flat[seen]] = interpolate(depth, ijk[seen])
    found = out.reshape(shape)
    if not (found > 0).any():
        return None
    tight = mask_box(found > 0)
    box = tuple(slice(s.start + int(a), s.stop + int(a)) for s, a in zip(tight, low, strict=True))
    return Carried(box, found[tight])


def clashes_in_bone(
    bones: Segmentation, name: str, carried: Carried, allowed_mm: float
) -> list[tuple[Disagreement, NDArray[np.float32]]]:
    """Return where a structure lies deeper in a bone than is explained, and by how much (mm, on its box)."""
    box, depth_mm = carried.box, carried.depth_mm
    labels, spacing_kji = bones.labels, bones.labels.spacing_mm[::-1]
    found = []
    values = set(np.unique(labels.voxels[box][depth_mm > 0]).tolist())
    for bone in bones.bones:
        if bone.value not in values:
            continue
        mask = labels.voxels[box] == bone.value
        in_bone_mm = -signed_distance_mm(np.pad(mask, 1), spacing_kji)[1:-1, 1:-1, 1:-1] + 0.5 * float(
            spacing_kji.min()
        )
        both_mm = np.where(mask, np.minimum(depth_mm, in_bone_mm), 0.0)
        deepest = np.unravel_index(int(both_mm.argmax()), both_mm.shape)
        if both_mm[deepest] <= allowed_mm:
            continue
        kji = np.array([s.start for s in box]) + np.array(deepest)
        r, a, s = (float(c) for c in transform_points(labels.ijk_to_ras, kji[::-1].astype(np.float64)))
        over = both_mm > allowed_mm
        clash = Disagreement(
            name, bone.name, float(both_mm[deepest]), allowed_mm, (r, a, s), float(over.sum() * labels.voxel_mm3)
        )
        found.append((clash, np.where(over, both_mm - allowed_mm, 0.0).astype(np.float32)))
    return found
