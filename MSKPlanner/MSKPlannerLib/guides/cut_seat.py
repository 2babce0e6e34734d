"""Where a cutting guide sits: the saw's direction, the insertion direction, the slot and the wires on the bone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.errors import GeometryError, ProcessingError
from MSKFusionLib.frames import FloatArray, transform_points, unit

from ..plan import GuideCut, GuideScrew
from .cut_options import CuttingGuideOptions
from .field import Bone, Distance
from .insertion import insertion_around, local_of, surface_around
from .sleeve import Sleeve, on_surface, require_apart
from .slot import Slot

#: The approach may lie this far out of the saw's plane, degrees.
_OUT_OF_PLANE_DEG = 50.0
#: Steps along the saw in which its way into the bone is looked for.
_STEP_MM = 0.25
_LOOK_MM = 120.0
#: The slot reaches this far beyond the bone on each side.
_BEYOND_BONE_MM = 2.0
#: The block reaches this far below the lowest bone that carries it.
_BELOW_MM = 2.0
#: Two wires of one side stand at least this far apart, or it gets one.
_WIRES_APART_MM = 7.0
#: A hole's entry lies no farther than this from the surface; a wire keeps this far off a hole in the bone.
_OFF_BONE_MM, _WIRES_ROOM_MM = 1.0, 1.0
#: A wire enters bone that looks at it to within this cosine: on a steeper one its tip slips.
_WIRE_SQUARE = 0.6


@dataclass(frozen=True, eq=False)
class CutSeat:
    """What is fixed before the body is made.

    Parameters
    ----------
    frame_to_ras
        Rigid 4x4: origin where the saw enters, x across, y along the bone, z the way off.
    reachable
        Share of the bone under the guide that can be touched along the insertion direction.
    wires, holes
        Sleeves of the wires that hold it, and of the holes that are drilled through it besides.
    """

    frame_to_ras: FloatArray
    slot: Slot
    wires: tuple[Sleeve, ...]
    reachable: float
    half_u_mm: float
    low_v_mm: float
    high_v_mm: float
    holes: tuple[Sleeve, ...] = ()

    @property
    def sleeves(self) -> tuple[Sleeve, ...]:
        """All sleeves: wires, then holes."""
        return (*self.wires, *self.holes)

    @property
    def outward_ras(self) -> FloatArray:
        """Unit direction in which the guide comes off."""
        return np.array(self.frame_to_ras[:3, 2])


def seat_of_cut(
    bone: Bone,
    distance: Distance,
    cut: GuideCut,
    approach_ras: FloatArray,
    options: CuttingGuideOptions,
    neighbours: Sequence[Bone] = (),
    asked_inward_ras: Sequence[float] | None = None,
    holes: Sequence[GuideScrew] = (),
) -> CutSeat:
    """Place slot, insertion direction and wires on a bone.

    Parameters
    ----------
    approach_ras
        From the bone to the surgeon; the saw goes against it, within the plane.
    holes
        Holes that are drilled through it besides; wires keep off them.
    asked_inward_ras
        The insertion direction that is asked for; None: searched around the saw's.

    Raises
    ------
    GeometryError
        When the plane misses the bone, or the approach does not run along the plane.
    ProcessingError
        When no bone can be reached for a guide, or for its wires.
    """
    sign = -1.0 if options.ledge == "against" else 1.0
    slot_frame = _slot_frame(distance, cut, approach_ras, sign)
    points, normals, areas = surface_around(bone, slot_frame)
    local = local_of(points, slot_frame)
    under = (np.abs(local[:, 1]) < 4.0) & (local[:, 2] > -options.wrap_mm)
    if not under.any():
        raise ProcessingError(f"{cut.name}: there is no bone under the slot that could be reached.")
    width = _width(local[under, 0], options)
    slot = _slot(cut.name, slot_frame, distance, width, options)
    reach = options.wire_sleeve_diameter_mm + 2.0
    low_v, high_v = slot.block_corners[0][1] - (0.0 if options.ledge else reach), slot.block_corners[1][1] + reach
    half_u = float(slot.block_corners[1][0])
    carrying = (np.abs(local[:, 0]) < half_u) & (local[:, 1] > low_v) & (local[:, 1] < high_v)
    carrying &= local[:, 2] > -options.wrap_mm
    obstacles = [surface_around(n, slot_frame)[0] for n in neighbours]
    frame, share = insertion_around(slot_frame, points, normals, areas, carrying, obstacles, asked_inward_ras, cut.name)
    seat = CutSeat(frame, slot, (), share, half_u, low_v, high_v, _hole_sleeves(holes, slot, distance, options))
    return replace(seat, wires=_wires(seat, distance, neighbours, options))


def _slot_frame(distance: Distance, cut: GuideCut, approach_ras: FloatArray, sign: float) -> FloatArray:
    """Return the slot's 4x4, its origin where the saw, in the middle of the bone it finds, leaves it outward.

    Parameters
    ----------
    sign
        -1 to turn the plane's normal, and with it the side of the ledge, over.
    """
    normal, approach = sign * unit(np.asarray(cut.normal_ras, dtype=np.float64)), unit(approach_ras)
    off = float(np.degrees(np.arcsin(np.clip(abs(normal @ approach), 0, 1))))
    if off > _OUT_OF_PLANE_DEG:
        raise GeometryError(
            f"the approach stands {off:.0f} degrees out of the plane; a saw goes along its plane",
            "Give the direction from the bone to the surgeon.",
            where=cut.name,
        )
    outward = unit(approach - (approach @ normal) * normal)
    across = np.cross(normal, outward)
    start = np.asarray(cut.point_ras, dtype=np.float64)
    for _ in range(2):
        # Outermost bone on the line through the point; then once more from the middle of the bone found there.
        start = _outermost(distance, start, outward, cut.name)
        sideways = np.arange(-45.0, 45.1, 0.5)
        inside = distance.distance_mm(start - 2.0 * outward + sideways[:, None] * across) < 0
        if not inside.any():
            break
        runs = _run_around(inside, len(sideways) // 2)
        start = start + float(sideways[runs].mean()) * across
    start = _outermost(distance, start, outward, cut.name)
    return np.vstack([np.column_stack([across, normal, outward, start]), [0, 0, 0, 1]])


def _run_around(inside: NDArray[np.bool_], middle: int) -> NDArray[np.bool_]:
    """Return the stretch of true values that holds `middle`, or the one nearest to it."""
    found = np.flatnonzero(inside)
    k = int(found[np.abs(found - middle).argmin()])
    low = high = k
    while low > 0 and inside[low - 1]:
        low -= 1
    while high < len(inside) - 1 and inside[high + 1]:
        high += 1
    run = np.zeros(len(inside), dtype=bool)
    run[low : high + 1] = True
    return run


def _outermost(distance: Distance, start: FloatArray, outward: FloatArray, name: str) -> FloatArray:
    """Return where a line leaves the bone for good."""
    along = np.arange(-_LOOK_MM, _LOOK_MM, _STEP_MM)
    d = distance.distance_mm(start + along[:, None] * outward)
    inside = np.flatnonzero(d < 0)
    if not len(inside):
        raise GeometryError(
            f"the plane misses the bone under the approach by {float(d.min()):.1f} mm",
            "Move the plane's point into the bone.",
            where=name,
        )
    k = int(inside[-1])
    if k + 1 >= len(along):
        raise GeometryError("the bone does not end towards the surgeon", "Check the approach.", where=name)
    return np.asarray(start + (along[k] + _STEP_MM * d[k] / (d[k] - d[k + 1])) * outward)


def _width(across: FloatArray, options: CuttingGuideOptions) -> float:
    """Return the slot's width: as asked, or what bone there is on both sides of the middle."""
    there = 2 * min(-float(np.percentile(across, 1)), float(np.percentile(across, 99)))
    return float(np.clip(there + 2 * _BEYOND_BONE_MM, 5.0, options.slot_width_mm))


def _slot(name: str, frame: FloatArray, distance: Distance, width: float, options: CuttingGuideOptions) -> Slot:
    slot = Slot(
        name=name,
        to_ras=frame,
        width_mm=width,
        thickness_mm=options.slot_thickness_mm,
        top_mm=0.0,
        low_mm=-options.wrap_mm - _BELOW_MM,
        end_wall_mm=options.slot_end_wall_mm,
        wall_mm=options.slot_wall_mm,
        ledge_mm=options.ledge_mm,
        open_ledge=bool(options.ledge),
    )
    return slot.raised(distance, options.fit_clearance_mm + options.slot_height_mm)


def _wires(
    seat: CutSeat, distance: Distance, neighbours: Sequence[Bone], options: CuttingGuideOptions
) -> tuple[Sleeve, ...]:
    """Return the sleeves of the wires: parallel to the insertion, up to two on each side of the slot."""
    found: list[Sleeve] = []
    half = seat.half_u_mm - options.wire_sleeve_diameter_mm / 2
    places = sorted(np.arange(-half, half + 0.1, 1.0), key=lambda x: -abs(x))
    sides = ((1, "name side"),) if seat.slot.open_ledge else ((1, "name side"), (-1, "other side"))
    for side, word in sides:
        chosen: list[Sleeve] = []
        for u in places:
            if len(chosen) == 2 or any(
                abs(u - seat_u) < _WIRES_APART_MM for seat_u in (_u_of(seat, s) for s in chosen)
            ):
                continue
            entry = _wire_entry(seat, distance, float(u), side, options)
            if entry is None:
                continue
            wire = Sleeve(
                screw=f"{seat.slot.name} wire {len(found) + len(chosen) + 1}",
                side=f"{len(found) + len(chosen) + 1}",
                entry_ras=entry,
                outward_ras=seat.outward_ras,
                bore_radius_mm=options.wire_bore_mm / 2,
                radius_mm=options.wire_sleeve_diameter_mm / 2,
                length_mm=options.wire_sleeve_mm,
            )
            if not any(_meet(wire, hole, options) for hole in seat.holes):
                chosen.append(wire)
        if not chosen and not any(side * seat.slot.local(h.entry_ras)[1] > 0 for h in seat.holes):
            raise ProcessingError(
                f"{seat.slot.name}: there is no place for a K-wire on the {word}; make the guide's wires thinner or move "
                "the plane."
            )
        found += chosen
    return tuple(found)


def _hole_sleeves(
    holes: Sequence[GuideScrew], slot: Slot, distance: Distance, options: CuttingGuideOptions
) -> tuple[Sleeve, ...]:
    """Return the sleeves of holes, which keep off each other and off the way of the saw."""
    sleeves = tuple(
        on_surface(
            Sleeve.on_axis(
                h.name,
                h.name,
                h.entry_ras,
                h.tip_ras,
                options.wire_bore_mm,
                options.wire_sleeve_diameter_mm,
                options.wire_sleeve_mm,
            ),
            distance,
        )[0]
        for h in holes
    )
    for s in sleeves:
        off = abs(float(distance.distance_mm(s.entry_ras[None])[0]))
        if off > _OFF_BONE_MM:
            raise GeometryError(f"{s.screw} lies {off:.1f} mm off the bone", "Move it.", where=slot.name)
        heights = slot.local(np.stack([s.entry_ras, s.end_ras]))[:, 1]
        if slot.open_ledge and heights.min() < 0:
            raise GeometryError(
                f"{s.screw} lies on the open side of the ledge, where nothing holds its sleeve",
                "Use a slot.",
                where=slot.name,
            )
        room = float(np.abs(heights).min())
        least = slot.thickness_mm / 2 + s.radius_mm
        if room < least:
            raise GeometryError(
                f"{s.screw} stands {room:.1f} mm from the cut; its sleeve needs {least:.1f} mm",
                "Move it away from the cut.",
                where=slot.name,
            )
    require_apart(sleeves)
    return sleeves


def _meet(wire: Sleeve, hole: Sleeve, options: CuttingGuideOptions) -> bool:
    """Tell whether a wire and a hole meet, in the guide or in the bone."""
    t = np.linspace(-options.wire_depth_mm, wire.length_mm, 120)[:, None]
    p, q = wire.entry_ras + t * wire.outward_ras, hole.entry_ras + t * hole.outward_ras
    away = np.linalg.norm(p[:, None] - q[None], axis=2)
    in_guide = away[np.ix_(t[:, 0] > 0, t[:, 0] > 0)].min()
    return bool(
        in_guide < wire.radius_mm + hole.bore_radius_mm or away.min() < options.wire_diameter_mm + _WIRES_ROOM_MM
    )


def _u_of(seat: CutSeat, sleeve: Sleeve) -> float:
    return float(local_of(sleeve.entry_ras[None], seat.frame_to_ras)[0, 0])


def _wire_entry(
    seat: CutSeat, distance: Distance, u: float, side: int, options: CuttingGuideOptions
) -> FloatArray | None:
    """Return where a wire beside the slot would enter the bone; None where it finds none, slips, or nears the cut."""
    low, high = seat.slot.block_corners
    edge = high[1] if side > 0 else -low[1]
    v = side * (edge + options.wire_sleeve_diameter_mm / 2 + 1.0)
    along = np.arange(15.0, -options.wrap_mm, -_STEP_MM)
    line = transform_points(seat.frame_to_ras, np.column_stack([np.full((len(along), 2), [u, v]), along]))
    d = distance.distance_mm(line)
    inside = np.flatnonzero(d < 0)
    if not len(inside):
        return None
    entry, slope = line[int(inside[0])], distance.distance_and_gradient(line[int(inside[0])][None])[1][0]
    if slope @ seat.outward_ras < _WIRE_SQUARE:
        return None
    tip = entry - options.wire_depth_mm * seat.outward_ras
    heights = seat.slot.local(np.stack([entry, tip]))[:, 1]
    return None if min(side * heights) < options.wire_to_cut_mm else np.asarray(entry)
