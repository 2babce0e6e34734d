"""What a way through a pedicle allows in one vertebra: directions, and the table of its screws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.resources import resource_path

from ..anatomy.pedicle import Pedicle, sagittal_course_deg
from ..anatomy.vertebra import VertebraFrame
from ..bone.depth_field import DepthField
from .implants import ImplantTable, load_implants

if TYPE_CHECKING:
    from .options import ScrewOptions

from .pedicle_ways import ANATOMIC, STRAIGHT_FORWARD, WAYS

#: The middle of what lumbar pedicles do: the traditional corridor's region is centred on it.
_USUAL_CONVERGENCE_DEG = 12.0
#: Directions count as parallel to the endplate, or as along the pedicle, within these.
_PARALLEL_DEG, _ALONG_DEG = 3.0, 4.0


@dataclass(frozen=True)
class DirectionLimits:
    """What a way allows in one vertebra, degrees in its frame: towards the midline, and up from the plane of the endplates.

    Parameters
    ----------
    usual_deg
        Convergence and sagittal angle that the region of the lines is centred on.
    """

    convergence_deg: tuple[float, float]
    sagittal_deg: tuple[float, float]
    usual_deg: tuple[float, float]


def direction_limits(
    options: ScrewOptions, frame: VertebraFrame, pedicle: Pedicle, bone: DepthField
) -> tuple[DirectionLimits, ...]:
    """Return the limits of the direction for one pedicle; wider ones after them where the way has some.

    Parameters
    ----------
    bone
        Depth in the vertebra about the pedicle.

    Raises
    ------
    ProcessingError
        When the way goes by something that cannot be seen in this vertebra.
    """
    way = WAYS[options.trajectory]
    if way.convergence_deg is not None and way.sagittal_deg is not None:
        usual = float(np.mean(way.convergence_deg)), float(np.mean(way.sagittal_deg))
        within = [(way.convergence_deg, way.sagittal_deg), *([way.wider_deg] if way.wider_deg else [])]
        return tuple(DirectionLimits(convergence, sagittal, usual) for convergence, sagittal in within)
    if way.name == STRAIGHT_FORWARD:
        middle, half = frame.upper_endplate_deg, _PARALLEL_DEG
    elif way.name == ANATOMIC:
        found = sagittal_course_deg(bone, frame.frame_to_ras, pedicle)
        if found is None:
            raise ProcessingError(f"the pedicle of {frame.level} shows no upper and lower border to take its axis from")
        middle, half = found, _ALONG_DEG
    else:
        return (DirectionLimits(options.convergence_deg, options.sagittal_deg, (_USUAL_CONVERGENCE_DEG, 0.0)),)
    sagittal = middle - half, middle + half
    return (DirectionLimits(options.convergence_deg, sagittal, (_USUAL_CONVERGENCE_DEG, middle)),)


def implants_for(trajectory: str, path: str | Path | None = None) -> ImplantTable:
    """Return a user's own table where one is given, else the one that comes with the project for a trajectory."""
    own = WAYS[trajectory].implants
    return load_implants(resource_path("Implants", f"{own}.csv") if path is None and own else path)
