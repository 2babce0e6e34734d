"""Landmark pairs: their files, their fit, their pull on a registration, and what must be refused."""

import json

import numpy as np
import pytest
from core.body_pair import BodyPair, body_pair

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid_about, rotation_about, transform_points
from MSKFusionLib.registration import Verdict, register_rigid
from MSKFusionLib.registration.landmark_files import read_landmarks
from MSKFusionLib.registration.landmarks import LandmarkPairs
from MSKFusionLib.registration.mutual_information import motion

NAMES = ("promontory", "left facet", "right facet", "spinous process")
POINTS = np.array([[0.0, 40, 0], [-20, -10, 30], [20, -12, 31], [1, -45, 20]])
POSE = rigid_about((0, 0, 0), rotation_about((1, 2, 3), 40.0), (10.0, -20.0, 30.0))


def _pairs(sd_mm: float = 2.0) -> LandmarkPairs:
    return LandmarkPairs(NAMES, POINTS, transform_points(POSE, POINTS), sd_mm)


def _markups(points: dict, system: str = "LPS") -> str:
    control = [{"label": n, "position": list(map(float, p)), "positionStatus": "defined"} for n, p in points.items()]
    return json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": control}]})


def test_the_fit_is_the_pose():
    np.testing.assert_allclose(_pairs().rigid_fit(), POSE, atol=1e-9)
    np.testing.assert_allclose(_pairs().inverted().rigid_fit() @ POSE, np.eye(4), atol=1e-9)


def test_the_price_is_nothing_at_the_pose_and_its_gradient_is_that_of_differences():
    marks, centre = _pairs(1.5), np.array([5.0, 0.0, 12.0])
    assert marks.price(POSE, centre)[0] == pytest.approx(0, abs=1e-12)
    pose = rigid_about(centre, rotation_about((0, 1, 1), 7.0), (3, 1, -2)) @ POSE
    value, gradient = marks.price(pose, centre)
    assert value > 0
    step = 1e-5
    numeric = [
        (
            marks.price(motion(step * e, centre) @ pose, centre)[0]
            - marks.price(motion(-step * e, centre) @ pose, centre)[0]
        )
        / (2 * step)
        for e in np.eye(6)
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-8)


def test_landmarks_placed_more_exactly_cost_more():
    away = rigid_about((0, 0, 0), np.eye(3), (5, 0, 0)) @ POSE
    exact, rough = (_pairs(sd).price(away, np.zeros(3))[0] for sd in (1.0, 4.0))
    assert exact == pytest.approx(16 * rough)


@pytest.mark.parametrize(
    ("fixed", "moving", "words"),
    [
        (POINTS[:2], POINTS[:2], "at least 3"),
        (np.outer(np.arange(4), [10.0, 0, 0]), POINTS, "one line"),
        (POINTS, POINTS[[0, 2, 1, 3]], "swapped"),
        (POINTS, POINTS * [-1, 1, 1], "left and right"),
    ],
)
def test_landmarks_that_say_nothing_or_contradict_themselves(fixed, moving, words):
    marks = LandmarkPairs(NAMES[: len(fixed)], fixed, moving)
    with pytest.raises(InputError, match=words):
        marks.rigid_fit()


def test_numbers_are_checked():
    with pytest.raises(InputError, match="finite"):
        LandmarkPairs(NAMES, POINTS, np.full_like(POINTS, np.nan))
    with pytest.raises(InputError, match="finite"):
        LandmarkPairs(NAMES[:3], POINTS, POINTS)
    with pytest.raises(InputError, match="standard deviation"):
        LandmarkPairs(NAMES, POINTS, POINTS, 0.0)
    with pytest.raises(InputError, match="'b', 'c' stands in one image only"):
        LandmarkPairs.by_name({"a": (0, 0, 0), "b": (1, 1, 1)}, {"a": (0, 0, 0), "c": (1, 1, 1)})


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_markups_are_read_in_ras(tmp_path, system):
    file = tmp_path / "points.mrk.json"
    file.write_text(_markups(dict(zip(NAMES, POINTS, strict=True)), system))
    sign = [-1, -1, 1] if system == "LPS" else [1, 1, 1]
    found = read_landmarks(file)
    assert tuple(found) == NAMES
    np.testing.assert_allclose(list(found.values()), POINTS * sign)


def test_the_older_format_is_read_too(tmp_path):
    file = tmp_path / "points.fcsv"
    head = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    file.write_text(head + "1,10,20,30,0,0,0,1,1,1,0,tip,,\n2,1,2,3,0,0,0,1,1,1,0,heel,,\n")
    found = read_landmarks(file)
    np.testing.assert_allclose(found["tip"], [-10, -20, 30])
    assert list(found) == ["tip", "heel"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "not a point list"),
        ("{}", "not a point list"),
        (_markups({}), "no point"),
        (_markups({"a": (0, 0, 0)}, "IJK"), "not a point list"),
        (_markups({"a": (0, 0, 0)}).replace("0.0, 0.0, 0.0", "0.0, 0.0"), "has no position"),
        (_markups({"a": (0, 0, 0), "b": (1, 1, 1)}).replace('"b"', '"a"'), "stands twice"),
    ],
)
def test_broken_files_are_refused_in_words(tmp_path, text, words):
    file = tmp_path / "points.mrk.json"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_landmarks(file)
    with pytest.raises(InputError, match="no such file"):
        read_landmarks(tmp_path / "missing.mrk.json")


@pytest.fixture(scope="module")
def far() -> BodyPair:
    return body_pair(2, shift_mm=(-45.0, 60.0, 70.0), turn_deg=150.0)


def _marks_of(pair: BodyPair, off_mm=(0.0, 0.0, 0.0)) -> LandmarkPairs:
    points = pair.bone_points_ras()[13::27]  # the middle of each bone
    noise = np.random.default_rng(1).normal(0, 2.0, points.shape)
    placed = transform_points(pair.ct_to_mr_ras, points) + noise + off_mm
    return LandmarkPairs(tuple(f"bone {n}" for n in range(len(points))), points, placed, 2.0)


def test_rough_landmarks_start_the_search_and_the_images_finish_it(far: BodyPair):
    marks = _marks_of(far)
    assert far.error_mm(marks.rigid_fit()) > 0.5
    found = register_rigid(far.ct, far.mr, landmarks=marks, anywhere=False)
    assert found.verdict is Verdict.ACCEPTED, found.reasons
    assert far.error_mm(found.fixed_to_moving_ras) < 0.4


@pytest.mark.slow
def test_landmarks_that_the_images_contradict_reject_the_result(far: BodyPair):
    wrong = _marks_of(far, off_mm=(0.0, 0.0, 35.0))
    found = register_rigid(far.ct, far.mr, landmarks=wrong, anywhere=False)
    assert found.verdict is Verdict.REJECTED
    assert found.reasons
    assert found.expected_error_mm is None
