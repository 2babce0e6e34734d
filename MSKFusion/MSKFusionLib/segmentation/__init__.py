"""Bones found, separated, named; and segmentations read and written."""

from .bone_names import name_bone
from .ct import segment_bones_ct
from .labels import LEVELS_CRANIAL_TO_CAUDAL, UNNAMED_FIRST_VALUE, VERTEBRA_VALUES, Segment, Segmentation
from .levels import LevelHint, name_levels

__all__ = [
    "LEVELS_CRANIAL_TO_CAUDAL",
    "UNNAMED_FIRST_VALUE",
    "VERTEBRA_VALUES",
    "LevelHint",
    "Segment",
    "Segmentation",
    "name_bone",
    "name_levels",
    "segment_bones_ct",
]
