"""Whether a straight saw can make a cut of a resection from the side that the surgeon comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, rotation_about, unit

from .plane import Plane
from .resection_site import ResectionSite

_RASTER_MM = 1.5
#: The saw may be turned in its plane by so much from the straightest way in.
_TURNS_DEG = (0.0, -15.0, 15.0, -30.0, 30.0)
#: Bone that a saw may nick beside the specimen: corners of the raster, mm2.
NICK_MM2 = 9.0
_SKIN_MM = 0.4
#: Obstacles are looked for so far before the bone.
_BEFORE_MM = 120.0


@dataclass(frozen=True, eq=False)
class SawPath:
    """How the saw makes one cut.

    Parameters
    ----------
    direction_ras
        Unit vector in which the blade goes in.
    depth_mm
        From where it meets the bone to the end of the cut.
    off_approach_deg
        How far the direction is from the approach.
    """

    direction_ras: FloatArray
    depth_mm: float
    off_approach_deg: float


def saw_path(
    site: ResectionSite,
    planes: Sequence[Plane],
    number: int,
    travel_ras: FloatArray,
    widest_deg: float,
    nick_mm2: float = NICK_MM2,
) -> SawPath | None:
    """Return the free way of the saw for one of the planes, or None where there is none.

    A way is free when, before it reaches the cut, the blade meets no bone that is to stay and no obstacle. The blade stops
    where the cut ends.

    Parameters
    ----------
    planes
        Their normals look away from what goes.
    travel_ras
        Unit vector from the surgeon to the bone.
    widest_deg
        How far the saw may lie from it.
    nick_mm2
        Bone that is to stay, and obstacle, that the raster may show in the way: its corners.
    """
    plane = planes[number]
    n = plane.normal_ras
    flat = travel_ras - (travel_ras @ n) * n
    if np.linalg.norm(flat) < 0.2:
        return None
    straight = unit(flat)
    for turn in _TURNS_DEG:
        s = rotation_about(n, turn) @ straight
        off = float(np.degrees(np.arccos(np.clip(s @ travel_ras, -1, 1))))
        if off > widest_deg + 1e-6:
            continue
        depth = _free_depth(site, planes, number, s, nick_mm2)
        if depth is not None:
            return SawPath(s, depth, off)
    return None


def _free_depth(
    site: ResectionSite, planes: Sequence[Plane], number: int, s: FloatArray, nick_mm2: float
) -> float | None:
    """Return how deep the blade goes along `s`, or None where it would meet what must stay."""
    plane = planes[number]
    across = np.cross(plane.normal_ras, s)
    step = site.field.step_mm
    near = site.cells_ras[np.abs(plane.height_mm(site.cells_ras)) < 1.5 * step]
    if not len(near):
        return 0.0
    local = (near - plane.point_ras) @ np.stack([s, across], axis=1)
    low, high = local.min(axis=0) - 2 * step, local.max(axis=0) + 2 * step
    if site.obstacles:
        low[0] -= _BEFORE_MM
    a = np.arange(low[0], high[0] + _RASTER_MM, _RASTER_MM)
    b = np.arange(low[1], high[1] + _RASTER_MM, _RASTER_MM)
    places = plane.point_ras + a[:, None, None] * s + b[None, :, None] * across
    bone = site.field.depth_mm(places) > _SKIN_MM
    within = np.ones(bone.shape, dtype=bool)
    for other, p in enumerate(planes):
        if other != number:
            within &= p.height_mm(places) <= _RASTER_MM / 2
    cut = bone & within & _of_specimen(site, planes, places)
    if not cut.any():
        return 0.0
    # From the far end towards the surgeon: whether a cut lies farther along each line.
    beyond = np.maximum.accumulate(cut[::-1], axis=0)[::-1]
    if np.count_nonzero(beyond & bone & ~within) * _RASTER_MM**2 > nick_mm2:
        return None
    for obstacle in site.obstacles:
        if np.count_nonzero(beyond & (obstacle.depth_mm(places) > _SKIN_MM)) * _RASTER_MM**2 > nick_mm2:
            return None
    first, last = cut.argmax(axis=0), len(a) - 1 - cut[::-1].argmax(axis=0)
    return float(((last - first + 1) * _RASTER_MM)[cut.any(axis=0)].max())


def _of_specimen(site: ResectionSite, planes: Sequence[Plane], places: FloatArray) -> np.ndarray:
    """Return which places (..., 3) lie beside cells of the part that goes, not of bone that the planes merely cross."""
    inside = np.all([p.height_mm(site.cells_ras) <= 0.5 * site.field.step_mm for p in planes], axis=0)
    part = site.part_with_zone(inside)
    if part.sum() == inside.sum():
        return np.ones(places.shape[:-1], dtype=bool)
    ijk = np.rint(site.field.to_ijk(places)).astype(int)
    last = np.array(site.field.shape_ijk) - 1
    i, j, k = np.clip(ijk, 0, last).transpose(-1, *range(ijk.ndim - 1))
    cell = site.cell_grid[k, j, i]
    return (cell >= 0) & part[np.maximum(cell, 0)]
