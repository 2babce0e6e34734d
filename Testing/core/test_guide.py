"""A whole drill guide on a vertebra in closed form: what it is for, measured apart from how it was made."""

import numpy as np
import pytest
from core.guide_shapes import neighbour_of, toy_vertebra, vertebra_field

from MSKFusionLib.errors import Cancelled, InputError, ProcessingError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKPlannerLib.export.mesh_files import read_mesh, write_stl
from MSKPlannerLib.guides.checks import check_mesh, failed
from MSKPlannerLib.guides.drill_guide import GuideOptions, design_drill_guide
from MSKPlannerLib.guides.mesh_distance import MeshDistance
from MSKPlannerLib.guides.solid import overlap_mm3

POSE = rigid(rotation_about([1, 0.3, 0.2], 12.0), [30, -20, 400])
OPTIONS = GuideOptions()
COARSE = GuideOptions(grid_mm=0.6)


@pytest.fixture(scope="module")
def vertebra():
    return toy_vertebra(POSE)


@pytest.fixture(scope="module")
def neighbours(vertebra):
    return [neighbour_of(vertebra, False)]


@pytest.fixture(scope="module")
def small_guide():
    v = toy_vertebra(spacing_mm=1.4)
    return v, design_drill_guide(v.bone, v.frame, v.screws, COARSE)


@pytest.fixture(scope="module")
def guide(vertebra, neighbours):
    return design_drill_guide(vertebra.bone, vertebra.frame, vertebra.screws, OPTIONS, neighbours=neighbours)


def test_one_closed_body_that_passes_its_checks(guide):
    assert guide.mesh.is_closed
    assert guide.bodies == 1
    assert [c.message for c in failed(guide.checks)] == []
    assert guide.min_wall_mm >= 1.0
    assert 1500 < guide.mesh.volume_mm3 < 12000


def test_it_keeps_off_the_bone(guide, vertebra, neighbours):
    assert overlap_mm3(guide.mesh, vertebra.bone) == 0.0
    assert overlap_mm3(guide.mesh, neighbours[0]) == 0.0
    # Against the vertebra in closed form, of which the surface is only a triangulation.
    local = transform_points(invert_rigid(POSE), guide.mesh.vertices_ras)
    assert vertebra_field(local).min() > 0.0


def test_the_gap_is_what_was_asked(guide, vertebra):
    gap = MeshDistance(vertebra.bone).distance_mm(guide.contact_points_ras)
    assert np.average(gap, weights=guide.fit.weights) == pytest.approx(OPTIONS.fit_clearance_mm, abs=0.02)
    assert np.abs(gap - OPTIONS.fit_clearance_mm).max() < 0.15
    assert guide.fit_gap_max_error_mm < 0.15
    assert guide.fit.area_mm2 > 120.0


def test_it_touches_lamina_on_both_sides_and_no_transverse_tip(guide):
    local = transform_points(invert_rigid(POSE), guide.contact_points_ras)
    assert (local[:, 0] < -4).any()
    assert (local[:, 0] > 4).any()
    assert np.abs(local[:, 0]).max() < 30.0
    assert local[:, 1].max() < -22.0  # behind the canal


def test_it_comes_off(guide, vertebra):
    for way in (0.5, 1.5, 5.0, 15.0):
        moved = guide.mesh.transformed(rigid(translation=-way * guide.insertion_direction_ras))
        assert overlap_mm3(moved, vertebra.bone) == 0.0


def test_bores_lie_on_the_planned_axes_and_are_free(guide, vertebra):
    body = MeshDistance(guide.mesh)
    for screw in vertebra.screws:
        entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
        out = (entry - tip) / np.linalg.norm(entry - tip)
        axis = entry + np.arange(0.0, 50.0, 0.25)[:, None] * out
        assert body.distance_and_gradient(axis)[0].min() >= OPTIONS.drill_diameter_mm / 2
        # Halfway up the sleeve the wall begins at the bore's radius, all round.
        middle = body.distance_mm((entry + 12 * out)[None])[0]
        assert middle == pytest.approx(OPTIONS.bore_diameter_mm / 2, abs=0.01)
        # And the end lies where the length says.
        top = (guide.mesh.vertices_ras - entry) @ out
        near = np.linalg.norm(guide.mesh.vertices_ras - entry - top[:, None] * out, axis=1) < 3.5
        assert top[near].max() == pytest.approx(OPTIONS.sleeve_length_mm, abs=0.01)
    axes = [c for c in guide.checks if c.name.startswith("sleeve axis")]
    assert len(axes) == 2
    assert max(c.value for c in axes) < 0.01


def test_the_name_stands_out_readable_from_behind(guide):
    face = guide.seat_to_ras
    local = transform_points(invert_rigid(face), guide.mesh.vertices_ras)
    highest = local[:, 2].max()
    letters = local[local[:, 2] > highest - 0.01]
    assert len(letters) > 20
    # "L" has its upright on the reader's left (patient's left from behind) and its foot below.
    left = letters[letters[:, 0] < letters[:, 0].mean()]
    assert np.ptp(left[:, 1]) > 4.0


def test_it_stays_sound_through_a_file(guide, tmp_path):
    write_stl(guide.mesh, tmp_path / "g.stl")
    back = read_mesh(tmp_path / "g.stl")
    assert back.is_closed
    assert back.volume_mm3 == pytest.approx(guide.mesh.volume_mm3, rel=1e-6)
    assert failed(check_mesh(back)) == ()


def test_same_input_same_guide(small_guide):
    vertebra, first = small_guide
    again = design_drill_guide(vertebra.bone, vertebra.frame, vertebra.screws, COARSE)
    assert np.array_equal(again.mesh.vertices_ras, first.mesh.vertices_ras)
    assert np.array_equal(again.mesh.faces, first.mesh.faces)


def test_a_coarse_grid_does_not_loosen_the_fit(small_guide):
    assert failed(small_guide[1].checks) == ()
    assert small_guide[1].fit_gap_max_error_mm < 0.15


def test_a_depth_function_will_do_and_other_dimensions_are_kept(small_guide):
    v = small_guide[0]
    wish = GuideOptions(
        fit_clearance_mm=0.4, drill_diameter_mm=1.6, sleeve_length_mm=15.0, ligament_relief_mm=0.0, grid_mm=0.6
    )
    guide = design_drill_guide(MeshDepth(v.bone), v.frame, v.screws[:1], wish)
    assert guide.fit_gap_mean_mm == pytest.approx(0.4, abs=0.03)
    assert guide.bodies == 1
    assert {c.name for c in guide.checks if c.name.startswith("bore")} == {"bore left"}
    assert not [c for c in failed(guide.checks) if "bore" in c.name or "overlap" in c.name]


def test_of_one_screw_alone_the_bridge_still_goes_to_the_midline(small_guide):
    v = small_guide[0]
    guide = design_drill_guide(v.bone, v.frame, v.screws[:1], GuideOptions(grid_mm=0.6))
    assert failed(guide.checks) == ()
    aside_mm = (guide.mesh.vertices_ras - v.frame.centre_ras) @ np.asarray(v.frame.right_ras)
    # The left screw's sleeve on one side; arm and name plate, 10 mm wide and more, reach over the midline.
    assert aside_mm.min() < -15.0
    assert 4.0 < aside_mm.max() < 15.0


class MeshDepth:
    """A bone that is known by its depth only."""

    def __init__(self, bone):
        self._distance = MeshDistance(bone)

    def depth_mm(self, points_ras):
        return -self._distance.distance_mm(points_ras)


def test_a_screw_that_starts_elsewhere_is_refused(vertebra):
    from dataclasses import replace

    away = [replace(s, entry_ras=tuple(np.add(s.entry_ras, (0, 0, 120.0)))) for s in vertebra.screws]
    with pytest.raises(ProcessingError, match="bone"):
        design_drill_guide(vertebra.bone, vertebra.frame, away)
    with pytest.raises(InputError, match="one level"):
        other = replace(vertebra.screws[1], level="L4")
        design_drill_guide(vertebra.bone, vertebra.frame, [vertebra.screws[0], other])


def test_an_entry_off_the_surface_is_put_on_it_and_said(small_guide):
    from dataclasses import replace

    v = small_guide[0]
    deeper = []
    for s in v.screws:
        inward = np.subtract(s.tip_ras, s.entry_ras) / s.length_mm
        deeper.append(replace(s, entry_ras=tuple(np.add(s.entry_ras, 2.0 * inward))))
    guide = design_drill_guide(v.bone, v.frame, deeper, COARSE)
    assert len([n for n in guide.notes if "leaves the bone 2.0 mm" in n]) == 2
    for sleeve, screw in zip(guide.sleeves, v.screws, strict=True):
        assert sleeve.entry_ras == pytest.approx(np.array(screw.entry_ras), abs=0.1)


def test_it_can_be_stopped(vertebra):
    def stop(fraction, message):
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        design_drill_guide(vertebra.bone, vertebra.frame, vertebra.screws, progress=stop)
