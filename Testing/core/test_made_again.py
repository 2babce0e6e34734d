"""Guides of several kinds in one plan: designing those of one kind leaves the others, making again takes each by its recipe."""

from dataclasses import replace

import pytest
from core.guide_shapes import box_mesh
from core.leg_case import FEMUR, TIBIA, leg_case, leg_images

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.segmentation.files import write_segmentation
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.editing import made_again
from MSKPlannerLib.editing.kept_solids import kept_solid
from MSKPlannerLib.editing.made_again import all_made_again
from MSKPlannerLib.export.kept_guides import inside, with_solids_of_files
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.options import GuideOptions
from MSKPlannerLib.guides.recipe import mesh_sha256
from MSKPlannerLib.pipeline import empty_case, with_guides
from MSKPlannerLib.plan import Guide, GuideRecipe
from MSKPlannerLib.plan_file import plan_to_json, read_plan

BODY, OTHER = box_mesh((4, 5, 6)), box_mesh((7, 8, 9))


def entry(name, kind, level="right tibia", mesh=BODY, **inputs):
    recipe = GuideRecipe(kind, (), (), {"printer": "fdm", "label": "T"}, None, inputs)
    return Guide(
        name, level, (), f"guides/{name}.stl", True, 1, 1.0, 2.0, 0.2, 0.2, 0.0, (1.0, 0.0, 0.0),
        files=(f"guides/{name}.stl",), recipe=recipe, mesh_sha256=mesh_sha256(mesh),
    )  # fmt: skip


@pytest.fixture
def case():
    """A leg with guides of three kinds, the solids of two at hand."""
    start = leg_case(*leg_images())
    pin = entry("pin", "pin", bone=mesh_sha256(TIBIA), **{"neighbour 1": mesh_sha256(FEMUR)})
    drill = entry("L9 guide", "drill", level="L9", labels="x")
    guides = (entry("frame", "skin"), drill, pin)
    plan = replace(start.plan, guides=guides)
    return replace(start, plan=plan, guides={g.name: kept_solid(g, BODY) for g in guides[1:]})


def test_drill_guides_are_designed_and_the_others_stay(case):
    """No screw is planned: the old drill guide goes, and nothing else does."""
    after = with_guides(case, GuideOptions())
    assert after.plan.guides == (case.plan.guides[0], case.plan.guides[2])
    assert after.guides == {"pin": case.guides["pin"]}


def test_a_guide_is_made_again_on_the_surfaces_that_it_was_made_on(case, monkeypatch):
    asked = []

    def remake(guide, plan, bone, neighbours, *, tumour, progress):
        asked.append((guide.name, bone, list(neighbours), tumour))
        return replace(guide, volume_mm3=7.0), OTHER, bone

    monkeypatch.setattr(made_again, "remake", remake)
    only_pin = replace(case, plan=replace(case.plan, guides=case.plan.guides[:1] + case.plan.guides[2:]))
    after, told = all_made_again(only_pin, [FEMUR])
    (name, bone, neighbours, tumour), *none = asked
    assert (name, bone, neighbours, tumour, none) == ("pin", TIBIA, [FEMUR], None, [])
    # The frame was made on an image that nobody gave, and its ways are no screws: it stays, and that is said.
    assert [g.name for g in after.plan.guides] == ["frame", "pin"]
    assert after.plan.guides[1].volume_mm3 == 7.0
    assert after.guides["pin"].mesh is OTHER
    assert after.guides["pin"].options.printer == "fdm"
    assert len(told) == 1
    assert told[0].startswith("frame was not made again: its ways are no screws of the plan. Design it anew")


def test_wires_on_a_bone_of_the_labels_are_made_again_by_these(case, monkeypatch):
    """As the panel makes them: their surfaces follow from the labels, no file is asked for; where their screws are gone they go."""
    pin = case.plan.guides[2]
    of_labels = replace(pin, recipe=replace(pin.recipe, inputs={**pin.recipe.inputs, "labels": "x"}))
    there = replace(case, plan=replace(case.plan, guides=(of_labels,)))
    for found in ((replace(of_labels, volume_mm3=7.0), kept_solid(of_labels, OTHER)), None):
        monkeypatch.setattr(made_again, "pin_guide_again", lambda given, guide, progress, found=found: found)
        after, told = all_made_again(there)
        assert [g.volume_mm3 for g in after.plan.guides] == ([] if found is None else [7.0])
        assert told == (() if found else ("pin is left out: no screw of it is planned any more.",))


def test_what_is_missing_is_named_and_nothing_at_all_is_an_error(case, monkeypatch):
    with pytest.raises(InputError, match=r"surface of the neighbour .* is not there.*--surface"):
        all_made_again(replace(case, plan=replace(case.plan, guides=case.plan.guides[2:])))
    bare = replace(case.plan.guides[2], recipe=None)
    with pytest.raises(InputError, match="not written down"):
        all_made_again(replace(case, plan=replace(case.plan, guides=(bare,))))
    for error in (GeometryError("the plane misses the bone"), ProcessingError("the plane misses the bone")):

        def remake(*given, error=error, **named):
            raise error

        monkeypatch.setattr(made_again, "remake", remake)
        after, told = all_made_again(replace(case, plan=replace(case.plan, guides=case.plan.guides[2:])), [FEMUR])
        assert told == ()
        assert (str(after.plan.guides[0].verdict), "pin" in after.guides) == ("rejected", False)
        assert after.plan.guides[0].reasons == ("no guide: the plane misses the bone",)
        assert str(after.plan.verdict) == "rejected"


def test_files_outside_the_folder_are_refused(case, tmp_path):
    for file in ("../x.stl", "/etc/x.stl", "guides/../../x.stl", "C:\\x.stl", "guides\\..\\x.stl"):
        with pytest.raises(InputError, match="outside the plan's folder"):
            inside(file, "g")
    assert inside("guides/x.stl", "g") == "guides/x.stl"
    stolen = replace(case, plan=replace(case.plan, guides=(replace(case.plan.guides[0], file="../x.stl"),)))
    with pytest.raises(InputError, match="outside"):
        with_solids_of_files(stolen, tmp_path)


@pytest.mark.slow  # what the command does is checked above, but for the files
def test_the_command_keeps_the_guides_of_other_kinds_and_their_files(tmp_path, capsys):
    """A plan as the panel writes it, with the entry and the file of a frame on the skin."""
    ct, bones = leg_images()
    case = empty_case(ct, bones)
    frame = entry("frame", "skin")
    folder = tmp_path / "plan"
    (folder / "guides").mkdir(parents=True)
    (folder / "plan.json").write_text(plan_to_json(replace(case.plan, guides=(frame,))))
    write_segmentation(bones, folder / "segmentation.seg.nrrd")
    write_stl(BODY, folder / frame.file)
    assert main(["guide", str(folder), "--out", str(tmp_path / "out")]) == 3  # the plan has no screws
    assert "frame stays as it was." in capsys.readouterr().out
    assert read_plan(tmp_path / "out").guides == (frame,)
    assert mesh_sha256(read_mesh(tmp_path / "out" / frame.file)) == frame.mesh_sha256
    (folder / frame.file).unlink()
    assert main(["guide", str(folder), "--out", str(tmp_path / "no")]) == 2
    assert "--regenerate" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
