"""Alignment of legs whose angles are known by construction, on both sides and in any pose."""

from dataclasses import fields, replace

import numpy as np
import pytest
from core.limb_shapes import leg
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.anatomy.limb_alignment import LimbAlignment, align
from MSKPlannerLib.anatomy.limb_landmarks import POINTS
from MSKPlannerLib.anatomy.limb_measures import MEASURES, sensitivity, unusual

SIDES = pytest.mark.parametrize("side", ["left", "right"])


@SIDES
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_angles_by_construction_in_any_pose(side, seed):
    rng = np.random.default_rng(seed)
    made = {
        "varus": rng.uniform(-15, 15), "ldfa": rng.uniform(80, 96), "mpta": rng.uniform(80, 96),
        "slope": rng.uniform(-5, 20), "femoral_torsion": rng.uniform(-20, 50), "tibial_torsion": rng.uniform(0, 55),
        "femur": rng.uniform(250, 500), "tibia": rng.uniform(220, 420),
    }  # fmt: skip
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-500, 500, 3))
    m = align(leg(side, **made).moved(pose))
    assert m.hka_deg == pytest.approx(180 - made["varus"], abs=1e-9)
    assert m.mpta_deg == pytest.approx(made["mpta"], abs=1e-9)
    assert m.ldfa_deg == pytest.approx(made["ldfa"], abs=1e-9)
    assert m.jlca_deg == pytest.approx(made["varus"] - made["ldfa"] + made["mpta"], abs=1e-9)
    assert m.tibial_slope_deg == pytest.approx(made["slope"], abs=1e-9)
    assert m.femoral_torsion_deg == pytest.approx(made["femoral_torsion"], abs=1e-9)
    assert m.tibial_torsion_deg == pytest.approx(made["tibial_torsion"], abs=1e-9)
    assert (m.femur_length_mm, m.tibia_length_mm) == pytest.approx((made["femur"], made["tibia"]))
    # The triangle of hip, knee and ankle gives the deviation of the axis and the length.
    f, t, bend = made["femur"], made["tibia"], np.radians(made["varus"])
    length = np.sqrt(f * f + t * t + 2 * f * t * np.cos(bend))
    assert m.leg_length_mm == pytest.approx(length)
    assert m.mad_mm == pytest.approx(f * t * np.sin(bend) / length)


@SIDES
def test_the_axis_of_a_straight_leg_crosses_the_knee_centre(side):
    m = align(leg(side))
    assert m.mad_mm == pytest.approx(0, abs=1e-9)
    assert m.weight_bearing_share == pytest.approx(36 / 74)
    assert m.joint_line_obliquity_deg == pytest.approx(3.0)
    # Usually the axis passes a little medially of the knee centre.
    assert unusual(m) == ("mad_mm",)


def test_varus_moves_the_axis_medially_and_is_unusual():
    m = align(leg(varus=8, mpta=81, ldfa=88))
    assert m.weight_bearing_share < 0.25
    assert {"hka_deg", "mpta_deg", "mad_mm"} <= set(unusual(m))


def test_sensitivity_is_the_small_angle_of_a_long_lever():
    s = sensitivity(leg())
    # 1 mm at the ankle turns the tibia by 1 mm over its length; at the hip, the femur.
    assert s.per_mm["hka_deg"]["ankle_centre"] == pytest.approx(np.degrees(1 / 370), rel=1e-4)
    assert s.per_mm["hka_deg"]["hip_centre"] == pytest.approx(np.degrees(1 / 430), rel=1e-4)
    # One end of a joint line of 44 mm that lies 3 degrees oblique.
    assert s.per_mm["mpta_deg"]["medial_plateau"] == pytest.approx(np.degrees(np.cos(np.radians(3.0)) / 44), rel=0.01)
    assert s.worst_landmark("mpta_deg")[0] in ("medial_plateau", "lateral_plateau")
    rates = np.array(list(s.per_mm["hka_deg"].values()))
    assert s.standard_error("hka_deg", 2.0) == pytest.approx(2 * np.linalg.norm(rates))


def test_the_standard_error_is_what_disturbed_landmarks_show():
    points, rng = leg(varus=5), np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        shifted = {n: getattr(points, n) + rng.normal(0, 1, 3) for n in POINTS}
        drawn.append(align(replace(points, **shifted)).tibial_torsion_deg)
    assert np.std(drawn) == pytest.approx(sensitivity(points).standard_error("tibial_torsion_deg", 1.0), rel=0.15)


def test_every_measure_is_defined():
    assert set(MEASURES) == {f.name for f in fields(LimbAlignment)}
    assert all(info.definition and info.source for info in MEASURES.values())


@SIDES
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: replace(p, side={"left": "right", "right": "left"}[p.side]), "are those of a .* leg"),
        (lambda p: replace(p, hip_centre=p.ankle_centre, ankle_centre=p.hip_centre), "hip and ankle are swapped"),
        (lambda p: replace(p, hip_centre=p.neck_centre, neck_centre=p.hip_centre), "lateral of its neck"),
        (lambda p: replace(p, ankle_centre=p.tibial_knee_centre - [0, 0, 900]), "tibia: 9\\d\\d mm long"),
        (lambda p: replace(p, medial_malleolus=p.lateral_malleolus), "both lie in one place"),
        (lambda p: replace(p, medial_plateau=p.medial_plateau + [0, 0, 300]), "medial plateau: lies more than 90 mm"),
        (
            lambda p: replace(
                p, anterior_medial_plateau=p.posterior_medial_plateau, posterior_medial_plateau=p.anterior_medial_plateau
            ),
            "front and back",
        ),
        (lambda p: replace(p, femoral_knee_centre=p.femoral_knee_centre + [0, 0, 120]), "far apart|more than 90 mm"),
    ],
)  # fmt: skip
def test_wrong_landmarks_are_said(side, change, says):
    with pytest.raises(GeometryError, match=says):
        align(change(leg(side)))


@SIDES
@pytest.mark.parametrize("name", [n for n in POINTS if n.startswith("medial")])
def test_a_swapped_pair_is_named(side, name):
    points, other = leg(side), name.replace("medial", "lateral", 1)
    swapped = replace(points, **{name: getattr(points, other), other: getattr(points, name)})
    with pytest.raises(GeometryError, match=f"{name.replace('_', ' ')} and its partner.*swapped"):
        align(swapped)


@SIDES
def test_all_pairs_swapped_with_the_side_are_seen_by_the_hip(side):
    points = leg(side)
    pairs = [(n, n.replace("medial", "lateral", 1)) for n in POINTS if n.startswith("medial")]
    changed = {a: getattr(points, b) for a, b in pairs} | {b: getattr(points, a) for a, b in pairs}
    other = {"left": "right", "right": "left"}[side]
    with pytest.raises(GeometryError, match="medial and lateral are swapped everywhere"):
        align(replace(points, side=other, **changed))


def test_hostile_input():
    with pytest.raises(InputError, match="the side is 'Right'"):
        replace(leg(), side="Right")
    with pytest.raises(GeometryError, match="hip centre: three finite"):
        replace(leg(), hip_centre=[0, 0, np.nan])
