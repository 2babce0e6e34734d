"""How well found labels are the true ones: overlap, distance of the surfaces, one-to-one matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from MSKFusionLib.boxes import label_boxes, mask_box
from MSKFusionLib.isosurface import zero_surface

Labels = NDArray[np.integer]
#: Surfaces are compared at so many points each.
_POINTS = 8000


@dataclass(frozen=True)
class BoneScore:
    """One true bone and the found label that is matched with it (0: none).

    Parameters
    ----------
    surface_mm
        Mean distance of the two surfaces, both ways; None where nothing was found.
    """

    truth: int
    found: int
    dice: float
    truth_ml: float
    found_ml: float
    surface_mm: float | None


def match(truth: Labels, found: Labels) -> dict[int, tuple[int, float]]:
    """Return for every true label the found one and its Dice, chosen one to one so that the sum of Dice is greatest."""
    true_values, true_index = np.unique(truth, return_inverse=True)
    values, index = np.unique(found, return_inverse=True)
    table = np.bincount(
        true_index.ravel() * len(values) + index.ravel(), minlength=len(true_values) * len(values)
    ).reshape(len(true_values), len(values))
    dice = 2.0 * table / (table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True))
    rows, columns = np.flatnonzero(true_values), np.flatnonzero(values)
    dice = dice[np.ix_(rows, columns)]
    out = {int(true_values[r]): (0, 0.0) for r in rows}
    for r, c in zip(*linear_sum_assignment(-dice), strict=True):
        if dice[r, c] > 0:
            out[int(true_values[rows[r]])] = (int(values[columns[c]]), float(dice[r, c]))
    return out


def scores(truth: Labels, found: Labels, spacing_kji_mm: NDArray[np.float64], wanted: list[int]) -> list[BoneScore]:
    """Return the score of each wanted true label."""
    ml = float(np.prod(spacing_kji_mm)) / 1000.0
    out = []
    for value, (partner, dice) in match(truth, found).items():
        if value not in wanted:
            continue
        a, b = truth == value, found == partner
        distance = surface_distance_mm(a, b, spacing_kji_mm) if partner else None
        out.append(
            BoneScore(value, partner, dice, float(a.sum()) * ml, float(b.sum()) * ml if partner else 0.0, distance)
        )
    return out


def union_dice(truth: Labels, found: Labels) -> float:
    """Return the Dice of everything labelled."""
    a, b = truth > 0, found > 0
    return float(2.0 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1))


def pieces_ml(labels: Labels, voxel_mm3: float) -> dict[int, float]:
    """Return the volume of each label."""
    return {v: float(np.count_nonzero(labels[box] == v)) * voxel_mm3 / 1000.0 for v, box in label_boxes(labels).items()}


def surface_distance_mm(a: NDArray[np.bool_], b: NDArray[np.bool_], spacing_kji_mm: NDArray[np.float64]) -> float:
    """Return the mean distance between the surfaces of two masks, both ways; faces on the border of the grid left out."""
    box = mask_box(a | b, 2)
    first, second = (_surface(m[box], spacing_kji_mm, _open_faces(box, m.shape)) for m in (a, b))
    return float(np.concatenate([_distances(first, second), _distances(second, first)]).mean())


def _open_faces(box: tuple[slice, ...], shape: tuple[int, ...]) -> list[tuple[bool, bool]]:
    return [(s.start == 0, s.stop == n) for s, n in zip(box, shape, strict=True)]


def _surface(
    mask: NDArray[np.bool_], spacing_kji_mm: NDArray[np.float64], at_border: list[tuple[bool, bool]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middles and unit normals of the triangles of a mask's surface."""
    padded = np.pad(mask.astype(np.float32), 2)
    smooth = ndimage.gaussian_filter(padded, 0.7)
    vertices, faces = zero_surface(0.5 - smooth)
    corners = ((vertices - 2.0) * spacing_kji_mm[::-1])[faces]
    middles = corners.mean(axis=1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(normals, axis=1)
    inside = size > 1e-9
    # Where the image cuts a bone both surfaces end at its border: that would only flatter.
    for axis, (low, high) in enumerate(at_border):
        place = middles[:, 2 - axis] / spacing_kji_mm[axis]
        inside &= ~(low & (place < 1.5)) & ~(high & (place > mask.shape[axis] - 2.5))
    return middles[inside], normals[inside] / size[inside, None]


def _distances(
    one: tuple[NDArray[np.float64], NDArray[np.float64]], other: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    chosen = np.random.default_rng(0).permutation(len(one[0]))[:_POINTS]
    points = one[0][chosen]
    distance, nearest = cKDTree(other[0]).query(points)
    offset = points - other[0][nearest]
    height = np.abs(np.sum(offset * other[1][nearest], axis=1))
    aside = np.sqrt(np.maximum(distance**2 - height**2, 0.0))
    # Close by, the distance is that from the triangle's plane.
    return np.asarray(np.where(aside < 1.0, height, distance))
