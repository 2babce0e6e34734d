"""A guide for K-wires on any bone: sleeves on the planned axes, joined over the bone between them.

Body, contact, bores and checks are those of the drill guide; only the outline over the bone is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points, unit
from MSKFusionLib.progress import Progress, no_progress, part

from ..bone.region import Region
from ..mesh import Mesh
from ..plan import Check, GuideScrew, Point
from .bars import bar_between, bars_field
from .body import Seat, height_of_bone, make_body, seat_between
from .drill_guide import GuideSolid, finished_guide
from .field import Bone, Distance, distance_to
from .guide_checks import Bones
from .insertion import Insertion, insertion_around, local_of, surface_around
from .lettering import text_size
from .options import GuideOptions
from .pin_layout import DEEPEST_MM, PLATE_REACH_MM, in_row, lay_over_bone
from .pins import PARALLEL_DEG, out_of_bone, pin_checks, sleeves_of_pins, widest_angle_deg
from .presets import load_guide_options
from .sleeve import Sleeve, on_surface
from .stability import GAP_MM, Stability, stability_on

__all__ = ["PinGuide", "design_pin_guide"]

#: Bone within this distance of an entry may carry the guide.
_CARRY_MM = 14.0
#: Bone farther from amid the entries than this has no part in the guide.
_REACH_MM = 90.0
_MARGIN_MM = 3.0
#: An entry farther than this from the surface, once its axis has been followed to it, belongs to another bone.
_OFF_BONE_MM = 1.0
#: Parallel wires are the insertion where that reaches at least this share of what the best direction does.
_OVER_WIRES = 0.7
#: Play per 0.1 mm of gap above which the bone gives the guide no seat of its own.
_MOST_SLIDE_MM, _MOST_ROCK_DEG = 3.0, 3.0


@dataclass(frozen=True, eq=False)
class PinGuide:
    """A designed pin guide.

    Parameters
    ----------
    solid
        The printable guide with its checks.
    pins
        The wires as they were asked for.
    stability
        The play that 0.1 mm of gap leaves it without its wires.
    over_wires
        Whether it comes off along its wires, so that they can stay.
    """

    solid: GuideSolid
    pins: tuple[GuideScrew, ...]
    stability: Stability
    over_wires: bool


def design_pin_guide(
    bone: Bone,
    pins: Sequence[GuideScrew],
    options: GuideOptions | None = None,
    *,
    label: str = "P1",
    neighbours: Sequence[Bone] = (),
    insertion_direction_ras: Point | None = None,
    bars: bool = False,
    progress: Progress = no_progress,
) -> PinGuide:
    """Design the guide that leads wires into a bone.

    Parameters
    ----------
    bone
        Closed surface of the bone, or its depth.
    pins
        The wires: entry in the bone's surface and tip, RAS mm (`pins.row_of_pins`, `pins.pin_through`).
    options
        None: those of the preset ``pin``.
    label
        Name on the guide (`lettering`).
    neighbours
        Bones that guide and wires must not meet.
    insertion_direction_ras
        The direction to put it on along, towards the bone; None: along parallel wires where enough bone can be reached that
        way, else the one within 24 degrees of their mean that reaches most.
    bars
        Whether bars join the sleeves along their row besides: over a cut that stands open the bone gives no ground.

    Raises
    ------
    InputError
        For no wires, or a label with signs that cannot be embossed.
    GeometryError
        When the bone's surface is not closed, an entry lies off it, or the wires come from opposite sides.
    ProcessingError
        When sleeves run into each other, or no sound solid comes of it; the message names the operation and the place.
    """
    wish = load_guide_options("pin") if options is None else options
    half = np.array(text_size(label, wish.text_height_mm, wish.text_stroke_mm)) / 2 + 1.0
    sleeves = sleeves_of_pins(pins, wish)
    progress(0.0, f"{label}: insertion direction")
    region = Region.around(np.mean([s.entry_ras for s in sleeves], axis=0), _REACH_MM)
    exact = distance_to(bone, region)
    others = [distance_to(n, region) for n in neighbours]
    placed = [on_surface(s, exact) for s in sleeves]
    sleeves, words = tuple(s for s, _ in placed), [w for _, w in placed if w]
    off = exact.distance_mm(np.array([s.entry_ras for s in sleeves]))
    if np.abs(off).max() > _OFF_BONE_MM:
        k = int(np.abs(off).argmax())
        raise GeometryError(
            f"its entry lies {abs(float(off[k])):.1f} mm off the bone",
            "Give the bone that it is for.",
            where=pins[k].name,
        )
    insertion, over_wires = _insertion(bone, pins, sleeves, neighbours, insertion_direction_ras, label)
    progress(0.15, f"{label}: body on the bone")
    seat = _seat(exact, sleeves, insertion.frame_to_ras, half, wish)
    ends = (
        [bar_between(a, b, [exact, *others], insertion.outward_ras, wish) for a, b in in_row(sleeves)] if bars else []
    )
    layout = partial(lay_over_bone, sleeves=sleeves, half_uv=half, options=wish, name=label, bars=ends)
    joined = partial(bars_field, ends=ends) if ends else None
    body = make_body(exact, others, sleeves, seat, wish, label, layout, joined)
    bones = Bones(exact, others, bone if isinstance(bone, Mesh) else None)
    guide = finished_guide(body, bones, sleeves, insertion, wish, label, part(progress, 0.6, 1.0))
    play = stability_on(exact, guide.fit.points_ras, guide.insertion_direction_ras)
    told = [*words, *(w for p in pins if (w := out_of_bone(p, exact)))]
    if not over_wires:
        told.append("it does not come off along its wires: pull them before taking it off")
    solid = replace(
        guide,
        checks=(*guide.checks, *_stability_checks(play), *pin_checks(pins, others, wish.drill_diameter_mm)),
        notes=(*told, *guide.notes),
        asked_direction=insertion_direction_ras,
    )
    return PinGuide(solid, tuple(pins), play, over_wires)


def _insertion(
    bone: Bone,
    pins: Sequence[GuideScrew],
    sleeves: Sequence[Sleeve],
    neighbours: Sequence[Bone],
    asked_inward_ras: Point | None,
    name: str,
) -> tuple[Insertion, bool]:
    """Return how the guide sits, and whether it comes off along its wires."""
    axes = np.array([s.outward_ras for s in sleeves])
    if np.linalg.norm(axes.sum(axis=0)) < 0.5 * len(axes):
        raise GeometryError("the wires come from opposite sides", "Design a guide for each side.", where=name)
    mean, origin = unit(axes.sum(axis=0)), np.mean([s.entry_ras for s in sleeves], axis=0)
    start = _frame(mean, sleeves, origin)
    points, normals, areas = surface_around(bone, start)
    carrying = np.zeros(len(points), dtype=bool)
    for s in sleeves:
        carrying |= np.linalg.norm(points - s.entry_ras, axis=1) < _CARRY_MM
    carrying &= (
        local_of(points, start)[:, 2]
        > local_of(np.array([s.entry_ras for s in sleeves]), start)[:, 2].min() - DEEPEST_MM
    )
    obstacles = [surface_around(n, start)[0] for n in neighbours]
    parallel = widest_angle_deg(pins) <= PARALLEL_DEG
    frame, share = insertion_around(start, points, normals, areas, carrying, obstacles, asked_inward_ras, name)
    if asked_inward_ras is None and parallel:
        a, b, c = (float(x) for x in -mean)
        straight, reached = insertion_around(start, points, normals, areas, carrying, obstacles, (a, b, c), name)
        if reached >= _OVER_WIRES * share:
            frame, share = straight, reached
    off = float(np.degrees(np.arccos(np.clip(frame[:3, 2] @ mean, -1.0, 1.0))))
    return Insertion(frame, share), parallel and off <= PARALLEL_DEG


def _frame(outward: FloatArray, sleeves: Sequence[Sleeve], origin: FloatArray) -> FloatArray:
    """Return the 4x4 whose z is outward and whose x runs along the row of entries, to the right or up where that tells."""
    entries = np.array([s.entry_ras for s in sleeves]) - origin
    row = entries[int(np.linalg.norm(entries, axis=1).argmax())]
    row = row - (row @ outward) * outward
    if np.linalg.norm(row) < 1.0:
        row = np.array([1.0, 0.0, 0.0]) if abs(outward[0]) < 0.9 else np.array([0.0, 0.0, 1.0])
    main = int(np.abs(row).argmax())
    u = unit((row - (row @ outward) * outward) * np.sign(row[main]))
    return rigid(np.column_stack([u, np.cross(outward, u), outward]), origin)


def _seat(
    bone: Distance, sleeves: Sequence[Sleeve], frame_to_ras: FloatArray, half_uv: FloatArray, options: GuideOptions
) -> Seat:
    """Lay a grid round sleeves, arms and the places that the name plate may take."""
    to_seat = invert_rigid(frame_to_ras)
    ends = transform_points(to_seat, np.array([p for s in sleeves for p in (s.entry_ras, s.end_ras)]))
    side = max(options.arm_width_mm, options.sleeve_diameter_mm + 3) / 2 + _MARGIN_MM
    entries = ends[::2]
    reach = np.minimum(PLATE_REACH_MM, 2 * half_uv + options.sleeve_diameter_mm) + half_uv + _MARGIN_MM
    low, high = ends.min(axis=0) - side, ends.max(axis=0) + side
    low[:2] = np.minimum(low[:2], entries.min(axis=0)[:2] - reach)
    high[:2] = np.maximum(high[:2], entries.max(axis=0)[:2] + reach)
    low[2] = entries[:, 2].min() - DEEPEST_MM - 3.0
    over = height_of_bone(bone, frame_to_ras, low[:2], high[:2]) + options.wall_mm + 6.0
    high[2] = max(ends[:, 2].max() + options.sleeve_diameter_mm, over)
    return seat_between(frame_to_ras, low, high, options.grid_mm)


def _stability_checks(play: Stability) -> tuple[Check, ...]:
    rock = max(play.rock_deg, play.turn_deg)
    words = f"per {GAP_MM} mm of gap it slides {play.slide_mm:.2f} mm, turns {play.turn_deg:.1f} and rocks {play.rock_deg:.1f} degrees at most"
    lame = ": the bone gives it no seat of its own; mark its place, and check the first wire before the next"
    slides, rocks = play.slide_mm > _MOST_SLIDE_MM, rock > _MOST_ROCK_DEG
    return (
        Check("slide", True, play.slide_mm, _MOST_SLIDE_MM, "mm", words + (lame if slides else "")),
        Check("rock", True, rock, _MOST_ROCK_DEG, "degrees", words + (lame if rocks else "")),
    )
