"""Straight ways of a needle from the skin to a target: every entry tried, those that keep away from what they must, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.distance_map import signed_distance_mm
from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, transform_points, unit_rows
from MSKFusionLib.interpolation import interpolate
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation.labels import Segmentation

from .measured_path import measured_path
from .needle_path import NeedlePath, PathPlan
from .obstacles import Obstacles, labels_at, obstacles_of
from .request import GAS, GAS_MARGIN_MM, POSITIONS, PathRequest
from .skin import Skin

_STEP_MM = 1.5
_MOST_NODES = 12e6
#: A needle may leave the body by no more than this on its way: the mask's own steps.
_OUTSIDE_MM = 3.0
#: The skin on the table: its outward normal is within this of straight down.
_ON_TABLE_COS = np.cos(np.radians(55.0))


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
    there = np.where(lines.counted(rows), labels_at(obstacles.segmentation, lines.points(rows)), 0)
    return {b: (there == obstacles.segmentation[b].value).sum(axis=1) * _STEP_MM for b in obstacles.bones}


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
