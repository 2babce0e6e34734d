"""Mutual information of CT samples with an MR image, and its gradient over rigid motions.

The CT enters as tissue classes at fixed points, the MR as a cubic B-spline Parzen histogram of its trilinear values
(Viola and Wells 1997, doi 10.1023/A:1007958904918; Mattes et al. 2003, doi 10.1109/TMI.2003.809072).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frames import (
    FloatArray,
    rigid_about,
    rotation_about,
    rows_times,
    sum_of_products,
    transform_points,
    unit,
)
from ..volume import Volume
from .preprocess import CT_CLASSES, IntArray

#: One radian of turning moves what lies this far from the centre by as many mm; makes turns and shifts comparable.
RADIUS_MM = 60.0
_LEAST_SAMPLES = 200
_MR_RANGE = (0.0, 2.6)


@dataclass(frozen=True, eq=False)
class Samples:
    """Points of the CT with their tissue class.

    Parameters
    ----------
    points_ras
        (N, 3) mm.
    classes
        (N,) tissue class of each.
    """

    points_ras: FloatArray
    classes: IntArray

    def __len__(self) -> int:
        return len(self.classes)

    def subset(self, keep: NDArray[np.bool_]) -> Samples:
        """Return the samples that `keep` (N,) marks."""
        return Samples(self.points_ras[keep], self.classes[keep])


@dataclass(frozen=True, eq=False)
class MutualInformation:
    """Mutual information in nats of samples with an image, as a function of a rigid 4x4 (CT RAS to MR RAS)."""

    samples: Samples
    image: Volume
    bins: int = 32
    _ras_to_ijk: FloatArray = field(init=False, repr=False)
    _flat: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ras_to_ijk", self.image.ras_to_ijk)
        object.__setattr__(self, "_flat", np.ascontiguousarray(self.image.voxels, dtype=np.float32).ravel())

    # ------------------------------------------------------------------ sampling
    def values_and_gradients(
        self, points_ras: FloatArray
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Return which points (N, 3) lie in the image, and there the trilinear value and its gradient in RAS per mm."""
        inside, corners, (x, y, z) = self._corners(points_ras)
        c000, c100, c010, c110, c001, c101, c011, c111 = corners
        d00, d10, d01, d11 = c100 - c000, c110 - c010, c101 - c001, c111 - c011
        c00, c10, c01, c11 = c000 + x * d00, c010 + x * d10, c001 + x * d01, c011 + x * d11
        e0, e1 = c10 - c00, c11 - c01
        low, high = c00 + y * e0, c01 + y * e1
        value = low + z * (high - low)
        gi = (d00 * (1 - y) + d10 * y) * (1 - z) + (d01 * (1 - y) + d11 * y) * z
        gj = e0 * (1 - z) + e1 * z
        gradient = rows_times(np.stack([gi, gj, high - low], 1), self._ras_to_ijk[:3, :3].astype(np.float32))
        return inside, value, gradient

    def values(self, points_ras: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return which points (N, 3) lie in the image, and there the trilinear value."""
        inside, (c000, c100, c010, c110, c001, c101, c011, c111), (x, y, z) = self._corners(points_ras)
        c00, c10 = c000 + x * (c100 - c000), c010 + x * (c110 - c010)
        c01, c11 = c001 + x * (c101 - c001), c011 + x * (c111 - c011)
        low, high = c00 + y * (c10 - c00), c01 + y * (c11 - c01)
        return inside, low + z * (high - low)

    def share_inside(self, ct_to_mr_ras: FloatArray) -> float:
        """Return the share of the samples that lie in the image, however few."""
        return float(self.values(transform_points(ct_to_mr_ras, self.samples.points_ras))[0].mean())

    def _corners(
        self, points_ras: FloatArray
    ) -> tuple[NDArray[np.bool_], list[NDArray[np.float32]], NDArray[np.float32]]:
        ni, nj, nk = self.image.shape_ijk
        ijk = transform_points(self._ras_to_ijk, points_ras)
        within = (ijk >= 0) & (ijk <= np.array([ni - 1, nj - 1, nk - 1]))
        inside = within[:, 0] & within[:, 1] & within[:, 2]
        if not inside.all():
            ijk = ijk[inside]
        cell = np.minimum(ijk.astype(np.int32), np.array([ni - 2, nj - 2, nk - 2], dtype=np.int32))
        fraction = (ijk - cell).astype(np.float32).T
        base = cell[:, 0] + ni * (cell[:, 1] + nj * cell[:, 2].astype(np.int64))
        offsets = (0, 1, ni, ni + 1, ni * nj, ni * nj + 1, ni * nj + ni, ni * nj + ni + 1)
        return inside, [self._flat.take(base + o) for o in offsets], fraction

    # ------------------------------------------------------------------ histogram
    def _parzen(self, value: NDArray[np.float32]) -> tuple[IntArray, NDArray[np.float32]]:
        """Return the lower of the two middle bins of each value's kernel, and the place between them (0 to 1)."""
        low, high = _MR_RANGE
        u = (np.clip(value, low, high) - low) * ((self.bins - 4) / (high - low)) + 1.5
        k = u.astype(np.int64)
        return k, (u - k).astype(np.float32)

    def joint_histogram(self, classes: IntArray, value: NDArray[np.float32]) -> FloatArray:
        """Return the joint counts (CT_CLASSES, bins) of tissue classes and MR values."""
        k, t = self._parzen(value)
        size = CT_CLASSES * self.bins
        base = classes * self.bins + k
        counts = np.zeros(size)
        for shift, weight in zip((-1, 0, 1, 2), _spline_weights(t), strict=True):
            counts += np.bincount(base + shift, weight, size)
        return counts.reshape(CT_CLASSES, self.bins)

    def per_sample(
        self, tables: NDArray[np.float32], which: IntArray, classes: IntArray, value: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return each sample's own share (N,) under one of several tables (T, CT_CLASSES, bins), read linearly."""
        k, t = self._parzen(value)
        base = (which * CT_CLASSES + classes) * self.bins + k
        flat = tables.ravel()
        return (1 - t) * flat.take(base) + t * flat.take(base + 1)

    # ------------------------------------------------------------------ value and gradient
    def value(self, ct_to_mr_ras: FloatArray) -> tuple[float, float]:
        """Return the mutual information in nats and the share of the samples inside the image."""
        inside, value = self.values(transform_points(ct_to_mr_ras, self.samples.points_ras))
        if inside.sum() < _LEAST_SAMPLES:
            return 0.0, 0.0
        histogram = self.joint_histogram(self.samples.classes[inside], value)
        information, _ = information_table(histogram)
        return information, float(inside.mean())

    def value_and_gradient(
        self, ct_to_mr_ras: FloatArray, centre_mr_ras: FloatArray
    ) -> tuple[float, FloatArray, float]:
        """Return value, gradient and share inside.

        The gradient (6,) is over a small motion put after `ct_to_mr_ras`: a rotation vector (radians) about
        `centre_mr_ras`, then a shift in mm.
        """
        moved = transform_points(ct_to_mr_ras, self.samples.points_ras)
        inside, value, image_gradient = self.values_and_gradients(moved)
        if inside.sum() < _LEAST_SAMPLES:
            return 0.0, np.zeros(6), 0.0
        classes = self.samples.classes[inside]
        information, table = information_table(self.joint_histogram(classes, value))
        slope = self.sample_slopes(table, classes, value) / len(value)
        gradient = _rigid_gradient(moved[inside] - centre_mr_ras, slope[:, None] * image_gradient)
        return information, gradient, float(inside.mean())

    def under_table(
        self, table: FloatArray, ct_to_mr_ras: FloatArray, centre_mr_ras: FloatArray
    ) -> tuple[float, FloatArray, float]:
        """Return the mean share of the samples under a fixed table (CT_CLASSES, bins), its gradient, and the share inside.

        The gradient is over the same motion as in `value_and_gradient`.
        """
        moved = transform_points(ct_to_mr_ras, self.samples.points_ras)
        inside, value, image_gradient = self.values_and_gradients(moved)
        if inside.sum() < _LEAST_SAMPLES:
            return 0.0, np.zeros(6), 0.0
        classes = self.samples.classes[inside]
        k, t = self._parzen(value)
        base, flat = classes * self.bins + k, table.astype(np.float32).ravel()
        share = sum(
            weight * flat[base + shift] for shift, weight in zip((-1, 0, 1, 2), _spline_weights(t), strict=True)
        )
        slope = self.sample_slopes(table, classes, value) / len(value)
        gradient = _rigid_gradient(moved[inside] - centre_mr_ras, slope[:, None] * image_gradient)
        return float(np.mean(share)), gradient, float(inside.mean())

    def sample_slopes(self, table: FloatArray, classes: IntArray, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how each sample's share (N,) changes with its MR value."""
        low, high = _MR_RANGE
        k, t = self._parzen(value)
        base, flat = classes * self.bins + k, table.astype(np.float32).ravel()
        slope = sum(weight * flat[base + shift] for shift, weight in zip((-1, 0, 1, 2), _spline_slopes(t), strict=True))
        free = (value > low) & (value < high)
        return slope * free * np.float32((self.bins - 4) / (high - low))


def information_table(histogram: FloatArray) -> tuple[float, FloatArray]:
    """Return the mutual information in nats of a joint histogram, and log p(c, m) / (p(c) p(m)) of each cell."""
    p = histogram / histogram.sum()
    product = np.outer(p.sum(1), p.sum(0))
    table = np.log(np.maximum(p, 1e-9) / np.maximum(product, 1e-12))
    return float((p * table).sum()), table


def motion(parameters: FloatArray, centre_ras: FloatArray) -> FloatArray:
    """Return the 4x4 of a rotation vector (radians, first three) about a centre and a shift in mm (last three)."""
    angle = float(np.linalg.norm(parameters[:3]))
    turn = np.eye(3) if angle < 1e-12 else rotation_about(parameters[:3], np.degrees(angle))
    return rigid_about(centre_ras, turn, parameters[3:])


def moved_away(
    pose: FloatArray, centre_ras: FloatArray, shift_mm: float, turn_deg: float, rng: np.random.Generator
) -> FloatArray:
    """Return a 4x4 turned about a centre in the frame it leads to, then shifted, by so much in random directions."""
    shift, axis = unit(rng.normal(size=3)), unit(rng.normal(size=3))
    return motion(np.r_[np.radians(turn_deg) * axis, shift_mm * shift], centre_ras) @ pose


def parameter_gradient(parameters: FloatArray, gradient: FloatArray) -> FloatArray:
    """Turn a gradient over a small motion put after `motion(parameters)` into one over `parameters`, exactly.

    The turn is about the shifted centre, and a step of the rotation vector turns by its left Jacobian on SO(3).
    """
    omega, shift = parameters[:3], parameters[3:]
    torque = gradient[:3] - _cross(shift, gradient[3:])
    angle = float(np.linalg.norm(omega))
    a, b = ((1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3) if angle > 1e-4 else (0.5, 1 / 6)
    # transpose of the left Jacobian: 1 - a [w]x + b [w]x^2
    turned = _cross(omega, torque)
    return np.r_[torque - a * turned + b * _cross(omega, turned), gradient[3:]]


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the cross product of two vectors (3,); numpy's takes ten times as long for so few numbers."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def arms_ras(centre_ras: FloatArray, radius_mm: float = RADIUS_MM) -> FloatArray:
    """Return the points (6, 3) around a centre by which two poses are compared."""
    return radius_mm * np.vstack([np.eye(3), -np.eye(3)]) + centre_ras


def pose_distance_mm(a: FloatArray, b: FloatArray, centre_ras: FloatArray, radius_mm: float = RADIUS_MM) -> float:
    """Return how far apart two rigid 4x4s into one frame put points at `radius_mm` around `centre_ras` there, on average."""
    arms = arms_ras(centre_ras, radius_mm)
    difference = a @ np.linalg.inv(b)
    return float(np.linalg.norm(transform_points(difference, arms) - arms, axis=1).mean())


def apart_mm(a: FloatArray, b: FloatArray, points_ras: ArrayLike) -> FloatArray:
    """Return how far apart (...,) two 4x4s put points (..., 3)."""
    return np.asarray(np.linalg.norm(transform_points(a, points_ras) - transform_points(b, points_ras), axis=-1))


def mean_apart_mm(a: FloatArray, b: FloatArray, points_ras: FloatArray) -> float:
    """Return how far apart two 4x4s put some points (N, 3), on average."""
    return float(apart_mm(a, b, points_ras).mean())


def _rigid_gradient(arms: FloatArray, forces: NDArray[np.floating[Any]]) -> FloatArray:
    """Return the sum (6,) of arm x force, then of the forces."""
    m = sum_of_products(arms, forces)
    return np.r_[m[1, 2] - m[2, 1], m[2, 0] - m[0, 2], m[0, 1] - m[1, 0], forces.sum(0)].astype(float)


def _spline_weights(t: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    s = 1 - t
    t2, t3 = t * t, t * t * t
    return s * s * s / 6, (3 * t3 - 6 * t2 + 4) / 6, (-3 * t3 + 3 * t2 + 3 * t + 1) / 6, t3 / 6


def _spline_slopes(t: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    s, t2 = 1 - t, t * t
    return -s * s / 2, (3 * t2 - 4 * t) / 2, (-3 * t2 + 2 * t + 1) / 2, t2 / 2
