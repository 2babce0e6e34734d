"""The planes that free a tumour with its margin and take the least bone with it.

Each plane touches the bone that must go, so a plane is its normal alone. All pairs of a few hundred normals are compared,
larger sets grow from the best (beam search); then the best sets are turned in ever smaller steps as long as bone is
saved and the saw still gets there. Nothing is random: the same input gives the same planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from .plane import Plane
from .resection_site import ResectionSite
from .saw_path import saw_path

_AZIMUTH_STEP_DEG = 7.5
_TILT_RINGS = 3
_BEAM = 400
#: Sets that are tried for a free way of the saw before the search gives up at this number of planes.
_TRIED = 150
#: Starts that are turned on, and by how much, degrees.
_STARTS = 3
_STEPS_DEG = (4.0, 2.0, 1.0, 0.5)
_APART_DEG = 12.0
#: What must stay of the bone, as a share of it.
_LEAST_LEFT = 0.02

Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PlaneSet:
    """Planes of a resection and what they take.

    Parameters
    ----------
    normals_ras
        (K, 3), away from what goes.
    removed_mm3
        Bone of the part that goes, tumour included, as the cells say.
    """

    normals_ras: FloatArray
    removed_mm3: float

    def planes(self, site: ResectionSite) -> tuple[Plane, ...]:
        """Return the planes, each touching what must go."""
        level = site.support_mm(self.normals_ras)
        return tuple(Plane(d * n, n) for n, d in zip(self.normals_ras, level, strict=True))


def direction_table(
    travel_ras: FloatArray, widest_deg: float, azimuth_step_deg: float = _AZIMUTH_STEP_DEG, rings: int = _TILT_RINGS
) -> FloatArray:
    """Return the normals (M, 3) of planes that a saw from the approach side can lie in: nearly along its travel."""
    u, v = perpendicular_axes(travel_ras)
    around = np.radians(np.arange(0.0, 360.0, azimuth_step_deg))
    tilts = np.radians(np.linspace(-widest_deg, widest_deg, 2 * rings + 1)) if widest_deg > 0 else np.zeros(1)
    ring = np.cos(around)[:, None] * u + np.sin(around)[:, None] * v
    return np.concatenate([np.cos(t) * ring + np.sin(t) * np.asarray(travel_ras) for t in tilts])


def removed_mm3(site: ResectionSite, normals_ras: FloatArray) -> float:
    """Return the bone (mm3) that planes with these normals take, each touching what must go; cut cells by their share."""
    level = site.support_mm(normals_ras)
    height = (site.cells_ras @ np.asarray(normals_ras).T - level) / site.field.step_mm
    part = site.part_with_zone(np.asarray((height <= 0.5).all(axis=1)))
    share = np.clip(0.5 - height, 0.0, 1.0).prod(axis=1)
    return float((share * site.cell_bone)[part].sum() * site.cell_mm3)


def is_free(site: ResectionSite, normals_ras: FloatArray, travel_ras: FloatArray, widest_deg: float) -> bool:
    """Return whether a saw gets to every plane."""
    planes = PlaneSet(np.asarray(normals_ras), 0.0).planes(site)
    return all(saw_path(site, planes, n, travel_ras, widest_deg) is not None for n in range(len(planes)))


def search_planes(site: ResectionSite, count: int, travel_ras: FloatArray, widest_deg: float) -> list[PlaneSet]:
    """Return the best set of 1, 2, ... `count` planes that the saw gets to; sets that save nothing are left out.

    Parameters
    ----------
    travel_ras
        Unit vector from the surgeon to the bone.
    widest_deg
        How far a saw may lie from it.
    """
    travel = unit(travel_ras)
    found: list[PlaneSet] = []
    tables = [direction_table(travel, widest_deg)]
    if widest_deg > 0:
        # Planes along the approach: their saw always gets there past the bone itself.
        tables.append(direction_table(travel, 0.0, 5.0))
    levels = [_beam(site, table, count) for table in tables]
    for n in range(count):
        starts = _starts(site, [level[n] for level in levels if n < len(level)], travel, widest_deg)
        refined = [_turned(site, s, travel, widest_deg) for s in starts]
        if n and found:
            # A plane more than the best set so far can only save.
            refined += [_with_one_more(site, found[-1], tables[0], travel, widest_deg)]
        best = min(refined, key=lambda s: s.removed_mm3, default=None)
        if best is not None and (not found or best.removed_mm3 < found[-1].removed_mm3 * (1 - 1e-6)):
            found.append(best)
    return found


def _beam(site: ResectionSite, table: FloatArray, count: int) -> list[list[FloatArray]]:
    """Return for 1, 2, ... planes the best sets of normals from a table, the least bone first."""
    level = site.support_mm(table)
    height = site.cells_ras @ table.T - level
    solid = site.cell_bone > 0.5
    kept = np.packbits((height <= 0)[solid].T, axis=1)
    most = (1 - _LEAST_LEFT) * solid.sum()
    single = np.bitwise_count(kept).sum(axis=1, dtype=np.int64)
    order = np.argsort(single, kind="stable")
    levels = [[table[[i]] for i in order if single[i] <= most]]
    sets: list[tuple[int, ...]] = [(int(i),) for i in range(len(table))]
    for _ in range(1, count):
        masks = np.stack([np.bitwise_and.reduce(kept[list(s)], axis=0) for s in sets])
        volumes = np.stack([np.bitwise_count(m & kept).sum(axis=1, dtype=np.int64) for m in masks])
        rows, columns = np.unravel_index(np.argsort(volumes, axis=None, kind="stable")[: 12 * _BEAM], volumes.shape)
        grown: dict[tuple[int, ...], int] = {}
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True):
            key = tuple(sorted({*sets[r], c}))
            if len(key) == len(sets[r]) + 1 and volumes[r, c] <= most:
                grown.setdefault(key, int(volumes[r, c]))
            if len(grown) >= _BEAM:
                break
        sets = list(grown)
        if not sets:
            break
        levels.append([table[list(s)] for s in sets])
    return levels


def _starts(
    site: ResectionSite, levels: list[list[FloatArray]], travel: FloatArray, widest_deg: float
) -> list[PlaneSet]:
    """Return some of the best sets that the saw gets to, from each table, unlike each other."""
    chosen: list[PlaneSet] = []
    for sets in levels:
        own: list[PlaneSet] = []
        for normals in sets[:_TRIED]:
            if any(_alike(normals, other.normals_ras) for other in [*chosen, *own]):
                continue
            if is_free(site, normals, travel, widest_deg):
                own.append(PlaneSet(normals, removed_mm3(site, normals)))
                if len(own) >= _STARTS:
                    break
        chosen += own
    best = sorted(chosen, key=lambda s: s.removed_mm3)
    return best[: _STARTS + 1]


def _alike(a: FloatArray, b: FloatArray) -> bool:
    if len(a) != len(b):
        return False
    nearest = (a @ b.T).max(axis=1).min()
    return bool(nearest > np.cos(np.radians(_APART_DEG)))


def _with_one_more(
    site: ResectionSite, best: PlaneSet, table: FloatArray, travel: FloatArray, widest_deg: float
) -> PlaneSet:
    sets = [np.vstack([best.normals_ras, n]) for n in table[::3]]
    volumes = [removed_mm3(site, s) for s in sets]
    for at in np.argsort(volumes, kind="stable")[:20]:
        if volumes[at] < best.removed_mm3 and is_free(site, sets[at], travel, widest_deg):
            return _turned(site, PlaneSet(sets[at], volumes[at]), travel, widest_deg)
    return best


def _turned(site: ResectionSite, start: PlaneSet, travel: FloatArray, widest_deg: float) -> PlaneSet:
    """Turn the planes of a set one after the other as long as that saves bone (pattern search)."""
    best = start
    steepest = np.sin(np.radians(widest_deg)) + 1e-9
    for step in np.radians(_STEPS_DEG):
        for _ in range(12):
            before = best.removed_mm3
            for number in range(len(best.normals_ras)):
                for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                    normals = best.normals_ras.copy()
                    u, v = _axes(normals[number], travel)
                    normals[number] = unit(normals[number] + np.tan(step) * (a * u + b * v))
                    if abs(normals[number] @ travel) > steepest:
                        continue
                    volume = removed_mm3(site, normals)
                    if volume < best.removed_mm3 * (1 - 1e-4) and is_free(site, normals, travel, widest_deg):
                        best = PlaneSet(normals, volume)
            if best.removed_mm3 > before * (1 - 1e-3):
                break
    return best


def _axes(normal: FloatArray, travel: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the directions in which a normal is turned: round the approach, and towards it."""
    around = unit(np.cross(travel, normal))
    return around, np.cross(normal, around)
