"""Bone from CT and everything else from MR in one label set: feature-level fusion, and where the two disagree.

Each image gives what it shows best. What was labelled in MR (discs, canal, roots, muscle, a tumour) is carried through the
registration onto the CT's grid; bone stays what the CT shows. Soft tissue cannot lie in cortical bone: where the carried labels do
so by more than the registration's error and the voxels explain, either a label or the registration is wrong, and the place is
told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .boxes import mask_box, touches_border
from .distance_map import signed_distance_mm
from .errors import InputError
from .frames import FloatArray, transform_points
from .interpolation import interpolate
from .progress import Progress, no_progress
from .registration.result import RegistrationResult, Verdict
from .segmentation.labels import BONE_KINDS, Segment, Segmentation
from .terminology import unnamed_vertebra_value
from .volume import Volume

#: Words in a segment's name or kind that say it may lie within bone, and takes the bone's place there.
WITHIN_BONE = ("tumour", "tumor", "lesion", "metastas", "marrow", "oedema", "edema", "nidus", "cyst")
#: The true error of an accepted registration lies under so many times the expected one in nine of ten.
_HONEST_FACTOR = 1.5
#: A bone of the MR of which so much lies in one bone of the CT is that bone.
_SAME_BONE = 0.5
#: Every so manieth voxel is mapped first, to find where a structure will come to lie.
_COARSE = 8
_CHUNK = 400_000


@dataclass(frozen=True)
class Disagreement:
    """One place where the labels of the two images cannot both be right.

    Parameters
    ----------
    name, bone
        The structure of the MR and the bone of the CT that it runs into.
    deepest_mm
        How deep, at `place_ras` (RAS mm of the CT).
    allowed_mm
        What error and voxels explain.
    volume_mm3
        Of the overlap that is deeper than that.
    """

    name: str
    bone: str
    deepest_mm: float
    allowed_mm: float
    place_ras: tuple[float, float, float]
    volume_mm3: float

    def __str__(self) -> str:
        r, a, s = self.place_ras
        return (
            f"{self.name} of the MR lies {self.deepest_mm:.1f} mm deep in {self.bone} of the CT at RAS {r:.0f}, {a:.0f}, {s:.0f}: "
            f"error and voxels explain {self.allowed_mm:.1f} mm"
        )


@dataclass(frozen=True, eq=False)
class CombinedLabels:
    """One label set on the CT's grid.

    Parameters
    ----------
    segmentation
        The CT's bones and the MR's other structures; each with its source, its confidence and notes.
    disagreement_mm
        On the same grid: how much deeper than explained a structure of the MR lies in bone of the CT; 0 elsewhere.
    """

    segmentation: Segmentation
    disagreement_mm: Volume
    disagreements: tuple[Disagreement, ...]


def combine_labels(
    bones: Segmentation,
    others: Segmentation,
    registration: RegistrationResult,
    *,
    progress: Progress = no_progress,
) -> CombinedLabels:
    """Return the CT's bones and what the MR shows besides, on the CT's grid.

    Parameters
    ----------
    bones
        On the CT, which is the registration's fixed image.
    others
        On the MR, the moving image. Bones that the CT has too are left out; tumours and the like (`WITHIN_BONE`) take the bone's place.

    Raises
    ------
    InputError
        When the registration was rejected or has no expected error, or nothing of the MR's labels comes to lie in the CT.
    """
    if registration.verdict is not Verdict.ACCEPTED or registration.expected_error_mm is None:
        why = "; ".join(registration.reasons) or "it has no expected error"
        raise InputError(
            f"labels are not carried by a registration that cannot be trusted: {why}",
            "Register again.",
            where=others.labels.name,
        )
    return combine_mapped(
        bones, others, registration.apply_to_points, registration.expected_error_mm, progress=progress
    )


def combine_mapped(
    bones: Segmentation,
    others: Segmentation,
    ct_to_mr: Callable[[FloatArray], FloatArray],
    expected_error_mm: float,
    *,
    progress: Progress = no_progress,
) -> CombinedLabels:
    """Do the same by any map of RAS points (N, 3) of the CT to the MR, with its expected error; see `combine_labels`."""
    grid = bones.labels
    voxels = grid.voxels.astype(np.int32)
    conflict = np.zeros(grid.voxels.shape, dtype=np.float32)
    allowed_mm = _HONEST_FACTOR * expected_error_mm + 0.5 * float(
        grid.spacing_mm.max() + others.labels.spacing_mm.max()
    )
    names = {s.name for s in bones.segments}
    taken = {s.value for s in bones.segments}
    bone = np.isin(voxels, [s.value for s in bones.bones])
    segments, notes = list(bones.segments), list(bones.notes)
    found: list[Disagreement] = []
    meet = False
    # A bone may be another than the CT's of that name: where it lies tells.
    wanted = [s for s in others.segments if s.name not in names or s.kind in BONE_KINDS]
    as_ct = [s.name for s in others.segments if s not in wanted]
    # A tumour goes last: it takes the place of whatever it lies in.
    wanted.sort(key=_within_bone)
    for n, segment in enumerate(wanted):
        progress(n / len(wanted), f"carrying {segment.name}")
        carried = _carried(others, segment.name, grid, ct_to_mr)
        if carried is None:
            notes.append(f"{segment.name} of the MR lies outside the CT")
            continue
        meet = True
        box, depth_mm = carried
        inside = depth_mm > 0
        same = _same_bone(bones, segment, voxels[box][inside])
        if same is not None and same.name == segment.name:
            as_ct.append(same.name)
            continue
        if same is not None and unnamed_vertebra_value(segment.name) is not None:
            notes.append(f"{segment.name} of the MR is {same.name} of the CT")
            continue
        if segment.name in names:
            for clash, excess_mm in _clashes(bones, segment.name, box, depth_mm, allowed_mm):
                found.append(clash)
                conflict[box] = np.maximum(conflict[box], excess_mm)
            notes.append(
                f"{segment.name} of the MR does not lie where the CT has it: the two are named differently, or the registration "
                "is a level off"
            )
            continue
        within_bone = _within_bone(segment)
        clashes = [] if within_bone else _clashes(bones, segment.name, box, depth_mm, allowed_mm)
        for clash, excess_mm in clashes:
            found.append(clash)
            conflict[box] = np.maximum(conflict[box], excess_mm)
        value = segment.value if segment.value not in taken else max(taken) + 1
        taken.add(value)
        voxels[box][inside if within_bone else inside & ~bone[box]] = value
        at_border = touches_border(box, grid.voxels.shape)
        segments.append(_entry(segment, value, [c for c, _ in clashes], expected_error_mm, at_border))
    if as_ct:
        notes.append(f"as the CT shows them: {', '.join(as_ct)} (the MR has labels of them too)")
    if not meet:
        raise InputError(
            "nothing that is labelled in the MR lies in the CT",
            "Is it the right pair, the right way round?",
            where=others.labels.name,
        )
    present = set(np.unique(voxels).tolist())
    notes += [
        f"nothing is left of {s.name}: what lies in its place covers it" for s in segments if s.value not in present
    ]
    kept = tuple(s for s in segments if s.value in present)
    labels = grid.with_voxels(
        voxels.astype(np.int16 if voxels.max() < 2**15 else np.int32), step="with labels of the MR"
    )
    progress(1.0, "labels combined")
    return CombinedLabels(
        Segmentation(labels, kept, tuple([*notes, *map(str, found)])),
        grid.with_voxels(conflict, step="disagreement with the MR's labels, mm"),
        tuple(found),
    )


def _same_bone(bones: Segmentation, segment: Segment, there: NDArray[np.integer]) -> Segment | None:
    """Return the bone of the CT that fills most of where a bone of the MR comes to lie; `there` are the CT's labels in it."""
    if segment.kind not in BONE_KINDS or not len(there):
        return None
    value, count = max(zip(*np.unique(there, return_counts=True), strict=True), key=lambda pair: int(pair[1]))
    most = next((b for b in bones.bones if b.value == value), None)
    return most if count >= _SAME_BONE * len(there) else None


def _within_bone(segment: Segment) -> bool:
    words = f"{segment.name} {segment.kind}".lower()
    return any(word in words for word in WITHIN_BONE)


Box = tuple[slice, ...]


def _carried(
    others: Segmentation, name: str, grid: Volume, ct_to_mr: Callable[[FloatArray], FloatArray]
) -> tuple[Box, NDArray[np.float32]] | None:
    """Return where on the CT's grid a structure of the MR comes to lie, and how deep in it each voxel there is (mm)."""
    source = others.around(name, 6.0)
    mask = source.voxels == others[name].value
    spacing_kji = source.spacing_mm[::-1]
    # The mean of the distances to the mask and to what is not: 0 half-way between their outermost voxels.
    depth = 0.5 * (signed_distance_mm(~mask, spacing_kji) - signed_distance_mm(mask, spacing_kji))
    depth = np.clip(depth, -20.0, 200.0).astype(np.float32)
    last = np.array(source.shape_ijk) - 1.0

    def in_source(kji: NDArray[np.int_]) -> FloatArray:
        points = transform_points(grid.ijk_to_ras, kji[:, ::-1].astype(np.float64))
        return transform_points(source.ras_to_ijk, ct_to_mr(points))

    coarse = np.stack(
        np.meshgrid(*[np.unique(np.append(np.arange(0, n, _COARSE), n - 1)) for n in grid.voxels.shape], indexing="ij"),
        -1,
    ).reshape(-1, 3)
    at = in_source(coarse)
    # What lies between two coarse points may be in the box where neither is.
    reach = _COARSE * float(grid.spacing_mm.max()) * 1.5 / source.spacing_mm
    near = np.all((at >= -reach) & (at <= last + reach), axis=1)
    if not near.any():
        return None
    low = np.maximum(coarse[near].min(axis=0) - _COARSE, 0)
    high = np.minimum(coarse[near].max(axis=0) + _COARSE + 1, grid.voxels.shape)
    shape = tuple(high - low)
    out = np.full(int(np.prod(shape)), -20.0, dtype=np.float32)
    for first in range(0, len(out), _CHUNK):
        flat = np.arange(first, min(first + _CHUNK, len(out)))
        ijk = in_source(np.stack(np.unravel_index(flat, shape), axis=-1) + low)
        seen = np.all((ijk >= 0) & (ijk <= last), axis=1)
        out[flat[seen]] = interpolate(depth, ijk[seen])
    found = out.reshape(shape)
    if not (found > 0).any():
        return None
    tight = mask_box(found > 0)
    box = tuple(slice(s.start + int(a), s.stop + int(a)) for s, a in zip(tight, low, strict=True))
    return box, found[tight]


def _clashes(
    bones: Segmentation, name: str, box: Box, depth_mm: NDArray[np.float32], allowed_mm: float
) -> list[tuple[Disagreement, NDArray[np.float32]]]:
    """Return where a structure lies deeper in a bone than is explained, and by how much (mm, on the box)."""
    labels, spacing_kji = bones.labels, bones.labels.spacing_mm[::-1]
    found = []
    values = set(np.unique(labels.voxels[box][depth_mm > 0]).tolist())
    for bone in bones.bones:
        if bone.value not in values:
            continue
        mask = labels.voxels[box] == bone.value
        in_bone_mm = -signed_distance_mm(np.pad(mask, 1), spacing_kji)[1:-1, 1:-1, 1:-1] + 0.5 * float(
            spacing_kji.min()
        )
        both_mm = np.where(mask, np.minimum(depth_mm, in_bone_mm), 0.0)
        deepest = np.unravel_index(int(both_mm.argmax()), both_mm.shape)
        if both_mm[deepest] <= allowed_mm:
            continue
        kji = np.array([s.start for s in box]) + np.array(deepest)
        r, a, s = (float(c) for c in transform_points(labels.ijk_to_ras, kji[::-1].astype(np.float64)))
        over = both_mm > allowed_mm
        clash = Disagreement(
            name, bone.name, float(both_mm[deepest]), allowed_mm, (r, a, s), float(over.sum() * labels.voxel_mm3)
        )
        found.append((clash, np.where(over, both_mm - allowed_mm, 0.0).astype(np.float32)))
    return found


def _entry(
    segment: Segment, value: int, clashes: list[Disagreement], expected_error_mm: float, at_border: bool
) -> Segment:
    """Return the segment as it stands among the CT's."""
    only = ("bone that only the MR shows: its surface is the MR's",) if segment.kind in BONE_KINDS else ()
    return replace(
        segment,
        value=value,
        complete=segment.complete and not at_border,
        # One that runs into bone is half believed at most.
        confidence=min(segment.confidence, 0.5) if clashes else segment.confidence,
        source=f"{segment.source or 'MR'}, carried by a registration (expected error {expected_error_mm:.2f} mm)",
        notes=(*segment.notes, *only, *map(str, clashes)),
    )
