"""What can be chosen in MSK Fusion's panel, and how the lists say it."""

from __future__ import annotations

import enum

from .translation import tr as _

#: What the list of levels shows where the user knows no name.
NO_LEVEL = "none, number them"
LEVELS = [
    NO_LEVEL,
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 7)),
    "S1",
]


class LevelPlace(enum.Enum):
    """Which of the vertebrae in view the known one is."""

    LOWEST = "lowest"
    HIGHEST = "highest"

    def label(self) -> str:
        """Return what the list shows."""
        return {"LOWEST": _("lowest wholly in view"), "HIGHEST": _("highest wholly in view")}[self.name]


class RegistrationMethod(enum.Enum):
    """What may move on its own."""

    RIGID = "rigid"
    PIECEWISE = "piecewise"
    SOFT = "rigid and soft tissue"
    SOFT_PIECEWISE = "piecewise and soft tissue"

    @property
    def bone_by_bone(self) -> bool:
        """Whether every bone moves on its own."""
        return self in (RegistrationMethod.PIECEWISE, RegistrationMethod.SOFT_PIECEWISE)

    @property
    def soft_tissue(self) -> bool:
        """Whether what is not bone bends."""
        return self in (RegistrationMethod.SOFT, RegistrationMethod.SOFT_PIECEWISE)

    def label(self) -> str:
        """Return what the list shows."""
        return {
            "RIGID": _("all bones as one"),
            "PIECEWISE": _("bone by bone"),
            "SOFT": _("all bones as one, soft tissue bends"),
            "SOFT_PIECEWISE": _("bone by bone, soft tissue bends"),
        }[self.name]


class Engine(enum.Enum):
    """What finds bones and tissue."""

    RULES = "rules"
    TOTALSEGMENTATOR = "totalsegmentator"
    FOLDER = "folder"

    def label(self) -> str:
        """Return what the list shows."""
        return {
            "RULES": _("rules, no network"),
            "TOTALSEGMENTATOR": _("TotalSegmentator"),
            "FOLDER": _("a network of mine"),
        }[self.name]
