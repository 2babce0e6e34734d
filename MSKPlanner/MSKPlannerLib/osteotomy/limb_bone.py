"""The cut bone of a leg, for wedges and derotations alike: its frame, what moves with it, when a plan is close enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray

from ..anatomy.limb_landmarks import POINTS, LimbLandmarks
from .plane import Plane
from .target import CutLevel

#: A plan whose parts, measured again, miss the target by more than this is rejected: degrees and mm.
AGREE_DEG, AGREE_MM = 0.05, 0.05
#: Less bone behind the hinge than this breaks easily, mm.
THIN_HINGE_MM = 5.0
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


def landmarks_after(
    points: LimbLandmarks, bone: CutLevel, plane: Plane, motion_ras: ArrayLike, hinge_to_ras: FloatArray | None = None
) -> LimbLandmarks:
    """Return the landmarks after those of the cut bone were moved with the part that they lie on, and what hangs on it with it.

    Parameters
    ----------
    plane
        Of the saw, its normal to the part that moves.
    motion_ras
        Rigid 4x4 of that part.
    hinge_to_ras
        Frame of a hinge (x from the hinge to where the saw enters); None for a cut right through the bone. Behind the hinge
        no saw goes: there the bone stays with the part on its side of the hinge.
    """
    own, following = own_and_following(bone)
    moving = list(following)
    side = plane
    if hinge_to_ras is not None:
        frame = points.femur_to_ras if bone is CutLevel.FEMUR else points.tibia_to_ras
        side = Plane(hinge_to_ras[:3, 3], -frame[:3, 2])
    for name in own:
        point = getattr(points, name)
        behind = hinge_to_ras is not None and float((point - hinge_to_ras[:3, 3]) @ hinge_to_ras[:3, 0]) < 0
        if (side if behind else plane).height_mm(point) > 0:
            moving.append(name)
    return points.moved(motion_ras, tuple(moving))
