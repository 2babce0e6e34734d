"""A registration's nodes for one pair of images: put in place of earlier ones, found again, taken back."""

from __future__ import annotations

from typing import Any

from ..registration.result import RegistrationResult, Verdict
from ..volume import Volume
from .nudge import nudge_of, remove_nudge
from .registrations import ROLE_ATTRIBUTE, VERDICT_ATTRIBUTE, place_registration
from .tied_nodes import put_volume_under
from .transforms import place_under

#: From the registration to the transform that the moving image was under before it.
_BEFORE = "before"


def place_pair(result: RegistrationResult, fixed: Volume, fixed_node: Any, moving_node: Any) -> Any:
    """Put a registration into the scene in place of an earlier one of the same pair.

    Returns
    -------
    vtkMRMLTransformNode
        An accepted one has the moving image under it, with the landmarks that are tied to the image; what was moved by hand is
        in it. A rejected one moves nothing, and does not displace an accepted one.
    """
    scene = fixed_node.GetScene()
    accepted = result.verdict is Verdict.ACCEPTED
    if accepted:
        remove_nudge(moving_node)
    before = _before(fixed_node, moving_node)
    if accepted:
        put_volume_under(moving_node, before)
    remove_registrations(fixed_node, moving_node, only_rejected=not accepted)
    name = f"{moving_node.GetName()} to {fixed_node.GetName()}"
    nodes = place_registration(scene, result, fixed, name, moving_node, fixed_node)
    if accepted:
        place_under(moving_node, before)
        put_volume_under(moving_node, nodes.whole)
    # The result holds between the two grids; whatever moves the CT moves both.
    for node in (nodes.whole, *nodes.bones.values()):
        place_under(node, fixed_node.GetParentTransformNode())
    if before is not None and before.GetScene() is not None:
        nodes.whole.SetNodeReferenceID(_BEFORE, before.GetID())
    return nodes.whole


def registration_of(fixed: Any, moving: Any) -> Any | None:
    """Return the registration of a pair: the one that the moving image is under, else the last one."""
    above = moving.GetParentTransformNode()
    found = [n for n in _registrations(fixed, moving) if n.GetAttribute(ROLE_ATTRIBUTE) == "registration"]
    return above if above in found else (found[-1] if found else None)


def take_back(fixed: Any, moving: Any) -> None:
    """Put the moving image back under what it was under before it was registered to the fixed one."""
    found = registration_of(fixed, moving)
    if found is not None and moving.GetParentTransformNode() is found:
        put_volume_under(moving, found.GetNodeReference(_BEFORE))


def remove_registrations(fixed: Any, moving: Any, *, only_rejected: bool) -> None:
    """Remove what registering the same pair left before."""
    for node in _registrations(fixed, moving):
        if not only_rejected or node.GetAttribute(VERDICT_ATTRIBUTE) == "rejected":
            moving.GetScene().RemoveNode(node)


def _registrations(fixed: Any, moving: Any) -> list[Any]:
    scene, kind = moving.GetScene(), "vtkMRMLTransformNode"
    nodes = [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]
    return [
        n
        for n in nodes
        if n.GetAttribute(ROLE_ATTRIBUTE) in ("registration", "bone-registration")
        and n.GetNodeReference("fixed") is fixed
        and n.GetNodeReference("moving") is moving
    ]


def _before(fixed: Any, moving: Any) -> Any | None:
    hand = nudge_of(moving)
    above = registration_of(fixed, moving)
    if above is not None and moving.GetParentTransformNode() is above:
        return above.GetNodeReference(_BEFORE)
    return hand.GetParentTransformNode() if hand is not None else moving.GetParentTransformNode()
