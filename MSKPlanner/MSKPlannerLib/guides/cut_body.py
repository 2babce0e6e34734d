"""The body of a cutting guide on a distance grid: contact shell, block of the slot, sleeves of the wires in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import transform_points

from ..mesh import Mesh
from .base import Map, column_tops
from .body import Seat, above_floor, on_clearance, seat_between
from .cut_options import CuttingGuideOptions
from .cut_seat import CutSeat
from .field import Distance, Field, sample_distance, sample_roughly, smooth_max, smooth_min, swept, thick_parts
from .insertion import local_of
from .sleeve import bore_field, sleeve_field

_MARGIN_MM = 3.0
_FILLET_MM = 2.0
#: Of the wires' sleeves: smaller than what is cut off round their flat ends, or a crest would stand beside them.
_WIRE_FILLET_MM = 1.0
_ROUNDING_MM = 1.5
_THINNEST_MM = 1.6
_SLEEVE_BELOW_MM = 1.5
#: The shell reaches this far beyond the wires' axes along the bone, sleeves apart.
_BEYOND_WIRES_MM = 1.5


def cut_body(
    distance: Distance, neighbours: Sequence[Distance], seat: CutSeat, options: CuttingGuideOptions
) -> tuple[Mesh, list[float]]:
    """Return the body without slot and bores, its contact on the exact clearance, and the volumes that came loose.

    Raises
    ------
    ProcessingError
        When there is no reachable bone for it, or a wire's sleeve or the block does not hang together with it.
    """
    grid = _grid(seat, options)
    band = options.wall_mm + _FILLET_MM
    d = sample_distance(distance, grid.grid, band, options.fit_clearance_mm + 2 * options.grid_mm)
    others = np.full(grid.grid.shape, 1e3, dtype=np.float32)
    for other in neighbours:
        others = np.minimum(others, sample_roughly(other, grid.grid, options.neighbour_clearance_mm + 1.0))
    top = column_tops(d, 0.0, grid.w)
    blocked = column_tops(others, options.neighbour_clearance_mm, grid.w)
    outline, floor = _footprint(top, blocked, grid, seat, options)
    room = np.minimum(swept(d) - options.fit_clearance_mm, swept(others) - options.neighbour_clearance_mm)
    points = grid.grid.points_ras().reshape(*grid.grid.shape, 3)
    gap = np.full(grid.grid.shape, options.fit_clearance_mm, dtype=np.float32)
    solid = smooth_max(d - gap - np.float32(options.wall_mm), outline[:, :, None], _ROUNDING_MM)
    solid = smooth_min(solid, seat.slot.block_field(points), _FILLET_MM)
    for wire in seat.sleeves:
        solid = smooth_min(solid, sleeve_field(wire, points, -_SLEEVE_BELOW_MM), _WIRE_FILLET_MM)
    solid = np.maximum(solid, -room.astype(np.float32))
    solid = above_floor(solid, room.astype(np.float32), floor, grid)
    # What is thin beside a bore or the slot shows only with them open; they themselves are cut exactly later.
    pierced = np.maximum(solid, -seat.slot.opening_field(points))
    for wire in seat.sleeves:
        pierced = np.maximum(pierced, -bore_field(wire, points))
    thinnest = min(_THINNEST_MM, options.slot_wall_mm - 0.8, options.wire_wall_mm - 0.8)
    thick, lost = thick_parts(pierced, options.grid_mm, thinnest / 2)
    _check_whole(np.maximum(pierced, thick), grid, seat)
    mesh = grid.grid.surface(np.maximum(solid, thick))
    return on_clearance(mesh, distance, grid, gap, d), lost


def _grid(seat: CutSeat, options: CuttingGuideOptions) -> Seat:
    """Lay a grid around the block and the wires."""
    ends = np.array([p for s in seat.sleeves for p in (s.entry_ras, s.end_ras)])
    around = local_of(np.concatenate([seat.slot.block_vertices_ras, ends]), seat.frame_to_ras)
    side = np.array([1.0, 1.0, 0.0]) * (options.wire_sleeve_diameter_mm / 2 + _BEYOND_WIRES_MM) + _MARGIN_MM
    return seat_between(seat.frame_to_ras, around.min(axis=0) - side, around.max(axis=0) + side, options.grid_mm)


def _footprint(top: Map, blocked: Map, grid: Seat, seat: CutSeat, options: CuttingGuideOptions) -> tuple[Map, Map]:
    """Return the shell's outline over bone that can be reached (negative inside), and the height it may not go below."""
    spacing = options.grid_mm
    bone = top > -options.wrap_mm
    usable = bone & (blocked <= top + options.fit_clearance_mm)
    usable = ndimage.binary_opening(usable, iterations=max(1, round(0.8 / spacing)))
    if not usable.any():
        raise ProcessingError(f"{seat.slot.name}: no bone under the guide can be reached.")
    inside = ndimage.distance_transform_edt(usable, sampling=spacing)
    outside, nearest = ndimage.distance_transform_edt(~usable, sampling=spacing, return_indices=True)
    to_edge = ndimage.gaussian_filter((inside - outside).astype(np.float32), 1.0 / spacing)
    wires = grid.local(np.array([s.entry_ras for s in seat.sleeves]))[:, 1]
    reach = options.wire_sleeve_diameter_mm / 2 + _BEYOND_WIRES_MM
    low_v, high_v = float(wires.min()) - reach, float(wires.max()) + reach
    if seat.slot.open_ledge:  # it stands under the whole block, which ends at the saw's plane
        low_v = min(low_v, float(grid.local(seat.slot.block_vertices_ras)[:, 1].min()))
    frame = np.maximum(
        np.abs(grid.u)[:, None] - seat.half_u_mm, np.maximum(low_v - grid.v, grid.v - high_v)[None, :]
    ).astype(np.float32)
    outline = smooth_max(frame, np.float32(options.edge_margin_mm) - to_edge, 1.0)
    beyond = ndimage.gaussian_filter(top[tuple(nearest)], 1.0 / spacing)
    floor = np.where(bone, np.minimum(top, beyond), beyond).astype(np.float32)
    return outline, floor


def _check_whole(pierced: Field, grid: Seat, seat: CutSeat) -> None:
    """Refuse a body that does not hold its sleeves and both ends of its slot."""
    for wire in seat.sleeves:
        if grid.interpolate(pierced, wire.wall_ring(0.7)).max() >= 0:
            raise ProcessingError(
                f"{seat.slot.name}: the sleeve of {wire.screw} does not hang together with the guide; the bone gives no "
                "ground beside the slot. Move the plane, or make the slot narrower."
            )
    slot = seat.slot
    x, y = slot.width_mm / 2 + slot.end_wall_mm / 2, 0.0
    if slot.open_ledge:
        y = slot.thickness_mm / 2 + slot.ledge_mm / 2
    ends = transform_points(slot.to_ras, np.array([[s * x, y, slot.top_mm - 2.0] for s in (-1, 1)]))
    if grid.interpolate(pierced, ends).max() >= 0:
        raise ProcessingError(f"{slot.name}: an end of the {slot.what}'s block is cut away; make the slot narrower.")
