"""The hip bones' wings beside the sacrum: what a lumbar CT shows of them."""

from __future__ import annotations

import numpy as np

from ..frames import rigid
from .shapes import CAP_MM, Array, Clearance, Primitive, Shape, smooth_intersection

#: Joint space between sacrum and hip bone, and between L5 and the iliac crest, in mm.
_GAP_MM = 2.0
_BOWL_RADII = np.array([88.0, 86.0, 130.0])


def hip_shape(side: int, scale: float, sacrum: Shape, neighbours: tuple[Shape, ...]) -> Shape:
    """Return one iliac wing (side -1 left, +1 right): part of a thick bowl, thickest at the sacroiliac joint.

    Parameters
    ----------
    sacrum
        Posed; the joint's surface follows it. `neighbours` are kept away from as well.
    """
    origin = sacrum.frame_to_world[:3, 3] + np.array([side * 55.0 * scale, 16.0, -18.0])
    frame = rigid(None, origin)
    centre = np.array([-58.0, 32.0, 15.0])

    def value(x: Array, y: Array, z: Array) -> Array:
        u = x * side / scale
        v, w = y / scale, z / scale
        du, dv, dw = u - centre[0], v - centre[1], w - centre[2]
        rx, ry, rz = _BOWL_RADII
        q = np.sqrt((du / rx) ** 2 + (dv / ry) ** 2 + (dw / rz) ** 2 + 1e-6)
        g = np.sqrt((du / rx**2) ** 2 + (dv / ry**2) ** 2 + (dw / rz**2) ** 2 + 1e-9)
        thick = 4.0 + 6.5 * np.exp(-(((v + 32.0) / 22.0) ** 2)) + 2.5 * np.exp(-(((w - 62.0) / 9.0) ** 2))
        f = thick - np.abs((q - 1.0) * q / g)
        crest = 62.0 - 0.010 * (v - 10.0) ** 2 - w
        f = smooth_intersection(f, crest, 4.0)
        f = smooth_intersection(f, np.minimum(v + 66.0, 75.0 - v), 4.0)
        f = smooth_intersection(f, w + 85.0, 3.0)
        return scale * np.minimum(f, u + 20.0)

    reach = np.array([45.0, 80.0, 90.0]) * scale
    shell = Primitive(value, -reach - CAP_MM, reach + CAP_MM)
    return Shape((shell,), frame, tuple(Clearance(shape, _GAP_MM, 1.5) for shape in (sacrum, *neighbours)))
