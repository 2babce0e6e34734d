"""The known motion of soft tissue: bones stay, the map and its inverse agree, the MR shows what they say."""

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.interpolation import sample_volume
from MSKFusionLib.phantom import PatientOptions, generate_patient

TINY = {"levels": ("L4", "L5"), "ct_spacing_mm": (2.0, 2.0, 3.0), "mr_spacing_mm": (2.0, 6.0), "mr_noise": 0.0}


@pytest.fixture(scope="module")
def still():
    return generate_patient(PatientOptions(seed=3, **TINY))


@pytest.fixture(scope="module")
def moved():
    return generate_patient(PatientOptions(seed=3, soft_tissue_motion_mm=12.0, **TINY))


@pytest.fixture(scope="module")
def tissue_points(moved):
    return np.random.default_rng(1).uniform([-40, -90, -40], [40, 50, 40], (4000, 3))


def test_bones_stay_and_soft_tissue_moves_as_far_as_asked(moved, tissue_points):
    for level in ("L4", "L5"):
        points = moved.bone_points_ras(level, 2000)
        assert np.abs(moved.deformation.ct_to_mr(points) - points).max() < 0.01
    far = np.linalg.norm(moved.deformation.ct_to_mr(tissue_points) - tissue_points, axis=1)
    assert 6.0 < far.max() <= 12.0 + 1e-6
    assert moved.deformation.least_jacobian > 0.1


def test_the_map_has_an_inverse(moved, tissue_points):
    there = moved.deformation.ct_to_mr(tissue_points)
    assert np.abs(moved.deformation.mr_to_ct(there) - tissue_points).max() < 1e-3
    assert np.allclose(moved.ct_to_mr(tissue_points), transform_points(moved.ct_to_mr_ras, there))


def test_the_mr_shows_the_tissue_where_the_truth_says(still, moved, tissue_points):
    """The same seed without motion has the same texture: its values at the still places are the moved one's at theirs."""
    before = sample_volume(still.mr_t2, still.ct_to_mr(tissue_points))
    after = sample_volume(moved.mr_t2, moved.ct_to_mr(tissue_points))
    unmoved = sample_volume(moved.mr_t2, still.ct_to_mr(tissue_points))
    moving = np.linalg.norm(moved.deformation.ct_to_mr(tissue_points) - tissue_points, axis=1) > 4.0
    assert np.corrcoef(before[moving], after[moving])[0, 1] > 0.95
    assert np.corrcoef(before[moving], unmoved[moving])[0, 1] < 0.9


def test_without_motion_nothing_changes(still, moved):
    assert still.deformation is None
    assert np.array_equal(still.ct.voxels, moved.ct.voxels)


def test_two_postures_and_soft_motion_do_not_go_together():
    with pytest.raises(InputError, match="two postures"):
        PatientOptions(two_postures=True, soft_tissue_motion_mm=5.0)
    with pytest.raises(InputError, match="not between"):
        PatientOptions(soft_tissue_motion_mm=30.0)
