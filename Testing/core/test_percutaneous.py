"""Needle paths and ablation zones, against bodies whose geometry is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import unit
from MSKFusionLib.registration.landmark_files import read_landmarks
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume, write_image
from MSKPlannerLib.cli.main import main
from MSKPlannerLib.percutaneous.ablation import AblationRequest, plan_ablation
from MSKPlannerLib.percutaneous.paths import plan_paths
from MSKPlannerLib.percutaneous.request import GAS, PathRequest
from MSKPlannerLib.percutaneous.skin import find_skin

# A cylinder along S of radius 70 mm, cut by the image at both ends; in it, along S, a bone (radius 12 at A = -20), a vessel
# (radius 6 at R = 25, A = -40), a nerve (radius 2 at R = -25, A = -40), and gas (a ball of radius 15 at R = 0, A = 40).
BODY, BONE, VESSEL, NERVE, BALL = 70.0, 12.0, 6.0, 2.0, 15.0
SPACING, SHAPE = 1.5, (44, 120, 120)
TARGET = (0.0, -20.0, 2.0)


def cylinder(points, at, radius):
    """Distance from an upright cylinder, negative in it."""
    return np.hypot(points[..., 0] - at[0], points[..., 1] - at[1]) - radius


@pytest.fixture(scope="module")
def points():
    k, j, i = np.indices(SHAPE)
    return (np.stack([i, j, k], axis=-1) - (np.array(SHAPE[::-1]) - 1) / 2) * SPACING


@pytest.fixture(scope="module")
def ct(points):
    # Voxels at the border hold a mean of air and tissue, as a scanner has it.
    hu = 40.0 - 1040.0 * np.clip(cylinder(points, (0, 0), BODY) / SPACING + 0.5, 0, 1)
    hu[cylinder(points, (0, -20), BONE) < 0] = 500.0
    hu[np.linalg.norm(points - [0, 40, 0], axis=-1) < BALL] = -1000.0
    hu[(np.abs(points[..., 1] + 82) < 3)] = -100.0  # a table under the patient
    origin = points[0, 0, 0]
    return Volume(hu.astype(np.int16), origin, np.full(3, SPACING), np.eye(3), Modality.CT, "body")


@pytest.fixture(scope="module")
def labels(ct, points):
    voxels = np.zeros(SHAPE, dtype=np.uint8)
    voxels[cylinder(points, (0, -20), BONE) < 0] = 1
    voxels[cylinder(points, (25, -40), VESSEL) < 0] = 2
    voxels[cylinder(points, (-25, -40), NERVE) < 0] = 3
    segments = (Segment(1, "L3", "vertebra"), Segment(2, "aorta", "artery"), Segment(3, "nerve", "nerve"))
    return Segmentation(ct.with_voxels(voxels, modality=Modality.LABEL), segments)


@pytest.fixture(scope="module")
def skin(ct):
    return find_skin(ct)


def line_to_cylinder(path, at, radius):
    """Free distance of a needle of 2 mm from an upright cylinder, by 2D geometry."""
    a, b = np.array(path.entry_ras)[:2], np.array(path.target_ras)[:2]
    t = np.clip((np.array(at) - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return float(np.linalg.norm(a + t * (b - a) - at)) - radius - 1.0


def test_the_skin_is_the_cylinders_and_not_the_tables_nor_the_images_end(skin):
    radius = np.hypot(skin.points_ras[:, 0], skin.points_ras[:, 1])
    assert np.abs(radius - BODY).max() < 2.5
    outward = skin.points_ras[:, :2] / radius[:, None]
    assert (np.einsum("ni,ni->n", skin.normals_ras[:, :2], outward) > 0.97).all()
    # All round, and as high as the image.
    angle = np.arctan2(skin.points_ras[:, 1], skin.points_ras[:, 0])
    assert np.histogram(angle, 24, (-np.pi, np.pi))[0].min() > 10
    assert np.ptp(skin.points_ras[:, 2]) > 50


def test_a_lung_that_the_image_cuts_is_no_skin(ct, points):
    lung = np.linalg.norm(points - [0, 45, 0], axis=-1) < 22
    hu = np.where(lung, -840, ct.voxels).astype(np.int16)
    cut = ct.with_voxels(hu).cropped((0, 0, 0), (120, 92, 44))  # through the lung: A up to 48 mm
    found = find_skin(cut)
    radius = np.hypot(found.points_ras[:, 0], found.points_ras[:, 1])
    assert radius.min() > BODY - 2.5
    plan = plan_paths(found, None, PathRequest((0.0, 15.0, 0.0), bone="through"))
    assert plan.why_not[f"too near to {GAS}"] > 0 or all(p.structures_mm[GAS] >= 5.0 for p in plan.paths)


def test_entry_length_angles_and_distances_are_those_of_the_geometry(skin, labels):
    plan = plan_paths(skin, labels, PathRequest(TARGET, options=6, apart_mm=30.0))
    assert len(plan.paths) == 6
    for path in plan.paths:
        entry, target = np.array(path.entry_ras), np.array(path.target_ras)
        axis = unit(target - entry)
        assert np.hypot(*entry[:2]) == pytest.approx(BODY, abs=0.3)  # the skin, to a part of a voxel
        assert path.length_mm == pytest.approx(np.linalg.norm(target - entry))
        assert path.table_deg == pytest.approx(np.degrees(np.arcsin(abs(axis[1]))))
        assert path.cranial_deg == pytest.approx(np.degrees(np.arcsin(-axis[2])))
        assert path.skin_deg == pytest.approx(np.degrees(np.arccos(-axis @ [*(entry[:2] / BODY), 0])), abs=7)
        for name, at, radius, room in (("aorta", (25, -40), VESSEL, 5.0), ("nerve", (-25, -40), NERVE, 1.0)):
            true = line_to_cylinder(path, at, radius)
            assert true >= room - 1.0
            if true < 30:
                assert path.structures_mm[name] == pytest.approx(true, abs=1.0)
        # From the middle of the bone on the needle crosses its radius.
        assert path.bone_mm["L3"] == pytest.approx(BONE / np.hypot(*axis[:2]), abs=1.2)
    entries = np.array([p.entry_ras for p in plan.paths])
    apart = np.linalg.norm(entries[:, None] - entries[None], axis=-1) + 100 * np.eye(len(entries))
    assert apart.min() >= 30.0


def test_the_map_of_entries_is_what_the_geometry_allows(skin, labels):
    request = PathRequest(TARGET, weights=replace(PathRequest(TARGET).weights))
    plan = plan_paths(skin, labels, request)
    blocked = 0
    for entry, cost in zip(plan.entries_ras, plan.cost, strict=True):
        path = type("P", (), {"entry_ras": entry, "target_ras": TARGET})
        room = min(line_to_cylinder(path, (25, -40), VESSEL) - 5.0, line_to_cylinder(path, (-25, -40), NERVE) - 1.0)
        # The ball of gas, with its room.
        a, way = entry, np.array(TARGET) - entry
        t = np.clip((np.array([0, 40, 0]) - a) @ way / (way @ way), 0, 1)
        room = min(room, np.linalg.norm(a + t * way - [0, 40, 0]) - BALL - 1.0 - 5.0)
        if abs(room) > 2.5:  # beyond what the maps of 1.5 and 2 mm may err
            assert np.isfinite(cost) == (room > 0), (entry, room)
            blocked += room < 0
    assert blocked > 50
    assert plan.why_not["too near to aorta"] > 10
    assert plan.why_not[f"too near to {GAS}"] > 10


def test_rules_for_bone_and_the_side_that_lies_on_the_table(skin, labels):
    beyond = (0.0, 8.0, 0.0)  # in front of the bone
    free = plan_paths(skin, labels, PathRequest(beyond, bone="avoid"))
    through = plan_paths(skin, labels, PathRequest(beyond, bone="through"))

    def behind(p):
        return np.abs(p.entries_ras[:, 0]) + np.maximum(p.entries_ras[:, 1], -60) < -45

    assert not np.isfinite(free.cost[behind(free)]).any()
    assert np.isfinite(through.cost[behind(through)]).all()
    supine = plan_paths(skin, labels, PathRequest(TARGET, position="supine"))
    assert min(p.entry_ras[1] for p in supine.paths) > -BODY * 0.6
    with pytest.raises(InputError, match="no bone may be touched"):
        plan_paths(skin, labels, PathRequest(TARGET, bone="avoid"))


def test_what_cannot_be_planned_is_said(skin, labels, ct):
    short = plan_paths(skin, labels, PathRequest(TARGET, longest_mm=30.0))
    assert not short.paths
    assert "No entry" in short.message
    assert "farther than 30 mm" in short.message
    with pytest.raises(GeometryError, match="outside the body"):
        plan_paths(skin, labels, PathRequest((0.0, 75.0, 0.0)))
    with pytest.raises(InputError, match="lies in aorta"):
        plan_paths(skin, labels, PathRequest((25.0, -40.0, 0.0)))
    with pytest.raises(InputError, match="no segment 'liver'"):
        plan_paths(skin, labels, PathRequest(TARGET, avoid_mm={"liver": 3.0}))
    with pytest.raises(InputError, match="no skin is in view"):
        find_skin(ct.cropped((50, 50, 10), (70, 70, 30)))
    with pytest.raises(InputError, match="no rule for bone"):
        PathRequest(TARGET, bone="maybe")


# ------------------------------------------------------------------ ablation
@pytest.fixture(scope="module")
def ball():
    """A lesion that is a ball of radius 6 mm, on voxels of 0.8 x 0.8 x 1.2 mm in a turned frame."""
    spacing, shape = np.array([0.8, 0.8, 1.2]), (64, 96, 96)
    turn = Rotation.from_rotvec([0.3, -0.4, 0.2]).as_matrix()
    k, j, i = np.indices(shape)
    local = (np.stack([i, j, k], axis=-1) - (np.array(shape[::-1]) - 1) / 2) * spacing
    voxels = (np.linalg.norm(local, axis=-1) < 6.0).astype(np.uint8)
    voxels[(np.linalg.norm(local - [16, 0, 0], axis=-1) < 3.0)] = 2
    origin = -turn @ (spacing * (np.array(shape[::-1]) - 1) / 2)
    volume = Volume(voxels, origin, spacing, turn, Modality.LABEL)
    return Segmentation(volume, (Segment(1, "nidus", "lesion"), Segment(2, "nerve", "nerve"))), turn


def volume_of(radius):
    return 4 / 3 * np.pi * radius**3


def test_one_ball_over_a_ball_covers_and_spills_what_the_radii_say(ball):
    labels, turn = ball
    plan = plan_ablation(labels, "nidus", (0.2, 1, 0.1), AblationRequest(3.0, 20.0, 20.0), avoid=["nerve"])
    assert len(plan.centres_ras) == 1
    assert plan.reached
    assert plan.target_percent > 99.5
    # To 0.15 mm of the radius, a sixth of a voxel.
    assert volume_of(5.85) < plan.lesion_mm3 < volume_of(6.15)
    assert volume_of(8.85) < plan.target_mm3 < volume_of(9.15)
    assert 100 * (1 - (9.15 / 10) ** 3) < plan.spill_percent < 100 * (1 - (8.85 / 10) ** 3)
    assert np.linalg.norm(plan.centres_ras[0]) < 1.0
    nerve = turn @ np.array([16.0, 0, 0])
    true = np.linalg.norm(nerve - plan.centres_ras[0]) - 3.0 - 10.0
    assert plan.structures_mm["nerve"] == pytest.approx(true, abs=0.7)


def test_a_zone_too_small_is_said_with_the_share_that_it_covers(ball):
    labels, _ = ball
    plan = plan_ablation(labels, "nidus", (0, 1, 0), AblationRequest(3.0, 14.0, 14.0, most=1))
    assert not plan.reached
    assert 100 * (7 / 9.15) ** 3 < plan.target_percent < 100 * (7.05 / 8.85) ** 3
    assert plan.spill_percent < 2.0
    assert "NOT the 99 %" in plan.message
    more = plan_ablation(labels, "nidus", (0, 1, 0), AblationRequest(3.0, 14.0, 14.0, most=8, coverage=0.95))
    assert more.target_percent >= 95.0
    assert len(more.centres_ras) > 1


def test_zones_on_one_needle_lie_on_it_and_a_long_zone_covers_along_it(ball):
    labels, _ = ball
    axis = unit([0.3, 1.0, -0.2])
    plan = plan_ablation(labels, "nidus", axis, AblationRequest(5.0, 17.0, 17.0, most=3, same_needle=True))
    away = plan.centres_ras - np.outer(plan.centres_ras @ axis, axis)
    assert np.linalg.norm(away, axis=1).max() < 0.3
    long = plan_ablation(labels, "nidus", axis, AblationRequest(0.0, 12.6, 40.0))
    assert long.lesion_percent > 99
    assert long.zones_mm3 == pytest.approx(4 / 3 * np.pi * 6.3 * 6.3 * 20, rel=0.03)


def test_the_command_writes_paths_that_slicer_opens(tmp_path, ct, labels, points, capsys):
    voxels = labels.labels.voxels.copy()
    voxels[np.linalg.norm(points - TARGET, axis=-1) < 4.5] = 9
    with_lesion = Segmentation(labels.labels.with_voxels(voxels), (*labels.segments, Segment(9, "nidus", "lesion")))
    write_image(ct, tmp_path / "ct.nrrd")
    write_segmentation(with_lesion, tmp_path / "labels.seg.nrrd")
    out = tmp_path / "out"
    call = [
        "path",
        str(tmp_path / "ct.nrrd"),
        "--modality",
        "ct",
        "--labels",
        str(tmp_path / "labels.seg.nrrd"),
        "--lesion",
        "nidus",
    ]
    assert main([*call, "--zone", "16", "--margin", "2", "--out", str(out)]) == 0
    document = json.loads((out / "paths.json").read_text())
    line = read_landmarks(out / "path_1.mrk.json")
    assert np.allclose(line["entry"], document["paths"][0]["entry_ras"])
    assert np.allclose(line["target"], TARGET, atol=0.4)
    assert document["paths"][0]["bone_mm"]["L3"] == pytest.approx(BONE - 4.5, abs=1.6)
    assert document["ablation"]["reached"]
    assert len(read_landmarks(out / "ablation_zones.mrk.json")) == len(document["ablation"]["centres_ras"])
    assert "data:image/png" in (out / "paths.html").read_text()
    assert (out / "entry_map.vtp").stat().st_size > 1000
    capsys.readouterr()
    assert (
        main([*call[:4], "--target=0,-20,2", "--labels", call[5], "--longest", "30", "--out", str(tmp_path / "none")])
        == 3
    )
    assert "No entry" in capsys.readouterr().out
    assert main(["path", "x.nrrd", "--zone", "16", "--target=0,0,0", "--out", str(tmp_path / "no")]) == 2
    assert "--lesion" in capsys.readouterr().err


def test_an_mr_has_a_skin_too(ct, points):
    rng = np.random.default_rng(0)
    body = np.clip(0.5 - cylinder(points, (0, 0), BODY) / SPACING, 0, 1)
    signal = np.abs(400 * body + 12 * rng.standard_normal(SHAPE) + 12j * rng.standard_normal(SHAPE))
    mr = Volume(signal.astype(np.float32), ct.origin_ras, ct.spacing_mm, ct.directions_ras, Modality.MR, "mr")
    plan = plan_paths(find_skin(mr), None, PathRequest(TARGET, bone="through"))
    # Where an MR has half of its signal nobody knows: skin is put where it rises above noise.
    assert np.hypot(*plan.paths[0].entry_ras[:2]) == pytest.approx(BODY, abs=1.5)
    assert plan.paths[0].length_mm == pytest.approx(50.0, abs=2.0)  # the shortest way from the target at A = -20
