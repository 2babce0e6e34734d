"""A tibia of bars and blocks with known landmarks: right, x lateral, y forward, z up, its plateau near the origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from core.guide_shapes import bar, smooth_union

from MSKFusionLib.frames import rigid, rotation_about, transform_points
from MSKPlannerLib.guides.field import Grid
from MSKPlannerLib.mesh import Mesh

#: Half axes of each joint surface, and its middle's distance from the middle of the eminence.
HALF_WIDTH, HALF_DEPTH, APART = 16.0, 21.0, 23.0
#: Half width of a tibial spine, its distance from the middle and its height over the joint surface.
SPINE, SPINE_APART, SPINE_HEIGHT = 4.0, 5.0, 9.0


@dataclass(frozen=True)
class TibiaShape:
    """What the generated tibia is made by.

    Parameters
    ----------
    mpta_deg, slope_deg, torsion_deg
        As `limb_measures` defines them.
    length_mm
        From the joint surfaces' middle to the middle of the plafond.
    shift_mm
        By how much the eminence lies laterally of the ankle's middle.
    """

    mpta_deg: float = 87.0
    slope_deg: float = 8.0
    torsion_deg: float = 28.0
    length_mm: float = 360.0
    shift_mm: float = 2.0

    @property
    def plateau_to_bone(self):
        """The plane of the joint surfaces (z its normal), from the angles in the frame of the mechanical axis."""
        # Normal of the plane that rises laterally and falls to the back by these angles against the axis.
        normal = np.array([-np.tan(np.radians(90 - self.mpta_deg)), -np.tan(np.radians(self.slope_deg)), 1.0])
        z = normal / np.linalg.norm(normal)
        x = np.cross([0, 1.0, 0], z)
        x /= np.linalg.norm(x)
        return rigid(np.column_stack([x, np.cross(z, x), z]), [self.shift_mm, 0, 0])

    @property
    def ankle_to_bone(self):
        return rigid(rotation_about([0, 0, 1], -self.torsion_deg), [0, 0, -self.length_mm])

    @property
    def ankle_centre(self):
        return np.array([0.0, 0, -self.length_mm])

    @property
    def knee_centre(self):
        """On the top of the spines, in their middle."""
        return transform_points(self.plateau_to_bone, [0, 0, SPINE_HEIGHT])

    @property
    def medial_malleolus(self):
        return transform_points(self.ankle_to_bone, [-24.0, 0, 0])

    @property
    def lateral_malleolus(self):
        return transform_points(self.ankle_to_bone, [31.0, 0, 0])

    def normal(self):
        return self.plateau_to_bone[:3, 2]


def block(p, low, high, rounding=2.0):
    """Distance-like field of a box with rounded edges."""
    low, high = np.asarray(low, float) + rounding, np.asarray(high, float) - rounding
    d = np.maximum(low - p, p - high)
    return np.linalg.norm(np.maximum(d, 0), axis=1) + np.minimum(d.max(axis=1), 0) - rounding


def _column(q, centre, half, top, bottom, rounding=2.0):
    """Elliptic column with a flat top."""
    side = (np.hypot((q[:, 0] - centre[0]) / half[0], (q[:, 1] - centre[1]) / half[1]) - 1) * min(half)
    return -smooth_union(-side, -np.maximum(q[:, 2] - top, bottom - q[:, 2]), rounding)


def tibia_field(p, shape: TibiaShape):
    """Distance-like function, negative inside."""
    frame = shape.plateau_to_bone
    q = (p - frame[:3, 3]) @ frame[:3, :3]
    discs = [_column(q, (x, 0), (HALF_WIDTH, HALF_DEPTH), 0.0, -14.0) for x in (-APART, APART)]
    d = smooth_union(*discs, 1.0)
    # What lies between and under the joint surfaces: convex in front, short of the condyles at the back.
    d = smooth_union(d, _column(q, (0, 4), (22, 20), -3.5, -40.0), 1.0)
    for x in (-SPINE_APART, SPINE_APART):
        d = smooth_union(
            d, bar(q, [x, -7, SPINE_HEIGHT - SPINE], [x, 7, SPINE_HEIGHT - SPINE], SPINE, SPINE, [1, 0, 0]), 1
        )
        d = smooth_union(d, block(q, [x - SPINE, -9, -8], [x + SPINE, 9, SPINE_HEIGHT - SPINE], 1.0), 1)
    ankle = shape.ankle_centre
    for part in (
        bar(p, [shape.shift_mm, 0, -40], [0, -2, -75], 15, 24, [1, 0, 0]),
        bar(p, [4, 17, -35], [4, 12, -55], 8, 8, [1, 0, 0]),
        bar(p, [0, -2, -60], ankle + [0, 0, 25], 11, 13, [0, 1, 0]),
    ):
        d = smooth_union(d, part, 4.0)
    a = (p - ankle) @ shape.ankle_to_bone[:3, :3]
    end = smooth_union(block(a, [-18, -16, 0], [18, 16, 30]), block(a, [-30, -12, -13], [-17.8, 12, 14]), 1.0)
    return smooth_union(d, end, 2.0)


def tibia_mesh(shape=None, spacing_mm=2.0, side="right", bottom=None, top=30.0) -> Mesh:
    """The whole tibia, or what lies between two heights."""
    shape = shape or TibiaShape()
    bottom = -shape.length_mm - 22 if bottom is None else bottom
    return _mesh(lambda p: tibia_field(p, shape), [-50.0, -40, bottom], [54.0, 45, top], spacing_mm, side)


def fibula_mesh(shape=None, spacing_mm=2.0, side="right") -> Mesh:
    shape = shape or TibiaShape()
    end = shape.lateral_malleolus

    def field(p):
        a = (p - shape.ankle_centre) @ shape.ankle_to_bone[:3, :3]
        shaft = bar(p, [38.0, -14, -30], end + [0, 0, 20], 5, 6, [0, 1, 0])
        return smooth_union(shaft, bar(a, [31.0, 0, 18], [31.0, 0, -15], 6, 9, [0, 1, 0]), 4.0)

    high = np.array([54.0, 30, -15])
    return _mesh(field, [10.0, -45, -shape.length_mm - 32], high, spacing_mm, side)


def talus_mesh(shape=None, spacing_mm=2.0, side="right") -> Mesh:
    """A block under a roller that lies across the ankle; its top is 3 mm below the plafond."""
    shape = shape or TibiaShape()

    def field(p):
        a = (p - shape.ankle_centre) @ shape.ankle_to_bone[:3, :3]
        roller = np.maximum(np.hypot(a[:, 1], a[:, 2] + 25) - 22, np.abs(a[:, 0]) - 15)
        return smooth_union(roller, block(a, [-14, -20, -45], [14, 35, -22]), 3.0)

    low, high = shape.ankle_centre + [-45, -45, -52], shape.ankle_centre + [45, 45, 5]
    return _mesh(field, low, high, spacing_mm, side)


def _mesh(field, low, high, spacing_mm, side) -> Mesh:
    low, high = np.asarray(low, float), np.asarray(high, float)
    count = tuple(int(n) for n in np.ceil((high - low) / spacing_mm) + 1)
    grid = Grid(rigid(translation=low), spacing_mm, count)
    mesh = grid.surface(field(grid.points_ras()).reshape(count))
    return mesh if side == "right" else mesh.transformed(np.diag([-1.0, 1, 1, 1]))
