"""From what the leg should measure to the angle about a hinge, and what that costs elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, invert_rigid

from ..anatomy.limb_alignment import LimbAlignment, align, measures_of
from ..anatomy.limb_landmarks import LimbLandmarks, spoken
from .hinge import Hinge

#: Share of the plateau's width from its medial edge that Fujisawa et al. 1979 aimed at.
FUJISAWA_SHARE = 0.62
#: Angles are looked for up to this, in such steps, degrees.
_FARTHEST_DEG, _STEP_DEG = 60.0, 1.0
_MEASURES = tuple(f.name for f in fields(LimbAlignment))


class CutLevel(Enum):
    """Which bone is cut: what lies below the cut moves."""

    FEMUR = "femur"
    TIBIA = "tibia"


@dataclass(frozen=True)
class Target:
    """A measure of the leg and the value that it should have after the correction.

    Parameters
    ----------
    measure
        A field of `LimbAlignment`.
    value
        In that measure's unit.
    """

    measure: str
    value: float

    def __post_init__(self) -> None:
        if self.measure not in _MEASURES:
            raise InputError(
                f"there is no measure {self.measure!r}", f"Choose one of {', '.join(_MEASURES)}.", where="target"
            )
        if not np.isfinite(self.value):
            raise InputError("the value is not a number", where=f"target {self.measure}")


def fujisawa(share: float = FUJISAWA_SHARE) -> Target:
    """Return the target that the line from hip to ankle crosses the plateau at a share of its width."""
    if not -0.5 <= share <= 1.5:
        raise InputError(f"a share of {share} of the plateau", "Give 0 (medial edge) to 1.", where="target")
    return Target("weight_bearing_share", share)


def neutral_axis() -> Target:
    """Return the target that hip, knee and ankle centre lie in line."""
    return Target("hka_deg", 180.0)


@dataclass(frozen=True, eq=False)
class Correction:
    """A turn about a hinge and the leg before and after it.

    Parameters
    ----------
    angle_deg
        Right-handed about the hinge's axis; what lies below the cut turns.
    motion_ras
        Rigid 4x4 of what lies below the cut.
    before, after
        Measures of the leg.
    landmarks
        The leg's points after the correction.
    """

    angle_deg: float
    motion_ras: FloatArray
    before: LimbAlignment
    after: LimbAlignment
    landmarks: LimbLandmarks

    def changes(self) -> dict[str, float]:
        """Return by how much each measure changes: what the correction costs besides what it was meant for."""
        after = asdict(self.after)
        return {name: after[name] - value for name, value in asdict(self.before).items()}


def corrected(points: LimbLandmarks, bone: CutLevel, motion_ras: ArrayLike) -> LimbLandmarks:
    """Return the landmarks after what lies below a cut has been moved."""
    return points.after_tibial_cut(motion_ras) if bone is CutLevel.TIBIA else points.after_femoral_cut(motion_ras)


def plan_turn(points: LimbLandmarks, bone: CutLevel, hinge: Hinge, target: Target) -> Correction:
    """Return the smallest turn about a hinge after which the leg measures what it should.

    The knee is taken to stay as it is: its joint line convergence does not change with the load.

    Parameters
    ----------
    hinge
        Across the frontal plane for varus and valgus (tilted, it changes the slope as well), along the bone's
        mechanical axis for torsion.

    Raises
    ------
    GeometryError
        When the landmarks are wrong or do not tell the measure, or no turn up to 60 degrees gets there.
    """
    before = align(points, whole=False)
    if np.isnan(getattr(before, target.measure)):
        lacking = ", ".join(spoken(n) for n in points.missing)
        raise GeometryError(
            f"it cannot be measured on this leg; not known: {lacking}",
            "Place these landmarks, or choose another target.",
            f"target {target.measure}",
        )

    def miss(angle_deg: float) -> float:
        moved = corrected(points, bone, hinge.motion_ras(angle_deg))
        difference = float(getattr(measures_of(moved), target.measure)) - target.value
        return (difference + 180) % 360 - 180 if target.measure.endswith("_deg") else difference

    angle = _nearest_root(miss, target)
    motion = hinge.motion_ras(angle)
    moved = corrected(points, bone, motion)
    return Correction(angle, motion, before, measures_of(moved), moved)


def _nearest_root(miss: Callable[[float], float], target: Target) -> float:
    """Return the root nearest to 0; the steps go out on both sides together."""
    if abs(miss(0.0)) < 1e-12:
        return 0.0
    ends = {1.0: (0.0, miss(0.0)), -1.0: (0.0, miss(0.0))}
    reached = [ends[1.0][1]]
    for step in np.arange(_STEP_DEG, _FARTHEST_DEG + _STEP_DEG / 2, _STEP_DEG):
        roots = []
        for sign, (last, value) in list(ends.items()):
            here = float(sign * step)
            now = miss(here)
            # A jump from 180 to -180 is no root.
            if value * now <= 0 and abs(value - now) < 90:
                roots.append(float(brentq(miss, min(last, here), max(last, here), xtol=1e-11, rtol=1e-14)))
            ends[sign] = (here, now)
            reached.append(now)
        if roots:
            return min(roots, key=abs)
    nearest = target.value + min(reached, key=abs)
    raise GeometryError(
        f"no turn about this hinge up to {_FARTHEST_DEG:g} degrees brings it to {target.value:g}; the nearest is {nearest:.2f}",
        "Turn the hinge, or choose another target.",
        f"target {target.measure}",
    )


@dataclass(frozen=True, eq=False)
class DoubleLevel:
    """Corrections of femur and tibia that share the work.

    Parameters
    ----------
    femur
        Of what lies below the femoral cut, the whole tibia included.
    tibia
        Of what lies below the tibial cut, after the femur was corrected; its motion follows the femur's.
    tibia_in_place_ras
        The same motion for a tibia that has not yet moved with the femur.
    """

    femur: Correction
    tibia: Correction
    tibia_in_place_ras: FloatArray


def plan_double_level(
    points: LimbLandmarks, femoral_hinge: Hinge, femoral_target: Target, tibial_hinge: Hinge, tibial_target: Target
) -> DoubleLevel:
    """Return a double-level correction: the femur to its own target (mLDFA, say), then the tibia to that of the leg.

    Both hinges are given where they lie before any correction.
    """
    femur = plan_turn(points, CutLevel.FEMUR, femoral_hinge, femoral_target)
    tibia = plan_turn(femur.landmarks, CutLevel.TIBIA, tibial_hinge.transformed(femur.motion_ras), tibial_target)
    in_place = invert_rigid(femur.motion_ras) @ tibia.motion_ras @ femur.motion_ras
    return DoubleLevel(femur, tibia, in_place)
