"""Rigid registration of CT and MR, or of two MR, without a start, with a verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..frames import FloatArray, check_rigid, invert_rigid, transform_points
from ..progress import Progress, no_progress, part
from ..volume import Volume
from .bone_fit import BoneFit
from .climb import climb
from .expected_error import Refits
from .global_search import SearchOptions, search_anywhere, search_near
from .landmarks import LandmarkPairs
from .mutual_information import MutualInformation, pose_distance_mm
from .pair import Pair
from .preprocess import check_pair
from .quality import Evidence, judge, warnings_of, weigh
from .result import RegistrationResult, Verdict

METHOD = "rigid: gradient-field search over all translations and turns, mutual information to the bone"

#: Of the places found when all turns are searched, so many are climbed twice.
_BEST = 20
#: Landmarks that lie farther from the result than so many of their standard deviations contradict it.
_MOST_OFF_SD = 5.0
#: Two searches that end so close together have found the same place.
_SAME_MM = 0.5


@dataclass(frozen=True, eq=False)
class Optimum:
    """A maximum of mutual information."""

    ct_to_mr_ras: FloatArray
    information: float
    share_inside: float
    price: float

    @property
    def rank(self) -> float:
        """What optima are compared by: information that rests on less overlap counts for less; landmarks have a price."""
        return self.information * float(np.sqrt(self.share_inside)) - self.price


def register_rigid(
    fixed: Volume,
    moving: Volume,
    *,
    start_ras: ArrayLike | None = None,
    landmarks: LandmarkPairs | None = None,
    anywhere: bool = True,
    seed: int = 0,
    progress: Progress = no_progress,
) -> RegistrationResult:
    """Register a CT and an MR image of one body part, whichever is fixed, or two MR images, from any start.

    Parameters
    ----------
    fixed, moving
        One CT and one MR, or two MR; of these the fixed one stands in for the CT.
    start_ras
        4x4 from fixed RAS to moving RAS. Turns up to 60 degrees around it are searched, and every shift. None: the
        landmarks, and where there are none the images' own frames.
    landmarks
        Three or more points that a user has placed in both images. They start the search and count in every fit by how
        exactly they were placed; a result far from them is rejected. Their distances say nothing of its accuracy.
    anywhere
        Search all turns there are when nothing near the start holds: a specimen turned over, a header stripped or
        permuted.
    seed
        Of the random sample points. The same seed gives the same result.

    Returns
    -------
    RegistrationResult
        With the verdict, also when it is a rejection.

    Raises
    ------
    InputError
        When the images are neither one CT and one MR nor two MR, are empty or too thin, or nowhere overlap enough to be compared; when
        landmarks are too few, on one line, or do not fit each other.
    """
    began = time.monotonic()
    ct, mr = check_pair(fixed, moving, two_mr=True)
    ct_is_fixed = ct is fixed
    own = np.eye(4) if landmarks is None else landmarks.rigid_fit()
    start = own if start_ras is None else check_rigid(start_ras, "start_ras")
    progress(0.0, "preparing the images")
    pair = Pair.prepare(ct, mr)
    ct_start = start if ct_is_fixed else invert_rigid(start)
    marks = landmarks if landmarks is None or ct_is_fixed else landmarks.inverted()
    found = _register(pair, _near(pair, ct_start, part(progress, 0.05, 0.25)), marks, seed, part(progress, 0.25, 0.6))
    if found.verdict is Verdict.REJECTED and anywhere:
        poses = [found.ct_to_mr_ras, *_anywhere(pair, ct_start, seed, part(progress, 0.6, 0.85))]
        turned = _register(pair, poses, marks, seed, part(progress, 0.85, 1.0), rejected=found)
        if turned.verdict is Verdict.ACCEPTED or turned.rank > found.rank:
            found = turned
    progress(1.0, f"registration {found.verdict.value}")
    return RegistrationResult(
        method=METHOD,
        fixed_to_moving_ras=found.ct_to_mr_ras if ct_is_fixed else invert_rigid(found.ct_to_mr_ras),
        verdict=found.verdict,
        reasons=found.reasons,
        evidence=found.evidence.as_dict(),
        expected_error_mm=found.expected_error_mm,
        seconds=time.monotonic() - began,
        warnings=warnings_of(found.evidence),
        refits=found.refits if ct_is_fixed else found.refits.inverted(),
    )


def _near(pair: Pair, start: FloatArray, progress: Progress) -> list[FloatArray]:
    """Return candidate poses turned from the start by up to 60 degrees, and the start."""
    return [c.ct_to_mr_ras for c in search_near(pair, start[:3, :3], SearchOptions(), progress)] + [start]


def _anywhere(pair: Pair, start: FloatArray, seed: int, progress: Progress) -> list[FloatArray]:
    """Return candidate poses turned in any way, each climbed on coarse images."""
    found = search_anywhere(pair, start[:3, :3], SearchOptions(), part(progress, 0.0, 0.8))
    # All are climbed at 6 mm; the best also at 10 mm, whose hills are wider but whose summits may lie elsewhere.
    climbs = [(6.0, pose.ct_to_mr_ras) for pose in found] + [(10.0, pose.ct_to_mr_ras) for pose in found[:_BEST]]
    levels = {spacing_mm: pair.information(spacing_mm, 3000, seed, bins=16) for spacing_mm in (10.0, 6.0)}
    poses = []
    for number, (spacing_mm, pose) in enumerate(climbs):
        part(progress, 0.8, 1.0)(number / len(climbs), "climbing from coarse poses")
        poses.append(climb(levels[spacing_mm], pose, pair.centre_mr_ras, bound_mm=16.0, restarts=2)[1])
    return poses


@dataclass(frozen=True, eq=False)
class _Found:
    """The best of some candidate poses, refined and judged."""

    ct_to_mr_ras: FloatArray
    rank: float
    evidence: Evidence
    refits: Refits
    verdict: Verdict
    reasons: tuple[str, ...]
    expected_error_mm: float | None


def _register(
    pair: Pair,
    poses: list[FloatArray],
    marks: LandmarkPairs | None,
    seed: int,
    progress: Progress,
    rejected: _Found | None = None,
) -> _Found:
    """Refine the most informative of some poses to the bone, and judge the best; not again where it was rejected before."""
    centre = pair.centre_mr_ras
    coarse = pair.information(6.0, 5000, seed, bins=20)
    # All candidates are looked at once, and the more informative half is climbed.
    poses = sorted(poses, key=lambda pose: -_ranked(coarse, pose, marks).rank)
    optima = []
    for number, pose in enumerate(poses[:24]):
        progress(0.35 * number / 24, "comparing candidate poses")
        optima.append(_ranked(coarse, climb(coarse, pose, centre, restarts=2, landmarks=marks)[1], marks))
    optima = _distinct(optima, centre, 6.0)

    leaders = optima
    for spacing_mm, count, keep in ((4.0, 15000, 3), (2.0, 40000, 2)):
        progress(0.4 if spacing_mm > 3 else 0.45, f"refining at {spacing_mm:.0f} mm")
        refined = []
        for optimum in leaders[:keep]:
            level = pair.information(spacing_mm, count, seed, optimum.ct_to_mr_ras)
            climbed = climb(level, optimum.ct_to_mr_ras, centre, bound_mm=8.0, landmarks=marks)[1]
            refined.append(_ranked(level, climbed, marks))
        leaders = _distinct(refined, centre, 4.0)
    progress(0.5, "fitting at the bone")
    pose = leaders[0].ct_to_mr_ras
    fit = BoneFit.prepare(pair, pose)
    fitted = fit.fit(pose, seed, 160_000, marks)
    # A fit that runs away has found something else than the bone it started at.
    if pose_distance_mm(fitted, pose, centre) <= 5.0:
        pose = fitted
    if rejected is not None and pose_distance_mm(pose, rejected.ct_to_mr_ras, centre) <= _SAME_MM:
        return rejected
    rank = _ranked(coarse, climb(coarse, pose, centre, restarts=2, landmarks=marks)[1], marks).rank
    rivals = [o.rank for o in optima if pose_distance_mm(o.ct_to_mr_ras, pose, centre) > 10.0]
    evidence, refits = weigh(pair, fit, pose, [rank, *rivals], seed, part(progress, 0.6, 1.0))
    verdict, reasons, expected_error_mm = judge(evidence)
    if marks is not None:
        off_mm = float(marks.distances_mm(transform_points(pose, marks.fixed_ras)).mean())
        if off_mm > _MOST_OFF_SD * marks.sd_mm:
            verdict, expected_error_mm = Verdict.REJECTED, None
            reasons = (
                *reasons,
                f"the images lead to a place {off_mm:.0f} mm from the landmarks, which were said to be within "
                f"{marks.sd_mm:g} mm: one of the two is wrong",
            )
    return _Found(pose, rank, evidence, refits, verdict, reasons, expected_error_mm)


def _ranked(level: MutualInformation, pose: FloatArray, marks: LandmarkPairs | None) -> Optimum:
    value, share = level.value(pose)
    price = 0.0 if marks is None else marks.price(pose, level.image.centre_ras)[0]
    return Optimum(pose, value, share, price)


def _distinct(optima: list[Optimum], centre: FloatArray, apart_mm: float) -> list[Optimum]:
    kept: list[Optimum] = []
    for optimum in sorted(optima, key=lambda o: -o.rank):
        if all(pose_distance_mm(optimum.ct_to_mr_ras, k.ct_to_mr_ras, centre) > apart_mm for k in kept):
            kept.append(optimum)
    return kept
