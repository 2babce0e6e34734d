"""Registrations as transform nodes, and the attributes that say what a node of ours is."""

from __future__ import annotations

from typing import Any

from ..registration.result import RegistrationResult, Verdict
from .transforms import place_under, rigid_to_node

#: What a node is for: ``plan``, ``ct``, ``mr``, ``registration``, ``segmentation``, ``screw-axis``, ``screw``,
#: ``guide``, ``bone``, ``metrics``.
ROLE_ATTRIBUTE = "MSKPlanner.Role"
#: ``accepted`` or ``rejected``.
VERDICT_ATTRIBUTE = "MSKPlanner.Verdict"


def place_registration(scene: Any, result: RegistrationResult, name: str, moving_node: Any | None) -> Any:
    """Add a registration as a transform node and put the moving volume under it.

    A rejected registration is there to be looked at: it says so in its name, and moves nothing.

    Returns
    -------
    vtkMRMLLinearTransformNode
        Fixed to moving as TransformFromParent, with role and verdict as attributes and the reasons as description.
    """
    accepted = result.verdict is Verdict.ACCEPTED
    node = rigid_to_node(scene, result.fixed_to_moving_ras, name if accepted else f"{name} (rejected)")
    node.SetAttribute(ROLE_ATTRIBUTE, "registration")
    node.SetAttribute(VERDICT_ATTRIBUTE, result.verdict.value)
    node.SetDescription("; ".join(result.reasons))
    if accepted and moving_node is not None:
        place_under(moving_node, node)
    return node
