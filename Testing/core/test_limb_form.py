"""Corrections of a leg by biplanar, dome, oblique and step cuts: the targets reached, measured again, in closed form bones."""

import numpy as np
import pytest
from core.test_planned_cuts import BONES, LEG, LIMB

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import transform_points
from MSKPlannerLib.anatomy.limb_alignment import align
from MSKPlannerLib.osteotomy.limb_cut import asked_cut, plan_limb_form
from MSKPlannerLib.osteotomy.limb_form import FormOptions
from MSKPlannerLib.osteotomy.limb_wedge import WedgeOptions, plan_limb_wedge
from MSKPlannerLib.osteotomy.planned import plan_cuts
from MSKPlannerLib.osteotomy.target import CutLevel, Target, fujisawa, neutral_axis


def documented(plan, kerf=0.0):
    """The cut as the plan document has it, which must say the same."""
    record = plan_cuts([asked_cut(plan, kerf)], BONES, LIMB)[0].record
    assert np.array(record.fragments[1].image_to_planned_ras) == pytest.approx(plan.motion_ras, abs=1e-9)
    after = {m.name: m.after for m in record.measures}
    for name, value in after.items():
        assert value == pytest.approx(getattr(plan.measured_again, name), abs=1e-7)
    assert record.verdict == "accepted", record.reasons
    return record


def test_a_biplanar_wedge_turns_as_the_plain_one_does():
    options = WedgeOptions(entry_mm=90.0, hinge_mm=70.0)
    plan = plan_limb_form("biplanar", LEG, BONES, fujisawa(), options)
    plain = plan_limb_wedge(LEG, BONES["tibia"], fujisawa(), options)
    assert plan.accepted, plan.reasons
    assert plan.motion_ras == pytest.approx(plain.motion_ras, abs=1e-9)
    assert plan.measured_again.weight_bearing_share == pytest.approx(0.62, abs=1e-9)
    record = documented(plan)
    assert record.what == "biplanar opening wedge"
    # The tongue is 15 mm thick at the plane, stands at the front and goes with the part that moves.
    back, corner, rising = np.array(record.form.corners_ras)
    front = LEG.tibia_to_ras[:3, 1]
    assert (corner - back) @ front > 0
    assert (BONES["tibia"].vertices_ras @ front).max() - corner @ front == pytest.approx(15.0, abs=0.5)
    assert (rising - corner) @ LEG.tibia_to_ras[:3, 2] > 0


def test_a_tongue_stays_out_of_the_joint():
    """A bar is as thick in front at its sides as in the middle: near the joint no tongue is thin enough."""
    near = plan_limb_form("biplanar", LEG, BONES, fujisawa())
    assert any("comes out" in r and "joint" in r for r in near.reasons)
    asked = FormOptions(tongue_mm=12.0, rise_deg=110.0)
    options = WedgeOptions(entry_mm=62.0, hinge_mm=42.0)
    steep = plan_limb_form("biplanar", LEG, BONES, fujisawa(), options, FormOptions(tongue_mm=14.0))
    assert steep.accepted, steep.reasons
    assert "to stay out of the joint" in steep.warnings[0]
    assert steep.shape.form.rise_deg > 110
    front, up = LEG.tibia_to_ras[:3, 1], LEG.tibia_to_ras[:3, 2]
    moved = steep.parts.moved.vertices_ras
    top = moved[np.abs(moved @ front - (moved @ front).max()) < 1.0] @ up
    assert min(LEG.medial_plateau @ up, LEG.lateral_plateau @ up) - top.max() > 4.9
    assert plan_limb_form(
        "biplanar", LEG, BONES, fujisawa(), WedgeOptions(entry_mm=90.0, hinge_mm=70.0), asked
    ).accepted


@pytest.mark.parametrize("bone", [CutLevel.TIBIA, CutLevel.FEMUR])
def test_a_dome_turns_about_the_joint(bone):
    plan = plan_limb_form("dome", LEG, BONES, neutral_axis(), WedgeOptions(bone))
    assert plan.accepted, plan.reasons
    assert plan.measured_again.hka_deg == pytest.approx(180.0, abs=1e-9)
    frame = LEG.tibia_to_ras if bone is CutLevel.TIBIA else LEG.femur_to_ras
    # The axis runs from back to front at the height of the joint surface.
    assert abs(plan.shape.hinge.axis_ras @ frame[:3, 1]) == pytest.approx(1.0)
    record = documented(plan)
    assert record.form.radius_mm == pytest.approx(45.0)
    axis = np.array(record.hinge.point_ras)
    pair = ("medial_plateau", "lateral_plateau") if bone is CutLevel.TIBIA else ("medial_distal_condyle", "lateral_distal_condyle")  # fmt: skip
    heights = [(getattr(LEG, n) - axis) @ frame[:3, 2] for n in pair]
    assert np.mean(heights) == pytest.approx(0.0, abs=1e-9)
    near = plan_limb_form(
        "dome", LEG, BONES, neutral_axis(), WedgeOptions(bone, entry_mm=20.0), FormOptions(radius_mm=38.0)
    )
    assert any("comes out beside the joint" in r for r in near.reasons)


def test_one_oblique_cut_for_bend_and_twist():
    now = align(LEG)
    torsion = Target("tibial_torsion_deg", now.tibial_torsion_deg - 15.0)
    plan = plan_limb_form("oblique", LEG, BONES, neutral_axis(), torsion=torsion)
    assert plan.accepted, plan.reasons
    assert plan.measured_again.hka_deg == pytest.approx(180.0, abs=1e-7)
    assert plan.measured_again.tibial_torsion_deg == pytest.approx(torsion.value, abs=1e-7)
    documented(plan)
    # The turn lies in the plane of the cut: its faces stay in touch.
    plane = plan.shape.plane
    points = plane.projected(np.random.default_rng(1).uniform(-30, 30, (20, 3)))
    assert plane.height_mm(transform_points(plan.motion_ras, points)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(GeometryError, match="run along the bone"):
        plan_limb_form(
            "oblique", LEG, BONES, neutral_axis(), torsion=Target("tibial_torsion_deg", now.tibial_torsion_deg)
        )
    with pytest.raises(InputError, match="torsion of that bone"):
        plan_limb_form("oblique", LEG, BONES, neutral_axis(), torsion=Target("femoral_torsion_deg", 15.0))


@pytest.mark.parametrize("slant", [0.0, 12.0])
def test_a_step_lengthens_the_leg(slant):
    options = WedgeOptions(CutLevel.FEMUR)
    form = FormOptions(slant_deg=slant)
    plan = plan_limb_form("step", LEG, BONES, None, options, form, lengthen_mm=12.0)
    assert plan.accepted, plan.reasons
    assert plan.measured_again.femur_length_mm - align(LEG).femur_length_mm == pytest.approx(12.0, abs=1e-9)
    record = documented(plan)
    assert record.gap_mm == 12.0
    tight = plan_limb_form("step", LEG, BONES, None, options, form, lengthen_mm=25.0)
    assert "15 mm of the step stay in touch" in tight.warnings[0]
    with pytest.raises(InputError, match="less than the step"):
        plan_limb_form("step", LEG, BONES, None, options, form, lengthen_mm=41.0)


def test_what_is_missing_is_said():
    for kind, target, says in (
        ("dome", None, "needs a target"),
        ("oblique", neutral_axis(), "corrects a torsion too"),
        ("step", neutral_axis(), "corrects no angle"),
        ("biplanar", Target("tibial_torsion_deg", 20.0), "does not change a torsion"),
        ("zigzag", neutral_axis(), "no cut of the kind"),
    ):
        with pytest.raises(InputError, match=says):
            plan_limb_form(kind, LEG, BONES, target)
    with pytest.raises(GeometryError, match="Give 1 to"):
        plan_limb_form("biplanar", LEG, BONES, fujisawa(), form=FormOptions(tongue_mm=60.0))
