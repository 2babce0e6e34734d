"""Rooms of many lines at once against the surface of one screw at a time."""

import numpy as np
import pytest
from core.bone_shapes import capsule, sphere, union

from MSKFusionLib.frames import unit_rows
from MSKPlannerLib.bone.depth_field import DepthField
from MSKPlannerLib.screws.corridor import ALL_MOVES, LineFamily
from MSKPlannerLib.screws.line_rooms import line_rooms, nearest_count
from MSKPlannerLib.screws.line_slopes import LineSlopes
from MSKPlannerLib.screws.safety import screw_surface

#: A thin bar between two thick ends, or one bar that is as thin all along: there few rings tell nothing.
NARROW = union(
    capsule((0, -8, 0), (0, 8, 0), 3.2), lambda p: sphere(14.0)(p - [0, 24, 0]), lambda p: sphere(9)(p + [0, 16, 0])
)
EVEN = capsule((0, -20, 0), (0, 30, 0), 4.0)


def field_of(depth):
    k, j, i = np.indices((81, 141, 81)) * 0.5
    points = np.stack([i - 20.0, j - 32.0, k - 20.0], axis=-1)
    return DepthField(depth(points).astype(np.float32), np.array([-20.0, -32.0, -20.0]), np.eye(3), 0.5)


@pytest.mark.parametrize("depth", [NARROW, EVEN])
@pytest.mark.parametrize(("length_mm", "diameter_mm"), [(35.0, 4.0), (40.0, 5.5), (12.0, 4.0)])
def test_all_lines_at_once_are_what_each_is_alone(depth, length_mm, diameter_mm):
    bone = field_of(depth)
    rng = np.random.default_rng(2)
    entries = np.array([0, -22.0, 0]) + rng.uniform(-1.5, 1.5, (30, 3))
    ways = unit_rows(np.array([0, 1.0, 0]) + rng.uniform(-0.08, 0.08, (30, 3)))
    counted = rng.uniform(-2.0, 9.0, 30)
    along = np.arange(0.0, 75.0, 0.75)
    axis_depth = bone.depth_mm(entries[:, None] + along[:, None] * ways[:, None])
    found = line_rooms(bone, entries, ways, length_mm, diameter_mm, counted, axis_depth, 0.75)
    for n in range(30):
        tip = entries[n] + length_mm * ways[n]
        alone = screw_surface(bone.depth_mm, entries[n], tip, diameter_mm, counted_from_mm=counted[n])
        depths = np.sort(alone.depths_mm)
        nearest = depths[: max(1, int(0.03 * len(depths)))]
        assert found[n] == pytest.approx([nearest.mean(), nearest[0]], abs=1e-6)


def room_mm(bone, family, x, length_mm, diameter_mm):
    """Return the room of one screw whose entry lies on the plane y = -22."""
    start, end = (p[0] for p in family.ends_ras(np.asarray(x)[None]))
    way = (end - start) / np.linalg.norm(end - start)
    entry = start + (-22.0 - start[1]) / way[1] * way
    surface = screw_surface(bone.depth_mm, entry, entry + length_mm * way, diameter_mm, counted_from_mm=4.0)
    depths = np.sort(surface.depths_mm)
    return depths[: nearest_count(len(depths))].mean(), entry, entry + length_mm * way


def test_slopes_tell_which_lines_nearby_have_more_room():
    bone, at = field_of(NARROW), np.array([0.5, -0.4, -0.3, 0.6])
    family = LineFamily(
        np.array([0, -8.0, 0]), np.array([0, 8.0, 0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), (5, 5), (5, 5)
    )
    here, entry, tip = room_mm(bone, family, at, 35.0, 4.0)
    (slopes,) = LineSlopes.of_screws(bone, family, entry[None], tip[None], 4.0, np.array([4.0]))
    assert slopes.rooms(np.zeros((1, 4)))[0] == pytest.approx(here, abs=1e-6)
    for step_mm, off_mm in ((0.05, 0.005), (0.2, 0.05)):
        moves = step_mm * ALL_MOVES
        true = np.array([room_mm(bone, family, at + move, 35.0, 4.0)[0] for move in moves])
        told = slopes.rooms(moves)
        assert np.abs(told - true).max() < off_mm
        assert true.max() > here
        assert int(true.argmax()) in np.argsort(-told)[:8]
