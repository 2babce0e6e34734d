"""One bone's surface laid onto another's: rigid, from any pose, region weighted, with how well it is determined."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from MSKFusionLib.errors import GeometryError, ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points, unit_rows

from ..mesh import Mesh
from .bone_end import smoothed, surface_points

#: Points of the bone that are compared, and of the template that stand for its surface.
_SAMPLES, _TEMPLATE_POINTS = 2500, 60000
#: Rounds of a fit at most; it ends when a round moves no point by more than this, mm.
_ROUNDS, _STILL_MM = 60, 1e-3
#: The same of the four first tries, which only tell which way round the bones lie.
_TRIAL_SAMPLES, _TRIAL_ROUNDS = 600, 30
#: Distances beyond so many times their median do not count (Tukey's weights), and least scale, mm.
_TUKEY, _LEAST_SCALE_MM = 4.685, 0.05
#: Fewer points than this fix no pose.
_LEAST_POINTS = 60


@dataclass(frozen=True, eq=False)
class SurfaceFit:
    """A template laid onto a region of a bone.

    Parameters
    ----------
    template_to_bone_ras
        Rigid 4x4.
    median_mm, p95_mm
        Distances of the region's points from the template.
    rotation_sd_deg, shift_sd_mm
        (3,) standard deviations about and along the principal axes of the region (longest first), from the distances
        that are left and the surface's shape: large where a shape can turn in itself.
    """

    template_to_bone_ras: FloatArray
    median_mm: float
    p95_mm: float
    rotation_sd_deg: FloatArray
    shift_sd_mm: FloatArray


class Template:
    """A bone's surface ready for being laid onto another."""

    def __init__(self, mesh: Mesh) -> None:
        smooth = smoothed(mesh)  # noise turns normals more than it moves points
        points, normals = [smooth.vertices_ras], [_vertex_normals(smooth)]
        if len(mesh.vertices_ras) < _TEMPLATE_POINTS:
            points.append(smooth.triangles_ras.mean(axis=1))
            normals.append(unit_rows(smooth.face_area_vectors))
        self.points, self.normals = np.concatenate(points), np.concatenate(normals)
        self.tree = cKDTree(self.points)
        self.mesh = mesh

    def fit(self, points: FloatArray, weights: FloatArray, start: FloatArray, rounds: int = _ROUNDS) -> SurfaceFit:
        """Return the pose in which the template lies on weighted points of a bone (point to plane, iterated).

        Source: Chen & Medioni 1992, doi 10.1016/0262-8856(92)90066-C.

        Parameters
        ----------
        points, weights
            (N, 3) RAS mm and (N,).
        start
            Rigid 4x4 from the template to the bone, within a few centimetres and some ten degrees.
        rounds
            At most.

        Raises
        ------
        GeometryError
            When the region has too few points.
        """
        used = weights > 0
        points, weights = (
            points[used],
            weights[used] / max(float(weights[used].mean()), 1e-12) if used.any() else weights[:0],
        )
        if len(points) < _LEAST_POINTS:
            raise GeometryError(
                "the region that is compared is too small", "Move the level away from the end.", "surface fit"
            )
        pose = invert_rigid(start)  # bone to template
        centre = np.average(points, axis=0, weights=weights)
        reach = float(np.linalg.norm(points - centre, axis=1).max())
        for _ in range(rounds):
            j, miss, w = self._equations(points, weights, pose, centre)
            step = np.linalg.lstsq(j * np.sqrt(w)[:, None], -miss * np.sqrt(w), rcond=None)[0]
            middle = transform_points(pose, centre)
            turn = Rotation.from_rotvec(step[:3]).as_matrix()
            pose = rigid(turn, middle - turn @ middle + step[3:]) @ pose
            if np.linalg.norm(step[:3]) * reach + np.linalg.norm(step[3:]) < _STILL_MM:
                break
        j, miss, w = self._equations(points, weights, pose, centre)
        return SurfaceFit(
            invert_rigid(pose), float(np.median(np.abs(miss))), float(np.percentile(np.abs(miss), 95)),
            *_spread(j, miss, w, pose, points, weights),
        )  # fmt: skip

    def _equations(
        self, points: FloatArray, weights: FloatArray, pose: FloatArray, centre: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return how distances follow a small turn about the middle and a shift, the distances, and their weights."""
        here = transform_points(pose, points)
        _, nearest = self.tree.query(here)
        normals = self.normals[nearest]
        miss = np.einsum("ij,ij->i", here - self.points[nearest], normals)
        scale = _TUKEY * max(1.4826 * float(np.median(np.abs(miss))), _LEAST_SCALE_MM)
        robust = np.clip(1 - (miss / scale) ** 2, 0, None) ** 2
        arm = here - transform_points(pose, centre)
        return np.column_stack([np.cross(arm, normals), normals]), miss, weights * robust


def _spread(
    j: FloatArray, miss: FloatArray, w: FloatArray, pose: FloatArray, points: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return standard deviations of turn (degrees) and shift (mm) about the region's principal axes."""
    normal = (j * w[:, None]).T @ j
    freedom = max(float((w > 0).sum()) / 10.0, 1.0)  # neighbouring points err alike
    variance = float((w * miss**2).sum() / max(w.sum(), 1e-12)) * len(w) / freedom
    covariance = variance * np.linalg.pinv(normal)
    d = transform_points(pose, points)
    d = d - np.average(d, axis=0, weights=weights)
    axes = np.linalg.eigh((d * weights[:, None]).T @ d)[1][:, ::-1]
    turn = np.sqrt(np.clip(np.diag(axes.T @ covariance[:3, :3] @ axes), 0, None))
    shift = np.sqrt(np.clip(np.diag(axes.T @ covariance[3:, 3:] @ axes), 0, None))
    return np.degrees(turn), shift


def _vertex_normals(mesh: Mesh) -> FloatArray:
    total = np.zeros_like(mesh.vertices_ras)
    for k in range(3):
        np.add.at(total, mesh.faces[:, k], mesh.face_area_vectors)
    return unit_rows(total)


def sample_surface(mesh: Mesh, seed: int = 0) -> FloatArray:
    """Return points of a surface (N, 3), as dense everywhere."""
    points, area = surface_points(smoothed(mesh))
    if len(points) <= _SAMPLES:
        return points
    rng = np.random.default_rng(seed)
    return points[np.sort(rng.choice(len(points), _SAMPLES, replace=False, p=area / area.sum()))]


def fit_from_anywhere(template: Template, bone: Mesh) -> SurfaceFit:
    """Return the pose of a template on a whole bone, from any start: principal axes in all four right-handed ways.

    Raises
    ------
    ProcessingError
        When the template does not come to lie on the bone.
    """
    points = sample_surface(bone)
    here, there = _principal_frame(template.mesh), _principal_frame(bone)
    best: SurfaceFit | None = None
    for a, b in product((1.0, -1.0), repeat=2):
        turned = rigid(np.diag([a, b, a * b]))
        some = points[:: max(1, len(points) // _TRIAL_SAMPLES)]
        fit = template.fit(some, np.ones(len(some)), there @ turned @ invert_rigid(here), _TRIAL_ROUNDS)
        if best is None or fit.median_mm < best.median_mm:
            best = fit
    if best is None or not np.isfinite(best.median_mm):
        raise ProcessingError("surface fit: the two bones do not come to lie on each other.")
    return best


def _principal_frame(mesh: Mesh) -> FloatArray:
    points, area = surface_points(mesh)
    middle = np.average(points, axis=0, weights=area)
    d = points - middle
    axes = np.linalg.eigh((d * area[:, None]).T @ d)[1][:, ::-1]
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return rigid(axes, middle)
