"""The coarse grid that a CT and an MR are compared on, the MR turned in any way."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..frames import RAS_LPS, FloatArray, rigid
from ..volume import Volume, transform_to_sitk
from .pair import Pair
from .preprocess import FloatVoxels, IntArray, at_spacing, on_cubes


@dataclass(frozen=True, eq=False)
class SearchGrid:
    """A CT on cubes, and an MR that can be brought onto cubes of the same size, turned about its middle.

    Parameters
    ----------
    ct
        HU on cubes of `spacing_mm` along the CT's own axes.
    centre_mr_ras, half_mm
        The middle of the box around what has signal in the MR, and its half edges along the MR's axes `mr_axes`.
    images
        The MR and its foreground, both coarse.
    """

    ct: Volume
    spacing_mm: float
    centre_mr_ras: FloatArray
    half_mm: FloatArray
    mr_axes: FloatArray
    images: tuple[sitk.Image, sitk.Image]

    @classmethod
    def of(cls, pair: Pair, spacing_mm: float, most_voxels: int) -> SearchGrid:
        """Return the grid of two images: cubes of `spacing_mm`, or larger ones so that the CT has at most `most_voxels`."""
        ct, mr = pair.at(2.0)
        sp = max(spacing_mm, float(np.cbrt(np.prod(ct.extent_mm) / most_voxels)))
        mr_coarse, weight = at_spacing(mr, sp), at_spacing(pair.signal, sp)
        centre_ras, half_mm = _body_box(mr_coarse, weight.voxels)
        images = mr_coarse.to_sitk(), weight.to_sitk()
        return cls(on_cubes(ct, sp), sp, centre_ras, half_mm, mr.directions_ras, images)

    def box_kji(self, turn_ras: FloatArray) -> IntArray:
        """Return the voxels (3,), odd numbers, of the box along the CT's axes that holds the MR's body under a turn from CT RAS to MR RAS."""
        corners = np.array(list(itertools.product((-1, 1), repeat=3))) * self.half_mm @ self.mr_axes.T
        half = np.ceil(np.abs(corners @ turn_ras @ self.ct.directions_ras).max(axis=0) / self.spacing_mm)
        return 2 * half[::-1].astype(np.int64) + 1

    def turned_mr(self, turn_ras: FloatArray, box_kji: IntArray) -> tuple[FloatVoxels, FloatVoxels, NDArray[np.bool_]]:
        """Return the MR, its foreground's weight and its field of view on a box along the CT's axes, about its own middle."""
        transform = transform_to_sitk(rigid(turn_ras, self.centre_mr_ras))
        size = box_kji[::-1]
        direction = RAS_LPS[:3, :3] @ self.ct.directions_ras
        origin = (-direction @ ((size - 1) / 2 * self.spacing_mm)).tolist()

        def resample(image: sitk.Image, fill: float) -> FloatVoxels:
            out = sitk.Resample(
                image, size.tolist(), transform, sitk.sitkLinear, origin, [self.spacing_mm] * 3,
                direction.ravel().tolist(), fill, sitk.sitkFloat32,
            )  # fmt: skip
            return sitk.GetArrayFromImage(out)

        mr, weight = self.images
        value, w = resample(mr, 0.0), resample(weight, -1.0)
        return value, np.maximum(w, 0.0), w > -0.01


def _body_box(mr: Volume, weight: FloatVoxels) -> tuple[FloatArray, FloatArray]:
    """Return the middle (RAS) of the box around what has signal, and its half edges in mm along the image axes."""
    lower, upper = [], []
    for axis in (2, 1, 0):
        mass = np.cumsum(weight.sum(tuple(a for a in range(3) if a != axis)))
        lower.append(np.searchsorted(mass, 0.005 * mass[-1]))
        upper.append(np.searchsorted(mass, 0.995 * mass[-1]))
    lo, hi = np.array(lower, dtype=float), np.minimum(np.array(upper, dtype=float), np.array(mr.shape_ijk) - 1)
    middle = mr.ijk_to_ras @ np.r_[(lo + hi) / 2, 1.0]
    return middle[:3], (hi - lo + 1) / 2 * mr.spacing_mm
