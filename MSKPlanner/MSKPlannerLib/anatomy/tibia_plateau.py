"""The upper end of a tibia: its joint surfaces, the eminence between them and the back of its condyles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit

from ..mesh import Mesh
from .bone_end import dense_points, facing_patch
from .condyles import between_walls, deepest_bridge

#: The plateau lies within this of the highest point, the spines' tips included, mm.
_SLAB_MM = 28.0
#: Faces of the joint surfaces look up within this angle.
_FACING_DEG = 38.0
#: Joint surfaces stay within this of their own median height, mm.
_SURFACE_MM = 7.0
#: The outline reaches this far down from the joint surfaces: above the tubercle.
_OUTLINE_MM = 14.0
#: The edges of the plateau lie within this of the joint surface beside them.
_RIM_MM = 6.0
#: So many outermost points of a rim say where it ends.
_FEW = 8
#: Shares of the plateau's half width in which the eminence lies, and in which the joint surfaces do.
_MIDDLE, _FLANKS = 0.42, (0.3, 0.8)
#: The hollow at the back between the condyles is at least this deep, mm.
_HOLLOW_MM = 1.0
#: Steps across by which the silhouette is taken, mm; shares of the eminence's height at which its walls are looked for.
_STEP_MM = 1.0
_LEVELS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)
#: Joint surfaces are taken to be no smoother than this where rims are told from them, mm.
_LEAST_MISS_MM = 0.15
#: A mound lower than this is no eminence, mm.
_LEAST_EMINENCE_MM = 3.0


@dataclass(frozen=True, eq=False)
class Plateau:
    """What the upper end of a tibia shows, RAS mm.

    Pairs run from the patient's left to right; which of them is medial depends on the side.

    Parameters
    ----------
    front, right
        Unit directions, across the axis that was given.
    knee_centre
        In the middle between the walls of the eminence, at the height of its spines.
    joint_surfaces
        (2, 3) middles of the joint surfaces, on the planes that fit them.
    front_rims, back_rims
        (2, 3) ends of each joint surface's line of best fit from front to back.
    edges
        (2, 3) outermost points of the plateau.
    posterior_condyles
        (2, 3) points that the line over the back of the condyles touches.
    patches
        (2, M) which faces of the smoothed surface form the joint surfaces.
    """

    front: FloatArray
    right: FloatArray
    knee_centre: FloatArray
    joint_surfaces: FloatArray
    front_rims: FloatArray
    back_rims: FloatArray
    edges: FloatArray
    posterior_condyles: FloatArray
    patches: np.ndarray


def find_plateau(smooth: Mesh, up: FloatArray) -> Plateau | str:
    """Return the landmarks of the upper end, or why there are none.

    Parameters
    ----------
    smooth
        Smoothed surface of a tibia whose upper end is in view.
    up
        Unit, from the ankle to the knee.
    """
    centre = smooth.triangles_ras.mean(axis=1)
    height = centre @ up
    area = smooth.face_area_vectors @ up
    slab = height > height.max() - _SLAB_MM
    upward = slab & (area > np.cos(np.radians(_FACING_DEG)) * np.linalg.norm(smooth.face_area_vectors, axis=1))
    if upward.sum() < 50:
        return "no surface at the upper end looks upwards"
    level = _weighted_median(height[upward], area[upward])
    points = dense_points(smooth)
    outline = points[(points @ up > level - _OUTLINE_MM) & (points @ up < level + 3)]
    axes = _outline_axes(outline, up)
    if axes is None:
        return "the plateau is as wide as it is deep, so front and sides cannot be told"
    right, front = axes
    back = deepest_bridge(
        np.column_stack([outline @ right, outline @ front]), facing=np.array([0.0, -1.0]), least_pocket_mm=_HOLLOW_MM
    )
    if back is None:
        return "no hollow between two condyles at the back of the plateau"
    posterior = outline[[back.one, back.other]]
    posterior = posterior[np.argsort(posterior @ right)]
    line = posterior[1] - posterior[0]
    right = unit(line - (line @ up) * up)
    front = np.cross(up, right)
    across = outline @ right
    middle, half = 0.5 * (across.max() + across.min()), 0.5 * np.ptp(across)
    place = (centre @ right - middle) / half
    flat = [
        upward & (s * place > _FLANKS[0]) & (s * place < _FLANKS[1]) & (np.abs(height - level) < _SLAB_MM)
        for s in (-1, 1)
    ]
    if any(f.sum() < 15 for f in flat):
        return "no joint surface on both sides of the plateau"
    levels = [_weighted_median(height[f], area[f]) for f in flat]
    wall = _eminence(points, right, up, middle, half, levels)
    if wall is None:
        return "no eminence between the joint surfaces"
    _, low, high, _ = wall
    patches = []
    for s, own in zip((-1, 1), levels, strict=True):
        # The joint surface ends where the eminence begins.
        beside = centre @ right < low if s < 0 else centre @ right > high
        among = beside & (np.abs(height - own) < _SURFACE_MM)
        patches.append(facing_patch(smooth, up, _FACING_DEG, among))
    if any(p.sum() < 15 for p in patches):
        return "no joint surface on both sides of the plateau"
    surfaces = [_joint_surface(centre[p], area[p], right, front, up) for p in patches]
    knee = _knee_centre(smooth, points, surfaces)
    if knee is None:
        return "no eminence between the joint surfaces"
    # Where joint lines are oblique the bone below them may stand out farther.
    rims = [outline[outline @ up > own - _RIM_MM] for own in levels]
    edges = np.array([_outermost(rims[0], -right), _outermost(rims[1], right)])
    return Plateau(
        front, right, knee, np.array([s[0] for s in surfaces]), np.array([s[1] for s in surfaces]),
        np.array([s[2] for s in surfaces]), edges, posterior, np.array(patches),
    )  # fmt: skip


def _outermost(rim: FloatArray, out: FloatArray) -> FloatArray:
    """Return the middle of the few outermost points of a rim: the very last one is that of its noise."""
    return np.asarray(rim[np.argsort(-(rim @ out))[:_FEW]].mean(axis=0))


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])


def _outline_axes(outline: FloatArray, up: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return the directions to the right and to the front from the outline of the plateau alone.

    It is wider than deep; its front is round, its back is straight or hollow.
    """
    u, v = perpendicular_axes(up)
    flat = np.column_stack([outline @ u, outline @ v])
    ring = flat[ConvexHull(flat).vertices]
    # Moments of the hull's area, by triangles from its middle.
    a, b = ring - ring.mean(axis=0), np.roll(ring, -1, axis=0) - ring.mean(axis=0)
    size = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    thirds = (a + b) / 3
    mean = (size[:, None] * thirds).sum(axis=0) / size.sum()
    moment = sum(
        w * (np.outer(p, p) + np.outer(q, q) + np.outer(p + q, p + q)) / 12 for w, p, q in zip(size, a, b, strict=True)
    ) / size.sum() - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(moment)
    if values[1] < 1.15**2 * values[0]:
        return None
    wide = vectors[:, 1]
    deep = np.array([-wide[1], wide[0]])
    x, y = flat @ wide, flat @ deep
    x = (x - 0.5 * (x.max() + x.min())) / (0.5 * np.ptp(x))

    def recedes(sign: float) -> float:
        """How far an edge falls back beside the middle."""
        ends = [(sign * y)[np.abs(x - at) < 0.12].max() for at in (-0.55, 0.0, 0.55)]
        return float(ends[1] - 0.5 * (ends[0] + ends[2]))

    front2 = deep if recedes(1.0) > recedes(-1.0) else -deep
    front = front2[0] * u + front2[1] * v
    return np.cross(front, up), front


def _eminence(
    points: FloatArray, right: FloatArray, up: FloatArray, middle: float, half: float, levels: list[float]
) -> tuple[float, float, float, float] | None:
    """Return where the eminence is: its middle, its foot on both sides, and the height of its tips, along right and up."""
    place = (points @ right - middle) / half
    near = np.abs(place) < _MIDDLE
    x, z = points[near] @ right, points[near] @ up
    start = float(x.min())
    bins = np.floor((x - start) / _STEP_MM).astype(int)
    count = int(np.ptp(x) / _STEP_MM)
    edge = np.array([z[bins == b].max() if (bins == b).any() else np.nan for b in range(count)])
    # Height over the line between the two joint surfaces.
    steps = start + (np.arange(count) + 0.5) * _STEP_MM
    share = (steps - middle) / half + 0.5
    edge = edge - (levels[0] + np.clip(share, 0, 1) * (levels[1] - levels[0]))
    inner = np.arange(2, count - 2)
    top = float(np.nanpercentile(edge[inner], 92))
    if not top > _LEAST_EMINENCE_MM:
        return None
    at = start + float(np.mean([between_walls(edge, inner, level * top) for level in _LEVELS])) * _STEP_MM
    above = inner[edge[inner] > 0.3 * top]
    low, high = start + above[0] * _STEP_MM, start + (above[-1] + 1) * _STEP_MM
    return at, float(low), float(high), float(np.mean(levels)) + top


def _knee_centre(
    smooth: Mesh, points: FloatArray, surfaces: list[tuple[FloatArray, FloatArray, FloatArray]]
) -> FloatArray | None:
    """Return the middle of the eminence, seen along the plane of both joint surfaces."""
    left, right = surfaces[0][0], surfaces[1][0]
    across = unit(right - left)
    along = (surfaces[0][1] - surfaces[0][2]) + (surfaces[1][1] - surfaces[1][2])
    normal = unit(np.cross(across, along))
    forward = np.cross(normal, across)
    level = float(0.5 * (left + right) @ normal)
    middle, half = float(0.5 * (left + right) @ across), float(np.linalg.norm(right - left)) / (2 * 0.6)
    spines = points[points @ normal > level - 3]
    wall = _eminence(spines, across, normal, middle, half, [level, level])
    if wall is None:
        return None
    at, low, high, tip = wall
    centre = smooth.triangles_ras.mean(axis=1)
    weight = smooth.face_area_vectors @ normal
    place = centre @ across
    crest = (centre @ normal > 0.5 * (level + tip)) & (place > low) & (place < high) & (weight > 0)
    if not crest.any():
        return None
    return at * across + float(np.average(centre[crest] @ forward, weights=weight[crest])) * forward + tip * normal


def _joint_surface(
    centre: FloatArray, area: FloatArray, right: FloatArray, front: FloatArray, up: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the middle, front and back rim of a joint surface on the plane that fits it."""
    x, y, z = centre @ right, centre @ front, centre @ up
    a, weight = np.column_stack([np.ones(len(x)), x, y]), area
    for _ in range(6):
        c = np.linalg.lstsq(a * np.sqrt(weight)[:, None], z * np.sqrt(weight), rcond=None)[0]
        miss = np.abs(z - a @ c)
        # Rounded rims lie below the plane and shall not tilt it (Tukey's weights).
        scale = 4.0 * max(_weighted_median(miss, area), _LEAST_MISS_MM)
        weight = area * np.clip(1 - (miss / scale) ** 2, 1e-6, None) ** 2
    mx, my = np.average(x, weights=area), np.average(y, weights=area)
    first, last = y.min(), y.max()

    def on_plane(across: float, along: float) -> FloatArray:
        return across * right + along * front + float(c @ [1.0, across, along]) * up

    return on_plane(mx, my), on_plane(mx, last), on_plane(mx, first)
