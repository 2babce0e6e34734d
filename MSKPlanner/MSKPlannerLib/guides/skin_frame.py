"""A frame on the skin: pads, tubes along planned ways, bars between them, clear of the incisions.

After the idea of Wang et al. 2024 (doi 10.3389/fbioe.2024.1404937): what leads the instrument stands on the skin round the
incision instead of on bone that would have to be laid bare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points, unit
from MSKFusionLib.progress import Progress, no_progress

from ..mesh import Mesh
from ..plan import Check, Point
from .body import Body, Plate, Seat, on_clearance, plate_field, seat_points
from .checks import point
from .field import Field, Grid, depth_mm, rod_field, sample_distance, smooth_max, smooth_min, swept, thick_parts
from .fit import Fit, measure_fit
from .guide_checks import Bones, bore_checks, seated_checks, way_off_check
from .lettering import text_size
from .mesh_distance import MeshDistance
from .openings import CRUMB_MM3, lettered, with_bores
from .skin_layout import Layout, plan_layout, skin_frame_axes
from .skin_options import SkinFrameOptions
from .sleeve import Sleeve, bore_field, on_surface, require_apart, sleeve_field
from .solid import from_manifold, printable
from .stability import Stability, stability_on

_MARGIN_MM, _FILLET_MM, _ROUNDING_MM = 3.0, 3.0, 1.5
#: What is thinner than this after all cuts is taken away.
_THINNEST_MM = 1.6
#: The frame may reach into the zone of an incision by no more than this: the grid's roundings.
_ZONE_ERROR_MM = 0.3


@dataclass(frozen=True)
class Way:
    """A planned way of an instrument: its name, where it enters the skin, and where it ends, RAS mm."""

    name: str
    entry_ras: Point
    target_ras: Point


@dataclass(frozen=True, eq=False)
class SkinFrame:
    """A designed frame with everything measured on it.

    Parameters
    ----------
    mesh
        The printable solid, RAS mm.
    sleeves
        The tubes; their `entry_ras` are on the skin, their length counts from there.
    depth_mm
        From the end of each tube to the target along its way: what the instrument's stop is set to.
    insertion_direction_ras
        Unit direction in which the frame is put on.
    stability
        The play that 0.1 mm of gap under the pads leaves.
    """

    mesh: Mesh
    ways: tuple[Way, ...]
    sleeves: tuple[Sleeve, ...]
    depth_mm: tuple[float, ...]
    layout: Layout
    options: SkinFrameOptions
    insertion_direction_ras: FloatArray
    fit: Fit
    stability: Stability
    min_wall_mm: float
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()


def design_skin_frame(
    surface: Mesh,
    ways: Sequence[Way],
    options: SkinFrameOptions | None = None,
    *,
    label: str = "1",
    progress: Progress = no_progress,
) -> SkinFrame:
    """Design the frame that leads instruments along planned ways from the skin.

    Parameters
    ----------
    surface
        The body around the entries as a closed surface, RAS mm (`percutaneous.skin_surface`).
    ways
        One or more, all from one side of the body.
    label
        Name on the frame (`lettering`).

    Raises
    ------
    InputError
        For no ways, or a way without a length.
    GeometryError
        When the surface is not closed.
    ProcessingError
        When tubes run into each other, there is no skin for a pad, or no sound solid comes of it.
    """
    wish = SkinFrameOptions() if options is None else options
    sleeves = _tubes(ways, wish)
    progress(0.0, "pads and bars")
    skin = MeshDistance(surface)
    placed = [on_surface(s, skin) for s in sleeves]
    sleeves = tuple(s for s, _ in placed)
    axes = skin_frame_axes(surface, sleeves)
    half = np.array(text_size(label, wish.text_height_mm, wish.text_stroke_mm)) / 2 + 1.2
    layout = plan_layout(skin, surface, sleeves, axes, wish, half)
    progress(0.2, "body of the frame")
    body = _body(skin, sleeves, layout, wish, half)
    progress(0.6, "tubes and letters")
    solid, dropped = with_bores(body, sleeves, label)
    mesh = printable(lettered(solid, body, wish, label), label)
    progress(0.75, "measuring")
    outward = np.array(axes[:3, 2])
    fit = measure_fit(mesh, skin, outward, wish.fit_clearance_mm)
    bones = Bones(skin, (), surface)
    checks, wall = seated_checks(mesh, from_manifold(solid), fit, wish, outward, bones, way_off=way_off_check)
    if mesh.is_closed:
        inside = MeshDistance(mesh)
        for sleeve in sleeves:
            checks += bore_checks(mesh, inside, sleeve, bones, wish.drill_diameter_mm)
            checks.append(_zone_check(mesh, sleeve, wish))
    lost = [v for v in (*body.dropped_mm3, *dropped) if v > CRUMB_MM3]
    depth = tuple(
        s.length_mm + float(np.linalg.norm(np.subtract(way.target_ras, s.entry_ras)))
        for s, way in zip(sleeves, ways, strict=True)
    )
    progress(1.0, "frame done")
    return SkinFrame(
        mesh=mesh,
        ways=tuple(ways),
        sleeves=sleeves,
        depth_mm=depth,
        layout=layout,
        options=wish,
        insertion_direction_ras=-outward,
        fit=fit,
        stability=stability_on(skin, fit.points_ras, -outward),
        min_wall_mm=wall,
        checks=tuple(_of_skin(c) for c in checks),
        notes=(
            *(w.replace("bone", "skin") for _, w in placed if w),
            *(f"a loose piece of {v:.1f} mm3 was dropped" for v in lost),
        ),
    )


def _tubes(ways: Sequence[Way], options: SkinFrameOptions) -> tuple[Sleeve, ...]:
    if not ways:
        raise InputError("a frame needs at least one way", "Plan one first.", where="skin frame")
    if len({w.name for w in ways}) < len(ways):
        raise InputError("two ways have the same name", where="skin frame")
    for way in ways:
        ends = np.array([way.entry_ras, way.target_ras], dtype=np.float64)
        if not np.isfinite(ends).all() or np.linalg.norm(ends[1] - ends[0]) < 1.0:
            raise InputError("entry and target are not two points apart", where=way.name)
    tubes = tuple(
        Sleeve.on_axis(
            w.name,
            w.name,
            w.entry_ras,
            w.target_ras,
            options.bore_diameter_mm,
            options.tube_diameter_mm,
            options.standoff_mm + options.tube_length_mm,
        )
        for w in ways
    )
    require_apart(tubes)
    return tubes


def _body(
    skin: MeshDistance, sleeves: Sequence[Sleeve], layout: Layout, options: SkinFrameOptions, half: FloatArray
) -> Body:
    """Return pads, posts, bars, tubes and name plate in one, the pads on the exact clearance."""
    bar = options.bar_diameter_mm / 2
    high = float(layout.posts_uvw[0, 2]) + bar
    plate = Plate(layout.plate_uv, half, high - bar, high)
    seat = _seat(sleeves, layout, plate, options)
    band = options.pad_thickness_mm + _FILLET_MM
    d = sample_distance(skin, seat.grid, band, options.fit_clearance_mm + 2 * options.grid_mm)
    room = (swept(d) - options.fit_clearance_mm).astype(np.float32)
    u, v, w = seat.u[:, None, None], seat.v[None, :, None], seat.w[None, None, :]
    shell = d - np.float32(options.fit_clearance_mm + options.pad_thickness_mm)
    solid = np.full(seat.grid.shape, 1e3, dtype=np.float32)
    for pad, post in zip(layout.pads_uvw, layout.posts_uvw, strict=True):
        disc = (np.hypot(u - pad[0], v - pad[1]) - options.pad_diameter_mm / 2).astype(np.float32)
        # The other side of the body lies in the same columns.
        under = (pad[2] - options.pad_diameter_mm - w).astype(np.float32)
        solid = np.minimum(solid, np.maximum(smooth_max(shell, disc, _ROUNDING_MM), under))
        foot = pad + [0.0, 0.0, options.fit_clearance_mm + options.pad_thickness_mm / 2]
        solid = smooth_min(solid, rod_field(foot, post, bar, u, v, w), _FILLET_MM)
    for ends in layout.bars_uvw:
        solid = smooth_min(solid, rod_field(ends[0], ends[1], bar, u, v, w), _FILLET_MM)
    points = seat_points(seat)
    for s in sleeves:
        solid = smooth_min(solid, sleeve_field(s, points, options.standoff_mm), _FILLET_MM)
    solid = smooth_min(solid, plate_field(plate, seat), 1.0)
    solid = np.maximum(solid, -room)
    for s in sleeves:
        solid = np.maximum(solid, -_zone_field(s, points, options))
    pierced = solid
    for s in sleeves:
        pierced = np.maximum(pierced, -bore_field(s, points))
    thick, lost = thick_parts(pierced, options.grid_mm, _THINNEST_MM / 2, depth_mm(pierced, options.grid_mm))
    solid = np.maximum(solid, thick)
    for s in sleeves:
        middle = s.at(options.standoff_mm + options.tube_length_mm / 2)
        if seat.interpolate(solid, _ring(s, middle)).max() > 0:
            raise ProcessingError(f"the tube of {s.screw} does not hang together with the frame; move its entry.")
    gap = np.full(seat.grid.shape, options.fit_clearance_mm, dtype=np.float32)
    mesh = on_clearance(seat.grid.surface(solid), skin, seat, gap, d)
    return Body(mesh, seat, plate, solid, gap, d, np.zeros_like(gap), tuple(lost))


def _seat(sleeves: Sequence[Sleeve], layout: Layout, plate: Plate, options: SkinFrameOptions) -> Seat:
    """Lay a grid around everything that the frame is made of."""
    to_frame = invert_rigid(layout.frame_to_ras)
    tubes = transform_points(to_frame, np.array([p for s in sleeves for p in (s.at(options.standoff_mm), s.end_ras)]))
    pad, tube = options.pad_diameter_mm / 2, options.tube_diameter_mm / 2 + 1.0
    ends = np.concatenate([layout.pads_uvw, layout.posts_uvw])
    low = np.minimum(ends.min(axis=0) - pad, tubes.min(axis=0) - tube) - _MARGIN_MM
    high = np.maximum(ends.max(axis=0) + pad, tubes.max(axis=0) + tube) + _MARGIN_MM
    low[:2] = np.minimum(low[:2], plate.middle_uv - plate.half_uv - _MARGIN_MM)
    high[:2] = np.maximum(high[:2], plate.middle_uv + plate.half_uv + _MARGIN_MM)
    n = np.ceil((high - low) / options.grid_mm).astype(int) + 1
    grid = Grid(layout.frame_to_ras @ rigid(translation=low), options.grid_mm, (int(n[0]), int(n[1]), int(n[2])))
    u, v, w = (a.ravel() + o for a, o in zip(grid.axes(), low, strict=True))
    return Seat(layout.frame_to_ras, grid, u, v, w)


def _zone_field(s: Sleeve, points: FloatArray, options: SkinFrameOptions) -> Field:
    """Return the field of the incision's zone, negative in it."""
    offset = points - s.entry_ras
    along = offset @ s.outward_ras
    radial = np.sqrt(np.maximum(np.einsum("...i,...i->...", offset, offset) - along**2, 0.0))
    return np.maximum(radial - options.incision_radius_mm, along - options.standoff_mm).astype(np.float32)


def _ring(s: Sleeve, middle: FloatArray) -> FloatArray:
    """Return points (8, 3) in the middle of a tube's wall."""
    side = unit(np.cross(s.outward_ras, [1.0, 0.0, 0.0] if abs(s.outward_ras[0]) < 0.8 else [0.0, 1.0, 0.0]))
    other = np.cross(s.outward_ras, side)
    turn = np.linspace(0.0, 2 * np.pi, 8, endpoint=False)[:, None]
    return np.asarray(middle + (s.bore_radius_mm + s.radius_mm) / 2 * (np.cos(turn) * side + np.sin(turn) * other))


def _zone_check(mesh: Mesh, s: Sleeve, options: SkinFrameOptions) -> Check:
    """Return whether the finished frame leaves the incision free."""
    inside = _zone_field(s, mesh.vertices_ras, options)
    least = float(inside.min())
    good = least >= -_ZONE_ERROR_MM
    words = (
        f"{s.screw}: {options.incision_radius_mm:.0f} mm round the axis are free up to {options.standoff_mm:.0f} mm above "
        "the skin"
    )
    if not good:
        words = f"{s.screw}: the frame stands {-least:.1f} mm inside the incision's zone"
    place = None if good else point(mesh.vertices_ras[int(inside.argmin())])
    return Check(f"incision {s.side}", good, least, -_ZONE_ERROR_MM, "mm", words, place)


def _of_skin(check: Check) -> Check:
    """Return a check in words of the skin: what is told of a bone elsewhere is told of the skin here."""
    return replace(check, name=check.name.replace("bone", "skin"), message=check.message.replace("bone", "skin"))
