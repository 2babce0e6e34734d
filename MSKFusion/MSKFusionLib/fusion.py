"""Two registered images in one picture: blended, as a checkerboard, with outlines, in colour, with the expected error.

Of two MR images the fixed one stands where the CT does, and what is bright in it where bone does. Pictures are (H, W, 3) arrays of 8-bit red, green and blue. They are sampled straight from both images through the
transform, so that neither is resampled first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .errors import InputError
from .frames import FloatArray, transform_points
from .interpolation import sample_at_indices
from .progress import Progress, no_progress
from .registration.result import RegistrationResult
from .volume import Modality, Volume

Picture = NDArray[np.uint8]

#: Window of the CT: fat is dark grey, cortex white.
_CT_WINDOW_HU = (-200.0, 600.0)
#: From here on the CT is shown as bone, in full colour from the second value on.
_BONE_HU = (150.0, 450.0)
_OUTLINE_HU, _SPECK_MM2 = 220.0, 60.0
#: An MR image's darkest and brightest in the CT's place.
_MR_AS_HU = (0.0, 500.0)
#: Share of the MR's values that its window leaves out at the bright end.
_MR_BRIGHTEST_SHARE = 0.005
#: Of Okabe and Ito's palette: orange for bone over the MR, sky blue for outlines.
_BONE_RGB = np.array([230.0, 159.0, 0.0])
_OUTLINE_RGB = np.array([86.0, 180.0, 233.0])
#: From blue to yellow by rising brightness, so that it reads in grey and to the colour blind (cividis; Nunez et al. 2018,
#: doi 10.1371/journal.pone.0199239).
_SCALE_RGB = np.array([[0, 34, 78], [66, 78, 108], [124, 123, 120], [187, 175, 113], [254, 232, 56]], dtype=float)
#: The cut-off of the error's colours is not below this: a map of a good result must not look like one of a bad one.
LEAST_SCALE_MM = 1.0


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """A rectangle in space.

    Parameters
    ----------
    name
        ``axial``, ``coronal`` or ``sagittal``.
    origin_ras
        Of the upper left pixel, mm.
    along_row_ras, along_column_ras
        Unit vectors.
    shape
        Rows and columns.
    """

    name: str
    origin_ras: FloatArray
    along_row_ras: FloatArray
    along_column_ras: FloatArray
    shape: tuple[int, int]
    step_mm: float

    def points_ras(self) -> FloatArray:
        """Return the pixels' places (H, W, 3)."""
        rows, columns = (self.step_mm * np.arange(n) for n in self.shape)
        return (
            self.origin_ras + columns[None, :, None] * self.along_row_ras + rows[:, None, None] * self.along_column_ras
        )


@dataclass(frozen=True, eq=False)
class FusedSlice:
    """Both images on one plane of the fixed image's space.

    Parameters
    ----------
    step_mm
        Edge of a pixel.
    ct, mr
        Brightness (H, W), 0 to 1, by each image's window.
    hu
        CT values (H, W).
    in_ct, in_mr
        Where each image has a value.
    """

    step_mm: float
    ct: FloatArray
    mr: FloatArray
    hu: FloatArray
    in_ct: NDArray[np.bool_]
    in_mr: NDArray[np.bool_]


def overlap_centre_ras(fixed: Volume, moving: Volume, result: RegistrationResult) -> FloatArray | None:
    """Return the middle (fixed RAS) of what both images show; None when they show nothing in common."""
    steps = [np.linspace(0, n - 1, 24) for n in fixed.shape_ijk]
    ijk = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    points = transform_points(fixed.ijk_to_ras, ijk)
    seen = _inside(moving, result.apply_to_points(points))[0]
    return np.asarray(points[seen].mean(axis=0)) if seen.any() else None


def anatomical_planes(volume: Volume, centre_ras: ArrayLike, step_mm: float = 0.6) -> tuple[SlicePlane, ...]:
    """Return the axial, coronal and sagittal plane through a point, as far as a volume reaches.

    As radiologists look: from the feet and from the front, the patient's right on the left side of the picture.
    """
    corners = volume.corners_ras()
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre = np.asarray(centre_ras, dtype=np.float64)
    right, anterior, superior = np.eye(3)
    planes = []
    for name, row, column in (
        ("axial", -right, -anterior),
        ("coronal", -right, -superior),
        ("sagittal", -anterior, -superior),
    ):
        upper_left = np.where(row + column < 0, high, centre)
        size = [int(float((high - low) @ np.abs(v)) / step_mm) + 1 for v in (column, row)]
        planes.append(SlicePlane(name, upper_left, row, column, (size[0], size[1]), step_mm))
    return tuple(planes)


def fused_slices(
    fixed: Volume, moving: Volume, result: RegistrationResult, planes: Sequence[SlicePlane]
) -> tuple[FusedSlice, ...]:
    """Sample both images on planes of the fixed image's space.

    Raises
    ------
    InputError
        When the images are neither one CT and one MR nor two MR.
    """
    windows = _windows(fixed, moving)
    return tuple(_fused(fixed, moving, result, windows, p.points_ras(), p.step_mm) for p in planes)


def blended(fused: FusedSlice, mr_share: float = 0.5) -> Picture:
    """Return both images laid over each other; where only one is seen, that one."""
    share = np.where(fused.in_mr & fused.in_ct, mr_share, fused.in_mr.astype(float))
    return _grey((1 - share) * fused.ct + share * fused.mr)


def checkerboard(fused: FusedSlice, tile_mm: float = 20.0) -> Picture:
    """Return tiles of CT and MR in turn: an edge that goes on from tile to tile is in register."""
    rows, columns = (np.arange(n) * fused.step_mm // tile_mm for n in fused.ct.shape)
    mr_tile = (rows[:, None] + columns[None, :]) % 2 == 1
    return _grey(np.where((mr_tile & fused.in_mr) | ~fused.in_ct, fused.mr, fused.ct))


def bone_outlined(fused: FusedSlice) -> Picture:
    """Return the MR with the outline of the CT's bone."""
    bone = ndimage.gaussian_filter(fused.hu, 0.7 / fused.step_mm) > _OUTLINE_HU
    # Marrow of middling density is all specks and holes; a canal is larger than any of them.
    for mask in (bone, ~bone):
        parts, count = ndimage.label(mask)
        small = np.bincount(parts.ravel(), minlength=count + 1) * fused.step_mm**2 < _SPECK_MM2
        small[0] = False
        bone ^= small[parts]
    edge = bone & ~ndimage.binary_erosion(bone) & fused.in_mr
    picture = _grey(fused.mr)
    picture[edge] = _OUTLINE_RGB
    return picture


def in_colour(fused: FusedSlice) -> Picture:
    """Return the MR in grey with the CT's bone in colour over it."""
    return _bone_over(fused.mr, fused.hu)


def with_error(fused: FusedSlice, error_mm: FloatArray, scale_mm: float) -> Picture:
    """Return the CT with the expected error (H, W) in colour over it, from none to `scale_mm`."""
    place = np.clip(error_mm / scale_mm, 0, 1) * (len(_SCALE_RGB) - 1)
    colour = np.stack([np.interp(place, np.arange(len(_SCALE_RGB)), channel) for channel in _SCALE_RGB.T], axis=-1)
    shown = (fused.in_mr & fused.in_ct & np.isfinite(error_mm))[..., None]
    grey = 255.0 * fused.ct[..., None]
    return _bytes(np.where(shown, colour * (0.5 + 0.5 * fused.ct[..., None]), grey))


def fused_volume(
    fixed: Volume, moving: Volume, result: RegistrationResult, progress: Progress = no_progress
) -> sitk.Image:
    """Return `in_colour` for every voxel of the fixed image, as ITK's RGB image; made slice by slice, to bound memory."""
    windows = _windows(fixed, moving)
    ni, nj, nk = fixed.shape_ijk
    colours = np.empty((nk, nj, ni, 3), dtype=np.uint8)
    ij = np.stack(np.meshgrid(np.arange(ni), np.arange(nj)), axis=-1)
    for k in range(nk):
        progress(k / nk, "colouring")
        points = transform_points(fixed.ijk_to_ras, np.concatenate([ij, np.full((nj, ni, 1), k)], axis=-1))
        colours[k] = in_colour(_fused(fixed, moving, result, windows, points, float(fixed.spacing_mm[0])))
    image = sitk.GetImageFromArray(colours, isVector=True)
    image.CopyInformation(fixed.to_sitk())
    return image


def _windows(fixed: Volume, moving: Volume) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the darkest and brightest values of the fixed and of the moving image."""
    kinds = fixed.modality, moving.modality
    if Modality.MR not in kinds or not set(kinds) <= {Modality.CT, Modality.MR}:
        raise InputError("these pictures need one CT and one MR, or two MR", where=f"{fixed.name} and {moving.name}")
    return _window(fixed), _window(moving)


def _window(volume: Volume) -> tuple[float, float]:
    if volume.modality is Modality.CT:
        return _CT_WINDOW_HU
    darkest, brightest = np.quantile(volume.voxels[:, ::2, ::2], [0.01, 1 - _MR_BRIGHTEST_SHARE])
    return float(darkest), float(brightest)


def _fused(
    fixed: Volume,
    moving: Volume,
    result: RegistrationResult,
    windows: tuple[tuple[float, float], tuple[float, float]],
    points_ras: FloatArray,
    step_mm: float,
) -> FusedSlice:
    images = [
        (*_values(fixed, points_ras), windows[0]),
        (*_values(moving, result.apply_to_points(points_ras)), windows[1]),
    ]
    ct_first = moving.modality is Modality.MR
    (in_ct, ct, ct_window), (in_mr, mr, mr_window) = images if ct_first else images[::-1]
    ct_brightness = _brightness(ct, *ct_window) * in_ct
    is_ct = Modality.CT in (fixed.modality, moving.modality)
    low, high = _MR_AS_HU
    return FusedSlice(
        step_mm,
        ct_brightness,
        _brightness(mr, *mr_window) * in_mr,
        np.where(in_ct, ct if is_ct else low + (high - low) * ct_brightness, -1000.0),
        in_ct,
        in_mr,
    )


def _values(volume: Volume, points_ras: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    inside, ijk = _inside(volume, points_ras)
    return inside, sample_at_indices(volume, ijk)


def _inside(volume: Volume, points_ras: FloatArray) -> tuple[NDArray[np.bool_], FloatArray]:
    ijk = transform_points(volume.ras_to_ijk, points_ras)
    return np.all((ijk >= -0.5) & (ijk <= np.array(volume.shape_ijk) - 0.5), axis=-1), ijk


def _brightness(values: ArrayLike, low: float, high: float) -> FloatArray:
    return np.asarray(np.clip((np.asarray(values, dtype=np.float64) - low) / max(high - low, 1e-9), 0, 1))


def _bone_over(brightness: FloatArray, hu: FloatArray) -> Picture:
    share = 0.75 * _brightness(hu, *_BONE_HU)[..., None]
    return _bytes((1 - share) * 255.0 * brightness[..., None] + share * _BONE_RGB)


def _grey(brightness: FloatArray) -> Picture:
    return np.repeat(_bytes(255.0 * brightness)[..., None], 3, axis=-1)


def _bytes(values: FloatArray) -> Picture:
    return np.asarray(np.round(np.clip(values, 0, 255)), dtype=np.uint8)
