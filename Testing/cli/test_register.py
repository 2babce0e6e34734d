"""`mskplanner register`, one rigid motion, as a user calls it."""

import json
import re

import numpy as np
import SimpleITK as sitk

from MSKFusionLib.frames import transform_points
from MSKFusionLib.volume import read_image, write_image


def test_a_registration_can_be_looked_at(mskplanner, tmp_path, small_patient):
    ct, mr, out = tmp_path / "ct.nrrd", tmp_path / "mr.nrrd", tmp_path / "out"
    write_image(small_patient.ct, ct)
    write_image(small_patient.mr_t2, mr)
    run = mskplanner("register", ct, mr, "--fused", "--fixed-modality", "ct", "--moving-modality", "mr", "--out", out)
    assert run.status == 0, run.err + run.out
    document = json.loads((out / "registration.json").read_text())
    points = np.concatenate([small_patient.bone_points_ras(level, 100) for level in small_patient.vertebrae])
    true = transform_points(small_patient.ct_to_mr_ras, points)
    found = transform_points(np.array(document["fixed_to_moving_ras"]), points)
    error = np.linalg.norm(found - true, axis=1).mean()
    assert error < 0.5
    assert error < 3 * document["expected_error_mm"]
    # The map agrees with the number over the bones.
    errors = read_image(out / "expected_error_mm.nrrd")
    ijk = np.rint(transform_points(errors.ras_to_ijk, points)).astype(int)
    assert abs(errors.voxels[tuple(ijk.T[::-1])].mean() - document["expected_error_mm"]) < 0.1
    fused = sitk.ReadImage(str(out / "fused.nrrd"))
    assert fused.GetSize() == small_patient.ct.shape_ijk
    assert fused.GetNumberOfComponentsPerPixel() == 3
    html = (out / "registration.html").read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 15, "five kinds of pictures of three planes"
    assert "Accepted by its own checks" in html
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?://", html)
    assert str(tmp_path) not in html


def _point_list(path, names, points_ras):
    points = [
        {"label": n, "position": (p * [-1, -1, 1]).tolist(), "positionStatus": "defined"}
        for n, p in zip(names, points_ras, strict=True)
    ]
    path.write_text(json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": points}]}))
    return path


def test_landmarks_start_it_and_others_measure_it(mskplanner, tmp_path, small_patient):
    ct, mr, out = tmp_path / "ct.nrrd", tmp_path / "mr.nrrd", tmp_path / "out"
    write_image(small_patient.ct, ct)
    write_image(small_patient.mr_t2, mr)
    levels = list(small_patient.vertebrae)[:3]
    points = np.concatenate([small_patient.bone_points_ras(level, 2, seed=5) for level in levels])
    true = transform_points(small_patient.ct_to_mr_ras, points)
    names = [f"p{n}" for n in range(len(points))]
    used = [_point_list(tmp_path / f"{k}.mrk.json", names[:4], p[:4]) for k, p in (("ct", points), ("mr", true))]
    kept = [_point_list(tmp_path / f"{k}2.mrk.json", names[4:], p[4:]) for k, p in (("ct", points), ("mr", true))]
    call = ["register", ct, mr, "--fixed-modality", "ct", "--moving-modality", "mr", "--out", out]
    run = mskplanner(*call, "--landmarks", *used, "--check-landmarks", *kept)
    assert run.status == 0, run.err + run.out
    assert "Landmarks not used" in run.out
    document = json.loads((out / "registration.json").read_text())
    assert set(document["landmark_tre_mm"]) == set(names[4:])
    assert max(document["landmark_tre_mm"].values()) < 0.6
    assert "<h2>Landmarks</h2>" in (out / "registration.html").read_text(encoding="utf-8")

    wrong = _point_list(tmp_path / "wrong.mrk.json", names[:3], true[:3])
    run = mskplanner(*call, "--force", "--landmarks", used[0], wrong)
    assert run.status == 2
    assert "'p3' stands in one image only" in run.error
