"""The measures of a leg from its bones alone, against landmarks known in closed form; and parts of a leg."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.leg_shapes import LegShape
from core.limb_shapes import leg
from core.tibia_shapes import TibiaShape, fibula_mesh, tibia_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.anatomy.leg import find_leg
from MSKPlannerLib.anatomy.limb_alignment import align
from MSKPlannerLib.anatomy.limb_landmarks import POINTS, LimbLandmarks
from MSKPlannerLib.anatomy.limb_measures import MEASURES, NEEDS, in_words, sensitivity
from MSKPlannerLib.mesh import Mesh

BARS = {
    "hka_deg": 0.3, "mpta_deg": 0.6, "ldfa_deg": 0.8, "jlca_deg": 1.0, "mad_mm": 1.0, "weight_bearing_share": 0.025,
    "joint_line_obliquity_deg": 0.6, "tibial_slope_deg": 0.8, "femoral_torsion_deg": 1.5, "tibial_torsion_deg": 1.5,
    "femur_length_mm": 1.0, "tibia_length_mm": 1.0, "leg_length_mm": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def femur():
    return femur_mesh(2.5)


def bones(shape, femur, side, noise_mm, rng):
    """The leg's bones in any pose, with noise."""
    pose = rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-300, 300, 3))
    mirror = np.diag([1.0 if side == "right" else -1.0, 1, 1, 1])

    def placed(mesh):
        noisy = Mesh(mesh.vertices_ras + rng.normal(0, noise_mm, mesh.vertices_ras.shape), mesh.faces)
        return noisy.transformed(mirror).transformed(pose)

    under = shape.tibia_to_leg
    fibula = placed(fibula_mesh(shape.tibia).transformed(under))
    return placed(femur), placed(tibia_mesh(shape.tibia).transformed(under)), fibula


def errors(shape, femur, side, noise_mm, seed):
    f, t, fib = bones(shape, femur, side, noise_mm, np.random.default_rng(seed))
    found = find_leg(f, t, fibula=fib)
    assert found.landmarks.side == side
    assert found.landmarks.missing == ()
    assert found.not_found == ()
    truth, got = asdict(align(shape.landmarks)), asdict(found.measures)
    return {name: abs(got[name] - truth[name]) for name in truth}


@pytest.mark.parametrize(
    ("side", "noise_mm", "valgus"),
    [pytest.param("right", 1.0, -7.0, marks=pytest.mark.slow), ("left", 0.5, 4.0)],
)
def test_a_leg_from_its_bones(femur, side, noise_mm, valgus):
    shape = LegShape(TibiaShape(mpta_deg=84.0, torsion_deg=20.0), valgus, 3.0, 4.0)
    for name, miss in errors(shape, femur, side, noise_mm, 7).items():
        assert miss <= BARS[name], (name, miss)


@pytest.mark.slow
def test_many_legs(femur):
    rng, found = np.random.default_rng(1), []
    for n in range(24):
        tibia = TibiaShape(
            rng.uniform(80, 94), rng.uniform(0, 14), rng.uniform(5, 45), rng.uniform(300, 400), rng.uniform(-4, 4)
        )
        shape = LegShape(tibia, rng.uniform(-12, 12), rng.uniform(-3, 5), rng.uniform(-5, 10))
        found.append(errors(shape, femur, ("left", "right")[n % 2], (0.0, 0.5, 1.0)[n % 3], n))
    for name, bar in BARS.items():
        values = [f[name] for f in found]
        print(f"{name}: median {np.median(values):.2f}, greatest {max(values):.2f}")
        assert max(values) <= bar, name


def test_a_knee_scan_gives_landmarks_but_no_axes():
    shape = LegShape()
    femur = femur_mesh(top=90.0)
    tibia = tibia_mesh(shape.tibia, bottom=-90.0).transformed(shape.tibia_to_leg)
    with pytest.raises(GeometryError, match="do not tell left from right"):
        find_leg(femur, tibia)
    found = find_leg(femur, tibia, side="right")
    assert {"hip_centre", "ankle_centre"} <= set(found.landmarks.missing)
    assert np.isnan(found.measures.hka_deg)
    for name in ("medial_distal_condyle", "medial_plateau", "lateral_plateau", "tibial_knee_centre"):
        assert np.linalg.norm((getattr(found.landmarks, name) - getattr(shape.landmarks, name))[[0, 2]]) < 3, name
    assert len(found.not_found) == 2


def test_a_tibia_alone_gives_what_is_its_own(femur):
    shape = LegShape()
    found = find_leg(tibia=tibia_mesh(shape.tibia))
    assert found.measures.mpta_deg == pytest.approx(87, abs=0.5)
    assert found.measures.tibial_slope_deg == pytest.approx(8, abs=0.8)
    assert np.isnan(found.measures.hka_deg)


def test_placed_landmarks_count_and_are_compared(femur):
    shape = LegShape()
    tibia = tibia_mesh(shape.tibia, 3.0).transformed(shape.tibia_to_leg)
    there = shape.landmarks.ankle_centre + [6.0, 0, 0]
    found = find_leg(femur, tibia, placed={"ankle_centre": there})
    assert found.landmarks.ankle_centre == pytest.approx(there)
    assert found.origin["ankle_centre"] == "placed"
    assert found.placed_off_mm["ankle_centre"] == pytest.approx(6, abs=0.7)
    assert any("ankle centre: placed 6 mm" in n for n in found.notes)
    alone = find_leg(side="right", placed={n: getattr(shape.landmarks, n) for n in POINTS})
    assert alone.measures == align(shape.landmarks)


def test_wrong_side_and_wrong_bones_are_said():
    shape, femur = LegShape(), femur_mesh(4.0)
    tibia = tibia_mesh(shape.tibia, 3.0).transformed(shape.tibia_to_leg)
    with pytest.raises(GeometryError, match="this is a right femur, not a left one"):
        find_leg(femur, side="left")
    with pytest.raises(GeometryError, match="this is a left tibia, not a right one"):
        find_leg(femur, tibia.transformed(np.diag([-1.0, 1, 1, 1])))
    with pytest.raises(GeometryError, match="whether femur and tibia are swapped"):
        find_leg(tibia, femur)
    with pytest.raises(GeometryError, match="far apart"):
        find_leg(femur, tibia.transformed(rigid(translation=[0, 0, -200.0])))
    with pytest.raises(InputError, match="there is no landmark 'hip'"):
        find_leg(femur, placed={"hip": [0, 0, 0]})
    with pytest.raises(InputError, match="no bone and no landmark"):
        find_leg()


def test_a_measure_is_missing_exactly_where_a_point_that_it_follows_is():
    """What each measure rests on, told by how it changes when a point moves."""
    whole = leg(varus=4, slope=6)
    rates = sensitivity(whole).per_mm
    for missing in POINTS:
        points = LimbLandmarks.of_points("right", {n: getattr(whole, n) for n in POINTS if n != missing})
        assert points.missing == (missing,)
        measures = align(points, whole=False)
        for name in MEASURES:
            value = getattr(measures, name)
            assert np.isnan(value) == (missing in NEEDS[name]), (name, missing)
            assert missing in NEEDS[name] or rates[name][missing] < 1e-6
            if np.isfinite(value):
                assert getattr(measures, name) == pytest.approx(getattr(align(whole), name))
    with pytest.raises(GeometryError, match="not known: ankle centre"):
        align(LimbLandmarks.of_points("right", {n: getattr(whole, n) for n in POINTS if n != "ankle_centre"}))
    with pytest.raises(GeometryError, match="those of a right leg"):
        align(replace(points, side="left"), whole=False)


def test_values_in_words():
    assert in_words("hka_deg", 172.0) == "below the usual range: varus"
    assert in_words("hka_deg", 180.0) == "usual"
    assert in_words("mad_mm", 30.0) == "above the usual range: the axis passes far medially"
    assert in_words("leg_length_mm", 800.0) == "no usual range"
    for name, info in MEASURES.items():
        if info.usual is not None:
            assert in_words(name, info.usual[0] - 1) != in_words(name, info.usual[1] + 1)
