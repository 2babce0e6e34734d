"""Registration bone by bone: for a spine, or any chain of bones, that lay differently in the two scans."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..frames import FloatArray, invert_rigid, rotation_angle_deg
from ..progress import Progress, no_progress, part
from ..segmentation.labels import Segmentation
from ..volume import Volume
from .bone_fit import BoneFit
from .bone_poses import LEAST_SEEN, BoneFitting, PoseEvidence, weigh_poses
from .mutual_information import mean_apart_mm, pose_distance_mm
from .pair import Pair
from .polyrigid import PolyrigidMap
from .preprocess import check_pair
from .quality import Evidence, agreement_of_blocks, judge
from .result import BendingMap, BonePose, RegistrationResult, Verdict
from .rigid import register_rigid

METHOD = "piecewise rigid: one common motion, then every bone on its own, log-Euclidean blend between bones"
#: What a single bone's pose must show to be trusted.
MOST_SPLIT_MM = 1.5
LEAST_RETURN = 0.5
MOST_TURN_DEG, MOST_SHIFT_MM = 25.0, 30.0
#: Of the expected error: chance in the samples, and what the MR's voxels leave open.
_SPLIT_SHARE, _VOXEL_SHARE = 0.8, 0.04
#: Bones that may each move need to agree more finely than one rigid body: what blocks of this size, shifted by so much,
#: would gain (see `quality.Evidence.block_gain_share`). Generated patients: their own MR 0.95 and more, another's of the
#: same age and build 0.92 and less.
_FINE_BLOCK_MM, _FINE_STEP_MM, LEAST_FINE_GAIN = 20.0, 1.25, 0.935
#: A second rigid registration that is this far from the first is another place.
_ELSEWHERE_MM = 10.0


def register_piecewise(
    fixed: Volume,
    moving: Volume,
    bones: Segmentation,
    *,
    rigid: RegistrationResult | None = None,
    start_ras: ArrayLike | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> RegistrationResult:
    """Register a CT and an MR with a rigid motion for every bone that the CT's labels name.

    Parameters
    ----------
    fixed, moving
        One CT and one MR, whichever way round.
    bones
        Labels of the CT: its vertebrae, sacrum and other bones with a name of their own.
    rigid
        The rigid registration of the same pair, where there is one already; it is made here otherwise.
    start_ras
        See `register_rigid`.

    Returns
    -------
    RegistrationResult
        `bones` has every bone: placed, or with the reason why not. A bone that the MR does not show is not guessed; the
        map takes it along with its nearest neighbours.

    Raises
    ------
    InputError
        When the images cannot be registered, the MR shows none of the bones, or `rigid` has no evidence.
    """
    names = [s.name for s in bones.bones if s.name != "other bone"]
    if not names:
        raise InputError("the labels name no bone", "Segment the CT first.", where=bones.labels.name)
    ct, mr = check_pair(fixed, moving)
    if rigid is None:
        return _on_own_rigid(fixed, moving, bones, start_ras, seed, progress)
    began = time.monotonic()
    if not {f.name for f in fields(Evidence)} <= set(rigid.evidence):
        raise InputError(
            "the rigid registration says nothing of what its verdict rests on",
            "Give a result of register_rigid, or none.",
        )
    ct_is_fixed = ct is fixed
    ct_to_mr = rigid.fixed_to_moving_ras if ct_is_fixed else invert_rigid(rigid.fixed_to_moving_ras)
    progress(0.0, "preparing the bones")
    pair = Pair.prepare(ct, mr)
    fitting = BoneFitting.prepare(pair, bones, names, ct_to_mr, seed)
    fitting.fit(part(progress, 0.1, 0.45))
    evidence = weigh_poses(fitting, ct_to_mr, seed, part(progress, 0.45, 0.75))
    poses = tuple(_bone_pose(n, fitting, evidence, ct_to_mr, ct_is_fixed) for n in names)
    trusted = {p.name: fitting.poses[p.name] for p in poses if p.verdict is Verdict.ACCEPTED}
    numbers, fine_gain, ct_to_mr_map = Evidence.from_dict(rigid.evidence), 0.0, None
    if trusted:
        ct_to_mr_map = PolyrigidMap.of_poses(bones, trusted, ct_to_mr)
        numbers, fine_gain = _evidence(numbers, pair, ct_to_mr, ct_to_mr_map, evidence, seed, part(progress, 0.75, 1.0))
    verdict, reasons = _verdict(numbers, fine_gain, poses)
    errors = [p.expected_error_mm for p in poses if p.expected_error_mm is not None]
    counted = numbers.as_dict() | {
        "fine_gain_share": fine_gain,
        "bones_placed": float(len(trusted)),
        "bones_asked": float(len(names)),
    }
    if ct_to_mr_map is not None:
        counted["least_jacobian"], counted["folded_share"] = ct_to_mr_map.least_jacobian()
    progress(1.0, f"registration {verdict.value}")
    return RegistrationResult(
        method=METHOD,
        fixed_to_moving_ras=rigid.fixed_to_moving_ras,
        verdict=verdict,
        reasons=reasons,
        evidence=counted,
        expected_error_mm=float(np.mean(errors)) if verdict is Verdict.ACCEPTED and errors else None,
        seconds=time.monotonic() - began + rigid.seconds,
        warnings=rigid.warnings,
        bones=poses,
        bending=None if ct_to_mr_map is None else BendingMap(ct_to_mr_map, ct_is_fixed),
    )


def _on_own_rigid(
    fixed: Volume,
    moving: Volume,
    bones: Segmentation,
    start_ras: ArrayLike | None,
    seed: int,
    progress: Progress,
) -> RegistrationResult:
    """Register rigidly first: near the start, and where the bones do not hold on that, turned in any way."""
    near = register_rigid(
        fixed, moving, start_ras=start_ras, anywhere=False, seed=seed, progress=part(progress, 0.0, 0.35)
    )
    found = None
    # A wrong place may show none of the bones.
    with suppress(InputError):
        found = register_piecewise(fixed, moving, bones, rigid=near, seed=seed, progress=part(progress, 0.35, 0.5))
    if found is not None and found.verdict is Verdict.ACCEPTED:
        return found
    turned = register_rigid(fixed, moving, start_ras=start_ras, seed=seed, progress=part(progress, 0.5, 0.85))
    moved_mm = pose_distance_mm(turned.fixed_to_moving_ras, near.fixed_to_moving_ras, moving.centre_ras)
    if found is not None and moved_mm < _ELSEWHERE_MM:
        return found
    return register_piecewise(fixed, moving, bones, rigid=turned, seed=seed, progress=part(progress, 0.85, 1.0))


def _bone_pose(
    name: str, fitting: BoneFitting, evidence: Mapping[str, PoseEvidence], ct_to_mr: FloatArray, ct_is_fixed: bool
) -> BonePose:
    seen = fitting.seen_share[name]
    if name not in evidence:
        reason = f"the MR shows {seen:.0%} of it (at least {LEAST_SEEN:.0%} is needed)"
        return BonePose(name, None, Verdict.REJECTED, (reason,), {"seen_share": seen})
    e, pose = evidence[name], fitting.poses[name]
    moved_mm = mean_apart_mm(pose, ct_to_mr, fitting.samples[name].points_ras)
    turned_deg = rotation_angle_deg(pose @ invert_rigid(ct_to_mr))
    reasons = []
    if e.split_half_mm > MOST_SPLIT_MM:
        reasons.append(f"two halves of it lead to places {e.split_half_mm:.1f} mm apart")
    if e.return_share < LEAST_RETURN:
        reasons.append(f"moved 4 mm and 5 degrees away, only {e.return_share:.0%} of the tries came back")
    if turned_deg > MOST_TURN_DEG or moved_mm > MOST_SHIFT_MM:
        reasons.append(f"it would have moved {moved_mm:.0f} mm and {turned_deg:.0f} degrees against the others")
    expected = float(np.hypot(_SPLIT_SHARE * e.split_half_mm, _VOXEL_SHARE * fitting.pair.mr.spacing_mm.max()))
    return BonePose(
        name,
        pose if ct_is_fixed else invert_rigid(pose),
        Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        tuple(reasons),
        {
            "seen_share": seen,
            "split_half_mm": e.split_half_mm,
            "return_share": e.return_share,
            "gain_nats": e.gain_nats,
            "moved_mm": moved_mm,
            "turned_deg": turned_deg,
        },
        None if reasons else expected,
    )


def _evidence(
    common: Evidence,
    pair: Pair,
    ct_to_mr_ras: FloatArray,
    ct_to_mr: PolyrigidMap,
    of_bones: Mapping[str, PoseEvidence],
    seed: int,
    progress: Progress,
) -> tuple[Evidence, float]:
    """Return the common motion's evidence with what the bones' own motions change in it, and the gain in fine blocks."""
    fit = BoneFit.prepare(pair, ct_to_mr_ras)
    agreement, gain, blocks, information = agreement_of_blocks(
        fit, ct_to_mr_ras, seed, part(progress, 0.0, 0.5), ct_to_mr
    )
    _, fine_gain, _, _ = agreement_of_blocks(
        fit,
        ct_to_mr_ras,
        seed,
        part(progress, 0.5, 1.0),
        ct_to_mr,
        block_mm=_FINE_BLOCK_MM,
        step_mm=_FINE_STEP_MM,
    )
    changed = replace(
        common,
        bone_information_nats=information,
        block_agreement_share=agreement,
        block_gain_share=gain,
        block_count=blocks,
        split_half_mm=float(np.median([e.split_half_mm for e in of_bones.values()])),
    )
    return changed, fine_gain


def _verdict(evidence: Evidence, fine_gain: float, poses: tuple[BonePose, ...]) -> tuple[Verdict, tuple[str, ...]]:
    """Judge the whole: what speaks against the pair, or bones in the MR without a place to be trusted, reject it."""
    reasons = list(judge(evidence, bones_move=True)[1])
    if fine_gain < LEAST_FINE_GAIN:
        reasons.append(
            f"the shapes of the bones in the two images differ (agreement {fine_gain:.1%} in blocks of "
            f"{_FINE_BLOCK_MM:.0f} mm, at least {LEAST_FINE_GAIN:.1%} is needed): another person, or a distorted image"
        )
    doubtful = [p for p in poses if p.verdict is Verdict.REJECTED and p.fixed_to_moving_ras is not None]
    reasons += [f"{p.name}: {'; '.join(p.reasons)}" for p in doubtful]
    return (Verdict.REJECTED if reasons else Verdict.ACCEPTED), tuple(reasons)
