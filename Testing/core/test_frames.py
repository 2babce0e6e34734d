"""Frames and rigid transforms keep what they promise, for any direction and any angle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import (
    check_rigid,
    fit_rigid,
    flip_ras_lps,
    flip_transform_ras_lps,
    invert_rigid,
    perpendicular_axes,
    rigid,
    rigid_about,
    rotation_about,
    rotation_angle_deg,
    transform_points,
    unit,
    unit_rows,
)

vectors = arrays(np.float64, 3, elements=st.floats(-100, 100, width=32))
directions = vectors.filter(lambda v: np.linalg.norm(v) > 1e-2)
angles = st.floats(-179, 179)


@given(directions, angles, vectors, vectors)
def test_flipped_transform_does_the_same_to_flipped_points(axis, angle, shift, point):
    ras = rigid(rotation_about(axis, angle), shift)
    lps = flip_transform_ras_lps(ras)
    np.testing.assert_allclose(
        transform_points(lps, flip_ras_lps(point)), flip_ras_lps(transform_points(ras, point)), atol=1e-9
    )
    np.testing.assert_array_equal(flip_transform_ras_lps(lps), ras)


@given(directions, angles)
def test_rotation(axis, angle):
    r = rotation_about(axis, angle)
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(r) == pytest.approx(1)
    np.testing.assert_allclose(r @ axis, axis, atol=1e-9)
    assert rotation_angle_deg(r) == pytest.approx(abs(angle), abs=1e-6)


def test_right_hand_rule_and_tiny_angles():
    np.testing.assert_allclose(rotation_about((0, 0, 1), 90) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    assert rotation_angle_deg(rotation_about((1, 2, 3), 1e-7)) == pytest.approx(1e-7, rel=1e-6)


@given(directions, angles, vectors, vectors)
def test_inverse_and_centre(axis, angle, shift, centre):
    m = rigid_about(centre, rotation_about(axis, angle), shift)
    np.testing.assert_allclose(invert_rigid(m) @ m, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(transform_points(m, centre), centre + shift, atol=1e-9)
    np.testing.assert_array_equal(check_rigid(m), m)


@given(directions, angles, vectors, st.integers(0, 1000))
def test_fit_finds_the_transform(axis, angle, shift, seed):
    m = rigid(rotation_about(axis, angle), shift)
    points = np.random.default_rng(seed).normal(0, 30, (5, 3))
    np.testing.assert_allclose(fit_rigid(points, transform_points(m, points)), m, atol=1e-7)


def test_fit_never_mirrors():
    points = np.random.default_rng(0).normal(0, 30, (9, 3))
    assert np.linalg.det(fit_rigid(points, points * [-1, 1, 1])[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        np.full((4, 4), np.nan),
        np.diag([1.0, 1, -1, 1]),
        np.diag([1.0, 1, 1.01, 1]),
        np.eye(4) + np.array([[0, 0, 0, 0]] * 3 + [[0.1, 0, 0, 0]]),
    ],
    ids=["3x3", "nan", "mirror", "scale", "projective"],
)
def test_what_is_not_rigid_is_refused(matrix):
    with pytest.raises(GeometryError, match=r"^scan: "):
        check_rigid(matrix, "scan")


@given(directions)
def test_perpendicular_axes(direction):
    u, v = perpendicular_axes(direction)
    frame = np.stack([u, v, unit(direction)], axis=1)
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1)


@pytest.mark.parametrize("vector", [(0, 0, 0), (np.nan, 0, 1), (np.inf, 0, 0)])
def test_no_direction(vector):
    with pytest.raises(GeometryError):
        unit(vector)


def test_rows_at_length_one_and_nothing_stays_nothing():
    rows = unit_rows([[[3.0, 4.0], [0.0, 0.0]], [[0.0, -1e-9], [2.0, 0.0]]])
    np.testing.assert_allclose(rows, [[[0.6, 0.8], [0, 0]], [[0, -1], [1, 0]]])


def test_many_points_are_moved_as_each_alone():
    rng = np.random.default_rng(0)
    matrix = rigid_about((1.0, 2.0, 3.0), rotation_about((1, 2, -1), 37.0), (4.0, 5.0, 6.0))
    points = rng.uniform(-200, 200, (3, 7001, 3))
    moved = transform_points(matrix, points)
    assert moved.shape == points.shape
    for index in [(0, 0), (1, 6000), (2, 7000)]:
        assert moved[index] == pytest.approx(matrix[:3, :3] @ points[index] + matrix[:3, 3], abs=1e-9)
