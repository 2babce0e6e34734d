"""What is cut into the body of a guide, or put on it, as exact solids: flat ends, bores, the flat name plate, its letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.frames import FloatArray, rigid

from .body import Body, Plate
from .cut_options import CuttingGuideOptions
from .lettering import text_solid
from .options import GuideOptions
from .skin_options import SkinFrameOptions
from .sleeve import Sleeve
from .solid import box, checked, largest_body, to_manifold

#: Dropped pieces larger than this are said, not only dropped.
CRUMB_MM3 = 0.5
#: Letters start this far inside their face, so that they join it.
_ROOT_MM = 0.4


def with_bores(body: Body, sleeves: Sequence[Sleeve], level: str) -> tuple[Any, list[float]]:
    """Return the solid with flat ends and bores, and the volumes of pieces that came loose."""
    solid = to_manifold(body.mesh, f"{level}: body of the guide")
    plate = body.plate
    over = np.array([*(plate.half_uv + 0.75), 0.0])
    middle = np.array([*plate.middle_uv, plate.high_w])
    block = box(middle - over, middle + over + [0, 0, 8.0], body.seat.frame_to_ras)
    solid = checked(solid - block, f"{level}: flat face of the name plate")
    for s in sleeves:
        solid = checked(solid - s.above_end(), f"{level}: flat end of the sleeve of {s.screw}")
    for s in sleeves:
        solid = checked(solid - s.bore(), f"{level}: bore of {s.screw}")
    return largest_body(solid)


def embossed(
    plain: Any,
    name: str,
    face_to_ras: FloatArray,
    options: GuideOptions | SkinFrameOptions | CuttingGuideOptions,
    *,
    on: str,
    where: str,
) -> Any:
    """Return the solid with a name in the middle of a flat face (rigid 4x4, z to the reader); `on` says what the face is.

    Raises
    ------
    ProcessingError
        When a letter stands beside the face.
    """
    letters = text_solid(
        name, face_to_ras, options.text_height_mm, options.text_stroke_mm, -_ROOT_MM, options.text_relief_mm
    )
    solid, loose = largest_body(checked(plain + letters, f"{where}: embossed name"))
    if any(v > CRUMB_MM3 for v in loose):
        raise ProcessingError(f"{where}: a letter of the name stands beside {on}; make the text smaller.")
    return solid


def lettered(plain: Any, body: Body, options: GuideOptions | SkinFrameOptions, level: str) -> Any:
    """Return the solid with the level's name, readable from behind with the head up."""
    plate: Plate = body.plate
    # Seen from behind the patient's right is on the right hand: x to the right, y up, z to the reader.
    face = body.seat.frame_to_ras @ rigid(translation=[*plate.middle_uv, plate.high_w])
    return embossed(plain, level, face, options, on="its plate", where=level)
