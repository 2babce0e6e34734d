"""The one rigid motion of a plan's registration, for formats and devices that hold no more than that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, check_rigid, invert_rigid

_RIGID_METHOD = "rigid"


def moving_to_fixed_ras(registration: Mapping[str, Any]) -> FloatArray:
    """Return the rigid 4x4 that takes RAS points of the MR to the CT.

    Parameters
    ----------
    registration
        The plan's entry (`records.describe_registration`).

    Raises
    ------
    InputError
        When the registration was rejected, moves more than one body, or holds no rigid 4x4.
    """
    if registration.get("verdict") != "accepted":
        raise InputError(
            "the registration was rejected, and who receives it would not see that",
            "Register again, or leave the registration out.",
        )
    method = str(registration.get("method", ""))
    if registration.get("bones") or not method.startswith(_RIGID_METHOD):
        raise InputError(
            f"only one rigid motion can be given on, and this registration ('{method.split(':')[0]}') moves more",
            "Leave it out here; fixed_to_moving.h5 holds all of it.",
        )
    try:
        matrix = np.array(registration.get("fixed_to_moving_ras"), dtype=np.float64)
    except (TypeError, ValueError) as error:  # a document is text that anybody may have written
        raise InputError("the registration holds no 4x4 of numbers", "Plan again.") from error
    return invert_rigid(check_rigid(matrix, "registration"))
