"""`mskplanner register --method piecewise`, as a user calls it."""

import json

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.frames import transform_points
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.volume import write_image


def test_each_bone_is_told_and_the_files_agree_with_the_truth(mskplanner, tmp_path):
    patient = generate_patient(PatientOptions.small(seed=3, two_postures=True))
    write_image(patient.ct, tmp_path / "ct.nrrd")
    write_image(patient.mr_t2, tmp_path / "mr.nrrd")
    write_segmentation(patient.labels, tmp_path / "bones.seg.nrrd")
    run = mskplanner(
        "register", tmp_path / "ct.nrrd", tmp_path / "mr.nrrd", "--method", "piecewise",
        "--bones", tmp_path / "bones.seg.nrrd", "--fixed-modality", "ct", "--moving-modality", "mr",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert run.status == 0, run.err + run.out
    assert "Registration accepted" in run.out
    assert "hip_left" in run.out
    document = json.loads((tmp_path / "out" / "registration.json").read_text())
    bones = {b["name"]: b for b in document["bones"]}
    assert {"L3", "L4", "L5", "S1", "hip_left", "hip_right"} <= set(bones)
    assert bones["hip_left"]["fixed_to_moving_lps"] is None
    html = (tmp_path / "out" / "registration.html").read_text(encoding="utf-8")
    assert "<h2>Bones</h2>" in html
    assert not (tmp_path / "out" / "expected_error_mm.nrrd").exists(), "each bone carries its own"
    there = sitk.ReadTransform(str(tmp_path / "out" / "fixed_to_moving.h5"))
    for name in ("L3", "L5"):
        points = patient.bone_points_ras(name, 100)
        true = transform_points(patient.ct_to_mr_ras @ patient.spine.pose_of(name), points)
        pose = np.array(bones[name]["fixed_to_moving_ras"])
        assert np.linalg.norm(transform_points(pose, points) - true, axis=1).mean() < 0.8
        by_itk = np.array([there.TransformPoint((p * [-1, -1, 1]).tolist()) for p in points]) * [-1, -1, 1]
        assert np.linalg.norm(by_itk - true, axis=1).mean() < 1.0


def test_bones_go_with_piecewise_only(mskplanner, tmp_path, small_patient):
    write_image(small_patient.ct, tmp_path / "ct.nrrd")
    write_image(small_patient.mr_t2, tmp_path / "mr.nrrd")
    run = mskplanner(
        "register", tmp_path / "ct.nrrd", tmp_path / "mr.nrrd", "--bones", tmp_path / "x.nrrd",
        "--fixed-modality", "ct", "--moving-modality", "mr", "--out", tmp_path / "out",
    )  # fmt: skip
    assert run.status == 2
    assert "--method piecewise" in run.error
    assert not (tmp_path / "out").exists()
