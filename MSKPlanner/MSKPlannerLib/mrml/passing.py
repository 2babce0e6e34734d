"""Nodes that are only there to be seen for a while: in no list of the application, and in no file."""

from __future__ import annotations

from typing import Any


def add_passing(scene: Any, class_name: str, name: str) -> Any:
    """Add a node that is hidden from the application's lists from the beginning and not saved; `keep_out` has to follow."""
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return scene.AddNode(node)


def keep_out(node: Any) -> Any:
    """Keep the display nodes of such a node out of files as well; return the node."""
    for n in range(node.GetNumberOfDisplayNodes()):
        node.GetNthDisplayNode(n).SetSaveWithScene(False)
    return node
