"""Every broken input gives one line and exit status 2, and leaves the output folder as it was."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from MSKFusionLib.volume import Volume, write_image


def _volume(voxels, spacing=(1.0, 1.0, 1.0)):
    return Volume(voxels, np.array([5.0, -3.0, 20.0]), np.array(spacing), np.eye(3))


def _noise(shape=(20, 30, 30), low=-900, high=1200, dtype=np.int16):
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A folder of files that nothing can be planned on."""
    folder = tmp_path_factory.mktemp("broken")
    write_image(_volume(_noise()), folder / "whole.nrrd")
    data = (folder / "whole.nrrd").read_bytes()
    (folder / "cut_short.nrrd").write_bytes(data[: len(data) // 2])
    (folder / "not_an_image.nrrd").write_text("hello")
    (folder / "empty.nrrd").write_bytes(b"")
    nan = _noise().astype(np.float32)
    nan[3, 4, 5] = np.nan
    write_image(_volume(nan), folder / "nan.nrrd")
    write_image(_volume(np.full((9, 9, 9), 7, np.int16)), folder / "constant.nrrd")
    sitk.WriteImage(sitk.GetImageFromArray(_noise((30, 30))), str(folder / "flat.nrrd"))
    colour = sitk.GetImageFromArray(np.zeros((9, 9, 9, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(folder / "colour.nrrd"))
    write_image(_volume(_noise(low=0, high=900)), folder / "mr.nrrd")
    (folder / "no_dicom").mkdir()
    (folder / "no_dicom" / "readme.txt").write_text("hello")
    (folder / "unknown_key.toml").write_text('ct = "whole.nrrd"\ncoffee = "black"\n')
    (folder / "no_ct.toml").write_text('mr = "mr.nrrd"\n')
    (folder / "not.toml").write_text("ct = = 3")
    (folder / "bad_option.toml").write_text('ct = "whole.nrrd"\n[screws]\ncoffee = 1\n')
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.nrrd", "no such file"),
        ("cut_short.nrrd", "cut short"),
        ("not_an_image.nrrd", "not an image"),
        ("empty.nrrd", "not an image"),
        ("nan.nrrd", "not numbers"),
        ("constant.nrrd", "empty"),
        ("flat.nrrd", "dimensions"),
        ("colour.nrrd", "values a voxel"),
        ("mr.nrrd", "CT is needed"),
        ("no_dicom", "DICOM"),
    ],
)
def test_images_that_cannot_be_planned_on(mskplanner, broken, tmp_path, name, words):
    out = tmp_path / "out"
    run = mskplanner("screws", broken / name, "--out", out)
    assert run.status == 2
    assert words in run.error
    assert name in run.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.toml", "no such file"),
        ("not.toml", "not valid TOML"),
        ("unknown_key.toml", "'coffee'"),
        ("no_ct.toml", "'ct' is missing"),
        ("bad_option.toml", "'coffee'"),
    ],
)
def test_case_files_that_cannot_be_read(mskplanner, broken, tmp_path, name, words):
    run = mskplanner("run", broken / name, "--out", tmp_path / "out")
    assert run.status == 2
    assert words in run.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("level", "words"),
    [("L3", "does not say where"), ("L3@here", "not a RAS point"), ("L3@1,2", "not a RAS point"), ("Z9@lowest", "Z9")],
)
def test_a_level_that_says_nothing(mskplanner, broken, tmp_path, level, words):
    run = mskplanner("screws", broken / "whole.nrrd", "--level", level, "--out", tmp_path / "out")
    assert run.status == 2
    assert words in run.error
    assert list(tmp_path.iterdir()) == []


def test_results_that_are_there_are_left_alone(mskplanner, broken, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.json").write_text("mine")
    run = mskplanner("screws", broken / "whole.nrrd", "--out", out)
    assert run.status == 2
    assert "--force" in run.error
    assert [(p.name, p.read_text()) for p in out.iterdir()] == [("plan.json", "mine")]


def test_noise_is_not_a_spine(mskplanner, broken, tmp_path):
    run = mskplanner("screws", broken / "whole.nrrd", "--out", tmp_path / "out")
    assert run.status == 2
    assert list(tmp_path.iterdir()) == []


def test_a_guide_needs_a_plan(mskplanner, tmp_path):
    run = mskplanner("guide", tmp_path, "--out", tmp_path / "out")
    assert run.status == 2
    assert "no plan here" in run.error
    assert list(tmp_path.iterdir()) == []


def test_meshes_are_told_apart(mskplanner, tmp_path):
    tetrahedron = [(0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)]
    corners = 20.0 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])

    def stl(faces):
        facets = "".join(
            "facet normal 0 0 0\nouter loop\n"
            + "".join("vertex {} {} {}\n".format(*corners[v]) for v in face)
            + "endloop\nendfacet\n"
            for face in faces
        )
        return f"solid x\n{facets}endsolid x\n"

    (tmp_path / "open.stl").write_text(stl(tetrahedron[:3]))
    (tmp_path / "closed.stl").write_text(stl(tetrahedron))
    (tmp_path / "not_a_mesh.stl").write_text("hello")
    opened = mskplanner("check", "--json", tmp_path / "open.stl", tmp_path / "closed.stl")
    assert opened.status == 3
    found = json.loads(opened.out)
    closed = {name.rsplit("/")[-1]: {c["name"]: c["passed"] for c in v["checks"]} for name, v in found.items()}
    assert found[str(tmp_path / "open.stl")]["verdict"] == "rejected"
    assert closed["closed.stl"]["closed"]
    assert not closed["open.stl"]["closed"]
    wrong = mskplanner("check", tmp_path / "not_a_mesh.stl")
    assert wrong.status == 2
    assert "not_a_mesh.stl" in wrong.error


def test_the_call_itself(mskplanner):
    assert mskplanner("--help").status == 0
    for command in ("demo", "run", "register", "segment", "screws", "guide", "check"):
        helped = mskplanner(command, "--help")
        assert helped.status == 0
        assert "Exit status" in helped.out
    assert mskplanner("coffee").status == 2
    assert mskplanner("screws").status == 2
