"""A guide follows its plan: what makes it out of date, and that a file of it is told from another."""

from dataclasses import replace

import numpy as np
import pytest
from core.guide_shapes import box_mesh, toy_vertebra

from MSKFusionLib.errors import InputError
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.export.mesh_files import read_mesh, write_3mf, write_stl
from MSKPlannerLib.export.plan_parts import plan_notes
from MSKPlannerLib.guides.drill_guide import design_drill_guide
from MSKPlannerLib.guides.options import GuideOptions
from MSKPlannerLib.guides.recipe import is_current, mesh_sha256, recipe_of, why_outdated
from MSKPlannerLib.pipeline import guide_options_of
from MSKPlannerLib.plan import Guide, Plan, Screw
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json

LEFT = Screw("L4 left", "pedicle", "L4", "left", (-15, -30, 4), (-10, 10, 0), 6.0, 40.5, 1.0, "A")
RIGHT = Screw("L4 right", "pedicle", "L4", "right", (15, -30, 4), (10, 10, 0), 6.0, 40.5, 1.0, "A")
RECIPE = recipe_of("drill", vars(GuideOptions()), {"labels": "abc", "ct": "def"}, screws=[LEFT, RIGHT])
GUIDE = Guide("L4 guide", "L4", ("L4 left", "L4 right"), "guides/L4.stl", True, 1, 1.0, 2.0, 0.25, 0.25, 0.1, (0, 1, 0), recipe=RECIPE)  # fmt: skip
PLAN = Plan(
    "p", "now", {}, inputs=({"role": "ct", "voxels_sha256": "def"},), segmentation={"labels_sha256": "abc"},
    screws=(LEFT, RIGHT), guides=(GUIDE,),
)  # fmt: skip


def with_screw(screw):
    return replace(PLAN, screws=(LEFT, screw))


def test_a_guide_fits_the_plan_it_was_made_for_and_after_a_file():
    assert is_current(GUIDE, PLAN)
    back = plan_from_json(plan_to_json(PLAN))
    assert back == PLAN
    assert is_current(back.guides[0], back)
    assert guide_options_of(back.guides[0].recipe.options) == GuideOptions()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (with_screw(replace(RIGHT, tip_ras=(10, 10, 1))), "screw L4 right was moved by 1.00 mm"),
        (with_screw(replace(RIGHT, entry_ras=(15, -30, 4.001))), "screw L4 right was moved by 0.00 mm"),
        (with_screw(replace(RIGHT, verdict=Verdict.REJECTED)), "screw L4 right is rejected"),
        (replace(PLAN, screws=(LEFT,)), "the plan has no screw L4 right any more"),
        (replace(PLAN, segmentation={"labels_sha256": "xyz"}), "the bones are others"),
        (replace(PLAN, inputs=()), "the CT is another"),
    ],
)
def test_what_changed_is_said(plan, words):
    assert why_outdated(GUIDE, plan) == (words,)
    with pytest.raises(InputError, match="out of date"):
        plan_notes(plan, guides=[GUIDE])
    notes = plan_notes(plan, guides=[GUIDE], allow_outdated=True)
    assert notes.warnings == (f"OUT OF DATE: L4 guide: {words}",)


def test_what_a_guide_does_not_rest_on_does_not_count():
    other = replace(LEFT, name="L5 left", level="L5")
    assert is_current(GUIDE, replace(PLAN, screws=(LEFT, replace(RIGHT, diameter_mm=5.0), other)))


def test_a_guide_without_a_recipe_is_out_of_date():
    assert why_outdated(replace(GUIDE, recipe=None), PLAN) == ("it is not written down what it was made from",)


def test_plans_of_schema_2_are_read_their_guides_out_of_date():
    import json

    document = json.loads(plan_to_json(PLAN))
    document["schema"] = "mskplanner-plan/2"
    for key in ("recipe", "mesh_sha256"):
        del document["guides"][0][key]
    old = plan_from_json(json.dumps(document))
    assert not is_current(old.guides[0], old)


def test_a_recipe_with_foreign_options_is_refused():
    with pytest.raises(InputError, match="cannot be read"):
        guide_options_of({"wings_mm": 3.0})


def test_the_hash_of_a_mesh_survives_its_files_and_sees_a_hair(tmp_path):
    mesh = box_mesh((2, 3, 5), (0.1, -20.3, 7.7))
    write_stl(mesh, tmp_path / "a.stl")
    write_3mf(mesh, tmp_path / "a.3mf")
    assert {
        mesh_sha256(mesh),
        mesh_sha256(read_mesh(tmp_path / "a.stl")),
        mesh_sha256(read_mesh(tmp_path / "a.3mf")),
    } == {mesh_sha256(mesh)}
    points = mesh.vertices_ras.copy()
    points[3, 1] += 1e-4
    assert mesh_sha256(type(mesh)(points, mesh.faces)) != mesh_sha256(mesh)


@pytest.mark.slow
def test_the_insertion_direction_can_be_asked_for():
    v = toy_vertebra(spacing_mm=1.4)
    asked = np.array([0.05, 1.0, 0.15])
    guide = design_drill_guide(
        v.bone, v.frame, v.screws, GuideOptions(grid_mm=0.6), insertion_direction_ras=tuple(asked)
    )
    assert guide.insertion_direction_ras == pytest.approx(asked / np.linalg.norm(asked))
    assert guide.asked_direction == tuple(asked)
    for wrong, words in (((0, -1, 0), "from behind"), ((0, 0, 0), "not three numbers"), ((1, np.nan, 0), "not three")):
        with pytest.raises(InputError, match=words):
            design_drill_guide(v.bone, v.frame, v.screws, insertion_direction_ras=wrong)
