"""Screws in the hip bone, and through the sacrum's wing into it: lines between two places of the pelvis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, rigid, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation

from ...anatomy.pelvis import HIPS, SACRUM
from ...anatomy.pelvis_landmarks import PelvicPlaces
from ...bone.joined import joined_field
from ...bone.region import Region
from ..corridor import Approach, LineFamily
from .description import HIP_FAMILY, Site, load_site
from .plan_corridor import PlannedCorridor, plan_in
from .sacral import Problem

_ROOM_MM = 10.0
#: Behind the corridor's start, for the entry.
_BEHIND_MM = 32.0
_STEP_MM = 0.8
#: A place that a user puts lies no farther from its bone.
_PLACED_OFF_MM = 12.0
#: The way of drill and screwdriver to the entry: from where the corridor starts, and beside it.
_WAY_MM, _WAY_RADIUS_MM, _WAY_ASIDE_MM, _WAY_STEP_MM = 80.0, 4.0, 45.0, 2.0


def plan_hip(
    site: Site | str | Path, segmentation: Segmentation, places: PelvicPlaces, side: str = "right"
) -> PlannedCorridor:
    """Plan the screw of a hip bone's site.

    Raises
    ------
    InputError
        When the site or the side is none of these.
    GeometryError
        When a place that the site needs was not found.
    """
    what = site if isinstance(site, Site) else load_site(site)
    return plan_in(hip_problem(what, segmentation, places, side), what, side, through=False)


def hip_problem(site: Site, segmentation: Segmentation, places: PelvicPlaces, side: str) -> Problem:
    """Return field and lines of a hip bone's site; see `plan_hip`."""
    if site.family != HIP_FAMILY:
        raise InputError(f"'{site.family}' does not run between places of the hip bone", where=site.name)
    if side not in HIPS:
        raise InputError(f"'{side}' is no side", "Give left or right.", where=site.name)
    here = places.places[side]
    for name in (site.start_place, site.end_place):
        if name not in here:
            raise _not_found(name, site)
    way = here[site.end_place] - here[site.start_place]
    axis = unit(way)
    start = here[site.start_place] + site.start_inside_mm * axis
    end = here[site.end_place] - site.end_inside_mm * axis
    apart = float((end - start) @ axis)
    if apart < 20.0:
        raise GeometryError(
            "the places of the hip bone are too near to each other", "Check the labels.", where=site.name
        )
    # The second axis is as vertical as it can be, so that the regions stand upright in the pelvis.
    up = places.frame_to_ras[:3, 2]
    v = unit(up - (up @ axis) * axis) if abs(up @ axis) < 0.95 else perpendicular_axes(axis)[1]
    u = np.cross(v, axis)
    half = np.max([site.start_half_mm, site.end_half_mm], axis=0)
    lower = np.array([-half[0] - _ROOM_MM, -half[1] - _ROOM_MM, -_BEHIND_MM])
    upper = np.array([half[0] + _ROOM_MM, half[1] + _ROOM_MM, apart + 20.0])
    region = Region(rigid(np.stack([u, v, axis], axis=1), start), lower, upper)
    names = [HIPS[side], SACRUM] if site.through_joint else [HIPS[side]]
    joints = [(HIPS[side], SACRUM)] if site.through_joint else []
    solid = joined_field(segmentation, names, region, joints=joints, joint_gap_mm=site.joint_gap_mm, step_mm=_STEP_MM)
    approach = _approach(segmentation, [HIPS[s] for s in HIPS if s != side], region)
    return Problem(solid, solid, LineFamily(start, end, u, v, site.start_half_mm, site.end_half_mm, approach=approach))


def _not_found(place: str, site: Site) -> GeometryError:
    if place == "sacral_dorsum":
        return GeometryError(f"the place '{place}' was not found", "Give the sacrum's frame.", where=site.name)
    return GeometryError(
        "the front edge of the hip bone shows no anterior inferior iliac spine",
        "Place 'aiis' on it (--landmarks).",
        where=site.name,
    )


def placed_on(
    places: PelvicPlaces, segmentation: Segmentation, side: str, points_ras: Mapping[str, FloatArray]
) -> PelvicPlaces:
    """Return the places with those that a user put on the hip bone of a side.

    Raises
    ------
    GeometryError
        When one lies away from that bone.
    """
    if not points_ras:
        return places
    labels = segmentation.labels
    kji = np.argwhere(segmentation.mask(HIPS[side]))[::7]
    tree = cKDTree(transform_points(labels.ijk_to_ras, kji[:, ::-1]))
    for name, point in points_ras.items():
        away = float(tree.query(point)[0])
        if name != "sacral_dorsum" and away > _PLACED_OFF_MM:
            raise GeometryError(
                f"the landmark '{name}' lies {away:.0f} mm from the {side} hip bone",
                "Say --side, and place it on the bone.",
                where="landmarks",
            )
    return places.placed(side, points_ras)


def _approach(segmentation: Segmentation, others: list[str], region: Region) -> Approach | None:
    """Return the bones that the drill must pass: at the symphysis the other hip bone faces the entry."""
    aside = np.array([_WAY_ASIDE_MM, _WAY_ASIDE_MM, 0.0])
    lower = region.lower - aside - np.array([0.0, 0.0, _WAY_MM - _BEHIND_MM])
    behind = Region(region.frame_to_ras, lower, np.append((region.upper + aside)[:2], 0.0))
    labels, nodes = segmentation.labels, behind.nodes_ras(_WAY_STEP_MM)
    ijk = np.rint(transform_points(labels.ras_to_ijk, nodes)).astype(int)
    i, j, k = np.moveaxis(np.clip(ijk, 0, np.array(labels.shape_ijk) - 1), -1, 0)
    there = np.isin(labels.voxels[k, j, i], [segmentation[name].value for name in others])
    there &= np.all((ijk >= 0) & (ijk < np.array(labels.shape_ijk)), axis=-1)
    if not there.any():
        return None
    depth = -signed_distance_mm(there, np.full(3, _WAY_STEP_MM))
    return Approach(behind.field(depth.astype(np.float32), _WAY_STEP_MM), _WAY_MM, _WAY_RADIUS_MM)
