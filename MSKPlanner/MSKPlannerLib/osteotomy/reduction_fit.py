"""One fragment fitted into a whole bone: robust, from many starts, and honest about what it cannot tell.

The fragment's natural surface lies on the whole bone's, its fracture surfaces within. So the signed depth of its points in
the whole bone is brought to 0, with those left out that fit worst (trimmed iterative closest points; Chetverikov et al. 2005,
doi 10.1016/j.imavis.2004.05.007) or whose normals look elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import qmc

from MSKFusionLib.frames import FloatArray, rigid, rotation_angle_deg, transform_points, unit_rows

from ..bone.depth_field import DepthField
from ..mesh import Mesh

_COARSE_POINTS, _FINE_POINTS = 250, 1500
_STARTS = 96
#: A power of 2, from which those within two balls are taken.
_DRAWN = 1024
_COARSE_STEPS, _FINE_STEPS = 14, 40
_FURTHER = 8
#: Share of the points that counts in each step.
_KEPT = 0.75
#: A misfit above this counts no more than this, in the score by which poses are compared.
_CAP_MM = 3.0
#: Two poses are two answers where they are so far apart.
_APART_DEG, _APART_MM = 5.0, 4.0
#: A pose so little worse than another, mm of mean misfit, may as well be the right one.
CLEARLY_MM = 0.1
#: Points of a surface are not independent: so many count as one.
_POINTS_AS_ONE = 10.0


@dataclass(frozen=True, eq=False)
class SurfaceSample:
    """Points (N, 3) spread over a surface by area, and its outward normals (N, 3) there."""

    points_ras: FloatArray
    normals_ras: FloatArray

    @classmethod
    def of(cls, mesh: Mesh, count: int, seed: int = 0) -> SurfaceSample:
        """Draw points from a mesh, the same for the same seed."""
        rng = np.random.default_rng(seed)
        area = np.linalg.norm(mesh.face_area_vectors, axis=1)
        # Equal steps of area from a drawn start: more even than drawing each point.
        at = (np.arange(count) + rng.random()) * area.sum() / count
        face = np.minimum(np.searchsorted(np.cumsum(area), at), len(area) - 1)
        a, b = np.sqrt(rng.random(count)), rng.random(count)
        t = mesh.triangles_ras[face]
        points = (1 - a)[:, None] * t[:, 0] + (a * (1 - b))[:, None] * t[:, 1] + (a * b)[:, None] * t[:, 2]
        return cls(points, unit_rows(mesh.face_area_vectors[face]))


@dataclass(frozen=True, eq=False)
class Fit:
    """A fragment's pose in the whole bone.

    Parameters
    ----------
    motion_ras
        Rigid 4x4 that takes the fragment there.
    residual_mm
        Root mean square of the points that fit.
    matched_share
        Share of the fragment's surface within 1.5 mm of the bone's, normals alike.
    score_mm
        Mean misfit, capped: what poses are compared by.
    rivals_ras
        Other answers that are not clearly worse: poses far from it whose score is no more than 0.1 mm higher.
    covariance, centre_ras
        How sure the pose is, from how the surface is shaped: of a small turn (rad) about `centre_ras` and a shift (mm), both
        in the whole bone, (6, 6); infinite where too little of the surface fits.
    """

    motion_ras: FloatArray
    residual_mm: float
    matched_share: float
    score_mm: float
    rivals_ras: tuple[FloatArray, ...]
    covariance: FloatArray
    centre_ras: FloatArray

    @property
    def is_known(self) -> bool:
        """Whether enough of the surface fits to say anything."""
        return bool(np.isfinite(self.covariance).all())

    @property
    def turn_sd_deg(self) -> float:
        """Standard deviation of the turn about its weakest axis."""
        return float(np.degrees(weakest_sd(self.covariance[:3, :3])))

    @property
    def shift_sd_mm(self) -> float:
        """Standard deviation of the shift in its weakest direction."""
        return weakest_sd(self.covariance[3:, 3:])

    @property
    def loosest_ras(self) -> FloatArray:
        """Unit direction (3,) in the whole bone along which the shift is least sure."""
        return np.asarray(np.linalg.eigh(self.covariance[3:, 3:])[1][:, -1])


def weakest_sd(covariance: FloatArray) -> float:
    """Return the standard deviation in the weakest direction of a covariance (N, N); infinite where it is not known."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1])) if np.isfinite(covariance).all() else np.inf


def fit_into(
    fragment: Mesh, whole: DepthField, start_ras: FloatArray, widest_deg: float, farthest_mm: float, seed: int = 0
) -> Fit:
    """Fit a fragment into a whole bone.

    Parameters
    ----------
    start_ras
        Rigid 4x4 about which starts are spread.
    widest_deg, farthest_mm
        How far the fragment may be turned and shifted from there.
    """
    coarse, fine = SurfaceSample.of(fragment, _COARSE_POINTS, seed), SurfaceSample.of(fragment, _FINE_POINTS, seed + 1)
    middle = fragment.vertices_ras.mean(axis=0)
    tried = []
    for start in _spread(start_ras, middle, 1.15 * widest_deg, 1.15 * farthest_mm, seed):
        motion = refine(coarse, whole, start, _COARSE_STEPS)
        tried.append((score(coarse, whole, motion), motion))
    tried.sort(key=lambda t: t[0])
    distinct: list[FloatArray] = []
    for _, motion in tried:
        if not any(same_place(motion, other, middle) for other in distinct):
            distinct.append(motion)
        if len(distinct) >= _FURTHER:
            break
    ends = [refine(fine, whole, m, _FINE_STEPS) for m in distinct]
    ranked = sorted(((score(fine, whole, m), m) for m in ends), key=lambda t: t[0])
    best_score, best = ranked[0]
    rivals: list[FloatArray] = []
    for own, motion in ranked[1:]:
        if own < best_score + CLEARLY_MM and not any(same_place(motion, m, middle) for m in (best, *rivals)):
            rivals.append(motion)
    return _judged(fine, whole, best, best_score, tuple(rivals))


def judged_at(fit: Fit, fragment: Mesh, whole: DepthField, motion_ras: FloatArray) -> Fit:
    """Return a fragment's fit at another pose; what other poses came to stays."""
    sample = SurfaceSample.of(fragment, _FINE_POINTS, 1)
    return _judged(sample, whole, motion_ras, score(sample, whole, motion_ras), fit.rivals_ras)


def refine(sample: SurfaceSample, whole: DepthField, start_ras: FloatArray, steps: int) -> FloatArray:
    """Return the pose after some robust Gauss-Newton steps on the signed depth."""
    motion = start_ras
    for n in range(steps):
        at = transform_points(motion, sample.points_ras)
        depth = whole.depth_mm(at)
        outward = whole.outward_ras(at)
        weight = _surface_weights(depth, outward, sample.normals_ras @ motion[:3, :3].T)
        centre = at.mean(axis=0)
        change = _small_step(at - centre, outward, depth, weight)
        motion = moved_by(motion, centre, change)
        if n > 5 and np.abs(change[3:]).max() < 0.003 and np.abs(change[:3]).max() < 1e-4:
            break
    return motion


def _surface_weights(depth_mm: FloatArray, outward_ras: FloatArray, normals_ras: FloatArray) -> FloatArray:
    """Return how much each point (N,) counts as natural surface: Tukey's weights, the limit nearer as the fit gets better."""
    alike = np.einsum("ij,ij->i", outward_ras, normals_ras)
    size = np.abs(depth_mm) + np.where(alike > 0.3, 0.0, _CAP_MM)
    limit = max(float(np.quantile(size, _KEPT)), 0.3)
    return np.asarray(np.maximum(1 - (size / (1.5 * limit)) ** 2, 0) ** 2)


def score(sample: SurfaceSample, whole: DepthField, motion_ras: FloatArray) -> float:
    """Return the mean misfit; what sticks out of the whole bone counts twice what lies within, as a fracture surface may."""
    at = transform_points(motion_ras, sample.points_ras)
    depth = whole.depth_mm(at)
    alike = np.einsum("ij,ij->i", whole.outward_ras(at), sample.normals_ras @ motion_ras[:3, :3].T)
    misfit = np.where(depth < 0, -2 * depth, depth) + np.where(alike > 0.3, 0.0, 1.0)
    return float(np.minimum(misfit, _CAP_MM).mean())


def _small_step(arm: FloatArray, outward: FloatArray, depth: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the small turn (rad) and shift (mm) that bring weighted depths to 0."""
    jacobian = np.concatenate([np.cross(arm, outward), outward], axis=1)
    left = (jacobian * weight[:, None]).T @ jacobian
    # A little friction: along a shaft nothing holds the fragment.
    left += 1e-3 * max(weight.sum(), 1.0) * np.diag([100.0] * 3 + [1.0] * 3)
    change = np.linalg.solve(left, jacobian.T @ (weight * depth))
    turn, shift = float(np.linalg.norm(change[:3])), float(np.linalg.norm(change[3:]))
    return np.asarray(change * min(1.0, 0.3 / max(turn, 1e-12), 8.0 / max(shift, 1e-12)))


def moved_by(motion: FloatArray, centre: FloatArray, change: FloatArray) -> FloatArray:
    """Return a pose after a small turn (rad) about a centre and a shift (mm)."""
    turn = Rotation.from_rotvec(change[:3]).as_matrix()
    return rigid(turn, centre - turn @ centre + change[3:]) @ motion


def _spread(
    start: FloatArray, middle: FloatArray, widest_deg: float, farthest_mm: float, seed: int
) -> list[FloatArray]:
    """Return starts: the given one, and others turned about the fragment's middle and shifted, evenly over two balls."""
    drawn = 2 * qmc.Sobol(6, rng=np.random.default_rng(seed)).random(_DRAWN) - 1
    balls = (np.linalg.norm(drawn[:, :3], axis=1) <= 1) & (np.linalg.norm(drawn[:, 3:], axis=1) <= 1)
    out = [start]
    at = transform_points(start, middle)
    for row in drawn[balls][: _STARTS - 1]:
        turn = Rotation.from_rotvec(np.radians(widest_deg) * row[:3]).as_matrix()
        out.append(rigid(turn, at - turn @ at + farthest_mm * row[3:]) @ start)
    return out


def same_place(a: FloatArray, b: FloatArray, middle: FloatArray) -> bool:
    """Return whether two poses of a fragment are one answer; `middle` (3,) is its own."""
    turned = rotation_angle_deg(a[:3, :3] @ b[:3, :3].T)
    moved = float(np.linalg.norm(transform_points(a, middle) - transform_points(b, middle)))
    return turned < _APART_DEG and moved < _APART_MM


def _judged(
    sample: SurfaceSample, whole: DepthField, motion: FloatArray, own: float, rivals: tuple[FloatArray, ...]
) -> Fit:
    at = transform_points(motion, sample.points_ras)
    depth, outward = whole.depth_mm(at), whole.outward_ras(at)
    alike = np.einsum("ij,ij->i", outward, sample.normals_ras @ motion[:3, :3].T)
    fits = (np.abs(depth) < 1.5) & (alike > 0.5)
    if fits.sum() < 20:
        return Fit(motion, np.inf, float(fits.mean()), own, rivals, np.full((6, 6), np.inf), at.mean(axis=0))
    residual = float(np.sqrt(np.mean(depth[fits] ** 2)))
    centre = at[fits].mean(axis=0)
    jacobian = np.concatenate([np.cross(at[fits] - centre, outward[fits]), outward[fits]], axis=1)
    spread = np.linalg.pinv(jacobian.T @ jacobian / _POINTS_AS_ONE, rcond=1e-12) * max(residual, 0.3) ** 2
    return Fit(motion, residual, float(fits.mean()), own, rivals, spread, centre)
