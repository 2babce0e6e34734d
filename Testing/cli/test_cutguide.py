"""`mskplanner cutguide`, `check` and `export` on files, as a user calls them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import box_mesh

from MSKFusionLib.frames import rigid
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.recipe import is_current, mesh_sha256, why_outdated
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.planned import AskedCut, plan_cuts, with_files
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.plan_file import plan_to_json, read_plan


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


def test_a_ledge_needs_a_side_of_one_plane(bone, tmp_path, capsys):
    plane = ("--point", 0, 4, 75, "--normal", 0, 0, 1, "--approach", 1, 0, 0)
    for given, words in (
        ((*plane, "--ledge", 1, 0, 0.1), "runs along the cut"),
        ((*plane, "--ledge", 0, 0, 0), "length zero"),
        ((*plane, "--ledge", 0, 0, 1, "--reduction", 2), "a ledge stands on one"),
        (("--plan", tmp_path, "--resection", "--ledge", 0, 0, 1), "single plane"),
    ):
        assert main([str(a) for a in ("cutguide", bone, *given, "--out", tmp_path / "o")]) == 2, given
        assert words in capsys.readouterr().err
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


@pytest.mark.slow
def test_holes_drilled_first_and_the_guide_that_brings_them_together(mskplanner, tmp_path):
    write_stl(femur_mesh(2.0, top=150.0), tmp_path / "femur.stl")
    bone = read_mesh(tmp_path / "femur.stl")
    shape = CutShape(CutKind.OPENING, rigid(translation=[-7.0, 5.0, 85.0]), 9.0, 1.0)
    record = plan_cuts([AskedCut("shaft", "femur", shape)], {"femur": bone})[0].record
    plan = Plan(
        "plan-1",
        "2026-01-01T00:00:00+00:00",
        {},
        inputs=({"role": "bone", "mesh_sha256": mesh_sha256(bone)},),
        osteotomies=(with_files(record, {}),),
    )
    (tmp_path / "plan.json").write_text(plan_to_json(plan))
    given = (tmp_path / "femur.stl", "--plan", tmp_path, "--approach", 1, 0.1, 0, "--reduction", 2)
    run = mskplanner("cutguide", *given, "--hole-spacing", 11, "--hole-depth", 15, "--out", tmp_path / "o")
    assert run.status == 0, run.err + run.out
    made = read_plan(tmp_path / "o")
    assert [g.recipe.kind for g in made.guides] == ["cut", "reduction"]
    assert all(is_current(g, made) for g in made.guides)
    # The hinge lies 7 mm beside the shaft's middle, away from the saw: it ends before the far side.
    said = next(n for n in made.guides[0].notes if "depth stop" in n)
    assert "hinge" in said
    hinge = made.guides[0].recipe.options["hinge"]
    assert hinge["point_ras"][0] == pytest.approx(-7.0)
    assert hinge["beyond_ras"] == pytest.approx([-1.0, 0.0, 0.0], abs=1e-9)
    run = mskplanner("remake", tmp_path / "o", tmp_path / "femur.stl", "--out", tmp_path / "again")
    assert run.status == 0, run.err + run.out
    for file in (f for g in made.guides for f in g.files):
        assert (tmp_path / "o" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    # Another angle in the same plane: the holes of both guides would no longer come together.
    other = plan_cuts([AskedCut("shaft", "femur", shape.turned_by(7.0))], {"femur": bone})[0].record
    changed = replace(made, osteotomies=(with_files(other, {}),))
    assert [why_outdated(g, changed) for g in made.guides] == [("the correction of 'shaft' was changed",)] * 2
    run = mskplanner(
        "cutguide", *given[:1], *("--point", 0, 5, 85, "--normal", 0, 0, 1), *given[3:], "--out", tmp_path / "n"
    )
    assert run.status == 2
    assert "Give --plan" in run.error
