"""What is asked of a percutaneous path."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from MSKFusionLib.errors import InputError

from ..screws.structures import MARGINS_MM

#: What a bone on the way is: not to be touched; entered only where it holds the target; no matter.
BONE_RULES = ("avoid", "target", "through")
#: Which side of the body lies on the table, as the outward direction of the skin there; empty where that is not known.
POSITIONS = {
    "any": (0.0, 0.0, 0.0),
    "supine": (0.0, -1.0, 0.0),
    "prone": (0.0, 1.0, 0.0),
    "left side": (-1.0, 0.0, 0.0),
    "right side": (1.0, 0.0, 0.0),
}
#: Room for gas in the body (lung, bowel), which is found in a CT without a label.
GAS = "gas (lung, bowel)"
GAS_MARGIN_MM = 5.0


@dataclass(frozen=True)
class PathWeights:
    """The cost of a path, in mm of length that each is worth; ours, to be changed by whoever plans.

    Parameters
    ----------
    near_structure
        For every mm that a structure is nearer than `comfort_mm` beyond its own room.
    skin_deg
        For every degree that the needle meets the skin flatter than `skin_free_deg` off its normal.
    bone
        For every mm of bone that is drilled.
    """

    near_structure: float = 3.0
    comfort_mm: float = 10.0
    skin_deg: float = 0.5
    skin_free_deg: float = 20.0
    bone: float = 0.5


@dataclass(frozen=True)
class PathRequest:
    """A needle from the skin to a target.

    Parameters
    ----------
    target_ras
        (3,) RAS mm.
    needle_mm
        Outer diameter.
    longest_mm
        Of the needle within the body.
    bone
        One of `BONE_RULES`.
    bone_margin_mm
        Kept from bone that is not to be touched.
    avoid_mm
        Room for structures by segment name, on top of those that `screws.structures` knows by their names.
    position
        How the patient lies (`POSITIONS`): skin on the table cannot be reached.
    options, apart_mm
        How many paths are given, and how far apart their entries are at least.
    """

    target_ras: tuple[float, float, float]
    needle_mm: float = 2.0
    longest_mm: float = 150.0
    bone: str = "target"
    bone_margin_mm: float = 1.0
    avoid_mm: dict[str, float] = field(default_factory=dict)
    position: str = "any"
    options: int = 5
    apart_mm: float = 25.0
    weights: PathWeights = field(default_factory=PathWeights)

    def __post_init__(self) -> None:
        where = "path"
        if len(self.target_ras) != 3 or not np.isfinite(self.target_ras).all():
            raise InputError("the target is not a point", "Give three numbers, RAS mm.", where=where)
        if not 0.2 <= self.needle_mm <= 12:
            raise InputError(f"a needle of {self.needle_mm:g} mm", "Give 0.2 to 12 mm.", where=where)
        if not 10 <= self.longest_mm <= 400:
            raise InputError(f"a needle {self.longest_mm:g} mm long", "Give 10 to 400 mm.", where=where)
        if self.bone not in BONE_RULES:
            raise InputError(f"'{self.bone}' is no rule for bone", f"Give {', '.join(BONE_RULES)}.", where=where)
        if self.position not in POSITIONS:
            raise InputError(f"'{self.position}' is no position", f"Give {', '.join(POSITIONS)}.", where=where)
        if not (1 <= self.options <= 30 and 0 <= self.apart_mm <= 200 and 0 <= self.bone_margin_mm <= 30):
            raise InputError("options, their distance or the room for bone are outside what makes sense", where=where)
        for name, room in self.avoid_mm.items():
            if not (np.isfinite(room) and 0 <= room <= 50):
                raise InputError(f"{room!r} mm is no room for {name}", "Give 0 to 50 mm.", where=where)


def known_margins() -> str:
    """Say which structures are given room by their names."""
    return ", ".join(f"{word} {mm:g} mm" for word, mm in MARGINS_MM.items())
