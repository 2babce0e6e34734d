"""What a registration returns: the transform and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from numpy.typing import ArrayLike

from ..frames import FloatArray, flip_transform_ras_lps, transform_points
from ..volume import Volume, resample_to


class Verdict(StrEnum):
    """Whether a result passed its own check."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """A transform with its verdict.

    Parameters
    ----------
    fixed_to_moving_ras
        4x4; takes a RAS point of the fixed image to the same anatomy in the moving image.
    reasons
        Why, in words; never empty for a rejected result.
    evidence
        The numbers the verdict rests on, by name (units in the name).
    expected_error_mm
        Estimated mean error over the overlap, from evidence that the optimiser did not maximise; None where rejected.
    """

    method: str
    fixed_to_moving_ras: FloatArray
    verdict: Verdict
    reasons: tuple[str, ...]
    evidence: Mapping[str, float] = field(default_factory=dict)
    expected_error_mm: float | None = None
    seconds: float = 0.0

    @property
    def fixed_to_moving_lps(self) -> FloatArray:
        """The same transform between LPS frames, as ITK wants it for resampling."""
        return flip_transform_ras_lps(self.fixed_to_moving_ras)

    def apply_to_points(self, fixed_ras: ArrayLike) -> FloatArray:
        """Take RAS points (..., 3) of the fixed image to the moving image."""
        return transform_points(self.fixed_to_moving_ras, fixed_ras)

    def resample(self, moving: Volume, fixed: Volume) -> Volume:
        """Return the moving image on the fixed image's grid."""
        return resample_to(moving, fixed, self.fixed_to_moving_ras)
