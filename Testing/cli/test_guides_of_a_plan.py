"""Every guide of a plan on labels made again by one call: a leg with a cutting, a reduction and a facets guide, from files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from core.leg_labels import leg_images

from MSKFusionLib.volume import write_image
from MSKPlannerLib.cli.write_case import write_case
from MSKPlannerLib.editing.cut_guides import CutGuideRequest, cut_guides_for
from MSKPlannerLib.editing.guide_edits import with_made
from MSKPlannerLib.editing.osteotomy_edits import first_cut
from MSKPlannerLib.pipeline import empty_case
from MSKPlannerLib.plan_file import read_plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("leg")
    ct, bones = leg_images(1.5)
    voxels = ct.voxels.copy()
    voxels[:, :2] = -1000  # air, by which a file is known to be a CT
    ct = ct.with_voxels(voxels)
    write_image(ct, out / "ct.nrrd")
    case = first_cut(empty_case(ct, bones), "right femur")[0]
    case = with_made(case, cut_guides_for(case, case.plan.osteotomies[0], CutGuideRequest(holes=1)))
    assert [(g.recipe.kind, str(g.verdict)) for g in case.plan.guides] == [
        ("cut", "accepted"),
        ("reduction", "accepted"),
    ]
    (out / "plan").mkdir()
    write_case(case, out / "plan")
    return out


def test_guides_of_cuts_stay_and_are_made_again_with_the_same_bytes(mskplanner, folder, tmp_path):
    before = read_plan(folder / "plan")
    run = mskplanner("guide", folder / "plan", "--ct", folder / "ct.nrrd", "--out", tmp_path / "kept")
    assert run.status == 0, run.err + run.out
    assert read_plan(tmp_path / "kept").guides == before.guides
    run = mskplanner("guide", folder / "plan", "--ct", folder / "ct.nrrd", "--regenerate", "--out", tmp_path / "again")
    assert run.status == 0, run.err + run.out
    assert read_plan(tmp_path / "again").guides == before.guides
    for file in (f for g in before.guides for f in g.files):
        for name in ("kept", "again"):
            there = (tmp_path / name / file).read_bytes()
            # The header names the plan, which in the first has parameters of drill guides now.
            assert there[84:] == (folder / "plan" / file).read_bytes()[84:] if file.endswith(".stl") else there


def test_a_cut_that_moved_is_followed_and_what_cannot_be_is_said(mskplanner, folder, tmp_path):
    """The plane 2 mm farther up, as somebody would leave the document behind."""
    plan = read_plan(folder / "plan")
    document = json.loads((folder / "plan" / "plan.json").read_text())
    for plane in document["osteotomies"][0]["planes"]:
        plane["point_ras"][2] += 2.0
    moved = tmp_path / "moved"
    shutil.copytree(folder / "plan", moved)
    (moved / "plan.json").write_text(json.dumps(document))
    run = mskplanner("guide", moved, "--ct", folder / "ct.nrrd", "--out", tmp_path / "kept")
    assert run.status == 3
    assert "right femur cutting guide is OUT OF DATE: the plane" in run.out
    assert b"OUT OF DATE" in (tmp_path / "kept" / plan.guides[0].file).read_bytes()[:80]
    run = mskplanner("guide", moved, "--regenerate", "--out", tmp_path / "no")
    assert run.status == 2
    assert "no CT is given" in run.error
    run = mskplanner("guide", moved, "--ct", folder / "ct.nrrd", "--regenerate", "--out", tmp_path / "again")
    assert run.status in (0, 3), run.err
    cut = read_plan(tmp_path / "again").guides[0]
    assert cut.recipe.cuts[0].point_ras[2] == pytest.approx(plan.guides[0].recipe.cuts[0].point_ras[2] + 2.0)
    assert "cutting guide is OUT" not in run.out
    assert replace(cut, name="") != replace(plan.guides[0], name="")
