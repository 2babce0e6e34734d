"""Radius and ulna of planes and bars with known landmarks: right, x radial, y palmar, z to the elbow; the radius' reference in the origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from core.guide_shapes import bar, smooth_union
from core.tibia_shapes import _mesh

from MSKPlannerLib.anatomy.forearm import ForearmLandmarks
from MSKPlannerLib.mesh import Mesh

#: Outline of the joint surface seen from the hand: ulnar corners, ends of the rims, styloid.
ULNAR, RIM_END, RIM_Y, STYLOID_X = 0.0, 18.0, 9.0, 30.0

#: The two fossae: middle and half axes; their depth.
FOSSAE, DISH_MM = ((7.5, 7.0, 8.5), (20.0, 7.5, 7.0)), 2.0


@dataclass(frozen=True)
class WristShape:
    """What the generated wrist is made by; see `anatomy.forearm.WRIST_MEASURES`."""

    inclination_deg: float = 24.0
    tilt_deg: float = 11.0
    variance_mm: float = 0.0
    length_mm: float = 230.0

    def joint_z(self, x, y):
        """Height of the plane of the radius' joint surface."""
        return -np.tan(np.radians(self.inclination_deg)) * x + np.tan(np.radians(self.tilt_deg)) * y

    @property
    def landmarks(self) -> ForearmLandmarks:
        """The truth; the shaft stands over the middle of the joint surface, its two points anywhere on it."""

        def on(x, y):
            return np.array([x, y, self.joint_z(x, y)])

        lunate = 0.25 * STYLOID_X
        return ForearmLandmarks(
            "right",
            shaft_proximal=np.array([12.0, 0, 60.0]),
            shaft_distal=np.array([12.0, 0, 40.0]),
            radial_styloid=on(STYLOID_X, 0),
            volar_ulnar_corner=on(ULNAR, RIM_Y),
            dorsal_ulnar_corner=on(ULNAR, -RIM_Y),
            volar_rim=on(lunate, RIM_Y),
            dorsal_rim=on(lunate, -RIM_Y),
            ulnar_head=np.array([-11.0, 0, -self.variance_mm]),
        )


def radius_field(p, shape: WristShape):
    """Distance-like function, negative inside."""
    x, y, z = p.T
    along = np.array([RIM_Y, STYLOID_X - RIM_END]) / np.hypot(RIM_Y, STYLOID_X - RIM_END)
    walls = [ULNAR - x, np.abs(y) - RIM_Y, (x - STYLOID_X) * along[0] + np.abs(y) * along[1]]
    flat = np.sqrt(1 + np.tan(np.radians(shape.inclination_deg)) ** 2 + np.tan(np.radians(shape.tilt_deg)) ** 2)
    # The fossae of lunate and scaphoid; the rims stay in one plane.
    dish = sum(DISH_MM * np.maximum(0, 1 - ((x - at) / half) ** 2 - (y / deep) ** 2) for at, half, deep in FOSSAE)
    joint = (shape.joint_z(x, y) + dish - z) / flat
    block = np.max([*walls, joint, z - 14.0], axis=0)
    neck = bar(p, [12.0, 0, 8.0], [12.0, 0, 24.0], 8.0, 11.0, [1, 0, 0])
    shaft = bar(p, [12.0, 0, 10.0], [12.0, 0, shape.length_mm - 8], 7.0, 7.0, [1, 0, 0])
    head = bar(p, [12.0, 0, shape.length_mm - 12], [12.0, 0, shape.length_mm - 6], 9.0, 9.0, [1, 0, 0])
    return smooth_union(smooth_union(block, neck, 2.0), smooth_union(shaft, head, 2.0), 2.0)


def ulna_field(p, shape: WristShape):
    """A shaft, a head with a flat end, and a styloid behind it that reaches farther."""
    q = p - np.array([-11.0, 0, -shape.variance_mm])
    round_head = np.maximum(np.hypot(q[:, 0], q[:, 1]) - 8.0, np.maximum(-q[:, 2], q[:, 2] - 14.0))
    shaft = bar(q, [0.0, 0, 10.0], [0.0, 0, shape.length_mm], 6.0, 6.0, [1, 0, 0])
    styloid = bar(q, [-5.5, -5.5, 6.0], [-5.5, -5.5, -3.0], 2.2, 2.2, [1, 0, 0])
    return smooth_union(smooth_union(round_head, shaft, 2.0), styloid, 0.5)


def radius_mesh(shape=None, spacing_mm=1.0, side="right", top=None) -> Mesh:
    """The whole radius, or what lies below a height."""
    shape = shape or WristShape()
    top = shape.length_mm + 8 if top is None else top
    return _mesh(lambda p: radius_field(p, shape), [-8.0, -16, -26], [38.0, 16, top], spacing_mm, side)


def ulna_mesh(shape=None, spacing_mm=1.0, side="right", top=None) -> Mesh:
    shape = shape or WristShape()
    top = shape.length_mm if top is None else top
    return _mesh(
        lambda p: ulna_field(p, shape), [-25.0, -14, -20 - shape.variance_mm], [2.0, 14, top], spacing_mm, side
    )
