"""An MR image made ready: refused where it is none, its coil shading taken out, on cubes along its own axes.

Segmentation of MR works in the **image frame**: x to the patient's right, y to the front, z to the head, each along the
axis of the image that comes nearest, in mm from the first voxel. Slices stay slices in it, however oblique they lie.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...frames import FloatArray, transform_points
from ...interpolation import interpolate
from ...registration.preprocess import otsu_threshold
from ...volume import Modality, Volume, check_values

#: Cubes of the working image, and as many of them as are worked on: a larger field of view gets larger cubes.
CUBE_MM, _MOST_CUBES = 1.0, 14_000_000
#: Slices further apart than this hide a disc between them when they are not sagittal, and a canal when they are.
_FARTHEST_SLICES_MM = 7.0
_LEAST_MM, _LEAST_SLICES = 25.0, 5
#: N4 (Tustison et al. 2010, doi 10.1109/TMI.2010.2046908) on voxels of about this size.
_N4_MM, _N4_ITERATIONS = 7.0, (20, 10)


@dataclass(frozen=True, eq=False)
class PreparedMR:
    """An MR image in its image frame.

    Parameters
    ----------
    volume
        Cubes (K to the head, J to the front, I to the right), shading taken out, noise smoothed; tissue is about 1.
    source
        The image as it was given.
    bias
        The shading (K, J, I) on the grid of `source`: the image divided by it has none.
    signal_level
        Value of `source` / `bias` that is 1 in `volume`.
    noise
        Standard deviation of the noise that is left in `volume`.
    """

    volume: Volume
    source: Volume
    bias: NDArray[np.float32]
    signal_level: float
    noise: float

    @property
    def size_mm(self) -> FloatArray:
        """Where the last voxel lies in the image frame (3,)."""
        return (np.array(self.volume.shape_ijk) - 1) * self.volume.spacing_mm

    def from_ras(self, points_ras: FloatArray) -> FloatArray:
        """Return points (..., 3) of RAS mm in the image frame."""
        return transform_points(self.volume.ras_to_ijk, points_ras) * self.volume.spacing_mm

    def to_ras(self, points_mm: FloatArray) -> FloatArray:
        """Return points (..., 3) of the image frame in RAS mm."""
        return transform_points(self.volume.ijk_to_ras, points_mm / self.volume.spacing_mm)

    def values(self, points_mm: FloatArray) -> NDArray[np.float32]:
        """Return the values (...,) at points (..., 3) of the image frame; NaN outside the image."""
        found = interpolate(self.volume.voxels, points_mm / self.volume.spacing_mm)
        # Half a voxel beyond the centres still belongs to the image.
        reach = 0.5 * float(self.volume.spacing_mm[0])
        inside = np.all((points_mm >= -reach) & (points_mm <= self.size_mm + reach), axis=-1)
        return np.where(inside, found, np.nan).astype(np.float32)

    def source_points(self) -> FloatArray:
        """Return the places (K, J, I, 3) of all voxels of `source` in the image frame."""
        kji = np.indices(self.source.voxels.shape, dtype=np.float64)
        return self.from_ras(transform_points(self.source.ijk_to_ras, np.moveaxis(kji[::-1], 0, -1)))


def prepare_mr(mr: Volume | PreparedMR, cube_mm: float = CUBE_MM) -> PreparedMR:
    """Return an MR image ready for segmentation; one that is ready is given back, so that its shading is taken out once.

    Raises
    ------
    InputError
        When it is no MR, is not finite, empty, smaller than 25 mm along an axis, has fewer than 5 slices or slices more
        than 7 mm apart, or shows nothing but noise.
    """
    if isinstance(mr, PreparedMR):
        return mr
    check_mr(mr)
    bias, foreground = shading(mr)
    even = (np.asarray(mr.voxels, dtype=np.float32) - float(min(0.0, mr.voxels.min()))) / bias
    level = float(np.median(even[foreground]))
    cube = max(cube_mm, (float(np.prod(mr.extent_mm)) / _MOST_CUBES) ** (1 / 3))
    upright = _upright(mr.with_voxels((even / level).astype(np.float32)))
    raw = _on_cubes(upright, cube)
    noise = _noise(upright.voxels)
    smooth = _denoised(raw, noise)
    return PreparedMR(smooth, mr, bias, level, _noise(smooth.voxels))


def check_mr(mr: Volume) -> None:
    """Raise `InputError` for an image that is no MR, or too small or too coarse to tell structures in."""
    if mr.modality is not Modality.MR:
        raise InputError(
            f"the image is {mr.modality.value}, and this segmentation is for MR",
            "For CT use the segmentation of bones; if it is an MR say so when it is read.",
            where=mr.name,
        )
    check_values(mr)
    if float(np.mean(mr.voxels < -300)) > 0.01:
        raise InputError(
            "values far below zero are Hounsfield units: this is a CT", "Segment it as a CT.", where=mr.name
        )
    if min(mr.extent_mm) < _LEAST_MM or min(mr.shape_ijk) < _LEAST_SLICES:
        raise InputError(
            f"{' x '.join(map(str, mr.shape_ijk))} voxels over {' x '.join(f'{e:.0f}' for e in mr.extent_mm)} mm are too few",
            f"Give at least {_LEAST_SLICES} slices and {_LEAST_MM:.0f} mm along each axis.",
            where=mr.name,
        )
    if mr.spacing_mm.max() > _FARTHEST_SLICES_MM:
        raise InputError(
            f"slices {mr.spacing_mm.max():.1f} mm apart hide what lies between them",
            f"Give a series with slices of {_FARTHEST_SLICES_MM:.0f} mm or less.",
            where=mr.name,
        )


def shading(mr: Volume) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the shading of the coil (about 1) and where there is signal, on the image's grid.

    N4 on an image of about 7 mm; its logarithmic field is brought back by its own B-spline.

    Raises
    ------
    InputError
        When there is hardly any signal.
    """
    values = np.asarray(mr.voxels, dtype=np.float32) - float(min(0.0, mr.voxels.min()))
    positive = values[values > 0]
    every = max(1, positive.size // 1_000_000)
    foreground = values > 0.3 * otsu_threshold(positive[::every])
    if float(foreground.mean()) < 0.02:
        raise InputError("there is hardly any signal in this image", "Give the MR itself.", where=mr.name)
    shrink = np.maximum(1, np.round(_N4_MM / mr.spacing_mm)).astype(int)
    shrink = np.minimum(shrink, np.maximum(1, np.array(mr.shape_ijk) // 4))
    image = mr.with_voxels(values).to_sitk()
    mask = mr.with_voxels(foreground.astype(np.float32)).to_sitk()
    small = sitk.BinShrink(image, shrink.tolist())
    inside = sitk.Cast(sitk.BinShrink(mask, shrink.tolist()) > 0.5, sitk.sitkUInt8)
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(list(_N4_ITERATIONS))
    corrector.SetNumberOfControlPoints([max(4, min(7, int(e / 60) + 3)) for e in mr.extent_mm])
    try:
        corrector.Execute(small, inside)
        coarse = Volume.from_sitk(corrector.GetLogBiasFieldAsImage(small))
        # The field is smooth: linear between its voxels is enough, and far faster than the spline at every voxel.
        field = _on_grid(coarse, mr)
    except RuntimeError:  # no tissue in so small an image: it has no shading that could be told
        field = np.zeros(values.shape, dtype=np.float32)
    bias = np.exp(np.clip(field - float(np.median(field[foreground])), -2.5, 2.5)).astype(np.float32)
    return bias, foreground


def _on_grid(coarse: Volume, fine: Volume) -> NDArray[np.float32]:
    """Return the values of a coarse image along the same axes at every voxel of a fine one, the edge's beyond its edge."""
    found = np.ascontiguousarray(coarse.voxels, dtype=np.float32)
    first = transform_points(coarse.ras_to_ijk, fine.origin_ras)
    for axis, (n, ratio, start) in enumerate(
        zip(fine.shape_ijk, fine.spacing_mm / coarse.spacing_mm, first, strict=True)
    ):
        at = np.clip(start + ratio * np.arange(n), 0, coarse.shape_ijk[axis] - 1)
        weights = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(coarse.shape_ijk[axis]))).astype(np.float32)
        found = np.moveaxis(np.tensordot(weights, found, axes=(1, 2 - axis)), 0, 2 - axis)
    return np.ascontiguousarray(found)


def _upright(volume: Volume) -> Volume:
    """Return the same voxels with the axes i, j, k nearest to right, front and head."""
    turned = Volume.from_sitk(sitk.DICOMOrient(volume.to_sitk(), "RAS"), modality=volume.modality, name=volume.name)
    # DICOM's words say where an axis comes from or goes to, by version: make sure.
    flips = [bool(turned.directions_ras[a, a] < 0) for a in range(3)]
    if any(flips):
        turned = Volume.from_sitk(sitk.Flip(turned.to_sitk(), flips, False), modality=volume.modality, name=volume.name)
    return turned


def _on_cubes(volume: Volume, cube_mm: float) -> Volume:
    """Return the image on cubes: averaged where it is finer, a cubic spline across thick slices where it is coarser."""
    ratio = cube_mm / volume.spacing_mm
    sigma = np.where(ratio > 1.15, 0.42 * np.sqrt(np.maximum(ratio**2 - 1, 0)), 0.0)
    voxels = ndimage.gaussian_filter(volume.voxels, sigma[::-1])
    count = np.maximum(2, np.floor((np.array(volume.shape_ijk) - 1) / ratio + 1e-6).astype(int) + 1)
    target = replace(
        volume,
        voxels=np.broadcast_to(np.float32(0), tuple(int(n) for n in count[::-1])),
        spacing_mm=np.full(3, cube_mm),
    )
    image = sitk.Resample(
        volume.with_voxels(voxels).to_sitk(),
        [int(n) for n in count],
        sitk.Transform(),
        sitk.sitkBSpline3 if np.any(ratio < 0.6) else sitk.sitkLinear,
        (target.origin_ras * [-1, -1, 1]).tolist(),
        target.spacing_mm.tolist(),
        volume.to_sitk().GetDirection(),
        0.0,
        sitk.sitkFloat32,
    )
    return target.with_voxels(np.maximum(sitk.GetArrayFromImage(image), 0.0))


def _noise(voxels: NDArray[np.float32]) -> float:
    """Return the standard deviation of what differs from voxel to voxel within slices, in tissue.

    The median of the second differences, which edges hardly change (Immerkaer 1996, doi 10.1006/cviu.1996.0060, made robust).
    """
    v = voxels[:, 1:-1, 1:-1]
    laplace = 4 * v - 2 * (voxels[:, :-2, 1:-1] + voxels[:, 2:, 1:-1] + voxels[:, 1:-1, :-2] + voxels[:, 1:-1, 2:])
    laplace += voxels[:, :-2, :-2] + voxels[:, 2:, :-2] + voxels[:, :-2, 2:] + voxels[:, 2:, 2:]
    tissue = v > 0.25
    return float(1.4826 * np.median(np.abs(laplace[tissue])) / 6.0) if tissue.any() else 0.0


def _denoised(volume: Volume, noise: float) -> Volume:
    """Return the image with noise smoothed along edges, not across them; more of it where there is more noise."""
    steps = int(np.clip(round(60 * noise), 2, 12))
    image = sitk.CurvatureAnisotropicDiffusion(
        volume.to_sitk(),
        timeStep=min(0.06, 0.055 * float(volume.spacing_mm[0])),
        conductanceParameter=2.0,
        numberOfIterations=steps,
    )
    return volume.with_voxels(sitk.GetArrayFromImage(image).astype(np.float32))
