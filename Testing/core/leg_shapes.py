"""A leg of the generated femur and tibia whose landmarks are known in closed form: right, RAS mm, the knee near the origin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from core.femur_shapes import HEAD, LATERAL, LATERAL_RADIUS, LIFT, MEDIAL, MEDIAL_RADIUS, NECK_ROOT
from core.tibia_shapes import APART, HALF_DEPTH, TibiaShape

from MSKFusionLib.frames import FloatArray, rigid, rotation_about, transform_points, unit
from MSKPlannerLib.anatomy.limb_landmarks import LimbLandmarks

#: Lowest point of the bar that is the notch's roof.
ROOF = np.array([0.0, 12.0, 6.0])


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


def _capsule_wall(ends, radius, level, sign):
    """How far a capsule (its ends in the plane) reaches along x at a height: towards `sign`."""
    t = np.linspace(0, 1, 201)[:, None]
    centre = (1 - t) * ends[0] + t * ends[1]
    half = radius**2 - (level - centre[:, 1]) ** 2
    return float((sign * centre[half > 0, 0] + np.sqrt(half[half > 0])).max()) * sign


def _knee_centre(up, front, low_y):
    """Top of the notch in the middle between its walls, both condyles seen from the front; at the height of its roof."""
    across = np.cross(front, up)
    view = np.column_stack([across, up])
    medial = np.array([MEDIAL, MEDIAL + [0, 26, LIFT]]) @ view
    lateral = np.array([LATERAL, LATERAL + [0, 27, LIFT]]) @ view
    one, other = _tangent(medial[0], MEDIAL_RADIUS, lateral[0], LATERAL_RADIUS, np.array([0, -1.0]))
    along = (other - one) / np.linalg.norm(other - one)
    turn = np.column_stack([along, [-along[1], along[0]]])
    depth = float((ROOF @ view - one) @ turn[:, 1])
    middles = []
    for level in np.linspace(0.35, 0.65, 13) * depth:
        walls = [
            _capsule_wall((ends - one) @ turn, radius, level, sign)
            for ends, radius, sign in ((medial, MEDIAL_RADIUS, 1.0), (lateral, LATERAL_RADIUS, -1.0))
        ]
        middles.append(0.5 * sum(walls))
    x, z = one + turn @ [np.mean(middles), depth]
    return x * across + z * up + low_y * front


def femoral_points() -> dict[str, FloatArray]:
    """Landmarks of the generated femur, by the tangents of the balls at the back ends of its condyles."""
    knee = np.array([0.0, -14.0, 6.0])
    for _ in range(6):
        up = unit(HEAD - knee)
        sight = np.cross(up, [1.0, 0, 0])
        for _ in range(3):
            # The line over the back touches the two balls where both are seen along the axis.
            across = np.cross(sight, up)
            view = np.column_stack([across, sight])
            back = _tangent(MEDIAL @ view, MEDIAL_RADIUS, LATERAL @ view, LATERAL_RADIUS, np.array([0, -1.0]))
            line = view @ (back[1] - back[0])
            sight = unit(np.cross(up, line))
        across = np.cross(sight, up)
        view = np.column_stack([across, up])
        low = _tangent(MEDIAL @ view, MEDIAL_RADIUS, LATERAL @ view, LATERAL_RADIUS, np.array([0, -1.0]))
        lowest = [view @ p + (c @ sight) * sight for p, c in zip(low, (MEDIAL, LATERAL), strict=True)]
        knee = _knee_centre(up, sight, float(np.mean(lowest, axis=0) @ sight))
    view = np.column_stack([across, sight])
    rear = [view @ p + (c @ up) * up for p, c in zip(back, (MEDIAL, LATERAL), strict=True)]
    return {
        "hip_centre": HEAD,
        "neck_centre": NECK_ROOT,
        "femoral_knee_centre": knee,
        "medial_distal_condyle": lowest[0],
        "lateral_distal_condyle": lowest[1],
        "medial_posterior_condyle": rear[0],
        "lateral_posterior_condyle": rear[1],
    }


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
        return rigid(turn, [1.0 - self.tibia.shift_mm, 2.0, -21.0])

    @property
    def landmarks(self) -> LimbLandmarks:
        """The truth."""
        moved = {n: transform_points(self.tibia_to_leg, p) for n, p in tibial_points(self.tibia).items()}
        return LimbLandmarks("right", **femoral_points(), **moved)
