"""The command line on real images: what phantoms cannot show."""

import importlib.util
import json

import numpy as np
import pytest
import SimpleITK as sitk

from MSKFusionLib.images import load_image
from MSKFusionLib.volume import Volume, write_image
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.plan_file import read_plan

pytestmark = [pytest.mark.slow, pytest.mark.realdata]


@pytest.fixture
def rire(real_data):
    folder = real_data / "rire"
    spec = importlib.util.spec_from_file_location("tre_rire", folder / "tre_rire.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return folder / "training_001_ct_1.25mm.nii.gz", folder / "training_001_mr_T1.mha", module.tre


@pytest.mark.parametrize("ct_first", [True, False])
def test_rire_both_ways_round(rire, tmp_path, ct_first):
    ct, mr, tre = rire
    pair = (ct, mr) if ct_first else (mr, ct)
    assert main(["register", *map(str, pair), "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "registration.json").read_text())
    matrix = np.array(found["fixed_to_moving_lps"])
    error = tre(matrix if ct_first else np.linalg.inv(matrix)).mean()
    assert error <= 2.0
    assert found["expected_error_mm"] >= 0.5 * error
    transform = sitk.ReadTransform(str(tmp_path / "out" / "fixed_to_moving.h5"))
    p = (100.0, 120.0, 50.0)
    assert np.allclose(transform.TransformPoint(p), (matrix @ [*p, 1])[:3], atol=1e-9)


@pytest.mark.parametrize("other", ["knee", "pelvis", "noise"])
@pytest.mark.parametrize("ct_first", [True, False])
def test_pairs_that_cannot_match_are_rejected(rire, real_data, tmp_path, other, ct_first, capsys):
    ct, mr, _ = rire
    if other == "noise":
        like = load_image(mr)
        noise = np.random.default_rng(0).rayleigh(120.0, like.voxels.shape).astype(np.int16)
        path = tmp_path / "noise.nrrd"
        write_image(Volume(noise, like.origin_ras, like.spacing_mm, like.directions_ras), path)
    else:
        path = real_data / (
            "knee_mr/mese_t2_dicom_echo1" if other == "knee" else "pelvis_mr/cptac_C3N-01001_t1_cor_pelvis.nrrd"
        )
    pair = (ct, path) if ct_first else (path, ct)
    assert main(["register", *map(str, pair), "--out", str(tmp_path / "out")]) == 3
    assert "rejected" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "registration.json").read_text())
    assert found["verdict"] == "rejected"
    assert found["reasons"]


def test_thoracic_ct_without_labels(real_data, tmp_path):
    """Every vertebra wholly in view gets a left and a right screw, and none leaves the bone that the CT itself shows."""
    path = real_data / "spine_ct" / "lidc0314_lower_thoracic_ct.nrrd"
    main(["screws", str(path), "--site", "pedicle", "--out", str(tmp_path / "out")])
    plan = read_plan(tmp_path / "out")
    ct = load_image(path)
    whole = [s["name"] for s in plan.segmentation["segments"] if s["kind"] == "vertebra" and s["complete"]]
    assert {s.name for s in plan.screws} == {f"{level} {side}" for level in whole for side in ("left", "right")}
    outside = outside_bone_mm(ct)
    for screw in plan.screws:
        assert screw_outside_mm(outside, ct, screw) <= 0.5, screw.name


def outside_bone_mm(ct):
    """Distance in mm outside bone, made from the CT alone: thresholded, closed, its marrow filled slice by slice."""
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(ct.to_sitk(), sitk.sitkFloat32), 0.5)
    bone = smooth > 160
    bone = sitk.BinaryMorphologicalClosing(bone, (3, 3, 2))
    filled = sitk.GetArrayFromImage(bone)
    for axis in range(3):
        for n in range(filled.shape[axis]):
            slab = np.take(filled, n, axis)
            image = sitk.BinaryFillhole(sitk.GetImageFromArray(slab))
            index = [slice(None)] * 3
            index[axis] = n
            # The canal is a hole too in axial slices: fill only what is small there.
            holes = sitk.GetArrayFromImage(image) & ~slab.astype(bool)
            parts = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(holes.astype(np.uint8))))
            parts = sitk.GetArrayFromImage(parts)
            sizes = np.bincount(parts.ravel())
            small = np.isin(parts, [k for k in range(1, len(sizes)) if sizes[k] < (120 if axis == 0 else 400)])
            filled[tuple(index)] |= small.astype(filled.dtype)
    image = sitk.GetImageFromArray(filled.astype(np.uint8))
    image.CopyInformation(ct.to_sitk())
    return sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)


def screw_outside_mm(distance, ct, screw):
    """Largest distance outside bone of the screw's surface beyond its first 6 mm (where it enters)."""
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = (tip - entry) / np.linalg.norm(tip - entry)
    u = np.cross(axis, [0.0, 0.0, 1.0])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    worst = -np.inf
    for s in np.arange(6.0, screw.length_mm, 1.0):
        for t in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            p = entry + s * axis + screw.diameter_mm / 2 * (np.cos(t) * u + np.sin(t) * v)
            lps = p * [-1, -1, 1]
            worst = max(worst, distance[distance.TransformPhysicalPointToIndex(lps.tolist())])
    return worst
