"""Screws of the upper cervical spine, between two points that the user places: its bones have no frame of their own here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, rigid, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ...bone.joined import joined_field
from ...bone.region import Region
from ...plan import Screw
from ..corridor import LineFamily
from ..error_budget import ErrorBudget
from ..structures import margin_mm
from .describe import Place, described_corridor
from .description import MARKED_FAMILY, MARKS, Site
from .plan_corridor import plan_in
from .sacral import Problem

_STEP_MM = 0.4
_ROOM_MM, _BEHIND_MM, _BEYOND_MM = 8.0, 20.0, 12.0
_APART_MM = (8.0, 45.0)
#: A point lies no farther from the bone, a screw of these sites runs forwards by at least this share, and its target lies on its side
#: of the bone's middle.
_OFF_MM, _LEAST_FORWARDS = 4.0, 0.35
#: A vertebra's ring encloses at least so much in one of its slices, mm2.
_CANAL_MM2 = 80.0


def plan_marked(
    site: Site,
    segmentation: Segmentation,
    side: str,
    *,
    placed: Mapping[str, FloatArray],
    ct: Volume | None = None,
    budget: ErrorBudget | None = None,
) -> Screw | str:
    """Plan the screw of a site between an entry and a target that the user placed: the widest line near them, and what fits it.

    Parameters
    ----------
    placed
        `description.MARKS` of this side, RAS mm.

    Returns
    -------
    The screw, or why there is none.

    Raises
    ------
    InputError, GeometryError
        When the bone or a point is missing, a point lies off the bone or on the other side, or the bone shows no canal.
    """
    if site.family != MARKED_FAMILY:
        raise InputError(f"'{site.family}' does not run between placed points", where=site.name)
    names = {s.name.upper(): s.name for s in segmentation.segments}
    if site.bone.upper() not in names:
        known = ", ".join(s.name for s in segmentation.segments)
        raise InputError(f"there is no segment '{site.bone}'", f"There are: {known}.", where=site.name)
    name = names[site.bone.upper()]
    missing = [mark for mark in MARKS if mark not in placed]
    if missing:
        raise InputError(
            f"the anatomy of {name} is not found by itself, and '{missing[0]}' is not placed",
            "Place 'entry' and 'target' for one side (--landmarks, --side).",
            where=site.name,
        )
    entry, target = placed["entry"], placed["target"]
    _check(segmentation, name, side, entry, target, site)
    axis = unit(target - entry)
    u, v = perpendicular_axes(axis)
    half = np.max([site.start_half_mm, site.end_half_mm], axis=0) + _ROOM_MM
    apart = float(np.linalg.norm(target - entry))
    region = Region(
        rigid(np.stack([u, v, axis], axis=1), entry),
        np.array([*-half, -_BEHIND_MM]),
        np.array([*half, apart + _BEYOND_MM]),
    )
    solid = joined_field(segmentation, [name], region, step_mm=_STEP_MM)
    family = LineFamily(entry, target, u, v, site.start_half_mm, site.end_half_mm)
    found = plan_in(Problem(solid, solid, family), site, side, through=False)
    labelled = [s.name.lower() for s in segmentation.segments if margin_mm(s.name, s.kind) is not None]
    remarks = [f"between the points that the user placed in {name}"]
    if not any("artery" in structure for structure in labelled):
        remarks.append("the vertebral artery is not labelled: its distance is not known, only the bone about the screw")
    if found.screw is None:
        return "; ".join((found.message.partition(": ")[2] or found.message, *remarks))
    return described_corridor(found, site, Place(f"{site.title} {side}", name, side, np.eye(3)), ct, budget, remarks)


def _check(segmentation: Segmentation, name: str, side: str, entry: FloatArray, target: FloatArray, site: Site) -> None:
    labels, mask = segmentation.labels, segmentation.mask(name)
    points = transform_points(labels.ijk_to_ras, np.argwhere(mask)[:, ::-1])
    if not len(points):
        raise InputError("this segment has no voxels", "Segment it again.", where=name)
    for mark, point in (("entry", entry), ("target", target)):
        off = float(np.linalg.norm(points - point, axis=1).min())
        if off > _OFF_MM:
            raise GeometryError(f"'{mark}' lies {off:.0f} mm from {name}", "Place it in the bone.", where=site.name)
    apart = float(np.linalg.norm(target - entry))
    if not _APART_MM[0] <= apart <= _APART_MM[1]:
        raise InputError(f"entry and target are {apart:.0f} mm apart", "Place them 8 to 45 mm apart.", where=site.name)
    middle = 0.5 * (points[:, 0].min() + points[:, 0].max())
    if (entry[0] > middle) != (side == "right"):
        raise GeometryError(
            f"'entry' does not lie on the {side} of {name}",
            "Left and right are swapped, or --side is wrong.",
            where=site.name,
        )
    if float(unit(target - entry)[1]) < _LEAST_FORWARDS:
        raise GeometryError(
            "from entry to target the screw does not run forwards", "Are the two points swapped?", where=site.name
        )
    if _largest_hole_mm2(labels, mask) < _CANAL_MM2:
        raise GeometryError(
            f"the label of {name} shows no canal",
            "A label that is filled or cut is not sure enough for screws.",
            where=name,
        )


def _largest_hole_mm2(labels: Volume, mask: np.ndarray) -> float:
    """Return the largest area that a ring of bone encloses in the label's slices, along the axis that is nearest to superior."""
    upright = int(np.abs(labels.directions_ras[2]).argmax())
    axis = 2 - upright
    kji = np.argwhere(mask)
    low, high = kji.min(axis=0), kji.max(axis=0) + 1
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    across = np.delete(labels.spacing_mm, upright)
    areas = [
        np.count_nonzero(ndimage.binary_fill_holes(s) & ~s)
        for s in (part.take(n, axis) for n in range(part.shape[axis]))
    ]
    return float(max(areas) * across[0] * across[1])
