"""The planes that a screw is looked at in: along its axis and across it, turned as the patient stands as far as they allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.frames import FloatArray, rigid, unit

from ..plan import Screw

#: Share of a screw's length, from the entry, at which the cross-section is taken when nobody says where the isthmus is.
_ISTHMUS_SHARE = 0.35
#: An axis so near to the upward direction (sine of the angle) leaves none across it.
_UPRIGHT = 0.02


def screw_planes(
    screw: Screw,
    superior_ras: ArrayLike = (0.0, 0.0, 1.0),
    isthmus_ras: ArrayLike | None = None,
    *,
    across_mm: float | None = None,
) -> tuple[tuple[str, FloatArray, float], ...]:
    """Return (title, slice to RAS 4x4, width in mm) of three slices: two that contain a screw's axis, one across it.

    Parameters
    ----------
    superior_ras
        The vertebra's own upward direction, where it is known.
    isthmus_ras
        Where the slice across is taken (its nearest point on the axis); about a third down the screw otherwise.
    across_mm
        The same as the way from the entry.
    """
    entry, tip = np.array(screw.entry_ras), np.array(screw.tip_ras)
    axis = unit(tip - entry)
    up = np.asarray(superior_ras, dtype=np.float64)
    if np.linalg.norm(np.cross(axis, up)) < _UPRIGHT * np.linalg.norm(up):
        up = np.array([0.0, -1.0, 0.0])  # an upright screw: as a chart on the wall, posterior up
    up = unit(up - (up @ axis) * axis)
    across = np.cross(axis, up)
    middle = (entry + tip) / 2
    place = entry + _ISTHMUS_SHARE * (tip - entry)
    if across_mm is not None:
        place = entry + across_mm * axis
    elif isthmus_ras is not None:
        place = entry + ((np.asarray(isthmus_ras) - entry) @ axis) * axis
    left, anterior = np.array([-1.0, 0, 0]), np.array([0, 1.0, 0])
    width = float(np.linalg.norm(tip - entry)) + 45.0
    # In-plane directions are the patient's own as far as the plane allows: nobody has to turn the picture in the head.
    forward = _towards(anterior - (anterior @ up) * up, axis)
    side = np.cross(forward, up)
    axial = _frame(_like(side, left), forward, up, middle)
    if screw.site != "pedicle" and abs(axis @ left) > abs(axis @ anterior):
        # A screw from side to side: upright slices along it are coronal, those across it sagittal.
        return (
            (f"{screw.name}: along the axis, axial", axial, width),
            (f"{screw.name}: along the axis, coronal", _frame(_like(axis, left), up, across, middle), width),
            (f"{screw.name}: across the screw, sagittal", _frame(-_like(across, anterior), up, axis, place), 80.0),
        )
    if screw.site != "pedicle" and abs(axis[2]) > np.hypot(axis[0], axis[1]):
        # An upright screw has no axial slice along it: the letters at the edges say how the two lie.
        return (
            (f"{screw.name}: along the axis", axial, width),
            (f"{screw.name}: along the axis, the other way", _frame(-_like(axis, anterior), up, across, middle), width),
            (f"{screw.name}: across the screw", _frame(_like(across, left), up, axis, place), 80.0),
        )
    where, wide_mm = ("across the pedicle", 50.0) if screw.site == "pedicle" else ("across the screw", 80.0)
    return (
        (f"{screw.name}: along the axis, axial", axial, width),
        (f"{screw.name}: along the axis, sagittal", _frame(-_like(axis, anterior), up, across, middle), width),
        (f"{screw.name}: {where}", _frame(_like(across, left), up, axis, place), wide_mm),
    )


def _towards(direction: FloatArray, fallback: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(direction))
    return direction / length if length > 1e-3 else fallback


def _like(direction: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the direction or its opposite, whichever is nearer to the wanted one."""
    return direction if direction @ wanted >= 0 else -direction


def _frame(right: FloatArray, up: FloatArray, normal: FloatArray, centre: FloatArray) -> FloatArray:
    return rigid(np.column_stack([right, up, normal]), centre)
