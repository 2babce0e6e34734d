"""The ball in a bone's surface: the femoral head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, unit_rows

#: Points of a surface that are enough to find a ball in.
_SAMPLES = 4000
#: Tries of four points each, and how many of the best are fitted.
_TRIES, _FITTED = 6000, 12
#: Points this near to a ball may belong to it, mm: cartilage rim, fovea and noise lie within.
_BAND_MM = 2.0
#: The other three points of a try lie within this of the first, mm.
_NEIGHBOURS_MM = 42.0
#: Where it is said which way the surface faces, it does so within this of the line to the centre.
_FACING = np.cos(np.radians(30.0))
#: Directions by which the share of a ball that is seen is counted.
_DIRECTIONS = 300


@dataclass(frozen=True, eq=False)
class Ball:
    """A sphere in a surface.

    Parameters
    ----------
    centre_ras, radius_mm
        Fitted by least squares to the points that belong to it.
    seen_share
        Share of the sphere's directions in which the surface lies on it, 0 to 1.
    rms_mm
        Of those points' distances from it.
    """

    centre_ras: FloatArray
    radius_mm: float
    seen_share: float
    rms_mm: float


def find_ball(
    points_ras: FloatArray,
    weights: FloatArray,
    radius_mm: tuple[float, float],
    seed: int = 0,
    to_centre_ras: FloatArray | None = None,
) -> Ball | None:
    """Return the ball of which the surface shows most, None where nothing is round.

    Consensus of random samples (Fischler & Bolles 1981, doi 10.1145/358669.358692), then least squares on its points.

    Parameters
    ----------
    points_ras, weights
        (N, 3) points of a surface and the area that each stands for, mm2.
    radius_mm
        Least and greatest radius.
    to_centre_ras
        (N, 3) unit directions in which the centre has to lie, within 30 degrees: the bone's outward normals where a hollow is
        looked for, the inward ones for a head; None does not ask.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(points_ras), min(_SAMPLES, len(points_ras)), replace=False, p=weights / weights.sum())
    chosen = np.sort(chosen)
    points, facing = points_ras[chosen], None if to_centre_ras is None else to_centre_ras[chosen]
    area_each = float(weights.sum()) / len(points)
    balls = _tries(points, rng)
    if not len(balls):
        return None
    balls = balls[(balls[:, 3] >= radius_mm[0]) & (balls[:, 3] <= radius_mm[1])]
    share = np.array([_near(points, b, facing).sum() * area_each / (4 * np.pi * b[3] ** 2) for b in balls])
    best: Ball | None = None
    for n in np.argsort(-share)[:_FITTED]:
        ball = _fitted(points_ras, balls[n], to_centre_ras)
        if ball is None or not radius_mm[0] <= ball.radius_mm <= radius_mm[1]:
            continue
        if best is None or ball.seen_share > best.seen_share:
            best = ball
    return best


def _tries(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return spheres (K, 4: centre, radius) through four points each that lie near to each other."""
    from scipy.spatial import cKDTree

    first = rng.integers(len(points), size=_TRIES // 20)
    rows = []
    for n, near in zip(first, cKDTree(points).query_ball_point(points[first], _NEIGHBOURS_MM), strict=True):
        if len(near) >= 12:
            some = rng.choice(near, size=(20, 3))
            rows.append(np.column_stack([np.full(20, n), some]))
    if not rows:
        return np.empty((0, 4))
    p = points[np.concatenate(rows)]
    edges = p[:, 1:] - p[:, :1]
    flat = np.abs(np.linalg.det(edges)) < 200.0
    edges[flat] = np.eye(3)
    centre = np.linalg.solve(2 * edges, (edges**2).sum(axis=2)[..., None])[..., 0] + p[:, 0]
    radius = np.linalg.norm(centre - p[:, 0], axis=1)
    return np.column_stack([centre, radius])[~flat]


def _near(points: FloatArray, ball: FloatArray, facing: FloatArray | None, band_mm: float = _BAND_MM) -> np.ndarray:
    """Return which points (N,) may belong to a ball: near to its surface, and facing its centre where that is asked."""
    out = points - ball[:3]
    distance = np.linalg.norm(out, axis=1)
    near = np.abs(distance - ball[3]) < band_mm
    if facing is not None:
        near &= -np.einsum("ij,ij->i", out, facing) > _FACING * distance
    return np.asarray(near)


def _fitted(points: FloatArray, ball: FloatArray, facing: FloatArray | None) -> Ball | None:
    """Fit again and again to the points that belong; the band narrows to what the surface's noise leaves."""
    band = _BAND_MM
    miss = np.empty(0)
    for _ in range(12):
        near = _near(points, ball, facing, band)
        if near.sum() < 30:
            return None
        p = points[near]
        a = np.column_stack([2 * p, np.ones(len(p))])
        solution = np.linalg.lstsq(a, (p**2).sum(axis=1), rcond=None)[0]
        inside = solution[3] + solution[:3] @ solution[:3]
        if inside <= 0:
            return None
        ball = np.append(solution[:3], np.sqrt(inside))
        miss = np.linalg.norm(p - ball[:3], axis=1) - ball[3]
        band = float(np.clip(3 * 1.4826 * np.median(np.abs(miss)), 0.4, 3.0))
    directions = unit_rows(p - ball[:3])
    seen = np.unique((directions @ _directions().T).argmax(axis=1))
    return Ball(ball[:3], float(ball[3]), len(seen) / _DIRECTIONS, float(np.sqrt((miss**2).mean())))


def _directions() -> FloatArray:
    """Even directions (Fibonacci spiral)."""
    n = np.arange(_DIRECTIONS) + 0.5
    z, turn = 1 - 2 * n / _DIRECTIONS, np.pi * (1 + np.sqrt(5)) * n
    return np.column_stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z])
