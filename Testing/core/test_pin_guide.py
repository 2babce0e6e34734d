"""Pin guides on bones of known shape: the wires' geometry, the bores and the contact, measured apart from how they were made."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from core.femur_shapes import femur_field, femur_mesh
from core.guide_shapes import sphere_mesh

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import rigid, unit
from MSKPlannerLib.guides.checks import failed
from MSKPlannerLib.guides.field import distance_to
from MSKPlannerLib.guides.lettering import text_solid
from MSKPlannerLib.guides.pin_guide import design_pin_guide
from MSKPlannerLib.guides.pins import out_of_bone, pin_checks, pin_through, row_between, row_of_pins
from MSKPlannerLib.guides.presets import load_guide_options
from MSKPlannerLib.guides.solid import overlap_mm3
from MSKPlannerLib.mesh import body_labels
from MSKPlannerLib.plan import GuideScrew

OUT, ALONG = np.array([1.0, 0.2, 0.0]), np.array([0.0, 0.0, 1.0])


def axis_of(pin):
    return unit(np.subtract(pin.entry_ras, pin.tip_ras))


@pytest.mark.parametrize(("count", "spacing", "angle"), [(2, 15.0, 0.0), (3, 9.0, 7.5), (2, 12.0, -5.0)])
def test_a_row_is_spaced_and_turned_as_asked(count, spacing, angle):
    """On a ball of 30 mm: entries on it, axes through points that far apart, tips together for a positive angle."""
    ball = distance_to(lambda p: 30.0 - np.linalg.norm(p, axis=1))
    at = 30.0 * unit(OUT)
    pins = row_of_pins(ball, at, OUT, ALONG, count=count, spacing_mm=spacing, converge_deg=angle, depth_mm=20.0)
    crossed = []
    for pin in pins:
        assert np.linalg.norm(pin.entry_ras) == pytest.approx(30.0, abs=1e-5)
        assert np.linalg.norm(np.subtract(pin.entry_ras, pin.tip_ras)) == pytest.approx(20.0, abs=1e-9)
        a = axis_of(pin)
        # Where the axis crosses the plane through the middle across the way out.
        crossed.append(pin.entry_ras + ((at - pin.entry_ras) @ unit(OUT)) / (a @ unit(OUT)) * a)
    steps = np.diff(crossed, axis=0)
    assert np.allclose(steps, spacing * ALONG, atol=1e-6)
    for one, other in pairwise(pins):
        turn = np.degrees(np.arccos(np.clip(axis_of(one) @ axis_of(other), -1, 1)))
        assert turn == pytest.approx(abs(angle), abs=1e-5)
        apart = [np.linalg.norm(np.subtract(getattr(one, e), getattr(other, e))) for e in ("entry_ras", "tip_ras")]
        assert np.sign(round(apart[0] - apart[1], 6)) == np.sign(angle)


@pytest.mark.parametrize(("from_side", "angle"), [(None, 0.0), (None, 6.0), ((1.0, 0.0, 0.0), 0.0)])
def test_a_row_between_two_points_enters_at_them(from_side, angle):
    """On a slanting plane: the first and the last wire go in where the points are, square to it or along the asked side."""
    normal = unit([3.0, 0.0, 1.0])
    slab = distance_to(lambda p: -(p @ normal))
    first, last = np.array([-10.0, 4.0, 30.0]), np.array([10.0, 4.0, -30.0])  # both on it
    asked = {"count": 3, "converge_deg": angle, "depth_mm": 20.0, "outward_ras": from_side}
    pins = row_between(slab, first, last, **asked)
    assert axis_of(pins[1]) == pytest.approx(normal if from_side is None else np.array(from_side), abs=1e-9)
    assert np.allclose([pins[0].entry_ras, pins[-1].entry_ras], [first, last], atol=1e-6)
    # A click 2 mm off the surface along the wire is the same wire.
    again = row_between(slab, first + 2.0 * axis_of(pins[1]), last + 2.0 * axis_of(pins[1]), **asked)
    assert np.allclose(again[1].entry_ras, pins[1].entry_ras, atol=1e-6)
    turns = [np.degrees(np.arccos(axis_of(a) @ axis_of(b))) for a, b in pairwise(pins)]
    assert turns == pytest.approx([abs(angle)] * 2, abs=1e-4)
    spread = [np.linalg.norm(np.subtract(getattr(pins[0], e), getattr(pins[-1], e))) for e in ("entry_ras", "tip_ras")]
    assert (spread[1] < spread[0] - 1.0) == (angle > 0)


def test_a_row_that_cannot_be_is_said():
    ball = distance_to(lambda p: 30.0 - np.linalg.norm(p, axis=1))
    top = (0.0, 0.0, 30.0)
    with pytest.raises(GeometryError, match=r"last point lies 10\.0 mm off"):
        row_between(ball, top, (0.0, 40.0, 0.0))
    with pytest.raises(InputError, match="the same"):
        row_between(ball, top, top)
    with pytest.raises(GeometryError, match="faces several ways"):
        row_between(ball, top, (0.0, 0.0, -30.0))
    with pytest.raises(InputError, match="not run between two points"):
        row_between(ball, top, (np.nan, 0.0, 0.0))
    (one,) = row_between(ball, (-3.0, 0.0, 29.85), (3.0, 0.0, 29.85), count=1, depth_mm=10.0)
    assert np.allclose([one.entry_ras, one.tip_ras], [(0, 0, 30), (0, 0, 20)], atol=1e-6)


def test_wires_that_meet_are_told_with_the_place():
    a = GuideScrew("a", (10.0, 0.0, 20.0), (-10.0, 0.0, -20.0))
    b = GuideScrew("b", (-10.0, 0.0, 20.0), (10.0, 0.0, -20.0))
    met = pin_checks([a, b], (), 1.6)[0]
    assert not met.passed
    assert np.allclose(met.place_ras, 0.0, atol=0.3)
    side = replace(b, entry_ras=(-10.0, 8.0, 20.0), tip_ras=(10.0, 8.0, -20.0))
    assert pin_checks([a, side], (), 1.6)[0].value == pytest.approx(8.0 - 1.6, abs=0.05)
    ball = distance_to(lambda p: 5.0 - np.linalg.norm(p - [0.0, 8.0, 0.0], axis=1))
    near = pin_checks([a], [ball], 1.6)[0]
    assert near.passed
    assert near.value == pytest.approx(8.0 - 5.0 - 0.8, abs=0.05)
    # From 15 mm above the middle of the slab to 20 below, 40.3 mm long: the last 5 of 35 mm of height are outside.
    slab = distance_to(lambda p: 15.0 - np.abs(p[:, 2]))
    assert "5.8 mm out of it" in out_of_bone(GuideScrew("a", (10.0, 0.0, 15.0), (-10.0, 0.0, -20.0)), slab)


def test_what_makes_no_wires_is_said():
    ball = distance_to(lambda p: 30.0 - np.linalg.norm(p, axis=1))
    with pytest.raises(GeometryError, match=r"misses the bone by 10\.0 mm"):
        pin_through(ball, "a", (60.0, 40.0, 0.0), (0.0, 40.0, 0.0))
    with pytest.raises(GeometryError, match="ends before it is in the bone"):
        pin_through(ball, "a", (60.0, 0.0, 0.0), (40.0, 0.0, 0.0))
    with pytest.raises(InputError, match="runs along the wires"):
        row_of_pins(ball, (30.0, 0, 0), (1, 0, 0), (2, 0, 0))
    with pytest.raises(InputError, match="at most 60 degrees"):
        row_of_pins(ball, (30.0, 0, 0), (1, 0, 0), (0, 0, 1), converge_deg=70)
    with pytest.raises(InputError, match="Give 1 to 20"):
        row_of_pins(ball, (30.0, 0, 0), (1, 0, 0), (0, 0, 1), count=1000)
    mesh = sphere_mesh(30.0)
    right, left = GuideScrew("r", (30.0, 0, 0), (5.0, 0, 0)), GuideScrew("l", (-30.0, 0, 0), (-5.0, 0, 0))
    with pytest.raises(InputError, match="at least one wire"):
        design_pin_guide(mesh, [])
    with pytest.raises(InputError, match="same name"):
        design_pin_guide(mesh, [right, right])
    with pytest.raises(InputError, match="1 to 500 mm apart"):
        design_pin_guide(mesh, [replace(right, tip_ras=(-9000.0, 0, 0))])
    with pytest.raises(InputError, match="three numbers with a length"):
        design_pin_guide(mesh, [right], insertion_direction_ras=(0.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="opposite sides"):
        design_pin_guide(mesh, [right, left])
    with pytest.raises(GeometryError, match=r"lies 10\.0 mm off the bone"):
        design_pin_guide(mesh, [GuideScrew("far", (40.0, 0, 0), (15.0, 0, 0))])
    with pytest.raises(ProcessingError, match="run into each other"):
        design_pin_guide(mesh, [right, GuideScrew("near", (29.9, 2.0, 0), (5.0, 2.0, 0))])


@pytest.fixture(scope="module")
def femur():
    return femur_mesh(1.8, top=110.0)


@pytest.fixture(scope="module")
def made(femur):
    pins = row_of_pins(distance_to(femur), (24, 0, 75), OUT, ALONG, spacing_mm=18.0, depth_mm=20.0)
    return design_pin_guide(femur, pins, replace(load_guide_options("pin"), grid_mm=0.6))


def test_one_closed_body_that_passes_its_checks(made):
    assert made.solid.mesh.is_closed
    assert body_labels(made.solid.mesh)[1] == 1
    assert [c.message for c in failed(made.solid.checks)] == []
    assert made.over_wires


def test_bores_lie_on_the_wires_and_are_open(made):
    options = made.solid.options
    for pin in made.pins:
        along, radial = _along(made.solid.mesh.vertices_ras, pin)
        inside = (along > -5) & (along < options.sleeve_length_mm + 20)
        assert radial[inside].min() == pytest.approx(options.bore_diameter_mm / 2, abs=0.02)
        end = inside & (radial < options.sleeve_diameter_mm / 2 + 0.2)
        assert along[end].max() == pytest.approx(options.sleeve_length_mm, abs=0.02)


def test_it_sits_on_the_bone_and_comes_off_over_its_wires(made, femur):
    mesh, way = made.solid.mesh, axis_of(made.pins[0])
    assert -made.solid.insertion_direction_ras @ way == pytest.approx(1.0, abs=1e-9)
    assert femur_field(mesh.vertices_ras).min() > 0.0
    for step in (0.0, 0.1, 0.3, 1.0, 4.0, 12.0):
        assert overlap_mm3(mesh.transformed(rigid(translation=step * way)), femur) == 0.0
    assert abs(made.solid.fit.mean_mm - 0.25) < 0.03


@pytest.mark.slow
def test_converging_wires_and_a_neighbour(femur):
    bone = distance_to(femur)
    pins = row_of_pins(bone, (24, 0, 75), OUT, ALONG, count=3, spacing_mm=14.0, converge_deg=8.0, depth_mm=15.0)
    far = sphere_mesh(8.0, (60.0, 40.0, 75.0))
    made = design_pin_guide(femur, pins, neighbours=[far])
    assert [c.message for c in failed(made.solid.checks)] == []
    assert not made.over_wires
    assert any("pull them" in n for n in made.solid.notes)
    near = sphere_mesh(6.0, tuple(np.asarray(pins[1].tip_ras) - [0.0, 6.0, 0.0]))
    told = design_pin_guide(femur, pins, neighbours=[near])
    assert [c.name for c in failed(told.solid.checks)] == ["wire to neighbour wire 2"]


def test_every_letter_but_o_is_a_sound_solid():
    for sign in "ABCDEFGHIJKLMNPQRSTUVWXYZ0123456789-":
        letter = text_solid(sign, np.eye(4), 5.0, 1.0, 0.0, 1.0)
        assert letter.volume() > 0
        assert len(letter.decompose()) == 1
    with pytest.raises(InputError, match="empty"):
        text_solid("", np.eye(4), 5.0, 1.0, 0.0, 1.0)
    with pytest.raises(InputError, match="cannot be embossed"):
        text_solid("O", np.eye(4), 5.0, 1.0, 0.0, 1.0)


def _along(points, pin):
    offset = points - np.asarray(pin.entry_ras)
    along = offset @ axis_of(pin)
    return along, np.linalg.norm(offset - along[:, None] * axis_of(pin), axis=1)
