"""`mskplanner cutguide --plan` and `remake` for cuts that are no single plane, as a user calls them: biplanar, step, dome."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import rounded_box

from MSKFusionLib.frames import rigid
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.recipe import is_current, mesh_sha256, why_outdated
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.planned import AskedCut, plan_cuts, with_files
from MSKPlannerLib.osteotomy.saw_form import Dome, Step, Tongue
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.plan_file import plan_to_json, read_plan

#: Kind of the guide, the cut, where it lies and turns, another such cut, the approach, and whether the bone is a femur's shaft.
STEPS = ((-30.0, 15.0), (0.0, 15.0), (0.0, -15.0), (30.0, -15.0))
CUTS = {
    "biplanar": ("facets", CutKind.OPENING, Tongue(9.0, 1, 110.0), Tongue(7.0, 1, 110.0), -26.0, 8.0, (1.0, 0.0, 0.0)),
    "step": ("facets", CutKind.STEP, Step(STEPS, 10.0), Step(tuple((x, 1.1 * z) for x, z in STEPS), 10.0), 0.0, 0.0, (0.0, 1.0, 0.0)),
    "dome": ("dome", CutKind.DOME, Dome(45.0), Dome(48.0), 0.0, 8.0, (0.0, 1.0, 0.0)),
}  # fmt: skip


def planned(bone, form, kind, x, angle):
    shape = CutShape(kind, rigid(translation=[x, 0.0, 100.0]), angle, 1.0, form)
    return with_files(plan_cuts([AskedCut("c", "bone", shape)], {"bone": bone}, solids=False)[0].record, {})


def written(plan, folder):
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(plan_to_json(plan))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTS)
def test_a_guide_is_made_again_with_the_same_bytes_and_follows_its_cut(name, tmp_path, capsys):
    guide_kind, kind, form, other, x, angle, approach = CUTS[name]
    shape = femur_mesh(2.0, top=170.0) if name == "step" else rounded_box((36.0, 24.0, 100.0))
    placed = shape if name == "step" else shape.transformed(rigid(translation=[0.0, 0.0, 100.0]))
    write_stl(placed, tmp_path / "bone.stl")
    bone = read_mesh(tmp_path / "bone.stl")
    cut = planned(bone, form, kind, x, angle)
    surfaces = ({"role": "bone", "mesh_sha256": mesh_sha256(bone)},)
    plan = Plan("plan-1", "2026-01-01T00:00:00+00:00", {}, inputs=surfaces, osteotomies=(cut,))
    given = [tmp_path / "bone.stl", "--plan", written(plan, tmp_path / "p"), "--approach", *approach]

    def call(*arguments):
        return main([str(a) for a in arguments])

    assert call("cutguide", *given, "--label", "B7", "--out", tmp_path / "o") == 0, capsys.readouterr()
    made = read_plan(tmp_path / "o")
    (guide,) = made.guides
    assert guide.recipe.kind == guide_kind
    assert is_current(guide, made)
    assert all(read_mesh(tmp_path / "o" / f).is_closed for f in guide.files)
    assert call("remake", tmp_path / "o", tmp_path / "bone.stl", "--out", tmp_path / "again") == 0, capsys.readouterr()
    for file in guide.files:
        assert (tmp_path / "o" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    # Another cut of that name: out of date, not exported silently, and made again for it.
    moved = replace(made, osteotomies=(planned(bone, other, kind, x, angle),))
    assert "was moved" in why_outdated(guide, moved)[0]
    written(moved, tmp_path / "o")
    assert call("export", tmp_path / "o", "--what", "guides", "--format", "stl", "--out", tmp_path / "e") == 2
    assert "was moved" in capsys.readouterr().err
    call("remake", tmp_path / "o", tmp_path / "bone.stl", "--out", tmp_path / "followed")
    after = read_plan(tmp_path / "followed")
    assert is_current(after.guides[0], after)
    assert after.guides[0].mesh_sha256 != guide.mesh_sha256
    assert not any(r.startswith("no guide") for r in after.guides[0].reasons)
    solid = read_mesh(tmp_path / "followed" / after.guides[0].file)
    assert solid.is_closed
    assert mesh_sha256(solid) == after.guides[0].mesh_sha256
    # It is a guide for the new cut: the recipe holds where that lies.
    if guide_kind == "dome":
        assert after.guides[0].recipe.options["dome"] != pytest.approx(guide.recipe.options["dome"])
    else:
        before = {c.name: c for c in guide.recipe.cuts}
        off = [
            abs(np.subtract(c.point_ras, before[c.name].point_ras) @ np.array(c.normal_ras))
            for c in after.guides[0].recipe.cuts
        ]
        assert max(off) == pytest.approx(1.5 if name == "step" else 2.0 * np.sin(np.radians(70.0)), abs=1e-6)
    document = json.loads((tmp_path / "o" / "plan.json").read_text())
    document["osteotomies"] = []
    (tmp_path / "o" / "plan.json").write_text(json.dumps(document))
    assert call("remake", tmp_path / "o", tmp_path / "bone.stl", "--out", tmp_path / "none") == 2
    assert "has no cut 'c" in capsys.readouterr().err
