"""The scene layer: this library's data as MRML nodes. The only part of it that imports `slicer`."""

from .files import load_scene, save_scene
from .headless import application_logic, headless_scene, inside_application, load_terminology, module_logic
from .hierarchy import add_folder, children, hierarchy_node, nodes_in_folder, put_in_folder
from .registrations import ROLE_ATTRIBUTE, VERDICT_ATTRIBUTE, RegistrationNodes, place_registration
from .segmentations import node_to_segmentation, segmentation_to_node
from .transforms import (
    displacements_to_node,
    node_to_rigid,
    node_to_world_ras,
    place_under,
    rigid_to_node,
)
from .volumes import node_to_volume, volume_to_node

__all__ = [
    "ROLE_ATTRIBUTE",
    "VERDICT_ATTRIBUTE",
    "RegistrationNodes",
    "add_folder",
    "application_logic",
    "children",
    "displacements_to_node",
    "headless_scene",
    "hierarchy_node",
    "inside_application",
    "load_scene",
    "load_terminology",
    "module_logic",
    "node_to_rigid",
    "node_to_segmentation",
    "node_to_volume",
    "node_to_world_ras",
    "nodes_in_folder",
    "place_registration",
    "place_under",
    "put_in_folder",
    "rigid_to_node",
    "save_scene",
    "segmentation_to_node",
    "volume_to_node",
]
