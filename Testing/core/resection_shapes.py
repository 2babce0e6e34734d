"""Sawn faces of a resection of a bone that is known by its formula."""

from __future__ import annotations

import numpy as np
from core.femur_shapes import femur_field

from MSKFusionLib.frames import unit
from MSKPlannerLib.guides.sawn_face import SawnFace
from MSKPlannerLib.plan import GuideCut

#: Round a tumour in the lateral metaphysis: normals away from what is taken out, the saw from lateral.
PLANES = (
    GuideCut("top", (22.0, 8.0, 48.0), (0.25, 0.0, 1.0)),
    GuideCut("front", (20.0, 19.0, 30.0), (0.1, 1.0, 0.0)),
    GuideCut("bottom", (22.0, 8.0, 10.0), (0.25, 0.1, -1.0)),
)
APPROACH = np.array([1.0, 0.0, 0.0])
KERF_MM = 1.0


def height(plane, points):
    return (np.asarray(points) - plane.point_ras) @ unit(np.array(plane.normal_ras))


def sawn_face(plane, planes=PLANES, outward=APPROACH, field=femur_field, kerf_mm=KERF_MM):
    """What is sawn of a plane: in the bone and below the other planes."""
    n = unit(np.array(plane.normal_ras))
    out = unit(outward - (outward @ n) * n)
    along = np.arange(-75.0, 75.1, 1.5)
    a, b = np.meshgrid(along, along, indexing="ij")
    p = np.array(plane.point_ras) + a.reshape(-1, 1) * out + b.reshape(-1, 1) * np.cross(n, out)
    keep = field(p) < 0
    for other in planes:
        keep &= (other is plane) | (height(other, p) <= 0)
    return SawnFace(plane, out, p[keep], tuple(o for o in planes if o is not plane), kerf_mm / 2)
