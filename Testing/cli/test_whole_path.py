"""The whole path as a user walks it: images in, plan, scene, report and guides out."""

import json
import re
import shutil
import zipfile

import numpy as np
import pytest

from MSKFusionLib.volume import write_image
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.plan_file import read_plan


@pytest.fixture(scope="module")
def case_folder(small_patient, tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    write_image(small_patient.ct, folder / "ct.nrrd")
    write_image(small_patient.mr_t2, folder / "mr.nrrd")
    level = next(level for level, v in small_patient.vertebrae.items() if v.complete_in_ct)
    r, a, s = np.round(np.array(small_patient.vertebrae[level].frame_to_ras)[:3, 3], 1)
    (folder / "case.toml").write_text(
        f'ct = "ct.nrrd"\nmr = "mr.nrrd"\nlevel = "{level}@{r},{a},{s}"\n[guides]\nfit_clearance_mm = 0.3\n'
    )
    return folder


@pytest.fixture(scope="module")
def planned(mskplanner, case_folder):
    run = mskplanner("run", case_folder / "case.toml", "--out", case_folder / "out", timeout=600)
    assert run.status == 0, run.err + run.out
    return run, case_folder / "out"


def test_every_file_is_there(planned):
    run, out = planned
    for name in (
        "plan.json",
        "scene.mrb",
        "report.html",
        "segmentation.seg.nrrd",
        "registration.json",
        "fixed_to_moving.h5",
        "registration.html",
    ):
        assert (out / name).stat().st_size > 0
    assert "Verdict: accepted" in run.out
    assert [p.name for p in out.parent.iterdir() if ".partial" in p.name] == []


def test_the_plan_holds_what_the_design_says(planned, small_patient):
    _, out = planned
    plan = json.loads((out / "plan.json").read_text())
    wanted = {
        "name",
        "site",
        "level",
        "side",
        "entry_ras",
        "tip_ras",
        "diameter_mm",
        "length_mm",
        "clearance_mm",
        "grade",
        "hu_mean",
    }
    whole = [level for level, v in small_patient.vertebrae.items() if v.complete_in_ct]
    levels = [level for level in whole if small_patient.labels[level].kind == "vertebra"]
    assert {s["name"] for s in plan["screws"]} == {f"{level} {side}" for level in levels for side in ("left", "right")}
    for screw in plan["screws"]:
        assert wanted <= set(screw)
        length = np.linalg.norm(np.subtract(screw["entry_ras"], screw["tip_ras"]))
        assert length == pytest.approx(screw["length_mm"], abs=1e-6)
    assert {g["level"] for g in plan["guides"]} == set(levels)
    assert {"file", "watertight", "volume_mm3", "min_wall_mm", "frame"} <= set(plan["guides"][0])
    assert plan["parameters"]["guides"]["fit_clearance_mm"] == 0.3
    assert all(len(i["voxels_sha256"]) == 64 for i in plan["inputs"])
    registration = json.loads((out / "registration.json").read_text())
    assert {"method", "verdict", "reasons", "fixed_to_moving_lps", "expected_error_mm", "seconds"} <= set(registration)


def test_guides_lie_at_their_screws_in_lps(planned):
    _, out = planned
    plan = read_plan(out)
    for guide in plan.guides:
        header = (out / guide.file).read_bytes()[:80]
        assert b"SPACE=LPS" in header
        mesh = read_mesh(out / guide.file)
        assert mesh.is_closed
        assert mesh.volume_mm3 == pytest.approx(guide.volume_mm3, rel=1e-3)
        low, high = mesh.bounds_ras
        for screw in (s for s in plan.screws if s.name in guide.screws):
            assert np.all(np.array(screw.entry_ras) > low - 5)
            assert np.all(np.array(screw.entry_ras) < high + 5)


def test_the_report_opens_without_a_network(planned):
    _, out = planned
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "Not for clinical use without review" in html
    assert html.count("data:image/png;base64,") >= 4
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?://", html)
    for screw in read_plan(out).screws:
        assert screw.name in html


def test_no_patient_name_and_no_path_is_in_the_scene(planned):
    _, out = planned
    with zipfile.ZipFile(out / "scene.mrb") as bundle:
        names = bundle.namelist()
        scene = bundle.read(next(n for n in names if n.endswith(".mrml"))).decode()
    assert str(out.parent) not in scene


@pytest.mark.slow  # screws and guides planned twice are compared in Testing/core by default
def test_the_same_input_gives_the_same_plan(mskplanner, planned, case_folder, tmp_path):
    """Planning again on the segmentation that was found gives the same screws, to the last digit that matters."""
    _, out = planned
    run = mskplanner(
        "screws", case_folder / "ct.nrrd", "--bones", out / "segmentation.seg.nrrd", "--out", tmp_path / "again"
    )
    assert run.status == 0, run.err
    for a, b in zip(read_plan(out).screws, read_plan(tmp_path / "again").screws, strict=True):
        assert a.name == b.name
        assert np.allclose(a.entry_ras, b.entry_ras, atol=1e-6)
        assert np.allclose(a.tip_ras, b.tip_ras, atol=1e-6)


@pytest.mark.slow  # a guide that follows its plan is checked in Testing/core by default
def test_guides_follow_a_plan(mskplanner, planned, tmp_path):
    _, out = planned
    level = read_plan(out).guides[0].level
    run = mskplanner("guide", out, "--levels", level, "--fit-clearance", "0.2", "--out", tmp_path / "guided")
    assert run.status == 0, run.err + run.out
    again = read_plan(tmp_path / "guided")
    assert [g.level for g in again.guides] == [level]
    assert again.guides[0].fit_clearance_mm == 0.2


@pytest.mark.slow
def test_guides_are_made_again_to_the_last_byte(mskplanner, planned, case_folder, tmp_path):
    _, out = planned
    run = mskplanner("guide", out, "--ct", case_folder / "ct.nrrd", "--regenerate", "--out", tmp_path / "again")
    assert run.status == 0, run.err + run.out
    assert read_plan(tmp_path / "again") == read_plan(out)
    for guide in read_plan(out).guides:
        for name in guide.files:
            assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


@pytest.fixture
def moved(planned, tmp_path):
    """The plan with one screw half a millimetre elsewhere, as somebody would leave it behind."""
    _, out = planned
    folder = tmp_path / "moved"
    shutil.copytree(out, folder)
    document = json.loads((folder / "plan.json").read_text())
    document["screws"][0]["tip_ras"][2] += 0.5
    (folder / "plan.json").write_text(json.dumps(document))
    return folder, document["screws"][0]["name"]


@pytest.mark.slow
def test_a_plan_is_exported_in_every_format(mskplanner, planned, case_folder, tmp_path):
    _, out = planned
    plan = read_plan(out)
    call = ("export", out, "--what", "guides,bones,screws", "--format", "stl,3mf,ply,obj", "--out", tmp_path / "e")
    run = mskplanner(*call, "--frame", "ras", "--json")
    assert run.status == 0, run.err
    listed = json.loads(run.out)
    names = {p for f in listed["files"] for p in f["parts"]}
    assert {g.name for g in plan.guides} | {s.name for s in plan.screws} < names
    for entry in listed["files"]:
        mesh = read_mesh(tmp_path / "e" / entry["file"])
        assert mesh.is_closed, entry
    for guide in plan.guides:
        stem = guide.name.replace(" ", "_")
        for ending in ("stl", "3mf", "ply", "obj"):
            found = read_mesh(tmp_path / "e" / f"{stem}.{ending}")
            assert found.bounds_ras == pytest.approx(read_mesh(out / guide.file).bounds_ras, abs=1e-5)
    assert mskplanner(*call).status == 2  # not over what is there already
    assert "--force" in mskplanner(*call).error
    merged = tmp_path / "merged"
    run = mskplanner("export", out, "--what", "bones,screws", "--merged", "--format", "3mf", "--out", merged)
    assert run.status == 0, run.err
    assert [p.name for p in merged.glob("*.3mf")] == ["merged.3mf"]


def test_a_guide_out_of_date_is_refused_unless_asked_for(mskplanner, moved, tmp_path):
    folder, screw = moved
    run = mskplanner("export", folder, "--out", tmp_path / "e")
    assert run.status == 2
    assert "out of date" in run.error
    assert f"screw {screw} was moved by 0.50 mm" in run.error
    assert not (tmp_path / "e").exists()
    run = mskplanner("export", folder, "--allow-outdated", "--format", "stl,3mf,ply,obj", "--out", tmp_path / "e")
    assert run.status == 0, run.err
    assert "OUT OF DATE" in run.out
    guide = next(g for g in read_plan(folder).guides if screw in g.screws)
    stem = tmp_path / "e" / guide.name.replace(" ", "_")
    assert b"OUT OF DATE" in stem.with_suffix(".stl").read_bytes()[:80]
    assert b"OUT OF DATE" in stem.with_suffix(".ply").read_bytes()[:600]
    assert "OUT OF DATE" in stem.with_suffix(".obj").read_text()[:600]
    with zipfile.ZipFile(stem.with_suffix(".3mf")) as package:
        assert b"OUT OF DATE" in package.read("3D/3dmodel.model")[:2000]


def test_a_file_that_is_not_the_plans_guide_is_refused(mskplanner, planned, tmp_path):
    _, out = planned
    folder = tmp_path / "swapped"
    shutil.copytree(out, folder)
    guide = read_plan(folder).guides[0]
    data = bytearray((folder / guide.file).read_bytes())
    data[84 + 12 : 84 + 16] = np.float32(3.0).tobytes()
    (folder / guide.file).write_bytes(bytes(data))
    run = mskplanner("export", folder, "--out", tmp_path / "e")
    assert run.status == 2
    assert "not the guide that the plan describes" in run.error
