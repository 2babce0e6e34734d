"""`mskplanner forearm` on bones whose measures are known, and what it refuses."""

import json

import pytest
from core.forearm_shapes import WristShape, radius_mesh, ulna_mesh

from MSKFusionLib.frames import flip_ras_lps
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import write_stl

SHAPE = WristShape(16.0, -18.0, 4.0)


@pytest.fixture(scope="module")
def bones(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrist")
    write_stl(radius_mesh(SHAPE), folder / "radius.stl")
    write_stl(ulna_mesh(SHAPE), folder / "ulna.stl")
    truth = SHAPE.landmarks
    names = ("radial_styloid", "volar_ulnar_corner", "dorsal_ulnar_corner", "volar_rim", "dorsal_rim", "ulnar_head")
    controls = [
        {
            "label": n.replace("_", " ").capitalize(),
            "position": list(map(float, flip_ras_lps(getattr(truth, n)))),
            "positionStatus": "defined",
        }
        for n in names
    ]
    (folder / "placed.mrk.json").write_text(
        json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": controls}]})
    )
    return folder


def values(record):
    return {m["name"]: m["value"] for m in record["measures"]}


def test_a_malunited_wrist_is_measured(bones, tmp_path, capsys):
    call = ["--radius", str(bones / "radius.stl"), "--ulna", str(bones / "ulna.stl"), "--side", "right"]
    assert main(["forearm", *call, "--out", str(tmp_path / "w")]) == 0
    said = capsys.readouterr().out
    assert "tilted dorsally" in said
    assert "the ulna is longer" in said
    record = json.loads((tmp_path / "w" / "forearm.json").read_text())
    found = values(record)
    assert found["radial_inclination_deg"] == pytest.approx(16.0, abs=2.0)
    assert found["volar_tilt_deg"] == pytest.approx(-18.0, abs=2.5)
    assert found["ulnar_variance_mm"] == pytest.approx(4.0, abs=0.8)
    assert all(m["definition"] and m["source"] and m["per_mm"] for m in record["measures"])
    assert len(json.loads((tmp_path / "w" / "landmarks.mrk.json").read_text())["markups"][0]["controlPoints"]) == 8
    placed = ["--landmarks", str(bones / "placed.mrk.json"), "--json", "--out", str(tmp_path / "p")]
    assert main(["forearm", *call, *placed]) == 0
    found = values(json.loads(capsys.readouterr().out))
    assert found["radial_inclination_deg"] == pytest.approx(16.0, abs=0.1)
    assert found["volar_tilt_deg"] == pytest.approx(-18.0, abs=0.1)
    assert found["ulnar_variance_mm"] == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--landmarks", "placed.mrk.json", "--radius", "radius.stl", "--side", "left"], "this is a right forearm"),
        (["--side", "right"], "no bone and no landmark is given"),
        (["--side", "right", "--radius", "absent.stl"], "no such file"),
        (["--side", "right", "--radius", "radius.stl", "--distal", "down"], "'down' is not a direction"),
    ],
)
def test_wrong_calls_are_said(bones, tmp_path, capsys, monkeypatch, arguments, says):
    monkeypatch.chdir(bones)
    assert main(["forearm", *arguments, "--out", str(tmp_path / "no")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
