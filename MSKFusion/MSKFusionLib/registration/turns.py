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


def all_turns(step_deg: float) -> FloatArray:
    """Return turns (N, 3, 3) spread evenly over all there are.

    The lattice of `turns_within` around each of the 24 turns of a cube, as far as it is nearer to that one than to any
    other; the cube's own come first, since headers are most often wrong by one of them.
    """
    cube = Rotation.create_group("O")
    cube = cube[np.argsort(cube.magnitude(), kind="stable")]
    near = Rotation.from_matrix(turns_within(63.0, step_deg))
    # The cosine of half the angle between each turn and each of the cube's.
    likeness = np.abs(near.as_quat() @ cube.as_quat().T)
    near = near[likeness[:, 0] >= likeness.max(axis=1) - 1e-9]
    return np.concatenate([(turn * cube).as_matrix() for turn in near])
