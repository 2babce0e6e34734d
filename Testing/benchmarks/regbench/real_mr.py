"""Real MR images with themselves: resampled on another grid, their contrast inverted, and moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.frames import FloatArray, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration.preprocess import otsu_threshold
from MSKFusionLib.volume import Modality, Volume, resample_to, write_image

from .motions import draw_motion
from .pairs import ImageFile, Pair, Recipe, start_at
from .patients import PatientStore

REAL_MR = {
    "pelvis": "pelvis_mr/cptac_C3N-01001_t1_cor_pelvis.nrrd",
    "knee": "knee_mr/mese_t2_dicom_echo1",
    "spine": "spine_mr/tptbox_sub-mri_label-6_T2w.nii.gz",
}
#: The other grid: turned by this about an oblique axis, coarser in the image plane by this factor.
_GRID_TURN_DEG, _GRID_FACTOR = 8.0, 1.25
_POINTS = 300


def with_themselves(
    store: PatientStore, data: Path, set_name: str, starts: int, limits: tuple[float, float]
) -> list[Recipe]:
    """Return each image with its resampled and inverted self, from some starts; either is the fixed one in turn."""
    if not data.is_dir():
        return []
    return [
        _pair(store, data, set_name, part, path, start, limits)
        for start in range(starts)
        for part, path in REAL_MR.items()
    ]


def _pair(
    store: PatientStore, data: Path, set_name: str, part: str, path: str, start: int, limits: tuple[float, float]
) -> Recipe:
    def make() -> Pair:
        image, inverted = originals(store, data, part, path)
        points = {part: _points_in_signal(image.read())}
        fixed, moving = (image, inverted) if start % 2 == 0 else (inverted, image)
        motion = draw_motion(np.random.default_rng((start, len(part), 75)), image.read().centre_ras, *limits)
        moving, there = start_at(motion, np.eye(4), moving, points)
        return Pair(fixed, moving, points, there)

    return Recipe(set_name, f"{set_name}-{part}-{start:02d}", part, make)


def originals(store: PatientStore, data: Path, part: str, path: str) -> tuple[ImageFile, ImageFile]:
    """Return a real MR image and its resampled and inverted self, in one frame."""
    image = ImageFile(data / path, Modality.MR)
    if image.path.is_dir():
        image = derived(store, f"real_{part}", lambda: series(data / path))
    return image, derived(store, f"real_{part}_inverted", lambda: _other_grid_and_contrast(image.read()))


def derived(store: PatientStore, name: str, make: Callable[[], Volume], modality: Modality = Modality.MR) -> ImageFile:
    """Return an image made from others, made the first time."""
    path = store.derived(name)
    if not path.is_file():
        write_image(make(), path)
    return ImageFile(path, modality)


def series(folder: Path) -> Volume:
    """Read a folder of one MR series."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return Volume.from_sitk(reader.Execute(), modality=Modality.MR, name=folder.name)


def _other_grid_and_contrast(image: Volume) -> Volume:
    """Resample on a turned and coarser grid, and turn bright into dark where there is signal."""
    spacing_mm = np.where(
        image.spacing_mm < 2 * image.spacing_mm.min(), _GRID_FACTOR * image.spacing_mm, image.spacing_mm
    )
    turned = rigid_about(image.centre_ras, rotation_about((1.0, 2.0, -1.0), _GRID_TURN_DEG))
    size = np.maximum(4, np.round(image.extent_mm / spacing_mm)).astype(int)
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = turned[:3, :3] @ image.directions_ras * spacing_mm
    ijk_to_ras[:3, 3] = image.centre_ras - ijk_to_ras[:3, :3] @ ((size - 1) / 2)
    grid = Volume.from_ijk_to_ras(np.zeros(size[::-1], np.float32), ijk_to_ras, modality=Modality.MR, name=image.name)
    values = resample_to(image, grid, np.eye(4)).voxels
    bright = float(np.percentile(image.voxels, 99.5))
    signal = values > 0.35 * otsu_threshold(image.voxels[image.voxels > 0])
    return grid.with_voxels(np.where(signal, np.maximum(1.1 * bright - values, 0.0), values).astype(np.float32))


def _points_in_signal(image: Volume) -> FloatArray:
    """Return points (N, 3) where the image has signal, seeded."""
    where = np.argwhere(image.voxels > otsu_threshold(image.voxels[image.voxels > 0]))
    chosen = where[np.random.default_rng(75).choice(len(where), _POINTS, replace=False)]
    return transform_points(image.ijk_to_ras, chosen[:, ::-1].astype(float))
