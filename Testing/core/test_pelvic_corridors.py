"""The generated pelvis, its frame, and screws in it, against closed-form truth."""

from dataclasses import replace

import numpy as np
import pytest
from core.bone_shapes import capsule, grid, rasterise

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import perpendicular_axes, rigid, transform_points, unit
from MSKFusionLib.phantom.grid import Grid
from MSKFusionLib.phantom.pelvis import PelvisOptions, generate_pelvis
from MSKFusionLib.phantom.pelvis_hip import landmark_ras
from MSKFusionLib.resources import resource_path
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKPlannerLib.anatomy.pelvis import displacement_mm, sacral_frame, symmetry_plane
from MSKPlannerLib.anatomy.pelvis_landmarks import pelvic_places
from MSKPlannerLib.bone.joined import join, kept_away
from MSKPlannerLib.bone.region import Region
from MSKPlannerLib.screws.sites.description import load_site, site_names
from MSKPlannerLib.screws.sites.free import free_site, plan_free
from MSKPlannerLib.screws.sites.hip import placed_on, plan_hip
from MSKPlannerLib.screws.sites.plan_corridor import plan_corridor
from MSKPlannerLib.screws.sites.sacral import sacral_anatomy

SPACING = (1.2, 1.2, 1.2)


@pytest.fixture(scope="module")
def usual():
    return generate_pelvis(PelvisOptions(2, spacing_mm=SPACING, dysmorphism=0.0))


@pytest.fixture(scope="module")
def labels(usual):
    return usual.labels()


@pytest.fixture(scope="module")
def anatomy(labels):
    return sacral_anatomy(labels, sacral_frame(labels), step_mm=0.9)


def value_in_bones(pelvis, points):
    """The implicit value of the union of the bones: positive inside, exact in sign."""
    return np.max(
        [
            shape.value_at(transform_points(np.linalg.inv(shape.frame_to_world), points))
            for shape in pelvis.bones.values()
        ],
        axis=0,
    )


# ------------------------------------------------------------------ the generated pelvis
def test_the_labels_are_where_the_closed_form_is_positive(usual, labels):
    rng = np.random.default_rng(0)
    volume = labels.labels
    ijk = np.stack([rng.integers(0, n, 4000) for n in volume.shape_ijk], axis=-1)
    points = transform_points(volume.ijk_to_ras, ijk)
    labelled = volume.voxels[ijk[:, 2], ijk[:, 1], ijk[:, 0]] > 0
    assert (labelled == (value_in_bones(usual, points) > 0)).mean() > 0.999


def test_the_bones_keep_a_joint_apart_and_have_the_size_of_an_adult(usual, labels):
    sizes = {s.name: labels.mask(s.name).sum() * np.prod(SPACING) / 1000 for s in labels.segments}
    assert 120 < sizes["S1"] < 350  # cm3
    assert 200 < sizes["hip_left"] < 500
    assert sizes["hip_left"] == pytest.approx(sizes["hip_right"], rel=0.08)
    box = Grid((60, 40, 120), usual.sacrum_to_ras @ rigid(None, (-72.0, -25.0, -40.0)) @ np.diag([1.2, 1.2, 1.2, 1]))
    inside = [usual.implicit(name, box) > 0 for name in usual.bones]
    assert all(i.any() for i in inside)
    assert np.sum(inside, axis=0).max() == 1


def test_dysmorphism_lowers_the_wings_and_nothing_else_in_the_hips():
    a, b = (generate_pelvis(PelvisOptions(5, dysmorphism=d)) for d in (0.0, 1.0))
    assert b.sacrum.alar_drop > a.sacrum.alar_drop + 5
    assert np.array_equal(a.hips[0].landmarks["aiis"], b.hips[0].landmarks["aiis"])


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="dysmorphism"):
        PelvisOptions(1, dysmorphism=1.5)
    with pytest.raises(InputError, match="spacing"):
        PelvisOptions(1, spacing_mm=(0.0, 1.0, 1.0))


# ------------------------------------------------------------------ the frame
def test_the_frame_is_that_of_the_generator(usual, anatomy):
    frame = anatomy.frame
    turn = frame.axes_ras.T @ usual.sacrum_to_ras[:3, :3]
    assert np.degrees(np.arccos(turn[0, 0])) < 1.5
    to_true = np.linalg.inv(usual.sacrum_to_ras) @ frame.frame_to_ras
    for sign, side in ((-1, "left"), (1, "right")):
        for n in (0, 1):
            x, _, z = transform_points(to_true, frame.foramina[side][n])
            length, across, _ = usual.sacrum.foramina[n]
            assert x == pytest.approx(sign * across, abs=3.0)
            assert z == pytest.approx(-length, abs=4.0)
    body = transform_points(to_true, frame.body_middle(1))
    assert abs(body[0]) < 2
    assert abs(body[1]) < 5
    assert abs(body[2]) < 6


def test_swapped_sides_a_missing_hip_and_a_filled_sacrum_are_named(labels):
    names = {"hip_left": "hip_right", "hip_right": "hip_left"}
    swapped = Segmentation(labels.labels, tuple(replace(s, name=names.get(s.name, s.name)) for s in labels.segments))
    with pytest.raises(GeometryError, match="swapped"):
        symmetry_plane(swapped)
    with pytest.raises(GeometryError, match="no 'hip_left'"):
        sacral_frame(Segmentation(labels.labels, tuple(s for s in labels.segments if s.name != "hip_left")))
    voxels = labels.labels.voxels.copy()
    value = labels["S1"].value
    for k in range(voxels.shape[0]):  # each row of the sacrum filled from its first voxel to its last
        rows = np.flatnonzero((voxels[k] == value).any(axis=1))
        for j in rows:
            i = np.flatnonzero(voxels[k, j] == value)
            voxels[k, j, i[0] : i[-1] + 1] = value
    with pytest.raises(GeometryError, match=r"canal|foramina"):
        sacral_frame(Segmentation(labels.labels.with_voxels(voxels), labels.segments))


def test_a_displaced_half_of_the_pelvis_is_refused_until_it_is_allowed(labels, anatomy):
    voxels = labels.labels.voxels.copy()
    hip = labels.mask("hip_right")
    voxels[hip] = 0
    up = round(15.0 / SPACING[2])
    raised = np.zeros_like(hip)
    raised[up:] = hip[:-up]
    voxels[raised & (voxels == 0)] = labels["hip_right"].value
    displaced = Segmentation(labels.labels.with_voxels(voxels), labels.segments)
    assert displacement_mm(labels) < 3.0
    assert displacement_mm(displaced) > 6.0
    with pytest.raises(GeometryError, match="displaced by"):
        sacral_anatomy(displaced, anatomy.frame)


def test_a_field_of_view_that_cuts_the_hip_bone_is_named(labels, anatomy):
    volume = labels.labels
    walls = anatomy.frame.frame_to_ras[:3, 3] + anatomy.frame.axes_ras[:, 0] * (anatomy.walls_mm["right"][0] - 6.0)
    i = int(transform_points(volume.ras_to_ijk, walls)[0])
    cut = volume.cropped((i, 0, 0), volume.shape_ijk)  # i runs to the left: the right part goes
    with pytest.raises(GeometryError, match=r"field of view|no hip bone"):
        sacral_anatomy(Segmentation(cut, labels.segments), anatomy.frame, step_mm=1.5)


# ------------------------------------------------------------------ the joint
def test_a_joint_between_two_plates_counts_as_bone_and_its_rim_as_a_wall():
    region = Region(np.eye(4), np.array([-20.0, -20, -20]), np.array([20.0, 20, 20]))
    p = region.nodes_ras(1.0)
    r = np.linalg.norm(p[..., 1:], axis=-1)
    left = np.minimum(-1.5 - p[..., 0], 12.0 - r).astype(np.float32)
    right = np.minimum(p[..., 0] - 1.5, 12.0 - r).astype(np.float32)
    bridged, apart = join([left, right], [(0, 1)], 5.0), join([left, right], [], 5.0)
    assert bridged[20, 20, 20] > 0 > apart[20, 20, 20]  # between the plates, 3 mm apart
    assert bridged[20, 20 + 16, 20] < 0  # beyond their rim
    assert join([left, right], [(0, 1)], 2.0)[20, 20, 20] < 0  # a gap wider than a joint


def test_what_is_kept_away_from_narrows_the_field():
    region = Region(np.eye(4), np.zeros(3), np.full(3, 4.0))
    ones = region.field(np.ones((5, 5, 5), np.float32), 1.0)
    near = kept_away(ones, region.field(np.full((5, 5, 5), 0.7, np.float32), 1.0), 0.5)
    assert near.depth_mm(np.array([2.0, 2, 2])) == pytest.approx(0.2)


# ------------------------------------------------------------------ sites
def test_every_site_that_comes_along_can_be_read_and_says_its_source():
    assert {"trans_sacral_s1", "trans_sacral_s2", "iliosacral_s1", "iliosacral_s2"} <= set(site_names())
    for name in site_names():
        assert load_site(name).source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('title = "x"', "missing"),
        ('colour = "red"', "unknown key"),
        ("anterior_deg = [20.0, -20.0]", "leaves no direction"),
        ("diameters_mm = [8.0, 6.5]", "rising"),
        ('family = "nowhere"', "no family"),
        ("clearance_mm = nan", "not a number"),
    ],
)
def test_a_wrong_site_file_is_refused_in_words(tmp_path, text, words):
    key = text.split(" = ")[0]
    lines = resource_path("Sites", "trans_sacral_s1.toml").read_text().splitlines()
    kept = [text] if words == "missing" else [*(line for line in lines if not line.startswith(key)), text]
    (tmp_path / "own.toml").write_text("\n".join(kept))
    with pytest.raises(InputError, match=words):
        load_site(tmp_path / "own.toml")


@pytest.mark.parametrize("name", ["trans_sacral_s1", "trans_sacral_s2", "iliosacral_s1", "iliosacral_s2"])
def test_a_screw_in_a_usual_sacrum_lies_in_true_bone_or_the_joint_all_round(usual, anatomy, name):
    plan = plan_corridor(name, anatomy, "right")
    assert plan.possible
    assert plan.screw is not None
    assert plan.clearance_mm >= 0.9
    assert plan.corridor.clearance_mm <= plan.corridor.bound_mm
    assert plan.largest_diameter_mm >= plan.screw.diameter_mm - 0.2
    assert plan.screw.length_mm <= plan.longest_mm
    axis = unit(plan.screw.tip_ras - plan.screw.entry_ras)
    u, v = perpendicular_axes(axis)
    t = np.arange(8.0, plan.screw.length_mm, 0.5)[:, None, None]
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)[:, None]
    wall = plan.screw.entry_ras + t * axis + plan.screw.diameter_mm / 2 * (np.cos(angle) * u + np.sin(angle) * v)
    outside = value_in_bones(usual, wall) <= 0
    # Only in the sacroiliac joints, one for an iliosacral screw and two for one through, is it outside of bone.
    runs = [np.diff(np.concatenate([[0], outside[:, n].astype(int)])) == 1 for n in range(16)]
    assert max(r.sum() for r in runs) <= (2 if name.startswith("trans") else 1)
    assert outside.mean(axis=0).max() < 0.15
    # Its direction is within the site's limits, and it enters on the right.
    assert plan.screw.entry_ras[0] > plan.screw.tip_ras[0]


def test_where_the_wings_are_steep_it_says_that_no_screw_passes_with_the_width_and_the_bound():
    labels = generate_pelvis(PelvisOptions(5, spacing_mm=(1.5, 1.5, 1.5), dysmorphism=1.0)).labels()
    plan = plan_corridor("trans_sacral_s1", sacral_anatomy(labels, sacral_frame(labels), step_mm=1.0))
    assert not plan.possible
    assert plan.decided
    assert plan.screw is None
    assert plan.bound_width_mm < load_site("trans_sacral_s1").needed_width_mm
    assert "not possible" in plan.message


def test_a_side_that_is_none_is_refused(anatomy):
    with pytest.raises(InputError, match="side"):
        plan_corridor("iliosacral_s1", anatomy, "up")


# ------------------------------------------------------------------ free
def test_a_free_screw_finds_the_axis_of_a_bar():
    volume = grid((14, 40, 14), (0.8, 0.8, 0.8))
    start, end = volume.centre_ras + [2.0, -34, 1], volume.centre_ras + [-2.0, 34, -1]
    voxels = rasterise(capsule(start, end, 6.0), volume).astype(np.uint8)
    bone = Segmentation(volume.with_voxels(voxels), (Segment(1, "bar"),))
    site = free_site([3.5, 4.5, 6.5, 9.0], [20, 30, 40, 50, 60])
    plan = plan_free(bone, ["bar"], start + [1, 8, 1], 5.0, end - [-1, 10, 1], 5.0, site)
    # The least depth along 50 mm of a rasterised wall: as in test_corridor, unevenness takes a few tenths and never adds.
    assert 11.0 < plan.width_mm < 12.1
    assert plan.screw.diameter_mm == 9.0
    axis = (plan.screw.tip_ras - plan.screw.entry_ras) / plan.screw.length_mm
    assert np.degrees(np.arccos(axis @ (end - start) / np.linalg.norm(end - start))) < 1.5
    # Marked right under the cortex, the corridor is narrow at its start, and so is the screw.
    shallow = plan_free(bone, ["bar"], start + [0, -3.5, 0], 1.0, end - [0, 10, 0], 3.0, site, step_mm=0.7)
    assert shallow.width_mm < 7.0
    assert shallow.screw is None or shallow.screw.diameter_mm + 2 * 1.0 <= shallow.width_mm + 0.05
    too_thick = plan_free(bone, ["bar"], start + [1, 8, 1], 5.0, end - [-1, 10, 1], 5.0, free_site([11.5], [50]))
    assert not too_thick.possible
    assert "11.5" in too_thick.message
    with pytest.raises(GeometryError, match="target region lies outside"):
        plan_free(bone, ["bar"], start, 3.0, end + [0.0, 15, 0], 3.0, site)
    with pytest.raises(InputError, match="no segment"):
        plan_free(bone, ["femur"], start, 3.0, end, 3.0, site)
    with pytest.raises(InputError, match="mm apart"):
        plan_free(bone, ["bar"], start, 3.0, start, 3.0, site)


# ------------------------------------------------------------------ the hip bone
@pytest.fixture(scope="module")
def places(labels, anatomy):
    return pelvic_places(labels, anatomy.frame)


def test_the_places_of_the_hip_bones_are_where_the_generator_put_them(usual, places):
    for side, size in zip(("left", "right"), usual.hips, strict=True):
        for name, mark, within in (("asis", "asis", 15), ("aiis", "aiis", 12), ("psis", "psis", 15)):
            away = np.linalg.norm(places.places[side][name] - landmark_ras(size, mark, usual.pelvis_to_ras))
            assert away < within, (side, name)


@pytest.mark.parametrize("name", ["lc2", "superior_ramus", "anterior_column", "posterior_column", "supra_acetabular"])
def test_a_screw_in_the_hip_bone_lies_in_true_bone_all_round_and_out_of_the_joint(usual, labels, places, name):
    # The left front edge of this one is too smooth to show the AIIS.
    side, number = ("right", 1) if name == "supra_acetabular" else ("left", 0)
    plan = plan_hip(name, labels, places, side)
    assert plan.possible
    axis = unit(plan.screw.tip_ras - plan.screw.entry_ras)
    u, v = perpendicular_axes(axis)
    t = np.arange(max(8.0, plan.screw.diameter_mm + 1), plan.screw.length_mm, 0.5)[:, None, None]
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)[:, None]
    wall = plan.screw.entry_ras + t * axis + plan.screw.diameter_mm / 2 * (np.cos(angle) * u + np.sin(angle) * v)
    assert (value_in_bones(usual, wall) > 0).all()
    hip = landmark_ras(usual.hips[number], "hip_centre", usual.pelvis_to_ras)
    assert np.linalg.norm(wall - hip, axis=-1).min() > usual.hips[number].head_radius


def test_the_aiis_is_where_the_front_edge_shows_it_or_where_it_was_placed(usual, labels, places):
    for side, size in zip(("left", "right"), usual.hips, strict=True):
        mark = landmark_ras(size, "aiis", usual.pelvis_to_ras)
        if "aiis_seen" in places.places[side]:
            assert np.linalg.norm(places.places[side]["aiis_seen"] - mark) < 17
        placed = placed_on(places, labels, side, {"aiis": mark})
        assert np.array_equal(placed.places[side]["aiis_seen"], mark)
        assert plan_hip("supra_acetabular", labels, placed, side).possible
    other = {"aiis": places.places["left"]["aiis"]}
    with pytest.raises(GeometryError, match="from the right hip bone"):
        placed_on(places, labels, "right", other)
    unseen = {name: p for name, p in places.places["left"].items() if name not in ("aiis_seen", "above_joint")}
    blind = replace(places, places={**places.places, "left": unseen})
    with pytest.raises(GeometryError, match="Place 'aiis'"):
        plan_hip("supra_acetabular", labels, blind, "left")


def test_a_site_of_the_sacrum_is_not_one_of_the_hip_bone(labels, places):
    with pytest.raises(InputError, match="places of the hip bone"):
        plan_hip("trans_sacral_s1", labels, places)
    with pytest.raises(InputError, match="side"):
        plan_hip("lc2", labels, places, "front")
