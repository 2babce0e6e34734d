"""Three parallel screws in a femoral neck, on femora of known shape."""

from dataclasses import replace

import numpy as np
import pytest
from core.bone_shapes import sphere
from core.hip_shapes import Femur

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import transform_points, unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib.cli.arguments import build_parser
from MSKPlannerLib.cli.sites import parse_sites
from MSKPlannerLib.pipeline import CaseOptions, plan_case
from MSKPlannerLib.plan_file import plan_from_json, plan_to_json
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.parallel import largest_inverted
from MSKPlannerLib.screws.sites.description import load_site
from MSKPlannerLib.screws.sites.femoral_neck import hip_of
from MSKPlannerLib.screws.sites.plan_sites import plan_sites
from MSKPlannerLib.screws.sites.request import SiteRequest, request_from_table

SITE = load_site("femoral_neck")
NO_RISK = ScrewOptions(error_budget="")
FEMUR = Femur()


def angle_deg(a, b):
    return float(np.degrees(np.arccos(np.clip(unit(a) @ unit(b), -1, 1))))


@pytest.fixture(scope="module")
def labels():
    return FEMUR.segmentation()


@pytest.fixture(scope="module")
def rough():
    return FEMUR.segmentation((1.6, 1.6, 1.6))


@pytest.fixture(scope="module")
def hip(rough):
    return hip_of(rough, "right")


@pytest.fixture(scope="module")
def case(labels):
    volume = labels.labels
    ct = volume.with_voxels(np.where(volume.voxels > 0, 300, -100).astype(np.int16), modality=Modality.CT)
    asked = SiteRequest("femoral_neck", ("right",))
    return plan_case(ct, None, labels, CaseOptions(screws=NO_RISK, sites=(asked,)))


def grown(screw, more_mm):
    """Points of a screw's wall behind its entry zone and of its tip's rim, its radius made larger."""
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = unit(tip - entry)
    u = unit(np.cross(axis, [1.0, 0, 0]))
    ring = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    wall = np.cos(ring)[:, None] * u + np.sin(ring)[:, None] * np.cross(axis, u)
    along = np.arange(max(6.0, screw.diameter_mm), screw.length_mm + 0.1, 0.5)
    return entry + along[:, None, None] * axis + (0.5 * screw.diameter_mm + more_mm) * wall


# ------------------------------------------------------------------ the frame
def test_the_frame_is_that_of_the_femur(hip):
    frame = hip.frame
    assert np.linalg.norm(frame.head.centre_ras - FEMUR.centre) < 0.3
    assert frame.head.radius_mm == pytest.approx(FEMUR.head_radius, abs=0.2)
    assert angle_deg(frame.neck_axis_ras, FEMUR.axis) < 2.0
    assert angle_deg(frame.up_ras, np.array([0, 0, 1.0])) < 0.5
    assert frame.neck_shaft_deg == pytest.approx(FEMUR.neck_shaft_deg, abs=2.0)
    assert abs((frame.lesser_trochanter_ras - FEMUR.lesser)[2]) < 2.0
    # Front, seen across neck and shaft: for an anteverted neck turned by as much.
    assert angle_deg(frame.anterior_ras, np.array([0, 1.0, 0])) == pytest.approx(FEMUR.anteversion_deg, abs=2.0)


# ------------------------------------------------------------------ the screws
def test_three_parallel_screws_lie_in_true_bone_above_the_lesser_trochanter_and_under_the_heads_surface(case):
    screws = case.plan.screws
    assert [s.name for s in screws] == [f"Femoral neck right {n}" for n in ("inferior", "anterior", "posterior")]
    direction = unit(np.subtract(screws[0].tip_ras, screws[0].entry_ras))
    for screw in screws:
        assert screw.verdict is Verdict.ACCEPTED
        assert screw.grade == "A"
        assert angle_deg(np.subtract(screw.tip_ras, screw.entry_ras), direction) < 1e-3
        assert (FEMUR.depth(grown(screw, SITE.clearance_mm - 0.4)) > 0).all()
        rim = grown(screw, 0.0)[-1]
        under = FEMUR.head_radius - np.linalg.norm(rim - FEMUR.centre, axis=-1)
        assert under.min() > SITE.tip_margin_mm - 0.5
        assert under.min() < SITE.tip_margin_mm + 5.5  # lengths come in steps of 5 mm
        assert screw.entry_ras[2] > FEMUR.lesser[2] + screw.diameter_mm / 2 - 2.0
        assert abs(float(FEMUR.depth(np.array([screw.entry_ras]))[0])) < 0.5
        assert screw.hu_mean == pytest.approx(300, abs=30)
    assert case.plan.verdict is Verdict.ACCEPTED
    assert plan_from_json(plan_to_json(case.plan)) == plan_from_json(plan_to_json(case.plan))
    assert set(case.bones) == {"right femur"}


def test_the_triangle_is_inverted_and_as_wide_as_the_neck_allows(case):
    below, front, back = (np.array(s.entry_ras) for s in case.plan.screws)
    direction = unit(np.subtract(case.plan.screws[0].tip_ras, below))
    area = 0.5 * float(np.cross(front - below, back - below) @ direction)
    # A round neck holds axes within a circle of its radius less screw and clearance; of the triangles in a circle the
    # equilateral one is largest.
    free = FEMUR.neck_radius - case.plan.screws[0].diameter_mm / 2 - SITE.clearance_mm
    assert abs(area) == pytest.approx(3 * np.sqrt(3) / 4 * free**2, rel=0.06)
    arms = [p - FEMUR.centre - (p - FEMUR.centre) @ direction * direction for p in (below, front, back)]
    up = unit(np.array([0, 0, 1.0]) - direction[2] * direction)
    heights = [a @ up for a in arms]
    assert heights[0] < min(heights[1:]) - 8
    assert (arms[1] - arms[2])[1] > 8  # the anterior one lies in front
    notes = " ".join(case.plan.screws[0].notes)
    assert "mm from the neck's cortex (caudal)" in notes
    assert "above the level of the lesser trochanter" in notes


def test_the_largest_inverted_triangle_of_places_is_the_largest():
    rng = np.random.default_rng(3)
    p = rng.uniform(-10, 10, (22, 2))
    rows, area = largest_inverted(p, 6.0, 20.0)
    best = 0.0
    for a in p:  # exhaustive, in other words
        for b in p:
            for c in p:
                d = b - c
                if d[0] <= 0 or abs(d[1]) > np.tan(np.radians(20.0)) * d[0]:
                    continue
                if min(np.linalg.norm(a - b), np.linalg.norm(a - c), np.linalg.norm(d)) < 6.0:
                    continue
                foot = (a - c) @ d / (d @ d)
                under = (a[0] - c[0]) * d[1] - (a[1] - c[1]) * d[0]
                if 0 <= foot <= 1 and under > 0:
                    best = max(best, 0.5 * under)
    assert area == pytest.approx(best)
    assert largest_inverted(p, 30.0, 20.0) is None
    low, front, back = p[rows]
    assert front[0] > back[0]
    assert low[1] < min(front[1], back[1]) + 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_generated_femora(seed):
    g = np.random.default_rng(seed)
    r = g.uniform(20.5, 27)
    femur = Femur(
        neck_shaft_deg=g.uniform(116, 138),
        anteversion_deg=g.uniform(-5, 30),
        head_radius=r,
        neck_radius=r * g.uniform(0.6, 0.72),
        shaft_radius=g.uniform(13.5, 17),
        trochanter_radius=g.uniform(18, 22),
        neck_mm=r * g.uniform(2.25, 2.5),
        lesser_below_mm=g.uniform(30, 36),
        side=str(g.choice(["left", "right"])),
    )
    labels = femur.segmentation((0.8, 0.8, float(g.choice([0.8, 1.0, 1.5]))))
    found = plan_sites(None, labels, [SiteRequest("femoral_neck", (femur.side,))], options=NO_RISK)
    assert len(found.screws) == 3, found.skipped
    for screw in found.screws:
        assert screw.verdict is Verdict.ACCEPTED
        assert (femur.depth(grown(screw, SITE.clearance_mm - 0.4)) > 0).all()
        assert screw.entry_ras[2] > femur.lesser[2] + screw.diameter_mm / 2 - 2.0


# ------------------------------------------------------------------ bad input
def refused(labels, side="right", **more):
    (skipped,) = plan_sites(None, labels, [SiteRequest("femoral_neck", (side,), **more)], options=NO_RISK).skipped
    return skipped.reason


def test_a_femur_that_is_not_there_in_fragments_or_of_the_other_side_is_said(rough):
    assert "no segment 'left femur'" in refused(rough, "left")
    swapped = Segmentation(rough.labels, (replace(rough.segments[0], name="femur_left"),))
    assert "swapped" in refused(swapped, "left")
    pieces = (replace(rough.segments[0], name="right femur, fragment 1"), Segment(2, "right femur, fragment 2"))
    assert "fragments" in refused(Segmentation(rough.labels, pieces))


def test_a_head_or_a_shaft_out_of_view_is_said(rough):
    top = transform_points(rough.labels.ras_to_ijk, FEMUR.centre + [0, 0, 10.0])[2]
    n = rough.labels.shape_ijk
    cut = replace(rough, labels=rough.labels.cropped([0, 0, 0], [n[0], n[1], int(top)]))
    assert "border cuts" in refused(cut)
    low = transform_points(rough.labels.ras_to_ijk, FEMUR.junction - [0, 0, 40.0])[2]
    short = replace(rough, labels=rough.labels.cropped([0, 0, int(low)], n))
    assert "too little of the shaft" in refused(short)


@pytest.mark.slow
def test_a_socket_grown_together_with_the_head_and_a_hole_in_it_are_said(rough):
    pad = 12
    volume = replace(
        rough.labels,
        voxels=np.pad(rough.labels.voxels, pad),
        origin_ras=transform_points(rough.labels.ijk_to_ras, np.full(3, -float(pad))),
    )
    k, j, i = np.indices(volume.voxels.shape)
    ras = transform_points(volume.ijk_to_ras, np.stack([i, j, k], axis=-1).astype(float))
    bowl = sphere(FEMUR.head_radius + 9.0)(ras - FEMUR.centre) > 0
    bowl &= (ras - FEMUR.centre) @ FEMUR.axis > -6.0
    merged = Segmentation(volume.with_voxels(np.where(bowl, 1, volume.voxels).astype(np.uint8)), rough.segments)
    assert "rather a socket" in refused(merged)
    hollow = sphere(14.0)(ras - FEMUR.neck_middle) > 0
    holed = Segmentation(volume.with_voxels(np.where(hollow, 0, volume.voxels).astype(np.uint8)), rough.segments)
    assert "holes of" in refused(holed)


def test_metal_is_said(rough):
    volume = rough.labels
    hu = np.where(volume.voxels > 0, 300, -100).astype(np.int16)
    near = transform_points(volume.ras_to_ijk, FEMUR.neck_middle).astype(int)
    hu[near[2] - 4 : near[2] + 5, near[1] - 4 : near[1] + 5, near[0] - 4 : near[0] + 5] = 3071
    ct = volume.with_voxels(hu, modality=Modality.CT)
    (skipped,) = plan_sites(ct, rough, [SiteRequest("femoral_neck", ("right",))], options=NO_RISK).skipped
    assert "metal" in skipped.reason


def test_a_neck_too_thin_for_three_screws_is_said():
    thin = Femur(neck_radius=9.0)
    assert "no three parallel screws" in refused(thin.segmentation((1.6, 1.6, 1.6)))


# ------------------------------------------------------------------ landmarks
@pytest.mark.slow
def test_placed_landmarks_take_the_place_of_what_is_found(rough):
    placed = {
        "head_centre": tuple(FEMUR.centre),
        "neck_centre": tuple(FEMUR.neck_middle),
        "shaft_proximal": tuple(FEMUR.junction),
        "shaft_distal": tuple(FEMUR.junction - [0, 0, 60.0]),
        "lesser_trochanter": tuple(FEMUR.lesser + [0, 0, 12.0]),
    }
    low = transform_points(rough.labels.ras_to_ijk, FEMUR.junction - [0, 0, 40.0])[2]
    short = replace(rough, labels=rough.labels.cropped([0, 0, int(low)], rough.labels.shape_ijk))
    found = plan_sites(None, short, [SiteRequest("femoral_neck", ("right",), landmarks=placed)], options=NO_RISK)
    for screw in found.screws:
        assert screw.entry_ras[2] > FEMUR.lesser[2] + 12.0 + screw.diameter_mm / 2 - 0.1
        assert "placed by the user" in " ".join(screw.notes)
    assert len(found.screws) == 3
    far = {"head_centre": tuple(FEMUR.centre + [0, 0, 15.0])}
    assert "'head_centre' lies" in refused(rough, landmarks=far)
    other = {"lesser_trochanter": tuple(FEMUR.lesser * [-1, 1, 1])}
    assert "from the surface of this femur" in refused(rough, landmarks=other)
    assert "shaft's axis needs" in refused(rough, landmarks={"shaft_distal": placed["shaft_distal"]})


def test_landmarks_on_the_command_line_and_in_a_table(tmp_path):
    points = tmp_path / "hip.fcsv"
    points.write_text(
        "# Markups fiducial file version = 5.0\n# CoordinateSystem = RAS\n# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc\n"
        "1,1,2,3,0,0,0,1,1,1,0,Lesser trochanter,\n"
    )
    arguments = ["screws", "ct.nrrd", "--out", "x", "--site", "femoral_neck", "--landmarks", str(points)]
    (asked,) = parse_sites(build_parser().parse_args(arguments))
    assert asked.landmarks == {"lesser_trochanter": (1.0, 2.0, 3.0)}
    table = {"site": "femoral_neck", "landmarks": {"head_centre": [1, 2, 3]}}
    assert request_from_table(table, "case").landmarks == {"head_centre": (1.0, 2.0, 3.0)}
    for bad, words in (
        ({"site": "femoral_neck", "landmarks": {"knee": [1, 2, 3]}}, "no landmark"),
        ({"site": "femoral_neck", "landmarks": {"head_centre": [1, 2]}}, "not a point"),
        ({"site": "iliosacral_s1", "landmarks": {"head_centre": [1, 2, 3]}}, "takes none"),
    ):
        with pytest.raises(InputError, match=words):
            request_from_table(bad, "case")


def test_a_bar_with_a_ball_is_no_femur():
    straight = Femur(neck_shaft_deg=172.0)
    with pytest.raises(GeometryError):
        hip_of(straight.segmentation((1.5, 1.5, 1.5)), "right")
