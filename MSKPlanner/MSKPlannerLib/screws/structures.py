"""Structures that a screw must stay away from: canal, nerves and vessels of a segmentation, known by their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.frames import perpendicular_axes, transform_points, unit
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.segmentation.labels import Segmentation

from .safety import cylinder_points

#: What a structure's name or kind holds, and how much room it is given. Ours, to be changed by whoever plans.
MARGINS_MM = {
    "cord": 2.0,
    "canal": 0.5,
    "cauda": 1.0,
    "nerve": 1.0,
    "root": 1.0,
    "aorta": 5.0,
    "cava": 5.0,
    "artery": 3.0,
    "vein": 3.0,
    "vessel": 3.0,
}
#: Beyond this distance from a screw it is only said that a structure is farther away.
REACH_MM = 30.0


@dataclass(frozen=True)
class StructureDistance:
    """The free distance from a screw's surface to a structure, mm: negative where the screw is in it; and the room it is given."""

    name: str
    distance_mm: float
    margin_mm: float


def structure_distances(
    segmentation: Segmentation, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float
) -> tuple[StructureDistance, ...]:
    """Return the distance from the whole screw, its entry included, to every structure at risk within 30 mm; nearest first.

    The distance is that to the border of the label's voxels, true to about half a voxel.
    """
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    axis, length = unit(tip - entry), float(np.linalg.norm(tip - entry))
    local, _ = cylinder_points(length, diameter_mm, 0.0)
    points = entry + local @ np.vstack([*perpendicular_axes(axis), axis])
    labels = segmentation.labels
    ijk = transform_points(labels.ras_to_ijk, points)
    room = REACH_MM / labels.spacing_mm
    part = labels.cropped(np.floor(ijk.min(axis=0) - room), np.ceil(ijk.max(axis=0) + room) + 1)
    at = transform_points(part.ras_to_ijk, points)
    found = []
    for segment in segmentation.segments:
        margin = margin_mm(segment.name, segment.kind)
        mask = part.voxels == segment.value
        if margin is None or not mask.any():
            continue
        # The map is 0 in the middle of the outermost voxels; the border is half a voxel farther out.
        distance = signed_distance_mm(mask, part.spacing_mm[::-1])
        nearest_mm = float(np.min(interpolate(distance, at))) - 0.5 * float(np.mean(labels.spacing_mm))
        if nearest_mm <= REACH_MM:
            found.append(StructureDistance(segment.name, nearest_mm, margin))
    return tuple(sorted(found, key=lambda s: s.distance_mm))


def margin_mm(name: str, kind: str = "") -> float | None:
    """Return how much room a structure is given; None for what is not at risk."""
    words = f"{name} {kind}".lower()
    return max((margin for word, margin in MARGINS_MM.items() if word in words), default=None)
