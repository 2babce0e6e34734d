"""Bones from CT without a network: vertebrae one by one, the sacrum, and what other bone is in view."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..boxes import label_boxes, touches_border
from ..errors import InputError, ProcessingError
from ..frames import FloatArray
from ..label_slices import renumbered, voxel_counts
from ..progress import Progress, no_progress
from ..volume import Modality, Volume
from . import regions, separate
from .bodies import disc_space, half_width_mm
from .bone_mask import METAL_HU, bone_mask, bone_threshold_hu, soft_tissue_hu
from .bone_names import other_segments
from .discs import BodyColumn, body_column, find_discs
from .joints import recut_joints
from .labels import UNNAMED_FIRST_VALUE, VERTEBRA_VALUES, Segment, Segmentation
from .levels import LevelHint, name_levels
from .marrow import enclosed_filled, filled
from .other_bones import BoneInView, other_bones, shows_joints
from .refine import evened, on_image_grid
from .rooms import inner_rooms
from .separate import FIRST_LEVEL, OTHER, Levels
from .spine_axis import SpineAxis, find_canal, sample_along, spine_axis
from .streaks import without_streaks
from .working import OUTSIDE_HU, image_box_ras, sample_ct, straight_grid

METHOD = "canal, discs and flood from anatomical seeds"
_COARSE_MM, _FINE_MM = 2.0, 1.0
#: Grid on which bones beside a spine are parted: hip bones and ribs, whose joints are wider than facets.
_OTHER_MM = 1.5
#: Smaller bones beside a spine (ribs) are one segment; where there is no spine every fragment of so much is its own.
_LEAST_BONE_MM3, _LEAST_FRAGMENT_MM3 = 20e3, 1e3
_CANAL_BONE_HU = 180.0
_ROOM_MM = np.array([[80.0, 110.0, 95.0], [80.0, 75.0, 35.0]])  # left, back, foot; right, front, head of the canal
#: How far below its lower disc a level's articular processes reach. Farther in there are spinous processes, which
#: reach far down; farther out transverse processes, which do not.
_BELOW_MM = 12.0
#: Beside so many levels above the sacrum the hip bones may reach up.
_BESIDE_HIPS = 2
_METAL_MM3 = 50.0  # less in a vertebra is noise, or a drop of contrast
_LARGEST_PART_MM3 = 400.0  # a vertebra smaller than this is a crumb at the edge of the image


def segment_bones_ct(
    ct: Volume,
    *,
    level_hint: LevelHint | None = None,
    spine_required: bool = True,
    progress: Progress = no_progress,
) -> Segmentation:
    """Find the bones in a CT: each vertebra, the sacrum, each large bone that is not spine, and the rest as one.

    Parameters
    ----------
    ct
        CT in HU with a part of the spine in it, axes in any order and orientation.
    level_hint
        The one level that is known; without it the vertebrae are numbered V1, V2 ... from head to foot.
    spine_required
        False for a body part that may show no spine: then its bones and fragments are parted all the same.

    Returns
    -------
    Segmentation
        On the grid of `ct`. `complete` is False for a vertebra that the image cuts; `confidence` and `notes` say
        where the separation rests on little.

    Raises
    ------
    InputError
        When the image is no CT, or the hint lies in no vertebra.
    ProcessingError
        When no spine is found and one is required, or no bone at all.
    """
    if ct.modality not in (Modality.CT, Modality.UNKNOWN):
        raise InputError(f"bones are found in CT, and this is {ct.modality}", "Give the CT.", where=ct.name)
    if float(ct.spacing_mm.max()) > 6.0:
        raise InputError(
            f"slices {ct.spacing_mm.max():.1f} mm apart are too far for vertebrae to be separated",
            "Give a CT with slices of 3 mm or less.",
            where=ct.name,
        )
    progress(0.0, "looking for the spinal canal")
    lower, upper = image_box_ras(ct)
    coarse = straight_grid(lower, upper, _COARSE_MM)
    coarse_hu = sample_ct(ct, coarse)
    try:
        points, score = find_canal(coarse_hu, coarse, _CANAL_BONE_HU)
    except ProcessingError:
        if spine_required or level_hint is not None:
            raise
        return _without_spine(ct, progress)
    # Bone elsewhere is looked for at the same time.
    with ThreadPoolExecutor(1) as beside:
        elsewhere = beside.submit(BoneInView.of, ct, _OTHER_MM)
        spine, on_image = _spine_on_image(ct, points, score, (lower, upper), progress)
        seen = elsewhere.result()
    progress(0.8, "cutting joints, other bone")
    on_image[on_image == OTHER] = 0
    # Where a joint is cut does not change what is spine: other bone is bounded at the same time.
    with ThreadPoolExecutor(1) as beside:
        cut = beside.submit(_joints_cut, on_image, spine, ct)
        others = other_bones(ct, on_image > 0, seen)
        on_image = cut.result()
    progress(0.95, "naming")
    result = _named_table(on_image, others, spine, ct)
    progress(1.0, "bones found")
    return name_levels(result, level_hint) if level_hint is not None else result


def _spine_on_image(
    ct: Volume, points: FloatArray, score: FloatArray, box_ras: tuple[FloatArray, FloatArray], progress: Progress
) -> tuple[_Spine, NDArray[np.uint8]]:
    """Return the spine along a canal, and its levels as labels on the grid of `ct`."""
    lower, upper = box_ras
    progress(0.2, "looking for discs")
    grid = straight_grid(
        np.maximum(lower, points.min(axis=0) - _ROOM_MM[0]),
        np.minimum(upper, points.max(axis=0) + _ROOM_MM[1]),
        _FINE_MM,
    )
    hu = np.minimum(sample_ct(ct, grid), METAL_HU)
    calm = without_streaks(ct, *image_box_ras(grid))
    seen = hu if calm is ct else np.minimum(sample_ct(calm, grid), METAL_HU)
    spine = _find_spine(points, score, seen, grid)
    del calm, seen
    progress(0.4, "separating vertebrae")
    ends = (
        float(lower[2]) > grid.origin_ras[2] - _FINE_MM,
        float(upper[2]) < grid.corners_ras()[:, 2].max() + _FINE_MM,
    )
    labels = _separated(spine, hu, grid, ends, float(np.prod(ct.spacing_mm) ** (1 / 3)))
    progress(0.7, "tracing the surfaces")
    return spine, on_image_grid(labels, grid, ct, spine.soft_hu, spine.threshold_hu - 20.0)


def _joints_cut(on_image: NDArray[np.uint8], spine: _Spine, ct: Volume) -> NDArray[np.uint8]:
    """Return the levels with the joints between them cut on the image's own voxels."""
    present = np.flatnonzero(voxel_counts(on_image))
    order = [v for v in range(FIRST_LEVEL, FIRST_LEVEL + len(spine.levels)) if v in present]
    return evened(recut_joints(on_image, ct.voxels, ct.spacing_mm[::-1], order), ct)


@dataclass(frozen=True, eq=False)
class _Spine:
    axis: SpineAxis
    column: BodyColumn
    half_width_mm: FloatArray
    walls: tuple[FloatArray, FloatArray, FloatArray]
    levels: Levels
    disc_scores: tuple[float, ...]
    sacrum: int | None  # number of the level that is the sacrum
    threshold_hu: float
    soft_hu: float


def _find_spine(points: FloatArray, score: FloatArray, hu: NDArray[np.float32], grid: Volume) -> _Spine:
    axis = spine_axis(points, score, hu, grid)
    column = body_column(axis, hu, grid)
    discs = find_discs(axis, column, hu, grid)
    if not discs:
        raise ProcessingError(
            "a spinal canal was found, but no disc between two vertebrae: the image shows too little of the spine"
            " or its vertebrae are fused. Give a longer part of the spine, or a ready segmentation."
        )
    half_depth = (column.front_mm - column.back_mm) / 2
    spaces = tuple(disc_space(d, axis, float(half_depth[int(d.step)]), hu, grid) for d in discs)
    width = half_width_mm(axis, column, hu, grid)
    smooth = ndimage.gaussian_filter(hu, 0.6 / grid.spacing_mm[0])
    walls = separate.canal_walls(axis, smooth, grid)
    levels = separate.find_levels(axis, column, discs, spaces, walls[0])
    scores = tuple(d.score for d in discs)
    return _Spine(
        axis,
        column,
        width,
        walls,
        levels,
        scores,
        _sacrum_level(axis, levels, scores, hu, grid),
        bone_threshold_hu(hu),
        soft_tissue_hu(hu)[0],
    )


def _sacrum_level(
    axis: SpineAxis, levels: Levels, disc_scores: tuple[float, ...], hu: NDArray[np.float32], grid: Volume
) -> int | None:
    """Return the level that spreads into alae on both sides over its whole height, where there is one.

    A transverse process of L5 spreads as far, but over half the height only, and a clear disc lies below L5.
    """
    u, v = np.meshgrid(np.arange(24.0, 51.0, 3.0), np.arange(-15.0, 27.0, 2.0))
    steps = np.arange(len(axis) + 40)
    covered = []
    for sign in (-1, 1):
        values = sample_along(axis, hu, grid, steps, sign * u, v).reshape(len(steps), *u.shape)
        covered.append((values.max(axis=1) > 130.0).mean(axis=1))
    both = np.minimum(*covered)
    for n in range(2, len(levels)):
        disc_below = disc_scores[n - 1] if n - 1 < len(disc_scores) else 0.0
        part = both[int(levels.upper[n]) + 8 : int(levels.upper[n]) + 26]
        if len(part) >= 10 and disc_below < 0.8 and float(np.percentile(part, 25)) > 0.51:
            return n
    return None


def _separated(
    spine: _Spine, hu: NDArray[np.float32], grid: Volume, cut: tuple[bool, bool], image_spacing_mm: float
) -> NDArray[np.uint8]:
    spacing = float(grid.spacing_mm[0])
    smooth = ndimage.gaussian_filter(hu, 0.6 / spacing)
    mask = bone_mask(smooth, spine.threshold_hu, spacing)
    points = separate.bone_points(mask, grid, spine.axis, spine.column)
    markers = separate.place_seeds(points, spine.levels, spine.column, spine.half_width_mm, spine.walls, hu.shape)
    sacral_step = hips_step = np.inf
    if spine.sacrum is not None:
        sacral_step = float(spine.levels.upper[spine.sacrum])
        hips_step = float(spine.levels.upper[max(0, spine.sacrum - _BESIDE_HIPS)])
    lateral = separate.lateral_seeds(points, hu.shape, cut, sacral_step, hips_step)
    if spine.sacrum is not None:
        separate.seed_sacrum(markers, points, spine.levels, spine.sacrum, spine.column)
        top = FIRST_LEVEL + spine.sacrum
        markers[(markers > top) & (markers < separate.DISC)] = top
    markers[lateral & (markers == 0)] = OTHER
    walls = markers == separate.DISC
    seeds = np.where(walls, 0, markers).astype(np.uint8)
    bone = (mask | (seeds > 0)) & ~walls
    flooded = separate.flood(smooth, bone, seeds, spine.threshold_hu)
    step = np.full(hu.shape, np.inf, dtype=np.float32)
    step[tuple(points.kji.T)] = points.step
    # Ribs are long: only the flood follows them to their heads. The hip bones lie against the sacrum over a wide joint.
    seeds[(flooded == OTHER) & (step < sacral_step - 10)] = OTHER
    density = regions.densities(smooth, bone, spine.threshold_hu)
    aside = np.zeros(hu.shape, dtype=np.float32)
    aside[tuple(points.kji.T)] = np.abs(points.u_mm)

    def beyond_mm(where: NDArray[np.bool_], value: int) -> NDArray[np.float64]:
        if value < FIRST_LEVEL:
            return np.zeros(int(where.sum()))
        level = value - FIRST_LEVEL
        above = spine.levels.upper[level] - step[where]
        reach = np.select([aside[where] > 26, aside[where] > 14], [0.0, _BELOW_MM], default=np.inf)
        below = step[where] - spine.levels.lower[level] - reach / spine.axis.step_mm
        if level == spine.sacrum:
            below = np.zeros_like(above)
        return np.asarray(np.maximum(above, below) * spine.axis.step_mm, dtype=float)

    labels = regions.smoothed(regions.grow(density, bone, seeds, flooded, spacing, beyond_mm))
    labels = separate.one_piece_each(labels, spacing, cut)
    sacrum = None if spine.sacrum is None else FIRST_LEVEL + spine.sacrum
    labels = filled(labels, spacing, FIRST_LEVEL, sacrum, image_spacing_mm)
    if sacrum is None:
        return labels
    labels[inner_rooms(labels, sacrum, hu <= OUTSIDE_HU, spacing)] = sacrum
    return enclosed_filled(labels, (OTHER, sacrum))


def _without_spine(ct: Volume, progress: Progress) -> Segmentation:
    progress(0.3, "parting bones")
    others = other_bones(ct, np.zeros(ct.voxels.shape, dtype=bool), BoneInView.of(ct, _FINE_MM))
    if not others.any():
        raise ProcessingError("no bone was found in this CT. Give a CT in HU with bone in view.")
    table, segments = other_segments(others, ct, None, _LEAST_FRAGMENT_MM3)
    progress(1.0, "bones found")
    return _segmentation(renumbered(others, table), segments, ct, ())


def _named_table(labels: NDArray[np.uint8], others: NDArray[np.uint8], spine: _Spine, ct: Volume) -> Segmentation:
    """Return the segmentation with numbered vertebrae from raw labels (2.. levels), and the bones that are not spine."""
    table = np.zeros(256, dtype=np.uint8)
    segments: list[Segment] = []
    counts = voxel_counts(labels) * ct.voxel_mm3
    boxes = label_boxes(labels)
    metal_mm3 = np.bincount(labels[ct.voxels >= METAL_HU].ravel(), minlength=256) * ct.voxel_mm3
    number = 0
    for n in range(len(spine.levels)):
        raw = FIRST_LEVEL + n
        if counts[raw] < _LARGEST_PART_MM3 or (spine.sacrum is not None and n > spine.sacrum):
            continue
        whole = not touches_border(boxes[raw], labels.shape)
        if n == spine.sacrum:
            value = VERTEBRA_VALUES["S1"]
            segments.append(Segment(value, "S1", "sacrum", whole, 0.8, METHOD, ("the whole sacrum in view",)))
        else:
            value = UNNAMED_FIRST_VALUE + number
            number += 1
            confidence, notes = _trust(spine, n, counts[raw], counts, metal_mm3[raw])
            if not spine.levels.has_body[n]:
                whole, notes = False, (*notes, "its body is not in view")
            segments.append(Segment(value, f"V{number}", "vertebra", whole, confidence, METHOD, notes))
        table[raw] = value
    if not any(s.kind == "vertebra" for s in segments):
        raise ProcessingError("no vertebra was found in this CT. Give a CT of the spine, or a ready segmentation.")
    notes = ("the sacrum was recognised by its alae",) if spine.sacrum is not None else ()
    voxels = renumbered(labels, table)
    least_mm3 = _LEAST_BONE_MM3 if shows_joints(ct) else np.inf
    of_others, more = other_segments(others, ct, voxels if spine.sacrum is not None else None, least_mm3)
    for layer, other, spine_there in zip(voxels, others, labels, strict=True):
        free = (other > 0) & (spine_there == 0)
        layer[free] = of_others[other[free]]
    return _segmentation(voxels, [*segments, *more], ct, notes)


def _segmentation(
    voxels: NDArray[np.uint8], segments: list[Segment], ct: Volume, notes: tuple[str, ...]
) -> Segmentation:
    volume = ct.with_voxels(voxels, modality=Modality.LABEL, name=f"{ct.name} bones", step=METHOD)
    return Segmentation(volume, tuple(segments), notes)


def _trust(
    spine: _Spine, n: int, volume_mm3: float, volumes_mm3: NDArray[np.floating], metal_mm3: float
) -> tuple[float, tuple[str, ...]]:
    """Return the confidence of a vertebra and what it rests on."""
    notes: list[str] = []
    confidence = 1.0
    for name, disc in (("above", n - 2), ("below", n - 1)):
        if not 0 <= disc < len(spine.disc_scores):
            continue
        score = spine.disc_scores[disc]
        if score < 0.7:
            confidence *= 0.7
            notes.append(f"the disc {name} is hard to see")
    others = [
        v for m, v in enumerate(volumes_mm3[FIRST_LEVEL : FIRST_LEVEL + len(spine.levels)]) if v > 3000 and m != n
    ]
    if others and spine.levels.has_body[n] and not 0.55 < volume_mm3 / np.median(others) < 1.7:
        confidence *= 0.7
        notes.append("its size is unlike the others'")
    if (
        float(
            np.min(spine.axis.score[max(0, int(spine.levels.upper[n])) : max(1, int(spine.levels.lower[n]))], initial=1)
        )
        < 0.4
    ):
        confidence *= 0.8
        notes.append("the canal is not clear here")
    if metal_mm3 > _METAL_MM3:
        confidence *= 0.7
        notes.append("metal lies in it: in the slices of the metal its border is less sure")
    return round(confidence, 2), tuple(notes)
