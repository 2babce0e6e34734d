"""Cuts that are no single plane: volumes, gaps and places of the closed form, and what cannot be cut is said."""

from dataclasses import replace

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import sphere_mesh
from core.test_limb_wedge import bar

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.planned import AskedCut, asked_of, plan_cuts
from MSKPlannerLib.osteotomy.saw_form import Dome, Step, Tongue, cut_face_of
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json

#: An upright bar of 72 x 48 mm from z = -14 to 380.
BAR = bar(-14, 380)
POSE = rigid(rotation_about([1, -2, 0.5], 50.0), [30.0, -12.0, 7.0])
STEPS = ((-30.0, 15.0), (0.0, 15.0), (0.0, -15.0), (30.0, -15.0))


def shape(kind, form, angle=0.0, kerf=0.0, x=0.0):
    return CutShape(kind, rigid(translation=[x, 0.0, 100.0]), angle, kerf, form)


def made(asked, bone=BAR):
    """Carry a cut out, in another pose too: closed, nothing lost, and the same again from the document."""
    cut = plan_cuts([AskedCut("c", "bone", asked)], {"bone": bone})[0]
    assert all(m.is_closed for m in cut.solids.values())
    assert all(merged(m).is_closed for m in cut.solids.values())
    kept = sum(m.volume_mm3 for n, m in cut.solids.items() if n != "wedge")
    assert kept + cut.record.removed_mm3 == pytest.approx(bone.volume_mm3, rel=1e-9)
    back = plan_from_json(plan_to_json(Plan("p", "now", {}, osteotomies=(cut.record,)))).osteotomies[0]
    assert back == cut.record
    again = plan_cuts([asked_of(back)], {"bone": bone})[0]
    for one, other in zip(again.record.fragments, cut.record.fragments, strict=True):
        assert np.array(one.image_to_planned_ras) == pytest.approx(np.array(other.image_to_planned_ras), abs=1e-9)
        assert one.volume_mm3 == pytest.approx(other.volume_mm3, rel=1e-9)
    return cut


def merged(mesh):
    """The mesh as a file gives it back: single precision, corners in one place are one."""
    places, number = np.unique(mesh.vertices_ras.astype(np.float32), axis=0, return_inverse=True)
    faces = number.ravel()[mesh.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Mesh(places.astype(float), faces[whole])


def volumes(cut):
    return [cut.solids[n].volume_mm3 for n in ("staying", "moved")]


@pytest.mark.parametrize("front", [1, -1])
@pytest.mark.parametrize("rise", [90.0, 110.0])
def test_a_biplanar_wedge(front, rise):
    lean = np.tan(np.radians(rise - 90))
    tall = 15 / lean if lean > 0 else np.inf  # where the ascending cut leaves the front
    tongue = 72 * (15 * 114 if rise == 90 else 0.5 * 15 * tall)
    plain = made(shape(CutKind.OPENING, Tongue(9.0 * front, front, rise), 8.0, x=-26.0))
    assert volumes(plain)[1] == pytest.approx(72 * 48 * 280 + tongue, rel=1e-9)
    assert plain.record.gap_mm == pytest.approx(2 * 62 * np.sin(np.radians(4)), abs=1e-9)
    assert plain.record.hinge.bone_left_mm == pytest.approx(10.0, abs=1e-9)
    assert plain.record.verdict == "accepted"
    assert plain.record.what == "biplanar opening wedge"
    kerf = 1.2
    sawn = made(shape(CutKind.OPENING, Tongue(9.0 * front, front, rise), 8.0, kerf, x=-26.0))
    rising = 114.0 if rise == 90 else np.hypot(15, tall)
    # The plane before the hinge (62 mm) and behind the corner (33 mm); the ascending cut through both cortices (72 mm).
    assert sawn.record.removed_mm3 == pytest.approx(kerf * (62 * 33 + 72 * rising), rel=2e-3)


def test_the_tongue_is_as_far_forward_as_asked():
    """Only the part behind the corner is sawn across: where the bone is deepest in front of it, that is no gap."""
    asked = shape(CutKind.OPENING, Tongue(9.0, 1, 100.0), 8.0, x=-26.0)
    bone = BAR.transformed(rigid(rotation_about([0, 0, 1], 30.0)))
    cut = made(asked, bone)
    # Corners of the turned bar; along its right side the depth at y = 9 follows from its two right corners.
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    low, high = np.array([36 * c + 24 * s, 36 * s - 24 * c]), np.array([36 * c - 24 * s, 36 * s + 24 * c])
    assert low[1] < 9 < high[1]
    deepest = low[0] + 26
    assert cut.record.gap_mm == pytest.approx(2 * deepest * np.sin(np.radians(4)), abs=1e-9)
    behind = made(shape(CutKind.OPENING, Tongue(9.0, -1, 100.0), 8.0, x=-26.0), bone)
    at_corner = low[0] + (9 - low[1]) / (high[1] - low[1]) * (high[0] - low[0]) + 26
    assert behind.record.gap_mm == pytest.approx(2 * at_corner * np.sin(np.radians(4)), abs=1e-9)


@pytest.mark.parametrize("radius", [-40.0, 40.0, -120.0])
@pytest.mark.parametrize("kerf", [0.0, 1.0])
def test_a_dome_turns_in_itself(radius, kerf):
    cut = made(shape(CutKind.DOME, Dome(radius), 10.0, kerf))

    def arc(r):  # area of the bar's width under the arc, above its axis
        half = 36.0
        return half * np.sqrt(r * r - half**2) + r * r * np.arcsin(half / r)

    r = abs(radius)
    outer, inner = arc(r + kerf / 2), arc(r - kerf / 2)
    if radius < 0:  # the axis below: the part that moves lies outside of the arc
        above = 48 * (72 * (280 + r) - outer)
        below = 48 * (72 * (114 - r) + inner)
    else:
        above = 48 * (72 * (280 - r) + inner)
        below = 48 * (72 * (114 + r) - outer)
    assert volumes(cut) == pytest.approx([below, above], abs=0.002 * 48 * 90)
    assert cut.record.verdict == "accepted"
    assert cut.record.gap_mm is None
    motion = np.array(cut.record.fragments[1].image_to_planned_ras)
    axis = np.array([0.0, 5.0, 100.0 + radius])
    assert transform_points(motion, axis) == pytest.approx(axis, abs=1e-9)
    # Positive angles lift what lies towards x.
    assert transform_points(motion, [36.0, 0, 100.0 + radius])[2] > 100.0 + radius


def test_a_step_lengthens():
    for kerf in (0.0, 1.0):
        cut = made(shape(CutKind.STEP, Step(STEPS, 12.0), kerf=kerf))
        # As much above as below 100 but for the mitres, which cancel.
        lost = kerf * 48 * (72 + 30)
        assert volumes(cut)[1] == pytest.approx(72 * 48 * 280 - lost / 2, rel=1e-9)
        assert cut.record.removed_mm3 == pytest.approx(lost, rel=1e-9, abs=1e-3)
        assert cut.record.gap_mm == 12.0
        assert np.array(cut.record.fragments[1].image_to_planned_ras) == pytest.approx(rigid(translation=[0, 0, 12.0]))
        assert cut.record.verdict == "accepted"
    slanted = made(shape(CutKind.STEP, Step(((-30, 15), (-8, 15), (8, -15), (30, -15)), 12.0)))
    assert slanted.record.verdict == "accepted"
    # A Z whose hooks lie behind each other holds: drawn apart its parts would go through each other.
    locked = made(shape(CutKind.STEP, Step(((-30, 15), (8, 15), (-8, -15), (30, -15)), 4.0)))
    assert locked.record.verdict == "rejected"
    assert "deep in each other" in locked.record.reasons[0]


def test_the_face_of_a_cut():
    cut = made(shape(CutKind.STEP, Step(STEPS)))
    for part in cut.solids.values():
        assert cut_face_of(part, Step(STEPS), rigid(translation=[0, 0, 100.0])).area_mm2 == pytest.approx(
            48 * (72 + 30)
        )


def test_in_any_pose_it_is_the_same():
    bone = BAR.transformed(POSE)
    for asked in (
        shape(CutKind.OPENING, Tongue(9.0, 1, 110.0), 8.0, 1.0, x=-26.0),
        shape(CutKind.DOME, Dome(-45.0), -7.0, 1.0),
        shape(CutKind.STEP, Step(STEPS, 5.0), kerf=1.0),
    ):
        here, there = made(asked), made(asked.transformed(POSE), bone)
        assert volumes(there) == pytest.approx(volumes(here), rel=1e-7)
        motion = np.array(there.record.fragments[1].image_to_planned_ras)
        assert motion == pytest.approx(POSE @ asked.motion_ras @ np.linalg.inv(POSE), abs=1e-9)


def test_what_cannot_be_cut_is_said():
    with pytest.raises(GeometryError, match="does not get out"):
        made(shape(CutKind.DOME, Dome(-30.0), 5.0))
    with pytest.raises(GeometryError, match="misses the bone"):
        made(replace(shape(CutKind.STEP, Step(STEPS)), to_ras=rigid(translation=[0, 0, 600.0])))
    with pytest.raises(GeometryError, match="corner of the biplanar cut lies outside"):
        made(shape(CutKind.OPENING, Tongue(-30.0, 1), 5.0, x=-26.0))
    with pytest.raises(InputError, match="90 to 150"):
        Tongue(0.0, 1, 80.0)
    with pytest.raises(InputError, match="form of its kind"):
        shape(CutKind.CLOSING, Dome(40.0))
    with pytest.raises(InputError, match="form of its kind"):
        shape(CutKind.DOME, None)
    with pytest.raises(InputError, match="turns nothing"):
        shape(CutKind.STEP, Step(STEPS), 3.0)
    with pytest.raises(InputError, match="take a piece out"):
        Step(STEPS, -3.0)


@pytest.mark.slow
def test_a_hundred_and_fifty_at_random():
    """Every one is closed and adds up, or is refused in words; most are made."""
    bones = [femur_mesh(3.0), sphere_mesh(30.0, subdivisions=4)]
    done = refused = 0
    for seed in range(150):
        rng = np.random.default_rng([seed, 7])
        bone = bones[seed % 2]
        middle = bone.vertices_ras[rng.integers(len(bone.vertices_ras))] * [0.3, 0.3, 0.8]
        frame = rigid(rotation_about(rng.standard_normal(3), rng.uniform(0, 40)), middle)
        kerf = float(rng.choice([0.0, rng.uniform(0.3, 2.0)]))
        corners = np.sort(rng.uniform(-12, 12, 2))
        kind, form, angle = (
            (CutKind.OPENING, Tongue(rng.uniform(-8, 8), int(rng.choice([1, -1])), rng.uniform(90, 150)), rng.uniform(0, 15)),
            (CutKind.DOME, Dome(float(rng.choice([1, -1]) * rng.uniform(25, 90))), rng.uniform(-20, 20)),
            (CutKind.STEP, Step(((-40.0, 8.0), (corners[0], 8.0), (corners[1], -6.0), (40.0, -6.0)), rng.uniform(0, 10)), 0.0),
        )[seed % 3]  # fmt: skip
        try:
            made(CutShape(kind, frame, angle, kerf, form), bone)
            done += 1
        except GeometryError:
            refused += 1
    assert done + refused == 150
    assert done >= 90
