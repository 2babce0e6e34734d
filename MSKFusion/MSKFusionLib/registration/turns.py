"""Grids of turns: a ball of them around none, and all there are."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ..frames import FloatArray


def turns_within(most_deg: float, step_deg: float) -> FloatArray:
    """Return the turns (N, 3, 3) on a body-centred cubic lattice of rotation vectors within a ball, small ones first."""
    n = int(np.ceil(most_deg / step_deg))
    whole = np.arange(-n, n + 1)
    vectors = np.concatenate(
        [np.stack(np.meshgrid(whole + o, whole + o, whole + o, indexing="ij"), -1).reshape(-1, 3) for o in (0.0, 0.5)]
    )
    vectors = step_deg * vectors
    length = np.linalg.norm(vectors, axis=1)
    vectors, length = vectors[length <= most_deg + 1e-9], length[length <= most_deg + 1e-9]
    return Rotation.from_rotvec(vectors[np.argsort(length, kind="stable")], degrees=True).as_matrix()


def cube_turns() -> FloatArray:
    """Return the 24 turns (24, 3, 3) that bring a cube onto itself, small ones first."""
    cube = Rotation.create_group("O")
    # They only swap and flip axes: whole numbers.
    return np.round(cube[np.argsort(cube.magnitude(), kind="stable")].as_matrix())


def turns_around_each_of_the_cube(step_deg: float) -> FloatArray:
    """Return small turns (N, 3, 3) that, each after each of the cube's, spread evenly over all turns there are.

    The lattice of `turns_within` as far as it is nearer to no turn than to any of the cube's; small ones first.
    """
    small = Rotation.from_matrix(turns_within(63.0, step_deg))
    # The cosine of half the angle between each turn and each of the cube's.
    likeness = np.abs(small.as_quat() @ Rotation.from_matrix(cube_turns()).as_quat().T)
    return small[likeness[:, 0] >= likeness.max(axis=1) - 1e-9].as_matrix()
