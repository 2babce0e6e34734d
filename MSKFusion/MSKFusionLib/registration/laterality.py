"""Whether the images could as well be mirror images of each other: left and right, told by the anatomy."""

from __future__ import annotations

import itertools

import numpy as np

from ..frames import FloatArray, rigid_about, rotation_about
from ..progress import Progress
from .climb import climb
from .mutual_information import MutualInformation, Samples, pose_distance_mm
from .pair import Pair

#: Where the mirrored body is looked for about the place that the plain one was found at: the plane of symmetry is not
#: known, and a wrong one shifts and turns the mirror image.
_SHIFTS_MM = (-16.0, 0.0, 16.0)
_TURNS_DEG = (-12.0, 0.0, 12.0)
_APART_MM = 5.0
_KEPT = 3


def mirror_share(pair: Pair, ct_to_mr_ras: FloatArray, seed: int, progress: Progress) -> float:
    """Return how much the mirrored CT says of the MR at its own best place, as a share of what the CT says at its place.

    About 1 where the anatomy is symmetric as far as the images show; more than 1 where one of the images is mirrored.
    Both are fitted to the whole body, where vessels and organs tell left from right.

    Parameters
    ----------
    ct_to_mr_ras
        4x4 of the result.
    """
    centre = pair.centre_mr_ras
    coarse = pair.information(6.0, 4000, seed + 6, ct_to_mr_ras, bins=24)
    middle = coarse.samples.points_ras.mean(axis=0)
    mirrored = MutualInformation(_mirrored(coarse.samples, middle), coarse.image, coarse.bins)
    starts = [
        ct_to_mr_ras
        @ rigid_about(middle, rotation_about((0, 0, 1), about_z) @ rotation_about((0, 1, 0), about_y), (x, 0, 0))
        for x, about_z, about_y in itertools.product(_SHIFTS_MM, _TURNS_DEG, _TURNS_DEG)
    ]
    found: list[tuple[float, FloatArray]] = []
    for number, start in enumerate(starts):
        progress(0.6 * number / len(starts), "checking: left and right")
        found.append(climb(mirrored, start, centre, restarts=1))
    kept: list[FloatArray] = []
    for _, pose in sorted(found, key=lambda item: -item[0]):
        if all(pose_distance_mm(pose, other, centre) > _APART_MM for other in kept):
            kept.append(pose)
    progress(0.7, "checking: left and right")
    fine = pair.information(2.0, 20_000, seed + 7, ct_to_mr_ras)
    mirrored = MutualInformation(_mirrored(fine.samples, middle), fine.image, fine.bins)
    return _highest(mirrored, kept[:_KEPT], centre) / max(_highest(fine, [ct_to_mr_ras], centre), 1e-9)


def _mirrored(samples: Samples, middle_ras: FloatArray) -> Samples:
    """Return the samples reflected left to right through a point. Any other reflection is this one and a rigid motion."""
    reflected = samples.points_ras.copy()
    reflected[:, 0] = 2 * middle_ras[0] - reflected[:, 0]
    return Samples(reflected, samples.classes)


def _highest(information: MutualInformation, poses: list[FloatArray], centre_ras: FloatArray) -> float:
    """Return the most that samples say of the MR near any of some places; less overlap counts for less."""
    values = []
    for pose in poses:
        value, share = information.value(climb(information, pose, centre_ras, bound_mm=8.0, restarts=2)[1])
        values.append(value * float(np.sqrt(share)))
    return max(values)
