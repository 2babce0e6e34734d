"""A lesion in MR from one click: a front that runs from the click and is slowed by other values, and where it stops.

The time at which the front arrives (fast marching, Sethian 1996, doi 10.1073/pnas.93.4.1591) orders all voxels; of all the
regions that it passes through the one is taken whose border is seen best: like the click inside, unlike it outside.
Where too little of the border is seen there is no region, and where it has run through a neck it is cut there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ...boxes import touches_border
from ...errors import InputError, ProcessingError
from ...frames import FloatArray, transform_points
from ...interpolation import interpolate
from ...progress import Progress, no_progress
from ...volume import Modality, Volume
from ..labels import Segment, Segmentation
from .prepare import PreparedMR, prepare_mr

METHOD = "MSK Planner, lesion from MR by one click"
LESION_FIRST_VALUE = 191
#: A lesion reaches no further from the click, and is no smaller (mm, ml).
_REACH_MM, _SMALLEST_ML = 45.0, 0.15
#: The click stands for a ball of this radius; other tissue differs by so much of its value, or of its spread.
_CLICK_MM, _OTHER_SHARE, _OTHER_SPREADS = 2.5, 0.2, 3.0
#: Below this share of the border seen nothing is labelled; below the other it is doubted.
_LEAST_SEEN, _GOOD_SEEN = 0.6, 0.8
#: By how much `apart` must rise over the border's few voxels.
_SHARP = 1.0
#: Two clicks so far beside it must find as much the same.
_BESIDE_MM, _SAME = 2.0, 0.7
#: A neck that a ball of this radius does not pass is a leak.
_NECK_MM = 2.5


@dataclass(frozen=True, eq=False)
class _Region:
    inside: NDArray[np.bool_]
    seen: float
    notes: tuple[str, ...]


def segment_lesion_mr(
    mr: Volume | PreparedMR,
    click_ras: ArrayLike,
    *,
    name: str = "lesion",
    value: int = LESION_FIRST_VALUE,
    progress: Progress = no_progress,
) -> Segmentation:
    """Label the lesion (tumour, cyst, haemangioma, oedema) that a click lies in.

    Parameters
    ----------
    mr
        Any sequence in which it differs from what lies round it; slices of 7 mm or less; or what `prepare_mr` made of it.
    click_ras
        A point (3,) in RAS mm in it, where it looks as most of it does.

    Returns
    -------
    Segmentation
        One segment of kind ``lesion`` on the image's own grid, its volume and how much of its border is seen in its notes.

    Raises
    ------
    InputError
        For an image that is no MR or too small, and for a click outside it.
    ProcessingError
        When its border is not seen over enough of it: then nothing is labelled, rather than something else.
    """
    point = np.asarray(click_ras, dtype=float)
    if point.shape != (3,) or not np.all(np.isfinite(point)):
        raise InputError("the click is not three finite numbers", "Give x, y, z in RAS mm.")
    progress(0.0, "taking out the coil's shading")
    image = prepare_mr(mr)
    at = image.from_ras(point)
    if np.any(at < -1.0) or np.any(at > image.size_mm + 1.0):
        raise InputError(
            f"the click ({', '.join(f'{c:.1f}' for c in point)} RAS mm) lies outside the image",
            "Click into the lesion.",
            where=image.source.name,
        )
    progress(0.5, "following the lesion")
    low = np.maximum(np.floor((at - _REACH_MM) / image.volume.spacing_mm), 0).astype(int)
    high = np.ceil((at + _REACH_MM) / image.volume.spacing_mm).astype(int) + 1
    part = image.volume.cropped(low, high)
    local = at - low * image.volume.spacing_mm
    region = _grown(part, local)
    agreement = _agreement(part, local, region)
    progress(0.9, "writing it on the image")
    result = _on_source(image, low, part, region, agreement, name, value)
    progress(1.0, "lesion found")
    return result


def add_lesion(spine: Segmentation, lesion: Segmentation) -> Segmentation:
    """Return a segmentation with a lesion on the same grid in it; it takes the place of what it lies in.

    Raises
    ------
    InputError
        When the two lie on different grids.
    """
    if not spine.labels.same_grid(lesion.labels):
        raise InputError("the lesion lies on another grid", "Segment both in one image.", where=lesion.labels.name)
    voxels = np.where(lesion.labels.voxels > 0, lesion.labels.voxels, spine.labels.voxels)
    notes = list(spine.notes)
    entries = []
    for entry in lesion.segments:
        mask = lesion.mask(entry.name)
        within = [s.name for s in spine.segments if (mask & spine.mask(s.name)).any()]
        entries.append(replace(entry, notes=(*entry.notes, *((f"lies in {', '.join(within)}",) if within else ()))))
    return Segmentation(
        spine.labels.with_voxels(voxels.astype(np.uint8)), (*spine.segments, *entries), (*notes, *lesion.notes)
    )


def _grown(part: Volume, click_mm: FloatArray) -> _Region:
    """Return the region about a click whose border is seen best."""
    spacing = float(part.spacing_mm[0])
    offsets = np.moveaxis(np.indices(part.voxels.shape)[::-1], 0, -1) * spacing - click_mm
    ball = (offsets**2).sum(axis=-1) <= _CLICK_MM**2
    if ball.sum() < 8:
        raise ProcessingError("the click lies at the image's edge. Click into the middle of the lesion.")
    own, best = ball, _Region(ball, 0.0, ())
    for _ in range(2):  # the second time with the value that the region itself has
        value = float(np.median(part.voxels[own]))
        spread = 1.4826 * float(np.median(np.abs(part.voxels[own] - value)))
        apart = np.abs(part.voxels - value) / max(_OTHER_SHARE * value, _OTHER_SPREADS * spread, 0.03)
        best = _best_border(apart.astype(np.float32), ball, spacing)
        core = ndimage.binary_erosion(best.inside)
        own = core if core.sum() > ball.sum() else ball
    _refuse_unseen(best, spacing)
    return best


def _best_border(apart: NDArray[np.float32], ball: NDArray[np.bool_], spacing: float) -> _Region:
    speed = sitk.GetImageFromArray((np.exp(-(apart**2)) + 1e-3).astype(np.float32))
    speed.SetSpacing([spacing] * 3)
    marching = sitk.FastMarchingImageFilter()
    seeds = np.argwhere(ball & (apart < 1.0))
    if not len(seeds):
        raise ProcessingError("the click lies on a border. Click into the middle of the lesion.")
    marching.SetTrialPoints([[int(i), int(j), int(k)] for k, j, i in seeds])
    marching.SetStoppingValue(400.0)
    arrival = sitk.GetArrayFromImage(marching.Execute(speed))
    best, best_score = _Region(ball, 0.0, ()), -1.0
    for limit in np.geomspace(2.0, 200.0, 32):
        inside = arrival < limit
        if inside.sum() * spacing**3 < 50.0:
            continue
        seen = _seen_share(inside, apart)
        # Of two that are seen as well the larger one: inside a lesion there are borders too.
        score = seen + 0.01 * np.log(float(inside.sum()))
        if score > best_score:
            best, best_score = _Region(inside, seen, ()), score
    return _without_leaks(best, ball, apart, spacing)


def _seen_share(inside: NDArray[np.bool_], apart: NDArray[np.float32]) -> float:
    """Return the share of a region's border that is like the click inside and unlike it outside; the image's end is not seen."""
    # Look two voxels to either side of the border: partial volume lies between.
    outer = ndimage.binary_dilation(inside, iterations=2) & ~ndimage.binary_dilation(inside)
    near = ndimage.maximum_filter(np.where(inside, 0.0, apart), 3)
    within = ndimage.minimum_filter(np.where(ndimage.binary_erosion(inside), apart, 9.0), 7)
    # A change that takes longer than these few voxels is no border: a lesion that fades into its surroundings has none.
    sharp = (within < 0.6) & (near - within > _SHARP)
    count = int(outer.sum())
    edge = int(sum(f.sum() for axis in range(3) for f in (inside.take(0, axis), inside.take(-1, axis))))
    return float((outer & (near > 1.0) & sharp).sum()) / max(count + 3 * edge, 1)


def _without_leaks(region: _Region, ball: NDArray[np.bool_], apart: NDArray[np.float32], spacing: float) -> _Region:
    """Return the region cut where it went on through a neck, its holes filled."""
    filled = ndimage.binary_fill_holes(region.inside)
    distance = ndimage.distance_transform_edt(np.pad(filled, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    cores, _ = ndimage.label(distance > _NECK_MM)
    mine = np.unique(cores[ball & (cores > 0)])
    if not len(mine):
        return _Region(filled, region.seen, region.notes)
    core = np.isin(cores, mine)
    reach = ndimage.distance_transform_edt(~core, sampling=spacing)
    kept = filled & (reach <= _NECK_MM + spacing)
    lost = 1.0 - float(kept.sum()) / float(filled.sum())
    if lost < 0.1:
        return _Region(filled, region.seen, region.notes)
    notes = (f"cut where it went on through a neck: {100 * lost:.0f} % of what was reached is left out",)
    return _Region(kept, min(region.seen, _seen_share(kept, apart)), notes)


def _refuse_unseen(region: _Region, spacing: float) -> None:
    volume_ml = float(region.inside.sum()) * spacing**3 / 1000.0
    if volume_ml < _SMALLEST_ML:
        raise ProcessingError(
            f"only {volume_ml:.2f} ml are alike round the click: no lesion is told from noise. Click into its middle."
        )
    if region.seen < _LEAST_SEEN:
        raise ProcessingError(
            f"the border is seen over {100 * region.seen:.0f} % only: what lies round the click runs into its surroundings."
            " Draw it by hand, or give a sequence that shows it."
        )


def _agreement(part: Volume, click_mm: FloatArray, region: _Region) -> float:
    """Return the least overlap (Dice) with what clicks beside this one find; those that find nothing count 0."""
    least = 1.0
    for shift in np.array([[1, 1, 0], [-1, 0, 1], [0, -1, -1]]) * _BESIDE_MM / np.sqrt(2):
        index = tuple(int(n) for n in np.round((click_mm + shift)[::-1] / part.spacing_mm[::-1]))
        if any(not 0 <= i < n for i, n in zip(index, part.voxels.shape, strict=True)) or not region.inside[index]:
            continue  # beside the lesion: no click into it
        try:
            other = _grown(part, click_mm + shift).inside
        except ProcessingError:
            return 0.0
        least = min(least, 2.0 * float((other & region.inside).sum()) / float(other.sum() + region.inside.sum()))
    return least


def _on_source(
    image: PreparedMR,
    low: NDArray[np.int_],
    part: Volume,
    region: _Region,
    agreement: float,
    name: str,
    value: int,
) -> Segmentation:
    source = image.source
    soft = ndimage.gaussian_filter(region.inside.astype(np.float32), 0.6)
    kji = np.argwhere(ndimage.binary_dilation(region.inside, iterations=2))
    corners = image.to_ras((kji[:, ::-1] + low) * part.spacing_mm)
    ijk = transform_points(source.ras_to_ijk, corners)
    first = np.clip(np.floor(ijk.min(axis=0)), 0, None).astype(int)
    last = np.minimum(np.ceil(ijk.max(axis=0)).astype(int) + 1, source.shape_ijk)
    box = tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))
    places = np.stack(np.meshgrid(*[np.arange(s.start, s.stop, dtype=float) for s in box], indexing="ij"), -1)
    local = image.from_ras(transform_points(source.ijk_to_ras, places[..., ::-1])) / part.spacing_mm - low
    labels = np.zeros(source.voxels.shape, dtype=np.uint8)
    labels[box][interpolate(soft, local) > 0.5] = value
    volume_ml = float((labels > 0).sum()) * source.voxel_mm3 / 1000.0
    if volume_ml < _SMALLEST_ML:
        raise ProcessingError("the lesion is smaller than the image's voxels show. Give thinner slices.")
    if agreement < _SAME:
        raise ProcessingError(
            f"a click {_BESIDE_MM:.0f} mm beside finds another region (Dice {agreement:.2f}): its border is not sure."
            " Click where it looks as most of it does, or draw it by hand."
        )
    notes = [f"{volume_ml:.1f} ml", f"its border is seen over {100 * region.seen:.0f} %", *region.notes]
    if region.seen < _GOOD_SEEN:
        notes.append("check its border: where it is not seen it may run into its surroundings")
    confidence = round(min(1.0, region.seen) * agreement, 2)
    whole = not touches_border(box, labels.shape)
    volume = source.with_voxels(labels, modality=Modality.LABEL, name=f"{source.name} lesion", step=METHOD)
    return Segmentation(volume, (Segment(value, name, "lesion", whole, confidence, METHOD, tuple(notes)),))
