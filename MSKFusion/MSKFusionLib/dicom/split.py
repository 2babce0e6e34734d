"""Tell apart the volumes that lie in one series: echoes, time points, b-values, orientations; and drop copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..errors import GeometryError, InputError
from .header import VARYING, FrameHeader
from .pixels import stored_values
from .sorting import Stack, group_by_grid, make_stack, places, plane_name


@dataclass(frozen=True, eq=False)
class Part:
    """Images that ought to be one volume: either a stack, or the reason why they are none.

    `is_beside` marks what lies in a folder beside the volumes (scouts, screen captures, single pictures) and is passed
    over in silence; any other series that is no volume was meant as one.
    """

    label: str
    frames: tuple[FrameHeader, ...]
    stack: Stack | None
    fault: InputError | None
    steps: tuple[str, ...] = ()
    is_beside: bool = False


def split_series(frames: Sequence[FrameHeader], where: str) -> list[Part]:
    """Return the volumes of one series; a series that does not fall into whole volumes is returned as one, with why."""
    steps: list[str] = []
    scouts = [f for f in frames if f.is_localizer]
    images = [f for f in frames if not f.is_localizer]
    if not images:
        return [_faulty(frames, "localizer (scout) pictures only", "Choose another series.", where, is_beside=True)]
    if scouts:
        steps.append(f"{len(scouts)} localizer pictures left out")
    for frame in images:
        if not frame.is_grey:
            what = "colour pictures, not grey values"
            return [_faulty(frames, what, "Choose the original CT or MR series.", where, is_beside=True)]
        if frame.problem:
            return [_faulty(frames, frame.problem, "Choose the original CT or MR series.", where, is_beside=True)]
    if len(images) < 3:
        what = f"{len(images)} slice{'s' * (len(images) != 1)}: a volume needs at least 3"
        return [_faulty(frames, what, "Give the folder of the whole series.", where, is_beside=True)]
    references = {f.frame_of_reference_uid for f in images if f.frame_of_reference_uid}
    if len(references) > 1:
        what = f"its images come from {len(references)} frames of reference, whose positions cannot be compared"
        return [_faulty(frames, what, "Export each examination as a series of its own.", where)]
    grids = group_by_grid(images)
    found: list[Part] = []
    for number, grid in enumerate(grids, 1):
        prefix = f"{plane_name(grid[0])} {number}" if len(grids) > 1 else ""
        found += _split_grid(grid, prefix, tuple(steps), where)
    if len(grids) > 1 and any(part.fault for part in found):
        return [_faulty(frames, _mixture(grids), "Export each volume as a series of its own.", where)]
    return found


def _mixture(grids: Sequence[Sequence[FrameHeader]]) -> str:
    """Say in what way the images of a series do not fit each other."""
    first = [g[0] for g in grids]
    if len({(f.rows, f.columns) for f in first}) > 1 and len(group_by_directions(first)) == 1:
        sizes = ", ".join(f"{len(g)} of {g[0].columns}x{g[0].rows} pixels" for g in grids[:4])
        return f"the images differ in size ({sizes})"
    if len(group_by_directions(first)) > 1:
        planes = ", ".join(f"{len(g)} {plane_name(g[0])}" for g in grids[:4])
        return f"the images lie in {len(grids)} different orientations ({planes}{', ...' if len(grids) > 4 else ''})"
    sizes = ", ".join(f"{len(g)} of {g[0].column_spacing_mm:g}x{g[0].row_spacing_mm:g} mm" for g in grids[:4])
    return f"the images differ in pixel spacing ({sizes})"


def group_by_directions(frames: Sequence[FrameHeader]) -> list[FrameHeader]:
    """Return one image for each orientation among `frames`."""
    kept: list[FrameHeader] = []
    for f in frames:
        axes = np.concatenate([f.row_lps, f.column_lps])
        if all(np.abs(axes - np.concatenate([k.row_lps, k.column_lps])).max() > 1e-3 for k in kept):
            kept.append(f)
    return kept


def _faulty(frames: Sequence[FrameHeader], what: str, way_out: str, where: str, is_beside: bool = False) -> Part:
    return Part("", tuple(frames), None, GeometryError(what, way_out, where=where), is_beside=is_beside)


def _split_grid(frames: list[FrameHeader], prefix: str, steps: tuple[str, ...], where: str) -> list[Part]:
    """Split images of one grid by what tells those in the same place apart."""
    if len(places(frames)) == len(frames):
        stack, fault = _try_stack(frames, where)
        divided = _divide(frames, ["StackID"], where) if stack is None else None
        if divided is None:
            return [Part(prefix, tuple(frames), stack, fault, steps)]
        return [Part(_joined(prefix, label), s.frames, s, None, steps) for label, s in divided]
    names = [n for n in VARYING if len({f.varying.get(n, "") for f in frames}) > 1]
    divided = _divide(frames, names, where)
    if divided is None:
        try:
            kept = _without_copies(frames)
        except InputError as error:
            return [Part(prefix, tuple(frames), None, error, steps)]
        if len(kept) < len(frames):
            copies = len(frames) - len(kept)
            steps = (*steps, f"{copies} duplicate slice{'s' * (copies > 1)} (same place, same pixels) dropped")
            return _split_grid(kept, prefix, steps, where)
        stack, fault = _try_stack(frames, where)
        return [Part(prefix, tuple(frames), stack, fault, steps)]
    return [Part(_joined(prefix, label), s.frames, s, None, steps) for label, s in divided]


def _joined(*words: str) -> str:
    return ", ".join(w for w in words if w)


def _try_stack(frames: Sequence[FrameHeader], where: str) -> tuple[Stack | None, InputError | None]:
    try:
        return make_stack(frames, where), None
    except InputError as error:
        return None, error


def _divide(frames: Sequence[FrameHeader], names: Sequence[str], where: str) -> list[tuple[str, Stack]] | None:
    """Return the parts by the fewest attributes that leave whole volumes only; None where there are none such."""
    for size in (1, 2, 3):
        for chosen in combinations(names, size):
            groups: dict[tuple[str, ...], list[FrameHeader]] = {}
            for f in frames:
                groups.setdefault(tuple(f.varying.get(n, "") for n in chosen), []).append(f)
            if len(groups) < 2 or min(map(len, groups.values())) < 3:
                continue
            stacks: list[tuple[str, Stack]] = []
            for number, (values, group) in enumerate(groups.items(), 1):
                stack, _ = _try_stack(group, where)
                if stack is None:
                    break
                stacks.append((_label(chosen, values, number), stack))
            else:
                return sorted(stacks, key=lambda s: _natural(s[0]))
    return None


def _natural(label: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts echo 2 before echo 10."""
    return tuple((0, float(w), "") if w.replace(".", "", 1).isdigit() else (1, 0.0, w) for w in label.split())


def _label(names: Sequence[str], values: Sequence[str], number: int) -> str:
    words = []
    for name, value in zip(names, values, strict=True):
        words.append(f"{VARYING[name]} {number if name == 'Instance' else value or 'not given'}")
    return ", ".join(words)


def _without_copies(frames: Sequence[FrameHeader]) -> list[FrameHeader]:
    """Return the images without those that have the pixels of another one in the same place."""
    kept: list[FrameHeader] = []
    for group in places(frames):
        if len(group) == 1:
            kept += group
            continue
        pictures = stored_values(group)
        unlike: list[int] = []
        for k, picture in enumerate(pictures):
            same = (
                np.array_equal(picture, pictures[u])
                and group[k].slope == group[u].slope
                and group[k].intercept == group[u].intercept
                for u in unlike
            )
            if not any(same):
                unlike.append(k)
        kept += [group[u] for u in unlike]
    return kept
