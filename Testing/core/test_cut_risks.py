"""How near cuts come to structures: boxes of labels whose distances are known."""

import numpy as np
import pytest
from core.test_limb_wedge import bar
from core.test_planned_cuts import HALF_X, HALF_Y, across

from MSKFusionLib.frames import rigid
from MSKFusionLib.segmentation import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.osteotomy.cut_risks import face_points, with_structures
from MSKPlannerLib.osteotomy.cut_shape import CutKind, CutShape
from MSKPlannerLib.osteotomy.planned import AskedCut, plan_cuts
from MSKPlannerLib.osteotomy.saw_form import Dome, Step, Tongue

BONE = bar(0, 200)


def record(kind, kerf=0.0, angle=6.0):
    return plan_cuts([AskedCut("c", "bone", CutShape(kind, across(100.0), angle, kerf))], {"bone": BONE})[0].record


def labels(low, high, name="popliteal artery"):
    """A box of labels between two corners, RAS mm, on a grid of 1 mm whose borders lie on whole millimetres."""
    voxels = np.zeros((140, 140, 140), np.uint8)
    origin = np.array([-69.5, -69.5, 30.5])
    (a, b, c), (d, e, f) = (np.round(np.array(p) - origin + 0.5).astype(int) for p in (low, high))
    voxels[c:f, b:e, a:d] = 1
    volume = Volume(voxels, origin, np.ones(3), np.eye(3), modality=Modality.LABEL)
    return Segmentation(volume, (Segment(1, name, "vessel"),))


@pytest.mark.parametrize("kerf", [0.0, 2.0])
def test_the_distance_is_that_of_the_face_less_half_the_saw(kerf):
    # Behind the bone, at the height of the cut: HALF_Y to the cortex, 10 mm farther to the vessel.
    behind = labels((-4, -HALF_Y - 16, 95), (6, -HALF_Y - 10, 105))
    made = with_structures(record(CutKind.OPENING, kerf), BONE, behind)
    assert made.structures_mm == {"popliteal artery": pytest.approx(10.0 - kerf / 2, abs=0.3)}
    assert made.notes == ()
    near = with_structures(record(CutKind.OPENING), BONE, labels((-4, -HALF_Y - 8, 95), (6, -HALF_Y - 2, 105)))
    assert "popliteal artery lies" in near.notes[0]
    assert near.structures_mm["popliteal artery"] == pytest.approx(2.0, abs=0.3)


def test_behind_the_hinge_no_saw_goes():
    behind_hinge = labels((-HALF_X - 9, -5, 95), (-HALF_X - 3, 5, 105))
    wedge = with_structures(record(CutKind.OPENING), BONE, behind_hinge)
    assert wedge.structures_mm["popliteal artery"] == pytest.approx(13.0, abs=0.3)  # 10 mm of bone are left
    turn = with_structures(record(CutKind.TURN), BONE, behind_hinge)
    assert turn.structures_mm["popliteal artery"] == pytest.approx(3.0, abs=0.3)


def test_both_faces_of_a_closing_wedge_count():
    # The second face rises from the hinge: at the far cortex 62 mm from it by 62 tan(6 degrees).
    high = 100 + 62 * np.tan(np.radians(6.0))
    above = labels((HALF_X + 4, -3, round(high) - 1), (HALF_X + 10, 3, round(high) + 2))
    closing = with_structures(record(CutKind.CLOSING), BONE, above)
    opening = with_structures(record(CutKind.OPENING), BONE, above)
    assert closing.structures_mm["popliteal artery"] == pytest.approx(4.0, abs=0.4)
    assert opening.structures_mm["popliteal artery"] > closing.structures_mm["popliteal artery"] + 1


def test_cuts_that_are_no_plane_count_where_they_are():
    frame = rigid(translation=[0, 0, 100.0])
    cases = (
        # The right half of the step lies at z = 85.
        (CutShape(CutKind.STEP, frame, form=Step(((-40.0, 15.0), (0.0, 15.0), (0.0, -15.0), (40.0, -15.0)))), (16, -40, 98), 16.4),
        # The ascending cut stands at y = 9, from z = 100 down to the bone's end on the side that stays.
        (CutShape(CutKind.OPENING, across(100.0), 6.0, form=Tongue(9.0, 1, 90.0)), (HALF_X + 4, 6, 60), 4.0),
        # The dome's arc is at z = 140 - sqrt(40^2 - 36^2) where it leaves the bone.
        (CutShape(CutKind.DOME, frame, 6.0, form=Dome(40.0)), (HALF_X + 5, -3, 119), 5.0),
    )  # fmt: skip
    for shape, low, distance in cases:
        made = plan_cuts([AskedCut("c", "bone", shape)], {"bone": BONE})[0].record
        beside = labels(low, tuple(np.add(low, 6 if shape.kind is not CutKind.STEP else (10, 6, 4))))
        near = with_structures(made, BONE, beside).structures_mm["popliteal artery"]
        assert near == pytest.approx(distance, abs=0.5), shape.kind


def test_bones_are_no_structures_and_the_face_is_sampled_whole():
    made = record(CutKind.TURN)
    assert with_structures(made, BONE, labels((0, 0, 95), (9, 9, 105), "tibia x")) != made  # its kind says vessel
    bones = Segmentation(labels((0, 0, 95), (9, 9, 105)).labels, (Segment(1, "tibia", "bone"),))
    assert with_structures(made, BONE, bones) is made
    points = face_points(BONE, made)
    assert len(points) >= 4 * HALF_X * HALF_Y * 0.97
    assert np.abs(points[:, 0]).max() == pytest.approx(HALF_X)
    assert points[:, 2] == pytest.approx(100.0)
