"""How far a rigid CT-MR registration can be trusted, from evidence of its own and without the truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ..frames import FloatArray, transform_points
from ..progress import Progress, part
from .bone_fit import BoneFit
from .climb import climb
from .expected_error import PartFits, Refits, combined_mm
from .laterality import mirror_share
from .mutual_information import MutualInformation, Samples, information_table, moved_away, pose_distance_mm
from .pair import Pair
from .result import Verdict

#: Between what true pairs gave (RIRE from 16 poses, three generated pairs) and what wrong pairs gave (knee, noise, a
#: mirrored head, another generated patient, other bones under the same skin).
LEAST_OVERLAP = 0.25
LEAST_RETURN = 0.5  # true 0.8 and more; knee and noise 0
LEAST_GAIN = 0.82  # true 0.91 and more; another patient 0.70, mirrored head 0.77
LEAST_INFORMATION_NATS = 0.15  # true 0.29 and more; other bones under the same skin 0.10
MOST_SPLIT_MM = 2.5
#: Above the second the mirror image fits better, between the two it fits as well as images can tell.
SYMMETRIC, MIRRORED = 0.93, 1.05
#: Above these, where parts disagree too, the images are of two people: where every bone has a motion of its own, and where one rigid
#: motion is to hold. Two people that nothing else gave away had 0.89 and more; one person in two postures, bone by bone, 0.88 and
#: less; one whose parts disagree though one motion is right (a head, distorted by the MR) 0.83 and less.
TWO_PEOPLE_BONE_BY_BONE, TWO_PEOPLE_RIGID = 0.91, 0.86
#: From here on parts that move on their own are told: true rigid pairs 0.1 to 0.2 mm, other postures 0.8 and more.
BENT_MM, MOST_BEND_MM = 0.5, 3.0
_PARTS = 3
BLOCK_MM, BLOCK_STEP_MM = 40.0, 2.5
LEAST_BLOCK_SAMPLES = 160
AGREEING_STEPS = 1.8


@dataclass(frozen=True)
class Evidence:
    """The numbers a verdict rests on.

    Parameters
    ----------
    return_share
        Share of poses, moved 7 mm and 5 degrees away in random ways, that came back within 3 mm on their own.
    drift_mm
        How far the result itself moves in the same coarse climb.
    gap_share
        How far the second-best distinct optimum lies below the best, as a share of the best.
    overlap_share
        Share of the compared CT points that lie within the MR's field of view.
    bone_information_nats
        Mutual information around bone, under the skin: what the outline of the body alone cannot give.
    block_agreement_share
        Of blocks of 40 mm around bone, weighed by how much structure each has: the share whose own best shift, under a
        tissue table learned from the other blocks, is within 4.5 mm of none.
    block_gain_share
        Of the information that each block's own best shift would give above a typical shift (up to 7.5 mm along each
        axis): the share that is there at the result. Near 1 where one rigid motion serves all blocks; low where the
        shapes differ (another person, another posture, a wrong pose).
    block_count
        How many blocks had points enough.
    split_half_mm
        How far two fits on two halves of the volume lie apart, over the bone.
    selection_mm
        How far the fit around bone and the fit on the whole body lie apart, over the bone.
    bend_mm
        How far fits of three consecutive parts of the anatomy lie from the result, over the bone: what one rigid motion
        leaves where the patient lay differently, or where an image is distorted.
    mr_voxel_mm
        The MR's longest voxel edge.
    mirror_share
        What the CT mirrored left to right says of the MR at its own best place, as a share of what the CT says of it.
    """

    return_share: float
    drift_mm: float
    gap_share: float
    overlap_share: float
    bone_information_nats: float
    block_agreement_share: float
    block_gain_share: float
    block_count: int
    split_half_mm: float
    selection_mm: float
    bend_mm: float
    mr_voxel_mm: float
    mirror_share: float

    @classmethod
    def from_dict(cls, numbers: Mapping[str, float]) -> Evidence:
        """Return the evidence of a rigid result from its numbers by name."""
        values: dict[str, Any] = {f.name: numbers[f.name] for f in fields(cls)}
        return cls(**values | {"block_count": int(values["block_count"])})

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: float(value) for name, value in asdict(self).items()}


def weigh(
    pair: Pair, fit: BoneFit, ct_to_mr_ras: FloatArray, ranks: Sequence[float], seed: int, progress: Progress
) -> tuple[Evidence, Refits]:
    """Gather the evidence for a pose, and the fits that tell its expected error at any point.

    Parameters
    ----------
    pair, fit
        The images, and the fit at the bone that gave the pose.
    ct_to_mr_ras
        4x4 of the result.
    ranks
        Of the coarse optimum at the result, and of its rivals (other distinct optima), best first.
    """
    return_share, drift, overlap = _perturb_and_return(pair, ct_to_mr_ras, seed, part(progress, 0.0, 0.45))
    agreement, gain, blocks, information = agreement_of_blocks(fit, ct_to_mr_ras, seed, part(progress, 0.45, 0.7))
    refits, bone_ras = _refits(fit, ct_to_mr_ras, seed, part(progress, 0.7, 0.85))
    split, selection, bend = (
        float(f(bone_ras).mean()) for f in (refits.split_half_mm, refits.selection_mm, refits.bend_mm)
    )
    gap = (ranks[0] - ranks[1]) / ranks[0] if len(ranks) > 1 and ranks[0] > 0 else 1.0
    mirror = mirror_share(pair, ct_to_mr_ras, seed, part(progress, 0.85, 1.0))
    evidence = Evidence(
        return_share,
        drift,
        gap,
        overlap,
        information,
        agreement,
        gain,
        blocks,
        split,
        selection,
        bend,
        fit.mr_voxel_mm,
        mirror,
    )
    return evidence, refits


def judge(evidence: Evidence, *, bones_move: bool = False) -> tuple[Verdict, tuple[str, ...], float | None]:
    """Return the verdict, its reasons, and the expected mean error in mm (None when rejected).

    Parameters
    ----------
    bones_move
        Every bone has a motion of its own: that the parts of the anatomy ask for different ones is no fault then.
    """
    e = evidence
    reasons = []
    if e.overlap_share < LEAST_OVERLAP:
        reasons.append(f"only {e.overlap_share:.0%} of the compared part of one image lies in the other")
    if e.return_share < LEAST_RETURN:
        reasons.append(
            f"only {e.return_share:.0%} of the poses moved 7 mm and 5 degrees away came back: this is no stable optimum"
        )
    if e.block_gain_share < LEAST_GAIN:
        reasons.append(
            f"the parts of the anatomy do not agree on one position (agreement {e.block_gain_share:.0%}, at least "
            f"{LEAST_GAIN:.0%} is needed): another person, another posture, or the wrong place"
        )
    if e.bone_information_nats < LEAST_INFORMATION_NATS:
        reasons.append(
            f"what one image shows says too little about the other there ({e.bone_information_nats:.2f} nats, at "
            f"least {LEAST_INFORMATION_NATS:.2f} are needed)"
        )
    if e.split_half_mm > MOST_SPLIT_MM:
        reasons.append(f"two halves of the anatomy lead to positions {e.split_half_mm:.1f} mm apart")
    if e.mirror_share > (TWO_PEOPLE_BONE_BY_BONE if bones_move else TWO_PEOPLE_RIGID) and e.bend_mm > BENT_MM:
        # Either alone is seen in pairs that are right: a symmetric head; another posture. Together hardly but in two people.
        either = "" if bones_move else ", or of one in two postures, who is registered bone by bone"
        reasons.append(
            f"mirrored left to right, one image fits the other {e.mirror_share:.2f} times as well, and parts of the anatomy ask "
            f"for motions that differ by {e.bend_mm:.1f} mm: these seem to be images of two people{either}"
        )
    if e.bend_mm > MOST_BEND_MM and not bones_move:
        reasons.append(
            f"parts of the anatomy ask for motions that differ by {e.bend_mm:.1f} mm: another posture, which is registered bone "
            "by bone, or a distorted image"
        )
    if e.mirror_share > MIRRORED:
        reasons.append(
            f"mirrored left to right, one image fits the other better ({e.mirror_share:.2f} times as well): one of the images is "
            "mirrored, or they are of two people; check the orientation that their files give"
        )
    if reasons:
        return Verdict.REJECTED, tuple(reasons), None
    bend_mm = 0.0 if bones_move else e.bend_mm
    expected = combined_mm(e.split_half_mm, e.selection_mm, bend_mm, e.mr_voxel_mm)
    return Verdict.ACCEPTED, (), float(expected)


def warnings_of(evidence: Evidence) -> tuple[str, ...]:
    """Return what a result does not tell although it may be accepted."""
    warnings = []
    alone_mm = combined_mm(evidence.split_half_mm, evidence.selection_mm, 0.0, evidence.mr_voxel_mm)
    if evidence.bend_mm > max(BENT_MM, float(alone_mm)):
        warnings.append(
            f"parts of the anatomy ask for motions that differ by {evidence.bend_mm:.1f} mm: the patient lay differently, or an "
            "image is distorted; a spine is better registered bone by bone"
        )
    if SYMMETRIC < evidence.mirror_share <= MIRRORED:
        warnings.append(
            "left and right cannot be told apart here: mirrored left to right, one image fits the other "
            f"{evidence.mirror_share:.2f} times as well; make sure of the side by other means"
        )
    return tuple(warnings)


def _perturb_and_return(
    pair: Pair, pose: FloatArray, seed: int, progress: Progress, tries: int = 10
) -> tuple[float, float, float]:
    """Return the share of moved poses that come back, the drift of the pose itself in mm, and the share of overlap."""
    information = pair.information(4.0, 8000, seed + 1, pose)
    centre = pair.centre_mr_ras
    rng = np.random.default_rng(seed + 2)
    settled = climb(information, pose, centre)[1]
    back = 0
    for number in range(tries):
        progress(number / tries, "checking: does it come back when moved away")
        away = moved_away(pose, centre, 7.0, 5.0, rng)
        back += pose_distance_mm(climb(information, away, centre)[1], settled, centre) < 3.0
    return back / tries, pose_distance_mm(settled, pose, centre), information.value(pose)[1]


def agreement_of_blocks(
    fit: BoneFit,
    pose: FloatArray,
    seed: int,
    progress: Progress,
    ct_to_mr: Callable[[FloatArray], FloatArray] | None = None,
    *,
    block_mm: float = BLOCK_MM,
    step_mm: float = BLOCK_STEP_MM,
) -> tuple[float, float, int, float]:
    """Let each block of the anatomy around bone look for its own best shift.

    Parameters
    ----------
    pose, ct_to_mr
        4x4 of the result; and where that is not all, what takes CT points (N, 3) to the MR.

    Returns
    -------
    agreement, gain, blocks, information
        See `Evidence`.
    """
    drawn = fit.samples(pose, seed + 3, max(40_000, int(1.25 * LEAST_BLOCK_SAMPLES * fit.mask_mm3 / block_mm**3)))
    information = MutualInformation(drawn, fit.mr, bins=24)
    placed = transform_points(pose, drawn.points_ras) if ct_to_mr is None else ct_to_mr(drawn.points_ras)
    inside, value = information.values(placed)
    drawn, placed = drawn.subset(inside), placed[inside]
    cell = np.floor((drawn.points_ras - drawn.points_ras.min(0)) / block_mm).astype(int)
    block = np.unique(cell, axis=0, return_inverse=True)[1]
    keep = np.bincount(block)[block] >= LEAST_BLOCK_SAMPLES
    samples, base, value, block = (
        drawn.subset(keep),
        placed[keep],
        value[keep],
        np.unique(block[keep], return_inverse=True)[1],
    )
    number = int(block.max()) + 1 if len(samples) else 0
    if number < 2:
        return 0.0, 0.0, number, 0.0
    counts = np.bincount(block, minlength=number)
    whole = information.joint_histogram(samples.classes, value)
    tables = []
    for b in range(number):
        own = block == b
        rest = whole - information.joint_histogram(samples.classes[own], value[own])
        # A little of independence keeps cells that the others never saw from deciding.
        prior = np.outer(rest.sum(1), rest.sum(0)) / max(rest.sum(), 1.0)
        tables.append(information_table(rest + 0.05 * prior + 1e-6)[1])
    table = np.stack(tables).astype(np.float32)

    steps = step_mm * np.arange(-3, 4)
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    score = np.zeros((len(shifts), number))
    for n, shift in enumerate(shifts):
        if n % 40 == 0:
            progress(n / len(shifts), "checking: does each part of the anatomy agree")
        ok, moved = information.values(base + shift)
        which = block[ok]
        share = information.per_sample(table, which, samples.classes[ok], moved)
        score[n] = np.bincount(which, share, number) / np.maximum(np.bincount(which, minlength=number), 1)
    here, typical, best = score[len(shifts) // 2], score.mean(0), score.max(0)
    distance = np.linalg.norm(shifts[score.argmax(0)], axis=1)
    weight = score.std(0) * np.sqrt(counts)
    gain = float((weight * (here - typical)).sum() / max((weight * (best - typical)).sum(), 1e-9))
    agreement = float((weight * (distance < AGREEING_STEPS * step_mm)).sum() / max(weight.sum(), 1e-9))
    return agreement, gain, number, information_table(whole)[0]


def _refits(fit: BoneFit, pose: FloatArray, seed: int, progress: Progress) -> tuple[Refits, FloatArray]:
    """Fit again on two halves of the volume, and on the whole body; return the fits, and points (N, 3) around bone."""
    bone = fit.samples(pose, seed + 4, 60_000)
    colour = np.floor(bone.points_ras / 30.0).astype(int).sum(1) % 2
    halves = []
    for half in (0, 1):
        progress(half / 3, "checking: do two halves give the same")
        halves.append(fit.climb(bone.subset(colour == half), pose))
    progress(2 / 3, "checking: does the whole body give the same")
    body = fit.climb(fit.samples(pose, seed + 5, 40_000, whole_body=True), pose)
    parts = _part_fits(fit, bone, pose)
    return Refits(pose, (halves[0], halves[1]), body, fit.mr_voxel_mm, parts), bone.points_ras


def _part_fits(fit: BoneFit, bone: Samples, pose: FloatArray) -> PartFits:
    """Fit thirds of the samples along the anatomy's longest axis, each on its own."""
    centre = bone.points_ras.mean(axis=0)
    axis = np.linalg.svd(bone.points_ras[::10] - centre, full_matrices=False)[2][0]
    along = bone.points_ras @ axis
    edges = np.quantile(along, np.linspace(0, 1, _PARTS + 1))
    places, poses = [], []
    for low, high in itertools.pairwise(edges):
        part = (along >= low) & (along <= high)
        places.append(float(along[part].mean()))
        poses.append(fit.climb(bone.subset(part), pose))
    return PartFits(axis, tuple(places), tuple(poses))
