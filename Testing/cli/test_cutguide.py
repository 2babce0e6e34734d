"""`mskplanner cutguide`, `check` and `export` on files, as a user calls them."""

import json

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import box_mesh

from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.recipe import is_current
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan_file import read_plan


@pytest.fixture(scope="module")
def bone(tmp_path_factory):
    path = tmp_path_factory.mktemp("bone") / "femur.stl"
    write_stl(femur_mesh(2.0, top=130.0), path)
    return path


@pytest.mark.slow
def test_a_cutting_guide_from_a_mesh_and_its_export(mskplanner, bone, tmp_path):
    preset = tmp_path / "coarse.toml"
    preset.write_text("[body]\ngrid_mm = 0.6\n[saw]\nblade_thickness_mm = 0.6\nkerf_mm = 0.9\n")
    plane = ("--point", 0, 4, 75, "--normal", 0.1, 0, 1, "--approach", 1, 0, 0)
    run = mskplanner("cutguide", bone, *plane, "--preset", preset, "--label", "C2", "--out", tmp_path / "out")
    assert run.status == 0, run.err + run.out
    plan = read_plan(tmp_path / "out")
    guide = plan.guides[0]
    assert is_current(guide, plan)
    assert guide.recipe.options["kerf_mm"] == 0.9
    for file in guide.files:
        assert read_mesh(tmp_path / "out" / file).is_closed
    assert "C2 cutting guide" in (tmp_path / "out" / guide.file).with_suffix(".html").read_text()
    run = mskplanner("export", tmp_path / "out", "--format", "ply", "--out", tmp_path / "e")
    assert run.status == 0, run.err
    assert read_mesh(tmp_path / "e" / "C2_cutting_guide.ply").volume_mm3 == pytest.approx(guide.volume_mm3, rel=1e-4)


def test_a_plane_that_misses_is_said_and_nothing_is_written(mskplanner, bone, tmp_path):
    run = mskplanner(
        "cutguide", bone, "--point", 0, 400, 75, "--normal", 0, 0, 1, "--approach", 1, 0, 0, "--out", tmp_path / "o"
    )
    assert run.status == 2
    assert "misses the bone" in run.error
    assert not (tmp_path / "o").exists()


def test_checks_name_the_place_and_the_exit_status_tells(mskplanner, tmp_path):
    box = box_mesh((20, 30, 40), (5, 6, 7))
    write_stl(box, tmp_path / "good.stl")
    write_stl(Mesh(box.vertices_ras, box.faces[1:]), tmp_path / "hole.stl")
    write_stl(Mesh(np.array(box.vertices_ras) * [1, 1, 0.01], box.faces), tmp_path / "thin.stl")
    good = mskplanner("check", tmp_path / "good.stl", "--printer", "fdm", "--build-direction", 0, 0, 1)
    assert good.status == 0, good.err
    assert "fits on the bed of fdm" in good.out
    bad = mskplanner("check", tmp_path / "hole.stl", tmp_path / "thin.stl", "--json")
    assert bad.status == 3
    found = json.loads(bad.out)
    hole = next(c for c in found[str(tmp_path / "hole.stl")]["checks"] if c["name"] == "closed")
    assert not hole["passed"]
    assert any(np.allclose(hole["place_ras"], v, atol=1e-4) for v in box.vertices_ras)
    wall = next(c for c in found[str(tmp_path / "thin.stl")]["checks"] if c["name"] == "minimum wall")
    assert wall["value"] == pytest.approx(0.4, abs=1e-3)
    (tmp_path / "empty.stl").write_bytes(b"")
    run = mskplanner("check", tmp_path / "empty.stl")
    assert run.status == 2
    assert "cut short" in run.error
