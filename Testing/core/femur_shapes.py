"""A femur of balls and bars with known landmarks: right, x lateral, y forward, z up, its notch near the origin."""

from __future__ import annotations

import numpy as np
from core.guide_shapes import bar, smooth_union

from MSKFusionLib.frames import rigid
from MSKPlannerLib.guides.field import Grid
from MSKPlannerLib.mesh import Mesh

HEAD, HEAD_RADIUS = np.array([-45.0, 8.0, 410.0]), 23.0
#: Each condyle: a bar with round ends from back to front; centre of its back end, and its radius.
MEDIAL, MEDIAL_RADIUS = np.array([-24.0, -14.0, 2.0]), 20.0
LATERAL, LATERAL_RADIUS = np.array([24.0, -13.0, 3.0]), 19.0
#: How much higher their front ends lie, so that each has one lowest point: at its back end.
LIFT = 3.0
#: Where the neck is narrowest: it is as wide all along, so only its axis is sharp.
NECK_ROOT = np.array([2.0, -6.0, 372.0])


def femur_field(p):
    """Distance-like function, negative inside."""
    parts = [
        bar(p, MEDIAL, MEDIAL + [0, 26, LIFT], MEDIAL_RADIUS, MEDIAL_RADIUS, [1, 0, 0]),
        bar(p, LATERAL, LATERAL + [0, 27, LIFT], LATERAL_RADIUS, LATERAL_RADIUS, [1, 0, 0]),
        bar(p, [0, 12, 22], [0, 6, 60], 16, 22, [1, 0, 0]),
        bar(p, [0, 6, 40], [0, 0, 365], 13, 14, [1, 0, 0]),
        bar(p, [6, -5, 368], [6, -8, 385], 15, 17, [0, 1, 0]),
        bar(p, HEAD, NECK_ROOT, 15, 15, [0, 0, 1]),
    ]
    d = parts[0]
    for part in parts[1:]:
        d = smooth_union(d, part, 2.5)
    return np.minimum(d, np.linalg.norm(p - HEAD, axis=1) - HEAD_RADIUS)


def femur_mesh(spacing_mm=2.0, side="right", top=450.0) -> Mesh:
    low, high = np.array([-75.0, -45.0, -25.0]), np.array([55.0, 45.0, top])
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing_mm) + 1)
    grid = Grid(rigid(translation=low), spacing_mm, shape)
    mesh = grid.surface(femur_field(grid.points_ras()).reshape(shape))
    return mesh if side == "right" else mesh.transformed(np.diag([-1.0, 1, 1, 1]))
