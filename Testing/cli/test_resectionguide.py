"""`mskplanner cutguide --resection` and `remake` on what `mskplanner resect` wrote, as a user calls them."""

from dataclasses import replace

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import sphere_mesh

from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.recipe import is_current, why_outdated
from MSKPlannerLib.plan_file import plan_to_json, read_plan


@pytest.fixture(scope="module")
def planned(mskplanner, tmp_path_factory):
    """The lower half of a femur with a tumour in its shaft, and its resection by two planes."""
    folder = tmp_path_factory.mktemp("resection")
    write_stl(femur_mesh(2.0, top=190.0), folder / "femur.stl")
    write_stl(sphere_mesh(5.0, (0.0, 4.0, 110.0), 3), folder / "tumour.stl")
    given = ("--bone", folder / "femur.stl", "--tumour", folder / "tumour.stl", "--planes", 2, "--tilt", 20)
    given = (*given, "--margin", 8, "--approach", "1,0,0")
    run = mskplanner("resect", *given, "--out", folder / "plan")
    assert run.status == 0, run.err + run.out
    return folder


@pytest.mark.slow
def test_all_planes_of_a_resection_in_one_guide_made_again_with_the_same_bytes(mskplanner, planned, tmp_path):
    run = mskplanner(
        "cutguide", planned / "femur.stl", "--plan", planned / "plan", "--resection", "--out", tmp_path / "o"
    )
    assert run.status == 0, run.err + run.out
    made = read_plan(tmp_path / "o")
    guide = made.guides[0]
    assert guide.recipe.kind == "resection"
    assert len(guide.recipe.cuts) == 2
    assert is_current(guide, made)
    assert any("depth stop" in n for n in guide.notes)
    for file in guide.files:
        assert read_mesh(tmp_path / "o" / file).is_closed
    run = mskplanner("remake", tmp_path / "o", planned / "femur.stl", "--out", tmp_path / "again")
    assert run.status == 0, run.err + run.out
    for file in guide.files:
        assert (tmp_path / "o" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    # A plane that moves, another tumour, another plane: out of date, and not exported without saying so.
    record = made.resections[0]
    shifted = replace(record.cuts[0], point_ras=tuple(np.add(record.cuts[0].point_ras, record.cuts[0].normal_ras)))
    moved = replace(made, resections=(replace(record, cuts=(shifted, *record.cuts[1:])),))
    assert "was moved" in why_outdated(guide, moved)[0]
    other = replace(made, resections=(replace(record, tumour_sha256="0" * 64),))
    assert "the tumour" in why_outdated(guide, other)[0]
    more = replace(record, cuts=(*record.cuts, replace(record.cuts[0], name="plane 9")))
    assert "has another plane" in why_outdated(guide, replace(made, resections=(more,)))[0]
    (tmp_path / "o" / "plan.json").write_text(plan_to_json(moved))
    run = mskplanner("export", tmp_path / "o", "--what", "guides", "--format", "stl", "--out", tmp_path / "e")
    assert run.status == 2
    assert "was moved" in run.error


@pytest.mark.slow
def test_what_is_wrong_with_a_call_is_said_and_nothing_is_written(mskplanner, planned, tmp_path):
    femur, plan = planned / "femur.stl", planned / "plan"
    write_stl(femur_mesh(4.0, top=190.0), tmp_path / "other.stl")
    thick = tmp_path / "thick.toml"
    thick.write_text("[saw]\nblade_thickness_mm = 1.4\n")
    for given, words in (
        ((tmp_path / "other.stl", "--plan", plan, "--resection"), "not the surface of the bone"),
        ((femur, "--plan", plan, "--resection", "spine"), "no resection 'spine'"),
        ((femur, "--plan", plan, "--resection", "--cuts", "plane 7"), "no cut 'plane 7'"),
        ((femur, "--resection"), "Give --plan"),
        ((femur, "--plan", plan, "--resection", "--approach", 0, 0, 1), "out of the plane"),
        ((femur, "--plan", plan, "--resection", "--preset", thick), "planned for 1.00 mm"),
        ((femur, "--plan", plan, "--resection", "--reduction", 2), "single plane"),
    ):
        run = mskplanner("cutguide", *given, "--out", tmp_path / "x")
        assert run.status == 2
        assert words in run.error
        assert not (tmp_path / "x").exists()
