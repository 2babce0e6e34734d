"""Facet joints and rods, against plates and arcs."""

import numpy as np
import pytest

from MSKFusionLib.frames import transform_points
from MSKFusionLib.phantom.vertebra import joint_centre
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.editing.screw_edits import judged_again
from MSKPlannerLib.export.report import render_report
from MSKPlannerLib.plan import Plan, Screw
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json
from MSKPlannerLib.screws.construct import ROD_SEAT_MM, constructs_of
from MSKPlannerLib.screws.facet import facet_joint_points, facet_violation, with_facet_joints

STEP = 0.6


@pytest.fixture(scope="module")
def plates():
    """Two plates 12 x 12 mm across, 2 mm apart at R = 0: L3 on the left of the gap, L2 on its right."""
    k, j, i = np.indices((100, 100, 100))
    p = (np.stack([i, j, k], axis=-1) - 49.5) * STEP
    plate = (np.abs(p[..., 1]) < 6) & (np.abs(p[..., 2]) < 6)
    voxels = np.zeros(p.shape[:3], dtype=np.uint8)
    voxels[plate & (p[..., 0] < -1) & (p[..., 0] > -9)] = 22
    voxels[plate & (p[..., 0] > 1) & (p[..., 0] < 9)] = 21
    volume = Volume(voxels, p[0, 0, 0], np.full(3, STEP), np.eye(3), Modality.LABEL)
    return Segmentation(volume, (Segment(21, "L2", "vertebra"), Segment(22, "L3", "vertebra")))


def screw(name, entry, tip, side="left", level="L3", diameter=6.0, site="pedicle"):
    length = float(np.linalg.norm(np.subtract(tip, entry)))
    entry, tip = (tuple(float(c) for c in p) for p in (entry, tip))
    return Screw(name, site, level, side, entry, tip, diameter, length, 1.0, "A")


def test_the_articulation_is_the_gap_between_the_plates(plates):
    points = facet_joint_points(plates, "L3", "L2", (0, -6, 0))
    # All of the gap, and no more than a voxel around it.
    assert (np.abs(points) < [1 + STEP, 6 + 2 * STEP, 6 + 2 * STEP]).all()
    inner = (np.abs(points) < [1 - STEP / 2, 6 - STEP / 2, 6 - STEP / 2]).all(axis=1).sum() * STEP**3
    assert inner == pytest.approx((2 - STEP) * (12 - STEP) ** 2, rel=0.35)
    assert not len(facet_joint_points(plates, "L3", "L2", (0, -80, 0)))


@pytest.mark.parametrize(
    ("entry", "tip", "grade", "distance", "along"),
    [
        ((-8, -6, 0), (-8, 30, 0), "0", 4.0, 0.0),  # along the plates, 8 mm beside the gap's middle: 8 - 3 - 1
        ((-5, -6, 0), (-5, 30, 0), "1", 1.0, 0.0),
        ((-12, 0, 0), (30, 0, 0), "2", None, 2.0),  # straight across the gap
        ((0, -6, 0), (0, 30, 0), "3", None, 12.0),  # along the gap
    ],
)
def test_grades_follow_where_the_screw_runs(plates, entry, tip, grade, distance, along):
    joint = facet_joint_points(plates, "L3", "L2", entry)
    found = facet_violation(joint, entry, tip, 6.0, STEP)
    assert found.grade == grade
    if distance is not None:
        assert found.distance_mm == pytest.approx(distance, abs=0.6)
    assert found.along_mm == pytest.approx(along, abs=2 * STEP + 1.2)


def test_a_screw_says_its_joint_and_the_uppermost_level_none(plates):
    inside = screw("L3 left", (0, -6, 0), (0, 30, 0))
    top = screw("L2 left", (5, -6, 0), (5, 30, 0), level="L2")
    graded = with_facet_joints([top, inside], plates)
    assert graded[0].facet_grade == ""
    assert graded[1].facet_grade == "3"
    assert "facet joint with L2" in graded[1].remarks


def row_of_screws(offsets, side="left"):
    """Screws whose heads lie on a circle of 200 mm in the sagittal plane, each shifted aside by an offset; axes point to the middle."""
    out = []
    for n, aside in enumerate(offsets):
        angle = np.radians(10.0 * n)
        outward = np.array([0.0, -np.cos(angle), -np.sin(angle)])
        head = 200.0 * outward + [aside, 0, 0]
        entry = head - ROD_SEAT_MM * outward
        out.append(screw(f"L{n + 1} {side}", entry, entry - 40 * outward, side, f"L{n + 1}"))
    return out


def test_heads_on_an_arc_need_one_bend_and_one_off_it_is_named():
    (smooth,) = constructs_of(row_of_screws([0, 0, 0, 0]))
    chord = 2 * 200 * np.sin(np.radians(5))
    assert smooth.rod_length_mm == pytest.approx(3 * chord)
    assert smooth.largest_kink_deg == pytest.approx(10.0)
    assert max(smooth.rod_deviation_mm.values()) < 0.5  # a parabola is not quite a circle
    # At the ends the rod leaves by half a step, within the row it lies across the screw.
    assert smooth.head_turn_deg["L1 left"] == pytest.approx(5.0)
    assert smooth.head_turn_deg["L2 left"] == pytest.approx(0.0, abs=1e-6)
    assert not smooth.notes
    (off,) = constructs_of(row_of_screws([0, 0, 12, 0, 0]))
    assert off.rod_deviation_mm["L3 left"] == max(off.rod_deviation_mm.values())
    assert "L3 left" in off.notes[0]


def test_a_side_with_one_screw_and_other_sites_are_no_construct():
    lone = [*row_of_screws([0]), *row_of_screws([0, 0], "right")]
    pelvic = screw("S2AI left", (0, 0, 0), (0, 40, 0), site="s2_alar_iliac")
    found = constructs_of([*lone, pelvic])
    assert [c.side for c in found] == ["right"]
    assert found[0].screws == ("L1 right", "L2 right")


def test_rods_and_facets_stand_in_document_and_report():
    screws = tuple(row_of_screws([0, 0, 12, 0, 0]))
    plan = Plan("p", "now", {}, screws=screws, constructs=constructs_of(screws))
    assert plan_from_json(plan_to_json(plan)) == plan
    html = render_report(plan)
    assert "<h3>Rods</h3>" in html
    assert "off the arc of the others" in html
    assert "Facet joint" in html


def test_the_joint_of_a_generated_spine_lies_where_the_generator_put_it(small_patient):
    for level, above in (("L4", "L3"), ("L5", "L4")):
        for side, sign in (("left", -1), ("right", 1)):
            true = transform_points(
                small_patient.spine.frames[above], joint_centre(small_patient.spine.sizes[above], sign)
            )
            entry = small_patient.vertebrae[level].pedicles[side].posterior_ras
            found = facet_joint_points(small_patient.labels, level, above, entry)
            # The joint reaches over some 15 mm upwards, of which the part about the entry counts.
            miss = found.mean(axis=0) - true
            assert np.linalg.norm(miss[:2]) < 1.8
            assert abs(miss[2]) < 4.0


def test_a_screw_that_was_moved_or_removed_changes_its_rod():
    screws = tuple(row_of_screws([0, 0, 12, 0, 0]))
    plan = Plan("p", "now", {}, screws=screws, constructs=constructs_of(screws))
    fewer = judged_again(plan, [s for s in screws if s.name != "L3 left"], ())
    assert fewer.constructs[0].screws == ("L1 left", "L2 left", "L4 left", "L5 left")
    assert not fewer.constructs[0].notes
