"""Soft tissue around the spine, as shapes that hang on the vertebrae's frames and so follow every posture."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray, rigid, rotation_about, transform_points
from .grid import FloatImage, Grid, Lattice, evaluate, lattice_grid
from .shapes import Primitive, Shape, ellipsoid, elliptic_capsule, tube
from .spine import Spine

#: Soft tissue needs only the sign of a shape: values this far outside are enough for the fillets.
_MARGIN_MM = 2.5


class Tissue(IntEnum):
    """Tissue classes; the order is that of the signal tables in `ct` and `mr`."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    VISCERA = 4
    GAS = 5
    KIDNEY = 6
    AORTA = 7
    VENA_CAVA = 8
    DISC_ANNULUS = 9
    DISC_NUCLEUS = 10
    DISC_WORN = 11
    EPIDURAL_FAT = 12
    CSF = 13
    CAUDA = 14
    NERVE_ROOT = 15
    CARTILAGE = 16


@dataclass(frozen=True)
class _Station:
    """A cross-section of the trunk: its frame, half width and half depth of the column there, canal measures."""

    frame: FloatArray
    level: float
    a: float
    b: float
    canal_y: float
    canal_w: float
    canal_d: float

    def point(self, x: float, y: float, z: float = 0.0) -> FloatArray:
        return transform_points(self.frame, np.array([x, y, z]))


@dataclass(frozen=True, eq=False)
class Layer:
    """One structure: later layers paint over earlier ones."""

    tissue: Tissue
    shape: Shape


class SoftTissue:
    """Everything but bone, for one posture.

    Parameters
    ----------
    frames
        Frames of the vertebrae in this posture, by level.
    """

    def __init__(self, spine: Spine, frames: dict[str, FloatArray], seed: int) -> None:
        rng = np.random.default_rng([seed, 21])
        stations = _stations(spine, frames)
        box = np.array([-190.0, -160.0, -260.0]), np.array([190.0, 190.0, 260.0])
        self._streaks = Lattice.random(rng, *box, 5.0)
        self._lobes = Lattice.random(rng, *box, 12.0)
        self._fat_mm = float(rng.uniform(12.0, 24.0))
        worn = {level: bool(rng.random() < 0.35) for level in ("T12", "L1", "L2", "L3", "L4", "L5")}
        self._depth, self._ahead = _trunk_fields(stations, self._fat_mm, *box)
        self._muscles = [Layer(Tissue.MUSCLE, m) for m in _muscles(stations)]
        self._layers = [
            *_kidneys(stations), *_vessels(stations), *_discs(spine, frames, worn), *_canal(stations), *_roots(spine, frames)
        ]  # fmt: skip

    def classes(self, grid: Grid) -> tuple[NDArray[np.uint8], FloatImage]:
        """Return tissue class and random texture (in units of spread) of every voxel of a grid, a slab of slices."""
        streaks, lobes = self._streaks.on(grid), self._lobes.on(grid)
        out = self._trunk(grid, lobes, streaks)
        inside = out > Tissue.SKIN
        lobes *= 0.6
        fatty = streaks + lobes > 2.6
        for layer in self._muscles:
            found = evaluate(layer.shape, grid, slab=grid.shape[0], margin_mm=_MARGIN_MM)
            if found is not None:
                value, box = found
                muscle = (value > 0) & inside[box]
                out[box][muscle] = Tissue.MUSCLE
                out[box][muscle & fatty[box]] = Tissue.FAT
        for layer in self._layers:
            found = evaluate(layer.shape, grid, slab=grid.shape[0], margin_mm=_MARGIN_MM)
            if found is not None:
                value, box = found
                out[box][value > 0] = layer.tissue
        streaks *= 0.8
        streaks += lobes
        return out, streaks

    def _trunk(self, grid: Grid, lobes: FloatImage, streaks: FloatImage) -> NDArray[np.uint8]:
        """Return skin, fat, abdominal wall and bowel."""
        depth, ahead = self._depth.on(grid), self._ahead.on(grid)
        wall = self._fat_mm
        out = np.zeros(grid.shape, dtype=np.uint8)
        out[depth > 0] = Tissue.SKIN
        out[depth > 2.0] = Tissue.FAT
        out[(depth > wall) & (depth < wall + 11.0) & (ahead > -80.0)] = Tissue.MUSCLE
        cavity = (depth > wall + 11.0) & (ahead > 0.0)
        bowel = lobes + 0.5 * streaks
        out[cavity & (bowel > -0.7)] = Tissue.VISCERA
        out[cavity & (bowel > 2.4)] = Tissue.GAS
        return out


def _trunk_fields(
    stations: list[_Station], fat_mm: float, lower: FloatArray, upper: FloatArray
) -> tuple[Lattice, Lattice]:
    """Return how deep each place lies under the skin, and how far in front of the spine's bed the bowel may lie."""
    spacing = 4.0
    grid = lattice_grid(lower, upper, spacing)
    x, y, z = (c.astype(np.float64) for c in grid.coordinates())
    centres = np.array([s.frame[:3, 3] for s in stations])[::-1]
    backs = np.array([s.point(0.0, -(s.b + 58.0 - 3.0 * abs(s.level - 3.0)))[1] for s in stations])[::-1]
    heights = z[:, 0, 0]
    back = np.interp(heights, centres[:, 2], backs)[:, None, None]
    back = 0.5 * back + 0.5 * float(backs.min()) - fat_mm
    middle, half = 0.5 * (150.0 + back), 0.5 * (150.0 - back)
    # A groove in the midline of the back.
    v = (y - middle - 5.0 * np.exp(-((x / 16.0) ** 2)) * (y < 0)) / half
    depth = (1.0 - ((x / 172.0) ** 4 + v**4) ** 0.25) * 118.0
    centre_y = np.interp(heights, centres[:, 2], centres[:, 1])[:, None, None]
    ahead = y - centre_y - (36.0 - 0.0022 * x * x)
    return Lattice(depth.astype(np.float32), lower, spacing), Lattice(ahead.astype(np.float32), lower, spacing)


def _stations(spine: Spine, frames: dict[str, FloatArray]) -> list[_Station]:
    """Return cross-sections from head to foot, two above the first vertebra and some along the sacrum."""
    out = []
    index = {"T12": 0.0, "L1": 1.0, "L2": 2.0, "L3": 3.0, "L4": 4.0, "L5": 5.0, "S1": 6.0}
    for name, size in spine.sizes.items():
        f = frames[name]
        out.append(
            _Station(
                f,
                index[name],
                size.half_width,
                size.half_depth,
                size.canal_centre_y,
                size.canal_half_width,
                size.canal_depth,
            )
        )
    top = out[0]
    for step in (1, 2):
        frame = top.frame @ rigid(None, [0.0, 0.0, 42.0 * step])
        out.insert(0, _Station(frame, max(top.level - step, 0.0), top.a, top.b, top.canal_y, top.canal_w, top.canal_d))
    last = out[-1]
    if spine.sacrum is not None:
        for length in (32.0, 62.0, 92.0):
            t = length / spine.sacrum.bend_radius
            r = spine.sacrum.bend_radius
            bend = rigid(rotation_about([1, 0, 0], np.degrees(t)), [0.0, r - r * np.cos(t), -r * np.sin(t)])
            shrink = 1 - length / 140.0
            out.append(
                _Station(
                    last.frame @ bend,
                    6.0 + length / 60.0,
                    last.a * shrink,
                    last.b * shrink,
                    last.canal_y * shrink,
                    last.canal_w * shrink,
                    last.canal_d * shrink,
                )
            )
    else:
        for step in (1, 2):
            frame = last.frame @ rigid(None, [0.0, 0.0, -40.0 * step])
            out.append(_Station(frame, last.level + step, last.a, last.b, last.canal_y, last.canal_w, last.canal_d))
    return out


def _chain(points: list[FloatArray], ups: list[FloatArray], radii: list[tuple[float, float]]) -> Shape:
    """Join elliptic bars: radii are (across, along up)."""
    parts: list[Primitive] = []
    for i in range(len(points) - 1):
        (r, ru), (r1, ru1) = radii[i], radii[i + 1]
        taper = 0.5 * (r1 / r + ru1 / ru) - 1
        parts.append(elliptic_capsule(points[i], points[i + 1], ups[i], r, ru, taper=taper, fillet_mm=2.0))
    return Shape(tuple(parts))


def _muscles(stations: list[_Station]) -> list[Shape]:
    level = np.array([s.level for s in stations])
    out = []
    for side in (-1, 1):
        ups = [s.frame[:3, 0] for s in stations]
        psoas_r = np.interp(level, [0, 1, 2, 3, 4, 5, 6, 8], [3, 7.5, 12.5, 16.5, 19, 20, 18, 17])
        psoas_x = np.interp(level, [0, 1, 5, 6, 8], [2, 3, 12, 22, 38])
        psoas_y = np.interp(level, [0, 4, 5, 6, 8], [-6, -3, 4, 22, 40])
        points = [s.point(side * (s.a + x), y) for s, x, y in zip(stations, psoas_x, psoas_y, strict=True)]
        # Over the sacrum the psoas leaves the spine forwards: keep it out of the chain's lower end.
        keep = [i for i, v in enumerate(level) if v <= 6.0]
        out.append(
            _chain([points[i] for i in keep], [ups[i] for i in keep], [(0.95 * psoas_r[i], psoas_r[i]) for i in keep])
        )
        erector = np.interp(level, [0, 4, 5, 6, 8], [19, 18, 16, 12, 6])
        wide = np.interp(level, [0, 4, 5, 6, 8], [24, 27, 24, 18, 8])
        points = [s.point(side * (3.0 + w), -(s.b + 17.0 + e)) for s, w, e in zip(stations, wide, erector, strict=True)]
        out.append(_chain(points, ups, [(e, w) for e, w in zip(erector, wide, strict=True)]))
        deep = np.interp(level, [0, 3, 5, 6, 8], [9, 11, 14, 11, 5])
        points = [s.point(side * (2.0 + d), -(s.b + 31.0)) for s, d in zip(stations, deep, strict=True)]
        out.append(_chain(points, ups, [(d + 5.0, d) for d in deep]))
        lumbar = [i for i, v in enumerate(level) if v <= 4.6]
        points = [stations[i].point(side * 62.0, -16.0) for i in lumbar]
        out.append(_chain(points, [ups[i] for i in lumbar], [(9.0, 17.0)] * len(lumbar)))
        gluteal = [s for s in stations if s.level >= 5.0]
        if len(gluteal) > 1:
            points = [s.point(side * 100.0, -45.0) for s in gluteal]
            out.append(_chain(points, [s.frame[:3, 0] for s in gluteal], [(30.0, 34.0)] * len(gluteal)))
    return out


def _at_level(stations: list[_Station], level: float) -> _Station | None:
    return min((s for s in stations if abs(s.level - level) < 0.6), key=lambda s: abs(s.level - level), default=None)


def _kidneys(stations: list[_Station]) -> list[Layer]:
    out = []
    for side, level in ((-1, 1.4), (1, 1.8)):
        s = _at_level(stations, round(level))
        if s is None:
            continue
        c = s.point(side * 70.0, 14.0, -12.0)
        out.append(Layer(Tissue.FAT, Shape((ellipsoid(c, [32.0, 30.0, 60.0]),))))
        out.append(Layer(Tissue.KIDNEY, Shape((ellipsoid(c, [25.0, 23.0, 52.0]),))))
        out.append(Layer(Tissue.FAT, Shape((ellipsoid(c - [side * 10.0, -2.0, 0.0], [9.0, 8.0, 24.0]),))))
    return out


def _vessels(stations: list[_Station]) -> list[Layer]:
    trunk = [s for s in stations if s.level <= 4.0]
    low = [s for s in stations if 5.0 <= s.level <= 6.2]
    out = []
    fat = [s.point(2.0, s.b + 12.0) for s in trunk]
    out.append(Layer(Tissue.FAT, Shape(tube(fat, [20.0] * len(fat)))))
    for tissue, x, y, r in ((Tissue.VENA_CAVA, 14.0, 11.0, 10.0), (Tissue.AORTA, -9.0, 11.5, 9.5)):
        main = [s.point(x, s.b + y) for s in trunk]
        if len(main) > 1:
            radii = np.linspace(r, 0.88 * r, len(main))
            out.append(Layer(tissue, Shape(tube(main, radii))))
        for side in (-1, 1):
            start = [main[-1]] if main else []
            spread = {5.0: 20.0, 6.0: 38.0}
            branch = start + [
                s.point(side * spread.get(s.level, 30.0) + 0.3 * x, s.b + y - 2.0 - 6.0 * (s.level - 5))
                for s in low
                if s.level <= 6.0
            ]
            if len(branch) > 1:
                out.append(Layer(tissue, Shape(tube(branch, [0.60 * r] * len(branch)))))
    return out


def _discs(spine: Spine, frames: dict[str, FloatArray], worn: dict[str, bool]) -> list[Layer]:
    names = list(spine.sizes)
    out = []
    for upper, lower in itertools.pairwise(names):
        for core in (False, True):
            tissue = Tissue.DISC_ANNULUS
            if core:
                tissue = Tissue.DISC_WORN if worn[upper] else Tissue.DISC_NUCLEUS
            out.append(Layer(tissue, disc_shape(spine, frames, upper, lower, core)))
    return out


def disc_shape(spine: Spine, frames: dict[str, FloatArray], upper: str, lower: str, core: bool) -> Shape:
    """Return the disc between two vertebrae (or its core); it reaches into the endplates' dishes, where bone covers it."""
    u, w = spine.sizes[upper], spine.sizes[lower]
    fu, fl = frames[upper], frames[lower]
    to_lower = np.linalg.inv(fl) @ fu
    a, b = 0.5 * (u.half_width + w.half_width), 0.5 * (u.half_depth + w.half_depth)
    share, sink = (0.62, 0.5) if core else (1.0, -2.6)

    def value(x: NDArray, y: NDArray, z: NDArray) -> NDArray:
        yl, zl = (r[0] * x + r[1] * y + r[2] * z + r[3] for r in to_lower[1:3])
        groove = 1.5 * np.exp(-((x / (0.45 * a)) ** 2)) * (y < 0)
        ax, ay = np.abs(x) / a, np.abs(y - groove) / b
        q = (ax * ax * np.sqrt(ax) + ay * ay * np.sqrt(ay) + 1e-8) ** 0.4
        side = (share - q) * b
        return np.minimum(side, np.minimum(u.bottom_z(y) - z, zl - w.top_z(yl)) - sink)

    middle = np.array([0.0, 0.0, float(u.bottom_z(0.0)) - 0.5 * spine.disc_mm[upper]])
    reach = np.array([a + 10.0, b + 10.0, 0.5 * spine.disc_mm[upper] + 16.0])
    return Shape((Primitive(value, middle - reach, middle + reach, 1.0),), fu)


def _canal(stations: list[_Station]) -> list[Layer]:
    points: list[FloatArray] = []
    ups: list[FloatArray] = []
    size: list[tuple[float, float]] = []
    for s in stations:
        heights = (12.0, -12.0) if s.level <= 5.0 else (0.0,)
        for z in heights:
            points.append(s.point(0.0, s.canal_y, z))
            ups.append(s.frame[:3, 0])
            size.append((0.5 * s.canal_d, s.canal_w))
    last = max(i for i, s in enumerate(size) if s[1] > 6.0) + 1
    out = [Layer(Tissue.EPIDURAL_FAT, _chain(points, ups, [(0.92 * d, 0.92 * w) for d, w in size]))]
    out.append(Layer(Tissue.CSF, _chain(points[:last], ups[:last], [(0.74 * d, 0.70 * w) for d, w in size[:last]])))
    backward = [p - 0.22 * d * _back(u) for p, u, (d, _) in zip(points[:last], ups[:last], size[:last], strict=True)]
    out.append(Layer(Tissue.CAUDA, _chain(backward, ups[:last], [(0.30 * d, 0.44 * w) for d, w in size[:last]])))
    return out


def _back(right: FloatArray) -> FloatArray:
    """Return the anterior direction of a frame whose right axis is given, as seen in the axial plane."""
    forward = np.array([-right[1], right[0], 0.0])
    return forward / np.linalg.norm(forward)


def _roots(spine: Spine, frames: dict[str, FloatArray]) -> list[Layer]:
    out = []
    for name, s in spine.sizes.items():
        if name == "S1":
            continue
        below = s.pedicle_z - 0.5 * s.pedicle_height_mm
        for side in (-1, 1):
            xp = s.pedicle_x(side)
            course = [
                [0.45 * s.canal_half_width, s.canal_centre_y, 0.5 * s.height],
                [0.86 * s.canal_half_width, s.canal_centre_y + 2.5, s.pedicle_z],
                [xp - 1.0, -(s.half_depth + 5.0), below - 3.4],
                [xp + 9.0, -(s.half_depth + 2.0), below - 9.0],
                [xp + 17.0, -(s.half_depth - 6.0), below - 24.0],
            ]
            points = transform_points(frames[name], np.array(course) * [side, 1.0, 1.0])
            out.append(Layer(Tissue.NERVE_ROOT, Shape(tube(points, [1.3, 1.6, 2.7, 2.4, 2.0]))))
    return out
