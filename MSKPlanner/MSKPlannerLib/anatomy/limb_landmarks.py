"""The points of a lower limb that its alignment is measured from, checked for side and order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, check_rigid, rigid, transform_points, unit

#: Shorter and longer bones than this are not human legs, children's included, mm.
_BONE_LENGTH_MM = (60.0, 650.0)
#: Points of one knee lie within this of its centre, mm.
_KNEE_RADIUS_MM = 90.0
#: Paired points (condyles, malleoli) are at least this far apart, mm.
_PAIR_LEAST_MM = 10.0
#: Landmarks that lie distal of an osteotomy through the tibia below its plateau.
BELOW_TIBIAL_CUT = ("medial_malleolus", "lateral_malleolus", "ankle_centre")
#: Landmarks that lie proximal of an osteotomy through the femur below its neck.
ABOVE_FEMORAL_CUT = ("hip_centre", "neck_centre")


@dataclass(frozen=True, eq=False)
class LimbLandmarks:
    """Points of one leg in RAS mm, each of shape (3,); three NaN where a point is not known (see `of_points`).

    Parameters
    ----------
    side
        "left" or "right".
    hip_centre
        Centre of the femoral head.
    neck_centre
        Centre of the femoral neck at its narrowest.
    femoral_knee_centre
        Top of the intercondylar notch, in the middle between the condyles.
    medial_distal_condyle, lateral_distal_condyle
        The most distal points of the femoral condyles.
    medial_posterior_condyle, lateral_posterior_condyle
        The most posterior points of the femoral condyles.
    tibial_knee_centre
        Between the tibial spines.
    medial_plateau, lateral_plateau
        Middle of each tibial joint surface.
    medial_plateau_edge, lateral_plateau_edge
        Outermost points of the plateau in the frontal plane, without osteophytes.
    anterior_medial_plateau, posterior_medial_plateau
        Front and back rim of the medial joint surface.
    medial_posterior_tibia, lateral_posterior_tibia
        The most posterior points of the tibial condyles.
    medial_malleolus, lateral_malleolus
        Middle of each malleolus at the level of the ankle joint.
    ankle_centre
        Middle of the talar dome.
    """

    side: str
    hip_centre: FloatArray
    neck_centre: FloatArray
    femoral_knee_centre: FloatArray
    medial_distal_condyle: FloatArray
    lateral_distal_condyle: FloatArray
    medial_posterior_condyle: FloatArray
    lateral_posterior_condyle: FloatArray
    tibial_knee_centre: FloatArray
    medial_plateau: FloatArray
    lateral_plateau: FloatArray
    medial_plateau_edge: FloatArray
    lateral_plateau_edge: FloatArray
    anterior_medial_plateau: FloatArray
    posterior_medial_plateau: FloatArray
    medial_posterior_tibia: FloatArray
    lateral_posterior_tibia: FloatArray
    medial_malleolus: FloatArray
    lateral_malleolus: FloatArray
    ankle_centre: FloatArray

    def __post_init__(self) -> None:
        if self.side not in ("left", "right"):
            raise InputError(f"the side is {self.side!r}", "Say 'left' or 'right'.", where="limb landmarks")
        for name in POINTS:
            p = np.asarray(getattr(self, name), dtype=np.float64)
            if p.shape != (3,) or not (np.all(np.isfinite(p)) or np.all(np.isnan(p))):
                raise GeometryError("three finite coordinates in mm are needed", where=spoken(name))
            object.__setattr__(self, name, p)

    @classmethod
    def of_points(cls, side: str, points: Mapping[str, ArrayLike]) -> LimbLandmarks:
        """Return the landmarks of which some are known.

        Raises
        ------
        InputError
            When a name is no landmark.
        """
        unknown = [n for n in points if n not in POINTS]
        if unknown:
            raise InputError(
                f"there is no landmark '{unknown[0]}'", f"Name them {', '.join(POINTS)}.", where="limb landmarks"
            )
        nowhere = np.full(3, np.nan)
        return cls(side, **{n: np.asarray(points.get(n, nowhere), dtype=np.float64) for n in POINTS})

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the points that are not known."""
        return tuple(n for n in POINTS if np.isnan(getattr(self, n)).any())

    @property
    def lateral_sign(self) -> float:
        """+1 where lateral is the patient's right (a right leg), -1 on the left."""
        return 1.0 if self.side == "right" else -1.0

    @property
    def femur_to_ras(self) -> FloatArray:
        """Frame of the femur: see `bone_frame`; the knee centre is its origin."""
        return bone_frame(
            self.femoral_knee_centre,
            self.hip_centre - self.femoral_knee_centre,
            self.lateral_sign * (self.lateral_posterior_condyle - self.medial_posterior_condyle),
        )

    @property
    def tibia_to_ras(self) -> FloatArray:
        """Frame of the tibia: see `bone_frame`; its knee centre is its origin."""
        return bone_frame(
            self.tibial_knee_centre,
            self.tibial_knee_centre - self.ankle_centre,
            self.lateral_sign * (self.lateral_posterior_tibia - self.medial_posterior_tibia),
        )

    def moved(self, matrix: ArrayLike, names: tuple[str, ...] | None = None) -> LimbLandmarks:
        """Return the landmarks with some of them (default: all) under a rigid 4x4 RAS transform."""
        m = check_rigid(matrix, "limb landmarks")
        changed = {name: transform_points(m, getattr(self, name)) for name in (POINTS if names is None else names)}
        points = {name: getattr(self, name) for name in POINTS} | changed
        return LimbLandmarks(side=self.side, **points)

    def after_tibial_cut(self, fragment_motion_ras: ArrayLike) -> LimbLandmarks:
        """Return the landmarks after the part of the leg below a tibial osteotomy has been moved."""
        return self.moved(fragment_motion_ras, BELOW_TIBIAL_CUT)

    def after_femoral_cut(self, fragment_motion_ras: ArrayLike) -> LimbLandmarks:
        """Return the landmarks after the part of the leg below a femoral osteotomy has been moved."""
        return self.moved(fragment_motion_ras, tuple(n for n in POINTS if n not in ABOVE_FEMORAL_CUT))


#: Names of all points.
POINTS = tuple(f.name for f in fields(LimbLandmarks) if f.name != "side")


def spoken(name: str) -> str:
    """Return the name of a landmark as it is said."""
    return name.replace("_", " ")


def bone_frame(origin_ras: FloatArray, up_ras: FloatArray, right_ras: FloatArray) -> FloatArray:
    """Return the 4x4 of a bone's frame: z along its mechanical axis upwards, x to the patient's right, y forward.

    x is the transverse line brought at right angles to z, so y is the normal of the bone's frontal plane. NaN where a
    point of it is not known.
    """
    if not np.isfinite([origin_ras, up_ras, right_ras]).all():
        return np.full((4, 4), np.nan)
    z = unit(up_ras)
    x = unit(right_ras - (right_ras @ z) * z)
    return rigid(np.column_stack([x, np.cross(z, x), z]), origin_ras)


def check_limb(points: LimbLandmarks, *, whole: bool = True) -> LimbLandmarks:
    """Return the landmarks when they can be those of one leg of that side, in any pose.

    Parameters
    ----------
    whole
        Whether every point must be known; else what is known is checked.

    Raises
    ------
    GeometryError
        When a point is not known, bones are too long or too short, a point lies far from its joint, medial and lateral
        are swapped, front and back are swapped, or the points are those of the other leg.
    """
    if whole and points.missing:
        raise GeometryError(
            f"not known: {', '.join(spoken(n) for n in points.missing)}", "Place them.", f"{points.side} leg"
        )
    _check_lengths(points)
    for name in _KNEE_POINTS:
        centre = points.femoral_knee_centre if "condyle" in name else points.tibial_knee_centre
        if np.linalg.norm(getattr(points, name) - centre) > _KNEE_RADIUS_MM:
            raise GeometryError(
                f"lies more than {_KNEE_RADIUS_MM:g} mm from the knee centre", "Place it again.", spoken(name)
            )
    for medial in (n for n in POINTS if n.startswith("medial")):
        lateral = medial.replace("medial", "lateral", 1)
        if np.linalg.norm(getattr(points, medial) - getattr(points, lateral)) < _PAIR_LEAST_MM:
            raise GeometryError("both lie in one place", "Place them again.", f"{spoken(medial)} and {spoken(lateral)}")
    _check_pairs(points)
    _check_side(points)
    return points


_KNEE_POINTS = tuple(n for n in POINTS if "condyle" in n or "plateau" in n or "tibia" in n.split("_"))


def _check_lengths(points: LimbLandmarks) -> None:
    femur, tibia = points.hip_centre - points.femoral_knee_centre, points.tibial_knee_centre - points.ankle_centre
    for name, axis in (("femur", femur), ("tibia", tibia)):
        length = float(np.linalg.norm(axis))
        if length < _BONE_LENGTH_MM[0] or length > _BONE_LENGTH_MM[1]:
            raise GeometryError(f"{length:.0f} mm long", "Check the hip, knee and ankle centres.", name)
    if np.linalg.norm(points.femoral_knee_centre - points.tibial_knee_centre) > _KNEE_RADIUS_MM:
        raise GeometryError("the knee centres of femur and tibia lie far apart", "Place them again.", "knee")
    if femur @ tibia < 0:
        raise GeometryError("femur and tibia point opposite ways", "Check hip, knee and ankle centres.", "limb")
    condyles = 0.5 * (points.medial_distal_condyle + points.lateral_distal_condyle)
    if (condyles - points.femoral_knee_centre) @ femur >= 0:
        raise GeometryError(
            "the distal condyles lie towards the hip from the knee centre",
            "Check whether hip and ankle are swapped.",
            "femur",
        )


def _check_pairs(points: LimbLandmarks) -> None:
    """Every line from medial to lateral must look the same way; else one pair is swapped."""
    names = [n for n in POINTS if n.startswith("medial")]
    lines = [getattr(points, n.replace("medial", "lateral", 1)) - getattr(points, n) for n in names]
    known = [n for n, line in enumerate(lines) if np.isfinite(line).all()]
    names, lines = [names[n] for n in known], [unit(lines[n]) for n in known]
    if len(names) < 2:
        return
    agree = np.sign(np.array(lines) @ np.array(lines).T).sum(axis=1)
    if (agree < len(names)).any():
        odd = names[int(agree.argmin())]
        raise GeometryError(
            "run against the other pairs", "Check whether medial and lateral are swapped.",
            f"{spoken(odd)} and its partner",
        )  # fmt: skip


def _check_side(points: LimbLandmarks) -> None:
    # Every comparison with a point that is not known is false.
    up = points.hip_centre - points.ankle_centre
    for other_way in (points.hip_centre - points.femoral_knee_centre, points.tibial_knee_centre - points.ankle_centre):
        up = other_way if np.isnan(up).any() else up
    up = up / np.linalg.norm(up)
    lateral = points.lateral_posterior_condyle - points.medial_posterior_condyle
    back = 0.5 * (points.medial_posterior_condyle + points.lateral_posterior_condyle)
    front = points.femoral_knee_centre - back
    rim = points.anterior_medial_plateau - points.posterior_medial_plateau
    if (front - (front @ up) * up) @ rim <= 0:
        raise GeometryError(
            "femur and tibia look opposite ways",
            "Check the posterior condyles, and whether front and back of the medial plateau are swapped.",
            "knee",
        )
    head = points.hip_centre - points.neck_centre
    if head @ lateral >= 0:
        raise GeometryError(
            "the femoral head lies lateral of its neck",
            "Check whether medial and lateral are swapped everywhere, or hip centre and neck.",
            "hip",
        )
    tibial = points.lateral_posterior_tibia - points.medial_posterior_tibia
    turns = (np.cross(lateral, front) @ up, np.cross(tibial, rim) @ up)
    if any(turn * points.lateral_sign <= 0 for turn in turns):
        other = "left" if points.side == "right" else "right"
        raise GeometryError(f"the points are those of a {other} leg", "Choose the other side.", f"{points.side} leg")
