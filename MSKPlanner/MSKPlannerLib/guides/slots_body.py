"""The body of a guide with several slots on a distance grid: contact under every block, ribs where blocks stand apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, transform_points

from ..mesh import Mesh
from .base import Map, column_tops, off_line
from .body import Seat, above_floor, on_clearance, seat_between, unfolded
from .cut_options import CuttingGuideOptions
from .field import (
    Distance,
    Field,
    kept_beside,
    sample_distance,
    sample_roughly,
    smooth_max,
    smooth_min,
    swept,
    thick_parts,
    without_slits,
)
from .sleeve import bore_field, sleeve_field
from .slot import Slot
from .slots_seat import SlotsSeat, in_seat

_MARGIN_MM = 3.0
_FILLET_MM, _WIRE_FILLET_MM, _ROUNDING_MM = 2.0, 1.0, 1.5
_THINNEST_MM = 1.6
_SLEEVE_BELOW_MM = 1.5
#: Contact reaches this far beyond a block and beyond the wires beside it.
_BEYOND_MM = 1.5
#: A rib between blocks: half its width, its height in walls, and how far it reaches into what it joins.
_RIB_MM, _RIB_WALLS, _RIB_INTO_MM = 7.0, 1.5, 4.0
#: Half the width of a neck that is too narrow, and the ground that counts as a part of its own.
_NECK_MM, _COUNTS_MM2 = 2.5, 20.0
#: A rib from a wire to its block is wider than the sleeve by this on each side.
_WIRE_RIB_MM = 0.5
#: Ground that no bone is under for less than this is bridged by what lies on both sides.
_SPECK_MM = 0.8


#: Grooves are filled where they are narrower than about this, so far off the bone.
_SLIT_MM, _OFF_BONE_MM = 1.0, 0.5
#: Where the guide is thinner than its printer allows, a ball of this radius is taken away.
_THIN_BALL_MM = 0.9
#: The way off is looked along in these steps, and so much nearer than the clearance is made free.
_WAY_MM = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0)
_CATCHES_MM, _DOUBT_MM, _MOST_FREED_MM, _TOLD_FREED_MM = 0.005, 0.3, 0.4, 0.02


@dataclass(frozen=True, eq=False)
class SlotsBody:
    """A body without slots and bores.

    Parameters
    ----------
    solid, gap, sampled
        On the grid: the body, the wished gap to the bone, the distance to it.
    freed_ras
        (N, 3) corners that were moved aside to free the way off: the gap is wider there.
    dropped_mm3
        Volumes of pieces that came loose.
    """

    mesh: Mesh
    grid: Seat
    solid: Field
    gap: Field
    sampled: Field
    freed_ras: FloatArray
    dropped_mm3: tuple[float, ...]

    def relief_mm(self, points_ras: FloatArray) -> FloatArray:
        """Return by how much the gap at points (N, 3) of the contact is wider than the clearance on purpose, at most."""
        if not len(self.freed_ras):
            return np.zeros(len(points_ras))
        away, _ = cKDTree(self.freed_ras).query(points_ras, distance_upper_bound=2 * self.grid.grid.spacing_mm)
        return np.where(np.isfinite(away), _MOST_FREED_MM, 0.0)


def slots_body(
    distance: Distance, neighbours: Sequence[Distance], seat: SlotsSeat, options: CuttingGuideOptions
) -> SlotsBody:
    """Return the body without slots and bores, its contact on the exact clearance and its way off free.

    Raises
    ------
    ProcessingError
        When there is no reachable bone for it, or a sleeve or a block does not hang together with it.
    """
    grid = _grid(seat, options)
    band = _RIB_WALLS * options.wall_mm + _FILLET_MM
    d = sample_distance(distance, grid.grid, band, options.fit_clearance_mm + 2 * options.grid_mm)
    others = np.full(grid.grid.shape, 1e3, dtype=np.float32)
    for other in neighbours:
        others = np.minimum(others, sample_roughly(other, grid.grid, max(band, options.neighbour_clearance_mm + 1.0)))
    top = column_tops(d, 0.0, grid.w)
    blocked = column_tops(others, options.neighbour_clearance_mm, grid.w)
    outline, floor, rib = _footprint(top, blocked, grid, seat, options)
    room = np.minimum(swept(d) - options.fit_clearance_mm, swept(others) - options.neighbour_clearance_mm)
    room = room.astype(np.float32)
    points = grid.grid.points_ras().reshape(*grid.grid.shape, 3)
    gap = np.full(grid.grid.shape, options.fit_clearance_mm, dtype=np.float32)
    solid = smooth_max(d - gap - np.float32(options.wall_mm), outline[:, :, None], _ROUNDING_MM)
    bridge = smooth_max(room - np.float32(_RIB_WALLS * options.wall_mm), rib[:, :, None], _ROUNDING_MM)
    solid = smooth_min(solid, bridge, _FILLET_MM)
    for slot in seat.slots:
        solid = smooth_min(solid, slot.block_field(points), _FILLET_MM)
    for wire in seat.wires:
        solid = smooth_min(solid, sleeve_field(wire, points, -_SLEEVE_BELOW_MM), _WIRE_FILLET_MM)
    solid = np.maximum(solid, -room)
    solid = above_floor(solid, room, floor, grid)
    mesh, freed, solid, lost = _finished(solid, distance, grid, gap, d, seat, options)
    return SlotsBody(mesh, grid, solid, gap, d, freed, tuple(lost))


def without_thin(
    body: SlotsBody, distance: Distance, seat: SlotsSeat, options: CuttingGuideOptions, thin_ras: FloatArray
) -> SlotsBody:
    """Return a body with its thin walls taken away: balls around places (N, 3) of them, and what is thin after that.

    Raises
    ------
    ProcessingError
        When a sleeve or a block does not hang together with the rest without them.
    """
    points = body.grid.grid.points_ras()
    away = cKDTree(thin_ras).query(points, distance_upper_bound=4 * _THIN_BALL_MM)[0]
    ball = np.minimum(away, 4 * _THIN_BALL_MM).reshape(body.solid.shape).astype(np.float32)
    solid = np.maximum(body.solid, np.float32(_THIN_BALL_MM) - ball)
    mesh, freed, solid, lost = _finished(solid, distance, body.grid, body.gap, body.sampled, seat, options)
    return replace(body, mesh=mesh, solid=solid, freed_ras=freed, dropped_mm3=(*body.dropped_mm3, *lost))


def _finished(
    solid: Field,
    distance: Distance,
    grid: Seat,
    gap: Field,
    sampled: Field,
    seat: SlotsSeat,
    options: CuttingGuideOptions,
) -> tuple[Mesh, FloatArray, Field, list[float]]:
    """Return the surface of a solid without what is thin, its corners that were freed, that solid, and what came loose, mm3."""
    points = grid.grid.points_ras().reshape(*grid.grid.shape, 3)
    # What is thin beside a bore or a slot shows only with them open; they themselves are cut exactly later.
    opened = np.full(solid.shape, np.float32(1e3))
    for slot in seat.slots:
        opened = np.minimum(opened, slot.opening_field(points))
    for wire in seat.wires:
        opened = np.minimum(opened, bore_field(wire, points))
    pierced = np.maximum(solid, -opened)
    thinnest = min(_THINNEST_MM, options.slot_wall_mm - 0.8, options.wire_wall_mm - 0.8)
    thick, lost = thick_parts(pierced, options.grid_mm, thinnest / 2, deeper=True)
    thick = kept_beside(thick, opened < 0)
    _check_whole(np.maximum(pierced, thick), grid, seat)
    solid = np.maximum(solid, thick)
    # Where a block stands beside steep bone, and where thin walls were taken away: only off the bone and its way off.
    off_bone = swept(sampled) > options.fit_clearance_mm + _OFF_BONE_MM
    solid = np.where(off_bone, without_slits(solid, options.grid_mm, _SLIT_MM), solid)
    mesh = on_clearance(grid.grid.surface(solid), distance, grid, gap, sampled)
    freed = _freed(mesh, distance, grid, sampled, options.fit_clearance_mm)
    moved = np.linalg.norm(freed.vertices_ras - mesh.vertices_ras, axis=1) > _TOLD_FREED_MM
    return freed, freed.vertices_ras[moved], solid, lost


def _freed(mesh: Mesh, distance: Distance, grid: Seat, sampled: Field, gap_mm: float) -> Mesh:
    """Return a mesh whose corners keep the clearance on the whole way off: the grid sees a steep edge of bone to a part of its step."""
    points, out = mesh.vertices_ras.copy(), grid.outward_ras
    near = np.flatnonzero(grid.interpolate(sampled, points) < 3.0)
    for way in _WAY_MM:
        there = points[near] + way * out
        maybe = near[grid.interpolate(sampled, there) < gap_mm + _DOUBT_MM]
        if not len(maybe):
            continue
        d, slope = distance.distance_and_gradient(points[maybe] + way * out)
        lacking = gap_mm - d
        aside = slope - (slope @ out)[:, None] * out
        size = np.linalg.norm(aside, axis=1)
        # Straight under bone no step aside helps; such bone was bridged by the grid already.
        caught = (lacking > _CATCHES_MM) & (size > 0.3)
        step = np.minimum(lacking[caught] / size[caught], _MOST_FREED_MM)
        points[maybe[caught]] += step[:, None] * aside[caught] / size[caught, None]
    return unfolded(mesh, points)


def _grid(seat: SlotsSeat, options: CuttingGuideOptions) -> Seat:
    """Lay a grid around the blocks and the wires."""
    around = [in_seat(seat, np.array([p for s in seat.wires for p in (s.entry_ras, s.end_ras)]))]
    for slot in seat.slots:
        around.append(in_seat(seat, slot.block_vertices_ras))
    all_of_it = np.concatenate(around)
    side = np.array([1.0, 1.0, 0.0]) * (options.wire_sleeve_diameter_mm / 2 + _BEYOND_MM) + _MARGIN_MM
    return seat_between(seat.frame_to_ras, all_of_it.min(axis=0) - side, all_of_it.max(axis=0) + side, options.grid_mm)


def _footprint(
    top: Map, blocked: Map, grid: Seat, seat: SlotsSeat, options: CuttingGuideOptions
) -> tuple[Map, Map, Map]:
    """Return the shell's outline over bone that can be reached (negative inside), its floor, and the outline of ribs."""
    spacing = options.grid_mm
    bone = np.isfinite(top)
    if not bone.any():
        raise ProcessingError(f"{seat.slots[0].name}: no bone lies under the guide.")
    nearest = ndimage.distance_transform_edt(~bone, return_distances=False, return_indices=True)
    ground = top[tuple(nearest)]
    u, v = np.broadcast_arrays(grid.u[:, None], grid.v[None, :])
    places = transform_points(grid.frame_to_ras, np.stack([u, v, ground], axis=-1).reshape(-1, 3))
    wanted = np.full(top.shape, np.float32(1e3))
    for slot in seat.slots:
        wanted = smooth_min(wanted, _over(slot, places, seat, options).reshape(top.shape), 2.0)
    usable = bone & (blocked <= top + options.fit_clearance_mm) & (wanted < 2 * _FILLET_MM)
    usable = ndimage.binary_opening(usable, iterations=max(1, round(_SPECK_MM / spacing)))
    if not usable.any():
        raise ProcessingError(f"{seat.slots[0].name}: no bone under the guide can be reached.")
    inside = ndimage.distance_transform_edt(usable, sampling=spacing)
    outside, nearest = ndimage.distance_transform_edt(~usable, sampling=spacing, return_indices=True)
    to_edge = ndimage.gaussian_filter((inside - outside).astype(np.float32), 1.0 / spacing)
    outline = smooth_max(wanted, np.float32(options.edge_margin_mm) - to_edge, 1.0)
    beyond = ndimage.gaussian_filter(top[tuple(nearest)], 1.0 / spacing)
    floor = np.where(bone, np.minimum(top, beyond), beyond).astype(np.float32)
    return outline, floor, _ribs(wanted, grid, seat)


def _over(slot: Slot, places_ras: FloatArray, seat: SlotsSeat, options: CuttingGuideOptions) -> Map:
    """Return how far bone lies off the ground of one slot and the wires beside it, along its own axes."""
    p, (low, high) = slot.local(places_ras), slot.block_corners
    reach = options.wire_sleeve_diameter_mm / 2 + _BEYOND_MM
    low_y, high_y = float(low[1]) - _BEYOND_MM, float(high[1]) + _BEYOND_MM
    for wire in seat.wires:
        x, y, _ = slot.local(wire.entry_ras)
        beside = y - high[1] if y > 0 else low[1] - y
        if abs(x) < high[0] and beside < 3 * reach:
            low_y, high_y = min(low_y, y - reach), max(high_y, y + reach)
    across = np.abs(p[:, 0]) - high[0]
    sides = np.maximum(low_y - p[:, 1], p[:, 1] - high_y)
    return np.maximum(np.maximum(across, sides), low[2] - p[:, 2]).astype(np.float32)


def _ribs(wanted: Map, grid: Seat, seat: SlotsSeat) -> Map:
    """Return the outline of the ribs: from every wire to its block, and between blocks that stand apart."""
    places = np.stack(np.broadcast_arrays(grid.u[:, None], grid.v[None, :]), axis=-1)
    rib = np.full(wanted.shape, np.float32(1e3))
    for wire in seat.wires:
        feet = [_foot(slot, wire.entry_ras) for slot in seat.slots]
        nearest = min(feet, key=lambda foot: float(np.linalg.norm(foot - wire.entry_ras)))
        a, b = grid.local(np.stack([wire.entry_ras, nearest]))[:, :2]
        rib = np.minimum(rib, (off_line(places, a, b) - wire.radius_mm - _WIRE_RIB_MM).astype(np.float32))
    # What hangs together by a narrow neck only counts as apart: the frame would bend there.
    labels, count = ndimage.label(np.minimum(wanted, rib) < -np.float32(_NECK_MM))
    parts = [places[labels == k] for k in range(1, count + 1)]
    parts = [p for p in parts if len(p) * grid.grid.spacing_mm**2 > _COUNTS_MM2]
    if len(parts) < 2:
        return rib
    joined, left = [parts[0]], parts[1:]
    while left:
        tree = cKDTree(np.concatenate(joined))
        away = [tree.query(p)[0] for p in left]
        k = int(np.argmin([a.min() for a in away]))
        one = left[k][int(away[k].argmin())]
        other = tree.data[tree.query(one)[1]]
        # Its place is amid what both see of each other, not at their nearest corners.
        one, other = _facing(left[k], np.asarray(tree.data), one, other)
        way = (other - one) / max(float(np.linalg.norm(other - one)), 1e-9)
        a, b = one - _RIB_INTO_MM * way, other + _RIB_INTO_MM * way
        rib = np.minimum(rib, (off_line(places, a, b) - _RIB_MM).astype(np.float32))
        joined.append(left.pop(k))
    return rib


def _foot(slot: Slot, place_ras: FloatArray) -> FloatArray:
    """Return the point inside a slot's block that is nearest to a place beside it, at the same height."""
    p, (low, high) = slot.local(place_ras), slot.block_corners
    inside = np.clip(p[:2], low[:2] + _FILLET_MM, high[:2] - _FILLET_MM)
    return np.asarray(transform_points(slot.to_ras, np.array([*inside, p[2]])))


def _facing(one: FloatArray, other: FloatArray, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the middles of what two outlines have near each other, within some mm of their nearest places `a` and `b`."""
    least = float(np.linalg.norm(b - a))
    near_a = one[cKDTree(other).query(one)[0] < least + 3.0].mean(axis=0)
    near_b = other[cKDTree(one).query(other)[0] < least + 3.0].mean(axis=0)
    return near_a, near_b


def _check_whole(pierced: Field, grid: Seat, seat: SlotsSeat) -> None:
    """Refuse a body that does not hold its sleeves, and of every slot both ends and both walls."""
    for wire in seat.wires:
        if grid.interpolate(pierced, wire.wall_ring(0.7)).max() >= 0:
            raise ProcessingError(
                f"The sleeve of {wire.screw} does not hang together with the guide; the bone gives no ground beside the slots. "
                "Plan fewer planes, or make the slots narrower."
            )
    for slot in seat.slots:
        x = slot.width_mm / 2 + slot.end_wall_mm / 2
        y = slot.thickness_mm / 2 + slot.wall_mm / 2
        high = slot.top_mm - 2.0
        held = [[x, 0.0, high], [-x, 0.0, high], [0.0, y, high], [0.0, -y, high]]
        if grid.interpolate(pierced, np.asarray(transform_points(slot.to_ras, np.array(held)))).max() >= 0:
            raise ProcessingError(f"{slot.name}: a wall of the slot's block is cut away; make the slots narrower.")
