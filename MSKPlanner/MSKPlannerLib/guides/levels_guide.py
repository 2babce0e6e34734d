"""One drill guide for two or more vertebrae: a base on each, joined by a bridge.

It is true only while the vertebrae stand to each other as in the image. Between a scan lying on the back and an operation
lying on the front they do not: such a guide rejects itself unless it is said that the levels are fixed to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points, unit
from MSKFusionLib.progress import Progress, no_progress, part

from ..bone.region import Region
from ..mesh import Mesh
from ..plan import Check, Point, Screw
from .bars import bar_between, bars_field
from .base import Footprint, Map, column_tops, plan_footprint, reachable_ground
from .body import Seat, height_of_bone, make_body, seat_between
from .drill_guide import GuideSolid, finished_guide
from .field import Bone, Distance, distance_to, sample_roughly
from .guide_checks import Bones
from .insertion import Frame, best_insertion, reach_of_guide, straight_frame
from .options import GuideOptions
from .sleeve import Sleeve, on_surface, require_apart, sleeves_of
from .solid import checked, from_manifold, to_manifold

#: A base's bridge may cross the midline so far towards feet and head from its entries, and so far to the sides of it.
_BRIDGE_LOW_MM, _BRIDGE_HIGH_MM, _BRIDGE_SIDE_MM = 26.0, 18.0, 14.0
_MARGIN_MM = 3.0
#: Bone this much lower than the deepest entry carries nothing.
_DEEPEST_MM = 6.0


@dataclass(frozen=True, eq=False)
class Level:
    """A vertebra of a guide for several: its closed surface, its axes, and its screws."""

    name: str
    bone: Mesh
    frame: Frame
    screws: tuple[Screw, ...]


@dataclass(frozen=True, eq=False)
class _Between:
    """The axes amid several vertebrae."""

    centre_ras: FloatArray
    right_ras: FloatArray
    anterior_ras: FloatArray
    superior_ras: FloatArray


def design_levels_guide(
    levels: Sequence[Level],
    options: GuideOptions | None = None,
    *,
    fixed: bool = False,
    neighbours: Sequence[Bone] = (),
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> GuideSolid:
    """Design one guide for adjacent vertebrae.

    Parameters
    ----------
    levels
        Two or more, from head to foot.
    fixed
        Whether it is known that they do not move against each other between scan and operation (fused, or scanned in the
        posture of the operation). Otherwise the guide is rejected by its check ``posture``.
    neighbours, insertion_direction_ras
        As `drill_guide.design_drill_guide`.

    Raises
    ------
    InputError
        For fewer than two levels, or one without screws.
    ProcessingError
        When no sound solid comes of it; the message names the operation and the place.
    """
    wish = GuideOptions() if options is None else options
    if len(levels) < 2:
        raise InputError("a guide for several levels needs two", "Design a guide a level.")
    names = tuple(level.name for level in levels)
    name = label_of(names)
    by_level = [sleeves_of(level.screws, wish) for level in levels]
    sleeves = tuple(s for group in by_level for s in group)
    require_apart(sleeves)
    progress(0.0, f"{name}: insertion direction")
    whole = _whole([level.bone for level in levels], name)
    frame = _between([level.frame for level in levels])
    straight = straight_frame(frame, sleeves)
    region = _reach(straight, sleeves)
    exact = distance_to(whole, region)
    others = [distance_to(n, region) for n in neighbours]
    placed = [on_surface(s, exact) for s in sleeves]
    sleeves, words = tuple(s for s, _ in placed), [w for _, w in placed if w]
    sizes = np.cumsum([0, *(len(g) for g in by_level)])
    groups = [sleeves[a:b] for a, b in pairwise(sizes)]
    insertion = best_insertion(whole, frame, sleeves, neighbours, insertion_direction_ras)
    progress(0.15, f"{name}: body on the bones")
    seat = _seat(exact, sleeves, insertion.frame_to_ras, wish)
    own = [distance_to(level.bone, region) for level in levels]
    layout = partial(_layout, own=own, groups=groups, options=wish)
    ends = [bar_between(a, b, [exact, *others], insertion.outward_ras, wish) for a, b in _pairs(groups)]
    body = make_body(exact, others, sleeves, seat, wish, name, layout, partial(bars_field, ends=ends))
    guide = finished_guide(body, Bones(exact, others, whole), sleeves, insertion, wish, name, part(progress, 0.6, 1.0))
    posture = [posture_check(guide, upper, lower, fixed=fixed) for upper, lower in pairwise(levels)]
    return replace(
        guide,
        checks=(*guide.checks, *posture),
        notes=(*words, *guide.notes),
        asked_direction=insertion_direction_ras,
    )


def joined_name(levels: Sequence[str]) -> str:
    """Return what a guide for several levels is called: the first and the last of them."""
    return f"{levels[0]}-{levels[-1]}"


def label_of(levels: Sequence[str]) -> str:
    """Return the name on the guide, as short as it can be: on a small vertebra a long one reaches to the bars."""
    first, last = levels[0], levels[-1]
    letters = first.rstrip("0123456789")
    return f"{first}-{last.removeprefix(letters)}" if letters and last.removeprefix(letters) else f"{first}-{last}"


def posture_check(guide: GuideSolid, upper: Level, lower: Level, *, fixed: bool) -> Check:
    """Tell what bending between two levels does to a guide on both; it fails unless they are said to be fixed.

    The joint is taken to turn about the middle of the disc, amid the centres of the two bodies. Per degree the base on the
    lower level is off its bone by its distance from there.
    """
    amid = 0.5 * (np.asarray(upper.frame.centre_ras) + np.asarray(lower.frame.centre_ras))
    axis = unit(np.asarray(upper.frame.right_ras) + np.asarray(lower.frame.right_ras))
    down = np.asarray(lower.frame.centre_ras) - np.asarray(upper.frame.centre_ras)
    points = guide.fit.points_ras
    on_lower = points[(points - amid) @ down > 0] if len(points) else np.empty((0, 3))
    places = np.concatenate([on_lower, [s.entry_ras for s in lower.screws]])
    per_degree = float(np.radians(1.0) * np.linalg.norm(np.cross(axis, places - amid), axis=1).max())
    bearable = guide.options.fit_clearance_mm / per_degree
    words = (
        f"each degree that {upper.name} and {lower.name} bend against each other after the scan moves the bone under it by "
        f"{per_degree:.1f} mm; from {bearable:.1f} degrees on it no longer sits within its clearance"
    )
    if not fixed:
        words += ". Posture changes between scan and operation: use a guide a level, or say that the levels are fixed"
    return Check(f"posture {upper.name}-{lower.name}", fixed, per_degree, None, "mm per degree", words)


def _whole(bones: Sequence[Mesh], name: str) -> Mesh:
    """Return the bones as one closed surface, wherever they touch."""
    solid = to_manifold(bones[0], f"{name}: bone")
    for other in bones[1:]:
        solid = solid + to_manifold(other, f"{name}: bone")
    return from_manifold(checked(solid, f"{name}: the bones together"))


def _between(frames: Sequence[Frame]) -> _Between:
    def mean(values: list[FloatArray]) -> FloatArray:
        return np.asarray(np.mean(values, axis=0), dtype=np.float64)

    right = unit(mean([np.asarray(f.right_ras) for f in frames]))
    front = mean([np.asarray(f.anterior_ras) for f in frames])
    front = unit(front - (front @ right) * right)
    return _Between(mean([np.asarray(f.centre_ras) for f in frames]), right, front, np.cross(right, front))


def _reach(straight: FloatArray, sleeves: Sequence[Sleeve]) -> Region:
    """Return the box of a guide, as long as its levels are apart."""
    one = reach_of_guide(straight)
    local = transform_points(invert_rigid(straight), np.array([s.entry_ras for s in sleeves]))
    low, high = np.array(one.lower), np.array(one.upper)
    low[1] += min(0.0, float(local[:, 1].min()))
    high[1] += max(0.0, float(local[:, 1].max()))
    return Region(straight, low, high)


def _seat(bone: Distance, sleeves: Sequence[Sleeve], frame_to_ras: FloatArray, options: GuideOptions) -> Seat:
    ends = transform_points(
        invert_rigid(frame_to_ras), np.array([p for s in sleeves for p in (s.entry_ras, s.end_ras)])
    )
    side = max(options.arm_width_mm, options.sleeve_diameter_mm + 3) / 2 + _MARGIN_MM
    low, high = ends.min(axis=0) - side, ends.max(axis=0) + side
    entries = ends[::2, 1]
    low[:2] = np.minimum(low[:2], [-_BRIDGE_SIDE_MM, entries.min() - _BRIDGE_LOW_MM])
    high[:2] = np.maximum(high[:2], [_BRIDGE_SIDE_MM, entries.max() + _BRIDGE_HIGH_MM])
    low[2] = ends[:, 2].min() - 9.0
    middle = np.array([[-12.0, low[1]], [12.0, high[1]]])
    over = height_of_bone(bone, frame_to_ras, *middle) + options.wall_mm + options.ligament_relief_mm + 6.0
    high[2] = max(ends[:, 2].max() + options.sleeve_diameter_mm, over)
    return seat_between(frame_to_ras, low, high, options.grid_mm)


def _layout(
    top: Map,
    blocked: Map,
    seat: Seat,
    *,
    own: Sequence[Distance],
    groups: Sequence[Sequence[Sleeve]],
    options: GuideOptions,
) -> Footprint:
    """Lay a base over each level, and a bridge from the middle of one to the middle of the next."""
    tops = [column_tops(sample_roughly(d, seat.grid, 1.0), 0.0, seat.w) for d in own]
    step, u, v = seat.grid.spacing_mm, seat.u, seat.v
    bases, deepest = [], np.inf
    for n, (mine, sleeves) in enumerate(zip(tops, groups, strict=True)):
        # What another level covers is not this one's ground.
        others = [t for k, t in enumerate(tops) if k != n]
        entries = [seat.local(s.entry_ras) for s in sleeves]
        deepest = min(deepest, *(float(e[2]) for e in entries))
        try:
            bases.append(plan_footprint(mine, np.maximum.reduce([blocked, *others]), entries, u, v, step, options))
        except ProcessingError as error:
            raise ProcessingError(f"{sleeves[0].screw.rsplit(' ', 1)[0]}: {error}") from error
    ground = reachable_ground(top, blocked, deepest - _DEEPEST_MM, step, options)
    outline, rib = (np.minimum.reduce([getattr(b, part) for b in bases]) for part in ("outline", "rib"))
    crest = np.maximum.reduce([b.crest_w for b in bases])
    return Footprint(outline, rib, ground.floor, crest, bases[0].middle)


def _pairs(groups: Sequence[Sequence[Sleeve]]) -> list[tuple[Sleeve, Sleeve]]:
    """Return the sleeves that bars join: those of one side of adjacent levels, or the nearest two where no side has both."""
    pairs = []
    for upper, lower in pairwise(groups):
        same = [(a, b) for a in upper for b in lower if a.side == b.side]
        every = [(a, b) for a in upper for b in lower]
        pairs += same or [min(every, key=lambda p: float(np.linalg.norm(p[0].entry_ras - p[1].entry_ras)))]
    return pairs
