"""Both images by turns: which voxel is whose is known from its place."""

from __future__ import annotations

import numpy as np
import pytest

from MSKFusionLib.checkerboard import checkerboard
from MSKFusionLib.errors import InputError
from MSKFusionLib.volume import Volume


def test_squares_are_of_one_size_on_voxels_that_are_not():
    rows = np.arange(12 * 10 * 8, dtype=np.float32).reshape(12, 10, 8)
    fixed = Volume(rows, np.zeros(3), np.array([2.5, 2.0, 1.0]), np.eye(3), name="CT")
    moving = np.full(rows.shape, np.nan, np.float32)
    moving[:, :, 2:] = 1000.0 - rows[:, :, 2:]
    board = checkerboard(fixed, moving, 5.0)
    for k, j, i in ((0, 0, 2), (0, 0, 3), (5, 3, 6), (11, 9, 7), (0, 9, 0), (7, 1, 1)):
        cube = [int((n + 0.5) * step // 5.0) for n, step in zip((i, j, k), (2.5, 2.0, 1.0), strict=True)]
        other = sum(cube) % 2 == 1 and i >= 2
        # One image grows with the voxel's number and the other falls, each drawn from black to white.
        share = (rows[k, j, i] - rows.min()) / (rows.max() - rows.min())
        assert board[k, j, i] == pytest.approx(255 * (1 - share if other else share), abs=8), (k, j, i)


def test_images_that_cannot_be_shown_so_are_refused():
    fixed = Volume(np.zeros((4, 4, 4), np.int16), np.zeros(3), np.ones(3), np.eye(3), name="CT")
    with pytest.raises(InputError, match="do not overlap"):
        checkerboard(fixed, np.full((4, 4, 4), np.nan, np.float32), 5.0)
    with pytest.raises(InputError, match="smaller than the voxels"):
        checkerboard(fixed, np.zeros((4, 4, 4), np.float32), 0.5)
