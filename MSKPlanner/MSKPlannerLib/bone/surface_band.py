"""How sure a bone's surface is, place by place: the band about it in which the true surface lies nine times out of ten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, spatial

from MSKFusionLib.boxes import mask_box
from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.segmentation.cortical_edge import CorticalEdge
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

#: Half width of the band in standard deviations (90 % of a normal distribution).
_QUANTILE = 1.645
#: The standard deviation is made of what the fit of the edge says of itself, of how far the edge at this place alone is from
#: the surface that its neighbours agree on, and of what no fit tells; all three grow with the voxels, whose corners the fit
#: does not know of. The numbers hold for voxels of 0.8 mm (mean edge). They were chosen on two generated patients (seeds 1 and
#: 2) and tried on others and on voxels of 1.2 mm; see docs/measured/bones-in-ct.md.
_FIT_FACTOR, _DISAGREEMENT_FACTOR, _LEAST_SD_MM, _VOXEL_MM = 1.3, 0.7, 0.05, 0.8
#: A fit that is so many times less sure than the usual one of its bone is none. Where no cortex shows the label alone says where the bone ends, and the true surface may be so far away.
UNSEEN_MM = 4.5
_LEAST_WEIGHT, _LARGEST_FIT_SD = 0.05, 2.5


@dataclass(frozen=True, eq=False)
class SurfaceBand:
    """The band about a bone's surface.

    Parameters
    ----------
    points_ras
        (N, 3) places on the surface, RAS mm.
    half_width_mm
        (N,) the true surface is this near in 90 % of such places.
    seen
        (N,) whether the image shows a cortex there.
    """

    points_ras: FloatArray
    half_width_mm: FloatArray
    seen: NDArray[np.bool_]

    @classmethod
    def of_fit(
        cls,
        points_ras: FloatArray,
        outward_ras: FloatArray,
        moved_mm: NDArray[Any],
        edge: CorticalEdge,
        spacing_mm: FloatArray,
    ) -> SurfaceBand:
        """Return the band of a surface that was moved to the edges that a CT shows.

        Parameters
        ----------
        points_ras, outward_ras
            (N, 3) on the surface before it was moved.
        moved_mm
            (N,) how far outward it was moved at each place.
        spacing_mm
            Of the CT.
        """
        disagreement_mm = edge.shift_mm - moved_mm
        sd_mm = (float(np.mean(spacing_mm)) / _VOXEL_MM) * np.sqrt(
            (_FIT_FACTOR * edge.sd_mm) ** 2 + (_DISAGREEMENT_FACTOR * disagreement_mm) ** 2 + _LEAST_SD_MM**2
        )
        seen = np.asarray(edge.weight >= _LEAST_WEIGHT)
        if seen.any():
            seen &= edge.sd_mm <= _LARGEST_FIT_SD * np.median(edge.sd_mm[seen])
        half_width_mm = np.where(seen, np.minimum(_QUANTILE * sd_mm, UNSEEN_MM), UNSEEN_MM)
        return cls(points_ras + moved_mm[:, None] * outward_ras, half_width_mm, seen)

    @property
    def usual_mm(self) -> float:
        """The median half width."""
        return float(np.median(self.half_width_mm))

    @property
    def unseen_share(self) -> float:
        """The share of the surface where the image shows no cortex."""
        return float(1.0 - self.seen.mean())

    def nearest(self, points_ras: ArrayLike) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return of the surface nearest to points (N, 3): distance without sign (N,) and half width (N,) in mm, whether it is seen."""
        distance_mm, nearest = self._tree.query(np.asarray(points_ras, dtype=np.float64))
        return distance_mm, self.half_width_mm[nearest], self.seen[nearest]

    @cached_property
    def _tree(self) -> spatial.cKDTree:
        return spatial.cKDTree(self.points_ras)


def band_map(segmentation: Segmentation, bands: Mapping[str, SurfaceBand]) -> Volume:
    """Return an image of the half widths in mm on the labels' grid: in every voxel that lies within a bone's band, else 0.

    Where the bands of two bones meet the wider one counts.

    Parameters
    ----------
    bands
        By the name of the segment.
    """
    labels = segmentation.labels
    found = np.zeros(labels.voxels.shape, dtype=np.float32)
    spacing_kji = labels.spacing_mm[::-1]
    half_voxel_mm = 0.5 * float(np.linalg.norm(spacing_kji))
    reach = int(np.ceil((UNSEEN_MM + half_voxel_mm) / spacing_kji.min()))
    for name, band in bands.items():
        mask = segmentation.mask(name)
        box = mask_box(mask, reach)
        part = mask[box]
        away_mm = ndimage.distance_transform_edt(~part, sampling=spacing_kji)
        inside_mm = ndimage.distance_transform_edt(part, sampling=spacing_kji)
        near = np.argwhere(np.maximum(away_mm, inside_mm) <= UNSEEN_MM + half_voxel_mm)
        kji = near + np.array([s.start for s in box])
        distance_mm, width_mm, _ = band.nearest(transform_points(labels.ijk_to_ras, kji[:, ::-1].astype(np.float64)))
        within = distance_mm <= np.maximum(width_mm, half_voxel_mm)
        at = tuple(kji[within].T)
        found[at] = np.maximum(found[at], width_mm[within])
    return labels.with_voxels(found, step="half width of the 90 % band of the surface, mm")
