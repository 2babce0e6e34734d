"""Alignment of a lower limb from its landmarks.

What each measure means, where it comes from and what is usual stands in `limb_measures`. All angles are measured in
planes of the leg itself, not of the image: the frontal plane of a bone holds its mechanical axis and its transverse
line (back of the condyles); that of the limb holds the line from hip to ankle and the femur's transverse line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points

from .limb_landmarks import LimbLandmarks, bone_frame, check_limb


@dataclass(frozen=True)
class LimbAlignment:
    """Measures of one leg; angles in degrees, lengths in mm; NaN where a point that it needs is not known."""

    hka_deg: float
    mpta_deg: float
    ldfa_deg: float
    jlca_deg: float
    mad_mm: float
    weight_bearing_share: float
    joint_line_obliquity_deg: float
    tibial_slope_deg: float
    femoral_torsion_deg: float
    tibial_torsion_deg: float
    femur_length_mm: float
    tibia_length_mm: float
    leg_length_mm: float


def align(points: LimbLandmarks, *, whole: bool = True) -> LimbAlignment:
    """Return the measures of a leg in any pose.

    Parameters
    ----------
    whole
        Whether every landmark must be known; else measures that need others are NaN.

    Raises
    ------
    GeometryError
        When the landmarks cannot be those of one leg of that side (`limb_landmarks.check_limb`).
    """
    return measures_of(check_limb(points, whole=whole))


def measures_of(points: LimbLandmarks) -> LimbAlignment:
    """Return the measures of landmarks that have been checked."""
    s = points.lateral_sign
    limb = bone_frame(points.ankle_centre, points.hip_centre - points.ankle_centre, points.femur_to_ras[:3, 0])

    def in_frame(frame: FloatArray, name: str) -> FloatArray:
        # Lateral, anterior, proximal, on both sides.
        return np.asarray(transform_points(invert_rigid(frame), getattr(points, name)) * [s, 1, 1])

    femur, tibia = points.femur_to_ras, points.tibia_to_ras
    hip, knee_f, knee_t, ankle = (
        in_frame(limb, n) for n in ("hip_centre", "femoral_knee_centre", "tibial_knee_centre", "ankle_centre")
    )
    varus = _frontal_deg(hip - knee_f) - _frontal_deg(knee_t - ankle)
    femoral_line = in_frame(femur, "lateral_distal_condyle") - in_frame(femur, "medial_distal_condyle")
    tibial_line = in_frame(tibia, "lateral_plateau") - in_frame(tibia, "medial_plateau")
    open_f = in_frame(limb, "lateral_distal_condyle") - in_frame(limb, "medial_distal_condyle")
    open_t = in_frame(limb, "lateral_plateau") - in_frame(limb, "medial_plateau")
    inner, outer = in_frame(limb, "medial_plateau_edge"), in_frame(limb, "lateral_plateau_edge")
    # Where the axis (x = 0 in the limb's frame) crosses the line between the edges of the plateau.
    share = float(-inner[0] / (outer[0] - inner[0]))
    # The knee centre's distance from the line hip to ankle; positive where the line passes medially (varus).
    knee = 0.5 * (knee_f + knee_t)
    rim = in_frame(tibia, "anterior_medial_plateau") - in_frame(tibia, "posterior_medial_plateau")
    neck = in_frame(femur, "neck_centre") - in_frame(femur, "hip_centre")
    malleoli = in_frame(tibia, "lateral_malleolus") - in_frame(tibia, "medial_malleolus")
    return LimbAlignment(
        hka_deg=180.0 - varus,
        mpta_deg=90.0 - _rise_deg(tibial_line),
        ldfa_deg=90.0 - _rise_deg(femoral_line),
        jlca_deg=_rise_deg(open_f) - _rise_deg(open_t),
        mad_mm=float(knee[0]),
        weight_bearing_share=share,
        joint_line_obliquity_deg=_rise_deg(open_t),
        tibial_slope_deg=float(np.degrees(np.arctan2(rim[2], rim[1]))),
        # The neck comes from the head and goes outwards and back where the femur is anteverted.
        femoral_torsion_deg=float(np.degrees(np.arctan2(-neck[1], neck[0]))),
        tibial_torsion_deg=float(np.degrees(np.arctan2(-malleoli[1], malleoli[0]))),
        femur_length_mm=float(np.linalg.norm(points.hip_centre - points.femoral_knee_centre)),
        tibia_length_mm=float(np.linalg.norm(points.tibial_knee_centre - points.ankle_centre)),
        leg_length_mm=float(np.linalg.norm(points.hip_centre - points.ankle_centre)),
    )


def _frontal_deg(up: FloatArray) -> float:
    """By how much an axis (lateral, anterior, proximal) leans, its upper end medially: positive."""
    return float(np.degrees(np.arctan2(-up[0], up[2])))


def _rise_deg(line: FloatArray) -> float:
    """By how much a line from medial to lateral rises laterally."""
    return float(np.degrees(np.arctan2(line[2], line[0])))
