"""CT and MR side by side on one grid, ready to be compared as soft tissue: what is seen, what may move and what may not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..distance_map import signed_distance_mm
from ..errors import InputError
from ..frames import FloatArray, invert_rigid, transform_points
from ..interpolation import sample_volume
from ..segmentation.labels import Segmentation
from ..volume import Volume
from .pair import Pair
from .point_map import PointMap, voxel_points_ras
from .preprocess import BODY_HU, FloatVoxels, at_spacing, find_bone
from .sampling import crop_to_overlap

#: Voxels of the working grid, and the most there may be of them: a larger field of view gets larger voxels.
STEP_MM, MOST_VOXELS = 2.0, 3_000_000
#: Room around the MR's field of view in which a displacement fades to nothing.
MARGIN_MM = 24.0
#: Nothing moves nearer to bone than this (in steps of the grid, at least in mm): between grid points that do not move
#: nothing does, and a cell that touches bone is at most its own diagonal wide. All is free farther away.
STILL_STEPS, STILL_MM, FREE_AFTER_MM = 1.9, 3.8, 9.0
#: HU that soft tissue lies between; what is beyond them is cut off.
_HU_RANGE = (-160.0, 240.0)
LEAST_VOXELS = 2000


@dataclass(frozen=True, eq=False)
class SoftTissuePair:
    """Both images on cubes along the MR's axes, in the CT's frame, the MR where the initial registration puts it.

    Parameters
    ----------
    grid
        The cubes; covers the MR's field of view and a margin.
    ct, mr
        (K, J, I) values; the CT smoothed across the MR's slices as those are.
    seen
        Where both images show the body.
    free
        (K, J, I) 0 on and close to bone, 1 where tissue may move as it likes.
    fade
        (K, J, I) 1 over the MR's field of view, down to 0 at the grid's border: what is found ends there.
    bone
        Where bone is.
    """

    grid: Volume
    ct: FloatVoxels
    mr: FloatVoxels
    seen: NDArray[np.bool_]
    free: FloatVoxels
    fade: FloatVoxels
    bone: NDArray[np.bool_]

    @property
    def step_mm(self) -> float:
        """Edge of a voxel."""
        return float(self.grid.spacing_mm[0])

    @property
    def to_match(self) -> NDArray[np.bool_]:
        """Where soft tissue is compared: in view, off the bone."""
        return self.seen & (self.free > 0.02)

    @classmethod
    def prepare(
        cls, pair: Pair, bones: Segmentation | None, common_ras: FloatArray, initial: PointMap | None
    ) -> SoftTissuePair:
        """Sample a pair.

        Parameters
        ----------
        bones
            Of the CT; None takes what is dense as bone.
        common_ras, initial
            4x4 from CT to MR, and the map of which it is the common part, where there is one.

        Raises
        ------
        InputError
            When the images share too little soft tissue.
        """
        grid = _grid_along_mr(pair.mr, common_ras)
        step = float(grid.spacing_mm[0])
        points = voxel_points_ras(grid)
        placed = transform_points(common_ras, points) if initial is None else initial(points)
        ct = crop_to_overlap(pair.ct, pair.mr, common_ras, MARGIN_MM + 20.0)
        mr = at_spacing(pair.mr, step)
        hu = sample_volume(at_spacing(ct, step), points)
        seen = (hu > BODY_HU) & _inside(ct, points) & _inside(pair.mr, placed)
        bone_mm = _distance_to_bone_mm(ct, bones)
        far = sample_volume(bone_mm, points)
        # Partial volume through the MR's slices is in both images then.
        slice_sigma = np.where(pair.mr.spacing_mm > 1.2 * step, 0.35 * pair.mr.spacing_mm / step, 0.0)[::-1]
        out = cls(
            grid,
            ndimage.gaussian_filter(np.clip(hu, *_HU_RANGE), slice_sigma),
            sample_volume(mr, placed),
            seen,
            _window(far, step),
            _off_the_border(grid),
            far <= 0.5 * step,
        )
        if int(out.to_match.sum()) < LEAST_VOXELS:
            raise InputError(
                "the two images show too little of the same soft tissue to be compared",
                "Check that they are one patient's, and that the first registration is right.",
            )
        return out


def _grid_along_mr(mr: Volume, ct_to_mr_ras: FloatArray) -> Volume:
    """Return an empty grid over the MR's field of view and a margin, in the CT's frame."""
    back = invert_rigid(ct_to_mr_ras)
    extent = (np.array(mr.shape_ijk) - 1) * mr.spacing_mm + 2 * MARGIN_MM
    step = max(STEP_MM, float(np.prod(extent) / MOST_VOXELS) ** (1 / 3))
    counts = np.ceil(extent / step).astype(int) + 1
    directions = back[:3, :3] @ mr.directions_ras
    origin = transform_points(back, mr.centre_ras) - directions @ ((counts - 1) / 2 * step)
    return Volume(np.zeros(counts[::-1], dtype=np.uint8), origin, np.full(3, step), directions, name="soft tissue")


def _inside(volume: Volume, points_ras: FloatArray) -> NDArray[np.bool_]:
    ijk = transform_points(volume.ras_to_ijk, points_ras)
    return np.asarray(np.all((ijk >= 0) & (ijk <= np.array(volume.shape_ijk) - 1), axis=-1))


def _distance_to_bone_mm(ct: Volume, bones: Segmentation | None) -> Volume:
    """Return each voxel's distance to the nearest bone, in the part of the CT (or of the labels) that counts."""
    if bones is None:
        mask, where = find_bone(ct), ct
    else:
        lower = np.floor(transform_points(bones.labels.ras_to_ijk, ct.corners_ras()).min(axis=0))
        upper = np.ceil(transform_points(bones.labels.ras_to_ijk, ct.corners_ras()).max(axis=0)) + 1
        where = bones.labels.cropped(np.maximum(lower, 0), np.minimum(upper, bones.labels.shape_ijk))
        mask = np.isin(where.voxels, [s.value for s in bones.bones])
    distance = signed_distance_mm(mask, where.spacing_mm[::-1])
    return replace(where, voxels=np.minimum(distance, 1e3), name="distance from bone")


def _window(distance_mm: FloatVoxels, step_mm: float) -> FloatVoxels:
    still = max(STILL_MM, STILL_STEPS * step_mm)
    return _smoothstep((distance_mm - still) / FREE_AFTER_MM)


def _off_the_border(grid: Volume) -> FloatVoxels:
    """Return 0 at the border of the grid, 1 from the margin on."""
    out = np.ones(grid.voxels.shape, dtype=np.float32)
    for axis, n in enumerate(grid.voxels.shape):
        index = np.arange(n)
        from_border = np.minimum(index, n - 1 - index) * grid.spacing_mm[2 - axis]
        shape = [-1 if a == axis else 1 for a in range(3)]
        out *= _smoothstep(from_border / MARGIN_MM).reshape(shape)
    return out


def _smoothstep(t: FloatArray | FloatVoxels) -> FloatVoxels:
    u: FloatArray = np.clip(np.asarray(t, dtype=np.float64), 0.0, 1.0)
    return np.asarray(u * u * (3.0 - 2.0 * u), dtype=np.float32)
