"""How measures follow errors of the landmarks that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray

_STEP_MM = 1e-3


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How measures follow errors of landmarks.

    Parameters
    ----------
    per_mm
        For each measure and landmark: by how much the measure changes for each mm that the landmark lies off in the
        worst direction.
    """

    per_mm: Mapping[str, Mapping[str, float]]

    def worst_landmark(self, measure: str) -> tuple[str, float]:
        """Return the landmark that a measure follows most, and its change a mm."""
        name = max(self.per_mm[measure], key=lambda n: np.nan_to_num(self.per_mm[measure][n], nan=-1.0))
        return name, self.per_mm[measure][name]

    def standard_error(self, measure: str, landmark_sd_mm: float | Mapping[str, float]) -> float:
        """Return the standard deviation of a measure when landmarks err independently and alike in all directions.

        Parameters
        ----------
        landmark_sd_mm
            Standard deviation along each axis, for all or a landmark.
        """
        rates = self.per_mm[measure]
        sd = landmark_sd_mm if isinstance(landmark_sd_mm, Mapping) else dict.fromkeys(rates, landmark_sd_mm)
        return float(np.sqrt(sum((rate * sd[name]) ** 2 for name, rate in rates.items())))


def sensitivity_of(
    measured: Callable[[str, FloatArray], Mapping[str, float]], landmarks: Iterable[str], measures: Iterable[str]
) -> Sensitivity:
    """Return how measures follow errors of landmarks, by central differences.

    Parameters
    ----------
    measured
        The measures, with one landmark moved by so many mm along each axis of RAS.
    """
    names = tuple(measures)
    rates: dict[str, dict[str, float]] = {measure: {} for measure in names}
    for landmark in landmarks:
        changes = []
        for step in np.eye(3) * _STEP_MM:
            ahead, back = measured(landmark, step), measured(landmark, -step)
            changes.append({m: (ahead[m] - back[m]) / (2 * _STEP_MM) for m in names})
        for measure in names:
            rates[measure][landmark] = float(np.linalg.norm([c[measure] for c in changes]))
    return Sensitivity(rates)
