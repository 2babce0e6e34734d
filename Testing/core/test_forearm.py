"""The measures of a wrist: closed form from landmarks; from generated bones within the bars; what cannot be is said."""

from dataclasses import replace

import numpy as np
import pytest
from core.forearm_shapes import WristShape, radius_mesh, ulna_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.anatomy.forearm import (
    FOREARM_POINTS,
    WRIST_MEASURES,
    WRIST_NEEDS,
    ForearmLandmarks,
    measure_wrist,
    wrist_in_words,
    wrist_measures_of,
    wrist_sensitivity,
)
from MSKPlannerLib.anatomy.forearm_search import find_forearm
from MSKPlannerLib.mesh import Mesh

MIRROR = np.diag([-1.0, 1.0, 1.0])


def any_pose(seed):
    rng = np.random.default_rng(seed)
    return rigid(rotation_about(rng.normal(size=3), rng.uniform(-180, 180)), rng.uniform(-200, 200, 3))


def of_side(points, side):
    if side == "right":
        return points
    return ForearmLandmarks("left", **{n: MIRROR @ getattr(points, n) for n in FOREARM_POINTS})


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("shape", [WristShape(), WristShape(5.0, -20.0, 4.0), WristShape(30.0, 18.0, -3.0)])
def test_landmarks_give_the_closed_form(side, shape):
    found = measure_wrist(of_side(shape.landmarks, side).moved(any_pose(4)))
    assert found.radial_inclination_deg == pytest.approx(shape.inclination_deg, abs=1e-9)
    assert found.volar_tilt_deg == pytest.approx(shape.tilt_deg, abs=1e-9)
    assert found.ulnar_variance_mm == pytest.approx(shape.variance_mm, abs=1e-9)
    assert found.radial_height_mm == pytest.approx(30 * np.tan(np.radians(shape.inclination_deg)), abs=1e-9)


def test_a_measure_with_a_missing_point_is_not_made():
    points = replace(WristShape().landmarks, ulnar_head=np.full(3, np.nan))
    found = measure_wrist(points)
    assert np.isnan(found.ulnar_variance_mm)
    assert found.volar_tilt_deg == pytest.approx(11.0)
    assert wrist_in_words("ulnar_variance_mm", found.ulnar_variance_mm) == "cannot be made"
    for name in FOREARM_POINTS:
        without = wrist_measures_of(replace(WristShape().landmarks, **{name: np.full(3, np.nan)}))
        for measure in WRIST_MEASURES:
            assert np.isnan(getattr(without, measure)) == (name in WRIST_NEEDS[measure]), (name, measure)


def test_sensitivity_is_that_of_the_geometry():
    rates = wrist_sensitivity(WristShape().landmarks).per_mm
    # A millimetre at the rim, 18 mm from the other one: the tilt turns by 1/18 rad at most, seen along the joint surface.
    assert rates["volar_tilt_deg"]["volar_rim"] == pytest.approx(np.degrees(np.cos(np.radians(11)) / 18), rel=0.02)
    assert rates["ulnar_variance_mm"]["ulnar_head"] == pytest.approx(1.0, abs=1e-6)
    assert rates["radial_inclination_deg"]["ulnar_head"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"side": "left"}, "volar and dorsal are swapped, or this is a right forearm"),
        ({"shaft_proximal": [12.0, 0, 30.0]}, "shaft does not lie above|swapped"),
        ({"radial_styloid": [100.0, 0, 0]}, "mm apart"),
        ({"ulnar_head": [20.0, 0, 0]}, "on the side of the radial styloid"),
        ({"ulnar_head": [-11.0, 0, 200]}, "far from the radius"),
        ({"shaft_distal": [12.0, 0, 60.0]}, "one place"),
    ],
)
def test_points_that_cannot_be_are_said(change, says):
    with pytest.raises(GeometryError, match=says):
        measure_wrist(replace(WristShape().landmarks, **change))


def test_words():
    assert wrist_in_words("volar_tilt_deg", -15.0) == "below the usual range: tilted dorsally"
    assert wrist_in_words("radial_inclination_deg", 24.0) == "usual"
    assert wrist_in_words("ulnar_variance_mm", 2.0) == "the ulna is longer"


@pytest.mark.parametrize(
    ("shape", "side", "seed"),
    [
        (WristShape(), "right", 1),
        (WristShape(), "left", 2),
        (WristShape(12.0, -25.0, 7.0), "right", 3),
        pytest.param(WristShape(16.0, -18.0, 4.0), "left", 6, marks=pytest.mark.slow),
        pytest.param(WristShape(28.0, 16.0, -2.5), "left", 4, marks=pytest.mark.slow),
        pytest.param(WristShape(10.0, 0.0, 6.0), "right", 5, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("noise_mm", "bars"), [(0.0, (1.5, 2.2, 0.6)), (0.2, (2.0, 3.0, 1.2))])
def test_generated_bones(shape, side, seed, noise_mm, bars):
    pose, rng = any_pose(seed), np.random.default_rng(seed)

    def placed(mesh):
        rough = Mesh(mesh.vertices_ras + rng.normal(0, noise_mm, mesh.vertices_ras.shape), mesh.faces)
        return rough.transformed(pose)

    found = find_forearm(side, placed(radius_mesh(shape, side=side)), placed(ulna_mesh(shape, side=side)))
    assert found.not_found == ()
    assert found.measures.radial_inclination_deg == pytest.approx(shape.inclination_deg, abs=bars[0])
    assert found.measures.volar_tilt_deg == pytest.approx(shape.tilt_deg, abs=bars[1])
    assert found.measures.ulnar_variance_mm == pytest.approx(shape.variance_mm, abs=bars[2])
    truth = of_side(shape.landmarks, side).moved(pose)
    for name in ("radial_styloid", "volar_ulnar_corner", "dorsal_ulnar_corner"):
        assert np.linalg.norm(getattr(found.landmarks, name) - getattr(truth, name)) < 2.5, name


def test_a_short_piece_needs_the_direction_and_a_cut_one_says_so():
    piece, head = radius_mesh(top=75.0), ulna_mesh(top=60.0)
    without = find_forearm("right", piece, head, placed={"ulnar_head": [-11.0, 0, 0]})
    assert "give the direction to the hand" in without.not_found[0]
    with_it = find_forearm("right", piece, head, distal_ras=[0, 0, -1.0])
    assert with_it.measures.volar_tilt_deg == pytest.approx(11.0, abs=2.5)
    assert with_it.measures.ulnar_variance_mm == pytest.approx(0.0, abs=0.8)
    wrong = find_forearm("right", piece, distal_ras=[0, 0, 1.0])
    assert "cut off" in wrong.not_found[0]
    short = find_forearm("right", radius_mesh(top=35.0), distal_ras=[0, 0, -1.0])
    assert "reaches less than 50 mm" in short.not_found[0]


def test_placed_points_count():
    truth = WristShape().landmarks
    found = find_forearm("right", radius_mesh(), placed={"volar_rim": truth.volar_rim + [0, 0, 7.0]})
    assert found.origin["volar_rim"] == "placed"
    assert found.placed_off_mm["volar_rim"] > 5
    assert any("placed volar rim" in n for n in found.notes)
    assert found.measures.volar_tilt_deg > 20
    with pytest.raises(InputError, match="no bone and no landmark"):
        find_forearm("right")
    with pytest.raises(InputError, match="no landmark 'elbow'"):
        find_forearm("right", placed={"elbow": [0, 0, 0]})
