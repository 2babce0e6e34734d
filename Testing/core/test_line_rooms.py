"""Rooms of many lines at once against the surface of one screw at a time."""

import numpy as np
import pytest
from core.bone_shapes import capsule, sphere, union

from MSKFusionLib.frames import unit_rows
from MSKPlannerLib.bone.depth_field import DepthField
from MSKPlannerLib.screws.line_rooms import line_rooms
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
