"""`mskplanner skinframe` on files, as a user calls it."""

import json

import pytest
from core.test_skin_frame import body_image

from MSKFusionLib.volume import write_image
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.plan_file import read_plan

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
