"""The names of a segmentation's segments, without its voxels."""

from __future__ import annotations

from typing import Any


def segment_names(node: Any | None) -> tuple[str, ...]:
    """Return the names of a segmentation's segments in their order; none without a segmentation."""
    if node is None:
        return ()
    content = node.GetSegmentation()
    return tuple(content.GetNthSegment(n).GetName() for n in range(content.GetNumberOfSegments()))
