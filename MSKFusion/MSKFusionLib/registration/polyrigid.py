"""A map that moves every bone as one piece and bends smoothly between bones.

Each bone has its own rigid motion on top of a common one. A point between bones moves by a weighted mean of the bones'
motions, taken of their logarithms, so that the mean of rigid motions is rigid (log-Euclidean polyrigid transforms:
Arsigny, Commowick et al. 2009, doi 10.1007/s10851-008-0135-9). The weights fall with the inverse square of the distance
(Shepard 1968, doi 10.1145/800186.810616): on a bone its own motion alone counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from ..distance_map import signed_distance_mm
from ..errors import InputError, ProcessingError
from ..frames import FloatArray, invert_rigid, transform_points
from ..interpolation import interpolate
from ..segmentation.labels import Segmentation
from ..volume import Modality, Volume
from .point_map import solve_by_steps, volume_change

#: Room about a bone in which distances from it are exact, and what belongs to a bone outside its label: the half voxel
#: by which a surface and its label differ.
_BOX_MARGIN_MM = 15.0
_SKIN_MM = 0.4
_NEAREST_MM = 1e-3
_CHUNK = 200_000
#: An inverse that misses by more says that the map folds.
_FOLD_MM = 0.5


@dataclass(frozen=True, eq=False)
class PolyrigidMap:
    """From the frame that the bones' labels are in to another.

    Parameters
    ----------
    common_ras
        4x4 that all share.
    motions
        (B, 6) logarithm of each bone's motion before the common one: rotation vector (radians), then shift (mm).
    distances
        Per bone a volume of distances from it (mm, negative inside).
    labels, values
        The labels the map was made for, and each bone's value: on its voxels a bone's motion holds exactly.
    """

    common_ras: FloatArray
    motions: FloatArray
    distances: tuple[Volume, ...]
    labels: Volume
    values: tuple[int, ...]

    @classmethod
    def of_poses(cls, bones: Segmentation, poses_ras: Mapping[str, FloatArray], common_ras: FloatArray) -> PolyrigidMap:
        """Return the map of some bones' poses (4x4 by name, from the labels' frame); `common_ras` holds far from them.

        Raises
        ------
        InputError
            When there is no pose.
        """
        if not poses_ras:
            raise InputError("there is no bone with a pose of its own", where=bones.labels.name)
        back = invert_rigid(common_ras)
        motions = np.array([log_motion(back @ pose) for pose in poses_ras.values()])
        distances = tuple(_distance_volume(bones, name) for name in poses_ras)
        return cls(common_ras, motions, distances, bones.labels, tuple(bones[n].value for n in poses_ras))

    def __call__(self, points_ras: ArrayLike) -> FloatArray:
        """Take points (..., 3) along."""
        points = np.asarray(points_ras, dtype=np.float64)
        flat = points.reshape(-1, 3)
        out = np.empty_like(flat)
        for i in range(0, len(flat), _CHUNK):
            part = flat[i : i + _CHUNK]
            out[i : i + _CHUNK] = transform_points(
                self.common_ras, exp_motion(self._weights(part) @ self.motions, part)
            )
        return out.reshape(points.shape)

    def inverse(self, points_ras: ArrayLike) -> FloatArray:
        """Return the points (..., 3) that the map takes to given ones.

        Raises
        ------
        ProcessingError
            When the map folds there, so that it has no inverse.
        """
        target = np.asarray(points_ras, dtype=np.float64)
        goal = transform_points(invert_rigid(self.common_ras), target.reshape(-1, 3))
        found, miss_mm, worst = solve_by_steps(lambda at: exp_motion(self._weights(at) @ self.motions, at), goal)
        if miss_mm > _FOLD_MM:
            where = np.round(target.reshape(-1, 3)[worst], 0)
            raise ProcessingError(f"the bones move so differently near {where} RAS mm that the map between them folds")
        return found.reshape(target.shape)

    def least_jacobian(self, step_mm: float = 3.0) -> tuple[float, float]:
        """Return the least volume change (1: none, 0 and less: folded) and the folded share, around the bones."""
        box = self.labels
        counts = np.maximum(np.floor(box.extent_mm / step_mm).astype(int), 3)
        k, j, i = np.meshgrid(*[np.arange(n) for n in counts[::-1]], indexing="ij")
        local = np.stack([i, j, k], axis=-1) * step_mm / box.spacing_mm
        change = volume_change(self(transform_points(box.ijk_to_ras, local)), step_mm, box.directions_ras)
        return float(change.min()), float((change <= 0).mean())

    def _weights(self, points: FloatArray) -> FloatArray:
        """Return each bone's share (N, B)."""
        far = np.stack([_distance_mm(d, points) for d in self.distances], axis=1) - _SKIN_MM
        # Exactly on the bone where the label says so: the distance maps are coarser.
        ijk = np.rint(transform_points(self.labels.ras_to_ijk, points)).astype(int)
        inside = np.all((ijk >= 0) & (ijk < self.labels.shape_ijk), axis=1)
        ijk = np.clip(ijk, 0, np.array(self.labels.shape_ijk) - 1)
        here = np.where(inside, self.labels.voxels[ijk[:, 2], ijk[:, 1], ijk[:, 0]], 0)
        weights = 1.0 / np.maximum(far, _NEAREST_MM) ** 2
        for n, value in enumerate(self.values):
            weights[here == value] = np.eye(len(self.values))[n]
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def log_motion(matrix: FloatArray) -> FloatArray:
    """Return the logarithm (6,) of a rigid 4x4 that turns by less than 180 degrees: rotation vector, then shift."""
    omega = Rotation.from_matrix(matrix[:3, :3]).as_rotvec()
    a, b = _coefficients(np.linalg.norm(omega))
    k = np.cross(np.eye(3), omega)  # k @ x is omega x x
    return np.r_[omega, np.linalg.solve(np.eye(3) + a * k + b * k @ k, matrix[:3, 3])]


def exp_motion(motions: FloatArray, points: FloatArray) -> FloatArray:
    """Take each point (N, 3) along its own motion (N, 6), given by its logarithm."""
    omega, shift = motions[:, :3], motions[:, 3:]
    angle = np.linalg.norm(omega, axis=1)[:, None]
    a, b = _coefficients(angle)
    c = np.where(angle > 1e-6, np.sin(angle) / np.maximum(angle, 1e-12), 1.0)
    once, moved = np.cross(omega, points), np.cross(omega, shift)
    turned = points + c * once + a * np.cross(omega, once)
    return np.asarray(turned + shift + a * moved + b * np.cross(omega, moved))


def _coefficients(angle: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return (1 - cos t) / t^2 and (t - sin t) / t^3."""
    t = np.asarray(angle, dtype=np.float64)
    safe = np.maximum(t, 1e-4)
    small = t < 1e-4
    return (
        np.where(small, 0.5, (1 - np.cos(safe)) / safe**2),
        np.where(small, 1 / 6, (safe - np.sin(safe)) / safe**3),
    )


def _distance_mm(box: Volume, points: FloatArray) -> FloatArray:
    """Return distances (N,) from a bone; beyond its box by way of the box's border, which is no less and continuous."""
    ijk = transform_points(box.ras_to_ijk, points)
    within = np.clip(ijk, 0.0, np.array(box.shape_ijk) - 1.0)
    return np.asarray(interpolate(box.voxels, within) + np.linalg.norm((ijk - within) * box.spacing_mm, axis=1))


def _distance_volume(bones: Segmentation, name: str) -> Volume:
    """Return the distances from one bone in the box around it, on the labels' own voxels."""
    part = bones.around(name, _BOX_MARGIN_MM)
    distance_mm = signed_distance_mm(part.voxels == bones[name].value, part.spacing_mm[::-1])
    return replace(part, voxels=distance_mm, modality=Modality.UNKNOWN, name=f"distance from {name}")
