"""Where the tongue of a biplanar cut about the knee lies: at the front, out of the joint, and no longer than it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from MSKFusionLib.frames import FloatArray

from ..anatomy.limb_landmarks import LimbLandmarks
from ..mesh import Mesh
from .limb_bone import bone_frame
from .saw_form import Tongue, split_by_form
from .target import CutLevel
from .usual_forms import RISE_DEG, TONGUE_MM, usual_tongue

#: The tongue ends at least so far below the joint surface, mm; angles and thicknesses that are tried for that.
_BELOW_JOINT_MM = 5.0
_RISES_DEG = (RISE_DEG, 115.0, 120.0, 125.0, 130.0, 135.0, 140.0)
_TONGUES_MM = (TONGUE_MM, 12.5, 10.0)
#: Of a closing wedge the second plane is square to the hinge, where it slides in itself, or leans as little as leaves the tongue this short.
_CLOSING_RISES_DEG = (90.0, 95.0, 100.0, 105.0, *_RISES_DEG)
_LONGEST_MM = 60.0
#: What lies this near to the plane lies in it, mm.
_BESIDE_MM = 1e-3


@dataclass(frozen=True)
class PlacedTongue:
    """A tongue and what is to be said of it.

    Parameters
    ----------
    reasons, warnings
        Why a cut with it is rejected, and what to look at.
    """

    tongue: Tongue
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def closing_tongue(bone: Mesh, to_ras: FloatArray, front_ras: FloatArray, tongue_mm: float) -> Tongue:
    """Return the tongue of a closing wedge that leans as little as lets it end within 60 mm; of a bone whose joint is not known.

    Raises
    ------
    GeometryError
        As `usual_forms.usual_tongue`.
    """
    for rise in _CLOSING_RISES_DEG:
        tongue = usual_tongue(bone, to_ras, front_ras, tongue_mm, rise)
        if _length_mm(_beyond_plane(bone, to_ras, tongue), to_ras) <= _LONGEST_MM:
            break
    return tongue


def placed_tongue(
    points: LimbLandmarks, bone: Mesh, level: CutLevel, to_ras: FloatArray, *, closing: bool,
    tongue_mm: float | None = None, rise_deg: float | None = None, descends: bool = False,
) -> PlacedTongue:  # fmt: skip
    """Return the tongue at the front of a bone of the leg, thinner or leaning more where it would come out in the joint.

    Parameters
    ----------
    to_ras
        Frame of the cut (`cut_shape.CutShape`).
    tongue_mm, rise_deg
        None: the usual one, or what is tried instead.
    descends
        See `saw_form.Tongue`.

    Raises
    ------
    GeometryError
        When the plane misses the bone, or the tongue is no part of its depth.
    """
    front = bone_frame(points, level)[:3, 1]
    usual = _CLOSING_RISES_DEG if closing else _RISES_DEG
    tongues = _TONGUES_MM if tongue_mm is None else (tongue_mm,)
    rises = usual if rise_deg is None else (rise_deg,)
    longest = _LONGEST_MM if closing and rise_deg is None else np.inf
    for thick, rise in product(tongues, rises):
        tongue = usual_tongue(bone, to_ras, front, thick, rise, descends=descends)
        beyond = _beyond_plane(bone, to_ras, tongue)
        below = _below_joint_mm(points, level, beyond, descends=descends)
        if below >= _BELOW_JOINT_MM and _length_mm(beyond, to_ras) <= longest:
            break
    reasons, warnings = [], []
    if below < _BELOW_JOINT_MM:
        where = f"{below:.0f} mm from the joint surface" if below > 0 else "in the joint"
        words = f"the {'descending' if descends else 'ascending'} cut comes out {where}"
        reasons.append(f"{words} ({_BELOW_JOINT_MM:g} mm are wished): cut farther away, or a thinner tongue")
    if (thick, rise) != (tongues[0], rises[0]):
        why = "to stay out of the joint" if not closing else f"to end within {_LONGEST_MM:g} mm and out of the joint"
        warnings.append(f"the tongue is {thick:g} mm thick and leans by {rise:g} degrees, {why}")
    return PlacedTongue(tongue, tuple(reasons), tuple(warnings))


def _beyond_plane(bone: Mesh, to_ras: FloatArray, tongue: Tongue) -> FloatArray:
    """Return the corners (N, 3) of the tongue that lie beyond the plane that it leaves."""
    parts = split_by_form(bone, tongue, to_ras)
    height, side = (1.0, 0) if tongue.descends else (-1.0, 1)
    corners = parts[side].vertices_ras
    return corners[height * ((corners - to_ras[:3, 3]) @ to_ras[:3, 2]) > _BESIDE_MM]


def _length_mm(beyond_ras: FloatArray, to_ras: FloatArray) -> float:
    """Return how far a tongue reaches from the plane."""
    return float(np.abs((beyond_ras - to_ras[:3, 3]) @ to_ras[:3, 2]).max(initial=0.0))


def _below_joint_mm(points: LimbLandmarks, level: CutLevel, tongue_ras: FloatArray, *, descends: bool) -> float:
    """Return how far from the joint surface the tongue ends, along the bone; the side nearer to the cut counts.

    Infinite where it goes away from the knee: up a femur, down a tibia.
    """
    tibia = level is CutLevel.TIBIA
    if descends is tibia or not len(tongue_ras):
        return float("inf")
    towards = bone_frame(points, level)[:3, 2] * (1.0 if tibia else -1.0)
    pair = ("medial_plateau", "lateral_plateau") if tibia else ("medial_distal_condyle", "lateral_distal_condyle")
    joint = min(float(getattr(points, name) @ towards) for name in pair)
    return joint - float((tongue_ras @ towards).max())
