"""A known, smooth motion of soft tissue between the CT and the MR that leaves every bone where it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from ..distance_map import signed_distance_mm
from ..errors import ProcessingError
from ..frames import FloatArray
from ..interpolation import interpolate
from .bent_grid import BentGrid
from .grid import FloatImage, Grid, evaluate, lattice_grid
from .spine import Spine

#: Spacing of the lattices that the motion and the distance from bone are linear between.
_FIELD_STEP_MM, _DISTANCE_STEP_MM = 4.0, 1.5
#: Spacing at which the longest displacement and the Jacobian are looked for.
_LOOK_MM = 3.0
#: Standard deviation of the Gaussian that white noise is smoothed with: parts about twice as far apart move on their own.
_SMOOTH_MM = 34.0
#: Mean length of a displacement against the one at which it is shortened to 0.7 times.
_SHORTENED = 1.3
#: Nothing moves within the first distance from bone (a cell of the lattice that touches bone has corners no farther
#: away), all is free beyond the second.
_STILL_MM, _FREE_MM = 2.6, 28.0
#: Across and along the spine's frame: where tissue moves, and the part that the MR shows, whose motion is as long as asked.
_BOX = np.array([-85.0, -160.0]), np.array([85.0, 110.0])
_SHOWN = np.array([-45.0, -115.0]), np.array([45.0, 60.0])
_SHOWN_BEYOND_MM, _BEYOND_MM = 30.0, 100.0
_LEAST_JACOBIAN = 0.1
_ROUNDS, _EXACT_MM = 60, 1e-4


@dataclass(frozen=True, eq=False)
class SoftTissueDeformation:
    """Where soft tissue lies in the MR, as a displacement from the MR's body back to the CT's.

    A smooth random field times a window that is 0 on bone and close to it, and 1 from 28 mm away.

    Parameters
    ----------
    field_mm
        (K, J, I, 3) displacement in RAS mm on a lattice.
    distance_mm
        (K, J, I) distance to the nearest bone on a finer lattice.
    lower
        Corner (RAS mm) of both lattices.
    """

    field_mm: FloatImage
    distance_mm: FloatImage
    lower: FloatArray

    @classmethod
    def draw(cls, spine: Spine, largest_mm: float, seed: int) -> SoftTissueDeformation:
        """Draw a motion whose longest displacement in what the MR shows is `largest_mm`, around the bones of the CT posture.

        Raises
        ------
        ProcessingError
            When a motion so large would fold the tissue.
        """
        heights = [f[2, 3] for f in spine.frames.values()]
        lower, upper = np.r_[_BOX[0], min(heights) - _BEYOND_MM], np.r_[_BOX[1], max(heights) + _BEYOND_MM]
        rng = np.random.default_rng([seed, 71])
        shape = lattice_grid(lower, upper, _FIELD_STEP_MM).shape
        sigma = _SMOOTH_MM / _FIELD_STEP_MM
        field = np.stack([gaussian_filter(rng.standard_normal(shape), sigma) for _ in range(3)], axis=-1)
        # Long displacements are shortened, so that what the MR does not show moves by no more than what it shows.
        field /= np.sqrt((field**2).sum(axis=-1).mean()) * _SHORTENED
        field /= np.sqrt(1.0 + (field**2).sum(axis=-1, keepdims=True))
        distance = _distance_to_bone_mm(spine, lattice_grid(lower, upper, _DISTANCE_STEP_MM))
        drawn = cls(field.astype(np.float32), distance, lower)
        at, moved = drawn._on_lattice()
        first, last = (
            np.r_[_SHOWN[0], min(heights) - _SHOWN_BEYOND_MM],
            np.r_[_SHOWN[1], max(heights) + _SHOWN_BEYOND_MM],
        )
        shown = np.all((at >= first) & (at <= last), axis=-1)
        scale = largest_mm / float(np.linalg.norm(moved[shown], axis=-1).max())
        drawn = cls((scale * field).astype(np.float32), distance, lower)
        least = drawn.least_jacobian
        if least < _LEAST_JACOBIAN:
            raise ProcessingError(f"soft tissue that moves by {largest_mm} mm folds here (Jacobian {least:.2f})")
        return drawn

    def mr_to_ct_displacement(self, points_ras: ArrayLike) -> FloatArray:
        """Return by how much (..., 3; mm) points of the MR's body, in the CT's frame, lie away from the CT's."""
        points = np.asarray(points_ras, dtype=np.float64)
        there = (points - self.lower) / _FIELD_STEP_MM
        # Beyond the lattice its border's value goes on; no image reaches there.
        moved = np.stack([interpolate(self._component(n), there) for n in range(3)], axis=-1)
        far = interpolate(self.distance_mm, (points - self.lower) / _DISTANCE_STEP_MM)
        return np.asarray(moved * _window(far)[..., None], dtype=np.float64)

    def mr_to_ct(self, points_ras: ArrayLike) -> FloatArray:
        """Take points (..., 3) of the MR's body, in the CT's frame, to the same tissue in the CT."""
        points = np.asarray(points_ras, dtype=np.float64)
        return points + self.mr_to_ct_displacement(points)

    def ct_to_mr(self, points_ras: ArrayLike) -> FloatArray:
        """Take points (..., 3) of the CT to the same tissue in the MR's body, in the CT's frame: the inverse of `mr_to_ct`."""
        goal = np.asarray(points_ras, dtype=np.float64)
        found = goal - self.mr_to_ct_displacement(goal)
        for _ in range(_ROUNDS):
            miss = self.mr_to_ct(found) - goal
            if float(np.abs(miss).max(initial=0.0)) < _EXACT_MM:
                break
            found -= 0.8 * miss
        return found

    def bent(self, grid: Grid) -> BentGrid:
        """Return a scanner's grid (over the MR's body, in the CT's frame) as it lies in the CT's body."""
        return BentGrid(
            grid.shape, grid.ijk_to_world, self.mr_to_ct, float(np.linalg.norm(self.field_mm, axis=-1).max())
        )

    @cached_property
    def least_jacobian(self) -> float:
        """The least volume change of `mr_to_ct` between the lattice's points; 0 and less is a fold."""
        _, moved = self._on_lattice()
        slopes = np.stack([np.gradient(moved, _LOOK_MM, axis=a) for a in (2, 1, 0)], axis=-1)
        return float(np.linalg.det(slopes + np.eye(3)).min())

    def _on_lattice(self) -> tuple[FloatArray, FloatArray]:
        """Return points (K, J, I, 3) all over the lattice, and their displacements."""
        lengths = (np.array(self.distance_mm.shape) - 1) * _DISTANCE_STEP_MM
        z, y, x = np.meshgrid(*[np.arange(0.0, length, _LOOK_MM) for length in lengths], indexing="ij")
        points = np.stack([x, y, z], axis=-1) + self.lower
        return points, self.mr_to_ct_displacement(points)

    def _component(self, n: int) -> FloatImage:
        return np.ascontiguousarray(self.field_mm[..., n])


def _window(distance_mm: NDArray[np.float32]) -> NDArray[np.float32]:
    t = np.clip((distance_mm - _STILL_MM) / (_FREE_MM - _STILL_MM), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def _distance_to_bone_mm(spine: Spine, grid: Grid) -> FloatImage:
    bone = np.zeros(grid.shape, dtype=bool)
    for shape in spine.all_bones.values():
        found = evaluate(shape, grid)
        if found is not None:
            value, box = found
            bone[box] |= value > 0
    return np.maximum(signed_distance_mm(bone, (_DISTANCE_STEP_MM,) * 3), 0.0)
