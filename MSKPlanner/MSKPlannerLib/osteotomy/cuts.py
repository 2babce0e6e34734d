"""What a saw does to a bone: a whole plane, or a sheet with corners, arcs and ends.

A cut is data. `fragments.cut_bone` carries cuts out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, check_rigid, rigid, unit

from .plane import Plane, direction_of, point_of

#: Thicker than any saw blade or burr; above it somebody mixed up units.
_THICKEST_SAW_MM = 10.0
#: How far a chord may leave the arc of a dome, mm.
_CHORD_MM = 0.002
#: Sharper corners than this would make the mitre of the slot longer than the saw could leave.
_SHARPEST_TURN_DEG = 150.0


def check_kerf(kerf_mm: float, name: str) -> float:
    """Return a saw's thickness in mm, if it can be one.

    Raises
    ------
    InputError
        When it is negative or thicker than any saw.
    """
    if not 0.0 <= kerf_mm <= _THICKEST_SAW_MM:
        raise InputError(
            f"a saw of {kerf_mm} mm", f"Give the blade's thickness in mm, 0 to {_THICKEST_SAW_MM:g}.", where=name
        )
    return float(kerf_mm)


@dataclass(frozen=True, eq=False)
class PlaneCut:
    """A plane right through the bone.

    Parameters
    ----------
    name
        What errors call it.
    plane
        The middle of the slot.
    kerf_mm
        Thickness of the slot; 0: nothing is lost.
    """

    name: str
    plane: Plane
    kerf_mm: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kerf_mm", check_kerf(self.kerf_mm, self.name))


@dataclass(frozen=True, eq=False)
class SheetCut:
    """A cut along a line of corners, as long in the saw's direction as the bone, unless it is stopped.

    Parameters
    ----------
    name
        What errors call it.
    frame_to_ras
        Rigid 4x4: z is the direction in which the saw goes through, x and y span the profile.
    profile_mm
        (N, 2) corners of the line in x and y.
    kerf_mm
        Thickness of the slot, the line in its middle.
    open_start, open_end
        Whether the first and last stretch go on until they leave the bone.
    stops
        The saw stays below each of these planes (on the side their normals look away from): depth and reach.

    Raises
    ------
    InputError
        When the line crosses itself or turns too sharply, or a cut that ends inside the bone has no thickness.
    """

    name: str
    frame_to_ras: FloatArray
    profile_mm: FloatArray
    kerf_mm: float = 0.0
    open_start: bool = True
    open_end: bool = True
    stops: tuple[Plane, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "kerf_mm", check_kerf(self.kerf_mm, self.name))
        object.__setattr__(self, "frame_to_ras", check_rigid(self.frame_to_ras, self.name))
        profile = np.asarray(self.profile_mm, dtype=np.float64)
        if profile.ndim != 2 or profile.shape[1] != 2 or len(profile) < 2 or not np.all(np.isfinite(profile)):
            raise GeometryError("the line of the cut needs two or more corners (x, y) in mm", where=self.name)
        object.__setattr__(self, "profile_mm", profile)
        steps = np.diff(profile, axis=0)
        if np.linalg.norm(steps, axis=1).min() < 1e-6:
            raise GeometryError("two corners of the cut lie in one place", where=self.name)
        if np.abs(turns_deg(profile)).max(initial=0.0) > _SHARPEST_TURN_DEG:
            raise GeometryError(
                f"the cut turns back on itself by more than {_SHARPEST_TURN_DEG:g} degrees",
                "Move its corners.",
                self.name,
            )
        if self.kerf_mm == 0 and (self.stops or not (self.open_start and self.open_end)):
            raise InputError(
                "a cut that ends inside the bone needs a saw with a thickness", "Give kerf_mm above 0.", self.name
            )


Cut = PlaneCut | SheetCut


def turns_deg(profile_mm: FloatArray) -> FloatArray:
    """Return by how much a line (N, 2) turns at each inner corner, degrees, left positive."""
    d = np.diff(profile_mm, axis=0)
    a, b = d[:-1], d[1:]
    return np.degrees(np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.einsum("ij,ij->i", a, b)))


def polyline_cut(
    name: str,
    corners_ras: ArrayLike,
    saw_direction_ras: ArrayLike,
    kerf_mm: float = 0.0,
    *,
    open_start: bool = True,
    open_end: bool = True,
    stops: tuple[Plane, ...] = (),
) -> SheetCut:
    """Return a cut along corners in space (step, Z, biplanar), which the saw goes through in one direction.

    Parameters
    ----------
    corners_ras
        (N, 3), mm, N at least 2; only their places across the saw's direction count.
    """
    corners = np.asarray(corners_ras, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1:] != (3,) or len(corners) < 2 or not np.all(np.isfinite(corners)):
        raise GeometryError("two or more corners of three coordinates are needed", where=name)
    z = direction_of(saw_direction_ras, name)
    along = corners[-1] - corners[0]
    along = along - (along @ z) * z
    if np.linalg.norm(along) < 1e-6:
        raise GeometryError(
            "seen along the saw the cut begins and ends in one place", "Turn the saw or move the corners.", name
        )
    x = unit(along)
    frame = rigid(np.column_stack([x, np.cross(z, x), z]), corners.mean(axis=0))
    profile = (corners - frame[:3, 3]) @ frame[:3, :2]
    return SheetCut(name, frame, profile, kerf_mm, open_start, open_end, stops)


def biplanar_cut(
    name: str, first: Plane, second: Plane, inside_ras: ArrayLike, kerf_mm: float = 0.0, stops: tuple[Plane, ...] = ()
) -> SheetCut:
    """Return the cut along two planes that end where they meet.

    Parameters
    ----------
    first, second
        The planes, more than a few degrees apart.
    inside_ras
        A point in the angle between the two half planes that are sawn: each is sawn on the side where this point's
        foot on it lies, seen from the line where they meet.

    Raises
    ------
    GeometryError
        When the planes are parallel, or the point lies so that a foot falls on the line itself.
    """
    across = np.cross(first.normal_ras, second.normal_ras)
    if np.linalg.norm(across) < np.sin(np.radians(5.0)):
        raise GeometryError("the two planes of a biplanar cut are nearly parallel", "Turn one of them.", name)
    z = unit(across)
    inside = point_of(inside_ras, name)
    a = np.stack([first.normal_ras, second.normal_ras, z])
    corner = np.linalg.solve(a, [first.normal_ras @ first.point_ras, second.normal_ras @ second.point_ras, z @ inside])
    arms = [plane.projected(inside) - corner for plane in (first, second)]
    if min(np.linalg.norm(arm) for arm in arms) < 1e-3:
        raise GeometryError("the point between the two planes lies straight across their line", "Move it.", name)
    corners = [corner + 10 * unit(arms[0]), corner, corner + 10 * unit(arms[1])]
    return polyline_cut(name, corners, z, kerf_mm, stops=stops)


def hinged_cut(
    name: str, plane: Plane, hinge_point_ras: ArrayLike, hinge_axis_ras: ArrayLike, entry_ras: ArrayLike, kerf_mm: float
) -> SheetCut:
    """Return a plane cut that ends at a hinge (uniplanar, for a wedge).

    Parameters
    ----------
    hinge_point_ras, hinge_axis_ras
        The line at which the saw stops; brought into the plane if it lies up to 1 mm and 1 degree off.
    entry_ras
        A point on the side from which the saw comes.
    """
    point, axis = point_of(hinge_point_ras, name), direction_of(hinge_axis_ras, name)
    if abs(plane.height_mm(point)) > 1.0 or abs(np.degrees(np.arcsin(axis @ plane.normal_ras))) > 1.0:
        raise GeometryError(
            f"the hinge does not lie in the plane of the cut ({abs(float(plane.height_mm(point))):.1f} mm off)",
            "Put the hinge into the plane.",
            name,
        )
    point = plane.projected(point)
    z = unit(axis - (axis @ plane.normal_ras) * plane.normal_ras)
    x = np.cross(plane.normal_ras, z)
    towards = float((point_of(entry_ras, name) - point) @ x)
    if abs(towards) < 1e-3:
        raise GeometryError("the side from which the saw comes is not clear", "Move the entry off the hinge.", name)
    if towards < 0:
        x, z = -x, -z
    frame = rigid(np.column_stack([x, np.cross(z, x), z]), point)
    return SheetCut(name, frame, np.array([[0.0, 0.0], [10.0, 0.0]]), kerf_mm, open_start=False)


def dome_cut(
    name: str,
    centre_ras: ArrayLike,
    axis_ras: ArrayLike,
    apex_ras: ArrayLike,
    kerf_mm: float = 0.0,
    half_angle_deg: float = 90.0,
) -> SheetCut:
    """Return a cylindrical cut (focal dome), its ends going on straight.

    Parameters
    ----------
    centre_ras, axis_ras
        A point on the cylinder's axis and its direction: the fragment turns about it.
    apex_ras
        The point of the cylinder in the middle of the cut; its distance from the axis is the radius.
    half_angle_deg
        How far the arc goes to each side of the apex, 5 to 90.
    """
    centre, z = point_of(centre_ras, name), direction_of(axis_ras, name)
    arm = point_of(apex_ras, name) - centre
    arm = arm - (arm @ z) * z
    radius = float(np.linalg.norm(arm))
    if radius <= kerf_mm / 2 + 1.0:
        raise GeometryError(f"a dome of {radius:.1f} mm radius", "Move its apex away from its axis.", name)
    if not 5.0 <= half_angle_deg <= 90.0:
        raise InputError("the arc of a dome goes 5 to 90 degrees to each side", where=name)
    y = arm / radius
    frame = rigid(np.column_stack([np.cross(y, z), y, z]), centre)
    step = 2 * np.arccos(1 - _CHORD_MM / radius)
    angles = np.linspace(1, -1, 2 * int(np.ceil(np.radians(half_angle_deg) / step)) + 1) * np.radians(half_angle_deg)
    return SheetCut(name, frame, radius * np.stack([-np.sin(angles), np.cos(angles)], axis=1), kerf_mm)
