"""What bone lies between the skin and the place where a screw enters: an instrument through the skin meets it first."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.frames import FloatArray, perpendicular_axes, transform_points, unit
from MSKFusionLib.segmentation.labels import Segmentation

from ..plan import Check, Point, Screw

#: Bone beside the entry itself is met at its edge; it counts from here outward.
_FROM_ENTRY_MM = 4.0
_STEP_MM = 0.5


def bone_on_way(bones: Segmentation, screw: Screw, skin_ras: Point, diameter_mm: float) -> Check:
    """Return whether the way of an instrument from the skin to a screw's entry is free of bone.

    Parameters
    ----------
    bones
        Labels in the coordinates of the screw; what they do not cover counts as free.
    skin_ras
        Where the way enters the skin, RAS mm.
    diameter_mm
        Of the instrument.
    """
    entry, skin = np.asarray(screw.entry_ras, dtype=np.float64), np.asarray(skin_ras, dtype=np.float64)
    length = float(np.linalg.norm(skin - entry))
    out = unit(skin - entry)
    along = np.arange(_FROM_ENTRY_MM, max(length, _FROM_ENTRY_MM + _STEP_MM), _STEP_MM)
    points = entry + along[:, None, None] * out + _across(out, diameter_mm / 2)
    found = _labels_at(bones, points)
    name, values = f"way to the bone {screw.name}", {s.value: s.name for s in bones.bones}
    met = np.isin(found, list(values))
    if not met.any():
        return Check(name, True, 0.0, 0.0, "mm", f"{screw.name}: no bone lies between skin and entry")
    # The place nearest to the skin is met first.
    k = int(np.flatnonzero(met.any(axis=1))[-1])
    bone = values[int(found[k][met[k]][0])]
    through = float(met.any(axis=1).sum()) * _STEP_MM
    words = f"{screw.name}: {bone} lies in the way, {length - along[k]:.0f} mm below the skin, over {through:.0f} mm"
    r, a, s = (float(v) for v in points[k, 0])
    return Check(name, False, through, 0.0, "mm", words, (r, a, s))


def _across(out: FloatArray, radius_mm: float) -> FloatArray:
    """Return the axis and a ring round it, (9, 3), across a direction."""
    u, v = perpendicular_axes(out)
    turn = np.linspace(0.0, 2 * np.pi, 8, endpoint=False)[:, None]
    return np.concatenate([np.zeros((1, 3)), radius_mm * (np.cos(turn) * u + np.sin(turn) * v)])


def _labels_at(bones: Segmentation, points_ras: FloatArray) -> np.ndarray:
    """Return the labels (...,) at points (..., 3), 0 outside the grid."""
    volume = bones.labels
    ijk = np.rint(transform_points(volume.ras_to_ijk, points_ras.reshape(-1, 3))).astype(int)
    last = np.array(volume.shape_ijk) - 1
    inside = np.all((ijk >= 0) & (ijk <= last), axis=1)
    i, j, k = np.clip(ijk, 0, last).T
    return np.where(inside, volume.voxels[k, j, i], 0).reshape(points_ras.shape[:-1])
