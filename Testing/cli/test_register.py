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
