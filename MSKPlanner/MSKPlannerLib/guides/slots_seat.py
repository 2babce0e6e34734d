"""Where a guide with several slots sits: the slots on their planes, kept apart where planes meet, and how it is put on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.errors import GeometryError, ProcessingError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, rigid, transform_points, unit

from .cut_options import CuttingGuideOptions
from .field import Bone, Distance
from .insertion import insertion_around, local_of, surface_around
from .lettering import text_size
from .sawn_face import SawnFace, Trace, trace_of
from .sleeve import Sleeve
from .slot import Slot

#: A slot reaches this far beyond bone that ends.
_BEYOND_BONE_MM = 2.0
#: A block reaches this far below the lowest bone that carries it; its slot begins as far below that.
_BELOW_MM = 2.0
#: Material between two slots where their planes meet, and the steps in which slots are made shorter until it is there.
CORNER_WALL_MM = 3.0
_SHORTER_MM = 0.25
#: A slot shorter than this leads no saw.
_SHORTEST_MM = 8.0
#: Saws farther apart than this from amid them all do not work through one guide.
_FROM_AMID_DEG = 60.0
#: The wall at the end of a slot stands free of bone so far down from its top.
_FREE_WALL_MM = 5.0
#: Above a slot's top its way is kept off another one's as far as this.
_WAY_UP_MM = 12.0


@dataclass(frozen=True, eq=False)
class SawStop:
    """How deep the saw of one slot goes.

    Parameters
    ----------
    deepest_mm
        From the flat top of the block to the end of the cut where it is deepest.
    shallowest_mm
        The same where the cut ends in bone that stays and is least deep; None where it ends in none.
    led_mm, across_mm
        Width of the face that the slot leads the saw over, and of all that can be entered from outside.
    """

    deepest_mm: float
    shallowest_mm: float | None
    led_mm: float
    across_mm: float


@dataclass(frozen=True, eq=False)
class SlotsSeat:
    """What is fixed before the body is made.

    Parameters
    ----------
    frame_to_ras
        Rigid 4x4: origin amid the slots, z the way off.
    named
        The slot whose top carries the name.
    reachable
        Share of the bone under the guide that can be touched along the insertion direction.
    """

    frame_to_ras: FloatArray
    slots: tuple[Slot, ...]
    stops: tuple[SawStop, ...]
    named: int
    reachable: float
    wires: tuple[Sleeve, ...] = ()

    @property
    def outward_ras(self) -> FloatArray:
        """Unit direction in which the guide comes off."""
        return np.array(self.frame_to_ras[:3, 2])


def seat_of_faces(
    bone: Bone,
    distance: Distance,
    faces: Sequence[SawnFace],
    options: CuttingGuideOptions,
    label: str,
    neighbours: Sequence[Bone] = (),
    asked_inward_ras: Sequence[float] | None = None,
) -> SlotsSeat:
    """Place a slot on every face and find the direction that reaches most bone under them; wires come later.

    Raises
    ------
    GeometryError
        When a face cannot be entered from outside, or the saws come from too different sides.
    ProcessingError
        When slots leave each other no room, or no bone can be reached for a guide.
    """
    together = np.sum([unit(f.outward_ras) for f in faces], axis=0)
    # Saws from opposite sides have no middle: any will do, none is near it.
    amid = unit(together) if np.linalg.norm(together) > 1e-6 else perpendicular_axes(faces[0].outward_ras)[0]
    for face in faces:
        off = float(np.degrees(np.arccos(np.clip(unit(face.outward_ras) @ amid, -1.0, 1.0))))
        if off > _FROM_AMID_DEG:
            raise GeometryError(
                f"its saw comes from {off:.0f} degrees beside the others: these planes cannot be reached from one side",
                "Design a guide for each side (--cuts).",
                where=face.name,
            )
    traces = [trace_of(f, distance, options.wrap_mm) for f in faces]
    ends = _kept_apart([f.name for f in faces], traces, distance, options)
    widths = [high - low for low, high in ends]
    named = int(np.argmax(widths))
    needed = text_size(label, options.text_height_mm, options.text_stroke_mm)[0] + 1.0
    if needed > widths[named] + 2 * options.slot_end_wall_mm:
        raise ProcessingError(f"The name '{label}' is longer than every slot of the guide; make it shorter.")
    slots = tuple(
        _slot(f.name, t, e, options, ledge_mm=options.ledge_mm if n == named else options.slot_wall_mm).raised(
            distance, options.fit_clearance_mm + options.slot_height_mm
        )
        for n, (f, t, e) in enumerate(zip(faces, traces, ends, strict=True))
    )
    stops = tuple(_stop(s, t, e) for s, t, e in zip(slots, traces, ends, strict=True))
    start = _frame(amid, slots)
    points, normals, areas = surface_around(bone, start)
    carrying = np.zeros(len(points), dtype=bool)
    for slot in slots:
        carrying |= _under(slot, points, options)
    obstacles = [surface_around(n, start)[0] for n in neighbours]
    name = " and ".join((", ".join(s.name for s in slots[:-1]), slots[-1].name)) if len(slots) > 1 else slots[0].name
    frame, share = insertion_around(start, points, normals, areas, carrying, obstacles, asked_inward_ras, name)
    return SlotsSeat(frame, slots, stops, named, share)


def _slot(
    name: str, trace: Trace, ends: tuple[float, float], options: CuttingGuideOptions, ledge_mm: float | None = None
) -> Slot:
    """Return the slot between two places along a trace; its top as high as over the highest bone of the face itself."""
    low, high = ends
    origin = transform_points(trace.to_ras, np.array([(low + high) / 2, 0.0, trace.top_mm.max()]))
    return Slot(
        name=name,
        to_ras=rigid(trace.to_ras[:3, :3], origin),
        width_mm=high - low,
        thickness_mm=options.slot_thickness_mm,
        top_mm=options.slot_height_mm,
        low_mm=-options.wrap_mm - _BELOW_MM,
        end_wall_mm=options.slot_end_wall_mm,
        wall_mm=options.slot_wall_mm,
        ledge_mm=options.slot_wall_mm if ledge_mm is None else ledge_mm,
        inside_mm=options.wrap_mm + 2 * _BELOW_MM,
    )


def _kept_apart(
    names: Sequence[str], traces: Sequence[Trace], bone: Distance, options: CuttingGuideOptions
) -> list[tuple[float, float]]:
    """Return where along its trace each slot begins and ends: beyond bone that ends, off bone that rises, a wall off other slots."""
    ends = []
    for t in traces:
        low = t.x_mm[0] - (0.0 if t.cornered[0] else _BEYOND_BONE_MM)
        high = t.x_mm[-1] + (0.0 if t.cornered[1] else _BEYOND_BONE_MM)
        over = max(0.0, (high - low - options.slot_width_mm) / 2)
        ends.append([float(low + over), float(high - over)])
    slots = [_slot(n, t, (e[0], e[1]), options) for n, t, e in zip(names, traces, ends, strict=True)]
    shortened = True
    while shortened:
        shortened = False
        for k, trace in enumerate(traces):
            for side in (0, 1):
                near = min((_nearest(slots[k], side, s) for n, s in enumerate(slots) if n != k), default=np.inf)
                if near >= CORNER_WALL_MM and _stands_free(slots[k], side, bone, options):
                    continue
                ends[k][side] += _SHORTER_MM if side == 0 else -_SHORTER_MM
                width = ends[k][1] - ends[k][0]
                if width < _SHORTEST_MM:
                    raise ProcessingError(
                        f"{names[k]}: its slot would be shorter than {_SHORTEST_MM:.0f} mm between the others and bone that rises beside "
                        "it; plan fewer planes, or design a guide for some of them."
                    )
                slots[k] = _slot(names[k], trace, (ends[k][0], ends[k][1]), options)
                shortened = True
    for k, slot in enumerate(slots):
        for other in slots[k + 1 :]:
            if _crosses(slot, other):
                raise ProcessingError(
                    f"{slot.name}: its slot runs through that of {other.name}; design a guide for each."
                )
    return [(low, high) for low, high in ends]


def _nearest(slot: Slot, side: int, other: Slot) -> float:
    """Return how near an end of a slot comes to another slot, mm."""
    x = slot.width_mm / 2 * (1 if side else -1)
    y = np.array([-0.5, 0.0, 0.5]) * slot.thickness_mm
    z = np.arange(-slot.inside_mm, slot.top_mm + _WAY_UP_MM, 1.0)
    points = np.stack(np.meshgrid([x], y, z, indexing="ij"), axis=-1).reshape(-1, 3)
    return float(_off_opening(other, transform_points(slot.to_ras, points)).min())


def _stands_free(slot: Slot, side: int, bone: Distance, options: CuttingGuideOptions) -> bool:
    """Tell whether the wall at an end of a slot, below its top, stands clear of bone that rises beside the cut."""
    way = 1 if side else -1
    x = way * (slot.width_mm / 2 + np.array([0.25, 0.5, 0.75]) * slot.end_wall_mm)
    y, z = (
        np.array([-0.5, 0.0, 0.5]) * slot.thickness_mm,
        slot.top_mm - np.array([_FREE_WALL_MM, _FREE_WALL_MM / 2, 0.0]),
    )
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)
    return bool(bone.distance_mm(transform_points(slot.to_ras, points)).min() > options.fit_clearance_mm)


def _crosses(slot: Slot, other: Slot) -> bool:
    return bool((_off_opening(other, slot.middle_points(1.0, -slot.inside_mm, slot.top_mm)) < 0.5).any())


def _off_opening(slot: Slot, points_ras: FloatArray) -> FloatArray:
    """Return how far points lie off a slot's opening, up to a little above its top."""
    half = np.array([slot.width_mm / 2, slot.thickness_mm / 2])
    return off_box(
        slot.local(points_ras), np.array([*-half, -slot.inside_mm]), np.array([*half, slot.top_mm + _WAY_UP_MM])
    )


def off_box(local: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the signed distance (N,) of points (N, 3) to a box between two corners, negative inside."""
    beyond = np.maximum(low - local, local - high)
    return np.asarray(np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(axis=-1), 0.0))


def _stop(slot: Slot, trace: Trace, ends: tuple[float, float]) -> SawStop:
    there = (trace.x_mm >= ends[0]) & (trace.x_mm <= ends[1])
    # Heights of the trace in the slot's own frame.
    depth = slot.top_mm + trace.top_mm.max() - trace.bottom_mm[there]
    blind = trace.blind[there]
    shallow = float(depth[blind].min()) if blind.any() else None
    led = float(there.sum() * (trace.x_mm[1] - trace.x_mm[0])) if len(trace.x_mm) > 1 else 0.0
    return SawStop(float(depth.max()), shallow, led, max(led, trace.across_mm))


def _frame(outward: FloatArray, slots: Sequence[Slot]) -> FloatArray:
    """Return the 4x4 amid the slots whose z is outward and whose x runs as the widest slot does."""
    widest = max(slots, key=lambda s: s.width_mm)
    along = widest.to_ras[:3, 0]
    along = along - (along @ outward) * outward
    u = unit(along) if np.linalg.norm(along) > 0.1 else perpendicular_axes(outward)[0]
    origin = np.mean([s.to_ras[:3, 3] for s in slots], axis=0)
    return rigid(np.column_stack([u, np.cross(outward, u), outward]), origin)


def _under(slot: Slot, points_ras: FloatArray, options: CuttingGuideOptions) -> np.ndarray:
    """Return which points of the bone lie under a slot's block and the wires beside it."""
    p, (low, high) = slot.local(points_ras), slot.block_corners
    inside = (np.abs(p[:, 0]) < high[0]) & (p[:, 1] > low[1]) & (p[:, 1] < high[1] + options.wire_sleeve_diameter_mm)
    return np.asarray(inside & (p[:, 2] > -options.wrap_mm))


def with_wires(seat: SlotsSeat, wires: Sequence[Sleeve]) -> SlotsSeat:
    """Return a seat with the sleeves of its wires."""
    return replace(seat, wires=tuple(wires))


def in_seat(seat: SlotsSeat, points_ras: FloatArray) -> FloatArray:
    """Return points (N, 3) in the frame of a seat."""
    return local_of(points_ras, seat.frame_to_ras)
