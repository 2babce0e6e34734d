"""One headless screw along a scaphoid, in the middle of the bone, sunk at both ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, rigid, unit
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ...anatomy.pelvic_bones import label_hole
from ...anatomy.scaphoid import ScaphoidAxis, scaphoid_axis
from ...bone.depth_field import DepthField
from ...bone.joined import joined_field
from ...bone.region import Region
from ...plan import Screw
from ..candidate_lines import Choice
from ..corridor import Corridor, LineFamily, polished_corridor, widest_corridor
from ..error_budget import ErrorBudget
from ..safety import assess_screw
from .describe import Place, described_choice
from .description import SCAPHOID_FAMILY, Site

_STEP_MM = 0.35
_ROOM_MM = 6.0
#: So much of the bone at either end belongs to where a line may start and end.
_END_SHARE = 0.2
_SAMPLE_MM = 0.2
_DIRECTIONS = 24
#: Off the middle by more than this share of the half width a screw has left the central third.
_CENTRAL = 1.0 / 3.0
_GAP_MM = 0.1
_SHORT_MM = 0.08


def scaphoid_segments(segmentation: Segmentation) -> dict[str, str]:
    """Return the names of the scaphoids of a segmentation by side (``left``, ``right``, or empty where the name does not say).

    Raises
    ------
    InputError
        When there is none, one is in fragments, or two have one side.
    """
    found: dict[str, str] = {}
    for segment in segmentation.segments:
        words = segment.name.lower().replace("_", " ").replace(",", " ").split()
        if "scaphoid" not in words:
            continue
        if "fragment" in words:
            raise InputError(
                "the scaphoid is in fragments",
                "Reduce them first and plan on the one bone that they make.",
                where=segment.name,
            )
        side = next((s for s in ("left", "right") if s in words), "")
        if side in found:
            raise InputError(f"there are two scaphoids '{found[side]}' and '{segment.name}'", where="scaphoid")
        found[side] = segment.name
    if not found:
        known = ", ".join(s.name for s in segmentation.segments)
        raise InputError("there is no segment called scaphoid", f"There are: {known}.", where="scaphoid")
    return found


def sides_of_scaphoids(segmentation: Segmentation, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sides to plan: those that were asked for, else those that there are; empty text where no name says its side.

    Where there is none, or what there is cannot be planned on, one side is left, whose planning says why.
    """
    try:
        known = tuple(scaphoid_segments(segmentation))
    except InputError:
        return asked or ("",)
    return ("",) if known == ("",) else asked or known


def plan_scaphoid(
    site: Site,
    segmentation: Segmentation,
    side: str,
    *,
    placed: Mapping[str, FloatArray] | None = None,
    ct: Volume | None = None,
    budget: ErrorBudget | None = None,
) -> Screw | str:
    """Plan the screw of one scaphoid: on the line that keeps farthest from the cortex all along, as long as its ends stay sunk.

    Parameters
    ----------
    placed
        Poles that the user placed (`anatomy.scaphoid.LANDMARKS`), RAS mm.

    Returns
    -------
    The screw, or why there is none.

    Raises
    ------
    InputError, GeometryError
        When the bone is missing or does not show what is needed.
    """
    if site.family != SCAPHOID_FAMILY:
        raise InputError(f"'{site.family}' is not planned in a scaphoid", where=site.name)
    bones = scaphoid_segments(segmentation)
    if side not in bones:
        raise InputError(f"there is no {side} scaphoid", f"There are: {', '.join(bones.values())}.", where=site.name)
    name = bones[side]
    axis = scaphoid_axis(segmentation, name, placed)
    solid, family = _search_space(site, segmentation, name, axis)
    corridor = polished_corridor(solid, family, widest_corridor(solid, family, gap_mm=_GAP_MM))
    found = _longest(solid, corridor, site)
    hole = label_hole(segmentation, name)
    width = f"the widest corridor is {2 * corridor.clearance_mm:.1f} mm (no other is wider than {2 * corridor.bound_mm:.1f} mm)"
    if found is None:
        words = (
            f"no screw fits: {width}, and {site.diameters_mm[0]:g} x {site.lengths_mm[0]:g} mm need "
            f"{site.needed_width_mm:.1f} mm over their length with {site.tip_margin_mm:g} mm of bone before and behind"
        )
        return f"{words}; {hole}" if hole else words
    choice, sunk_mm, beyond_mm = found
    worst, where = central_share(solid, choice)
    notes = [
        width,
        f"sunk {sunk_mm:.1f} mm under the bone's surface where it enters, {beyond_mm:.1f} mm of bone before its tip; "
        f"the bone is {choice.length_mm + sunk_mm + beyond_mm:.0f} mm long on this line",
        f"within the central third all along (off the middle by {worst:.2f} of the half width at most)"
        if worst <= _CENTRAL
        else f"leaves the central third {where:.0f} mm along it (off the middle by {worst:.2f} of the half width)",
        axis.told_by,
        "the plan does not know the fracture, and the wrist is bent for this way: bones in it are not counted",
    ]
    place = Place(f"{site.title.split(',')[0]} {side}".strip(), name, side, np.eye(3))
    remarks = [*notes, hole] if hole else notes
    screw = described_choice(choice, solid, site, place, ct, budget, remarks, counted_from_mm=0.0)
    return replace(screw, largest_diameter_mm=max(0.0, 2 * (corridor.clearance_mm - site.clearance_mm)))


def _search_space(
    site: Site, segmentation: Segmentation, name: str, axis: ScaphoidAxis
) -> tuple[DepthField, LineFamily]:
    """Return depth and lines: from one end of the bone to the other, within the ends' middles."""
    ends = [axis.proximal_ras, axis.distal_ras]
    if site.start_place == "distal_pole":
        ends.reverse()
    way = unit(ends[1] - ends[0])
    u, v = perpendicular_axes(way)
    half = np.max([site.start_half_mm, site.end_half_mm], axis=0)
    box = rigid(np.stack([u, v, way], axis=1), ends[0])
    low = np.array([*(-half - _ROOM_MM), -_ROOM_MM])
    high = np.array([*(half + _ROOM_MM), axis.length_mm + _ROOM_MM])
    solid = joined_field(segmentation, [name], Region(box, low, high), step_mm=_STEP_MM)
    inside = _END_SHARE * axis.length_mm
    family = LineFamily(ends[0] + inside * way, ends[1] - inside * way, u, v, site.start_half_mm, site.end_half_mm)
    return solid, family


def _longest(solid: DepthField, corridor: Corridor, site: Site) -> tuple[Choice, float, float] | None:
    """Return the thickest screw of a line, of those the longest, in the middle of the bone along it; with what is left at its ends."""
    way = unit(corridor.end_ras - corridor.start_ras)
    middle = 0.5 * (corridor.start_ras + corridor.end_ras)
    t = np.arange(-40.0, 40.0, _SAMPLE_MM)
    depth = solid.depth_mm(middle + t[:, None] * way)
    zero = int(np.argmin(np.abs(t)))
    if depth[zero] <= 0:
        return None
    outside = np.flatnonzero(depth <= 0)
    first, last = outside[outside < zero], outside[outside > zero]
    if not len(first) or not len(last):
        return None
    enters, leaves = float(t[first[-1]]), float(t[last[0]])
    for diameter in reversed(site.diameters_mm):
        if diameter / 2 + site.clearance_mm > corridor.clearance_mm + 0.01:
            continue
        for length in reversed(site.lengths_mm):
            spare = leaves - enters - length
            if spare < 2 * site.tip_margin_mm:
                continue
            start = middle + (enters + 0.5 * spare) * way
            choice = Choice(start, start + length * way, diameter, length)
            safety = assess_screw(solid.depth_mm, choice.entry_ras, choice.tip_ras, diameter, counted_from_mm=0.0)
            if safety.clearance_mm >= site.clearance_mm - _SHORT_MM:
                return choice, 0.5 * spare, 0.5 * spare
    return None


def central_share(solid: DepthField, choice: Choice) -> tuple[float, float]:
    """Return by which share of the half width a screw is off the middle of the bone at worst, and where along it (mm).

    Across the screw, every millimetre, the bone's extent is measured both ways in 12 directions: 0 is the middle, a third the edge of
    the central third.
    """
    axis = unit(choice.tip_ras - choice.entry_ras)
    u, v = perpendicular_axes(axis)
    angle = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
    aside = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v
    along = np.arange(0.0, choice.length_mm + 0.01, 1.0)
    r = np.arange(0.0, 25.0, _SAMPLE_MM)
    points = choice.entry_ras + along[:, None, None, None] * axis + r[:, None] * aside[:, None, :]
    out = solid.depth_mm(points) <= 0
    extent = np.where(out.any(axis=-1), r[out.argmax(axis=-1)], r[-1])
    opposite = np.roll(extent, _DIRECTIONS // 2, axis=1)
    share = np.abs(extent - opposite) / np.maximum(extent + opposite, 1e-6)
    worst = share.max(axis=1)
    n = int(worst.argmax())
    return float(worst[n]), float(along[n])
