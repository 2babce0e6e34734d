"""The widest corridor against known answers and against exhaustive search."""

import numpy as np
import pytest
from core.bone_shapes import capsule, grid, moved, rasterise, union

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import perpendicular_axes, rigid, rotation_about, transform_points, unit
from MSKPlannerLib.bone.smooth_bone import depth_field_of_mask
from MSKPlannerLib.screws.corridor import LineFamily, line_clearance_mm, widest_corridor

POSE = rigid(rotation_about([1, -2, 0.5], 40), (10.0, -30.0, 100.0))


def field_of(shape, half=(14, 22, 14)):
    volume = grid(np.linalg.norm(half) * np.ones(3) * 0.75, (0.8, 0.8, 1.0), None, POSE[:3, 3])
    return depth_field_of_mask(volume, rasterise(moved(shape, POSE), volume))


def family(start, end, half_start=(3.0, 3.0), half_end=(3.0, 3.0), **limits):
    a, b = transform_points(POSE, np.array([start, end], float))
    return LineFamily(a, b, POSE[:3, 0], POSE[:3, 2], half_start, half_end, **limits)


def test_finds_the_axis_of_a_bar_from_a_start_beside_it():
    bar = capsule((1.3, -20, -0.8), (-1.7, 20, 1.1), 4.0)
    found = widest_corridor(field_of(bar), family((0, -14, 0), (0, 14, 0)), gap_mm=0.1)
    # The least depth along 28 mm of a rasterised wall: its unevenness takes a few tenths, and never adds.
    assert 3.5 < found.clearance_mm < 4.05
    axis = POSE[:3, :3] @ unit([-3.0, 40.0, 1.9])
    direction = unit(found.end_ras - found.start_ras)
    assert np.degrees(np.arccos(direction @ axis)) < 1.5
    middle = transform_points(np.linalg.inv(POSE), 0.5 * (found.start_ras + found.end_ras))
    assert np.linalg.norm(middle[[0, 2]] - [-0.2, 0.15]) < 0.3


def test_the_bound_holds_against_exhaustive_search():
    # Two bars that cross: several separate optima, which a local search would confuse.
    bone = field_of(union(capsule((-5, -18, 0), (4, 18, 2), 3.4), capsule((4, -18, 1), (-4, 18, -1), 3.0)))
    lines = family((0, -12, 0), (0, 12, 0), (5.0, 3.0), (5.0, 3.0))
    found = widest_corridor(bone, lines, gap_mm=0.1)
    u, v = np.linspace(-5, 5, 21), np.linspace(-3, 3, 13)
    every = np.stack(np.meshgrid(u, v, u, v, indexing="ij"), axis=-1).reshape(-1, 4)
    best = line_clearance_mm(bone, lines, every).max()
    assert found.clearance_mm >= best - 0.1
    assert found.bound_mm >= best
    assert found.clearance_mm <= found.bound_mm <= found.clearance_mm + 0.12
    assert found.evaluations < len(every)


def test_direction_limits_are_kept():
    bone = field_of(capsule((-4, -20, 0), (4, 20, 0), 4.0))
    free = widest_corridor(bone, family((0, -14, 0), (0, 14, 0), (5, 3), (5, 3)))
    limited = widest_corridor(bone, family((0, -14, 0), (0, 14, 0), (5, 3), (5, 3), u_shift_mm=(-8.0, 0.5)))
    shift = (limited.end_ras - limited.start_ras) @ POSE[:3, 0]
    assert shift <= 0.5 + 1e-6
    assert (free.end_ras - free.start_ras) @ POSE[:3, 0] > 4
    assert limited.clearance_mm < free.clearance_mm


def test_limits_without_a_line_are_an_error_in_words():
    bone = field_of(capsule((0, -20, 0), (0, 20, 0), 4.0))
    with pytest.raises(ProcessingError, match="direction limits"):
        widest_corridor(bone, family((0, -14, 0), (0, 14, 0), u_shift_mm=(30.0, 40.0)))


def test_the_same_twice():
    bone = field_of(capsule((1, -20, 0), (-1, 20, 1), 3.0))
    a, b = (widest_corridor(bone, family((0, -14, 0), (0, 14, 0))) for _ in range(2))
    assert np.array_equal(a.parameters, b.parameters)
    assert a.clearance_mm == b.clearance_mm


def test_a_family_in_words_of_its_parameters():
    u, _ = perpendicular_axes([0, 1, 0])
    lines = LineFamily(np.zeros(3), np.array([0, 10.0, 0]), u, np.array([0, 0, 1.0]), (1, 1), (1, 1), (-1.0, 1.0))
    start, end = lines.ends_ras(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert np.allclose(start[0], u + [0, 0, 2.0])
    assert np.allclose(end[0], [0, 10.0, 0] + 3 * u + [0, 0, 4.0])
    assert lines.outside_limits_mm(np.array([[1.0, 2.0, 3.0, 4.0]]))[0] == pytest.approx(1.0)


def test_a_line_is_found_again_by_any_two_of_its_points():
    turn = rotation_about((1, 2, 3), 25.0)
    family = LineFamily(np.array([1.0, 2, 3]), turn @ [0, 40.0, 0] + [1, 2, 3], turn[:, 0], turn[:, 2], (9, 9), (9, 9))
    x = np.array([1.5, -2.0, 3.0, 0.5])
    start, end = (p[0] for p in family.ends_ras(x[None]))
    np.testing.assert_allclose(
        family.parameters_of(start + 0.3 * (end - start), start + 1.7 * (end - start)), x, atol=1e-9
    )
