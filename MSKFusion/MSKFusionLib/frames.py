"""Coordinate frames and rigid transforms.

World coordinates are RAS millimetres everywhere inside; LPS exists only where a file or ITK is met, and is
turned into RAS and back by the two functions here. Angles are degrees at every interface.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import GeometryError

FloatArray = NDArray[np.float64]

#: Turns RAS into LPS homogeneous coordinates and back (it is its own inverse).
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: A larger product is shared out between threads, which for matrices of three columns takes ten times as long.
_ROWS_AT_ONCE = 6000


def flip_ras_lps(points: ArrayLike) -> FloatArray:
    """Turn points (..., 3) from RAS into LPS or back."""
    return np.asarray(points, dtype=np.float64) * np.array([-1.0, -1.0, 1.0])


def flip_transform_ras_lps(matrix: ArrayLike) -> FloatArray:
    """Turn a 4x4 transform between RAS frames into the same one between LPS frames, or back."""
    return RAS_LPS @ np.asarray(matrix, dtype=np.float64) @ RAS_LPS


def as_point(values: ArrayLike) -> tuple[float, float, float]:
    """Return three numbers, a point or a direction in whatever frame they are in, as records write them: plain floats."""
    x, y, z = np.asarray(values, dtype=float).tolist()
    return x, y, z


def transform_points(matrix: ArrayLike, points: ArrayLike) -> FloatArray:
    """Apply a 4x4 transform to points (..., 3)."""
    m, p = np.asarray(matrix, dtype=np.float64), np.asarray(points, dtype=np.float64)
    moved = rows_times(p.reshape(-1, 3), np.ascontiguousarray(m[:3, :3].T))
    moved += m[:3, 3]
    return moved.reshape(p.shape)


def rows_times(rows: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the product of many rows (N, 3) and a small matrix (3, M), computed in pieces that one thread takes each."""
    out = np.empty((len(rows), matrix.shape[1]), dtype=np.result_type(rows, matrix))
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        np.matmul(rows[some], matrix, out=out[some])
    return out


def sum_of_products(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return the sum (3, M) of the outer products of the rows of `a` (N, 3) and `b` (N, M), in pieces likewise."""
    total = np.zeros((a.shape[1], b.shape[1]), dtype=np.result_type(a, b))
    for first in range(0, len(a), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        total += a[some].T @ b[some]
    return total


def rotation_about(axis: ArrayLike, angle_deg: float) -> FloatArray:
    """Return the 3x3 rotation by `angle_deg` about `axis` (right-handed, Rodrigues)."""
    a = np.asarray(axis, dtype=np.float64)
    a = a / np.linalg.norm(a)
    t = np.radians(angle_deg)
    k = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    return np.eye(3) + np.sin(t) * k + (1 - np.cos(t)) * k @ k


def rotation_angle_deg(rotation: ArrayLike) -> float:
    """Return the angle of a 3x3 (or of the rotation part of a 4x4) in degrees, accurate for small angles too."""
    r = np.asarray(rotation, dtype=np.float64)[:3, :3]
    sine = 0.5 * np.linalg.norm([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    return float(np.degrees(np.arctan2(sine, 0.5 * (np.trace(r) - 1.0))))


def rigid(rotation: ArrayLike | None = None, translation: ArrayLike | None = None) -> FloatArray:
    """Return the 4x4 of a 3x3 rotation followed by a translation in mm."""
    m = np.eye(4)
    if rotation is not None:
        m[:3, :3] = np.asarray(rotation, dtype=np.float64)
    if translation is not None:
        m[:3, 3] = np.asarray(translation, dtype=np.float64)
    return m


def rigid_about(centre: ArrayLike, rotation: ArrayLike, translation: ArrayLike = (0.0, 0.0, 0.0)) -> FloatArray:
    """Return the 4x4 that turns about `centre`, then shifts by `translation`."""
    c = np.asarray(centre, dtype=np.float64)
    r = np.asarray(rotation, dtype=np.float64)
    return rigid(r, c - r @ c + np.asarray(translation, dtype=np.float64))


def invert_rigid(matrix: ArrayLike) -> FloatArray:
    """Invert a rigid 4x4 exactly (transpose of the rotation)."""
    m = np.asarray(matrix, dtype=np.float64)
    return rigid(m[:3, :3].T, -m[:3, :3].T @ m[:3, 3])


def check_rigid(matrix: ArrayLike, where: str = "transform", tolerance: float = 1e-4) -> FloatArray:
    """Return `matrix` as a 4x4 float array.

    Raises
    ------
    GeometryError
        When it is not a finite 4x4 with an orthonormal, right-handed rotation part.
    """
    m = np.asarray(matrix, dtype=np.float64)
    if m.shape != (4, 4) or not np.all(np.isfinite(m)):
        raise GeometryError("not a finite 4x4 matrix", where=where)
    if np.abs(m[3] - [0, 0, 0, 1]).max() > 1e-9:
        raise GeometryError("the last row of the matrix is not 0 0 0 1", where=where)
    if np.abs(m[:3, :3] @ m[:3, :3].T - np.eye(3)).max() > tolerance or np.linalg.det(m[:3, :3]) < 0:
        raise GeometryError("the matrix scales, shears or mirrors; a rigid transform is needed", where=where)
    return m


def fit_rigid(points: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Return the rigid 4x4 that takes `points` (N, 3) to `targets` (N, 3) with least squared distance.

    Source: Kabsch 1976, doi 10.1107/S0567739476001873.
    """
    p, q = np.asarray(points, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    pc, qc = p.mean(0), q.mean(0)
    u, _, vt = np.linalg.svd((p - pc).T @ (q - qc))
    r = vt.T @ np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return rigid(r, qc - r @ pc)


def unit(vector: ArrayLike) -> FloatArray:
    """Return `vector` at length one.

    Raises
    ------
    GeometryError
        When its length is zero or not finite.
    """
    v = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(v))
    if not np.isfinite(length) or length < 1e-12:
        raise GeometryError("a direction of length zero")
    return v / length


def unit_rows(vectors: ArrayLike) -> FloatArray:
    """Return vectors (..., n), each at length one; those of length zero stay zero."""
    v = np.asarray(vectors, dtype=np.float64)
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-30))


def perpendicular_axes(direction: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return two unit vectors that form a right-handed frame (u, v, direction)."""
    w = unit(direction)
    helper = np.array([1.0, 0, 0]) if abs(w[0]) < 0.8 else np.array([0, 1.0, 0])
    u = unit(np.cross(helper, w))
    return u, np.cross(w, u)
