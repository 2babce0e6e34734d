"""The body of a guide on a distance grid that stands along the insertion direction.

There, whatever would keep the guide from coming off again is a running minimum along one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points

from ..mesh import Mesh
from .base import Footprint, Map, column_tops, plan_footprint, wished_gap
from .field import Distance, Field, Grid, sample_distance, sample_roughly, smooth_max, smooth_min, swept, thick_parts
from .lettering import text_size
from .options import GuideOptions
from .sleeve import Sleeve, bore_field, sleeve_field

#: The grid reaches this far beyond everything that the guide is made of.
_MARGIN_MM = 3.0
#: Fillet between sleeves and shell, and rounding of the shell's outer edge.
_FILLET_MM = 3.0
_ROUNDING_MM = 1.5
#: What is thinner than this after all cuts is taken away, letters apart.
_THINNEST_MM = 1.6
#: Where the finished guide is still too thin, a ball of this radius is taken away.
_THIN_BALL_MM = 0.9
#: Sleeves reach this far below the entry, where the bone falls away around it.
_SLEEVE_BELOW_MM = 1.5
#: Contact vertices are moved onto the exact clearance from at most this share of a grid step: what it leaves over.
_GRID_ERROR = 0.24
#: The quick distance, never too small, may be this much too large: so far off vertices are asked for the exact one.
_DOUBT_MM = 0.5
#: The highest bone is looked for from here down in so many steps; beside it by less than the last counts.
_TALLEST_MM, _STEPS_DOWN, _BESIDE_MM = 70.0, 60, 0.8
#: A triangle may turn this far (cosine) when its corners are moved onto the clearance.
_FOLD_COSINE = 0.5


@dataclass(frozen=True, eq=False)
class Seat:
    """The grid of one guide: axes u (right), v (head), w (the way off the bone), origin amid the entries."""

    frame_to_ras: FloatArray
    grid: Grid
    u: FloatArray
    v: FloatArray
    w: FloatArray

    @property
    def outward_ras(self) -> FloatArray:
        """Unit direction in which the guide comes off."""
        return np.array(self.frame_to_ras[:3, 2])

    def local(self, points_ras: FloatArray) -> FloatArray:
        """Return points (..., 3) in u, v, w."""
        return transform_points(invert_rigid(self.frame_to_ras), points_ras)

    def interpolate(self, values: Field, points_ras: FloatArray) -> FloatArray:
        """Return the values of a field at points (N, 3), linear between nodes."""
        index = (self.local(points_ras) - [self.u[0], self.v[0], self.w[0]]) / self.grid.spacing_mm
        return ndimage.map_coordinates(values, index.T, order=1, mode="nearest").astype(np.float64)


#: Lays a guide's outline: heights of the bone and of what blocks it a column, and the seat that they are of.
Layout = Callable[[Map, Map, Seat], Footprint]
#: Gives the field of what joins a guide's parts away from the bone.
Bars = Callable[[Seat], Field]


@dataclass(frozen=True, eq=False)
class Plate:
    """The flat block on the bridge that carries the name: middle and half size in u and v, height of its face."""

    middle_uv: FloatArray
    half_uv: FloatArray
    low_w: float
    high_w: float


@dataclass(frozen=True, eq=False)
class Body:
    """A body without bores.

    Parameters
    ----------
    solid, gap, sampled
        On the grid of the seat: the body, the gap to the bone that was wished, the distance to the bone.
    relief
        Gap in mm beyond the clearance, on the grid: wished over the crest, or left because a neighbour needs the room.
    dropped_mm3
        Volumes of pieces that came loose.
    """

    mesh: Mesh
    seat: Seat
    plate: Plate
    solid: Field
    gap: Field
    sampled: Field
    relief: Field
    dropped_mm3: tuple[float, ...]


def make_seat(bone: Distance, sleeves: Sequence[Sleeve], frame_to_ras: FloatArray, options: GuideOptions) -> Seat:
    """Lay a grid around everything that the guide will be made of."""
    to_seat = invert_rigid(frame_to_ras)
    ends = transform_points(to_seat, np.array([p for s in sleeves for p in (s.entry_ras, s.end_ras)]))
    side = max(options.arm_width_mm, options.sleeve_diameter_mm + 3) / 2 + _MARGIN_MM
    low, high = ends.min(axis=0) - side, ends.max(axis=0) + side
    # The bridge may cross the midline some way towards the feet or the head.
    low[:2], high[:2] = np.minimum(low[:2], [-14.0, -26.0]), np.maximum(high[:2], [14.0, 18.0])
    low[2] = ends[:, 2].min() - 9.0
    middle = height_of_bone(bone, frame_to_ras, np.array([-12.0, -26.0]), np.array([12.0, 18.0]))
    over = middle + options.wall_mm + options.ligament_relief_mm + 6.0
    high[2] = max(ends[:, 2].max() + options.sleeve_diameter_mm, over)
    return seat_between(frame_to_ras, low, high, options.grid_mm)


def seat_between(frame_to_ras: FloatArray, low: FloatArray, high: FloatArray, step_mm: float) -> Seat:
    """Return the seat whose grid reaches from one corner of a frame to the other, mm."""
    n = np.ceil((high - low) / step_mm).astype(int) + 1
    grid = Grid(frame_to_ras @ rigid(translation=low), step_mm, (int(n[0]), int(n[1]), int(n[2])))
    u, v, w = (a.ravel() + o for a, o in zip(grid.axes(), low, strict=True))
    return Seat(frame_to_ras, grid, u, v, w)


def height_of_bone(bone: Distance, frame_to_ras: FloatArray, low_uv: FloatArray, high_uv: FloatArray) -> float:
    """Return how far the bone reaches outward within a rectangle, mm, at least 0: lines from outside, each step as long as is free."""
    u, v = (np.arange(a, b + 1.0, 2.0) for a, b in zip(low_uv, high_uv, strict=True))
    around = np.meshgrid(u, v, [_TALLEST_MM], indexing="ij")
    points = np.stack(around, axis=-1).reshape(-1, 3)
    for _ in range(_STEPS_DOWN):
        free = bone.distance_mm(transform_points(frame_to_ras, points)) - _BESIDE_MM
        points[:, 2] -= np.maximum(free, 0.0)
        # Those that have come to rest, and those that are lower already, change nothing.
        highest = float(points[free < 0.1, 2].max(initial=0.0))
        points = points[(points[:, 2] > highest) | ((free < 0.1) & (points[:, 2] == highest))]
        if (free < 0.1).all():
            break
    return float(points[:, 2].max(initial=0.0))


def make_body(
    bone: Distance,
    neighbours: Sequence[Distance],
    sleeves: Sequence[Sleeve],
    seat: Seat,
    options: GuideOptions,
    name: str,
    layout: Layout | None = None,
    bars: Bars | None = None,
) -> Body:
    """Return the body of a guide: shell, bridge, sleeves and name plate in one, its contact on the exact clearance.

    Parameters
    ----------
    layout
        Lays the outline over the bone; None: that of a vertebra, its bridge on the midline.
    bars
        What else joins its parts, away from the bone; None: nothing.

    Raises
    ------
    ProcessingError
        When there is no reachable bone for it.
    """
    band = options.wall_mm + options.ligament_relief_mm + _FILLET_MM
    d = sample_distance(bone, seat.grid, band, options.fit_clearance_mm + 2 * seat.grid.spacing_mm)
    others = np.full(seat.grid.shape, 1e3, dtype=np.float32)
    for other in neighbours:
        others = np.minimum(others, sample_roughly(other, seat.grid, options.neighbour_clearance_mm + 1.0))
    top = column_tops(d, 0.0, seat.w)
    blocked = column_tops(others, options.neighbour_clearance_mm, seat.w)
    entries = [seat.local(s.entry_ras) for s in sleeves]
    if layout is None:
        footprint = plan_footprint(top, blocked, entries, seat.u, seat.v, seat.grid.spacing_mm, options)
    else:
        footprint = layout(top, blocked, seat)
    plate = _plan_plate(footprint, top, seat, options, name)
    gap = wished_gap(footprint, seat.w, seat.u, options)

    # The way off must be free: of this bone with its gap, of the others with theirs.
    own, theirs = swept(d) - options.fit_clearance_mm, swept(others) - options.neighbour_clearance_mm
    room = np.minimum(np.minimum(own, theirs), d - gap).astype(np.float32)
    relief = gap - np.float32(options.fit_clearance_mm) + np.maximum(own - theirs, 0.0).astype(np.float32)
    points = seat_points(seat)
    shell = smooth_max(d - gap - np.float32(options.wall_mm), footprint.outline[:, :, None], _ROUNDING_MM)
    if bars is not None:
        shell = smooth_min(shell, bars(seat), _FILLET_MM)
    solid, lost = _assembled(shell, room, sleeves, plate, footprint, seat, points, options)
    if not _holds_all(solid, sleeves, seat):
        # Bone gives no ground between a sleeve and the bridge: a rib runs on over whatever lies there.
        rib = smooth_max(room - np.float32(options.wall_mm), footprint.rib[:, :, None], _ROUNDING_MM)
        shell = smooth_min(shell, rib, 1.0)
        solid, lost = _assembled(shell, room, sleeves, plate, footprint, seat, points, options)
        if not _holds_all(solid, sleeves, seat):
            raise ProcessingError(f"{name}: {_why_apart(solid, sleeves, seat, neighbours, options)}")
    mesh = on_clearance(seat.grid.surface(solid), bone, seat, gap, d)
    return Body(mesh, seat, plate, solid, gap, d, relief, tuple(lost))


def without_thin(
    body: Body, bone: Distance, sleeves: Sequence[Sleeve], options: GuideOptions, thin_ras: FloatArray
) -> Body:
    """Return a body with its thin walls taken away: balls around places (N, 3) of them, and what is thin after that.

    Raises
    ------
    ProcessingError
        When a sleeve does not hang together with the rest without them.
    """
    points = seat_points(body.seat)
    away, _ = cKDTree(thin_ras).query(points.reshape(-1, 3), distance_upper_bound=4 * _THIN_BALL_MM)
    ball = np.minimum(away, 4 * _THIN_BALL_MM).reshape(body.solid.shape).astype(np.float32)
    solid = np.maximum(body.solid, np.float32(_THIN_BALL_MM) - ball)
    solid, lost = _thick(solid, sleeves, body.seat, points, options)
    if not _holds_all(solid, sleeves, body.seat):
        raise ProcessingError(
            f"A wall between a sleeve and the bridge is too thin for {options.printer} at "
            f"{' '.join(f'{x:.0f}' for x in thin_ras.mean(axis=0))} RAS; move the entry or make the bridge wider."
        )
    mesh = on_clearance(body.seat.grid.surface(solid), bone, body.seat, body.gap, body.sampled)
    return replace(body, mesh=mesh, solid=solid, dropped_mm3=(*body.dropped_mm3, *lost))


def seat_points(seat: Seat) -> FloatArray:
    """Return the nodes of a seat's grid, (U, V, W, 3) RAS."""
    return seat.grid.points_ras().reshape(*seat.grid.shape, 3)


def _assembled(
    shell: Field,
    room: Field,
    sleeves: Sequence[Sleeve],
    plate: Plate,
    footprint: Footprint,
    seat: Seat,
    points: FloatArray,
    options: GuideOptions,
) -> tuple[Field, list[float]]:
    """Return shell, sleeves and plate in one, cut free of all bones, and the volumes of pieces that came loose."""
    solid = shell
    for s in sleeves:
        solid = smooth_min(solid, sleeve_field(s, points, -_SLEEVE_BELOW_MM), _FILLET_MM)
    solid = smooth_min(solid, plate_field(plate, seat), 1.0)
    solid = np.maximum(solid, -room)
    solid = above_floor(solid, room, footprint.floor_w, seat)
    return _thick(solid, sleeves, seat, points, options)


def above_floor(solid: Field, room: Field, floor_w: Field, seat: Seat) -> Field:
    """Return the solid above its floor, a map over the columns.

    A floor's steps are no distances. Where the room for the bone ends (`room` negative) they are left out, and elsewhere they
    count as a step of the grid at most: else they would move the contact beside them by a part of that step.
    """
    below = np.minimum(floor_w[:, :, None] - seat.w.astype(np.float32), np.float32(seat.grid.spacing_mm))
    return np.where(room < 0, solid, np.maximum(solid, below))


def _thick(
    solid: Field, sleeves: Sequence[Sleeve], seat: Seat, points: FloatArray, options: GuideOptions
) -> tuple[Field, list[float]]:
    """Return a solid without what is thin, and the volumes of pieces that came loose."""
    # What is thin beside a bore shows only with the bore open; the bore itself is cut exactly later.
    pierced = solid
    for s in sleeves:
        pierced = np.maximum(pierced, -bore_field(s, points))
    thinnest = min(_THINNEST_MM, options.sleeve_wall_mm - 0.8)
    thick, lost = thick_parts(pierced, seat.grid.spacing_mm, thinnest / 2)
    return np.maximum(solid, thick), lost


def _why_apart(
    solid: Field, sleeves: Sequence[Sleeve], seat: Seat, neighbours: Sequence[Distance], options: GuideOptions
) -> str:
    """Say why a sleeve is not part of the solid, and the way out."""
    apart = next(s for s in sleeves if not _holds_all(solid, [s], seat))
    wall = np.concatenate([apart.wall_ring(share) for share in (0.3, 0.55, 0.8)])
    if any(float(n.distance_mm(wall).min()) < options.neighbour_clearance_mm for n in neighbours):
        return f"another bone lies where the sleeve of {apart.screw} would stand; choose another entry."
    return (
        f"the sleeve of {apart.screw} does not hang together with the bridge; move its entry or make the bridge wider."
    )


def _holds_all(solid: Field, sleeves: Sequence[Sleeve], seat: Seat) -> bool:
    """Tell whether the wall of every sleeve belongs to the solid, near its end and all round."""
    return all(seat.interpolate(solid, s.wall_ring(0.8)).max() < 0 for s in sleeves)


def _plan_plate(footprint: Footprint, top: Field, seat: Seat, options: GuideOptions, name: str) -> Plate:
    half = np.array(text_size(name, options.text_height_mm, options.text_stroke_mm)) / 2 + 1.0
    u, v = footprint.middle[:2]

    def heights(wider_mm: float) -> FloatArray:
        columns = np.ix_(np.abs(seat.u - u) < half[0] + wider_mm, np.abs(seat.v - v) < half[1] + wider_mm)
        found = top[columns][footprint.outline[columns] < 1.0].astype(np.float64)
        return found[np.isfinite(found)]

    under = heights(0.0)
    if not under.size:
        raise ProcessingError(f"{name}: there is no bone under the middle of the bridge.")
    # The face stands above the shell around it too, or cutting it flat would cut the shell.
    around = heights(options.arm_width_mm / 2)
    relief = options.ligament_relief_mm if np.isfinite(footprint.crest_w).any() else 0.0
    shell = options.fit_clearance_mm + relief + options.wall_mm
    high = float(around.max()) + shell + 0.3
    return Plate(np.array([u, v]), half, min(float(under.min()), high - shell - 3.0), high)


def plate_field(plate: Plate, seat: Seat) -> Field:
    """Return the field of the plate, a little too high: it is cut flat afterwards."""
    across = np.maximum(
        np.abs(seat.u - plate.middle_uv[0])[:, None] - plate.half_uv[0],
        np.abs(seat.v - plate.middle_uv[1])[None, :] - plate.half_uv[1],
    )
    along = np.maximum(plate.low_w - seat.w, seat.w - (plate.high_w + 1.0))
    return smooth_max(across[:, :, None].astype(np.float32), along[None, None, :].astype(np.float32), 1.0)


def on_clearance(mesh: Mesh, bone: Distance, seat: Seat, gap: Field, sampled: Field) -> Mesh:
    """Move the vertices of the contact onto the exact gap, and those that are too near the bone out to it.

    Parameters
    ----------
    sampled
        The distance to the bone on the grid.
    """
    points = mesh.vertices_ras.copy()
    left_over = _GRID_ERROR * seat.grid.spacing_mm
    # Between nodes the distance is off by less than half a step's diagonal, whatever the bone does there.
    doubt = _DOUBT_MM + np.sqrt(3.0) / 2 * seat.grid.spacing_mm
    near = np.flatnonzero(seat.interpolate(sampled, points) < seat.interpolate(gap, points) + doubt)
    for _ in range(3):
        distance, slope = bone.distance_and_gradient(points[near])
        off = seat.interpolate(gap, points[near]) - distance
        # Too near is never left; too far is contact only where the bone does not overhang.
        move = (off > 0) | ((off > -left_over) & (slope @ seat.outward_ras > 0.02))
        points[near] += np.where(move, np.clip(off, -left_over, 1.0), 0.0)[:, None] * slope
    return unfolded(mesh, points)


def unfolded(mesh: Mesh, moved: FloatArray) -> Mesh:
    """Return the mesh with its vertices moved, but for those whose triangles would fold over."""
    points = moved.copy()
    before = mesh.face_area_vectors
    for _ in range(6):
        after = Mesh(points, mesh.faces).face_area_vectors
        size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        folded = np.einsum("ij,ij->i", before, after) < _FOLD_COSINE * size
        if not folded.any():
            break
        corners = np.unique(mesh.faces[folded])
        points[corners] = mesh.vertices_ras[corners]
    return Mesh(points, mesh.faces)
