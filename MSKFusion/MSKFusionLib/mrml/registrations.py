"""Registrations as transform nodes, and the attributes that say what a node of ours is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..registration.result import RegistrationResult, Verdict
from ..volume import Volume
from .transforms import displacements_to_node, place_under, rigid_to_node

#: What a node is for: ``plan``, ``ct``, ``mr``, ``registration``, ``bone-registration``, ``segmentation``,
#: ``screw-axis``, ``screw``, ``guide``, ``bone``, ``metrics``.
ROLE_ATTRIBUTE = "MSKPlanner.Role"
#: ``accepted`` or ``rejected``.
VERDICT_ATTRIBUTE = "MSKPlanner.Verdict"
#: What somebody who looked at it decided: ``accepted`` or ``rejected``.
REVIEW_ATTRIBUTE = "MSKPlanner.Review"


@dataclass(frozen=True, eq=False)
class RegistrationNodes:
    """The nodes of a registration: what the moving volume is put under, and each bone's own rigid transform by name."""

    whole: Any
    bones: Mapping[str, Any]


def place_registration(
    scene: Any,
    result: RegistrationResult,
    fixed: Volume,
    name: str,
    moving_node: Any | None,
    fixed_node: Any | None = None,
) -> RegistrationNodes:
    """Add a registration as transform nodes and put the moving volume under it.

    A rejected registration is there to be looked at: it says so in its name, and moves nothing.

    Parameters
    ----------
    fixed
        The fixed image: a map that bends is sampled over it.
    moving_node, fixed_node
        The images' nodes, which every node refers to as ``moving`` and ``fixed``.

    Returns
    -------
    RegistrationNodes
        A linear transform; of a registration bone by bone a grid transform, and a linear one for each bone that was
        placed. Fixed to moving as TransformFromParent, with role and verdict as attributes; reasons and warnings as
        description.
    """
    accepted = result.verdict is Verdict.ACCEPTED
    title = name if accepted else f"{name} (rejected)"
    bones = {}
    if result.bending is None:
        whole = rigid_to_node(scene, result.fixed_to_moving_ras, title)
    else:
        whole = displacements_to_node(scene, *result.bending.displacements(fixed), title)
        for bone in result.bones:
            if bone.fixed_to_moving_ras is not None and bone.verdict is Verdict.ACCEPTED:
                bones[bone.name] = rigid_to_node(scene, bone.fixed_to_moving_ras, f"{title}, {bone.name}")
                bones[bone.name].SetAttribute(ROLE_ATTRIBUTE, "bone-registration")
    whole.SetAttribute(ROLE_ATTRIBUTE, "registration")
    for node in (whole, *bones.values()):
        node.SetAttribute(VERDICT_ATTRIBUTE, result.verdict.value)
        for role, image in (("fixed", fixed_node), ("moving", moving_node)):
            if image is not None:
                node.SetNodeReferenceID(role, image.GetID())
    whole.SetDescription("; ".join((*result.reasons, *result.warnings)))
    if accepted and moving_node is not None:
        place_under(moving_node, whole)
    return RegistrationNodes(whole, bones)
