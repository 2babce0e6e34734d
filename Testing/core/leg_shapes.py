"""A leg of the generated femur and tibia whose landmarks are known in closed form: right, RAS mm, the knee near the origin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from core.femur_shapes import HEAD, LATERAL, LATERAL_RADIUS, MEDIAL, MEDIAL_RADIUS, NECK_ROOT
from core.tibia_shapes import APART, HALF_DEPTH, TibiaShape

from MSKFusionLib.frames import FloatArray, rigid, rotation_about, transform_points
from MSKPlannerLib.anatomy.limb_landmarks import LimbLandmarks

#: Middle between the walls of the notch at half its depth, where the condyles come nearest to each other, in front; its
#: roof is the lower end of the bar between them.
NOTCH_X = 0.5 * ((-22 + np.sqrt(20**2 - 7**2)) + (22 - np.sqrt(19**2 - 8**2)))
NOTCH_Z = 6.0


def _tangent(a, ra, b, rb, out):
    """Where the outer common tangent of two circles touches them; `out` says on which side."""
    d = np.asarray(b, float) - a
    length = np.linalg.norm(d)
    along = d / length
    across = np.array([-along[1], along[0]])
    across = across if across @ out > 0 else -across
    lean = (ra - rb) / length
    normal = lean * along + np.sqrt(1 - lean**2) * across
    return a + ra * normal, b + rb * normal


def femoral_points() -> dict[str, FloatArray]:
    """Landmarks of the generated femur."""
    low = _tangent(MEDIAL[[0, 2]], MEDIAL_RADIUS, LATERAL[[0, 2]], LATERAL_RADIUS, np.array([0, -1.0]))
    back = _tangent(MEDIAL[:2], MEDIAL_RADIUS, LATERAL[:2], LATERAL_RADIUS, np.array([0, -1.0]))
    # The condyles' lower edges are level from back to front, and the axis leans forward: the back ends lie lowest on it.
    lean = (HEAD[1] - 0.5 * (MEDIAL[1] + LATERAL[1])) / (HEAD[2] - NOTCH_Z)
    medial_y, lateral_y = MEDIAL[1] - MEDIAL_RADIUS * lean, LATERAL[1] - LATERAL_RADIUS * lean
    return {
        "hip_centre": HEAD,
        "neck_centre": NECK_ROOT,
        "femoral_knee_centre": np.array([NOTCH_X, 0.5 * (medial_y + lateral_y), NOTCH_Z]),
        "medial_distal_condyle": np.array([low[0][0], medial_y, low[0][1]]),
        "lateral_distal_condyle": np.array([low[1][0], lateral_y, low[1][1]]),
        "medial_posterior_condyle": np.array([*back[0], MEDIAL[2]]),
        "lateral_posterior_condyle": np.array([*back[1], LATERAL[2]]),
    }  # fmt: skip


def tibial_points(shape: TibiaShape) -> dict[str, FloatArray]:
    """Landmarks of the generated tibia; the edges of its plateau lie where its columns are widest."""

    def on_plateau(x, y=0.0):
        return transform_points(shape.plateau_to_bone, [x, y, 0.0])

    return {
        "tibial_knee_centre": shape.knee_centre,
        "medial_plateau": on_plateau(-APART),
        "lateral_plateau": on_plateau(APART),
        "medial_plateau_edge": on_plateau(-APART - 16),
        "lateral_plateau_edge": on_plateau(APART + 16),
        "anterior_medial_plateau": on_plateau(-APART, HALF_DEPTH),
        "posterior_medial_plateau": on_plateau(-APART, -HALF_DEPTH),
        # The line over the back runs across, at right angles to the bone's y.
        "medial_posterior_tibia": on_plateau(-APART, -HALF_DEPTH),
        "lateral_posterior_tibia": on_plateau(APART, -HALF_DEPTH),
        "medial_malleolus": shape.medial_malleolus,
        "lateral_malleolus": shape.lateral_malleolus,
        "ankle_centre": shape.ankle_centre,
    }


@dataclass(frozen=True)
class LegShape:
    """A leg: the tibia under the femur, bent at the knee by an angle.

    Parameters
    ----------
    tibia
        Its shape.
    valgus_deg, flexion_deg, turn_deg
        How it hangs under the femur.
    """

    tibia: TibiaShape = field(default_factory=TibiaShape)
    valgus_deg: float = 0.0
    flexion_deg: float = 0.0
    turn_deg: float = 0.0

    @property
    def tibia_to_leg(self) -> FloatArray:
        """Pose of the tibia: its eminence under the notch."""
        turn = (
            rotation_about([0, 1, 0], -self.valgus_deg)
            @ rotation_about([1, 0, 0], -self.flexion_deg)
            @ rotation_about([0, 0, 1], -self.turn_deg)
        )
        return rigid(turn, [NOTCH_X - self.tibia.shift_mm, 2.0, -21.0])

    @property
    def landmarks(self) -> LimbLandmarks:
        """The truth."""
        moved = {n: transform_points(self.tibia_to_leg, p) for n, p in tibial_points(self.tibia).items()}
        return LimbLandmarks("right", **femoral_points(), **moved)
