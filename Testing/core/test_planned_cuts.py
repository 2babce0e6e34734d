"""Cuts of the plan document: carried out they give what closed form says, read back they are the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
from core.limb_shapes import leg
from core.test_limb_wedge import bar

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKPlannerLib.anatomy.limb_alignment import align
from MSKPlannerLib.guides.recipe import GIVEN_CUT, recipe_of, why_outdated
from MSKPlannerLib.osteotomy.cut_parts import carried_out
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.limb_cut import asked_cut, plan_limb_cut, plan_two_levels
from MSKPlannerLib.osteotomy.limb_wedge import WedgeOptions
from MSKPlannerLib.osteotomy.planned import AskedCut, asked_of, landmarks_of, limb_record, plan_cuts
from MSKPlannerLib.osteotomy.target import CutLevel, Target, fujisawa, neutral_axis
from MSKPlannerLib.plan import Guide, GuideCut, Plan
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json

LEG = leg("right", varus=8.0, ldfa=92.0, mpta=84.0)
FEMUR = bar(-14, 380)
TIBIA = bar(-380, -6).transformed(rigid(rotation_about([0, 1, 0], 8.0)))
BONES = {"femur": FEMUR, "tibia": TIBIA}
LIMB = limb_record(LEG, {b: b for b in BONES}, {})
#: Half the width and depth of the bars.
HALF_X, HALF_Y = 36.0, 24.0


def across(height, x=-26.0):
    """A frame of a cut square to z: the hinge 10 mm inside the left face of an upright bar, the saw from the right."""
    return rigid(np.diag([1.0, 1.0, 1.0]), [x, 0.0, height])


def planned(kind, angle, kerf=0.0):
    return plan_cuts([AskedCut("c", "bone", CutShape(kind, across(100.0), angle, kerf))], {"bone": FEMUR})[0]


@pytest.mark.parametrize("kind", [CutKind.OPENING, CutKind.CLOSING, CutKind.TURN])
@pytest.mark.parametrize("kerf", [0.0, 1.2])
def test_volumes_and_gaps_are_those_of_the_closed_form(kind, kerf):
    record, solids = planned(kind, 9.0, kerf).record, planned(kind, 9.0, kerf).solids
    whole = FEMUR.volume_mm3
    depth, angle = HALF_X + 26.0, np.radians(9.0)
    lost = {
        CutKind.OPENING: kerf * depth * 2 * HALF_Y,
        # The wedge's second face rises from the hinge.
        CutKind.CLOSING: 0.5 * depth**2 * np.tan(angle) * 2 * HALF_Y,
        CutKind.TURN: kerf * 4 * HALF_X * HALF_Y,
    }[kind]
    assert record.removed_mm3 == pytest.approx(lost, rel=1e-6, abs=1e-3)
    kept = solids["staying"].volume_mm3 + solids["moved"].volume_mm3
    assert kept + record.removed_mm3 == pytest.approx(whole, rel=1e-9)
    assert all(m.is_closed for m in solids.values())
    assert [f.volume_mm3 for f in record.fragments] == [m.volume_mm3 for m in solids.values()]
    if kind is not CutKind.TURN:
        assert record.gap_mm == pytest.approx(2 * depth * np.sin(angle / 2), abs=1e-9)
        assert record.hinge.bone_left_mm == pytest.approx(10.0, abs=1e-9)
    motion = np.array(record.fragments[1].image_to_planned_ras)
    far = transform_points(motion, [HALF_X, 0.0, 100.0])
    if kind is CutKind.OPENING:  # the far cortex of the upper part rises
        assert far[2] - 100.0 == pytest.approx(depth * np.sin(angle), abs=1e-9)
    if kind is CutKind.TURN:  # right-handed about the plane's normal
        assert far[1] == pytest.approx(depth * np.sin(angle), abs=1e-9)


def test_a_saw_stops_at_the_hinge():
    staying = planned(CutKind.OPENING, 5.0, 2.0).solids["staying"]
    top = staying.vertices_ras[:, 2].max()
    assert top == pytest.approx(100.0, abs=1e-6)  # behind the hinge the whole bone is there
    behind = staying.vertices_ras[staying.vertices_ras[:, 2] > 99.5]
    assert behind[:, 0].max() == pytest.approx(-26.0, abs=1e-3)


def test_without_an_angle_nothing_moves():
    made = planned(CutKind.OPENING, 0.0)
    assert np.array_equal(made.record.fragments[1].image_to_planned_ras, np.eye(4))
    assert made.record.gap_mm == 0


@pytest.mark.parametrize("target", [fujisawa(), neutral_axis(), Target("tibial_torsion_deg", 40.0)])
@pytest.mark.parametrize("opening", [True, False])
def test_a_correction_is_written_down_and_carried_out_again(target, opening):
    plan = plan_limb_cut(LEG, BONES, target, WedgeOptions(opening=opening))
    made = plan_cuts([asked_cut(plan)], BONES, LIMB)[0]
    record = made.record
    assert record.verdict == "accepted", record.reasons
    assert np.array(record.fragments[1].image_to_planned_ras) == pytest.approx(plan.motion_ras, abs=1e-9)
    rows = {m.name: m for m in record.measures}
    assert rows[target.measure].after == pytest.approx(target.value, abs=1e-7)
    for name, row in rows.items():
        assert row.before == pytest.approx(getattr(align(LEG), name), abs=1e-9)
        assert row.after == pytest.approx(getattr(plan.measured_again, name), abs=1e-7)
    document = Plan("p", "now", {}, osteotomies=(record,), limb=LIMB)
    text = plan_to_json(document)
    back = plan_from_json(text)
    assert back == document
    assert plan_to_json(back) == text
    again = plan_cuts([asked_of(back.osteotomies[0])], BONES, back.limb)[0]
    assert again.record.angle_deg == pytest.approx(record.angle_deg, abs=1e-9)
    for one, other in zip(again.record.fragments, record.fragments, strict=True):
        assert np.array(one.image_to_planned_ras) == pytest.approx(np.array(other.image_to_planned_ras), abs=1e-9)
        assert again.solids[one.name].volume_mm3 == pytest.approx(other.volume_mm3, rel=1e-9)


@pytest.mark.parametrize("side", ["right", "left"])
def test_two_levels_reach_both_targets(side):
    """The femur gets its own angle, the tibia the rest; every fragment's transform is from the image to the plan."""
    mirror = np.diag([1.0, 1, 1]) if side == "right" else np.diag([-1.0, 1, 1])
    points = leg(side, varus=8.0, ldfa=92.0, mpta=84.0)
    tibia = bar(-380, -6).transformed(rigid(rotation_about([0, 1, 0], 8.0 * mirror[0, 0])))
    bones = {"femur": FEMUR, "tibia": tibia}
    limb = limb_record(points, {b: b for b in bones}, {})
    first, second = plan_two_levels(
        points, bones, Target("ldfa_deg", 87.0), fujisawa(), WedgeOptions(CutLevel.FEMUR, False), WedgeOptions()
    )
    assert first.accepted
    assert second.accepted
    asked = [asked_cut(first), asked_cut(second, first=first)]
    femur, tibia_cut = (c.record for c in plan_cuts(asked, bones, limb))
    after = {m.name: m.after for m in tibia_cut.measures}
    assert after["ldfa_deg"] == pytest.approx(87.0, abs=1e-7)
    assert after["weight_bearing_share"] == pytest.approx(0.62, abs=1e-7)
    assert {m.name: m.before for m in tibia_cut.measures}["ldfa_deg"] == pytest.approx(87.0, abs=1e-7)
    upper, lower = (np.array(f.image_to_planned_ras) for f in tibia_cut.fragments[:2])
    assert upper == pytest.approx(np.array(femur.fragments[1].image_to_planned_ras), abs=1e-9)
    assert lower == pytest.approx(second.motion_ras @ first.motion_ras, abs=1e-9)
    # The leg measured from scratch, each landmark by the fragment that it lies on.
    moved = points.moved(upper).moved(
        lower @ np.linalg.inv(upper), ("ankle_centre", "medial_malleolus", "lateral_malleolus")
    )
    moved = replace(moved, hip_centre=points.hip_centre, neck_centre=points.neck_centre)
    assert align(moved).weight_bearing_share == pytest.approx(0.62, abs=1e-7)
    # The order in which they are asked for does not change what comes out.
    assert [c.record.name for c in plan_cuts(asked[::-1], bones, limb)] == [tibia_cut.name, femur.name]
    assert plan_cuts(asked[::-1], bones, limb)[0].record == tibia_cut


def test_what_cannot_be_cut_is_said():
    cut = AskedCut("a", "femur", CutShape(CutKind.OPENING, across(100.0), 5.0))
    with pytest.raises(InputError, match="once"):
        plan_cuts([cut, replace(cut, name="b")], BONES)
    with pytest.raises(InputError, match="needs a leg"):
        plan_cuts([replace(cut, target=fujisawa())], BONES)
    with pytest.raises(GeometryError, match="misses the bone"):
        plan_cuts([replace(cut, shape=CutShape(CutKind.TURN, across(600.0)))], BONES)
    with pytest.raises(GeometryError, match="hinge lies outside the bone"):
        carried_out(FEMUR, CutShape(CutKind.OPENING, across(100.0, -50.0), 5.0))
    with pytest.raises(InputError, match="0 or more"):
        CutShape(CutKind.CLOSING, across(0.0), -1.0)
    with pytest.raises(InputError, match="same target"):
        plan_two_levels(LEG, BONES, fujisawa(), fujisawa(), WedgeOptions(), WedgeOptions())
    with pytest.raises(InputError, match="not changed by a cut of the tibia"):
        plan_two_levels(LEG, BONES, fujisawa(), Target("ldfa_deg", 87), WedgeOptions(), WedgeOptions())


def test_landmarks_come_back_from_the_document():
    text = plan_to_json(Plan("p", "now", {}, limb=LIMB))
    points = landmarks_of(plan_from_json(text).limb)
    assert points.missing == ()
    assert np.array_equal(points.hip_centre, LEG.hip_centre)


def test_a_plan_of_schema_3_is_read():
    document = json.loads(plan_to_json(Plan("p", "now", {})))
    del document["osteotomies"], document["limb"]
    document["schema"] = "mskplanner-plan/3"
    plan = plan_from_json(json.dumps(document))
    assert plan.osteotomies == ()
    assert plan.limb is None


def test_a_cutting_guide_follows_its_osteotomy():
    record = planned(CutKind.OPENING, 5.0).record
    plane = record.planes[0]
    recipe = recipe_of("cut", {}, {}, cuts=[GuideCut("c", plane.point_ras, plane.normal_ras)])
    guide = Guide("g", "bone", (), "", True, 1, 1, 1, 1, 1, 0, (0.0, 0, 1), recipe=recipe)
    plan = Plan("p", "now", {}, osteotomies=(record,))
    assert why_outdated(guide, plan) == ()
    within = replace(plane, point_ras=(5.0, 3.0, plane.point_ras[2]))  # the same plane by another of its points
    assert why_outdated(guide, replace(plan, osteotomies=(replace(record, planes=(within,)),))) == ()
    moved = replace(plane, point_ras=(0.0, 0.0, 101.0))
    assert "was moved" in why_outdated(guide, replace(plan, osteotomies=(replace(record, planes=(moved,)),)))[0]
    assert "no cut 'c'" in why_outdated(guide, replace(plan, osteotomies=(replace(record, name="d"),)))[0]
    # The cut was taken out of the plan; a plane that was given itself belongs to none.
    assert "no cut 'c'" in why_outdated(guide, replace(plan, osteotomies=()))[0]
    given = replace(guide, recipe=replace(recipe, cuts=(replace(recipe.cuts[0], name=GIVEN_CUT),)))
    assert why_outdated(given, replace(plan, osteotomies=())) == ()
