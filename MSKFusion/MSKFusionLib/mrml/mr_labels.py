"""What is labelled in an MR in the scene, a structure at a time, and its place among the bones of the CT."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import label_fusion
from ..background import Call, here
from ..errors import InputError
from ..label_fusion import CombinedLabels
from ..progress import Progress, no_progress
from ..registration.result import RegistrationResult
from ..segmentation import mr
from ..segmentation.labels import Segmentation
from ..volume import Volume
from .fusing import add_beside, require_there
from .segmentations import add_segments, node_to_segmentation
from .volumes import node_to_volume

#: Kinds of what `segment_tissue` finds: an earlier finding says nothing of where it may lie.
_TISSUE = ("muscle", "fat")


def segment_tissue(
    mr_node: Any, labels_node: Any | None = None, *, call: Call = here, progress: Progress = no_progress
) -> tuple[Any, Segmentation]:
    """Label muscle and fat in an MR.

    Parameters
    ----------
    labels_node
        Segmentation of the MR, which they are added to: its structures are left out, and where it has vertebrae only what lies
        behind and beside these is labelled. None: a new one.

    Returns
    -------
    segmentation node, what was found

    Raises
    ------
    MSKError
        What is wrong with the input; a node was deleted meanwhile.
    """
    image = node_to_volume(mr_node)
    found = call(mr.segment_soft_tissue_mr, image, _spine_of(labels_node, image), progress=progress)
    return _kept(mr_node, labels_node, found, "muscle and fat", progress), found


def segment_lesion(
    mr_node: Any,
    point_ras: ArrayLike,
    labels_node: Any | None = None,
    *,
    call: Call = here,
    progress: Progress = no_progress,
) -> tuple[Any, Segmentation]:
    """Label the lesion that a point (3,), mm, in the MR's own frame lies in; see `segment_tissue`."""
    image = node_to_volume(mr_node)
    found = call(mr.segment_lesion_mr, image, np.asarray(point_ras), progress=progress)
    return _kept(mr_node, labels_node, found, "lesion", progress), found


def join_labels(
    ct_node: Any,
    bones_node: Any,
    mr_node: Any,
    labels_node: Any,
    registration: RegistrationResult,
    *,
    call: Call = here,
    progress: Progress = no_progress,
) -> tuple[Any, CombinedLabels]:
    """Put the bones of a CT and what is labelled in an MR into one segmentation on the CT; see `label_fusion.combine_labels`.

    Parameters
    ----------
    registration
        Of the MR to the CT, either fixed.

    Returns
    -------
    segmentation node, labels and where the two images disagree

    Raises
    ------
    MSKError
        When the registration was rejected, nothing of the MR's labels lies in the CT, or a node was deleted meanwhile.
    """
    ct, image = node_to_volume(ct_node), node_to_volume(mr_node)
    bones, others = node_to_segmentation(bones_node, ct), node_to_segmentation(labels_node, image)
    joined = call(label_fusion.combine_labels, bones, others, registration, progress=progress)
    require_there(bones_node, mr_node, labels_node)
    return add_beside(ct_node, joined.segmentation, "bones and tissue", progress), joined


def _spine_of(labels_node: Any | None, image: Volume) -> Segmentation | None:
    """Return what is labelled in an MR but muscle and fat, if there is a vertebra among it."""
    if labels_node is None or not labels_node.GetSegmentation().GetNumberOfSegments():
        return None
    labelled = node_to_segmentation(labels_node, image)
    kept = tuple(s for s in labelled.segments if s.kind not in _TISSUE)
    if not any(s.kind == "vertebra" for s in kept):
        return None
    voxels = np.where(np.isin(labelled.labels.voxels, [s.value for s in kept]), labelled.labels.voxels, 0)
    return replace(labelled, labels=labelled.labels.with_voxels(voxels), segments=kept)


def _kept(mr_node: Any, labels_node: Any | None, found: Segmentation, what: str, progress: Progress) -> Any:
    """Add what was found to the labels of an MR, or as new ones where there are none."""
    if labels_node is None:
        return add_beside(mr_node, found, what, progress)
    require_there(mr_node, labels_node)
    if labels_node.GetParentTransformNode() is not mr_node.GetParentTransformNode():
        raise InputError(
            "the labels lie elsewhere than the MR",
            "Put both under the same transform, or choose no labels: new ones are made.",
            where=labels_node.GetName(),
        )
    add_segments(labels_node, found)
    return labels_node
