"""The slot of a saw as an exact solid, and the space on one side of a cut without thickness."""

from __future__ import annotations

from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, unit

from ..guides.solid import checked
from .cuts import SheetCut


def slot_solid(cut: SheetCut, reach_mm: float) -> Any:
    """Return what the saw takes away, as a `manifold3d.Manifold`.

    Parameters
    ----------
    reach_mm
        Farther than any point of the bone lies from the origin of the cut's frame.
    """
    line = _long_line(cut, reach_mm)
    _refuse_crossing(line, cut.name)
    side = _mitred(line, cut.kerf_mm / 2)
    return _extruded(cut, np.concatenate([line - side, (line + side)[::-1]]), reach_mm)


def side_solid(cut: SheetCut, reach_mm: float) -> Any:
    """Return the space on the left of the line of a cut that goes right through (seen against the saw's direction)."""
    line = _long_line(cut, reach_mm)
    _refuse_crossing(line, cut.name)
    start, end = np.arctan2(line[0, 1], line[0, 0]), np.arctan2(line[-1, 1], line[-1, 0])
    sweep = (start - end) % (2 * np.pi)
    # Chords of a circle so wide that they, too, pass beyond the bone.
    angles = end + np.linspace(0, sweep, 2 + int(sweep / 0.3))[1:-1]
    radius = float(np.linalg.norm(line[0]))
    back = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _extruded(cut, np.concatenate([line, back]), reach_mm)


def _long_line(cut: SheetCut, reach_mm: float) -> FloatArray:
    """Return the line with its open ends taken out to a circle beyond the bone."""
    line = cut.profile_mm.copy()
    far = 2 * max(reach_mm, float(np.linalg.norm(line, axis=1).max()))
    if cut.open_start:
        line[0] = _on_circle(line[0], line[0] - line[1], far)
    if cut.open_end:
        line[-1] = _on_circle(line[-1], line[-1] - line[-2], far)
    return line


def _on_circle(point: FloatArray, direction: FloatArray, radius: float) -> FloatArray:
    d = unit(direction)
    b = float(point @ d)
    return point + (-b + np.sqrt(b * b - float(point @ point) + radius * radius)) * d


def _mitred(line: FloatArray, half: float) -> FloatArray:
    """Return by how much each corner moves to the left for a slot of that half width with straight sides."""
    d = np.diff(line, axis=0)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    normal = np.stack([-d[:, 1], d[:, 0]], axis=1)
    before, after = np.concatenate([normal[:1], normal]), np.concatenate([normal, normal[-1:]])
    return half * (before + after) / (1 + np.einsum("ij,ij->i", before, after))[:, None]


def _refuse_crossing(line: FloatArray, name: str) -> None:
    """Raise when two stretches of the line that are not neighbours meet."""
    a, b = line[:-1], line[1:]

    def turn(p: FloatArray, q: FloatArray, r: FloatArray) -> FloatArray:
        u, v = q - p, r - p
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    i, j = np.triu_indices(len(a), 2)
    meet = (turn(a[i], b[i], a[j]) * turn(a[i], b[i], b[j]) <= 0) & (
        turn(a[j], b[j], a[i]) * turn(a[j], b[j], b[i]) <= 0
    )
    if meet.any():
        raise GeometryError("the line of the cut crosses itself", "Move its corners.", name)


def _extruded(cut: SheetCut, polygon: FloatArray, reach_mm: float) -> Any:
    import manifold3d as m3

    section = m3.CrossSection([polygon], m3.FillRule.NonZero)
    solid = m3.Manifold.extrude(section, 2 * reach_mm).translate([0.0, 0.0, -reach_mm]).transform(cut.frame_to_ras[:3])
    for stop in cut.stops:
        solid = solid.trim_by_plane((-stop.normal_ras).tolist(), float(-stop.normal_ras @ stop.point_ras))
    return checked(solid, f"{cut.name}: the slot of the saw")
