"""Vertebral bodies, discs and canal from MR, by classical means alone: what cannot be told is said and not labelled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError, ProcessingError
from ...frames import FloatArray, transform_points
from ...progress import Progress, no_progress
from ...volume import Modality, Volume
from ..labels import LEVELS_CRANIAL_TO_CAUDAL, UNNAMED_FIRST_VALUE, Segment, Segmentation
from ..levels import LevelHint, name_levels
from .body import Block, fit_block
from .body_shape import BodyShape, trace_body
from .canal import Canal, trace_canal
from .chain import DISC_MM, Chain, find_chain, follow
from .discs import DiscSpace
from .prepare import PreparedMR, prepare_mr

METHOD = "MSK Planner, spine from MR"
DISC_FIRST_VALUE, CANAL_VALUE = 151, 181
#: A body's surface must be clear over this share, a canal's border likewise; below twice as much it is doubted.
_LEAST_SEEN_BODY, _LEAST_SEEN_CANAL = 0.45, 0.28
#: Without a click a spine is this many bodies, and no other chain may come so near to it.
_LEAST_BODIES, _RIVAL = 2, 0.7
#: Where a body is looked for around a click.
_CLICK_SHIFTS_MM = ((0, 0, 0), (0, 0, 5), (0, 0, -5), (0, 5, 0), (0, -5, 0), (6, 0, 0), (-6, 0, 0))
_BODY_NOTE = "the body alone: arch and pedicles are not labelled in MR"


@dataclass(frozen=True, eq=False)
class _Found:
    chain: Chain
    shapes: tuple[BodyShape, ...]
    canal: Canal | str


def segment_spine_mr(
    mr: Volume | PreparedMR,
    *,
    click_ras: ArrayLike | None = None,
    level_hint: LevelHint | None = None,
    progress: Progress = no_progress,
) -> Segmentation:
    """Label vertebral bodies, discs and spinal canal in an MR image (T1, T2, PD; sagittal or isotropic).

    Parameters
    ----------
    mr
        Slices of 7 mm or less; or what `prepare_mr` made of it, where more is looked for in the same image.
    click_ras
        A point (3,) in RAS mm in any vertebral body; without one the spine is looked for.
    level_hint
        The one level that the user knows; without it the bodies are numbered V1, V2, ... from head to foot.

    Returns
    -------
    Segmentation
        On the image's own grid. Every body is a segment of kind ``vertebra`` that is never complete (the arch is not
        labelled), every disc one of kind ``disc``; the notes say what was not found and why.

    Raises
    ------
    InputError
        For an image that is no MR or too small, and for a click outside it.
    ProcessingError
        When no spine is found, when there is more than one that it could be, or no body lies at the click.
    """
    progress(0.0, "taking out the coil's shading")
    image = prepare_mr(mr)
    progress(0.35, "looking for vertebral bodies")
    found = _without_click(image) if click_ras is None else _from_click(image, click_ras)
    progress(0.75, "tracing the borders")
    raw = _labelled(image, found)
    progress(0.95, "naming")
    named = name_levels(raw, level_hint) if level_hint is not None else raw
    result = _finished(named, found)
    progress(1.0, "spine found")
    return result


def _traced(image: PreparedMR, chain: Chain) -> _Found:
    shapes = tuple(trace_body(image, block) for block in chain.blocks)
    return _Found(chain, shapes, trace_canal(image, shapes, chain.above, chain.below))


def _from_click(image: PreparedMR, click_ras: ArrayLike) -> _Found:
    point = np.asarray(click_ras, dtype=float)
    if point.shape != (3,) or not np.all(np.isfinite(point)):
        raise InputError("the click is not three finite numbers", "Give x, y, z in RAS mm.")
    at = image.from_ras(point)
    if np.any(at < -1.0) or np.any(at > image.size_mm + 1.0):
        raise InputError(
            f"the click ({', '.join(f'{c:.1f}' for c in point)} RAS mm) lies outside the image",
            "Click into a vertebral body.",
            where=image.source.name,
        )
    reason = ""
    for shift in _CLICK_SHIFTS_MM:
        block = fit_block(image, at + np.array(shift, dtype=float))
        why = block if isinstance(block, str) else block.wrong()
        if isinstance(block, Block) and not why:
            local = np.abs(block.to_local(at))
            half = 0.5 * np.array([block.width_mm, block.depth_mm, block.height_mm])
            if np.all(local < half + 4.0):
                return _traced(image, follow(image, block))
            why = "the body that is found near it does not hold the click"
        reason = reason or why
    raise ProcessingError(
        f"there is no vertebral body at the click: {reason}. Click into the middle of a vertebral body."
    )


def _without_click(image: PreparedMR) -> _Found:
    best, others = find_chain(image)
    way_out = "Click into a vertebral body, or check that this is an MR of the spine."
    if best is None:
        raise ProcessingError(f"nothing like a vertebral body was found in this image. {way_out}")
    candidates = [c for c in (best, *others) if len(c.blocks) >= _LEAST_BODIES]
    spines = [f for f in (_traced(image, c) for c in candidates) if _canal_seen(f) >= _LEAST_SEEN_CANAL]
    if not spines:
        what = "no row of vertebral bodies" if not candidates else "no canal behind what looks like vertebral bodies"
        raise ProcessingError(f"{what} was found in this image. {way_out}")
    spines.sort(key=lambda f: -f.chain.score)
    if len(spines) > 1 and spines[1].chain.score > _RIVAL * spines[0].chain.score:
        raise ProcessingError(f"there are two rows of bodies that may be the spine. {way_out}")
    return spines[0]


def _canal_seen(found: _Found) -> float:
    return found.canal.seen if isinstance(found.canal, Canal) else 0.0


# ---------------------------------------------------------------------- labels
def _labelled(image: PreparedMR, found: _Found) -> Segmentation:
    """Return bodies V1, V2, ..., discs and canal on the image's grid; what is not sure enough is a note."""
    source = image.source
    labels = np.zeros(source.voxels.shape, dtype=np.uint8)
    segments: list[Segment] = []
    notes: list[str] = []
    kept: list[int] = []
    for n, shape in enumerate(found.shapes):
        name, value = f"V{n + 1}", UNNAMED_FIRST_VALUE + n
        if shape.seen < _LEAST_SEEN_BODY:
            notes.append(f"{name} is not labelled: its border is seen over {100 * shape.seen:.0f} % of it only")
            continue
        box, points = _around(image, shape.block.centre_mm, 0.75 * float(np.linalg.norm(shape.block.sides_mm)) + 6.0)
        inside = shape.inside(shape.block.to_local(points.reshape(-1, 3))).reshape(points.shape[:3])
        labels[box][inside & (labels[box] == 0)] = value
        segments.append(_body_segment(name, value, n, found))
        kept.append(n)
    if not kept:
        raise ProcessingError("the borders of the vertebral bodies are not seen. Give an image with less noise.")
    for number, (upper, space) in enumerate(_spaces(found, kept)):
        height = space.height_mm()
        if not DISC_MM[0] - 0.5 <= height <= DISC_MM[1] + 3.0:
            notes.append(f"the disc {_where(upper)} is not labelled: {height:.1f} mm between the endplates is no disc")
            continue
        box, points = _around(image, space.middle_mm(), 42.0)
        inside = space.inside(points.reshape(-1, 3)).reshape(points.shape[:3])
        labels[box][inside & (labels[box] == 0)] = DISC_FIRST_VALUE + number
        segments.append(_disc_segment(upper, DISC_FIRST_VALUE + number, height, space))
    notes += _canal_labelled(image, found, labels, segments)
    present = set(np.unique(labels).tolist())
    notes += [f"{s.name} is smaller than a voxel: not labelled" for s in segments if s.value not in present]
    volume = source.with_voxels(labels, modality=Modality.LABEL, name=f"{source.name} spine", step=METHOD)
    return Segmentation(volume, tuple(s for s in segments if s.value in present), tuple(notes))


def _around(image: PreparedMR, centre_mm: FloatArray, reach_mm: float) -> tuple[tuple[slice, ...], FloatArray]:
    """Return the box of the source within a ball about a point of the image frame, and its voxels' places (K, J, I, 3)."""
    source = image.source
    middle = transform_points(source.ras_to_ijk, image.to_ras(centre_mm))
    reach = reach_mm / source.spacing_mm
    low = np.clip(np.floor(middle - reach), 0, np.array(source.shape_ijk) - 1).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, low + 1, source.shape_ijk).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    kji = np.stack(np.meshgrid(*[np.arange(s.start, s.stop, dtype=float) for s in box], indexing="ij"), -1)
    return box, image.from_ras(transform_points(source.ijk_to_ras, kji[..., ::-1]))


def _spaces(found: _Found, kept: list[int]) -> list[tuple[tuple[int | None, int | None], DiscSpace]]:
    """Return the discs from head to foot: the numbers of the bodies above and below each (None: not labelled)."""
    shapes, chain = found.shapes, found.chain
    out: list[tuple[tuple[int | None, int | None], DiscSpace]] = []
    if chain.above is not None and 0 in kept:
        out.append(((None, 0), DiscSpace(None, shapes[0], chain.above)))
    for a, b in itertools.pairwise(range(len(shapes))):
        if a in kept and b in kept:
            out.append(((a, b), DiscSpace(shapes[a], shapes[b])))
    last = len(shapes) - 1
    if chain.below is not None and last in kept:
        out.append(((last, None), DiscSpace(shapes[last], None, chain.below)))
    return out


def _where(between: tuple[int | None, int | None]) -> str:
    a, b = (None if n is None else f"V{n + 1}" for n in between)
    return f"above {b}" if a is None else f"below {a}" if b is None else f"{a}/{b}"


def _body_segment(name: str, value: int, n: int, found: _Found) -> Segment:
    shape = found.shapes[n]
    block = shape.block
    notes = [_BODY_NOTE]
    confidence = float(np.clip(shape.seen, 0, 1)) * float(
        np.mean([s for s, c in zip(block.seen, block.cut, strict=True) if not c])
    )
    if any(block.cut):
        notes.append("the image ends in it")
        confidence *= 0.8
    heights = [s.block.height_mm for s in found.shapes if not any(s.block.cut[:2])]
    if len(heights) > 2 and not any(block.cut[:2]):
        ratio = block.height_mm / float(np.median(heights))
        if not 0.75 <= ratio <= 1.3:
            notes.append(f"{ratio:.2f} times as high as the others: a fracture, or not one body")
            confidence *= 0.7
    if shape.seen < 0.7:
        notes.append(f"its border is seen over {100 * shape.seen:.0f} %")
    whole = not any(block.cut)
    return Segment(value, name, "vertebra", whole, round(confidence, 2), METHOD, tuple(notes))


def _disc_segment(between: tuple[int | None, int | None], value: int, height: float, space: DiscSpace) -> Segment:
    shapes = [s for s in (space.upper, space.lower) if s is not None]
    confidence = float(np.min([s.seen for s in shapes]))
    notes = [f"{height:.1f} mm high"]
    if space.plate is not None:
        confidence *= 0.8 * space.plate.seen
        notes.append("one of its bodies is not seen as a whole: a plane stands for that endplate")
    cut = any(any(s.block.cut[2:]) for s in shapes)
    return Segment(value, f"disc {_where(between)}", "disc", not cut, round(confidence, 2), METHOD, tuple(notes))


def _canal_labelled(image: PreparedMR, found: _Found, labels: NDArray[np.uint8], segments: list[Segment]) -> list[str]:
    canal = found.canal
    if isinstance(canal, str):
        return [f"the spinal canal is not labelled: {canal}"]
    if canal.seen < _LEAST_SEEN_CANAL:
        return [f"the spinal canal is not labelled: its border is seen over {100 * canal.seen:.0f} % only"]
    middle = 0.5 * (canal.centres_mm.min(axis=0) + canal.centres_mm.max(axis=0))
    reach = 0.5 * float(np.linalg.norm(np.ptp(canal.centres_mm, axis=0))) + 25.0
    box, points = _around(image, middle, reach)
    for layer, place in zip(labels[box], points, strict=True):
        inside = canal.inside(place.reshape(-1, 3)).reshape(layer.shape)
        layer[inside & (layer == 0)] = CANAL_VALUE
    notes = (
        f"{canal.width_mm:.0f} x {canal.depth_mm:.0f} mm with the fat in it",
        f"its border is seen over {100 * canal.seen:.0f} %",
    )
    confidence = round(float(np.clip(1.6 * canal.seen, 0, 1)), 2)
    segments.append(Segment(CANAL_VALUE, "spinal_canal", "canal", False, confidence, METHOD, notes))
    return []


# ---------------------------------------------------------------------- names
def _finished(named: Segmentation, found: _Found) -> Segmentation:
    """Return the segmentation with discs called after their vertebrae, no body called complete, and why it ends where it does."""
    bodies = [s.name for s in named.vertebrae]
    first, last = bodies[0], bodies[-1]
    names, order = _numbers(named, found), list(LEVELS_CRANIAL_TO_CAUDAL)
    segments = []
    for segment in named.segments:
        if segment.kind == "vertebra":
            segment = replace(segment, complete=False)
        elif segment.kind == "disc":
            segment = replace(segment, name=_disc_name(segment.name, names, order))
        segments.append(segment)
    above, below = found.chain.reasons
    notes = [*named.notes, f"no body is labelled above {first}: {above}", f"no body is labelled below {last}: {below}"]
    for plate, word, at in ((found.chain.above, "above", first), (found.chain.below, "below", last)):
        if plate is not None:
            notes.append(f"{word} {at} only the facing endplate is seen (a sacrum, or a body that is not clear)")
    return Segmentation(named.labels, tuple(segments), tuple(notes))


def _numbers(named: Segmentation, found: _Found) -> dict[str, str]:
    """Return the final name of V1, V2, ..."""
    kept = [n for n, s in enumerate(found.shapes) if s.seen >= _LEAST_SEEN_BODY]
    return {f"V{n + 1}": s.name for n, s in zip(kept, named.vertebrae, strict=True)}


def _disc_name(name: str, final: dict[str, str], order: list[str]) -> str:
    what = name.removeprefix("disc ")
    if "/" in what:
        a, b = what.split("/")
        return f"disc {final[a]}/{final[b]}"
    word, body = what.split()
    there = final[body]
    if there in order:
        beyond = order.index(there) + (1 if word == "below" else -1)
        if 0 <= beyond < len(order):
            pair = (there, order[beyond]) if word == "below" else (order[beyond], there)
            return f"disc {'/'.join(pair)}"
    return f"disc {word} {there}"
