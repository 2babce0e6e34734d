"""A screw in any bone, between two regions that the user marks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, rigid, unit
from MSKFusionLib.segmentation.labels import Segmentation

from ...bone.joined import joined_field
from ...bone.region import Region
from ..corridor import LineFamily
from .description import FREE_FAMILY, Site
from .plan_corridor import PlannedCorridor, plan_in
from .sacral import Problem

_ROOM_MM = 14.0
_FARTHEST_MM = 220.0
_LARGEST_MM = 25.0
_MOST_NODES = 2.5e6


def free_site(
    diameters_mm: Sequence[float], lengths_mm: Sequence[float], *, clearance_mm: float = 1.0, title: str = "Free"
) -> Site:
    """Return the description of a site that the user marks: what screws there are, and how much bone is wished round them."""
    return Site(
        name="free",
        title=title,
        family=FREE_FAMILY,
        level=1,
        source="the user's own choice",
        anterior_deg=(-70.0, 70.0),
        cranial_deg=(-70.0, 70.0),
        start_half_mm=(1.0, 1.0),
        end_half_mm=(1.0, 1.0),
        diameters_mm=tuple(sorted(float(d) for d in diameters_mm)),
        lengths_mm=tuple(sorted(float(d) for d in lengths_mm)),
        clearance_mm=clearance_mm,
        nerve_distance_mm=clearance_mm,
    )


def plan_free(
    segmentation: Segmentation,
    bones: Sequence[str],
    entry_ras: ArrayLike,
    entry_radius_mm: float,
    target_ras: ArrayLike,
    target_radius_mm: float,
    site: Site,
    *,
    joints: Sequence[tuple[str, str]] = (),
    step_mm: float | None = None,
) -> PlannedCorridor:
    """Plan the widest straight corridor from one region to another.

    Parameters
    ----------
    bones
        Names of the segments that the screw may run in.
    entry_ras, target_ras
        Middles (3,) of the regions, RAS mm. The entry region lies in bone, under the cortex that is pierced: what is
        behind it, up to 40 mm, is followed to the surface but does not count for the corridor.
    entry_radius_mm, target_radius_mm
        Half sides of the squares across the line between the middles in which a line may start and end.
    joints
        Pairs of bones between which it may cross a joint.
    step_mm
        Of the map; None takes what keeps it at some millions of points, 0.4 to 0.9 mm. Along the middle of a bone the map is
        too low by up to 0.4 steps.

    Raises
    ------
    InputError
        When a region makes no sense, a bone is not there, or no bone lies near.
    GeometryError
        When a region lies outside all bones.
    """
    entry, target = (_point(p) for p in (entry_ras, target_ras))
    apart = float(np.linalg.norm(target - entry))
    if not 8.0 <= apart <= _FARTHEST_MM:
        raise InputError(f"the two regions are {apart:.0f} mm apart", "Mark them 8 to 220 mm apart.", where=site.title)
    for radius in (entry_radius_mm, target_radius_mm):
        if not 0.5 <= radius <= _LARGEST_MM:
            raise InputError(
                f"a region of {radius:g} mm", f"Give a radius of 0.5 to {_LARGEST_MM:g} mm.", where=site.title
            )
    names = [s.name for s in segmentation.segments]
    missing = [n for n in bones if n not in names]
    if missing or not bones:
        raise InputError(f"there is no segment {missing[:1]}", f"There are: {', '.join(names)}.", where=site.title)
    axis = unit(target - entry)
    u, v = perpendicular_axes(axis)
    frame = rigid(np.stack([u, v, axis], axis=1), entry)
    side = max(entry_radius_mm, target_radius_mm) + _ROOM_MM
    region = Region(frame, np.array([-side, -side, -40.0]), np.array([side, side, apart + 30.0]))
    if step_mm is None:
        step_mm = float(np.clip(np.cbrt(np.prod(region.upper - region.lower) / _MOST_NODES), 0.4, 0.9))
    solid = joined_field(segmentation, bones, region, joints=joints, joint_gap_mm=site.joint_gap_mm, step_mm=step_mm)
    family = LineFamily(entry, target, u, v, (entry_radius_mm, entry_radius_mm), (target_radius_mm, target_radius_mm))
    for name, point, radius in (("entry", entry, entry_radius_mm), ("target", target, target_radius_mm)):
        if float(solid.depth_mm(point)) < -np.sqrt(2.0) * radius:
            raise GeometryError(f"the {name} region lies outside bone", "Mark it in bone.", where=site.title)
    return plan_in(Problem(solid, solid, family), site, "", through=False)


def _point(value: ArrayLike) -> FloatArray:
    point = np.asarray(value, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise InputError("a point is three numbers in RAS mm", where="free site")
    return point
