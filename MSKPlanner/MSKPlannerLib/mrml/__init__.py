"""The scene layer of the planner: plans as MRML nodes, and pictures by Slicer's own views."""

from MSKFusionLib.mrml import ROLE_ATTRIBUTE, VERDICT_ATTRIBUTE

from .item_nodes import ScrewNodes
from .plan_scene import (
    ITEM_ATTRIBUTE,
    PLAN_ATTRIBUTE,
    PlanNodes,
    nodes_of_plan,
    plan_to_scene,
    scene_to_plan,
)
from .render_probe import can_render
from .views import (
    Camera,
    bounds_of,
    camera_towards,
    pictures_possible,
    render_scene_3d,
    render_slices_along_screw,
)

__all__ = [
    "ITEM_ATTRIBUTE",
    "PLAN_ATTRIBUTE",
    "ROLE_ATTRIBUTE",
    "VERDICT_ATTRIBUTE",
    "Camera",
    "PlanNodes",
    "ScrewNodes",
    "bounds_of",
    "camera_towards",
    "can_render",
    "nodes_of_plan",
    "pictures_possible",
    "plan_to_scene",
    "render_scene_3d",
    "render_slices_along_screw",
    "scene_to_plan",
]
