"""Guides of several kinds in one case: which bones are near a cut, where a saw can come from, what a guide hangs on."""

from dataclasses import replace

import numpy as np
import pytest
from core.leg_case import leg_case, leg_images

from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.editing.cut_guides import approach_of, bones_near, label_of, request_of
from MSKPlannerLib.editing.guide_marks import marked_again, marked_for
from MSKPlannerLib.editing.osteotomy_edits import first_cut, turned_over
from MSKPlannerLib.guides.recipe import moved_by, why_outdated
from MSKPlannerLib.osteotomy.planned import asked_of
from MSKPlannerLib.plan import Guide, GuideCut, GuideRecipe, GuideScrew


@pytest.fixture(name="case", scope="module")
def case_fixture():
    return first_cut(leg_case(*leg_images()), "right tibia")[0]


def cut_guide(osteotomy, *, holes=()):
    plane = osteotomy.planes[0]
    options = {"printer": "sls", "approach_ras": [-1.0, 0.0, 0.0]}
    if holes:
        options |= {"holes": list(holes), "moved_by": moved_by(osteotomy)}
    recipe = GuideRecipe(
        "cut", (), (GuideCut(osteotomy.name, plane.point_ras, plane.normal_ras),), options, None,
        {"bone": osteotomy.bone_sha256},
    )  # fmt: skip
    return Guide("g", osteotomy.bone, (), "g.stl", True, 1, 1.0, 2.0, 0.2, 0.2, 0.0, (1.0, 0.0, 0.0), recipe=recipe)


def test_bones_whose_labels_come_within_reach_are_near(case):
    """Blocks of one voxel at known places: 59 mm from the cut's point along each axis is near, 75 mm is not."""
    osteotomy = case.plan.osteotomies[0]
    point = np.array(osteotomy.planes[0].point_ras)
    spacing = np.array([4.0, 5.0, 6.0])
    size = np.array([41, 37, 33])
    origin = point - spacing * (size // 2)
    labels = np.zeros(size[::-1], np.uint8)
    steps = {2: (14, 0, 0), 3: (0, -11, 0), 4: (0, 0, 9), 5: (19, 0, 0), 6: (0, 15, 0), 7: (0, 0, -13)}
    for value, step in steps.items():
        i, j, k = size // 2 + np.array(step)
        labels[k, j, i] = value
    segments = (Segment(1, "right tibia", "bone"), *(Segment(v, f"bone {v}", "bone") for v in steps))
    volume = Volume(labels, origin, spacing, np.eye(3), modality=Modality.LABEL)
    there = replace(case, segmentation=Segmentation(volume, segments))
    assert bones_near(there, osteotomy) == ("bone 2", "bone 3", "bone 4")


def test_the_saw_comes_from_where_the_wedge_opens_or_as_asked_within_its_plane(case):
    osteotomy = case.plan.osteotomies[0]
    shape = asked_of(osteotomy).shape
    approach = np.array(approach_of(osteotomy))
    assert approach == pytest.approx(shape.to_ras[:3, 0], abs=1e-9)  # x of a cut looks to where the saw enters
    assert approach[0] < -0.9  # of a right tibia in varus that opens: from medial, towards the left
    other = turned_over(case, osteotomy.name).plan.osteotomies[0]
    assert approach_of(other)[0] > 0.9
    normal = shape.to_ras[:3, 2]
    for side, axis, sign in (("front", 1, 1), ("back", 1, -1), ("right", 0, 1), ("left", 0, -1)):
        found = np.array(approach_of(osteotomy, side))
        assert found @ normal == pytest.approx(0.0, abs=1e-9)
        assert np.linalg.norm(found) == pytest.approx(1.0)
        assert sign * found[axis] > 0.9
    with pytest.raises(InputError, match="is no side"):
        approach_of(osteotomy, "above")


def test_names_to_emboss_have_only_signs_that_can_be():
    assert [label_of(n) for n in ("right tibia", "L3", "left hip bone", "S1", "os coxae", "骨")] == [
        "RT", "L3", "LHB", "S1", "0C", "C1",
    ]  # fmt: skip


def test_what_was_asked_is_read_back_from_the_holes(case):
    osteotomy = case.plan.osteotomies[0]
    holes = [
        {"fragment": "staying", "name": "staying 1", "entry_ras": [0.0, 0, 0], "tip_ras": [0.0, -17.0, 0]},
        {"fragment": "staying", "name": "staying 2", "entry_ras": [0.0, 2.0, 9.0], "tip_ras": [0.0, -15.0, 9.0]},
        {"fragment": "moved", "name": "moved 1", "entry_ras": [0.0, 0, -9.0], "tip_ras": [0.0, -17.0, -9.0]},
    ]
    asked = request_of([cut_guide(osteotomy, holes=holes)], osteotomy)
    assert (asked.printer, asked.holes, asked.approach_ras) == ("sls", 2, (-1.0, 0.0, 0.0))
    assert asked.depth_mm == pytest.approx(17.0)
    assert asked.spacing_mm == pytest.approx(
        9.0
    )  # across the holes: that one is entered 2 mm farther out is the bone's doing


def test_a_cut_that_is_gone_or_moved_marks_its_guide_and_coming_back_takes_the_mark_away(case):
    plan, osteotomy = case.plan, case.plan.osteotomies[0]
    guide = cut_guide(osteotomy)
    assert marked_again([guide], plan) == (guide,)
    assert why_outdated(guide, plan) == ()
    (gone,) = marked_again([guide], replace(plan, osteotomies=()))
    assert "has no cut" in gone.out_of_date
    assert marked_again([gone], plan) == (guide,)
    kept = replace(guide, out_of_date="the images or the bones have changed after the guide was designed")
    assert marked_again([kept], replace(plan, osteotomies=())) == (kept,)  # that is not taken back by a plane


def test_guides_hang_on_their_screws_and_not_on_a_bone_of_that_name(case):
    changed = {"L3 left": "L3 left was changed", "L3": "L3 left was changed"}
    saw = replace(cut_guide(case.plan.osteotomies[0]), level="L3")
    assert marked_for(saw, changed) is saw
    blank = replace(saw, recipe=None)
    assert marked_for(blank, changed).out_of_date == "L3 left was changed after the guide was designed"
    several = replace(saw, recipe=GuideRecipe("levels", options={"levels": ["L3", "L4"]}))
    assert marked_for(several, changed).out_of_date
    for name, hit in (("L3 left", True), ("L3 right", False)):
        frame = replace(saw, recipe=GuideRecipe("skin", (GuideScrew(name, (0.0, 0, 0), (1.0, 0, 0)),)))
        assert bool(marked_for(frame, changed).out_of_date) is hit
