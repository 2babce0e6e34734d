"""How far a rigid CT-MR registration can be trusted, from evidence of its own and without the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from ..frames import FloatArray, rotation_about, transform_points
from ..progress import Progress, part
from .bone_fit import BoneFit
from .climb import climb
from .mutual_information import MutualInformation, Samples, information_table, motion, pose_distance_mm
from .pair import Pair
from .preprocess import BODY_HU
from .result import Verdict
from .sampling import crop_to_overlap, draw_samples


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
    inner_information_nats
        Mutual information within the body (no air): what the outline alone cannot give.
    block_agreement_share
        Of blocks of 30 mm, weighed by how much structure each has: the share whose own best shift, under a tissue table
        learned from the other blocks, is within 4.5 mm of none.
    block_gain_share
        How much of the information that shifts of each block on its own could give is there at the result.
    split_half_mm
        How far two fits on two halves of the volume lie apart, over the bone.
    selection_mm
        How far the fit around bone and the fit on the whole body lie apart, over the bone.
    """

    return_share: float
    drift_mm: float
    gap_share: float
    overlap_share: float
    inner_information_nats: float
    block_agreement_share: float
    block_gain_share: float
    block_count: int
    split_half_mm: float
    selection_mm: float

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: float(value) for name, value in asdict(self).items()}


def weigh(
    pair: Pair, fit: BoneFit, ct_to_mr_ras: FloatArray, ranks: Sequence[float], seed: int, progress: Progress
) -> Evidence:
    """Gather the evidence for a pose.

    Parameters
    ----------
    pair, fit
        The images, and the fit at the bone that gave the pose.
    ct_to_mr_ras
        4x4 of the result.
    ranks
        Of the coarse optimum at the result, and of its rivals (other distinct optima), best first.
    """
    return_share, drift, overlap = _perturb_and_return(pair, ct_to_mr_ras, seed, part(progress, 0.0, 0.5))
    agreement, gain, blocks, inner = _blocks(pair, ct_to_mr_ras, seed, part(progress, 0.5, 0.8))
    split, selection = _refits(fit, ct_to_mr_ras, seed, part(progress, 0.8, 1.0))
    gap = (ranks[0] - ranks[1]) / ranks[0] if len(ranks) > 1 and ranks[0] > 0 else 1.0
    return Evidence(return_share, drift, gap, overlap, inner, agreement, gain, blocks, split, selection)


def judge(evidence: Evidence) -> tuple[Verdict, tuple[str, ...], float | None]:
    """Return the verdict, its reasons, and the expected mean error in mm (None when rejected)."""
    e = evidence
    reasons = []
    if e.return_share < 0.65:
        reasons.append(f"only {e.return_share:.0%} of the poses moved away came back: this is no stable optimum")
    if e.block_agreement_share < 0.25:
        reasons.append(
            f"only {e.block_agreement_share:.0%} of the anatomy agrees on this pose when looked at block by block"
        )
    if e.overlap_share < 0.3:
        reasons.append(f"only {e.overlap_share:.0%} of the body in the CT lies in the MR")
    if reasons:
        return Verdict.REJECTED, tuple(reasons), None
    expected = float(np.hypot(e.split_half_mm, 0.5 * e.selection_mm))
    return Verdict.ACCEPTED, (), expected


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
        shift = rng.normal(size=3)
        turn = rotation_about(rng.normal(size=3), 5.0)
        away = motion(np.r_[np.zeros(3), 7.0 * shift / np.linalg.norm(shift)], centre) @ _about(centre, turn) @ pose
        back += pose_distance_mm(climb(information, away, centre)[1], settled, centre) < 3.0
    return back / tries, pose_distance_mm(settled, pose, centre), information.value(pose)[1]


def _about(centre: FloatArray, turn: FloatArray) -> FloatArray:
    m = np.eye(4)
    m[:3, :3] = turn
    m[:3, 3] = centre - turn @ centre
    return m


def _blocks(
    pair: Pair, pose: FloatArray, seed: int, progress: Progress, edge_mm: float = 30.0
) -> tuple[float, float, int, float]:
    """Let each block of the anatomy look for its own best shift.

    Returns
    -------
    agreement, gain
        See `Evidence`.
    blocks
        How many blocks had enough points.
    inner_information
        Nats within the body.
    """
    spacing, reach = 3.0, 3
    ct_coarse, mr_coarse = pair.at(spacing)
    ct_coarse = crop_to_overlap(ct_coarse, mr_coarse, pose)
    inner = ndimage.binary_erosion(ct_coarse.voxels > BODY_HU)
    samples = draw_samples(ct_coarse, ct_coarse, inner, 16000, seed + 3, mr=mr_coarse, ct_to_mr_ras=pose, margin_mm=0.0)
    information = MutualInformation(samples, mr_coarse, bins=24)
    inside, value = information.values(transform_points(pose, samples.points_ras))
    samples = samples.subset(inside)
    cell = np.floor((samples.points_ras - samples.points_ras.min(0)) / edge_mm).astype(int)
    _, block = np.unique(cell, axis=0, return_inverse=True)
    counts = np.bincount(block)
    keep = counts[block] >= 100
    samples, value, block = samples.subset(keep), value[keep], np.unique(block[keep], return_inverse=True)[1]
    if len(samples) < 500:
        return 0.0, 0.0, 0, 0.0
    number = int(block.max()) + 1
    whole = information.joint_histogram(samples.classes, value)
    inner_information = information_table(whole)[0]
    tables = []
    for b in range(number):
        own = block == b
        rest = whole - information.joint_histogram(samples.classes[own], value[own])
        # A little of independence keeps cells that the others never saw from deciding.
        prior = np.outer(rest.sum(1), rest.sum(0)) / max(rest.sum(), 1.0)
        tables.append(information_table(rest + 0.05 * prior + 1e-6)[1])
    table = np.stack(tables)

    steps = spacing * np.arange(-reach, reach + 1)
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    base = transform_points(pose, samples.points_ras)
    score = np.zeros((len(shifts), number))
    for n, shift in enumerate(shifts):
        if n % 40 == 0:
            progress(n / len(shifts), "checking: does each part of the anatomy agree")
        ok, v = information.values(base + shift)
        k, t = information._parzen(v)
        which, c = block[ok], samples.classes[ok]
        share = (1 - t) * table[which, c, k] + t * table[which, c, k + 1]
        score[n] = np.bincount(which, share, number) / np.maximum(np.bincount(which, minlength=number), 1)
    best = score.argmax(0)
    distance = np.linalg.norm(shifts[best], axis=1)
    weight = score.std(0) * np.sqrt(np.bincount(block, minlength=number))
    here = score[len(shifts) // 2]
    low, high = score.mean(0), score.max(0)
    gain = float((weight * (here - low)).sum() / max((weight * (high - low)).sum(), 1e-9))
    return float((weight * (distance < 4.5)).sum() / weight.sum()), gain, number, inner_information


def _refits(fit: BoneFit, pose: FloatArray, seed: int, progress: Progress) -> tuple[float, float]:
    """Fit again on two halves of the volume, and on the whole body; return the two distances in mm over the bone."""
    bone = fit.samples(pose, seed + 4, 60_000)
    colour = np.floor(bone.points_ras / 30.0).astype(int).sum(1) % 2
    halves = []
    for half in (0, 1):
        progress(half / 3, "checking: do two halves give the same")
        halves.append(fit.climb(bone.subset(colour == half), pose))
    progress(2 / 3, "checking: does the whole body give the same")
    body = fit.climb(fit.samples(pose, seed + 5, 40_000, whole_body=True), pose)
    return _apart_mm(halves[0], halves[1], bone), _apart_mm(body, pose, bone)


def _apart_mm(a: FloatArray, b: FloatArray, samples: Samples) -> float:
    points = samples.points_ras
    return float(np.linalg.norm(transform_points(a, points) - transform_points(b, points), axis=1).mean())
