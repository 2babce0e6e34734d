"""Whether a cutting guide does what it is for: measured on the finished mesh, not taken from its construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from vtkmodules.vtkCommonCore import mutable
from vtkmodules.vtkCommonDataModel import vtkStaticCellLocator

from MSKFusionLib.frames import FloatArray

from ..mesh import Mesh
from ..plan import Check, GuideScrew
from .checks import point
from .cut_options import CuttingGuideOptions
from .cut_seat import CutSeat
from .field import Distance
from .fit import Fit
from .guide_checks import Bones, bore_checks, nearest_on_way, seated_checks
from .mesh_distance import MeshDistance
from .sleeve import Sleeve
from .slot import Slot
from .stability import GAP_MM, Stability

#: A face of the slot may be this far from its plane (issue 7).
SLOT_ERROR_MM = 0.02
#: On its way off the guide is nowhere nearer to the bone than where it sits, less this.
SWEEP_ERROR_MM = 0.02
#: Play per 0.1 mm of gap above which the guide has no seat of its own: it slides or rocks.
MOST_SLIDE_MM, MOST_ROCK_DEG = 3.0, 3.0
#: The slot is measured this far inside its rims.
_RIM_MM = 0.6
#: Nearer to the bone than this a ray across the slot may pass below the guide's edge.
_OFF_BONE_MM = 2.0
#: A wall counts from this far above its rim; a face is looked for so far beyond where it should be.
_ABOVE_RIM_MM, _LOOK_BEYOND_MM = 1.0, 0.5


def check_cutting_guide(
    guide: Mesh,
    without_letters: Mesh,
    seat: CutSeat,
    fit: Fit,
    play: Stability,
    options: CuttingGuideOptions,
    bones: Bones,
    holes: Sequence[GuideScrew] = (),
) -> tuple[tuple[Check, ...], float]:
    """Return all checks of a cutting guide, and its least wall in mm (letters left out); `holes` as they were asked for."""
    checks, wall = seated_checks(guide, without_letters, fit, options, seat.outward_ras, bones, way_off=sweep_check)
    if not guide.is_closed:
        return tuple(checks), wall
    checks += stability_checks(play)
    checks.append(slot_check(guide, seat.slot, bones.bone))
    if seat.slot.open_ledge:
        checks.append(open_side_check(guide, seat.slot))
    body = MeshDistance(guide)
    checks.append(way_of_saw(body, seat.slot, bones, options))
    for wire in seat.wires:
        checks += bore_checks(guide, body, wire, bones, options.wire_diameter_mm)
        checks.append(_off_cut(wire, options.wire_depth_mm, "wire", seat.slot, options))
    for hole, asked in zip(seat.holes, holes, strict=True):
        checks += bore_checks(guide, body, hole, bones, options.wire_diameter_mm)
        depth = float(np.linalg.norm(np.subtract(asked.tip_ras, hole.entry_ras)))
        checks.append(_off_cut(hole, depth, "hole", seat.slot, options))
    return tuple(checks), wall


def sweep_check(guide: Mesh, distance: Distance, fit: Fit, outward_ras: FloatArray) -> Check:
    """Take the guide off by steps of 0.1 mm: nowhere nearer to the bone than where it sits, but for 0.02 mm."""
    limit = fit.least_mm - SWEEP_ERROR_MM
    least, at = nearest_on_way(guide, distance, outward_ras, limit)
    good = least >= limit
    words = "comes off along its insertion direction by steps of 0.1 mm, nowhere nearer to the bone than where it sits"
    if not good:
        words = f"catches on the bone on its way off: {fit.least_mm - least:.3f} mm nearer than where it sits"
    found = None if not np.isfinite(least) else least
    return Check("insertion sweep", good, found, limit, "mm", words, None if good else point(at))


def stability_checks(play: Stability) -> list[Check]:
    """Return the play that the contact leaves; told, never refused: wires hold the guide."""
    words = (
        f"per {GAP_MM} mm of gap it slides {play.slide_mm:.2f} mm, turns {play.turn_deg:.1f} and rocks "
        f"{play.rock_deg:.1f} degrees at most"
    )
    slide, rock = play.slide_mm <= MOST_SLIDE_MM, max(play.rock_deg, play.turn_deg) <= MOST_ROCK_DEG
    lame = ": without its wires the bone gives it no seat; place them first"
    return [
        Check("slide", True, play.slide_mm, MOST_SLIDE_MM, "mm", words + ("" if slide else lame)),
        Check(
            "rock", True, max(play.rock_deg, play.turn_deg), MOST_ROCK_DEG, "degrees", words + ("" if rock else lame)
        ),
    ]


def slot_check(guide: Mesh, slot: Slot, bone: Distance, low_mm: float | None = None) -> Check:
    """Measure both faces of the slot by rays from its middle plane.

    Parameters
    ----------
    low_mm
        From this height in the slot's frame up, as where the blade is to be led; None: wherever there is a wall.
    """
    points = slot.middle_points(0.7, slot.low_mm if low_mm is None else low_mm, slot.top_mm - _RIM_MM)
    local = slot.local(points)
    points = points[(bone.distance_mm(points) > _OFF_BONE_MM) & (np.abs(local[:, 0]) < slot.width_mm / 2 - _RIM_MM)]
    cast = _Rays(guide, slot)
    worst, at, count = 0.0, None, 0
    for sign in (-1.0, 1.0):
        for place in points:
            reached = cast.reach_mm(place, sign)
            # Where the wall has ended a little nearer to the bone, the ray passes its rim.
            if reached is None or cast.reach_mm(place - _ABOVE_RIM_MM * slot.outward_ras, sign) is None:
                continue
            count += 1
            error = abs(reached - slot.thickness_mm / 2)
            if error > worst:
                worst, at = error, place + sign * reached * slot.normal_ras
    if not count:
        return Check(slot.what, False, None, SLOT_ERROR_MM, "mm", f"{slot.name}: no {slot.what} is there")
    good = worst <= SLOT_ERROR_MM
    faces = "the face of the ledge" if slot.open_ledge else "both faces of the slot"
    words = f"{slot.name}: {faces} within {worst:.4f} mm of the plane at {count} places"
    return Check(slot.what, good, worst, SLOT_ERROR_MM, "mm", words, None if good else point(at))


def open_side_check(guide: Mesh, slot: Slot) -> Check:
    """Look whether all of the guide stands behind the face of its ledge."""
    heights = slot.local(guide.vertices_ras)[:, 1] - slot.thickness_mm / 2
    least, at = float(heights.min()), guide.vertices_ras[int(heights.argmin())]
    good = least >= -SLOT_ERROR_MM
    words = f"{slot.name}: nothing stands before the ledge"
    if not good:
        words = f"{slot.name}: the guide stands {-least:.2f} mm before its ledge"
    return Check("open side", good, least, -SLOT_ERROR_MM, "mm", words, None if good else point(at))


class _Rays:
    """Rays from the middle plane of a slot straight to its faces."""

    def __init__(self, guide: Mesh, slot: Slot) -> None:
        self._data = guide.to_polydata()
        self._locator = vtkStaticCellLocator()
        self._locator.SetDataSet(self._data)
        self._locator.BuildLocator()
        self._normal, self._look = slot.normal_ras, slot.thickness_mm / 2 + _LOOK_BEYOND_MM

    def reach_mm(self, place: FloatArray, sign: float) -> float | None:
        """Return how far a ray along the normal (`sign` 1) or against it goes; None where no face is near."""
        t: Any = mutable(0.0)  # VTK's types know no number that a method writes
        sub: Any = mutable(0)
        cell: Any = mutable(0)
        x, coords = [0.0] * 3, [0.0] * 3
        end = place + sign * self._look * self._normal
        hit = self._locator.IntersectWithLine(place.tolist(), end.tolist(), 0.0, t, x, coords, sub, cell)
        return float(t) * self._look if hit else None


def way_of_saw(guide: Distance, slot: Slot, bones: Bones, options: CuttingGuideOptions) -> Check:
    """Look at the blade's whole way from outside to the bone: no guide, no neighbour, no other part of the bone in it."""
    half = options.blade_thickness_mm / 2
    on_guide = half - SLOT_ERROR_MM if slot.open_ledge else half  # on a ledge it lies
    inner = slot.middle_points(0.7, slot.low_mm, slot.top_mm + 40.0)
    outside = inner[bones.bone.distance_mm(inner) > 0.3]
    ends = np.abs(slot.local(outside)[:, 0]) < slot.width_mm / 2 - half - 0.05
    room, at = np.inf, None
    words = f"{slot.name}: nothing lies in the way of the blade"
    above = slot.middle_points(0.7, slot.top_mm, slot.top_mm + 40.0)
    looks: list[tuple[Distance, FloatArray, float, str]] = [
        (guide, outside[ends], on_guide, "the blade rubs on the guide"),
        *((n, outside, half, "the blade meets a neighbouring bone before its entry") for n in bones.neighbours),
        (bones.bone, above, half, f"bone stands above the {slot.what}"),
    ]
    for distance, points, off, wrong in looks:
        d = distance.distance_mm(points) - off
        low = np.flatnonzero(d <= 0)
        if len(low):  # told by the quick distance, so asked once more exactly
            d[low] = distance.distance_and_gradient(points[low])[0] - off
        if d.min(initial=np.inf) < room:
            room, at = float(d.min()), points[int(d.argmin())]
            if room <= 0:
                words = f"{slot.name}: {wrong}"
    return Check("way of the saw", room > 0, room, 0.0, "mm", words, None if room > 0 else point(at))


def _off_cut(sleeve: Sleeve, depth_mm: float, kind: str, slot: Slot, options: CuttingGuideOptions) -> Check:
    """Return whether a wire or a hole keeps off the cut, as deep as it goes, and on its own side of it."""
    line = sleeve.entry_ras - np.linspace(0.0, depth_mm, 20)[:, None] * sleeve.outward_ras
    heights = slot.local(line)[:, 1]
    least = float((np.sign(heights[0]) * heights).min()) - options.wire_diameter_mm / 2
    limit = options.wire_to_cut_mm - options.wire_diameter_mm / 2
    words = f"{sleeve.screw}: {least:.1f} mm from the cut down to {depth_mm:.0f} mm"
    return Check(f"{kind} to cut {sleeve.side}", least >= limit - 1e-6, least, limit, "mm", words)
