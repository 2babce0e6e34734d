"""What is rib or hip bone from the start, and what only looks like it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MSKFusionLib.segmentation.separate import BonePoints, lateral_seeds

_SHAPE = (60, 30, 100)
#: One step of the axis and one mm a voxel, head at high k: the sacrum begins 40 steps down.
_SACRUM_STEP, _L4_STEP = 40.0, 0.0


def _points(bone: NDArray[np.bool_]) -> BonePoints:
    kji = np.argwhere(bone)
    step, u, v = (_SHAPE[0] - 1 - kji[:, 0]).astype(float), kji[:, 2].astype(float), kji[:, 1] - 15.0
    return BonePoints(kji, np.stack([u, v, -step], axis=1), step, u, v, np.ones(len(kji), dtype=bool))


@pytest.mark.parametrize("gap_mm", [0, 3])
def test_transverse_process_of_the_lowest_lumbar_level_is_not_hip_bone_though_it_touches_it(gap_mm: int) -> None:
    bone = np.zeros(_SHAPE, dtype=bool)
    process, hip = (slice(34, 42), slice(10, 20), slice(0, 54)), (slice(0, 50), slice(5, 25), slice(54 + gap_mm, 90))
    bone[process] = bone[hip] = True
    found = lateral_seeds(_points(bone), _SHAPE, (False, False), _SACRUM_STEP, _L4_STEP)
    assert not found[process].any()
    assert found[hip][..., -20:].all()


def test_ribs_higher_up_are_found_from_where_no_transverse_process_reaches() -> None:
    bone = np.zeros(_SHAPE, dtype=bool)
    rib = (slice(34, 42), slice(10, 20), slice(20, 95))
    bone[rib] = True
    found = lateral_seeds(_points(bone), _SHAPE, (False, False), np.inf, np.inf)
    assert np.array_equal(np.flatnonzero(found[38, 15]), np.arange(43, 95))
