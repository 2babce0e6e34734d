"""A plane in RAS mm: where a saw goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, check_rigid, perpendicular_axes, rigid, transform_points, unit


def point_of(values: ArrayLike, where: str) -> FloatArray:
    """Return three finite coordinates.

    Raises
    ------
    GeometryError
        When they are not three, or not finite.
    """
    p = np.asarray(values, dtype=np.float64)
    if p.shape != (3,) or not np.all(np.isfinite(p)):
        raise GeometryError("three finite coordinates in mm are needed", where=where)
    return p


def direction_of(values: ArrayLike, where: str) -> FloatArray:
    """Return three finite numbers as a unit vector.

    Raises
    ------
    GeometryError
        When they are not three, not finite, or all zero.
    """
    v = point_of(values, where)
    if np.linalg.norm(v) < 1e-9:
        raise GeometryError("a direction of length zero", where=where)
    return unit(v)


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through a point, with a side that its normal looks to.

    Parameters
    ----------
    point_ras
        Any point of it, mm.
    normal_ras
        Across it; made a unit vector.

    Raises
    ------
    GeometryError
        When a number is not finite or the normal has no length.
    """

    point_ras: FloatArray
    normal_ras: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_ras", point_of(self.point_ras, "point of a plane"))
        object.__setattr__(self, "normal_ras", direction_of(self.normal_ras, "normal of a plane"))

    def height_mm(self, points_ras: ArrayLike) -> FloatArray:
        """Return how far points (..., 3) lie above the plane (on the normal's side), mm."""
        return (np.asarray(points_ras, dtype=np.float64) - self.point_ras) @ self.normal_ras

    def projected(self, points_ras: ArrayLike) -> FloatArray:
        """Return the feet of points (..., 3) on the plane."""
        p = np.asarray(points_ras, dtype=np.float64)
        return p - self.height_mm(p)[..., None] * self.normal_ras

    def shifted(self, distance_mm: float) -> Plane:
        """Return the parallel plane `distance_mm` along the normal."""
        return Plane(self.point_ras + distance_mm * self.normal_ras, self.normal_ras)

    def turned_over(self) -> Plane:
        """Return the same plane looking to the other side."""
        return Plane(self.point_ras, -self.normal_ras)

    def transformed(self, matrix: ArrayLike) -> Plane:
        """Return the plane under a rigid 4x4 RAS transform."""
        m = check_rigid(matrix, "plane")
        return Plane(transform_points(m, self.point_ras), m[:3, :3] @ self.normal_ras)

    @property
    def to_ras(self) -> FloatArray:
        """Rigid 4x4 from the plane's own frame (origin in the point, z along the normal) to RAS."""
        u, v = perpendicular_axes(self.normal_ras)
        return rigid(np.column_stack([u, v, self.normal_ras]), self.point_ras)
