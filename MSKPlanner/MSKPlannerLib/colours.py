"""The colours of planned parts, in the scene and in the report.

Okabe and Ito's palette (2008, https://jfly.uni-koeln.de/color/): told apart by colour-blind readers too; a test
simulates it.
"""

from __future__ import annotations

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.terminology import Colour

SCREW_COLOUR: Colour = (0.0, 114 / 255, 178 / 255)
GUIDE_COLOUR: Colour = (0.0, 158 / 255, 115 / 255)
REJECTED_COLOUR: Colour = (213 / 255, 94 / 255, 0.0)
#: Of a guide that no longer fits its screws: grey, no colour of the palette, and named so as well.
OUT_OF_DATE_COLOUR: Colour = (0.55, 0.55, 0.55)
#: Planes of saws with their handles, the fragment that moves, and what is taken out.
CUT_COLOUR: Colour = (204 / 255, 121 / 255, 167 / 255)
MOVED_COLOUR: Colour = (230 / 255, 159 / 255, 0.0)
REMOVED_COLOUR: Colour = (86 / 255, 180 / 255, 233 / 255)
#: Axes of a leg: of the femur, of the tibia, and the weight-bearing line after and before a correction.
AXIS_COLOURS: dict[str, Colour] = {
    "femur": (0.0, 114 / 255, 178 / 255),
    "tibia": (0.0, 158 / 255, 115 / 255),
    "after": (213 / 255, 94 / 255, 0.0),
    "before": (0.45, 0.45, 0.45),
}
#: Fragments of a broken bone, in turn; the first, which stays, is bone.
FRAGMENT_COLOURS: tuple[Colour, ...] = (
    (0.9, 0.86, 0.75),
    (0.0, 0.45, 0.7),
    (0.84, 0.37, 0.0),
    (0.0, 0.62, 0.45),
    (0.8, 0.47, 0.65),
    (0.94, 0.89, 0.26),
    (0.34, 0.71, 0.91),
)
#: Bone in the report's view, where no segment gives it a colour.
BONE_COLOUR: Colour = (232 / 255, 220 / 255, 192 / 255)


def judged_colour(colour: Colour, verdict: Verdict) -> Colour:
    """Return the colour of a part, or that of rejected ones."""
    return colour if verdict is Verdict.ACCEPTED else REJECTED_COLOUR


def hex_colour(colour: Colour) -> str:
    """Return a colour as web pages write it, ``#0072b2``."""
    return "#" + "".join(f"{round(255 * value):02x}" for value in colour)
