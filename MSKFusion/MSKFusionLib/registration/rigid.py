"""Rigid registration of CT and MR without a start, with a verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..frames import FloatArray, check_rigid, invert_rigid
from ..progress import Progress, no_progress, part
from ..volume import Modality, Volume
from .bone_fit import BoneFit
from .climb import climb
from .global_search import SearchOptions, search
from .mutual_information import MutualInformation, pose_distance_mm
from .pair import Pair
from .preprocess import check_body, check_image
from .quality import judge, weigh
from .result import RegistrationResult
from .turns import turns_within

METHOD = "rigid: gradient-field search over all translations and turns, mutual information to the bone"


@dataclass(frozen=True, eq=False)
class Optimum:
    """A maximum of mutual information."""

    ct_to_mr_ras: FloatArray
    information: float
    share_inside: float

    @property
    def rank(self) -> float:
        """What optima are compared by: information that rests on less overlap counts for less."""
        return self.information * float(np.sqrt(self.share_inside))


def register_rigid(
    fixed: Volume,
    moving: Volume,
    *,
    start_ras: ArrayLike | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> RegistrationResult:
    """Register a CT and an MR image of one body part, whichever is fixed, from any start.

    Parameters
    ----------
    fixed, moving
        One CT and one MR.
    start_ras
        4x4 from fixed RAS to moving RAS. Turns up to 60 degrees around it are searched, and every shift. None: the
        images' own frames.
    seed
        Of the random sample points. The same seed gives the same result.

    Returns
    -------
    RegistrationResult
        With the verdict, also when it is a rejection.

    Raises
    ------
    InputError
        When the images are not one CT and one MR, are empty or too thin, or nowhere overlap enough to be compared.
    """
    began = time.monotonic()
    for volume in (fixed, moving):
        check_image(volume)
    if {fixed.modality, moving.modality} != {Modality.CT, Modality.MR}:
        raise InputError(
            f"both images are {fixed.modality.value}",
            "Give one CT and one MR; this registration compares the two kinds.",
            where=f"{fixed.name} and {moving.name}",
        )
    check_body(fixed if fixed.modality == Modality.CT else moving)
    start = np.eye(4) if start_ras is None else check_rigid(start_ras, "start_ras")
    ct_is_fixed = fixed.modality == Modality.CT
    ct, mr = (fixed, moving) if ct_is_fixed else (moving, fixed)
    progress(0.0, "preparing the images")
    pair = Pair.prepare(ct, mr)
    ct_to_mr, fit, ranks = _register(
        pair, start if ct_is_fixed else invert_rigid(start), seed, part(progress, 0.05, 0.75)
    )
    evidence = weigh(pair, fit, ct_to_mr, ranks, seed, part(progress, 0.75, 1.0))
    verdict, reasons, expected_error_mm = judge(evidence)
    progress(1.0, f"registration {verdict.value}")
    return RegistrationResult(
        method=METHOD,
        fixed_to_moving_ras=ct_to_mr if ct_is_fixed else invert_rigid(ct_to_mr),
        verdict=verdict,
        reasons=reasons,
        evidence=evidence.as_dict(),
        expected_error_mm=expected_error_mm,
        seconds=time.monotonic() - began,
    )


def _register(pair: Pair, start: FloatArray, seed: int, progress: Progress) -> tuple[FloatArray, BoneFit, list[float]]:
    """Return the final pose, the fit it comes from, and how its coarse optimum ranks, followed by the ranks of its rivals, best first."""
    centre = pair.centre_mr_ras
    turns = turns_within(60.0, 20.0) @ start[:3, :3]
    candidates = search(*pair.at(2.0), pair.signal, turns, SearchOptions(), part(progress, 0.0, 0.45))
    poses = [c.ct_to_mr_ras for c in candidates] + [start]

    coarse = pair.information(6.0, 5000, seed, bins=20)
    # All candidates are looked at once, and the more informative half is climbed.
    poses.sort(key=lambda pose: -_ranked(coarse, pose).rank)
    optima = []
    for number, pose in enumerate(poses[:24]):
        progress(0.45 + 0.25 * number / 24, "comparing candidate poses")
        optima.append(_ranked(coarse, climb(coarse, pose, centre, restarts=2)[1]))
    optima = _distinct(optima, centre, 6.0)

    leaders = optima
    for spacing_mm, count, keep in ((4.0, 15000, 3), (2.0, 40000, 2)):
        progress(0.75 if spacing_mm > 3 else 0.82, f"refining at {spacing_mm:.0f} mm")
        refined = []
        for optimum in leaders[:keep]:
            level = pair.information(spacing_mm, count, seed, optimum.ct_to_mr_ras)
            refined.append(_ranked(level, climb(level, optimum.ct_to_mr_ras, centre, bound_mm=8.0)[1]))
        leaders = _distinct(refined, centre, 4.0)
    progress(0.92, "fitting at the bone")
    pose = leaders[0].ct_to_mr_ras
    fit = BoneFit.prepare(pair.ct, pair.mr, pose)
    fitted = fit.fit(pose, seed, count=80_000)
    # A fit that runs away has found something else than the bone it started at.
    if pose_distance_mm(fitted, pose, centre) <= 5.0:
        pose = fitted
    here = _ranked(coarse, climb(coarse, pose, centre, restarts=2)[1])
    rivals = [o.rank for o in optima if pose_distance_mm(o.ct_to_mr_ras, pose, centre) > 10.0]
    return pose, fit, [here.rank, *rivals]


def _ranked(level: MutualInformation, pose: FloatArray) -> Optimum:
    value, share = level.value(pose)
    return Optimum(pose, value, share)


def _distinct(optima: list[Optimum], centre: FloatArray, apart_mm: float) -> list[Optimum]:
    kept: list[Optimum] = []
    for optimum in sorted(optima, key=lambda o: -o.rank):
        if all(pose_distance_mm(optimum.ct_to_mr_ras, k.ct_to_mr_ras, centre) > apart_mm for k in kept):
            kept.append(optimum)
    return kept
