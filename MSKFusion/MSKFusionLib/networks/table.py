"""What a network found as a segmentation: planner's names and values, where it comes from, how sure the network was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..boxes import label_boxes, touches_border
from ..segmentation.labels import Segment, Segmentation
from ..volume import Modality, Volume
from .structure_names import name_structures, without_term

#: Stands where a package does not tell how sure it was; the segment's notes say so.
UNTOLD_CONFIDENCE = 0.5


def segmentation_of(
    labels: NDArray[np.integer],
    names: Sequence[str],
    image: Volume,
    *,
    by: str,
    source: str,
    confidence: ArrayLike | None,
) -> Segmentation:
    """Return labels of a network as a segmentation on an image's grid.

    Parameters
    ----------
    labels
        (K, J, I) on the grid of `image`: positions in `names`, 0 is the background.
    names
        What the network calls them.
    by
        The network, in words.
    source
        The network and its weights, for each segment.
    confidence
        Mean probability of each label, by position; None where it is not known.
    """
    named = name_structures(names)
    boxes = label_boxes(labels)
    values = np.zeros(len(names), dtype=np.uint16)
    how = "confidence is not given by this network"
    if confidence is not None:
        how = "confidence is the network's own mean probability over it, and not calibrated"
    sure = np.full(len(names), UNTOLD_CONFIDENCE) if confidence is None else np.asarray(confidence, dtype=np.float64)
    segments = []
    for position, (value, name, kind) in enumerate(named, 1):
        values[position] = value
        if position in boxes:
            whole = not touches_border(boxes[position], labels.shape)
            segments.append(Segment(value, name, kind, whole, float(np.clip(sure[position], 0, 1)), source, (how,)))
    renumbered = values[labels]
    smallest = np.uint8 if renumbered.max(initial=0) < 256 else np.uint16
    notes = [f"found by the network {by}"]
    present = {s.name for s in segments}
    absent = [name for _, name, _ in named if name not in present]
    if absent:
        notes.append(f"not found: {_short(absent)}")
    unknown = without_term([n for n in named if n[1] in present])
    if unknown:
        notes.append(f"no standard term is known for: {_short(unknown)}")
    volume = image.with_voxels(renumbered.astype(smallest), modality=Modality.LABEL, step=f"segmented by {source}")
    return Segmentation(volume, tuple(segments), tuple(notes))


def _short(words: list[str]) -> str:
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")
