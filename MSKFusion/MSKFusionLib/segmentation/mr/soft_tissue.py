"""Muscle and fat in MR, by their values and where they lie; what looks the same and is neither is left out where it is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError, ProcessingError
from ...progress import Progress, no_progress
from ...volume import Modality, Provenance, Volume
from ..labels import Segment, Segmentation
from .prepare import PreparedMR, prepare_mr
from .tissue_levels import SKIN_MM, TissueLevels, find_levels

METHOD = "MSK Planner, muscle and fat from MR"
MUSCLE_VALUE, FAT_VALUE = 186, 187
#: How far from muscle to fat (as a share) muscle reaches up, and fat down; what lies between is neither.
_MUSCLE_UP, _FAT_DOWN = 0.36, 0.36
#: Marrow that is hardly brighter than muscle narrows muscle no further than this.
_LEAST_UP = 1.25
#: Muscle is at least this share of its level; fluid is brighter than fat by this.
_MUSCLE_LOW, _FLUID = 0.5, 1.35
#: With a spine: this far beyond its first and last body, and around what is labelled of it.
_BEYOND_MM, _AROUND_MM = 15.0, 1.5
#: Thinner than twice this is fascia, tendon or skin; smaller pieces are none.
_THIN_MM, _LEAST_MUSCLE_ML, _LEAST_FAT_ML = 1.2, 0.5, 0.1


def segment_soft_tissue_mr(
    mr: Volume | PreparedMR, spine: Segmentation | None = None, *, progress: Progress = no_progress
) -> Segmentation:
    """Label muscle and fat in an MR image without fat suppression (T1, T2, PD) that shows the skin.

    Parameters
    ----------
    mr
        Slices of 7 mm or less; or what `prepare_mr` made of it.
    spine
        What `segment_spine_mr` found in it: its structures are left out, and only what lies behind the front of the
        bodies, beside them, is labelled (bowel and vessels look like muscle). Without it, as in a limb, the whole image is.

    Returns
    -------
    Segmentation
        Two segments, kinds ``muscle`` and ``fat``, on the image's own grid.

    Raises
    ------
    InputError
        For an image that is no MR or too small, and a spine on another grid.
    ProcessingError
        When fat is suppressed, the skin is not in view, or the two are not told apart.
    """
    progress(0.0, "taking out the coil's shading")
    image = prepare_mr(mr)
    if spine is not None and not spine.labels.same_grid(image.source):
        raise InputError("the spine lies on another grid", "Segment both in one image.", where=image.source.name)
    progress(0.4, "what muscle and fat are worth")
    where = known = bodies = None
    if spine is not None:
        known = _grown(spine.labels.voxels > 0, image.source, _AROUND_MM)
        where = _beside_spine(image, spine) & ~known
        bodies = np.isin(spine.labels.voxels, [s.value for s in spine.vertebrae])
    levels = find_levels(image, where, bodies)
    progress(0.6, "labelling")
    marrow = None if bodies is None else float(np.median(levels.values[bodies]))
    muscle, fat = _classes(levels, image.source, where, marrow)
    labels = np.zeros(image.source.voxels.shape, dtype=np.uint8)
    labels[fat], labels[muscle] = FAT_VALUE, MUSCLE_VALUE
    result = _segmentation(image.source, labels, levels, spine)
    progress(1.0, "muscle and fat found")
    return result


def add_soft_tissue(found: Segmentation, tissue: Segmentation) -> Segmentation:
    """Return a segmentation with muscle and fat in it where nothing else is labelled.

    Raises
    ------
    InputError
        When the two lie on different grids.
    """
    if not found.labels.same_grid(tissue.labels):
        raise InputError("the tissue lies on another grid", "Segment both in one image.", where=tissue.labels.name)
    voxels = np.where(found.labels.voxels > 0, found.labels.voxels, tissue.labels.voxels).astype(np.uint8)
    return Segmentation(
        found.labels.with_voxels(voxels), (*found.segments, *tissue.segments), (*found.notes, *tissue.notes)
    )


def _beside_spine(image: PreparedMR, spine: Segmentation) -> NDArray[np.bool_]:
    """Return the voxels (K, J, I) behind the front of the bodies, from above the first to below the last."""
    box = np.isin(spine.labels.voxels, [s.value for s in spine.vertebrae])
    if not box.any():
        raise ProcessingError("no vertebral body is labelled, so that nothing says where muscle may lie.")
    points = image.source_points()
    heights, fronts = [], []
    for segment in spine.vertebrae:
        at = points[spine.mask(segment.name)]
        if len(at):
            heights.append(float(np.median(at[:, 2])))
            fronts.append(float(np.percentile(at[:, 1], 98.0)))
    order = np.argsort(heights)
    y, z = points[..., 1], points[..., 2]
    front = np.interp(z, np.array(heights)[order], np.array(fronts)[order])
    of_bodies = points[box][:, 2]
    inside = (z > of_bodies.min() - _BEYOND_MM) & (z < of_bodies.max() + _BEYOND_MM)
    return np.asarray(inside & (y < front))


def _classes(
    levels: TissueLevels, source: Volume, where: NDArray[np.bool_] | None, marrow: float | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return muscle and fat (K, J, I), within `where` alone if it is given."""
    values, step = levels.values, levels.fat - levels.muscle
    body = levels.depth_mm > SKIN_MM
    if where is not None:
        body &= where
    top = levels.muscle + _MUSCLE_UP * step
    if marrow is not None:
        top = min(top, max(0.5 * (levels.muscle + marrow), _LEAST_UP * levels.muscle))
    muscle = body & (values > _MUSCLE_LOW * levels.muscle) & (values < top)
    fat = body & (values > levels.fat - _FAT_DOWN * step) & (values < _FLUID * levels.fat)
    muscle = _pieces(_opened(muscle, source, _THIN_MM), source, _LEAST_MUSCLE_ML)
    return muscle, _pieces(fat & ~muscle, source, _LEAST_FAT_ML)


def _ball(source: Volume, radius_mm: float) -> NDArray[np.bool_]:
    """Return a ball as a structuring element; flat across slices that are further apart."""
    reach = np.floor(radius_mm / source.spacing_mm[::-1] + 1e-6).astype(int)
    offsets = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    far = sum((o * s) ** 2 for o, s in zip(offsets, source.spacing_mm[::-1], strict=True))
    return np.asarray(far <= radius_mm**2 + 1e-6)


def _grown(mask: NDArray[np.bool_], source: Volume, radius_mm: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(mask, _ball(source, radius_mm)))


def _eroded(mask: NDArray[np.bool_], source: Volume, radius_mm: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_erosion(mask, _ball(source, radius_mm), border_value=1))


def _opened(mask: NDArray[np.bool_], source: Volume, radius_mm: float) -> NDArray[np.bool_]:
    return _grown(_eroded(mask, source, radius_mm), source, radius_mm) & mask


def _pieces(mask: NDArray[np.bool_], source: Volume, least_ml: float) -> NDArray[np.bool_]:
    """Return the pieces of a mask that are not small."""
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel()) * source.voxel_mm3 >= 1000.0 * least_ml
    large[0] = False
    return np.asarray(large[pieces])


def _segmentation(
    source: Volume, labels: NDArray[np.uint8], levels: TissueLevels, spine: Segmentation | None
) -> Segmentation:
    present = set(np.unique(labels).tolist())
    if MUSCLE_VALUE not in present or FAT_VALUE not in present:
        raise ProcessingError("muscle or fat is not found in this image.")
    region = (
        "in the whole image; vessels, bowel, cartilage and fluid of the same brightness count too"
        if spine is None
        else f"behind the front of the vertebral bodies, to {_BEYOND_MM:.0f} mm beyond the first and the last of them"
    )
    level = f"fat is {levels.fat / levels.muscle:.1f} times as bright as muscle"
    confidence = round(float(np.clip(levels.apart, 0.0, 1.0)), 2)
    segments = (
        Segment(MUSCLE_VALUE, "muscle", "muscle", False, confidence, METHOD, (level, region, "single muscles are not told apart")),
        Segment(FAT_VALUE, "fat", "fat", False, confidence, METHOD, (level, region, "fatty marrow of bones that are not labelled counts too")),
    )  # fmt: skip
    provenance = Provenance(source.provenance.source, source.provenance.sha256, (*source.provenance.steps, METHOD))
    volume = Volume(
        labels,
        source.origin_ras,
        source.spacing_mm,
        source.directions_ras,
        Modality.LABEL,
        f"{source.name} soft tissue",
        provenance,
    )
    return Segmentation(volume, segments)
