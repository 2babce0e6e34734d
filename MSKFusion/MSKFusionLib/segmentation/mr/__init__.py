"""Structures of MR without a network: the spine."""

from .spine import segment_spine_mr

__all__ = ["segment_spine_mr"]
