"""Structures that a screw must stay away from: canal, nerves and vessels of a segmentation, known by their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.frames import FloatArray, perpendicular_axes, transform_points, unit
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


@dataclass(frozen=True, eq=False)
class StructureMaps:
    """The distances from every structure at risk about a region, so that one screw after another is measured at once.

    Parameters
    ----------
    maps
        Name, room it is given, and distances (K, J, I) in mm on a part of the label grid.
    """

    segmentation: Segmentation
    ras_to_ijk: FloatArray
    half_voxel_mm: float
    maps: tuple[tuple[str, float, NDArray[np.float32]], ...]
    shape_ijk: tuple[int, int, int]

    @classmethod
    def around(cls, segmentation: Segmentation, points_ras: ArrayLike) -> StructureMaps:
        """Make the maps of the box around some points (N, 3)."""
        labels = segmentation.labels
        ijk = transform_points(labels.ras_to_ijk, np.asarray(points_ras, dtype=np.float64))
        room = REACH_MM / labels.spacing_mm
        last = np.array(labels.shape_ijk) - 1
        low, high = np.floor(ijk.min(axis=0)), np.ceil(ijk.max(axis=0)) + 1
        # The maps are made with room about them, so that nothing within reach is missed, and kept without it.
        wide_low = np.clip(np.floor(low - room), 0, None).astype(int)
        wide = labels.cropped(wide_low, np.ceil(high + room))
        first = np.clip(low.astype(int), 0, last) - wide_low
        stop = np.clip(high.astype(int), 0, last) + 1 - wide_low
        kept = tuple(slice(a, b) for a, b in zip(first[::-1], np.maximum(stop, first + 1)[::-1], strict=True))
        maps = []
        for segment in segmentation.segments:
            margin = margin_mm(segment.name, segment.kind)
            mask = wide.voxels == segment.value
            if margin is None or not mask.any():
                continue
            distance = signed_distance_mm(mask, wide.spacing_mm[::-1])[kept]
            maps.append((segment.name, margin, np.ascontiguousarray(distance)))
        to_ijk = wide.ras_to_ijk.copy()
        to_ijk[:3, 3] -= first
        k, j, i = (s.stop - s.start for s in kept)
        return cls(segmentation, to_ijk, 0.5 * float(np.mean(labels.spacing_mm)), tuple(maps), (i, j, k))

    def distances(self, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float) -> tuple[StructureDistance, ...]:
        """Return what `structure_distances` does; a screw beyond the maps gets maps of its own."""
        points = _screw_points(entry_ras, tip_ras, diameter_mm)
        at = transform_points(self.ras_to_ijk, points)
        if (at < -1e-6).any() or (at > np.array(self.shape_ijk) - 1 + 1e-6).any():
            return structure_distances(self.segmentation, entry_ras, tip_ras, diameter_mm)
        return self._at(at)

    def nearest(self, points_ras: ArrayLike) -> tuple[StructureDistance, ...]:
        """Return the least distance of points (N, 3), those that the maps were made for, to every structure within 30 mm; nearest first."""
        return self._at(transform_points(self.ras_to_ijk, np.asarray(points_ras, dtype=np.float64)))

    def _at(self, ijk: FloatArray) -> tuple[StructureDistance, ...]:
        found = []
        for name, margin, distance in self.maps:
            # The map is 0 in the middle of the outermost voxels; the border is half a voxel farther out.
            nearest_mm = float(np.min(interpolate(distance, ijk))) - self.half_voxel_mm
            if nearest_mm <= REACH_MM:
                found.append(StructureDistance(name, nearest_mm, margin))
        return tuple(sorted(found, key=lambda s: s.distance_mm))


def structure_distances(
    segmentation: Segmentation, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float
) -> tuple[StructureDistance, ...]:
    """Return the distance from the whole screw, its entry included, to every structure at risk within 30 mm; nearest first.

    The distance is that to the border of the label's voxels, true to about half a voxel.
    """
    points = _screw_points(entry_ras, tip_ras, diameter_mm)
    maps = StructureMaps.around(segmentation, points)
    return maps._at(transform_points(maps.ras_to_ijk, points))


def _screw_points(entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float) -> FloatArray:
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    axis, length = unit(tip - entry), float(np.linalg.norm(tip - entry))
    local, _ = cylinder_points(length, diameter_mm, 0.0)
    return np.asarray(entry + local @ np.vstack([*perpendicular_axes(axis), axis]))


def margin_mm(name: str, kind: str = "") -> float | None:
    """Return how much room a structure is given; None for what is not at risk."""
    words = f"{name} {kind}".lower()
    return max((margin for word, margin in MARGINS_MM.items() if word in words), default=None)
