"""A screw's body as a surface: for pictures, models and overlap checks."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.frames import perpendicular_axes, unit

from ..mesh import Mesh
from ..plan import Screw

_SIDES = 32
#: The last part tapers to this share of the radius, as the tips of pedicle screws do.
_TIP_SHARE, _TIP_LENGTH_SHARE = 0.35, 1.2
#: Head (tulip) diameter and height by the screw's diameter: only for the eye.
_HEAD_DIAMETER_SHARE, _HEAD_HEIGHT_MM = 1.9, 6.0


def screw_mesh(screw: Screw, *, head: bool = True) -> Mesh:
    """Return a closed surface: shaft of the planned diameter and length, tapered tip, a simple head before the entry."""
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = unit(tip - entry)
    radius, length = screw.diameter_mm / 2, float(np.linalg.norm(tip - entry))
    taper = min(_TIP_LENGTH_SHARE * screw.diameter_mm, 0.4 * length)
    # Screws of the scaphoid are headless.
    head = head and not screw.site.startswith("scaphoid")
    profile = [(0.0, radius), (length - taper, radius), (length, _TIP_SHARE * radius)]
    if head:
        wide = _HEAD_DIAMETER_SHARE * radius
        profile = [(-_HEAD_HEIGHT_MM, wide), (-0.8, wide), *profile]
    return _revolved(entry, axis, profile)


def _revolved(origin: np.ndarray, axis: np.ndarray, profile: list[tuple[float, float]]) -> Mesh:
    """Turn (distance along the axis, radius) pairs about the axis and close both ends."""
    u, v = perpendicular_axes(axis)
    angles = np.linspace(0.0, 2 * np.pi, _SIDES, endpoint=False)
    circle = np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v
    rings = [origin + s * axis + r * circle for s, r in profile]
    ends = [origin + profile[0][0] * axis, origin + profile[-1][0] * axis]
    vertices = np.concatenate([*rings, np.array(ends)])
    here = np.arange(_SIDES)
    after = np.roll(here, -1)
    faces = []
    for n in range(len(rings) - 1):
        a, b = n * _SIDES, (n + 1) * _SIDES
        faces += [np.stack([a + here, a + after, b + after], 1), np.stack([a + here, b + after, b + here], 1)]
    first, last = len(rings) * _SIDES, len(rings) * _SIDES + 1
    bottom = (len(rings) - 1) * _SIDES
    faces.append(np.stack([np.full(_SIDES, first), after, here], 1))
    faces.append(np.stack([np.full(_SIDES, last), bottom + here, bottom + after], 1))
    return Mesh(vertices, np.concatenate(faces))
