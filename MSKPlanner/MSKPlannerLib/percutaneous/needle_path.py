"""Ways of a needle to a target as they are found: each with its measures, and the map of all entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from MSKFusionLib.frames import FloatArray


@dataclass(frozen=True)
class NeedlePath:
    """One way to the target.

    Parameters
    ----------
    entry_ras, target_ras
        On the skin, and the needle's end, RAS mm; `length_mm` is their distance.
    table_deg
        Between the needle and the plane of the table (right-left and head-feet), 90 is upright.
    axial_deg
        In the axial plane, how far the needle's outer end leans from upright: towards the patient's left, or for a patient
        who lies on the side towards anterior.
    cranial_deg
        How far the needle's outer end leans out of the axial plane towards the head.
    skin_deg
        Between the needle and the skin's normal.
    bone_mm
        Length in each bone that is crossed.
    bone_deg
        Between the needle and the normal of the first bone's surface; None where none is crossed.
    structures_mm
        Free distance from the needle's surface to each structure that is kept away from, nearest first.
    cost
        What it was ranked by (see `request.PathWeights`).
    """

    entry_ras: tuple[float, float, float]
    target_ras: tuple[float, float, float]
    length_mm: float
    table_deg: float
    axial_deg: float
    cranial_deg: float
    skin_deg: float
    bone_mm: Mapping[str, float]
    bone_deg: float | None
    structures_mm: Mapping[str, float]
    cost: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PathPlan:
    """The ways that were found, and the map of all entries.

    Parameters
    ----------
    paths
        Best first, their entries apart from each other.
    entries_ras, cost
        (N, 3) places on the skin and the cost (N,) of the way from each, NaN where there is none.
    why_not
        How many entries each reason rules out first.
    message
        Says in words what is possible.
    """

    paths: tuple[NeedlePath, ...]
    entries_ras: FloatArray
    cost: FloatArray
    why_not: Mapping[str, int] = field(default_factory=dict)
    message: str = ""
