"""`mskplanner combine`: files in, one label set out, and an exit status that tells a disagreement."""

import json

import numpy as np
import pytest

from MSKFusionLib.segmentation.files import read_segmentation, write_segmentation
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume, read_image


@pytest.fixture
def files(tmp_path):
    """A bone from x = 0 to 20 mm, and a canal beside it on the MR, which lies 5 mm further to the right."""
    i = np.indices((20, 30, 60))[2]
    ct = Volume(
        np.where((i >= 20) & (i < 40), 22, 0).astype(np.int16),
        np.array([-20.0, 0, 0]),
        np.ones(3),
        np.eye(3),
        Modality.LABEL,
    )
    mr = Volume(
        np.where((i >= 40) & (i < 48), 5, 0).astype(np.int16),
        np.array([-15.0, 0, 0]),
        np.ones(3),
        np.eye(3),
        Modality.LABEL,
    )
    write_segmentation(Segmentation(ct, (Segment(22, "L3", "vertebra"),)), tmp_path / "bones.seg.nrrd")
    write_segmentation(Segmentation(mr, (Segment(5, "canal", "canal"),)), tmp_path / "mr.seg.nrrd")

    def registration(shift_mm, verdict="accepted", error=0.2):
        m = np.eye(4)
        m[0, 3] = shift_mm
        entry = {
            "verdict": verdict,
            "reasons": ["said so"],
            "warnings": [],
            "fixed_to_moving_ras": m.tolist(),
            "expected_error_mm": error,
        }
        (tmp_path / "registration.json").write_text(json.dumps(entry))
        return tmp_path / "registration.json"

    return tmp_path, registration


def call(folder, registration, *more):
    return (
        "combine", folder / "bones.seg.nrrd", folder / "mr.seg.nrrd", "--registration", registration,
        "--out", folder / "both.seg.nrrd", *more,
    )  # fmt: skip


def test_the_canal_lies_beside_the_bone(mskplanner, files):
    folder, registration = files
    run = mskplanner(*call(folder, registration(5.0), "--json"))
    assert run.status == 0, run.err
    assert json.loads(run.out)["disagreements"] == []
    found = read_segmentation(folder / "both.seg.nrrd")
    canal = np.nonzero(found.mask("canal"))[2]
    assert (canal.min(), canal.max()) == (40, 47)
    assert found.mask("L3").sum() == 20 * 30 * 20


def test_a_wrong_registration_shows(mskplanner, files):
    folder, registration = files
    run = mskplanner(*call(folder, registration(13.0), "--disagreement", folder / "where.nrrd"))
    assert run.status == 3
    assert "canal" in run.out
    where = read_image(folder / "where.nrrd", modality=Modality.CT)
    assert set(np.nonzero(where.voxels)[2]) <= set(range(32, 40))
    again = mskplanner(*call(folder, registration(5.0)))
    assert again.status == 2
    assert "there already" in again.err


def test_a_rejected_registration_carries_nothing(mskplanner, files):
    folder, registration = files
    run = mskplanner(*call(folder, registration(5.0, "rejected", None)))
    assert run.status == 2
    assert not (folder / "both.seg.nrrd").exists()
