"""The spinal canal as a tunnel through rings of bone, and the curved frame that it gives the spine.

The canal is the one place that has bone close by in nearly every direction of the axial plane over the whole length
of the spine, with a vertebral body in front of it. A ring score says so for every voxel; the best chain of voxels from
slice to slice (dynamic programming) is the canal. It needs no threshold to be exact: pedicles and laminae of the
levels above and below stand in for the gaps at discs and foramina.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import ProcessingError
from ..frames import FloatArray, unit_rows
from ..volume import Volume
from .working import indices_of

_DIRECTIONS = 16
_REACH_MM = 16.0
_POOL_MM = 10.0  # half the gap between the pedicles of neighbouring lumbar vertebrae
_MIN_SCORE = 0.35
_MIN_LENGTH_MM = 30.0
_MAX_SIDE_SLOPE = 0.8  # tangent of the steepest tilt in the coronal plane: a severe scoliosis has 40 degrees


@dataclass(frozen=True, eq=False)
class SpineAxis:
    """The canal's centre line with a frame at every step, from head to foot.

    Parameters
    ----------
    centres_ras
        (N, 3) points in mm, `step_mm` apart.
    caudal, right, anterior
        (N, 3) unit vectors of the frame at each point.
    score
        (N,) how well bone surrounds the canal, 0 to 1.
    """

    centres_ras: FloatArray
    caudal: FloatArray
    right: FloatArray
    anterior: FloatArray
    score: FloatArray
    step_mm: float = 1.0

    def __len__(self) -> int:
        return len(self.centres_ras)

    def points_ras(self, steps: ArrayLike, u_mm: ArrayLike, v_mm: ArrayLike) -> FloatArray:
        """Return RAS points at fractional `steps` along the axis, u mm to the right and v mm to the front of it."""
        s, u, v = np.broadcast_arrays(
            np.asarray(steps, dtype=float), np.asarray(u_mm, dtype=float), np.asarray(v_mm, dtype=float)
        )
        inside = np.clip(s, 0, len(self) - 1)
        low = np.minimum(inside.astype(int), max(len(self) - 2, 0))
        high = np.minimum(low + 1, len(self) - 1)
        f = (inside - low)[..., None]
        # What lies beyond the ends goes on straight.
        beyond = ((s - inside) * self.step_mm)[..., None] * self.caudal[high]
        centre = self.centres_ras[low] * (1 - f) + self.centres_ras[high] * f + beyond
        right = self.right[low] * (1 - f) + self.right[high] * f
        anterior = self.anterior[low] * (1 - f) + self.anterior[high] * f
        return centre + u[..., None] * right + v[..., None] * anterior


def find_canal(hu: NDArray[np.float32], grid: Volume, bone_hu: float) -> tuple[FloatArray, FloatArray]:
    """Return points (N, 3) in RAS along the spinal canal from head to foot, one a slice, and the score of each.

    Parameters
    ----------
    hu
        CT on a straight grid (axes right, anterior, superior) of 2 to 3 mm.
    bone_hu
        What counts as bone in the ring.

    Raises
    ------
    ProcessingError
        When nothing in the image looks like a spinal canal.
    """
    score = _ring_score(hu, float(grid.spacing_mm[0]), bone_hu)
    # The canal is never crossed by bone; a chain through the marrow of bodies crosses every endplate.
    blocked = np.clip((hu - 120.0) / (bone_hu - 100.0), 0, 1)
    first, path = _best_chain(score - _MIN_SCORE - 1.5 * blocked)
    slices = np.arange(first, first + len(path))
    along = score[slices, path[:, 0], path[:, 1]].astype(np.float64)
    # A chain may bridge a bad stretch into a long bone's marrow: the best part between bad stretches is the spine.
    slope = (
        np.gradient(_smooth_along(path[:, 1:].astype(float), 6.0 / grid.spacing_mm[2])[:, 0])
        if len(path) > 2
        else along
    )
    good = ndimage.gaussian_filter1d(along, 2.0 / grid.spacing_mm[2]) > _MIN_SCORE
    run = _longest_run(good & (np.abs(slope) < _MAX_SIDE_SLOPE))
    slices, path, along = slices[run], path[run], along[run]
    if len(path) * grid.spacing_mm[2] < _MIN_LENGTH_MM:
        raise ProcessingError(
            "no spine was found in this CT: nothing in it looks like a spinal canal between vertebral bodies and arches."
            " Give a CT of the spine, or a ready segmentation."
        )
    ijk = np.column_stack([path[:, 1], path[:, 0], slices])
    return (grid.origin_ras + ijk * grid.spacing_mm)[::-1], along[::-1]


def _ring_score(hu: NDArray[np.float32], spacing_mm: float, bone_hu: float) -> NDArray[np.float32]:
    """Return for every voxel how much it looks like the middle of a spinal canal, 0 to 1."""
    bone = hu > bone_hu
    pool = 2 * max(1, round(_POOL_MM / spacing_mm)) + 1
    steps = np.arange(1, int(_REACH_MM / spacing_mm) + 1)
    ring = np.zeros(hu.shape, dtype=np.float32)
    for angle in np.arange(_DIRECTIONS // 2) * 2 * np.pi / _DIRECTIONS:
        pair = np.ones(hu.shape, dtype=np.uint8)
        for sign in (-1, 1):
            hit = np.zeros(hu.shape, dtype=bool)
            for step in steps:
                hit |= _shifted(bone, round(sign * step * np.sin(angle)), round(sign * step * np.cos(angle)))
            # Pedicles and laminae of the levels above and below stand in where this slice has a gap.
            pair &= ndimage.maximum_filter1d(hit.view(np.uint8), pool, axis=0)
        ring += pair
    ring /= _DIRECTIONS // 2
    # A vertebral body lies in front. Where its marrow is no denser than soft tissue its endplates still are.
    weight = np.clip((hu - 60.0) / 140.0, 0, 1)
    side = round(22 / spacing_mm)
    slab = ndimage.uniform_filter(weight, (max(1, round(4 / spacing_mm)), side, side))
    slab = ndimage.maximum_filter1d(slab, 2 * round(16 / spacing_mm) + 1, axis=0)
    ahead = np.clip(_shifted(slab, round(20 / spacing_mm), 0) / 0.6, 0, 1)
    # Behind the arch, beside the spinous process, there is muscle; behind the marrow of a body there is the arch.
    block = ndimage.uniform_filter(bone.astype(np.float32), [max(1, round(mm / spacing_mm)) for mm in (16, 22, 10)])
    beside = round(11 / spacing_mm)
    behind = sum(_shifted(block, -round(34 / spacing_mm), side * beside) for side in (-1, 1)) / 2
    ahead *= 1.0 - np.clip((behind - 0.12) / 0.2, 0, 0.9)
    # The canal is open tissue, 10 mm wide or more.
    clear = np.stack([_distance_in_plane(b | (h < -250), spacing_mm) for b, h in zip(bone, hu, strict=True)])
    score = (ring * ahead * np.clip((clear - 0.5) / 3.0, 0, 1)).astype(np.float32)
    candidates = np.argwhere(score > 0.5 * _MIN_SCORE)
    score[tuple(candidates.T)] *= _openness(hu, candidates, spacing_mm)
    return score


def _openness(hu: NDArray[np.float32], at: NDArray[np.intp], spacing_mm: float) -> NDArray[np.float32]:
    """Return for voxels (N, 3) how free of bone the freest line up and down through them is, 0.2 to 1.

    The canal goes on for centimetres; the marrow of a body ends at its endplates.
    """
    smooth = ndimage.gaussian_filter(hu, 0.6)
    wall = (np.clip((smooth - 95.0) / 70.0, 0, 1) * 255).astype(np.uint8)
    reach = np.arange(-round(20 / spacing_mm), round(20 / spacing_mm) + 1)
    padded = np.pad(wall, len(reach), mode="edge")
    freest = np.full(len(at), 255, dtype=np.uint8)
    shape = np.array(padded.shape)
    flat = np.ravel_multi_index(tuple((at + len(reach)).T), padded.shape)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    values = padded.ravel()
    for forward in np.tan(np.radians([-40, -20, 0, 20, 40])):
        for sideways in np.tan(np.radians([-25, 0, 25])):
            worst = np.zeros(len(at), dtype=np.uint8)
            for step in reach:
                offset = np.array([step, round(step * forward), round(step * sideways)]) @ strides
                np.maximum(worst, values[flat + offset], out=worst)
            np.minimum(freest, worst, out=freest)
    return (1.0 - 0.8 * freest / 255.0).astype(np.float32)


def _distance_in_plane(blocked: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.float32]:
    if not blocked.any():
        return np.full(blocked.shape, 50.0, dtype=np.float32)
    return (ndimage.distance_transform_edt(~blocked) * spacing_mm).astype(np.float32)


def _shifted(array: NDArray, dj: int, di: int) -> NDArray:
    """Return the array as seen `dj`, `di` voxels further along j and i, zero outside."""
    out = np.zeros_like(array)
    _, height, width = array.shape
    if abs(dj) >= height or abs(di) >= width:
        return out
    out[:, max(0, -dj) : height - max(0, dj), max(0, -di) : width - max(0, di)] = array[
        :, max(0, dj) : height - max(0, -dj), max(0, di) : width - max(0, -di)
    ]
    return out


def _best_chain(gain: NDArray[np.float32]) -> tuple[int, NDArray[np.intp]]:
    """Return the first slice and (j, i) per slice of the chain with the greatest sum; it may start and end anywhere."""
    moves = [(a, b) for a in range(-2, 3) for b in range(-2, 3)]
    total = gain[0].astype(np.float64)
    sums = np.empty(gain.shape, dtype=np.float32)
    back = np.full(gain.shape, -1, dtype=np.int8)
    sums[0] = total
    for k in range(1, len(gain)):
        padded = np.pad(total, 2, constant_values=-np.inf)
        h, w = total.shape
        best = np.zeros((h, w))
        for number, (a, b) in enumerate(moves):
            option = padded[2 + a : 2 + a + h, 2 + b : 2 + b + w] - 0.12 * (a * a + b * b)
            better = option > best
            best[better] = option[better]
            back[k][better] = number
        total = best + gain[k]
        sums[k] = total
    k, j, i = (int(n) for n in np.unravel_index(int(sums.argmax()), sums.shape))
    chain = [(j, i)]
    while k > 0 and back[k][chain[-1]] >= 0:
        a, b = moves[back[k][chain[-1]]]
        chain.append((chain[-1][0] + a, chain[-1][1] + b))
        k -= 1
    return k, np.array(chain[::-1], dtype=np.intp)


def _longest_run(flags: NDArray[np.bool_]) -> slice:
    labels, count = ndimage.label(flags)
    if not count:
        return slice(0, 0)
    best = int(np.bincount(labels)[1:].argmax()) + 1
    where = np.flatnonzero(labels == best)
    return slice(int(where[0]), int(where[-1]) + 1)


def spine_axis(
    points_ras: ArrayLike, score: ArrayLike, hu: NDArray[np.float32], grid: Volume, *, step_mm: float = 1.0
) -> SpineAxis:
    """Return the canal's smooth centre line with frames that turn with the vertebral bodies.

    Parameters
    ----------
    points_ras
        (N, 3) rough points in the canal from head to foot.
    hu
        CT on a straight grid of about 1 mm (K, J, I).
    """
    rough = np.asarray(points_ras, dtype=float)
    curve, along = _smooth_curve(rough, np.asarray(score, dtype=float), step_mm, 8.0)
    weight = np.clip((hu - 60.0) / 300.0, 0, 1).astype(np.float32)
    right = np.tile([1.0, 0.0, 0.0], (len(curve), 1))
    for smoothing_mm in (12.0, 8.0):
        axis = _with_frames(curve, right, along, step_mm)
        right = _turned_to_bodies(axis, weight, grid)
        axis = _with_frames(curve, right, along, step_mm)
        centred = _centred_in_canal(axis, hu, grid)
        curve, along = _smooth_curve(centred, along, step_mm, smoothing_mm)
        right = right[np.clip(np.round(np.linspace(0, len(right) - 1, len(curve))).astype(int), 0, len(right) - 1)]
    return _with_frames(curve, right, along, step_mm)


def _smooth_curve(
    points: FloatArray, values: FloatArray, step_mm: float, sigma_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Return points one step apart along the smoothed curve, and the values there."""
    spacing = float(np.median(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    smooth = _smooth_along(points, sigma_mm / max(spacing, 1e-3))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1))])
    at = np.arange(0, length[-1] + 1e-6, step_mm)
    return np.column_stack([np.interp(at, length, c) for c in smooth.T]), np.interp(at, length, values)


def _smooth_along(values: FloatArray, sigma: float) -> FloatArray:
    """Smooth (N, D) along N; the ends go on straight instead of being held, so that they are not pulled in."""
    n = len(values)
    reach = min(n - 1, max(1, int(3 * sigma)))
    if n < 3:
        return values
    head = 2 * values[0] - values[reach:0:-1]
    tail = 2 * values[-1] - values[-2 : -reach - 2 : -1]
    padded = np.concatenate([head, values, tail])
    return ndimage.gaussian_filter1d(padded, sigma, axis=0)[reach : reach + n]


def _with_frames(centres: FloatArray, right: FloatArray, score: FloatArray, step_mm: float) -> SpineAxis:
    caudal = unit_rows(np.gradient(centres, axis=0))
    right = unit_rows(right - np.sum(right * caudal, axis=1, keepdims=True) * caudal)
    return SpineAxis(centres, caudal, right, np.cross(right, caudal), score, step_mm)


def _turned_to_bodies(axis: SpineAxis, weight: NDArray[np.float32], grid: Volume) -> FloatArray:
    """Return right-hand directions turned about the axis so that the bodies lie straight in front."""
    u, v = np.meshgrid(np.arange(-26.0, 27.0, 2), np.arange(6.0, 42.0, 2))
    radius = np.hypot(u, v)
    use = (radius > 8) & (radius < 40) & (np.abs(np.arctan2(u, v)) < np.radians(50))
    u, v = u[use], v[use]
    values = sample_along(axis, weight, grid, np.arange(len(axis)), u, v)
    sideways = ndimage.gaussian_filter1d((values * u).sum(axis=1), 12.0 / axis.step_mm)
    ahead = ndimage.gaussian_filter1d((values * v).sum(axis=1), 12.0 / axis.step_mm)
    turn = np.clip(np.arctan2(sideways, np.maximum(ahead, 1e-3)), -0.5, 0.5)
    turned = np.cos(turn)[:, None] * axis.right - np.sin(turn)[:, None] * axis.anterior
    return np.asarray(turned)


def _centred_in_canal(axis: SpineAxis, hu: NDArray[np.float32], grid: Volume) -> FloatArray:
    """Return the centres moved half way between the bone on opposite sides."""
    reach = np.arange(0.0, 15.0, 0.5)
    steps = np.arange(len(axis))
    wall = np.full((len(axis), _DIRECTIONS), np.nan)
    angles = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    for number, angle in enumerate(angles):
        values = sample_along(axis, hu, grid, steps, reach * np.cos(angle), reach * np.sin(angle))
        # The nearest bone within 8 mm up or down: gaps between arches do not count as open.
        values = ndimage.maximum_filter1d(values, round(16 / axis.step_mm) | 1, axis=0)
        hit = values > 200.0
        wall[:, number] = np.where(hit.any(axis=1), reach[hit.argmax(axis=1)], np.nan)
    half = _DIRECTIONS // 2
    both = np.isfinite(wall[:, :half]) & np.isfinite(wall[:, half:])
    shift = np.where(both, (wall[:, :half] - wall[:, half:]) / 2, 0.0)
    # Least squares of the shifts seen along the diameters.
    c, s = np.cos(angles[:half]), np.sin(angles[:half])
    du = 2 * np.sum(shift * c, axis=1) / np.maximum(both.sum(axis=1), 1)
    dv = 2 * np.sum(shift * s, axis=1) / np.maximum(both.sum(axis=1), 1)
    du, dv = np.clip(du, -4, 4), np.clip(dv, -4, 4)
    return axis.centres_ras + du[:, None] * axis.right + dv[:, None] * axis.anterior


def sample_along(
    axis: SpineAxis, values: NDArray[np.float32], grid: Volume, steps: ArrayLike, u_mm: ArrayLike, v_mm: ArrayLike
) -> NDArray[np.float32]:
    """Return `values` (K, J, I on `grid`) at every step (N) and every offset (M) across the axis, shape (N, M)."""
    points = axis.points_ras(np.asarray(steps)[:, None], np.ravel(u_mm)[None], np.ravel(v_mm)[None])
    where = indices_of(points, grid)
    out: NDArray[np.float32] = ndimage.map_coordinates(values, where.reshape(-1, 3).T, order=1, mode="nearest")
    return out.reshape(where.shape[:2])
