"""Structures of MR without a network: the spine, muscle and fat, and a lesion from one click."""

from .lesion import add_lesion, segment_lesion_mr
from .prepare import prepare_mr
from .soft_tissue import add_soft_tissue, segment_soft_tissue_mr
from .spine import segment_spine_mr

__all__ = [
    "add_lesion", "add_soft_tissue", "prepare_mr", "segment_lesion_mr", "segment_soft_tissue_mr", "segment_spine_mr"
]  # fmt: skip
