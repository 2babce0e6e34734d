"""`mskplanner register`, one rigid motion, as a user calls it."""

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk

from MSKFusionLib.frames import transform_points
from MSKFusionLib.volume import read_image, write_image


def _point_list(path, names, points_ras):
    points = [
        {"label": n, "position": (p * [-1, -1, 1]).tolist(), "positionStatus": "defined"}
        for n, p in zip(names, points_ras, strict=True)
    ]
    path.write_text(json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": points}]}))
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory, small_patient):
    """The call that registers the patient's images, and the folder they are in."""
    folder = tmp_path_factory.mktemp("register")
    write_image(small_patient.ct, folder / "ct.nrrd")
    write_image(small_patient.mr_t2, folder / "mr.nrrd")
    return folder, [
        "register",
        folder / "ct.nrrd",
        folder / "mr.nrrd",
        "--fixed-modality",
        "ct",
        "--moving-modality",
        "mr",
    ]


def test_a_registration_is_started_measured_and_looked_at(mskplanner, images, small_patient):
    folder, call = images
    out = folder / "out"
    marks = np.concatenate(
        [small_patient.bone_points_ras(level, 2, seed=5) for level in list(small_patient.vertebrae)[:3]]
    )
    names = [f"p{n}" for n in range(len(marks))]
    sides = (("ct", marks), ("mr", transform_points(small_patient.ct_to_mr_ras, marks)))
    used = [_point_list(folder / f"{side}.mrk.json", names[:4], p[:4]) for side, p in sides]
    kept = [_point_list(folder / f"{side}2.mrk.json", names[4:], p[4:]) for side, p in sides]
    run = mskplanner(*call, "--fused", "--landmarks", *used, "--check-landmarks", *kept, "--out", out)
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
    # Landmarks that were not used measure it.
    assert "Landmarks not used" in run.out
    assert set(document["landmark_tre_mm"]) == set(names[4:])
    assert max(document["landmark_tre_mm"].values()) < 0.6
    html = (out / "registration.html").read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 15, "five kinds of pictures of three planes"
    assert "Accepted by its own checks" in html
    assert "<h2>Landmarks</h2>" in html
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?://", html)
    assert str(folder) not in html


def test_landmarks_of_one_image_only_are_named(mskplanner, images):
    folder, call = images
    points = np.eye(4, 3) * 40
    here = _point_list(folder / "here.mrk.json", ["p0", "p1", "p2", "p3"], points)
    there = _point_list(folder / "there.mrk.json", ["p0", "p1", "p2"], points[:3])
    run = mskplanner(*call, "--landmarks", here, there, "--out", folder / "none")
    assert run.status == 2
    assert "'p3' stands in one image only" in run.error
    assert not (folder / "none").exists()
