"""Straight ways of a needle from the skin to a target: every entry tried, those that keep away from what they must, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, transform_points, unit_rows
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation.labels import Segmentation

from ..screws.structures import margin_mm
from .request import GAS, GAS_MARGIN_MM, POSITIONS, PathRequest
from .skin import Skin

_STEP_MM = 1.5
_MOST_NODES = 12e6
#: A needle may leave the body by no more than this on its way: the mask's own steps.
_OUTSIDE_MM = 3.0
#: The skin on the table: its outward normal is within this of straight down.
_ON_TABLE_COS = np.cos(np.radians(55.0))
_FINE_MM = 0.5
#: A lesion lies in a bone that this share of its border touches.
_HELD_SHARE = 0.25
#: A needle that meets the cortex flatter than this off its normal may slip along it.
SLIPS_DEG = 60.0


@dataclass(frozen=True)
class NeedlePath:
    """One way to the target.

    Parameters
    ----------
    entry_ras, target_ras
        On the skin, and the needle's end, RAS mm; `length_mm` is their distance.
    table_deg
        Between the needle and the plane of the table (right-left and head-feet), 90 is upright.
    axial_deg
        In the axial plane, how far the needle's outer end leans from upright: towards the patient's left, or for a patient
        who lies on the side towards anterior.
    cranial_deg
        How far the needle's outer end leans out of the axial plane towards the head.
    skin_deg
        Between the needle and the skin's normal.
    bone_mm
        Length in each bone that is crossed.
    bone_deg
        Between the needle and the normal of the first bone's surface; None where none is crossed.
    structures_mm
        Free distance from the needle's surface to each structure that is kept away from, nearest first.
    cost
        What it was ranked by (see `request.PathWeights`).
    """

    entry_ras: tuple[float, float, float]
    target_ras: tuple[float, float, float]
    length_mm: float
    table_deg: float
    axial_deg: float
    cranial_deg: float
    skin_deg: float
    bone_mm: Mapping[str, float]
    bone_deg: float | None
    structures_mm: Mapping[str, float]
    cost: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PathPlan:
    """The ways that were found, and the map of all entries.

    Parameters
    ----------
    paths
        Best first, their entries apart from each other.
    entries_ras, cost
        (N, 3) places on the skin and the cost (N,) of the way from each, NaN where there is none.
    why_not
        How many entries each reason rules out first.
    message
        Says in words what is possible.
    """

    paths: tuple[NeedlePath, ...]
    entries_ras: FloatArray
    cost: FloatArray
    why_not: Mapping[str, int] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, eq=False)
class Obstacles:
    """Bones and structures of a patient near a target, each as a label that distances are measured to.

    Parameters
    ----------
    margins_mm
        Room for every structure, by name.
    """

    segmentation: Segmentation | None
    margins_mm: Mapping[str, float]
    bones: tuple[str, ...]
    target_bone: str
    target_in: tuple[str, ...]

    def blocking_bones(self, rule: str) -> tuple[str, ...]:
        """Return the bones that may not be touched."""
        if rule == "through":
            return ()
        return tuple(b for b in self.bones if rule == "avoid" or b != self.target_bone)


def obstacles_of(segmentation: Segmentation | None, request: PathRequest) -> Obstacles:
    """Return what a path has to keep away from.

    Raises
    ------
    InputError
        When a structure that is asked for is not there, or the target lies in one that is to be avoided.
    """
    if segmentation is None:
        if request.avoid_mm:
            raise InputError("there are no structures to avoid without labels", "Give --bones.", where="path")
        return Obstacles(None, {}, (), "", ())
    names = [s.name for s in segmentation.segments]
    missing = [n for n in request.avoid_mm if n not in names]
    if missing:
        raise InputError(f"there is no segment '{missing[0]}'", f"There are: {', '.join(names)}.", where="path")
    labels = segmentation.labels
    ijk = np.rint(transform_points(labels.ras_to_ijk, np.array(request.target_ras))).astype(int)
    there = 0
    if np.all((ijk >= 0) & (ijk < labels.shape_ijk)):
        there = int(labels.voxels[ijk[2], ijk[1], ijk[0]])
    holding = tuple(s.name for s in segmentation.segments if s.value == there and there)
    margins = {s.name: m for s in segmentation.segments if (m := margin_mm(s.name, s.kind)) is not None}
    margins |= request.avoid_mm
    inside = [n for n in holding if n in margins]
    if inside:
        raise InputError(f"the target lies in {inside[0]}, which is to be avoided", "Move the target.", where="path")
    bones = tuple(s.name for s in segmentation.bones if s.name not in margins)
    target_bone = next((n for n in holding if n in bones), "")
    if not target_bone and holding:
        target_bone = _bone_round(segmentation, holding[0], bones)
    if request.bone == "avoid" and target_bone:
        raise InputError(
            f"the target lies in {target_bone}, and no bone may be touched", "Allow it: bone 'target'.", where="path"
        )
    return Obstacles(segmentation, margins, bones, target_bone, holding)


def _bone_round(segmentation: Segmentation, name: str, bones: tuple[str, ...]) -> str:
    """Return the bone that a structure lies in: the one that most of its border touches; empty where none does."""
    part = segmentation.around(name, 4.0)
    mask = part.voxels == segmentation[name].value
    shell = part.voxels[ndimage.binary_dilation(mask, iterations=2) & ~mask]
    shares = {b: float((shell == segmentation[b].value).mean()) for b in bones} if shell.size else {}
    best = max(shares, key=lambda b: shares[b], default="")
    return best if best and shares[best] >= _HELD_SHARE else ""


def plan_paths(
    skin: Skin, segmentation: Segmentation | None, request: PathRequest, progress: Progress = no_progress
) -> PathPlan:
    """Try every entry of the skin and return the best ways, spread over it.

    Distances are taken on a grid of about 1.5 mm to sort the entries; of the ways that are returned they are measured
    again every half millimetre to the border of the labels, and a way that fails then is dropped.

    Raises
    ------
    InputError
        As `obstacles_of`.
    GeometryError
        When the target lies outside the body or the image.
    """
    obstacles = obstacles_of(segmentation, request)
    target = np.array(request.target_ras)
    if not skin.sample(skin.body, target[None])[0]:
        raise GeometryError("the target lies outside the body", "Mark it in the body.", where="path")
    way = target - skin.points_ras
    near = np.linalg.norm(way, axis=1) <= request.longest_mm + 8.0
    direction = unit_rows(np.where(np.linalg.norm(way, axis=1, keepdims=True) > 1e-6, way, [0.0, 0.0, 1.0]))
    entries = skin.points_ras.copy()
    if near.any():
        entries[near] = skin.crossing_ras(skin.points_ras[near], direction[near])
    length = np.linalg.norm(target - entries, axis=1)
    skin_deg = np.degrees(np.arccos(np.clip(-(direction * skin.normals_ras).sum(axis=1), -1, 1)))
    checks = _Checks(len(entries))
    checks.rule_out(length > request.longest_mm, f"farther than {request.longest_mm:g} mm")
    under = np.array(POSITIONS[request.position])
    checks.rule_out(skin.normals_ras @ under > _ON_TABLE_COS, "skin that the patient lies on")
    checks.rule_out(skin_deg > 80.0, "along the skin")
    along = np.arange(0.0, request.longest_mm + 3.0, _STEP_MM)
    open_ = checks.open
    lines = _Lines(entries, direction, length, along)
    outside = ~skin.sample(skin.body, lines.points(open_)) & lines.counted(open_, from_mm=4.0)
    checks.rule_out_some(open_, outside.sum(axis=1) * _STEP_MM > _OUTSIDE_MM, "leaves the body on the way")
    cost = length + request.weights.skin_deg * np.maximum(skin_deg - request.weights.skin_free_deg, 0.0)
    radius = request.needle_mm / 2
    things = _things(skin, obstacles, request)
    for n, (name, room, region) in enumerate(things):
        progress(0.1 + 0.8 * n / max(len(things), 1), f"keeping away from {name}")
        open_ = checks.open
        if not len(open_):
            break
        distance, to_grid = region
        found = np.asarray(interpolate(distance, transform_points(to_grid, lines.points(open_))))
        free = np.where(lines.counted(open_), found, np.inf).min(axis=1) - radius
        checks.rule_out_some(open_, free < room, f"too near to {name}")
        weights = request.weights
        cost[open_] += weights.near_structure * np.maximum(weights.comfort_mm - (free - room), 0.0)
    open_ = checks.open
    crossed = _bone_lengths(lines, open_, obstacles)
    cost[open_] += request.weights.bone * np.sum([mm for mm in crossed.values()], axis=0) if crossed else 0.0
    chosen: list[NeedlePath] = []
    for n in open_[np.argsort(cost[open_])]:
        if len(chosen) >= request.options:
            break
        if any(np.linalg.norm(entries[n] - np.array(p.entry_ras)) < request.apart_mm for p in chosen):
            continue
        path = measured_path(skin, obstacles, request, entries[n], target, float(skin_deg[n]), float(cost[n]))
        if path is not None:
            chosen.append(path)
    progress(1.0, "paths planned")
    out = np.full(len(entries), np.nan)
    out[open_] = cost[open_]
    return PathPlan(tuple(chosen), entries, out, checks.counts, _words(chosen, len(open_), checks.counts))


class _Checks:
    """Which entries are still open, and what ruled out the others first."""

    def __init__(self, count: int) -> None:
        self._open = np.ones(count, dtype=bool)
        self.counts: dict[str, int] = {}

    @property
    def open(self) -> NDArray[np.int_]:
        return np.flatnonzero(self._open)

    def rule_out(self, which: NDArray[np.bool_], reason: str) -> None:
        count = int((which & self._open).sum())
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count
        self._open &= ~which

    def rule_out_some(self, rows: NDArray[np.int_], which: NDArray[np.bool_], reason: str) -> None:
        every = np.zeros(len(self._open), dtype=bool)
        every[rows] = which
        self.rule_out(every, reason)


@dataclass(frozen=True, eq=False)
class _Lines:
    entries: FloatArray
    direction: FloatArray
    length: FloatArray
    along: FloatArray

    def points(self, rows: NDArray[np.int_]) -> FloatArray:
        """Return points (N, S, 3) along lines; beyond the target they stay there."""
        t = np.minimum(self.along, self.length[rows][:, None])
        return self.entries[rows][:, None] + t[..., None] * self.direction[rows][:, None]

    def counted(self, rows: NDArray[np.int_], from_mm: float = 0.0) -> NDArray[np.bool_]:
        """Tell (N, S) which of them lie on the needle, from so far behind the skin."""
        return (self.along >= from_mm) & (self.along <= self.length[rows][:, None] + _STEP_MM)


def _things(
    skin: Skin, obstacles: Obstacles, request: PathRequest
) -> list[tuple[str, float, tuple[NDArray[Any], NDArray[Any]]]]:
    """Return name, room and distance map (with the 4x4 from RAS to its grid) of all that is kept away from."""
    out: list[tuple[str, float, tuple[NDArray[Any], NDArray[Any]]]] = []
    gas_margin = request.avoid_mm.get(GAS, GAS_MARGIN_MM)
    if skin.gas.any():
        distance = signed_distance_mm(skin.gas, np.full(3, skin.step_mm)) - np.float32(0.5 * skin.step_mm)
        out.append((GAS, gas_margin, (distance, np.linalg.inv(skin.grid_to_ras))))
    segmentation = obstacles.segmentation
    if segmentation is None:
        return out
    low = np.array(request.target_ras) - request.longest_mm - 5.0
    high = np.array(request.target_ras) + request.longest_mm + 5.0
    labels = segmentation.labels
    corners = np.array([[a, b, c] for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])])
    ijk = transform_points(labels.ras_to_ijk, corners)
    part = labels.cropped(np.floor(ijk.min(axis=0)), np.ceil(ijk.max(axis=0)) + 1)
    # Every so manieth voxel along each axis keeps the map at some millions of points.
    step = np.maximum(np.floor(_STEP_MM / part.spacing_mm).astype(int), 1)
    step = np.maximum(step, int(np.ceil(np.cbrt(part.voxels.size / np.prod(step) / _MOST_NODES))))
    voxels = part.voxels[:: step[2], :: step[1], :: step[0]]
    to_grid = np.diag([*(1.0 / step), 1.0]) @ part.ras_to_ijk
    spacing = (part.spacing_mm * step)[::-1]
    half = np.float32(0.5 * float(spacing.mean()))
    wanted = [(name, [name], room) for name, room in obstacles.margins_mm.items()]
    blocking = obstacles.blocking_bones(request.bone)
    if blocking:
        wanted.append(("bone", list(blocking), request.bone_margin_mm))
    for name, members, room in wanted:
        mask = np.isin(voxels, [segmentation[m].value for m in members])
        if mask.any():
            out.append((name, room, (signed_distance_mm(mask, spacing) - half, to_grid)))
    return out


def _bone_lengths(lines: _Lines, rows: NDArray[np.int_], obstacles: Obstacles) -> dict[str, FloatArray]:
    """Return the length (N,) of lines in each bone."""
    if obstacles.segmentation is None or not len(rows) or not obstacles.bones:
        return {}
    there = np.where(lines.counted(rows), _labels_at(obstacles.segmentation, lines.points(rows)), 0)
    return {b: (there == obstacles.segmentation[b].value).sum(axis=1) * _STEP_MM for b in obstacles.bones}


def _labels_at(segmentation: Segmentation, points: FloatArray) -> NDArray[np.int_]:
    labels = segmentation.labels
    ijk = np.rint(transform_points(labels.ras_to_ijk, points)).astype(int)
    inside = np.all((ijk >= 0) & (ijk < labels.shape_ijk), axis=-1)
    i, j, k = np.moveaxis(np.clip(ijk, 0, np.array(labels.shape_ijk) - 1), -1, 0)
    return np.asarray(np.where(inside, labels.voxels[k, j, i], 0))


def measured_path(
    skin: Skin,
    obstacles: Obstacles,
    request: PathRequest,
    entry: FloatArray,
    target: FloatArray,
    skin_deg: float,
    cost: float,
) -> NeedlePath | None:
    """Return a way with all its measures, None where it does not keep its room when it is measured finely."""
    length = float(np.linalg.norm(target - entry))
    axis = (target - entry) / length
    points = entry + np.arange(0.0, length + 0.5 * _FINE_MM, _FINE_MM)[:, None] * axis
    found = free_distances_mm(skin, obstacles, points, request)
    rooms = dict(obstacles.margins_mm)
    rooms[GAS] = request.avoid_mm.get(GAS, GAS_MARGIN_MM)
    if any(mm < rooms.get(name, request.bone_margin_mm) for name, mm in found.items()):
        return None
    bone_mm: dict[str, float] = {}
    bone_deg, notes = None, []
    if obstacles.segmentation is not None:
        there = _labels_at(obstacles.segmentation, points)
        for bone in obstacles.bones:
            at = np.flatnonzero(there == obstacles.segmentation[bone].value)
            if len(at):
                bone_mm[bone] = float(len(at) * _FINE_MM)
        if bone_mm:
            values = [obstacles.segmentation[b].value for b in bone_mm]
            bone_deg = _bone_angle_deg(obstacles.segmentation, values, points, there, axis)
            if bone_deg is not None and bone_deg > SLIPS_DEG:
                notes.append(f"meets the bone {bone_deg:.0f} degrees off its normal: the needle may slip")
    outer = -axis
    # The table lies under the patient: across A for one who lies on back or belly, across R for one on the side.
    upright, aside = (0, 1) if request.position.endswith("side") else (1, 0)
    (er, ea, es), (tr, ta, ts) = (tuple(float(c) for c in p) for p in (entry, target))
    return NeedlePath(
        (er, ea, es),
        (tr, ta, ts),
        length,
        float(np.degrees(np.arcsin(np.clip(abs(axis[upright]), 0, 1)))),
        float(np.degrees(np.arctan2((1 if aside else -1) * outer[aside], abs(outer[upright])))),
        float(np.degrees(np.arcsin(np.clip(outer[2], -1, 1)))),
        skin_deg,
        bone_mm,
        bone_deg,
        found,
        cost,
        tuple(notes),
    )


def free_distances_mm(
    skin: Skin, obstacles: Obstacles, points: FloatArray, request: PathRequest, radius_mm: float | None = None
) -> dict[str, float]:
    """Return the free distance of a needle along points (N, 3), half a millimetre apart, to every structure within 40 mm.

    To the border of the label's outermost voxels, true to about half a voxel.
    """
    radius = request.needle_mm / 2 if radius_mm is None else radius_mm
    out: dict[str, float] = {}
    if skin.gas.any():
        kji = np.argwhere(skin.gas & ~ndimage.binary_erosion(skin.gas))
        mm = float(cKDTree(transform_points(skin.grid_to_ras, kji[:, ::-1])).query(points)[0].min())
        out[GAS] = mm - 0.5 * skin.step_mm - radius
    segmentation = obstacles.segmentation
    if segmentation is not None:
        labels = segmentation.labels
        ijk = transform_points(labels.ras_to_ijk, points)
        room = 40.0 / labels.spacing_mm
        part = labels.cropped(np.floor(ijk.min(axis=0) - room), np.ceil(ijk.max(axis=0) + room) + 1)
        half = 0.5 * float(labels.spacing_mm.mean())
        wanted = {name: [name] for name in obstacles.margins_mm}
        blocking = obstacles.blocking_bones(request.bone)
        wanted |= {"bone": list(blocking)} if blocking else {}
        for name, members in wanted.items():
            mask = np.isin(part.voxels, [segmentation[m].value for m in members])
            if not mask.any():
                continue
            kji = np.argwhere(mask & ~ndimage.binary_erosion(mask))
            distance = cKDTree(transform_points(part.ijk_to_ras, kji[:, ::-1])).query(points)[0]
            within = np.isin(_labels_at(segmentation, points), [segmentation[m].value for m in members])
            out[name] = float(np.where(within, -distance, distance - half).min()) - radius
    return dict(sorted(((n, v) for n, v in out.items() if v <= 40.0), key=lambda item: item[1]))


def _bone_angle_deg(
    segmentation: Segmentation, values: list[int], points: FloatArray, there: NDArray[np.int_], axis: FloatArray
) -> float | None:
    """Return the angle between a needle and the normal of the bone's surface where it first enters."""
    first = points[int(np.flatnonzero(np.isin(there, values))[0])]
    labels = segmentation.labels
    ijk = transform_points(labels.ras_to_ijk, first)
    room = 8.0 / labels.spacing_mm
    part = labels.cropped(np.floor(ijk - room), np.ceil(ijk + room) + 1)
    smooth = ndimage.gaussian_filter(np.isin(part.voxels, values).astype(np.float32), 2.0 / part.spacing_mm[::-1])

    def at(p: FloatArray) -> float:
        return float(interpolate(smooth, transform_points(part.ras_to_ijk, p)))

    rise = np.array([at(first + e) - at(first - e) for e in np.eye(3)])
    steep = float(np.linalg.norm(rise))
    return float(np.degrees(np.arccos(np.clip(rise @ axis / steep, -1, 1)))) if steep > 1e-6 else None


def _words(paths: list[NeedlePath], reachable: int, counts: Mapping[str, int]) -> str:
    total = reachable + sum(counts.values())
    if paths:
        best = paths[0]
        near = next(iter(best.structures_mm.items()), None)
        words = f"{len(paths)} ways to the target; {reachable} of {total} entries tried reach it. The best is {best.length_mm:.0f} mm long, "
        words += f"{best.table_deg:.0f} degrees to the table"
        return words + (f", {near[1]:.1f} mm from {near[0]}." if near else ".")
    first = max(counts, key=lambda r: counts[r]) if counts else "nothing"
    return (
        f"No entry on the skin in view reaches the target ({total} tried): "
        + "; ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda item: -item[1]))
        + f". Most are {first}: allow a longer needle, less room, or bone on the way."
    )
