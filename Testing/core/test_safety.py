"""Clearance, breach, direction, grade and density of screws whose answer is known by construction."""

import numpy as np
import pytest
from core.bone_shapes import box, capsule, union

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.screws.safety import (
    assess_screw,
    entry_zone_mm,
    gertzbein_robbins_grade,
    path_density,
    screw_clearance_mm,
)

#: A bar of 20 x 60 x 20 mm: x right, y anterior, z superior; screws run along +y from its back face.
BAR = box((10, 30, 10))
BACK = -30.0


def screw(x=0.0, z=0.0, length=40.0, start=BACK):
    return np.array([x, start, z]), np.array([x, start + length, z])


@pytest.mark.parametrize(
    ("breach", "grade"),
    [
        (0.0, "A"),
        (0.01, "B"),
        (1.999, "B"),
        (2.0, "C"),
        (3.999, "C"),
        (4.0, "D"),
        (5.999, "D"),
        (6.0, "E"),
        (25.0, "E"),
    ],
)
def test_grade_boundaries(breach, grade):
    assert gertzbein_robbins_grade(breach) == grade


def test_a_grade_of_nothing_is_refused():
    with pytest.raises(GeometryError):
        gertzbein_robbins_grade(float("nan"))


def test_clearance_in_the_middle_of_a_bar():
    assert screw_clearance_mm(BAR, *screw(), 6.0) == pytest.approx(6.0, abs=0.02)
    found = assess_screw(BAR, *screw(), 6.0)
    # The back face is nearer than the walls until 7 mm in; the entry zone is 6 mm.
    assert found.clearance_mm == pytest.approx(6.0, abs=0.02)
    assert found.grade == "A"
    assert found.breach_mm == 0
    assert found.breach_direction == ""


@pytest.mark.parametrize(
    ("side", "x", "z", "direction"),
    [
        ("right", 9.0, 0.0, "lateral"),
        ("right", -9.0, 0.0, "medial"),
        ("left", 9.0, 0.0, "medial"),
        ("left", -9.0, 0.0, "lateral"),
        ("right", 0.0, 9.0, "cranial"),
        ("left", 0.0, -9.0, "caudal"),
    ],
)
def test_breach_depth_and_direction(side, x, z, direction):
    found = assess_screw(BAR, *screw(x, z), 6.0, axes_ras=np.eye(3), side=side)
    assert found.breach_mm == pytest.approx(2.0, abs=0.03)
    assert found.clearance_mm == pytest.approx(-2.0, abs=0.03)
    assert found.grade == "C"
    assert found.breach_direction == direction


def test_a_tip_through_the_front_is_anterior():
    found = assess_screw(BAR, *screw(length=63.0), 6.0, axes_ras=np.eye(3), side="left")
    assert found.breach_direction == "anterior"
    assert found.breach_mm == pytest.approx(3.0, abs=0.05)


def test_everything_turns_with_the_patient():
    pose = rigid(rotation_about([1, 1, -0.3], 63), (20, -10, 300))
    entry, tip = transform_points(pose, np.array(screw(9.0, 0.0)))
    found = assess_screw(
        lambda p: BAR(transform_points(np.linalg.inv(pose), p)), entry, tip, 6.0, axes_ras=pose[:3, :3], side="right"
    )
    assert found.breach_mm == pytest.approx(2.0, abs=0.03)
    assert found.breach_direction == "lateral"


def test_the_entry_itself_is_no_breach_but_a_wall_left_behind_the_pedicle_is():
    oblique = rotation_about([0, 0, 1], 40)

    def inside(p):  # a half space whose surface the screw meets 40 degrees off the normal
        return p @ oblique[:, 1]

    entry, tip = np.zeros(3), np.array([0, 40.0, 0])
    assert assess_screw(inside, entry, tip, 6.0).grade == "A"

    # The same screw, with a wall that it grazes for long: outside at 8 mm behind the entry, and counted.
    def grazed(p):
        return np.minimum(p @ oblique[:, 1], np.where(p[:, 1] < 9, p[:, 0] + 2.0, 5.0))

    found = assess_screw(grazed, entry, tip, 6.0, axes_ras=np.eye(3), side="right")
    assert found.breach_mm == pytest.approx(1.0, abs=0.1)
    assert found.breach_direction == "medial"


def test_a_short_breach_in_a_narrow_waist_is_not_missed():
    back, bar, front = (
        capsule((0, -30, 0), (0, -25, 0), 10.0),
        capsule((0, -25, 0), (0, 25, 0), 2.5),
        capsule((0, 25, 0), (0, 40, 0), 12.0),
    )
    found = assess_screw(union(back, bar, front), np.array([0, -40.0, 0]), np.array([0, 20.0, 0]), 6.0)
    assert found.breach_mm == pytest.approx(0.5, abs=0.05)
    assert found.grade == "B"


def test_the_entry_zone_is_one_diameter_and_six_millimetres_at_least():
    assert entry_zone_mm(4.0) == 6.0
    assert entry_zone_mm(7.5) == 7.5


@pytest.mark.parametrize(("length", "diameter"), [(0.0, 6.0), (40.0, 0.0), (40.0, -1.0), (40.0, float("nan"))])
def test_a_screw_that_cannot_be(length, diameter):
    with pytest.raises(GeometryError):
        assess_screw(BAR, *screw(length=length), diameter)


def test_density_along_the_path():
    voxels = np.tile((100.0 + 2.0 * np.arange(60, dtype=np.float32))[None, :, None], (40, 1, 40))
    voxels[:, :, 30:] = 2000.0
    ct = Volume(voxels, np.array([-20.0, -30.0, -20.0]), np.ones(3), np.eye(3), modality=Modality.CT)
    found = path_density(ct, [0, -20.0, 0], [0, 20.0, 0], 6.0)
    # y = -20 is j = 10: 120 HU; y = 20 is j = 50: 200 HU. The bright half lies outside the cylinder.
    assert found.hu_mean == pytest.approx(160.0, abs=0.5)
    assert found.hu_min == pytest.approx(120.0, abs=0.5)


def test_the_entry_zone_ends_where_the_pedicle_is_known_to_begin():
    # A bar too thin for the screw right behind its entry: hidden by the entry zone alone, counted with the pedicle known.
    thin_start = union(capsule((0, -30, 0), (0, 0, 0), 2.0), capsule((0, -14, 0), (0, 40, 0), 10.0))
    entry, tip = np.array([0, -32.0, 0]), np.array([0, 10.0, 0])
    assert assess_screw(thin_start, entry, tip, 6.0).breach_mm == pytest.approx(1.0, abs=0.05)
    assert assess_screw(thin_start, entry + [0, 4.0, 0], tip, 6.0).breach_mm == 0
    assert assess_screw(thin_start, entry + [0, 4.0, 0], tip, 6.0, counted_from_mm=1.0).breach_mm > 0.5
