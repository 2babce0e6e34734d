"""`mskplanner skinframe` on files, as a user calls it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from core.test_skin_frame import body_distance, body_image

from MSKFusionLib.images import load_image
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, write_image
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.guides.recipe import is_current, why_outdated
from MSKPlannerLib.percutaneous.bone_on_way import bone_on_way
from MSKPlannerLib.plan import Plan, Screw
from MSKPlannerLib.plan_file import plan_to_json, read_plan

PRESET = """
name = "small"
[pads]
count = 3
diameter_mm = 14
[incision]
radius_mm = 6
[tube]
length_mm = 15
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "ct.nrrd"
    write_image(body_image(), path)
    return path


def test_a_frame_for_planned_paths(image, tmp_path):
    preset = tmp_path / "small.toml"
    preset.write_text(PRESET)
    paths = tmp_path / "paths.json"
    paths.write_text(json.dumps({"paths": [{"entry_ras": [0.0, -70.0, 0.0], "target_ras": [0.0, -20.0, 0.0]}]}))
    out = tmp_path / "out"
    call = [
        "skinframe",
        image,
        "--modality",
        "ct",
        "--paths",
        paths,
        "--preset",
        preset,
        "--label",
        "T12",
        "--out",
        out,
    ]
    assert main([str(c) for c in call]) == 0
    plan = read_plan(out)
    guide = plan.guides[0]
    assert str(guide.verdict) == "accepted"
    assert guide.recipe.kind == "skin"
    # From the skin, which is found to a part of a voxel, 50 mm; above it 12 mm and the tube.
    name, _, depth = guide.notes[0].removesuffix(" mm from the end of its tube to the target").partition(": ")
    assert name == "path 1"
    assert float(depth) == pytest.approx(50 + 12 + 15, abs=0.5)
    assert read_mesh(out / guide.file).is_closed
    assert "Gap to the skin" in (out / guide.file).with_suffix(".html").read_text()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--way", "0,-70,0"], "is not a way"),
        ([], "one kind of ways"),
        (["--way", "0,-70,0:0,-200,0"], "outside the body"),
        (["--paths", "nowhere"], "no such file"),
        (["--paths", __file__], "not planned paths"),
    ],
)
def test_wrong_calls_are_refused_and_write_nothing(image, tmp_path, capsys, more, words):
    assert main(["skinframe", str(image), "--modality", "ct", *more, "--out", str(tmp_path / "o")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def screw(name, entry, tip):
    length = float(np.linalg.norm(np.subtract(entry, tip)))
    return Screw(name, "pedicle", "L3", name.split()[-1], entry, tip, 6.0, length, 1.5, "A")


SCREWS = (
    screw("L3 left", (-20.0, -30.0, 4.0), (-12.0, 5.0, 2.0)),
    screw("L3 right", (20.0, -30.0, 4.0), (12.0, 5.0, 2.0)),
)


def labels_with_bone_behind_the_right_one():
    volume = body_image()
    k, j, i = np.indices(volume.voxels.shape)
    points = np.stack([i, j, k], axis=-1) @ np.diag(volume.spacing_mm) + volume.ijk_to_ras[:3, 3]
    box = (np.abs(points[..., 0] - 22.0) < 8) & (np.abs(points[..., 1] + 46.0) < 4) & (np.abs(points[..., 2] - 4) < 10)
    return Segmentation(volume.with_voxels(box.astype(np.int16), modality=Modality.LABEL), (Segment(1, "ilium"),))


def test_bone_between_skin_and_entry_is_named_with_its_place():
    bones = labels_with_bone_behind_the_right_one()
    left, right = (bone_on_way(bones, s, (s.entry_ras[0], -60.0, 4.0), 3.2) for s in SCREWS)
    assert left.passed
    assert not right.passed
    # From 42 to 50 mm behind the origin, met first at 50, 10 mm below the skin; a voxel is 1.5 to 2 mm.
    assert right.value == pytest.approx(8.0, abs=2.0)
    assert right.place_ras[1] == pytest.approx(-50.0, abs=2.0)
    assert "ilium lies in the way" in right.message


@pytest.fixture
def plan(image, tmp_path):
    folder = tmp_path / "plan"
    folder.mkdir()
    inputs = ({"role": "ct", "voxels_sha256": load_image(image, modality=Modality.CT).sha256()},)
    document = Plan("plan-1", "2026-01-01T00:00:00+00:00", {}, inputs=inputs, screws=SCREWS)
    (folder / "plan.json").write_text(plan_to_json(document))
    return folder


def test_an_image_in_other_coordinates_is_refused(plan, image, tmp_path, capsys):
    other = tmp_path / "other.nrrd"
    write_image(replace(body_image(), origin_ras=np.array([5.0, 0.0, 0.0])), other)
    call = ["--modality", "ct", "--plan", str(plan), "--screws", "L3 left", "--out", str(tmp_path / "o")]
    assert main(["skinframe", str(other), *call]) == 2
    assert "none of the plan's" in capsys.readouterr().err
    assert main(["skinframe", str(image), *call[:4], "--out", str(tmp_path / "o")]) == 2
    assert "there are: L3 left, L3 right" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_a_frame_for_the_screws_of_a_plan(plan, image, tmp_path):
    preset = tmp_path / "small.toml"
    preset.write_text(PRESET)
    call = ["skinframe", image, "--modality", "ct", "--plan", plan, "--screws", "L3 left, L3 right", "--preset", preset]
    assert main([str(c) for c in (*call, "--label", "L3", "--out", tmp_path / "a")]) == 0
    made = read_plan(tmp_path / "a")
    guide = made.guides[0]
    assert is_current(guide, made)
    assert any("was not looked at" in n for n in guide.notes)
    for note, s in zip(guide.notes, SCREWS, strict=False):
        name, _, depth = note.removesuffix(" mm from the end of its tube to the target").partition(": ")
        assert name == s.name
        # The skin in closed form along the screw's axis, to where its field changes sign.
        axis = np.subtract(s.entry_ras, s.tip_ras) / s.length_mm
        along = np.arange(0.0, 80.0, 0.01)
        skin = along[np.flatnonzero(body_distance(np.array(s.entry_ras) + along[:, None] * axis) > 0)[0]]
        assert float(depth) == pytest.approx(skin + s.length_mm + 12 + 15, abs=0.6)
    moved = replace(SCREWS[0], tip_ras=(-12.0, 5.0, 4.0))
    words = why_outdated(guide, replace(made, screws=(moved, SCREWS[1])))
    assert words == ("screw L3 left was moved by 2.00 mm",)
    assert why_outdated(guide, replace(made, inputs=())) == ("the image that shows the skin is another",)
    write_segmentation(labels_with_bone_behind_the_right_one(), plan / "segmentation.seg.nrrd")
    assert main([str(c) for c in (*call, "--label", "L3", "--out", tmp_path / "b")]) == 3
    rejected = read_plan(tmp_path / "b").guides[0]
    assert [c.name for c in rejected.checks if not c.passed] == ["way to the bone L3 right"]
