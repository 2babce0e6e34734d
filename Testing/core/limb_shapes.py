"""A leg whose alignment is known by construction: right, standing along z, in RAS mm; the left one is its mirror image."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.frames import rotation_about
from MSKPlannerLib.anatomy.limb_landmarks import POINTS, LimbLandmarks


def frontal(angle_deg):
    """Turn the distal end of a right leg laterally (valgus) by an angle."""
    return rotation_about([0, 1, 0], -angle_deg)


def leg(
    side="right", varus=0.0, ldfa=88.0, mpta=87.0, slope=8.0, femoral_torsion=15.0, tibial_torsion=30.0,
    femur=430.0, tibia=370.0,
):  # fmt: skip
    """Landmarks of a leg that has exactly these angles; JLCA is what they leave: varus - ldfa + mpta.

    The femur stands along z with its knee centre in the origin, and the tibia hangs at the varus angle.
    """
    t = {name: np.tan(np.radians(value)) for name, value in (("f", 90 - ldfa), ("t", 90 - mpta), ("s", slope))}
    f_tor, t_tor = (np.radians(a) for a in (femoral_torsion, tibial_torsion))
    hip = np.array([0.0, 0.0, femur])
    femoral = {
        "hip_centre": hip,
        "neck_centre": hip + [25 * np.cos(f_tor), -25 * np.sin(f_tor), -20],
        "femoral_knee_centre": [0, 0, 0],
        "medial_distal_condyle": [-24, -5, -15 - 24 * t["f"]],
        "lateral_distal_condyle": [24, -5, -15 + 24 * t["f"]],
        "medial_posterior_condyle": [-23, -30, 3],
        "lateral_posterior_condyle": [23, -30, 5],
    }
    # In the tibia's own frame, its knee centre in the origin.
    tibial = {
        "tibial_knee_centre": [0, 0, 0],
        "medial_plateau": [-22, 2, -6 - 22 * t["t"]],
        "lateral_plateau": [22, -2, -6 + 22 * t["t"]],
        "medial_plateau_edge": [-36, 0, -8],
        "lateral_plateau_edge": [38, 0, -8],
        "anterior_medial_plateau": [-20, 20, -6 + 20 * t["s"]],
        "posterior_medial_plateau": [-22, -20, -6 - 20 * t["s"]],
        "medial_posterior_tibia": [-22, -28, -10],
        "lateral_posterior_tibia": [22, -28, -12],
        "medial_malleolus": [-30 * np.cos(t_tor), 30 * np.sin(t_tor), -tibia - 4],
        "lateral_malleolus": [32 * np.cos(t_tor), -32 * np.sin(t_tor), -tibia - 10],
        "ankle_centre": [0, 0, -tibia],
    }
    turn = frontal(-varus)
    points = {n: np.asarray(p, float) for n, p in femoral.items()}
    points |= {n: turn @ np.asarray(p, float) for n, p in tibial.items()}
    if side == "left":
        points = {n: p * [-1, 1, 1] for n, p in points.items()}
    return LimbLandmarks(side, **{n: points[n] for n in POINTS})
