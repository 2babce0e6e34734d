"""Registration and segmentation from nodes to nodes: what MSK Fusion's buttons do, without the panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from .. import networks, registration, segmentation
from ..background import Call, here
from ..errors import InputError
from ..progress import Progress, no_progress, part
from ..registration.one_bone import following
from ..registration.result import RegistrationResult, Verdict
from ..segmentation import LevelHint, mr
from ..segmentation.labels import Segmentation
from ..torch_device import check_torch
from ..translation import tr as _
from ..volume import Modality
from .place_pair import place_pair
from .point_lists import landmark_pairs
from .segmentations import node_to_segmentation, segmentation_to_node
from .transforms import place_under
from .volumes import node_to_volume


def register(
    fixed_node: Any,
    moving_node: Any,
    *,
    bones_node: Any | None = None,
    bone: str | None = None,
    bone_by_bone: bool = False,
    soft_tissue: bool = False,
    start_ras: ArrayLike | None = None,
    landmarks: tuple[Any | None, Any | None] = (None, None),
    call: Call = here,
    progress: Progress = no_progress,
) -> tuple[Any, RegistrationResult]:
    """Register one volume to another; put it under the transform if the result is accepted.

    Parameters
    ----------
    bones_node
        Segmentation of the CT: what moves bone by bone, and what soft tissue bends around.
    bone_by_bone
        Each bone of `bones_node` moves on its own. False: all as one.
    bone
        The bone whose motion the whole moving image follows, of a registration bone by bone.
    soft_tissue
        Then bend what is not bone (`register_deformable`; needs PyTorch).
    start_ras
        4x4 from the fixed node's own frame to the moving one's, from where the search begins.
    landmarks
        Point list nodes of the fixed and of the moving image.

    Returns
    -------
    transform node, registration result
        See `place_pair.place_pair`.

    Raises
    ------
    MSKError
        What is wrong with the input; an image was deleted meanwhile.
    """
    if soft_tissue:
        check_torch()  # before the long work
    fixed, moving = node_to_volume(fixed_node), node_to_volume(moving_node)
    marks = landmark_pairs(fixed_node, moving_node, *landmarks)
    bones = None
    if bones_node is not None:
        bones = node_to_segmentation(bones_node, fixed if fixed.modality is Modality.CT else moving)
    elif bone_by_bone:
        raise InputError("there are no bones that could move on their own", "Choose the bones of the CT.")
    placing = part(progress, 0.0, 0.4 if soft_tissue else 1.0)

    def rigid(report: Progress) -> RegistrationResult:
        found: RegistrationResult = call(
            registration.register_rigid, fixed, moving, start_ras=start_ras, landmarks=marks, progress=report
        )
        return found

    if not bone_by_bone:
        result = rigid(placing)
    else:
        # Only the rigid registration takes landmarks.
        first = None if marks is None else rigid(part(placing, 0.0, 0.4))
        left = placing if first is None else part(placing, 0.4, 1.0)
        result = call(
            registration.register_piecewise, fixed, moving, bones, rigid=first, start_ras=start_ras, progress=left
        )
        result = result if bone is None else following(result, bone)
    if soft_tissue and result.verdict is Verdict.ACCEPTED:
        result = call(
            registration.register_deformable, fixed, moving, initial=result, bones=bones,
            progress=part(progress, 0.4, 1.0),
        )  # fmt: skip
    progress(1.0, _("Updating the scene"))  # the last chance to cancel
    require_there(fixed_node, moving_node)
    return place_pair(result, fixed, fixed_node, moving_node), result


def segment_ct(
    node: Any,
    hint: LevelHint | None = None,
    *,
    network: str | None = None,
    call: Call = here,
    progress: Progress = no_progress,
) -> tuple[Any, Segmentation]:
    """Segment the bones of a CT by rules, or by a network that names what it finds itself; return the node and what is in it.

    Raises
    ------
    MSKError
        What is wrong with the input, or that no network was given.
    """
    found = _found(node, segmentation.segment_bones_ct, hint, network, call, progress)
    return add_beside(node, found, "bones", progress), found


def segment_mr(
    node: Any,
    hint: LevelHint | None = None,
    *,
    network: str | None = None,
    call: Call = here,
    progress: Progress = no_progress,
) -> tuple[Any, Segmentation]:
    """Segment vertebral bodies, discs and canal of an MR, or what a network knows; see `segment_ct`."""
    found = _found(node, mr.segment_spine_mr, hint, network, call, progress)
    return add_beside(node, found, "spine", progress), found


def _found(
    node: Any,
    rules: Callable[..., Segmentation],
    hint: LevelHint | None,
    network: str | None,
    call: Call,
    progress: Progress,
) -> Segmentation:
    """Return what rules find in an image, or a network where one is given."""
    image = node_to_volume(node)
    found: Segmentation
    if network is None:
        found = call(rules, image, level_hint=hint, progress=progress)
    elif network in ("", "."):
        raise InputError("no network is chosen", "Give its folder or file, or let the rules find the bones.")
    else:
        found = call(networks.segment_with_network, image, network, progress=progress)
    return found


def add_beside(image_node: Any, found: Segmentation, what: str, progress: Progress = no_progress) -> Any:
    """Add the segmentation of an image beside earlier ones, which may hold the user's edits.

    Raises
    ------
    InputError
        When the image was deleted meanwhile.
    """
    progress(1.0, _("Updating the scene"))  # the last chance to cancel
    require_there(image_node)
    scene = image_node.GetScene()
    node = segmentation_to_node(scene, found, scene.GenerateUniqueName(f"{image_node.GetName()} {what}"))
    node.SetReferenceImageGeometryParameterFromVolumeNode(image_node)
    place_under(node, image_node.GetParentTransformNode())
    return node


def require_there(*nodes: Any) -> None:
    """Refuse to go on when a node was deleted meanwhile."""
    for node in nodes:
        if node.GetScene() is None:
            raise InputError("the image was deleted meanwhile", "Choose another.", where=node.GetName())
