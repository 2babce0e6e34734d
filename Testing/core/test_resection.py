"""Resections with a margin: volumes and margins by formula, ways of the saw, errors that a surgeon understands."""

import json

import numpy as np
import pytest
from core.guide_shapes import box_mesh, sphere_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.bone.mesh_depth import depth_of_mesh, split_triangles
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.planned_resection import part_meshes, resection_record, solids_of
from MSKPlannerLib.osteotomy.resection import ResectionOptions, approach_of, plan_resection
from MSKPlannerLib.osteotomy.resection_errors import SawBudget
from MSKPlannerLib.osteotomy.tumour_transfer import BoneRegistration
from MSKPlannerLib.plan import Plan
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json

#: A bar of 40 x 40 x 200 mm with a tumour of 8 mm radius in its middle.
BAR = box_mesh((40.0, 40.0, 200.0))
TUMOUR = sphere_mesh(8.0, (0.0, 0.0, 10.0), 4)
EXACT = SawBudget(0.0, 0.0)


@pytest.fixture(scope="module")
def slab():
    return plan_resection(BAR, TUMOUR, ResectionOptions(10.0, 2, "anterior", 20.0, kerf_mm=1.0, budget=EXACT))


def test_two_planes_take_the_slab_between_them(slab):
    # The ball with its margin, 36 mm wide, fills nearly all of the bar's 40 mm: nothing is less than the slab across.
    assert slab.solids.specimen.volume_mm3 == pytest.approx(36.0 * 1600.0, rel=0.005)
    assert slab.solids.kerf.volume_mm3 == pytest.approx(2 * 1600.0, rel=0.005)
    assert slab.margin_mm == pytest.approx(10.0, abs=0.015)
    assert slab.margin_kept
    assert slab.tumour_in_bone_mm3 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.01)
    assert slab.healthy_mm3 == pytest.approx(38.0 * 1600 - 4 / 3 * np.pi * 8**3, rel=0.006)
    assert sorted(round(float(c.plane.normal_ras[2])) for c in slab.cuts) == [-1, 1]
    assert all(m.is_closed for m in (slab.solids.specimen, slab.solids.remaining, slab.solids.kerf))
    assert slab.solids.volume_error_share(BAR) < 1e-9


def test_a_resection_is_written_down_and_carried_out_again(slab):
    record, meshes = resection_record(slab, "tibia", ["as it lies in the CT"])
    document = Plan("p", "now", {}, resections=(record,))
    back = plan_from_json(plan_to_json(document))
    assert back == document
    again = part_meshes(solids_of(back.resections[0], BAR, TUMOUR), TUMOUR)
    assert set(again) == {"specimen", "remaining", "dust", "tumour"} == {p.name for p in record.parts}
    for part in record.parts:
        assert again[part.name].volume_mm3 == pytest.approx(part.volume_mm3, rel=1e-9)
        assert meshes[part.name].volume_mm3 == part.volume_mm3
    # The margin of the planes as they stand in the document: from the ball's own middle and radius.
    for cut in back.resections[0].cuts:
        off = np.dot(np.subtract(cut.point_ras, [0, 0, 10.0]), cut.normal_ras)
        assert off - 8.0 == pytest.approx(cut.margin_mm, abs=0.02)
        assert cut.margin_mm >= 10.0 - 0.01
    with pytest.raises(InputError, match="not the surface of the bone"):
        solids_of(record, BAR.transformed(rigid(translation=[1.0, 0, 0])), TUMOUR)


def test_the_map_holds_the_distance_of_every_corner_of_the_cut(slab):
    for cut in slab.cuts:
        points = cut.surface.mesh.vertices_ras
        np.testing.assert_allclose(cut.surface.margins_mm, np.linalg.norm(points - [0, 0, 10], axis=1) - 8.0, atol=0.03)
        assert cut.surface.mesh.area_mm2 == pytest.approx(1600, rel=0.01)
        assert cut.saw.depth_mm == pytest.approx(40, abs=3)
        assert cut.surface.least_mm <= cut.surface.margins_mm.min() + 1e-9


@pytest.mark.slow
def test_without_errors_the_margin_stays_and_with_them_it_falls(slab):
    assert slab.after_errors.kept_probability == 1.0
    assert slab.after_errors.low_mm == pytest.approx(10.0, abs=0.05)
    # The tumour alone may move: 1.645 standard deviations of the nearer of two cuts, opposite to each other.
    moved = SawBudget(0.0, 0.0, registration_error_mm=2 * np.sqrt(2 / np.pi) * 1.0)
    wish = ResectionOptions(10.0, 2, "anterior", 20.0, budget=moved)
    erred = plan_resection(BAR, TUMOUR, wish).after_errors
    assert erred.low_mm == pytest.approx(10.0 - 1.96, abs=0.15)
    assert erred.kept_probability < 0.1
    assert erred.breached_probability == 0.0


@pytest.mark.slow
def test_the_same_input_gives_the_same_planes(slab):
    again = plan_resection(BAR, TUMOUR, slab.options)
    for a, b in zip(slab.cuts, again.cuts, strict=True):
        np.testing.assert_array_equal(a.plane.normal_ras, b.plane.normal_ras)
        np.testing.assert_array_equal(a.plane.point_ras, b.plane.point_ras)


@pytest.mark.slow
def test_a_saw_does_not_go_through_what_lies_before_the_bone():
    wall = box_mesh((200.0, 10.0, 300.0), (0.0, 40.0, 0.0))
    wish = ResectionOptions(10.0, 2, "anterior", 20.0, budget=EXACT)
    with pytest.raises(GeometryError, match="no saw from this side"):
        plan_resection(BAR, TUMOUR, wish, obstacles=[wall])
    behind = ResectionOptions(10.0, 2, "posterior", 20.0, budget=EXACT)
    assert plan_resection(BAR, TUMOUR, behind, obstacles=[wall]).margin_kept


@pytest.mark.parametrize(
    ("tumour", "words"),
    [
        (sphere_mesh(8.0, (0.0, 90.0, 0.0), 3), "62.0 mm beside the bone"),
        (sphere_mesh(150.0, (0.0, 0.0, 0.0), 3), "takes the whole bone"),
    ],
)
def test_what_cannot_be_resected_is_said(tumour, words):
    with pytest.raises(GeometryError, match=words):
        plan_resection(BAR, tumour, ResectionOptions(10.0, 2))


def test_wrong_input_is_said():
    with pytest.raises(InputError, match="not closed"):
        plan_resection(Mesh(BAR.vertices_ras, BAR.faces[1:]), TUMOUR)
    with pytest.raises(InputError, match="inside out"):
        plan_resection(BAR, Mesh(TUMOUR.vertices_ras, TUMOUR.faces[:, ::-1]))
    for wrong in ({"margin_mm": 0.0}, {"most_planes": 6}, {"approach": "medial"}, {"kerf_mm": 9.0}):
        with pytest.raises(InputError):
            ResectionOptions(**wrong)
    with pytest.raises(InputError, match="no approach"):
        approach_of("0,0,0")
    assert approach_of("0, 1, 1") == (0.0, 1.0, 1.0)


def test_a_tumour_is_carried_by_a_registration(tmp_path):
    m = rigid(rotation_about([1, 2, 3], 40.0), [5.0, -30.0, 12.0])
    path = tmp_path / "registration.json"
    entry = {"verdict": "accepted", "fixed_to_moving_ras": m.tolist(), "expected_error_mm": 1.5, "reasons": []}
    path.write_text(json.dumps(entry))
    carrier = BoneRegistration.of_file(path)
    assert carrier.expected_error_mm == 1.5
    np.testing.assert_allclose(carrier.carried(TUMOUR.transformed(m)).vertices_ras, TUMOUR.vertices_ras, atol=1e-9)
    back = carrier.carried(TUMOUR, drawn_in="fixed")
    np.testing.assert_allclose(back.vertices_ras, TUMOUR.transformed(m).vertices_ras, atol=1e-9)
    own = rigid(translation=[1.0, 2.0, 3.0])
    bones = [{"name": "L3", "verdict": "accepted", "fixed_to_moving_ras": own.tolist(), "expected_error_mm": 0.7}]
    path.write_text(json.dumps(entry | {"bones": bones}))
    np.testing.assert_array_equal(BoneRegistration.of_file(path, "L3").fixed_to_moving_ras, own)
    assert BoneRegistration.of_file(path, "femur").notes
    path.write_text(json.dumps(entry | {"verdict": "rejected", "reasons": ["too little overlap"]}))
    with pytest.raises(InputError, match="too little overlap"):
        BoneRegistration.of_file(path)
    path.write_text(json.dumps(entry | {"expected_error_mm": None}))
    with pytest.raises(InputError, match="no expected error"):
        BoneRegistration.of_file(path)
    assert BoneRegistration.of_file(path, error_mm=2.0).expected_error_mm == 2.0


def test_the_depth_of_a_mesh_is_that_of_the_ball():
    field = depth_of_mesh(sphere_mesh(20.0, (3.0, 4.0, 5.5), 5), 1.0)
    points = np.random.default_rng(0).uniform(-14, 22, (4000, 3))
    truth = 20.0 - np.linalg.norm(points - [3.0, 4.0, 5.5], axis=1)
    near = np.abs(truth) < 1.5
    np.testing.assert_allclose(field.depth_mm(points)[near], truth[near], atol=0.2)
    assert np.abs(np.mean(field.depth_mm(points)[near] - truth[near])) < 0.05


def test_triangles_are_split_without_holes():
    fine = split_triangles(box_mesh((10.0, 20.0, 30.0)), 4.0)
    assert fine.area_mm2 == pytest.approx(2200.0)
    assert fine.volume_mm3 == pytest.approx(6000.0)
