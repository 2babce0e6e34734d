"""How safely a screw lies in bone: clearance all round, breach and its direction, grade, density on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.volume import Volume

#: Signed depth (N,) in mm, positive inside bone, of RAS points (N, 3).
DepthFunction = Callable[[FloatArray], FloatArray]

#: Grade and the breach in mm that it stays below (Gertzbein & Robbins 1990, doi 10.1097/00007632-199001000-00004).
_GRADES = (("B", 2.0), ("C", 4.0), ("D", 6.0))
#: Outside by less than this is a matter of arithmetic, not of bone.
_BREACH_TOLERANCE_MM = 1e-6
#: A screw's surface is sampled in these steps along and round it, and on rings of these shares of its radius on the tip's disc.
STEP_MM = 0.5
ANGLES = 24
CAP_RINGS = (0.0, 0.35, 0.7)
#: The entry: one diameter, and not less than this. See `entry_zone_mm`.
_ENTRY_ZONE_MM = 6.0


@dataclass(frozen=True)
class ScrewSafety:
    """What `assess_screw` found.

    Parameters
    ----------
    clearance_mm
        Least distance from the screw's surface to the cortex beyond its entry; minus the breach where there is one.
    breach_mm
        How far the surface leaves the bone, 0 where it does not.
    breach_direction
        ``medial`` (towards the canal), ``lateral``, ``cranial``, ``caudal`` or ``anterior``; empty without a breach.
    nearest_ras
        The point of the screw's surface with the least clearance.
    entry_zone_mm
        The length from the entry on that does not count for the clearance.
    """

    clearance_mm: float
    breach_mm: float
    breach_direction: str
    grade: str
    nearest_ras: tuple[float, float, float]
    entry_zone_mm: float


def gertzbein_robbins_grade(breach_mm: float) -> str:
    """Return A (no breach), B (below 2 mm), C (below 4), D (below 6) or E (6 mm and more)."""
    if not np.isfinite(breach_mm):
        raise GeometryError("a breach that is not a number has no grade")
    if breach_mm <= _BREACH_TOLERANCE_MM:
        return "A"
    return next((grade for grade, limit in _GRADES if breach_mm < limit), "E")


def entry_zone_mm(diameter_mm: float) -> float:
    """Return the length behind the entry point that is not measured: one diameter, and 6 mm at least.

    A screw must pierce the cortex where it enters, so that its surface is outside bone or close to the cortex there.
    One that meets a flat surface at 30 degrees or more has its whole section inside after one diameter; whatever is
    outside from there on is a breach of a wall and counts, also behind the pedicle. The zone depends on nothing but
    the diameter, so that two measurements of one screw (label and truth, say) measure the same part of it.
    """
    return max(diameter_mm, _ENTRY_ZONE_MM)


@dataclass(frozen=True, eq=False)
class ScrewSurface:
    """The depths in bone of a screw's surface beyond its entry zone: the wall first, then the tip's disc.

    Parameters
    ----------
    points_ras, depths_mm
        (N, 3) and (N,), of which the last `cap_count` are on the tip's disc.
    """

    points_ras: FloatArray
    depths_mm: FloatArray
    cap_count: int
    entry_ras: FloatArray
    axis_ras: FloatArray
    length_mm: float
    entry_zone_mm: float

    def direction_at(self, n: int, axes_ras: FloatArray, side: str) -> str:
        """Name the direction in which a point of the surface, by its number, leaves the bone."""
        arm = self.points_ras[n] - self.entry_ras
        along_mm = float(arm @ self.axis_ras)
        # Where the middle of the tip's disc is out, the front wall is pierced, wherever on the disc or its rim the point is.
        if self.depths_mm[-self.cap_count] < 0 and self.length_mm - along_mm < 1e-6:
            return "anterior"
        return breach_direction(arm - along_mm * self.axis_ras, axes_ras, side)


def screw_surface(
    depth: DepthFunction,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float,
    *,
    counted_from_mm: float | None = None,
) -> ScrewSurface:
    """Sample the depth of a screw's surface every 0.5 mm and 15 degrees, the tip's disc on three rings; see `assess_screw`."""
    points, cap_count, start = screw_points(entry_ras, tip_ras, diameter_mm, counted_from_mm=counted_from_mm)
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    length = float(np.linalg.norm(tip - entry))
    return ScrewSurface(points, np.asarray(depth(points)), cap_count, entry, unit(tip - entry), length, start)


def screw_points(
    entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float, *, counted_from_mm: float | None = None
) -> tuple[FloatArray, int, float]:
    """Return the points (N, 3) of `screw_surface`, how many of them (the last) are on the tip's disc, and where they begin, mm."""
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    length = float(np.linalg.norm(tip - entry))
    if not (np.isfinite(length) and length > 1.0 and np.isfinite(diameter_mm) and diameter_mm > 0):
        raise GeometryError(f"a screw of {diameter_mm} x {length:.3g} mm cannot be", "Give entry and tip in RAS mm.")
    axis = unit(tip - entry)
    start = counted_zone_start_mm(length, diameter_mm, counted_from_mm)
    local, cap_count = cylinder_points(length, diameter_mm, start)
    return entry + local @ np.vstack([*perpendicular_axes(axis), axis]), cap_count, start


def counted_zone_start_mm(length_mm: float, diameter_mm: float, counted_from_mm: float | None) -> float:
    """Return where along a screw its surface begins to count: behind the entry zone, or where the pedicle begins."""
    start = min(entry_zone_mm(diameter_mm), length_mm)
    return start if counted_from_mm is None else min(start, max(counted_from_mm, 0.0))


def cylinder_points(
    length_mm: float, diameter_mm: float, start_mm: float, *, step_mm: float = STEP_MM, angles: int = ANGLES
) -> tuple[FloatArray, int]:
    """Return points (N, 3) of a cylinder along z from `start_mm` to `length_mm`, and how many are on its tip's disc (last)."""
    radius = diameter_mm / 2
    along = np.linspace(start_mm, length_mm, max(2, int(np.ceil((length_mm - start_mm) / step_mm)) + 1))
    angle = np.linspace(0, 2 * np.pi, angles, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(angles)], axis=-1)
    wall = (along[:, None, None] * np.array([0.0, 0.0, 1.0]) + radius * ring).reshape(-1, 3)
    rings = np.array(CAP_RINGS)[:, None, None]
    cap = (np.array([0.0, 0.0, length_mm]) + radius * rings * ring).reshape(-1, 3)
    return np.concatenate([wall, cap]), len(cap)


def assess_screw(
    depth: DepthFunction,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float,
    *,
    axes_ras: FloatArray | None = None,
    side: str = "",
    counted_from_mm: float | None = None,
) -> ScrewSafety:
    """Measure a screw, as a cylinder with a flat tip, against the depth of a bone.

    How the surface is sampled is said in `screw_surface`, what counts of it in `entry_zone_mm`.

    Parameters
    ----------
    depth
        Signed depth in mm of RAS points, for example `DepthField.depth_mm`.
    entry_ras, tip_ras
        Where the axis meets the bone's surface, and where the screw ends, RAS mm.
    axes_ras, side
        3x3 (right, anterior, superior as columns) and ``left`` or ``right``: for the direction of a breach.
    counted_from_mm
        Ends the entry zone earlier, where the pedicle is known to begin.

    Raises
    ------
    GeometryError
        When the screw has no length, or a size is not a positive number.
    """
    surface = screw_surface(depth, entry_ras, tip_ras, diameter_mm, counted_from_mm=counted_from_mm)
    return assess_surface(surface, axes_ras=axes_ras, side=side)


def assess_surface(surface: ScrewSurface, *, axes_ras: FloatArray | None = None, side: str = "") -> ScrewSafety:
    """Measure a screw whose surface has been sampled; see `assess_screw`."""
    worst = int(surface.depths_mm.argmin())
    clearance = float(surface.depths_mm[worst])
    breach = max(0.0, -clearance) if clearance < -_BREACH_TOLERANCE_MM else 0.0
    direction = ""
    if breach > 0 and axes_ras is not None and side in ("left", "right"):
        direction = surface.direction_at(worst, np.asarray(axes_ras), side)
    x, y, z = (float(c) for c in surface.points_ras[worst])
    return ScrewSafety(clearance, breach, direction, gertzbein_robbins_grade(breach), (x, y, z), surface.entry_zone_mm)


def screw_clearance_mm(depth: DepthFunction, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float) -> float:
    """Return the clearance of a screw in mm, negative for a breach (see `assess_screw`)."""
    return assess_screw(depth, entry_ras, tip_ras, diameter_mm).clearance_mm


def breach_direction(radial: FloatArray, axes: FloatArray, side: str) -> str:
    """Name the direction from a screw's axis to a point of its surface; `axes` are right, anterior, superior as columns."""
    lateral = float(radial @ axes[:, 0]) * (1.0 if side == "right" else -1.0)
    cranial = float(radial @ axes[:, 2])
    if abs(lateral) >= abs(cranial):
        return "lateral" if lateral > 0 else "medial"
    return "cranial" if cranial > 0 else "caudal"


@dataclass(frozen=True)
class PathDensity:
    """CT values in the cylinder of a screw: their mean, and the least mean of any section across it."""

    hu_mean: float
    hu_min: float


def path_density(ct: Volume, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float) -> PathDensity:
    """Return the CT values in a screw's cylinder: sections every millimetre, each averaged over its area.

    The least *section* is given, not the least voxel: one noisy voxel says nothing about hold.
    """
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    axis = unit(tip - entry)
    u, v = perpendicular_axes(axis)
    length = float(np.linalg.norm(tip - entry))
    along = np.linspace(0.0, length, max(2, round(length) + 1))
    # Rings of equal area, so that the plain mean is the mean over the disc.
    radii = diameter_mm / 2 * np.sqrt((np.arange(4) + 0.5) / 4)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v
    disc = (radii[:, None, None] * ring).reshape(-1, 3)
    points = (entry + along[:, None] * axis)[:, None] + disc
    sections = sample_volume(ct, points).mean(axis=1)
    return PathDensity(float(sections.mean()), float(sections.min()))
