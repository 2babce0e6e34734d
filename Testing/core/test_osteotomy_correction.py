"""Wedges, targets, CORA and single cuts against geometry that can be worked out by hand."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh
from core.limb_shapes import leg
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import invert_rigid, rigid, rigid_about, rotation_about, rotation_angle_deg, transform_points
from MSKPlannerLib.anatomy.limb_alignment import align
from MSKPlannerLib.osteotomy.cora import bisector_ras, correct_at, find_cora
from MSKPlannerLib.osteotomy.hinge import Hinge, angle_for_gap_deg, gap_mm
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.screw_motion import (
    FragmentNumbers,
    fragment_numbers,
    motion_of,
    screw_motion,
    turn_about_hinge,
)
from MSKPlannerLib.osteotomy.single_cut import single_oblique_cut
from MSKPlannerLib.osteotomy.target import CutLevel, Target, fujisawa, neutral_axis, plan_double_level, plan_turn
from MSKPlannerLib.osteotomy.wedge import wedge, wedge_of_turn

SEEDS = st.integers(0, 2**31)
BAR = box_mesh((40.0, 30.0, 200.0))
#: A plane across the bar, its hinge 8 mm from the far side, the saw from x = +20.
PLANE, HINGE, ENTRY, BELOW = Plane([0, 0, 20], [0, 0, 1]), Hinge([-12, 0, 20], [0, 1, 0]), [20, 0, 20], [0, 0, -100]


def motion_from(rng, angle=40.0, shift=30.0):
    return rigid(rotation_about(rng.normal(size=3), rng.uniform(-angle, angle)), rng.uniform(-shift, shift, 3))


def test_an_opening_wedge():
    w = wedge(BAR, PLANE, HINGE, ENTRY, 10.0, BELOW, opening=True)
    assert w.section.bone_left_mm == pytest.approx(8)
    assert w.section.depth_mm == pytest.approx(32)
    assert w.section.hinge_length_mm == pytest.approx(30)
    assert w.gap_mm == pytest.approx(2 * 32 * np.sin(np.radians(5)))
    assert angle_for_gap_deg(w.gap_mm, 32) == pytest.approx(10)
    assert w.fixed.volume_mm3 == pytest.approx(1200 * 80)
    assert w.moved.volume_mm3 == pytest.approx(1200 * 120)
    assert w.removed is None
    # The cortex that was in one place before is the gap apart now, and the moved part has gone down.
    corner = transform_points(w.moved_to_corrected_ras, [20, 0, 20])
    assert np.linalg.norm(corner - [20, 0, 20]) == pytest.approx(w.gap_mm)
    assert corner[2] < 20
    np.testing.assert_allclose(transform_points(w.moved_to_corrected_ras, HINGE.point_ras), HINGE.point_ras)
    np.testing.assert_allclose(w.gaps_mm()[1], w.gap_mm)


def test_a_closing_wedge():
    w = wedge(BAR, PLANE, HINGE, ENTRY, 10.0, BELOW, opening=False)
    assert w.removed_mm3 == pytest.approx(30 * 32 * 32 * np.tan(np.radians(10)) / 2)
    assert w.fixed.volume_mm3 + w.moved.volume_mm3 + w.removed_mm3 == pytest.approx(240000)
    assert w.fixed.is_closed
    assert w.moved.is_closed
    # The lower face of the wedge comes to lie on the upper one.
    closed = w.planes[1].transformed(w.moved_to_corrected_ras)
    np.testing.assert_allclose(closed.normal_ras, w.planes[0].normal_ras, atol=1e-12)
    assert float(w.planes[0].height_mm(closed.point_ras)) == pytest.approx(0, abs=1e-9)


def test_a_hinge_that_runs_obliquely_gives_a_gap_that_differs_from_front_to_back():
    tilted = Hinge([-12, 0, 20], [0.2, 1, 0])
    w = wedge(BAR, PLANE, tilted, ENTRY, 8.0, BELOW, opening=True)
    places, gaps = w.gaps_mm(3)
    slope = np.arctan(0.2)
    # From the hinge's line to the far corner, at right angles to it.
    for y, gap in zip(places, gaps, strict=True):
        along = y * np.cos(slope) * np.sign(w.section.to_ras[1, 1])
        x_hinge = -12 + along * np.tan(slope)
        depth = (20 - x_hinge) / np.cos(slope)
        corner_y = abs(along - depth * np.sin(slope))
        if corner_y <= 15:
            assert gap == pytest.approx(2 * depth * np.sin(np.radians(4)), abs=1e-6)
    assert gaps.max() - gaps.min() > 0.3


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_a_signed_turn_becomes_the_right_wedge_in_any_pose(seed):
    rng = np.random.default_rng(seed)
    pose, turn = motion_from(rng, 180, 300), float(rng.uniform(1, 15) * rng.choice([-1, 1]))
    bone, plane, hinge = BAR.transformed(pose), PLANE.transformed(pose), HINGE.transformed(pose)
    w = wedge_of_turn(bone, plane, hinge, transform_points(pose, ENTRY), turn, transform_points(pose, BELOW))
    # About +y a positive turn takes x to -z: the lower part goes away from the upper one on the saw's side.
    assert w.opening == (turn > 0)
    np.testing.assert_allclose(w.moved_to_corrected_ras, hinge.motion_ras(turn), atol=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: wedge(BAR, PLANE, Hinge([-25, 0, 20], [0, 1, 0]), ENTRY, 5, BELOW, opening=True), "outside the bone .5.0 mm"),
        (lambda: wedge(BAR, PLANE, Hinge([-12, 0, 25], [0, 1, 0]), ENTRY, 5, BELOW, opening=True), "5.0 mm and 0.0 degrees off"),
        (lambda: wedge(BAR, PLANE.shifted(95), Hinge([-12, 0, 115], [0, 1, 0]), ENTRY, 5, BELOW, opening=True), "misses the bone by 15.0"),
        (lambda: wedge(BAR, PLANE.shifted(-110), Hinge([-12, 0, -90], [0, 1, 0]), ENTRY, 40, [0, 0, -99], opening=False), "larger than the bone"),
        (lambda: wedge(BAR, PLANE, HINGE, ENTRY, 0, BELOW, opening=True), "a wedge of 0 degrees"),
        (lambda: wedge(BAR, PLANE, HINGE, ENTRY, float("nan"), BELOW, opening=True), "a wedge of nan"),
        (lambda: wedge(BAR, PLANE, HINGE, ENTRY, 5, [9, 9, 20], opening=True), "lies in the plane"),
        (lambda: wedge(BAR, PLANE, HINGE, [-12, 4, 20], 5, BELOW, opening=True), "not clear"),
        (lambda: angle_for_gap_deg(70.0, 32.0), "cannot be opened"),
    ],
)  # fmt: skip
def test_impossible_wedges_are_said(call, says):
    with pytest.raises(InputError, match=says):
        call()


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_a_screw_is_the_motion_it_came_from(seed):
    rng = np.random.default_rng(seed)
    motion, reference = motion_from(rng, 179.9), rng.normal(size=3) * 100
    screw = screw_motion(motion, reference)
    np.testing.assert_allclose(screw.matrix_ras, motion, atol=1e-8)
    assert screw.angle_deg == pytest.approx(rotation_angle_deg(motion))
    # A point of the axis moves along it only.
    step = transform_points(motion, screw.point_ras) - screw.point_ras
    np.testing.assert_allclose(step, screw.along_mm * screw.axis_ras, atol=1e-7)
    assert (reference - screw.point_ras) @ screw.axis_ras == pytest.approx(0, abs=1e-6)


def test_a_screw_by_construction_at_its_limits():
    shift = screw_motion(rigid(None, [0, 3, 4]), [1, 2, 3])
    assert (shift.angle_deg, shift.along_mm) == pytest.approx((0, 5))
    half = screw_motion(rigid_about([5, 0, 0], rotation_about([0, 0, 1], 180), [0, 0, 2]), [0, 0, 7])
    assert half.angle_deg == pytest.approx(180)
    np.testing.assert_allclose(half.point_ras, [5, 0, 7], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, side=st.sampled_from(["left", "right"]))
def test_numbers_of_a_moved_fragment_and_back(seed, side):
    rng = np.random.default_rng(seed)
    frame, point = motion_from(rng, 180, 300), rng.normal(size=3) * 50
    numbers = FragmentNumbers(*rng.uniform(-30, 30, 3), *rng.uniform(-20, 20, 3))
    motion = motion_of(numbers, frame, side, point)
    back = fragment_numbers(motion, frame, side, point)
    np.testing.assert_allclose(list(vars(back).values()), list(vars(numbers).values()), atol=1e-8)


@pytest.mark.parametrize(("side", "lateral"), [("left", -1), ("right", 1)])
def test_what_the_numbers_mean(side, lateral):
    """The foot of a leg that hangs along -z, moved by one number at a time."""
    foot, toe, zero = np.array([0.0, 0, -100]), np.array([0.0, 30, -100]), np.zeros(3)

    def moved(point, **kwargs):
        numbers = FragmentNumbers(**(dict.fromkeys(FragmentNumbers.__dataclass_fields__, 0.0) | kwargs))
        return transform_points(motion_of(numbers, np.eye(4), side, zero), point)

    assert moved(foot, valgus_deg=10)[0] * lateral > 10
    assert moved(foot, flexion_deg=10)[1] < -10
    assert moved(toe, external_deg=10)[0] * lateral > 4
    np.testing.assert_allclose(moved(foot, lateral_mm=2, anterior_mm=3, proximal_mm=4), [2 * lateral, 3, -96])


def test_a_fragment_moved_by_hand_is_read_as_a_turn_and_a_rest():
    motion = rigid(None, [0, 2, 0]) @ HINGE.motion_ras(7.0)
    read = turn_about_hinge(motion, HINGE)
    assert (read.angle_deg, read.rest_deg, read.rest_mm) == pytest.approx((7.0, 0.0, 2.0), abs=1e-9)
    both = turn_about_hinge(
        rigid_about(HINGE.point_ras, rotation_about([1, 0, 0], 3.0)) @ HINGE.motion_ras(-7.0), HINGE
    )
    assert (both.angle_deg, both.rest_deg) == pytest.approx((-7.0, 3.0))


@pytest.mark.parametrize("side", ["left", "right"])
def test_fujisawa_by_plane_trigonometry(side):
    """In a leg whose points all lie in the frontal plane the angle follows from a triangle (Miniaci's method)."""
    s = 1 if side == "right" else -1
    points = leg(side, varus=8, mpta=81)
    hinge = Hinge(points.lateral_plateau + [0, 0, -25], [0, s, 0])
    plan = plan_turn(points, CutLevel.TIBIA, hinge, fujisawa())
    assert plan.after.weight_bearing_share == pytest.approx(0.62, abs=1e-10)
    inner, outer = points.medial_plateau_edge, points.lateral_plateau_edge
    target = inner + 0.62 * (outer - inner)
    h, t, a, hip = (p[[0, 2]] * [s, 1] for p in (hinge.point_ras, target, points.ankle_centre, points.hip_centre))
    # The ankle moves on a circle about the hinge to the line from hip through the target.
    d = (t - hip) / np.linalg.norm(t - hip)
    along = (h - hip) @ d
    off = h - hip - along * d
    reach = along + np.sqrt(np.linalg.norm(a - h) ** 2 - off @ off)
    new = hip + reach * d
    turn = np.degrees(np.arctan2(*(new - h)) - np.arctan2(*(a - h)))
    assert abs(plan.angle_deg) == pytest.approx(abs(turn), abs=1e-3)
    np.testing.assert_allclose(plan.landmarks.ankle_centre[[0, 2]] * [s, 1], new, atol=0.01)
    assert plan.after.hka_deg > 182
    # What it costs: the tibia's axis runs from the knee centre, so MPTA changes by less than the wedge's angle.
    axis_turn = np.degrees(np.arctan2(new[0], -new[1]) - np.arctan2(a[0], -a[1]))
    assert plan.changes()["mpta_deg"] == pytest.approx(abs(axis_turn), abs=0.02)
    assert abs(axis_turn) < abs(turn)
    assert plan.changes()["ldfa_deg"] == 0
    # The medial rim of this leg runs 2 mm outwards over 40 mm, so it tilts with the joint line.
    theta, fall = np.radians(axis_turn), np.tan(np.radians(8.0))
    slope = np.degrees(np.arctan(fall * np.cos(theta) - np.sin(abs(theta)) * 2 / 40))
    assert plan.after.tibial_slope_deg == pytest.approx(slope, abs=0.01)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, side=st.sampled_from(["left", "right"]))
def test_any_target_is_reached_from_any_pose(seed, side):
    rng = np.random.default_rng(seed)
    points = leg(side, varus=rng.uniform(-12, 12), mpta=rng.uniform(82, 95), ldfa=rng.uniform(82, 95))
    points = points.moved(motion_from(rng, 180, 300))
    frame = points.tibia_to_ras
    hinge = Hinge(points.lateral_plateau - 25 * frame[:3, 2], frame[:3, 1] + 0.1 * frame[:3, 0])
    for target in (neutral_axis(), fujisawa(), Target("mpta_deg", 88.0)):
        plan = plan_turn(points, CutLevel.TIBIA, hinge, target)
        assert getattr(align(plan.landmarks), target.measure) == pytest.approx(target.value, abs=1e-8)
        assert abs(plan.angle_deg) < 40
    frame = points.femur_to_ras
    femoral = Hinge(points.medial_distal_condyle + 40 * frame[:3, 2], frame[:3, 1])
    plan = plan_turn(points, CutLevel.FEMUR, femoral, Target("ldfa_deg", 87.5))
    assert align(plan.landmarks).ldfa_deg == pytest.approx(87.5, abs=1e-8)
    assert plan.changes()["mpta_deg"] == pytest.approx(0, abs=1e-9)


def test_a_twist_about_the_axis_leaves_the_axis():
    points = leg(tibial_torsion=55)
    hinge = Hinge(points.tibial_knee_centre, points.tibia_to_ras[:3, 2])
    plan = plan_turn(points, CutLevel.TIBIA, hinge, Target("tibial_torsion_deg", 30.0))
    assert abs(plan.angle_deg) == pytest.approx(25)
    assert plan.changes()["hka_deg"] == pytest.approx(0, abs=1e-9)
    assert plan.changes()["leg_length_mm"] == pytest.approx(0, abs=1e-9)


def test_two_levels_share_the_work():
    points = leg(varus=14, ldfa=94, mpta=81)
    femoral = Hinge(points.medial_distal_condyle + [0, 0, 40], [0, 1, 0])
    tibial = Hinge(points.lateral_plateau - [0, 0, 25], [0, 1, 0])
    plan = plan_double_level(points, femoral, Target("ldfa_deg", 88.0), tibial, neutral_axis())
    after = align(plan.tibia.landmarks)
    assert (after.ldfa_deg, after.hka_deg) == pytest.approx((88.0, 180.0), abs=1e-8)
    # The tibia first and the femur after it comes to the same.
    other_way = points.after_tibial_cut(plan.tibia_in_place_ras).after_femoral_cut(plan.femur.motion_ras)
    np.testing.assert_allclose(other_way.ankle_centre, plan.tibia.landmarks.ankle_centre, atol=1e-9)


def test_targets_out_of_reach_are_said():
    points = leg(varus=8)
    hinge = Hinge(points.tibial_knee_centre, points.tibia_to_ras[:3, 2])
    with pytest.raises(GeometryError, match="no turn about this hinge"):
        plan_turn(points, CutLevel.TIBIA, hinge, neutral_axis())
    with pytest.raises(InputError, match="no measure"):
        Target("hka", 180)
    with pytest.raises(InputError, match="a share of 62"):
        fujisawa(62)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_cora_of_a_bent_bone_and_the_first_rule(seed):
    rng = np.random.default_rng(seed)
    pose, bend, offset = motion_from(rng, 180, 300), rng.uniform(2, 50), rng.uniform(-10, 10)
    # A shaft down -z, bent about y at the apex, shifted along y.
    apex, down = np.array([0.0, 0, 150]), np.array([0.0, 0, -1])
    distal = rotation_about([0, 1, 0], bend) @ down
    at = [apex + [0, offset, 0] + rng.uniform(50, 200) * distal, apex + rng.uniform(-100, 100) * down]
    p, q = transform_points(pose, at[1]), transform_points(pose, at[0])
    cora = find_cora(p, pose[:3, :3] @ down, q, pose[:3, :3] @ distal)
    assert cora.angle_deg == pytest.approx(bend)
    assert cora.offset_mm == pytest.approx(abs(offset), abs=1e-8)
    np.testing.assert_allclose(
        transform_points(invert_rigid(pose), cora.point_ras), apex + [0, offset / 2, 0], atol=1e-7
    )
    one = correct_at(cora, cora.point_ras, Plane(cora.point_ras, cora.proximal_ras))
    assert one.rule == 1
    np.testing.assert_allclose(one.motion_ras[:3, :3] @ cora.distal_ras, cora.proximal_ras, atol=1e-9)
    assert one.axis_shift_mm == pytest.approx(abs(offset), abs=1e-8)


def test_the_second_and_third_rule_by_trigonometry():
    down, distal = np.array([0.0, 0, -1]), rotation_about([0, 1, 0], 20.0) @ [0, 0, -1]
    cora = find_cora([0, 0, 100], down, 80 * distal, distal)
    # Cut 60 mm above the hinge: its faces shift by the chord's part across the axis.
    two = correct_at(cora, cora.point_ras, Plane([0, 0, 60], down))
    assert two.rule == 2
    assert two.cut_shift_mm == pytest.approx(60 * np.sin(np.radians(20)))
    assert two.axis_shift_mm == pytest.approx(0, abs=1e-9)
    # Hinge and cut 60 mm above: the faces stay, the axes end that far apart.
    three = correct_at(cora, [0, 0, 60], Plane([0, 0, 60], down))
    assert three.rule == 3
    assert three.cut_shift_mm == pytest.approx(0, abs=1e-9)
    assert three.axis_shift_mm == pytest.approx(60 * np.sin(np.radians(20)))
    # Hinges on the transverse bisector bring the axes in line: opening lengthens, closing shortens.
    for step in (-15.0, 15.0):
        moved = correct_at(cora, cora.point_ras + step * bisector_ras(cora), Plane([0, 0, 0], down))
        assert moved.axis_shift_mm == pytest.approx(0, abs=1e-9)
        assert abs(moved.lengthening_mm) == pytest.approx(2 * 15 * np.sin(np.radians(10)))
    with pytest.raises(GeometryError, match="parallel"):
        find_cora([0, 0, 0], down, [5, 0, 0], down)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_a_single_cut_keeps_its_faces_in_touch(seed):
    rng = np.random.default_rng(seed)
    turn = rotation_about(rng.normal(size=3), rng.uniform(1, 40))
    motion, level, axis = rigid(turn, rng.uniform(-30, 30, 3)), rng.normal(size=3) * 100, rng.normal(size=3)
    cut = single_oblique_cut(motion, level, axis)
    # The corrected face lies parallel to the fixed one, the gap above it.
    moved = cut.plane.transformed(motion)
    np.testing.assert_allclose(moved.normal_ras, cut.plane.normal_ras, atol=1e-9)
    assert float(cut.plane.height_mm(moved.point_ras)) == pytest.approx(cut.gap_mm, abs=1e-7)
    assert cut.slide_mm @ cut.plane.normal_ras == pytest.approx(0, abs=1e-9)
    in_touch = cut.plane.transformed(cut.without_gap_ras)
    assert float(cut.plane.height_mm(in_touch.point_ras)) == pytest.approx(0, abs=1e-7)
    assert 0 <= cut.obliquity_deg <= 90


def test_a_bend_and_a_twist_need_a_cut_between_the_two():
    axis = np.array([0.0, 0, -1])
    twist = single_oblique_cut(rigid_about([0, 0, 50], rotation_about(axis, 20)), [0, 0, 50], axis)
    assert twist.obliquity_deg == pytest.approx(0, abs=1e-6)
    bend = single_oblique_cut(rigid_about([0, 0, 50], rotation_about([0, 1, 0], 20)), [0, 0, 50], axis)
    assert bend.obliquity_deg == pytest.approx(90)
    both = rotation_about([0, 1, 0], 20) @ rotation_about(axis, 20)
    assert 40 < single_oblique_cut(rigid(both), [0, 0, 0], axis).obliquity_deg < 50
    with pytest.raises(GeometryError, match="needs no oblique cut"):
        single_oblique_cut(rigid(None, [1, 2, 3]), [0, 0, 0], axis)


def test_gap_and_angle_are_each_others_inverse():
    for angle in (0.0, 0.5, 10.0, 60.0):
        assert angle_for_gap_deg(float(gap_mm(45.0, angle)), 45.0) == pytest.approx(angle)
