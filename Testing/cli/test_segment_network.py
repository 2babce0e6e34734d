"""`mskplanner segment --network`: what a bundle finds is written with its terms; what it may not do is said in one line."""

import json

import numpy as np
import pytest
from core.bundle_maker import NAMES, changed, inference, scale_step, write_bundle, write_texts

from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.volume import Modality, Volume, write_image
from MSKPlannerLib.cli.main import main


def blocks() -> Volume:
    voxels = np.zeros((24, 26, 30), np.int16)
    voxels[4:14, 5:15, 6:16] = 400
    voxels[15:22, 15:24, 18:27] = 1000
    return Volume(voxels, np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.5]), np.eye(3), Modality.CT, name="blocks")


def test_a_bundle_finds_and_names_structures(mskplanner, tmp_path):
    pytest.importorskip("monai")
    write_bundle(tmp_path / "bundle", config=inference(steps=[scale_step()]))
    write_image(blocks(), tmp_path / "ct.nrrd")
    call = ("segment", tmp_path / "ct.nrrd", "--modality", "ct", "--network", tmp_path / "bundle", "--device", "cpu")
    run = mskplanner(*call, "--out", tmp_path / "found.seg.nrrd", "--json")
    assert run.status == 0, run.err
    entry = json.loads(run.out)
    assert [(s["name"], s["value"], s["kind"]) for s in entry["segments"]] == [
        ("L3", 22, "vertebra"), ("femur_left", 203, "bone"),
    ]  # fmt: skip
    assert NAMES[2] in " ".join(entry["notes"])
    found = read_segmentation(tmp_path / "found.seg.nrrd")
    assert np.array_equal(found.mask("femur_left"), blocks().voxels == 1000)
    again = mskplanner(*call, "--out", tmp_path / "found.seg.nrrd")
    assert again.status == 2
    assert "--force" in again.error


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("--network", "BUNDLE", "--level", "L3@lowest"), "--level"),
        (("--network", "EVIL"), "never run"),
        (("--network", "NOWHERE"), "no such file"),
        (("--device", "cpu"), "--network"),
        (("--modality", "mr"), "--network"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, capsys, extra, words):
    places = {name: tmp_path / name.lower() for name in ("BUNDLE", "EVIL", "NOWHERE")}
    write_texts(places["BUNDLE"])
    write_texts(places["EVIL"], config=changed(inference(), "network_def", "$__import__('os').system('true')"))
    write_image(blocks(), tmp_path / "ct.nrrd")
    call = ("segment", tmp_path / "ct.nrrd", "--out", tmp_path / "found.seg.nrrd", *(places.get(e, e) for e in extra))
    assert main([str(c) for c in call]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mskplanner: ")]
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "found.seg.nrrd").exists()
