"""`mskplanner register --method deformable`, as a user calls it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from MSKFusionLib.frames import transform_points
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.volume import write_image


@pytest.mark.slow
def test_the_files_agree_with_the_truth(mskplanner, tmp_path):
    pytest.importorskip("torch")
    patient = generate_patient(replace(PatientOptions.small(seed=3), soft_tissue_motion_mm=12.0))
    write_image(patient.ct, tmp_path / "ct.nrrd")
    write_image(patient.mr_t2, tmp_path / "mr.nrrd")
    write_segmentation(patient.labels, tmp_path / "bones.seg.nrrd")
    run = mskplanner(
        "register", tmp_path / "ct.nrrd", tmp_path / "mr.nrrd", "--method", "deformable", "--device", "cpu",
        "--bones", tmp_path / "bones.seg.nrrd", "--fixed-modality", "ct", "--moving-modality", "mr",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert run.status == 0, run.err + run.out
    document = json.loads((tmp_path / "out" / "registration.json").read_text())
    assert document["method"].startswith("deformable")
    assert document["evidence"]["folded_share"] == 0
    there = sitk.ReadTransform(str(tmp_path / "out" / "fixed_to_moving.h5"))
    bone = patient.bone_points_ras("L4", 200)
    muscle = np.argwhere(patient.labels.mask("muscle"))[::500]
    soft = transform_points(patient.ct.ijk_to_ras, muscle[:, ::-1].astype(float))
    for points, bar in ((bone, 0.25), (soft, 2.0)):
        true = patient.ct_to_mr(points)
        ijk = transform_points(patient.mr_t2.ras_to_ijk, true)
        seen = np.all((ijk >= 0) & (ijk <= np.array(patient.mr_t2.shape_ijk) - 1), axis=1)
        by_itk = np.array([there.TransformPoint((p * [-1, -1, 1]).tolist()) for p in points[seen]]) * [-1, -1, 1]
        assert np.median(np.linalg.norm(by_itk - true[seen], axis=1)) < bar


def test_what_is_for_deformable_only_is_refused_elsewhere(mskplanner, tmp_path, small_patient):
    write_image(small_patient.ct, tmp_path / "ct.nrrd")
    write_image(small_patient.mr_t2, tmp_path / "mr.nrrd")
    common = (
        "register", tmp_path / "ct.nrrd", tmp_path / "mr.nrrd", "--fixed-modality", "ct", "--moving-modality", "mr",
        "--out", tmp_path / "out",
    )  # fmt: skip
    for extra in (("--start", "piecewise"), ("--device", "cpu"), ("--network", "bundle")):
        run = mskplanner(*common, *extra)
        assert run.status == 2
        assert "--method deformable" in run.error
    assert not (tmp_path / "out").exists()
