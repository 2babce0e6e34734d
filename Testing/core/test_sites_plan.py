"""Sites as a user asks for them: from names to screws of the plan document, measured in the closed-form anatomy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import perpendicular_axes, transform_points, unit
from MSKFusionLib.phantom.pelvis import PelvisOptions, generate_pelvis
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib.anatomy.pelvic_bones import pelvic_bones
from MSKPlannerLib.bone.depth_field import DepthField
from MSKPlannerLib.cli.arguments import build_parser
from MSKPlannerLib.cli.case_file import read_case_file
from MSKPlannerLib.cli.sites import parse_sites
from MSKPlannerLib.pipeline import CaseOptions, plan_case
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json
from MSKPlannerLib.screws.corridor import Approach, LineFamily, widest_corridor
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.sites.describe import direction_name
from MSKPlannerLib.screws.sites.plan_sites import plan_sites
from MSKPlannerLib.screws.sites.request import SiteRequest, request_from_table

SPACING = (1.5, 1.5, 1.5)
NO_RISK = ScrewOptions(error_budget="")


@pytest.fixture(scope="module")
def pelvis():
    return generate_pelvis(PelvisOptions(5, spacing_mm=SPACING, dysmorphism=1.0))


@pytest.fixture(scope="module")
def labels(pelvis):
    return pelvis.labels()


def inside(pelvis, points):
    """The implicit value of the union of the bones: positive inside."""
    return np.max(
        [s.value_at(transform_points(np.linalg.inv(s.frame_to_world), points)) for s in pelvis.bones.values()], axis=0
    )


def wall_of(screw):
    """Points of a screw's surface from its entry zone on."""
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = unit(tip - entry)
    u, v = perpendicular_axes(axis)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = 0.5 * screw.diameter_mm * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v)
    along = np.arange(max(6.0, screw.diameter_mm), screw.length_mm, 1.0)
    return (entry + along[:, None] * axis)[:, None] + ring


@pytest.fixture(scope="module")
def case(labels):
    """A case planned on the labels; the CT behind is flat."""
    ct = labels.labels.with_voxels(np.where(labels.labels.voxels > 0, 300, -100).astype(np.int16), modality=Modality.CT)
    sites = (
        SiteRequest("superior_ramus"),
        SiteRequest("lc2", ("right",)),
        SiteRequest("trans_sacral_s1"),
    )
    return plan_case(ct, None, labels, CaseOptions(screws=NO_RISK, sites=sites))


def test_screws_of_several_sites_stand_in_the_plan_and_lie_in_true_bone(case, pelvis):
    assert {(s.site, s.side) for s in case.plan.screws} == {
        ("superior_ramus", "left"),
        ("superior_ramus", "right"),
        ("lc2", "right"),
    }
    for screw in case.plan.screws:
        assert screw.grade == "A"
        assert screw.verdict is Verdict.ACCEPTED
        assert (inside(pelvis, wall_of(screw)) > 0).all(), screw.name
        assert screw.hu_mean == pytest.approx(300, abs=40)
        assert screw.nearest_screw
    assert plan_from_json(plan_to_json(case.plan)) == plan_from_json(plan_to_json(case.plan))
    assert set(case.bones) == {"S1", "hip_left", "hip_right"}
    assert not case.plan.guides


def test_a_corridor_too_narrow_is_refused_in_words_and_the_plan_says_so(case):
    # The sacrum of this pelvis is dysmorphic: nothing passes beside its S1 body from side to side.
    assert case.plan.verdict is Verdict.REJECTED
    (reason,) = case.plan.reasons
    assert reason.startswith("no screw in Trans-sacral S1 right: not possible")
    assert [s["site"] for s in case.plan.parameters["sites"]] == ["superior_ramus", "lc2", "trans_sacral_s1"]


def test_the_way_of_the_drill_to_the_ramus_passes_the_other_hip_bone(case, pelvis):
    other = {"left": "hip_right", "right": "hip_left"}
    for screw in case.plan.screws:
        if screw.site != "superior_ramus":
            continue
        entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
        way = entry - np.arange(0, 80, 1.0)[:, None] * unit(tip - entry)
        shape = pelvis.bones[other[screw.side]]
        assert (shape.value_at(transform_points(np.linalg.inv(shape.frame_to_world), way)) < 0).all()


def test_lines_whose_way_is_blocked_are_left_out_and_the_bound_still_holds():
    # Bone everywhere; behind the start a plate blocks all ways but those from u > 5.
    _, j, i = np.meshgrid(*[np.arange(n) * 1.0 for n in (41, 31, 31)], indexing="ij")
    depth = 15.0 - np.hypot(i - 15, j - 15)
    bone = DepthField(depth.astype(np.float32), np.array([-15.0, -15, 0]), np.eye(3), 1.0)
    plate = DepthField((5.0 - (i - 15)).astype(np.float32), np.array([-15.0, -15, -40]), np.eye(3), 1.0)
    family = LineFamily(np.array([0.0, 0, 0]), np.array([0.0, 0, 38]), np.eye(3)[0], np.eye(3)[1], (8, 8), (8, 8))
    free = widest_corridor(bone, family)
    led = widest_corridor(bone, replace(family, approach=Approach(plate, 20.0, 1.0)))
    assert free.clearance_mm > 14.5
    assert not family.blocked(led.parameters[None])[0]
    # A straight line at u = 6 has 9 mm; one that turns away behind has more: exhaustive search of lines in u.
    a, b = np.meshgrid(np.arange(-8, 8.01, 0.25), np.arange(-8, 8.01, 0.25), indexing="ij")
    back = a - np.arange(0, 20.0, 2.0)[:, None, None] / 38 * (b - a)
    allowed = (back >= 6.0 - 1e-9).all(axis=0)
    best = np.max(np.where(allowed, 15 - np.maximum(np.abs(a), np.abs(b)), -np.inf))
    assert led.clearance_mm == pytest.approx(best, abs=0.3)
    assert led.bound_mm >= best - 0.02


def test_names_of_other_makers_and_fragments_are_one_pelvis(labels):
    voxels = labels.labels.voxels.copy()
    hip = labels["hip_left"].value
    kji = np.argwhere(voxels == hip)
    upper = kji[kji[:, 0] > np.median(kji[:, 0])]
    voxels[tuple(upper.T)] = 250
    names = {"S1": "sacrum", "hip_left": "left hip bone, fragment 1", "hip_right": "right hip bone"}
    segments = (
        *(replace(s, name=names[s.name]) for s in labels.segments if s.name in names),
        Segment(250, "left hip bone, fragment 2"),
    )
    found = pelvic_bones(Segmentation(labels.labels.with_voxels(voxels), segments))
    assert (found.segmentation.mask("hip_left") == labels.mask("hip_left")).all()
    assert {s.name for s in found.segmentation.segments} == {"S1", "hip_left", "hip_right"}
    assert "2 fragments" in found.broken("hip_left")
    assert found.broken("hip_right") == ""


def test_a_free_screw_between_two_marks_and_one_whose_marks_are_outside_bone(labels, pelvis):
    ramus = plan_sites(None, labels, [SiteRequest("superior_ramus", ("right",))], options=NO_RISK).screws[0]
    entry, tip = np.array(ramus.entry_ras), np.array(ramus.tip_ras)
    marks = {
        "entry_ras": tuple(entry + 0.15 * (tip - entry)),
        "target_ras": tuple(entry + 0.8 * (tip - entry)),
        "diameters_mm": (3.5,),
        "clearance_mm": 0.5,
    }
    asked = SiteRequest("free", name="By hand", bones=("hip_right",), **marks)
    found = plan_sites(None, labels, [asked], options=NO_RISK)
    (screw,) = found.screws
    assert (screw.name, screw.site, screw.level) == ("By hand", "free", "hip_right")
    assert (inside(pelvis, wall_of(screw)) > 0).all()
    far = replace(asked, target_ras=tuple(tip + np.array([0, 0, 60.0])))
    skipped = plan_sites(None, labels, [far, replace(asked, bones=("femur",))], options=NO_RISK).skipped
    assert "outside bone" in skipped[0].reason
    assert "no segment" in skipped[1].reason


def test_directions_are_named_by_the_body():
    axes = np.eye(3)
    assert direction_name(np.array([1.0, 0.2, 0]), axes, "right") == "lateral"
    assert direction_name(np.array([1.0, 0.2, 0]), axes, "left") == "medial"
    assert direction_name(np.array([1.0, 0.2, 0]), axes, "") == "right"
    assert direction_name(np.array([0.1, -2.0, 0]), axes, "left") == "posterior"
    assert direction_name(np.array([0.1, -2.0, 3.0]), axes, "left") == "cranial"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"site": "nowhere"}, "no preset"),
        ({"sides": ["left"]}, "'site' is missing"),
        ({"site": "lc2", "sides": ["up"]}, "no side"),
        ({"site": "lc2", "sides": "left"}, "not a list"),
        ({"site": "lc2", "colour": "red"}, "nobody reads"),
        ({"site": "free", "bones": ["S1"]}, "entry_ras is not a point"),
        ({"site": "free", "entry_ras": [0, 0, 0], "target_ras": [0, 0, 50]}, "which bones"),
        ({"site": "lc2", "most_displaced_mm": -1}, "most_displaced_mm"),
    ],
)
def test_what_cannot_be_asked_for_is_said(table, words):
    with pytest.raises(InputError, match=words):
        request_from_table(table, "case")


def test_sites_on_the_command_line_and_in_a_case_file(tmp_path):
    def asked(*more):
        return parse_sites(build_parser().parse_args(["screws", "ct.nrrd", "--out", "x", *more]))

    assert asked() == ()
    assert [(s.site, s.sides) for s in asked("--site", "lc2,trans_sacral_s2", "--side", "left")] == [
        ("lc2", ("left",)),
        ("trans_sacral_s2", ("left",)),
    ]
    free = asked("--site", "free", "--in", "a, b", "--entry=1,2,3", "--target=1,2,60", "--radius", "4")[0]
    assert (free.bones, free.entry_ras, free.entry_radius_mm) == (("a", "b"), (1.0, 2.0, 3.0), 4.0)
    with pytest.raises(InputError, match="for --site free"):
        asked("--site", "lc2", "--radius", "4")
    with pytest.raises(InputError, match="sites of the pelvis"):
        asked("--side", "left")
    file = tmp_path / "case.toml"
    file.write_text('ct = "a.nrrd"\n[[sites]]\nsite = "own.toml"\n[[sites]]\nsite = "lc2"\n')
    read = read_case_file(file).sites
    assert [s["site"] for s in read] == [str(tmp_path / "own.toml"), "lc2"]


def test_a_hole_in_a_label_is_named_where_it_costs_a_screw(labels):
    voxels = labels.labels.voxels.copy()
    kji = np.argwhere(labels.mask("hip_right"))
    deep = ndimage.distance_transform_edt(labels.mask("hip_right"))
    middle = np.array(np.unravel_index(int(deep.argmax()), deep.shape))
    near = kji[np.linalg.norm(kji - middle, axis=1) < 0.85 * deep.max()]
    voxels[tuple(near.T)] = 0
    bones = pelvic_bones(Segmentation(labels.labels.with_voxels(voxels), labels.segments))
    assert "holes of" in bones.hole("hip_right")
    assert bones.hole("hip_left") == ""
    assert bones.hole("S1") == ""  # canal and foramina are open


def test_what_is_wrong_with_the_sacrum_is_said_of_a_screw_through_its_wing(labels):
    alone = Segmentation(labels.labels, tuple(s for s in labels.segments if s.name != "S1"))
    (skipped,) = plan_sites(None, alone, [SiteRequest("s2_alar_iliac", ("right",))], options=NO_RISK).skipped
    assert "there is no 'S1'" in skipped.reason
