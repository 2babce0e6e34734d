"""`mskplanner pinguide` and `remake` on files, as a user calls them."""

import pytest
from core.femur_shapes import femur_mesh

from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.recipe import is_current
from MSKPlannerLib.plan_file import read_plan

ROW = ("--at", 24, 0, 75, "--outward", 1, 0.2, 0, "--along", 0, 0, 1)


@pytest.fixture(scope="module")
def bone(tmp_path_factory):
    path = tmp_path_factory.mktemp("bone") / "femur.stl"
    write_stl(femur_mesh(2.0, top=110.0), path)
    return path


@pytest.mark.slow
def test_a_row_of_wires_and_the_same_bytes_again(mskplanner, bone, tmp_path):
    run = mskplanner(
        "pinguide", bone, *ROW, "--spacing", 18, "--depth", 20, "--wire", 2, "--label", "F7", "--out", tmp_path / "o"
    )
    assert run.status == 0, run.err + run.out
    plan = read_plan(tmp_path / "o")
    guide = plan.guides[0]
    assert guide.recipe.kind == "pin"
    assert is_current(guide, plan)
    assert guide.recipe.options["drill_diameter_mm"] == 2.0
    for file in guide.files:
        assert read_mesh(tmp_path / "o" / file).is_closed
    assert "F7 pin guide" in (tmp_path / "o" / guide.file).with_suffix(".html").read_text()
    run = mskplanner("remake", tmp_path / "o", bone, "--out", tmp_path / "again")
    assert run.status == 0, run.err + run.out
    for file in guide.files:
        assert (tmp_path / "o" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    other = tmp_path / "other.stl"
    write_stl(femur_mesh(2.5, top=110.0), other)
    run = mskplanner("remake", tmp_path / "o", other, "--out", tmp_path / "no")
    assert run.status == 2
    assert "not the surface that it was made on" in run.error
    assert not (tmp_path / "no").exists()


def test_what_is_not_enough_is_said_and_nothing_is_written(bone, tmp_path, capsys):
    for given, words in (
        ((), "one kind of wires"),
        (ROW[:4], "how the row runs"),
        (("--pin", "a=1,2,3"), "is not a wire"),
        (("--pin", "a=90,0,75:60,0,75"), "ends before it is in the bone"),
        (("--pin", "a=90,90,75:60,90,75"), "misses the bone"),
    ):
        assert main([str(a) for a in ("pinguide", bone, *given, "--out", tmp_path / "o")]) == 2, given
        assert words in capsys.readouterr().err
        assert not (tmp_path / "o").exists()
