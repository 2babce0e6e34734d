"""The line that a fragment turns about, and what turning about it opens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, check_rigid, rigid_about, rotation_about, transform_points

from .plane import direction_of, point_of


@dataclass(frozen=True, eq=False)
class Hinge:
    """An axis of rotation in RAS mm.

    Parameters
    ----------
    point_ras
        Any point of it.
    axis_ras
        Its direction; angles are right-handed about it. Made a unit vector.
    """

    point_ras: FloatArray
    axis_ras: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_ras", point_of(self.point_ras, "point of a hinge"))
        object.__setattr__(self, "axis_ras", direction_of(self.axis_ras, "axis of a hinge"))

    def motion_ras(self, angle_deg: float) -> FloatArray:
        """Return the rigid 4x4 of a turn about the axis."""
        return rigid_about(self.point_ras, rotation_about(self.axis_ras, angle_deg))

    def distance_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far points (..., 3) lie from the axis, mm."""
        d = np.asarray(points_ras, dtype=np.float64) - self.point_ras
        return np.asarray(np.linalg.norm(d - (d @ self.axis_ras)[..., None] * self.axis_ras, axis=-1))

    def transformed(self, matrix: ArrayLike) -> Hinge:
        """Return the axis under a rigid 4x4 RAS transform."""
        m = check_rigid(matrix, "hinge")
        return Hinge(transform_points(m, self.point_ras), m[:3, :3] @ self.axis_ras)


def gap_mm(distance_from_hinge_mm: ArrayLike, angle_deg: float) -> FloatArray:
    """Return how far apart two touching points come when one turns by an angle (the chord), mm."""
    return np.asarray(2 * np.asarray(distance_from_hinge_mm, dtype=np.float64) * abs(np.sin(np.radians(angle_deg) / 2)))


def angle_for_gap_deg(gap: float, distance_from_hinge_mm: float) -> float:
    """Return the angle that opens a gap of so many mm at a distance from the hinge.

    Raises
    ------
    GeometryError
        When the gap is negative, or wider than a half turn opens it.
    """
    if not 0 <= gap <= 2 * distance_from_hinge_mm:
        raise GeometryError(
            f"a gap of {gap:.1f} mm at {distance_from_hinge_mm:.1f} mm from the hinge cannot be opened",
            "Give a smaller gap.",
            "wedge",
        )
    return float(2 * np.degrees(np.arcsin(gap / (2 * distance_from_hinge_mm))))
