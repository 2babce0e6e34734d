"""Bone from CT and everything else from MR in one label set: feature-level fusion, and where the two disagree.

Each image gives what it shows best. What was labelled in MR (discs, canal, roots, muscle, a tumour) is carried through the
registration onto the CT's grid; bone stays what the CT shows. Soft tissue cannot lie in cortical bone: where the carried labels do
so by more than the registration's error and the voxels explain, either a label or the registration is wrong, and the place is
told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .boxes import touches_border
from .carried_labels import Carried, Disagreement, carried_onto, clashes_in_bone
from .errors import InputError
from .frames import FloatArray
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
    making = _InTheMaking.of(bones, others, expected_error_mm)
    names = {s.name for s in bones.segments}
    # A bone may be another than the CT's of that name: where it lies tells.
    wanted = [s for s in others.segments if s.name not in names or s.kind in BONE_KINDS]
    making.as_ct += [s.name for s in others.segments if s not in wanted]
    # A tumour goes last: it takes the place of whatever it lies in.
    wanted.sort(key=_within_bone)
    for n, segment in enumerate(wanted):
        progress(n / len(wanted), f"carrying {segment.name}")
        making.take(segment, carried_onto(bones.labels, others, segment.name, ct_to_mr))
    if not making.meet:
        raise InputError(
            "nothing that is labelled in the MR lies in the CT",
            "Is it the right pair, the right way round?",
            where=others.labels.name,
        )
    result = making.combined()
    progress(1.0, "labels combined")
    return result


@dataclass(eq=False)
class _InTheMaking:
    """The CT's label set, and what was taken over from the MR so far.

    Parameters
    ----------
    allowed_mm
        How deep a structure may lie in bone by the registration's error and the voxels.
    voxels, conflict_mm
        Labels on the CT's grid, and how much deeper than allowed something lies in bone.
    as_ct
        Bones of the MR that the CT has too.
    meet
        Whether anything of the MR lies in the CT.
    """

    bones: Segmentation
    expected_error_mm: float
    allowed_mm: float
    voxels: NDArray[np.int32]
    conflict_mm: NDArray[np.float32]
    segments: list[Segment]
    notes: list[str]
    disagreements: list[Disagreement] = field(default_factory=list)
    as_ct: list[str] = field(default_factory=list)
    meet: bool = False

    @classmethod
    def of(cls, bones: Segmentation, others: Segmentation, expected_error_mm: float) -> _InTheMaking:
        grid = bones.labels
        voxels_mm = float(grid.spacing_mm.max() + others.labels.spacing_mm.max())
        return cls(
            bones,
            expected_error_mm,
            _HONEST_FACTOR * expected_error_mm + 0.5 * voxels_mm,
            grid.voxels.astype(np.int32),
            np.zeros(grid.voxels.shape, dtype=np.float32),
            list(bones.segments),
            list(bones.notes),
        )

    def take(self, segment: Segment, carried: Carried | None) -> None:
        """Take over a structure of the MR from where it comes to lie, or say why it is not taken over."""
        if carried is None:
            self.notes.append(f"{segment.name} of the MR lies outside the CT")
            return
        self.meet = True
        same = _same_bone(self.bones, segment, self.voxels[carried.box][carried.inside])
        if same is not None and same.name == segment.name:
            self.as_ct.append(same.name)
        elif same is not None and unnamed_vertebra_value(segment.name) is not None:
            self.notes.append(f"{segment.name} of the MR is {same.name} of the CT")
        elif any(s.name == segment.name for s in self.bones.segments):
            self._clashes(segment, carried)
            self.notes.append(
                f"{segment.name} of the MR does not lie where the CT has it: the two are named differently, or the registration "
                "is a level off"
            )
        else:
            self._label(segment, carried)

    def _clashes(self, segment: Segment, carried: Carried) -> list[Disagreement]:
        """Record where a structure lies too deep in bone, and return these places."""
        clashes = clashes_in_bone(self.bones, segment.name, carried, self.allowed_mm)
        for _, excess_mm in clashes:
            self.conflict_mm[carried.box] = np.maximum(self.conflict_mm[carried.box], excess_mm)
        places = [clash for clash, _ in clashes]
        self.disagreements += places
        return places

    def _label(self, segment: Segment, carried: Carried) -> None:
        """Label a structure: within bone where it may lie there, else beside it."""
        within_bone = _within_bone(segment)
        clashes = [] if within_bone else self._clashes(segment, carried)
        taken = {s.value for s in self.segments}
        value = segment.value if segment.value not in taken else max(taken) + 1
        there = carried.inside
        if not within_bone:
            of_ct = self.bones.labels.voxels[carried.box]
            there = there & ~np.isin(of_ct, [s.value for s in self.bones.bones])
        self.voxels[carried.box][there] = value
        at_border = touches_border(carried.box, self.voxels.shape)
        self.segments.append(_entry(segment, value, clashes, self.expected_error_mm, at_border))

    def combined(self) -> CombinedLabels:
        """Return the label set, with notes on what is left of nothing."""
        grid = self.bones.labels
        notes = list(self.notes)
        if self.as_ct:
            notes.append(f"as the CT shows them: {', '.join(self.as_ct)} (the MR has labels of them too)")
        present = set(np.unique(self.voxels).tolist())
        notes += [
            f"nothing is left of {s.name}: what lies in its place covers it"
            for s in self.segments
            if s.value not in present
        ]
        kept = tuple(s for s in self.segments if s.value in present)
        dtype = np.int16 if self.voxels.max() < 2**15 else np.int32
        labels = grid.with_voxels(self.voxels.astype(dtype), step="with labels of the MR")
        return CombinedLabels(
            Segmentation(labels, kept, (*notes, *map(str, self.disagreements))),
            grid.with_voxels(self.conflict_mm, step="disagreement with the MR's labels, mm"),
            tuple(self.disagreements),
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
