"""What a registration returns: the transform and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import SimpleITK as sitk
from numpy.typing import ArrayLike

from ..frames import FloatArray, flip_transform_ras_lps, transform_points
from ..volume import Volume, resample_through, transform_to_sitk
from .expected_error import Refits
from .point_map import PointMap, displacement_to_sitk, displacements


class Verdict(StrEnum):
    """Whether a result passed its own check."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, eq=False)
class BonePose:
    """Where one bone went, of a registration that moves each bone on its own.

    Parameters
    ----------
    fixed_to_moving_ras
        Its own 4x4; None where the bone was not placed.
    expected_error_mm
        Estimated mean error over this bone; None where it was not placed, or its place is not to be trusted.
    reasons
        Why it was not placed or is not to be trusted; empty for an accepted pose.
    """

    name: str
    fixed_to_moving_ras: FloatArray | None
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    expected_error_mm: float | None = None


@dataclass(frozen=True, eq=False)
class BendingMap:
    """A map that bends from the CT to the MR, and which way round it is needed.

    Parameters
    ----------
    ct_to_mr
        From the CT, in which the bones are.
    ct_is_fixed
        Whether that is the way from the fixed to the moving image, or its inverse is.
    """

    ct_to_mr: PointMap
    ct_is_fixed: bool

    def __call__(self, fixed_ras: ArrayLike) -> FloatArray:
        """Take RAS points (..., 3) of the fixed image to the moving image."""
        return self.ct_to_mr(fixed_ras) if self.ct_is_fixed else self.ct_to_mr.inverse(fixed_ras)

    def displacements(self, fixed: Volume) -> tuple[Volume, FloatArray]:
        """Return a grid over the fixed image, and the displacement (K, J, I, 3; RAS mm) of each of its points."""
        return displacements(self, fixed)

    def to_sitk(self, fixed: Volume) -> sitk.DisplacementFieldTransform:
        """Return the map sampled over the fixed image, between LPS frames, as ITK wants it.

        The steps of 2 mm blur it where two bones that move differently nearly touch; each bone's own 4x4 does not.
        """
        return displacement_to_sitk(self, fixed)


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """A transform with its verdict: one rigid motion, or one for every bone and a smooth map between them.

    Parameters
    ----------
    fixed_to_moving_ras
        4x4; takes a RAS point of the fixed image to the same anatomy in the moving image. Where `bending` is given this
        is only the common part, the best that one rigid motion can do.
    reasons
        Why, in words; never empty for a rejected result.
    evidence
        The numbers the verdict rests on, by name (units in the name).
    expected_error_mm
        Estimated mean error over the overlap, from evidence that the optimiser did not maximise; None where rejected.
    refits
        Of a rigid registration: other fits of the same pair, which tell the expected error at any point.
    landmark_tre_mm
        How far landmarks that the user placed, and that were not used, miss their places; the placing's own error is in
        it. By name; empty where there are none.
    warnings
        What the result does not tell although it may be accepted, in words: which side is which, for example.
    bones
        Of a piecewise registration: each bone's pose.
    bending
        The map that everything follows where that is more than one rigid motion.
    """

    method: str
    fixed_to_moving_ras: FloatArray
    verdict: Verdict
    reasons: tuple[str, ...]
    evidence: Mapping[str, float] = field(default_factory=dict)
    expected_error_mm: float | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    bones: tuple[BonePose, ...] = ()
    bending: BendingMap | None = None
    refits: Refits | None = None
    landmark_tre_mm: Mapping[str, float] = field(default_factory=dict)

    @property
    def fixed_to_moving_lps(self) -> FloatArray:
        """The 4x4 between LPS frames, as ITK wants it for resampling."""
        return flip_transform_ras_lps(self.fixed_to_moving_ras)

    def apply_to_points(self, fixed_ras: ArrayLike) -> FloatArray:
        """Take RAS points (..., 3) of the fixed image to the moving image."""
        if self.bending is not None:
            return self.bending(fixed_ras)
        return transform_points(self.fixed_to_moving_ras, fixed_ras)

    def to_sitk(self, fixed: Volume) -> sitk.Transform:
        """Return the transform as ITK wants it for resampling: points of the fixed image to the moving, LPS."""
        return transform_to_sitk(self.fixed_to_moving_ras) if self.bending is None else self.bending.to_sitk(fixed)

    def resample(self, moving: Volume, fixed: Volume) -> Volume:
        """Return the moving image on the fixed image's grid."""
        return resample_through(moving, fixed, self.to_sitk(fixed))

    def error_map(self, fixed: Volume, step_mm: float = 4.0) -> Volume | None:
        """Return the expected error in mm on a coarse grid over the fixed image; see `Refits.error_mm`.

        None where the registration gives no error at points: rejected ones, and those that move each bone on its own,
        whose bones carry their expected errors.
        """
        if self.refits is None or self.verdict is Verdict.REJECTED:
            return None
        return self.refits.error_map(fixed, step_mm)
