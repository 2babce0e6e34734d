"""A wedge about the knee brings a leg to its target, by its fragments too; what cannot be planned is said."""

from dataclasses import replace

import numpy as np
import pytest
from core.guide_shapes import box_mesh
from core.limb_shapes import leg

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKPlannerLib.anatomy.limb_landmarks import POINTS, LimbLandmarks
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.limb_wedge import WedgeOptions, plan_limb_wedge
from MSKPlannerLib.osteotomy.target import CutLevel, Target, fujisawa, neutral_axis

#: Half the width of the bars that stand for the bones, mm.
HALF = np.array([36.0, 24.0])


def bar(low, high) -> Mesh:
    box = box_mesh()
    a, b = box.bounds_ras
    unit_box = (box.vertices_ras - a) / (b - a)
    lowest, highest = np.array([-HALF[0], -HALF[1], low]), np.array([HALF[0], HALF[1], high])
    return Mesh(lowest + unit_box * (highest - lowest), box.faces)


def case(side, pose, varus):
    """Landmarks of a leg and straight bars for its bones; the tibia hangs at the angle of varus."""
    points = leg(side, varus=varus, mpta=87 - varus)
    lateral = 1.0 if side == "right" else -1.0
    hang = rigid(rotation_about([0, 1, 0], lateral * varus))
    femur, tibia = bar(-14, 380), bar(-380, -6).transformed(hang)
    return points.moved(pose), femur.transformed(pose), tibia.transformed(pose)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("bone", list(CutLevel))
@pytest.mark.parametrize("opening", [True, False])
@pytest.mark.parametrize("varus", [8.0, -7.0])
def test_the_target_is_reached_by_the_fragments(side, bone, opening, varus):
    rng = np.random.default_rng(3)
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))
    points, femur, tibia = case(side, pose, varus)
    target = fujisawa() if varus > 0 else neutral_axis()
    body = tibia if bone is CutLevel.TIBIA else femur
    plan = plan_limb_wedge(points, body, target, WedgeOptions(bone, opening))
    assert plan.accepted, plan.reasons
    assert plan.wedge.opening is opening
    # Varus opens medially and closes laterally, valgus the other way round.
    assert plan.entry_side == ("medial" if (varus > 0) == opening else "lateral")
    assert getattr(plan.measured_again, target.measure) == pytest.approx(target.value, abs=1e-9)
    assert all(part.is_closed for part in plan.fragments_after)
    volumes = sum(p.volume_mm3 for p in plan.fragments_after) + plan.wedge.removed_mm3
    assert volumes == pytest.approx(body.volume_mm3, rel=1e-6)
    # The hinge lies 10 mm inside the far side of the bar; the cut is slanted, so a little more is left along it.
    assert 10 <= plan.wedge.section.bone_left_mm < 12
    # A wedge opened lengthens the bone, one taken out shortens it; the other bone stays as it was.
    changes = plan.correction.changes()
    own, other = ("tibia", "femur") if bone is CutLevel.TIBIA else ("femur", "tibia")
    assert changes[f"{own}_length_mm"] * (1 if opening else -1) > 0
    assert changes[f"{other}_length_mm"] == pytest.approx(0, abs=1e-9)
    # The hinge is square to the frontal plane: the slope changes by what the rims, 2 mm apart across, tilt along 40 mm.
    assert abs(changes["tibial_slope_deg"]) < np.degrees(2 * np.sin(np.radians(15)) / 40)


def test_the_gap_follows_from_angle_and_depth():
    points, _, tibia = case("right", np.eye(4), 8.0)
    plan = plan_limb_wedge(points, tibia, Target("mpta_deg", 87.0))
    # The tibia's axis turns by what MPTA lacks; about a hinge beside and below the knee that takes a larger angle.
    knee, after = points.tibial_knee_centre, plan.correction.landmarks
    turned = np.cross(points.ankle_centre - knee, after.ankle_centre - knee)
    lengths = np.linalg.norm(points.ankle_centre - knee) * np.linalg.norm(after.ankle_centre - knee)
    assert np.degrees(np.arcsin(np.linalg.norm(turned) / lengths)) == pytest.approx(8.0, abs=0.02)
    assert 8.0 < plan.wedge.angle_deg < 9.0
    assert plan.wedge.gap_mm == pytest.approx(
        2 * plan.wedge.section.depth_mm * np.sin(np.radians(plan.wedge.angle_deg / 2))
    )
    # By how much the far corner of the opened fragment really moved.
    before, after = plan.wedge.moved.vertices_ras, plan.fragments_after[1].vertices_ras
    face = np.abs(plan.wedge.planes[0].height_mm(before)) < 1e-6
    assert np.linalg.norm(after - before, axis=1)[face].max() == pytest.approx(plan.wedge.gap_mm, abs=1e-6)


def test_what_cannot_be_planned_is_said():
    points, femur, tibia = case("right", np.eye(4), 8.0)
    with pytest.raises(InputError, match="at the target already"):
        plan_limb_wedge(points, tibia, Target("hka_deg", 172.0))
    with pytest.raises(GeometryError, match="does not reach the cut"):
        plan_limb_wedge(points, bar(-380, -100), neutral_axis())
    with pytest.raises(GeometryError, match="no turn about this hinge"):
        plan_limb_wedge(points, tibia, Target("weight_bearing_share", 9.0))
    with pytest.raises(GeometryError, match="from the saw's entry"):
        plan_limb_wedge(points, tibia, neutral_axis(), WedgeOptions(hinge_depth_mm=60.0))
    with pytest.raises(InputError, match="above 0, up to 200"):
        WedgeOptions(entry_mm=-3.0)
    known = {n: getattr(points, n) for n in POINTS if n != "hip_centre"}
    with pytest.raises(GeometryError, match="cannot be measured on this leg; not known: hip centre"):
        plan_limb_wedge(LimbLandmarks.of_points("right", known), tibia, neutral_axis())
    with pytest.raises(GeometryError, match="femur: its mechanical axis"):
        plan_limb_wedge(
            LimbLandmarks.of_points("right", known), femur, Target("mpta_deg", 90.0), WedgeOptions(CutLevel.FEMUR)
        )


def test_what_the_tibia_alone_tells_can_be_a_target():
    points, _, tibia = case("left", np.eye(4), 8.0)
    known = {n: getattr(points, n) for n in POINTS if "plateau" in n or "tibia" in n.split("_") or "malleolus" in n}
    alone = LimbLandmarks.of_points(
        "left", known | {"tibial_knee_centre": points.tibial_knee_centre, "ankle_centre": points.ankle_centre}
    )
    plan = plan_limb_wedge(alone, tibia, Target("mpta_deg", 88.0))
    assert plan.accepted
    assert plan.measured_again.mpta_deg == pytest.approx(88.0)
    assert np.isnan(plan.measured_again.hka_deg)


def test_the_edge_of_the_plateau_behind_the_hinge_stays():
    """A cut that rises towards the far cortex passes above a low edge there, but no saw goes that far."""
    points, _, tibia = case("right", np.eye(4), 8.0)
    low = replace(points, lateral_plateau_edge=points.lateral_plateau_edge - [0, 0, 5.0])
    plan = plan_limb_wedge(low, tibia, fujisawa(), WedgeOptions(hinge_mm=12.0))
    assert plan.wedge.planes[0].height_mm(low.lateral_plateau_edge) > 0
    assert plan.accepted, plan.reasons


def test_a_landmark_on_the_wrong_part_rejects_the_plan():
    """Fragments that carry landmarks otherwise than the plan assumed do not reach the target."""
    points, _, tibia = case("right", np.eye(4), 8.0)
    lower = replace(
        points, lateral_plateau_edge=transform_points(rigid(translation=[0, 0, -40.0]), points.lateral_plateau_edge)
    )
    plan = plan_limb_wedge(lower, tibia, fujisawa())
    assert not plan.accepted
    assert "misses its target" in plan.reasons[0]
