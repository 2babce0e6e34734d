"""Maps that bend: what they have in common, whatever they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ..frames import FloatArray, flip_ras_lps, transform_points
from ..volume import Modality, Volume

#: Step of the displacements that are sampled for other programs.
DISPLACEMENT_STEP_MM = 2.0
_INVERSION_ROUNDS, _INVERSION_MM = 40, 1e-3


class PointMap(Protocol):
    """Takes points from one image's frame to another's, and back."""

    def __call__(self, points_ras: ArrayLike) -> FloatArray:
        """Take points (..., 3; RAS mm) along."""
        ...

    def inverse(self, points_ras: ArrayLike) -> FloatArray:
        """Return the points (..., 3; RAS mm) that the map takes to given ones."""
        ...


def grid_over(image: Volume, step_mm: float, name: str) -> Volume:
    """Return an empty grid of cubes that covers an image, from its first voxel along its axes."""
    counts = np.maximum(np.ceil((np.array(image.shape_ijk) - 1) * image.spacing_mm / step_mm).astype(int) + 1, 2)
    empty = np.zeros(counts[::-1], dtype=np.uint8)
    return Volume(empty, image.origin_ras, np.full(3, step_mm), image.directions_ras, Modality.LABEL, name)


def displacements(
    take_along: Callable[[FloatArray], FloatArray], fixed: Volume, *, step_mm: float = DISPLACEMENT_STEP_MM
) -> tuple[Volume, FloatArray]:
    """Return a grid over an image, and the displacement (K, J, I, 3; RAS mm) of each of its points under a map."""
    grid = grid_over(fixed, step_mm, "displacement")
    points = voxel_points_ras(grid)
    return grid, take_along(points) - points


def displacement_to_sitk(
    take_along: Callable[[FloatArray], FloatArray], fixed: Volume, *, step_mm: float = DISPLACEMENT_STEP_MM
) -> sitk.DisplacementFieldTransform:
    """Return a map of points sampled over an image, as ITK wants it (points of the fixed image to the moving, LPS)."""
    grid, displaced = displacements(take_along, fixed, step_mm=step_mm)
    image = sitk.GetImageFromArray(flip_ras_lps(displaced), isVector=True)
    image.CopyInformation(grid.to_sitk())
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def volume_change(moved: FloatArray, step_mm: ArrayLike, directions_ras: FloatArray) -> FloatArray:
    """Return the Jacobian determinant (K, J, I) of a map from where it takes the points of a grid.

    Parameters
    ----------
    moved
        (K, J, I, 3) RAS mm.
    step_mm
        Of the grid, one number or one along i, j, k.
    directions_ras
        (3, 3) columns are the grid's axes.
    """
    steps = np.broadcast_to(np.asarray(step_mm, dtype=np.float64), 3)
    slopes = np.stack([np.gradient(moved, steps[2 - a], axis=a) for a in (2, 1, 0)], axis=-1)
    return np.asarray(np.linalg.det(slopes) * np.linalg.det(directions_ras))


def voxel_points_ras(volume: Volume) -> FloatArray:
    """Return the centres (K, J, I, 3; RAS mm) of a volume's voxels."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in volume.voxels.shape], indexing="ij")
    return transform_points(volume.ijk_to_ras, np.stack([i, j, k], axis=-1))


def solve_by_steps(forward: Callable[[FloatArray], FloatArray], goal: FloatArray) -> tuple[FloatArray, float, int]:
    """Solve forward(x) = goal (N, 3) by x <- x - (forward(x) - goal), with half steps where it swings.

    It converges where `forward` differs from the identity by a map that changes by less than the distance between points.

    Returns
    -------
    found, miss_mm, worst
        The points (N, 3), by how much the worst of them misses, and which that is.
    """
    found = goal.copy()
    active = np.arange(len(goal))
    error = np.full(len(goal), np.inf)
    step = np.ones(len(goal))
    for _ in range(_INVERSION_ROUNDS):
        miss = forward(found[active]) - goal[active]
        size = np.linalg.norm(miss, axis=1)
        step[active] = np.where(size > 0.9 * error[active], 0.5 * step[active], step[active])
        error[active] = size
        going = size > _INVERSION_MM
        active = active[going]
        if not len(active):
            break
        found[active] -= np.maximum(step[active], 0.1)[:, None] * miss[going]
    worst = int(active[int(error[active].argmax())]) if len(active) else 0
    return found, float(error[worst]) if len(active) else 0.0, worst
