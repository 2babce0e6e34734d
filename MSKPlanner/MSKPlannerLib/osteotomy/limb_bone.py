"""The cut bone of a leg, for wedges and derotations alike: its frame, what moves with it, when a plan is close enough."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray

from ..anatomy.limb_landmarks import POINTS, LimbLandmarks
from .target import CutLevel

#: A plan whose parts, measured again, miss the target by more than this is rejected: degrees and mm.
AGREE_DEG, AGREE_MM = 0.05, 0.05
#: Smaller turns are no osteotomy, degrees.
LEAST_TURN_DEG = 0.1
_FEMORAL = tuple(n for n in POINTS if "condyle" in n or "femoral" in n or n in ("hip_centre", "neck_centre"))
_TIBIAL = tuple(n for n in POINTS if n not in _FEMORAL)


def bone_frame(points: LimbLandmarks, bone: CutLevel) -> FloatArray:
    """Return the 4x4 frame of a bone of a leg in RAS mm.

    Raises
    ------
    GeometryError
        When the landmarks do not tell it.
    """
    frame = points.tibia_to_ras if bone is CutLevel.TIBIA else points.femur_to_ras
    if np.isnan(frame).any():
        raise GeometryError(
            "its mechanical axis or the back of its condyles is not known",
            "Take images that show the bone whole, or place these landmarks.",
            bone.value,
        )
    return frame


def own_and_following(bone: CutLevel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the landmarks on a bone, and those below it, which follow the part that moves."""
    return (_FEMORAL, _TIBIAL) if bone is CutLevel.FEMUR else (_TIBIAL, ())
