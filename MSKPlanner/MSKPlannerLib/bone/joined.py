"""Depth in several bones at once: their union, with the joints that a screw may cross counted as bone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.segmentation.labels import Segmentation

from .depth_field import DepthField, signed_distance
from .region import Region
from .smooth_bone import SmoothBone

#: Around a region so much more of the label is smoothed, so that the cut through the bones there is not met.
_ROOM_MM = 12.0


def join(
    depths: Sequence[NDArray[np.float32]], joints: Sequence[tuple[int, int]], joint_gap_mm: float
) -> NDArray[np.float32]:
    """Return values that are positive in the union of bones and in the joints between some of them.

    A point lies in the joint of two bones when its distances from both add up to no more than `joint_gap_mm`: between two
    parallel surfaces that is all of the gap, at the joint's rim it ends where they part. The rim therefore counts as a
    wall: a screw that crosses the joint keeps its clearance from the rim too.

    Parameters
    ----------
    depths
        Signed depth (K, J, I) in mm of each bone, positive inside, right to a few tenths near its surface.
    joints
        Pairs of indices of the bones between which a screw may cross.
    """
    out = np.max(np.stack(list(depths)), axis=0)
    for a, b in joints:
        np.maximum(out, 0.5 * (np.float32(joint_gap_mm) + np.minimum(depths[a], 0) + np.minimum(depths[b], 0)), out=out)
    return np.asarray(out, dtype=np.float32)


def joined_field(
    segmentation: Segmentation,
    names: Sequence[str],
    region: Region,
    *,
    joints: Sequence[tuple[str, str]] = (),
    joint_gap_mm: float = 5.0,
    step_mm: float = 0.7,
) -> DepthField:
    """Return the depth in the union of bones, and of the joints between them, within a region (see `join`).

    Raises
    ------
    InputError
        When none of the bones reaches into the region.
    """
    labels = segmentation.labels
    ijk = transform_points(labels.ras_to_ijk, region.corners_ras(_ROOM_MM))
    last = np.array(labels.shape_ijk)
    low = np.clip(np.floor(ijk.min(axis=0)).astype(int), 0, last - 1)
    high = np.clip(np.ceil(ijk.max(axis=0)).astype(int) + 1, low + 1, last)
    part = labels.cropped(low, high)
    nodes = region.nodes_ras(step_mm)
    depths = []
    for name in names:
        mask = part.voxels == segmentation[name].value
        if not mask.any():
            depths.append(np.full(nodes.shape[:-1], -100.0, dtype=np.float32))
            continue
        smooth = SmoothBone.of_mask(part, mask, where=name)
        at = (nodes - smooth.origin_ras) @ (smooth.directions_ras / smooth.spacing_mm)
        beyond = np.linalg.norm(
            (at - np.clip(at, 0, np.array(smooth.level.shape[::-1]) - 1.0)) * smooth.spacing_mm, axis=-1
        )
        depths.append(np.asarray(interpolate(smooth.level, at) - beyond, dtype=np.float32))
    if all(d.max() <= 0 for d in depths):
        raise InputError("there is no bone here", "Check the places that were given.", where=", ".join(names))
    index = {name: n for n, name in enumerate(names)}
    level = join(depths, [(index[a], index[b]) for a, b in joints], joint_gap_mm)
    return region.field(signed_distance(level, np.full(3, step_mm)), step_mm)


def kept_away(field: DepthField, outside: DepthField, extra_mm: float) -> DepthField:
    """Return a field in which another structure's surface counts as a wall that lies `extra_mm` farther out.

    Parameters
    ----------
    outside
        Distance from the structure on the same grid, positive outside it.
    """
    return DepthField(
        np.minimum(field.depth, outside.depth - np.float32(extra_mm)),
        field.origin_ras,
        field.directions_ras,
        field.step_mm,
    )
