"""The scene layer of the planner: plans as MRML nodes, and pictures by Slicer's own views."""

from .plan_scene import (
    GUIDE_COLOUR,
    ITEM_ATTRIBUTE,
    PLAN_ATTRIBUTE,
    REJECTED_COLOUR,
    ROLE_ATTRIBUTE,
    SCREW_COLOUR,
    VERDICT_ATTRIBUTE,
    PlanNodes,
    ScrewNodes,
    nodes_of_plan,
    plan_to_scene,
    scene_to_plan,
)

__all__ = [
    "GUIDE_COLOUR",
    "ITEM_ATTRIBUTE",
    "PLAN_ATTRIBUTE",
    "REJECTED_COLOUR",
    "ROLE_ATTRIBUTE",
    "SCREW_COLOUR",
    "VERDICT_ATTRIBUTE",
    "PlanNodes",
    "ScrewNodes",
    "nodes_of_plan",
    "plan_to_scene",
    "scene_to_plan",
]
