"""Structures of MR without a network: the spine, and a lesion from one click."""

from .lesion import add_lesion, segment_lesion_mr
from .spine import segment_spine_mr

__all__ = ["add_lesion", "segment_lesion_mr", "segment_spine_mr"]
