"""What both images go through before they are compared: thinning, foreground, coil shading, tissue classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..distance_map import signed_distance_mm
from ..errors import InputError
from ..frames import FloatArray, transform_points
from ..volume import Modality, Volume, check_values

FloatVoxels = NDArray[np.float32]
IntArray = NDArray[np.int64]

#: Upper edges in HU of the tissue classes of CT: air, lung and foam, fat, water, muscle, contrast, cancellous to cortical bone.
CT_EDGES_HU = np.array([-700.0, -200, -60, -10, 30, 70, 110, 160, 220, 300, 420, 600, 850])
CT_CLASSES = len(CT_EDGES_HU) + 1
BODY_HU = -400.0
BONE_HU = 180.0
#: Images are thinned to at most this many voxels before anything else; a lumbar CT at 0.7 mm stays as it is.
MAX_VOXELS = 36_000_000
MIN_SLICES = 4
LEAST_BODY_LITRES = 0.02
#: Fat and air lie below this in every CT; a vertebra cut out closely still has a quarter of its voxels there.
FAT_HU, LEAST_FAT_SHARE = -30.0, 0.001
#: Voxels that are thinned at once, so that an image of some GB is never copied as a whole.
_AT_ONCE = 16_000_000


def check_image(volume: Volume) -> None:
    """Raise `InputError` for an image that cannot be registered: not CT or MR, not finite, empty, or too thin."""
    if volume.modality not in (Modality.CT, Modality.MR):
        raise InputError(
            f"the image is {volume.modality.value}, and only CT and MR can be registered",
            "Say what it is (CT or MR) when it is read.",
            where=volume.name,
        )
    check_values(volume)
    if min(volume.shape_ijk) < MIN_SLICES or min(volume.extent_mm) < 10.0:
        raise InputError(
            f"{' x '.join(map(str, volume.shape_ijk))} voxels over {' x '.join(f'{e:.0f}' for e in volume.extent_mm)} mm "
            "do not fix a position in space",
            f"Give a series with at least {MIN_SLICES} slices that spans 10 mm or more.",
            where=volume.name,
        )


def check_body(ct: Volume) -> None:
    """Raise `InputError` where values are not Hounsfield units, or show no body or too little of one to tell anything."""
    every = tuple(slice(None, None, max(1, n // 64)) for n in ct.voxels.shape)
    some = ct.voxels[every]
    litres = float((some > BODY_HU).mean()) * ct.voxel_mm3 * ct.voxels.size / 1e6
    if litres < LEAST_BODY_LITRES:
        raise InputError(
            f"there is no body in this CT, or only {litres * 1000:.0f} ml of one ({BODY_HU:.0f} HU and more)",
            "Check that the values are Hounsfield units, and that the image is the CT.",
            where=ct.name,
        )
    if float((some < FAT_HU).mean()) < LEAST_FAT_SHARE:
        raise InputError(
            f"nothing in this CT is as thin as fat or air (below {FAT_HU:.0f} HU): these are no Hounsfield units",
            "Check which of the images is the CT, and whether it was exported with its rescale intercept.",
            where=ct.name,
        )


def check_pair(fixed: Volume, moving: Volume, *, two_mr: bool = False) -> tuple[Volume, Volume]:
    """Return the CT and the MR of two images, whichever is fixed; of two MR images the fixed one takes the CT's place.

    Parameters
    ----------
    two_mr
        Whether two MR images will do.

    Raises
    ------
    InputError
        When they are not one CT and one MR, one is empty or too thin, or the CT shows no body.
    """
    for volume in (fixed, moving):
        check_image(volume)
    if two_mr and fixed.modality is moving.modality is Modality.MR:
        return fixed, moving
    if {fixed.modality, moving.modality} != {Modality.CT, Modality.MR}:
        raise InputError(
            f"both images are {fixed.modality.value}",
            "Give one CT and one MR" + (", or two MR." if two_mr else "; this registration compares the two kinds."),
            where=f"{fixed.name} and {moving.name}",
        )
    ct, mr = (fixed, moving) if fixed.modality is Modality.CT else (moving, fixed)
    check_body(ct)
    return ct, mr


def thin(volume: Volume, max_voxels: int = MAX_VOXELS) -> Volume:
    """Return the image as float32 with at most about `max_voxels`, blocks averaged along the finest axes first."""
    shrink = np.ones(3, dtype=int)
    while np.prod(np.ceil(np.array(volume.shape_ijk) / shrink)) > max_voxels:
        shrink[int(np.argmin(volume.spacing_mm * shrink))] += 1
    if not np.any(shrink > 1):
        return _shrunk(volume, shrink)
    # Slab by slab, which gives the same: ITK copies what it is given.
    ni, nj, nk = volume.shape_ijk
    whole, step = nk - nk % int(shrink[2]), int(shrink[2]) * max(1, _AT_ONCE // (ni * nj * int(shrink[2])))
    slabs = [_shrunk(volume.cropped((0, 0, k), (ni, nj, min(k + step, whole))), shrink) for k in range(0, whole, step)]
    return replace(slabs[0], voxels=np.concatenate([slab.voxels for slab in slabs]))


def _shrunk(volume: Volume, shrink: IntArray) -> Volume:
    """Return the means (float32) of blocks of so many voxels along i, j, k; what fills no block at the end is left out."""
    image = volume.to_sitk()
    if np.any(shrink > 1):
        image = sitk.BinShrink(
            sitk.Cast(image, sitk.sitkFloat32) if volume.voxels.dtype.kind == "f" else image, shrink.tolist()
        )
    image = sitk.Cast(image, sitk.sitkFloat32)
    return Volume.from_sitk(image, modality=volume.modality, name=volume.name, provenance=volume.provenance)


def at_spacing(volume: Volume, spacing_mm: float) -> Volume:
    """Return the image smoothed and resampled to about `spacing_mm` along each axis that is finer, in its own orientation."""
    fine = volume.spacing_mm < 0.8 * spacing_mm
    if not fine.any():
        return volume
    size = np.where(fine, np.maximum(4, np.round(volume.extent_mm / spacing_mm)), volume.shape_ijk).astype(int)
    return _thinned_along_axes(volume, size, volume.extent_mm / size, fine, 0.4 * spacing_mm)


def on_cubes(volume: Volume, spacing_mm: float) -> Volume:
    """Return the image on cubes of `spacing_mm` along its own axes, smoothed where it was finer."""
    size = np.maximum(4, np.floor(volume.extent_mm / spacing_mm)).astype(int)
    return _thinned_along_axes(volume, size, np.full(3, spacing_mm), np.ones(3, dtype=bool), 0.4 * spacing_mm)


def _thinned_along_axes(
    volume: Volume, size_ijk: IntArray, spacing_mm: FloatArray, axes: NDArray[np.bool_], sigma_mm: float
) -> Volume:
    """Resample about the middle of the image, one matrix product an axis: a Gaussian, or linear where it was coarser."""
    voxels = np.ascontiguousarray(volume.voxels, dtype=np.float32)
    first_ijk = (volume.extent_mm - (size_ijk - 1) * spacing_mm) / 2 / volume.spacing_mm - 0.5
    for axis in np.flatnonzero(axes)[np.argsort((size_ijk / np.array(volume.shape_ijk))[axes], kind="stable")]:
        old, n = volume.shape_ijk[axis], size_ijk[axis]
        at = first_ijk[axis] + np.arange(n) * spacing_mm[axis] / volume.spacing_mm[axis]
        distance = np.clip(at, 0, old - 1)[:, None] - np.arange(old)
        sigma = sigma_mm / volume.spacing_mm[axis]
        weights = np.exp(-0.5 * (distance / sigma) ** 2) if sigma > 0.5 else np.maximum(0, 1 - np.abs(distance))
        weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
        # Each form hands BLAS whole, contiguous matrices.
        k, j, i = voxels.shape
        if axis == 0:
            voxels = (voxels.reshape(k * j, i) @ weights.T).reshape(k, j, -1)
        elif axis == 1:
            voxels = np.matmul(weights, voxels)
        else:
            voxels = (weights @ voxels.reshape(k, j * i)).reshape(-1, j, i)
    return replace(
        volume,
        voxels=voxels,
        origin_ras=transform_points(volume.ijk_to_ras, first_ijk),
        spacing_mm=spacing_mm,
    )


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Return the grey value that splits `values` into two classes with the least variance within (Otsu 1979)."""
    counts, edges = np.histogram(values, 256)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    mean_below = mass / np.maximum(below, 1)
    mean_above = (mass[-1] - mass) / np.maximum(above, 1)
    return float(centres[np.argmax(below * above * (mean_below - mean_above) ** 2.0)])


def even_out_mr(mr: Volume, sigma_mm: float = 30.0) -> tuple[Volume, Volume]:
    """Take the coil's shading out of an MR image.

    Each value is divided by the mean of the foreground around it (Gaussian, `sigma_mm`): a quick stand-in for N4 that
    is enough for a joint histogram.

    Returns
    -------
    evened
        Values 0 to 3, about 1 in tissue of middling signal.
    signal
        1 where there is signal, 0 in the background.
    """
    low = min(0.0, float(np.percentile(mr.voxels, 0.1)))
    values = (mr.voxels - low).astype(np.float32)
    positive = values[values > 0]
    foreground = values > 0.35 * otsu_threshold(positive[:: max(1, positive.size // 2_000_000)])
    spacing_kji = mr.spacing_mm[::-1]
    step = np.maximum(1, np.round(8.0 / spacing_kji)).astype(int)
    every = tuple(slice(None, None, int(s)) for s in step)

    def smooth(a: FloatVoxels) -> FloatVoxels:
        coarse = ndimage.uniform_filter(a, step)[every]
        return ndimage.gaussian_filter(coarse, sigma_mm / (spacing_kji * step))

    shading = smooth(values * foreground) / np.maximum(smooth(foreground.astype(np.float32)), 1e-3)
    # Back to the full grid: linear along each axis in turn, which costs far less than one 3D interpolation.
    for axis, (n, s) in enumerate(zip(values.shape, step, strict=True)):
        at = np.minimum(np.arange(n) / s, shading.shape[axis] - 1)
        lower = np.minimum(at.astype(int), max(shading.shape[axis] - 2, 0))
        weight = (at - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        upper = np.minimum(lower + 1, shading.shape[axis] - 1)
        shading = shading.take(lower, axis) * (1 - weight) + shading.take(upper, axis) * weight
    shading = np.maximum(shading, 0.05 * np.percentile(shading[every], 99))
    evened = np.clip(values / shading, 0.0, 3.0).astype(np.float32)
    return replace(mr, voxels=evened), replace(mr, voxels=foreground.astype(np.float32))


def tissue_classes(ct_hu: NDArray[np.floating]) -> IntArray:
    """Return the class (0 to CT_CLASSES - 1) of each HU value."""
    return np.digitize(ct_hu, CT_EDGES_HU).astype(np.int64)


def distance_to_mm(mask: NDArray[np.bool_], volume: Volume) -> FloatVoxels:
    """Return each voxel's distance in mm to the nearest voxel of `mask` (0 within)."""
    return np.maximum(signed_distance_mm(mask, volume.spacing_mm[::-1]), 0.0)


def find_bone(ct: Volume, least_mm3: float = 4000.0) -> NDArray[np.bool_]:
    """Return where the CT is dense as bone; specks under `least_mm3` do not count."""
    bone = ndimage.gaussian_filter(ct.voxels, 0.6 / ct.spacing_mm[::-1]) > BONE_HU
    labels, _ = ndimage.label(bone)
    size_mm3 = np.bincount(labels.ravel()).astype(float) * ct.voxel_mm3
    size_mm3[0] = 0
    return (size_mm3 > least_mm3)[labels]


def near_bone_under_skin(ct: Volume, reach_mm: float = 8.0, air_margin_mm: float = 2.0) -> NDArray[np.bool_]:
    """Return where the final fit looks: within `reach_mm` of bone, and at least `air_margin_mm` from any air.

    What lies farther from bone moves between two scans, and so does the skin: on a head, the strong edge between scalp
    and air alone pulls the fit 1.5 mm away from the skull.
    """
    bone = find_bone(ct)
    if not bone.any():
        return bone
    near = distance_to_mm(bone, ct) < reach_mm
    air = ct.voxels < BODY_HU
    return near & (distance_to_mm(air, ct) > air_margin_mm) if air.any() else near
