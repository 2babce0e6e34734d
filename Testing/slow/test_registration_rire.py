"""RIRE patient 001 from 50 seeded poses, and real pairs that cannot match."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from core.rire_truth import mean_error_mm

from MSKFusionLib.frames import invert_rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration import Verdict, register_rigid
from MSKFusionLib.volume import Modality, Volume, read_image

pytestmark = [pytest.mark.slow, pytest.mark.realdata]
_FLIP = np.diag([-1.0, -1, 1, 1])


@pytest.fixture(scope="module")
def ct(real_data) -> Volume:
    return read_image(real_data / "rire" / "training_001_ct_1.25mm.nii.gz", Modality.CT)


@pytest.fixture(scope="module")
def mr(real_data) -> Volume:
    return read_image(real_data / "rire" / "training_001_mr_T1.mha", Modality.MR)


@pytest.mark.parametrize("seed", range(50))
def test_any_pose(real_data, ct: Volume, mr: Volume, seed: int):
    rng = np.random.default_rng(seed)
    shift, axis = rng.normal(size=3), rng.normal(size=3)
    shift *= 60.0 * rng.random() ** (1 / 3) / np.linalg.norm(shift)
    moved = rigid_about(mr.centre_ras, rotation_about(axis, 40.0 * rng.random() ** (1 / 3)), shift)
    there = replace(
        mr, origin_ras=transform_points(moved, mr.origin_ras), directions_ras=moved[:3, :3] @ mr.directions_ras
    )
    if seed % 2:
        found = register_rigid(there, ct)
        ct_to_mr = invert_rigid(found.fixed_to_moving_ras)
    else:
        found = register_rigid(ct, there)
        ct_to_mr = found.fixed_to_moving_ras
    error = mean_error_mm(real_data, ct_to_mr, _FLIP @ moved @ _FLIP)
    assert error <= 2.0
    assert found.verdict == Verdict.ACCEPTED
    assert found.expected_error_mm is not None
    assert found.expected_error_mm >= 0.5 * error


def _knee(real_data) -> Volume:
    folder = str(real_data / "knee_mr" / "mese_t2_dicom_echo1")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return Volume.from_sitk(reader.Execute(), modality=Modality.MR, name="knee")


def _pelvis(real_data) -> Volume:
    return read_image(real_data / "pelvis_mr" / "cptac_C3N-01001_t1_cor_pelvis.nrrd", Modality.MR)


def _noise(real_data) -> Volume:
    head = read_image(real_data / "rire" / "training_001_mr_T1.mha", Modality.MR)
    rng = np.random.default_rng(5)
    return head.with_voxels(np.hypot(*rng.normal(0, 100, (2, *head.voxels.shape))).astype(np.float32))


@pytest.mark.parametrize("other", [_knee, _pelvis, _noise])
@pytest.mark.parametrize("turned_round", [False, True])
def test_what_cannot_match_is_rejected(real_data, ct: Volume, other, turned_round: bool):
    image = other(real_data)
    found = register_rigid(image, ct) if turned_round else register_rigid(ct, image)
    assert found.verdict == Verdict.REJECTED
    assert found.reasons
