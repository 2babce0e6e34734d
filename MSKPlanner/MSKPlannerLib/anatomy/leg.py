"""The landmarks of a leg from its bones, from points that a surgeon placed, or from both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, unit

from ..mesh import Mesh
from .femur import FemurPoints, find_femur_points
from .found_points import FoundPoints
from .limb_alignment import LimbAlignment, align
from .limb_landmarks import POINTS, LimbLandmarks, spoken
from .tibia import TibiaPoints, find_tibia_points

#: A placed landmark this far from the one that was found is worth a second look, mm.
_FAR_MM = 5.0


#: The landmarks of a leg and where each comes from.
LegPoints = FoundPoints[LimbLandmarks, LimbAlignment]


def find_leg(
    femur: Mesh | None = None,
    tibia: Mesh | None = None,
    *,
    fibula: Mesh | None = None,
    talus: Mesh | None = None,
    side: str | None = None,
    up_ras: ArrayLike | None = None,
    placed: Mapping[str, ArrayLike] | None = None,
) -> LegPoints:
    """Return the landmarks and measures of a leg, as far as its bones and the placed points tell.

    Parameters
    ----------
    femur, tibia, fibula, talus
        Closed surfaces of one leg in one place, RAS mm, in any pose.
    side
        "left" or "right"; needed where neither the hip nor the ankle is in view.
    up_ras
        Rough direction from foot to hip; needed for one short piece of bone alone.
    placed
        Points by the names of `LimbLandmarks`, RAS mm; they count instead of the found ones.

    Raises
    ------
    InputError
        When nothing is given, or a name is no landmark.
    GeometryError
        When bones or points cannot be those of one leg of that side.
    """
    if femur is None and tibia is None and not placed:
        raise InputError("no bone and no landmark is given", "Give a femur, a tibia, or placed landmarks.", "leg")
    if side not in (None, "left", "right"):
        raise InputError(f"the side is {side!r}", "Say 'left' or 'right'.", where="leg")
    marks = {n: np.asarray(p, dtype=np.float64) for n, p in (placed or {}).items()}
    femoral, tibial = _both(femur, tibia, fibula, talus, up_ras, side)
    side = _one_side(femoral, tibial, side)
    if side is None:
        raise GeometryError("the bones in view do not tell left from right", "Say which side it is.", "leg")
    found = _femoral(femoral, tibial, side, up_ras) | _tibial(tibial, side)
    points = LimbLandmarks.of_points(side, found | marks)
    estimated = {"lateral_malleolus"} if fibula is None and tibial is not None else set()
    origin = {n: "placed" if n in marks else "estimated" if n in estimated else "surface" for n in found | marks}
    off = {n: float(np.linalg.norm(marks[n] - found[n])) for n in POINTS if n in marks and n in found}
    notes = list(tibial.notes) if tibial is not None else []
    notes += [f"{spoken(n)}: placed {mm:.0f} mm from where the bone shows it" for n, mm in off.items() if mm > _FAR_MM]
    not_found = tuple(
        w for part in (femoral, tibial) if part is not None for w in part.not_found if not w.startswith("side:")
    )
    return LegPoints(points, origin, off, align(points, whole=False), not_found, tuple(notes))


def _both(
    femur: Mesh | None, tibia: Mesh | None, fibula: Mesh | None, talus: Mesh | None, up_ras: ArrayLike | None,
    side: str | None,
) -> tuple[FemurPoints | None, TibiaPoints | None]:  # fmt: skip
    """Find what either bone shows; for a part, the other bone says where up is."""
    up = None if up_ras is None else np.asarray(up_ras, dtype=np.float64)
    if up is None and femur is not None and tibia is not None:
        up = unit(femur.vertices_ras.mean(axis=0) - tibia.vertices_ras.mean(axis=0))
    femoral = None if femur is None else find_femur_points(femur, up_ras=up)
    tibial = None
    if tibia is not None:
        own_side = femoral.side if femoral is not None and femoral.side is not None else side
        tibial = find_tibia_points(tibia, fibula=fibula, talus=talus, up_ras=up, side=own_side)
    if femoral is not None and femoral.head is None and tibial is not None and tibial.ankle_centre is not None:
        # A whole tibia's axis is nearer to a short femur's than the line between their middles.
        assert femur is not None
        femoral = find_femur_points(femur, up_ras=tibial.up)
    return femoral, tibial


def _one_side(femoral: FemurPoints | None, tibial: TibiaPoints | None, side: str | None) -> str | None:
    """Return the side that bones and user agree on."""
    for bone, found in (("femur", femoral), ("tibia", tibial)):
        own = None if found is None else found.side
        if own is None:
            continue
        if side is not None and own != side:
            raise GeometryError(
                f"this is a {own} {bone}, not a {side} one",
                "Choose the other side, or check whether the image is mirrored.",
                bone,
            )
        side = own
    return side


def _femoral(
    found: FemurPoints | None, tibial: TibiaPoints | None, side: str, up_ras: ArrayLike | None
) -> dict[str, FloatArray]:
    if found is None:
        return {}
    points: dict[str, FloatArray] = {}
    if found.head is not None:
        points["hip_centre"] = found.head.centre_ras
    if found.neck_centre is not None:
        points["neck_centre"] = found.neck_centre
    knee, distal, posterior = found.femoral_knee_centre, found.distal_condyles, found.posterior_condyles
    if knee is None or distal is None or posterior is None:
        return points
    points["femoral_knee_centre"] = knee
    if found.side is None:
        up = tibial.up if tibial is not None else up_ras
        assert up is not None
        across = np.cross(knee - posterior.mean(axis=0), np.asarray(up, dtype=np.float64))  # to the patient's right
        lateral = across if side == "right" else -across
        distal, posterior = (pair[np.argsort(pair @ lateral)] for pair in (distal, posterior))
    for n, name in enumerate(("medial", "lateral")):
        points[f"{name}_distal_condyle"], points[f"{name}_posterior_condyle"] = distal[n], posterior[n]
    return points


def _tibial(found: TibiaPoints | None, side: str) -> dict[str, FloatArray]:
    if found is None:
        return {}
    single = {
        "ankle_centre": found.ankle_centre,
        "medial_malleolus": found.medial_malleolus,
        "lateral_malleolus": found.lateral_malleolus,
    }
    points = {n: p for n, p in single.items() if p is not None}
    pairs = (found.joint_surfaces, found.edges, found.posterior_condyles, found.front_rims, found.back_rims)
    if found.knee_centre is None or any(p is None for p in pairs):
        return points
    points["tibial_knee_centre"] = found.knee_centre
    joint, edges, posterior, front, back = (np.asarray(p) for p in pairs)
    if found.side is None and side == "left":
        # They ran from the patient's left to right.
        joint, edges, posterior, front, back = (p[::-1] for p in (joint, edges, posterior, front, back))
    for n, name in enumerate(("medial", "lateral")):
        points[f"{name}_plateau"] = joint[n]
        points[f"{name}_plateau_edge"] = edges[n]
        points[f"{name}_posterior_tibia"] = posterior[n]
    points["anterior_medial_plateau"], points["posterior_medial_plateau"] = front[0], back[0]
    return points
