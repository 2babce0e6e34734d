"""The application's 3D views as nodes: found or added, their state kept and put back, their cameras brought to one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: On a view, what it was like before.
_STATE_ATTRIBUTE = "MSKPlanner.ViewBefore"


def view_3d(scene: Any, name: str) -> Any:
    """Return the node of the 3D view of a layout name, added where there is none: the application makes a view for it."""
    node = scene.GetSingletonNode(name, "vtkMRMLViewNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLViewNode")
        node.UnRegister(None)
        node.SetSingletonTag(name)
        node.SetLayoutName(name)
        node.SetLayoutLabel(name)
        node.SetName(f"View{name}")
        node = scene.AddNode(node)
    return node


@dataclass(frozen=True)
class ViewState:
    """What a 3D view was like; `there` tells whether it was there at all."""

    scene: Any
    name: str
    there: bool = False
    label: str = ""
    linked: bool = False
    mode: int = 0

    @classmethod
    def of(cls, scene: Any, name: str) -> ViewState:
        """Return the state of the view of a layout name."""
        node = scene.GetSingletonNode(name, "vtkMRMLViewNode")
        if node is None:
            return cls(scene, name, label=name)
        label, linked = node.GetLayoutLabel() or name, bool(node.GetLinkedControl())
        return cls(scene, name, True, label, linked, node.GetRenderMode())

    def restore(self) -> None:
        """Bring the view back to it. One that was not there goes, unless the application's layouts hold it now."""
        node = self.scene.GetSingletonNode(self.name, "vtkMRMLViewNode")
        if node is None:
            return
        if not self.there and self.scene.GetFirstNodeByClass("vtkMRMLLayoutNode") is None:
            self.scene.RemoveNode(node)
            return
        node.SetLayoutLabel(self.label)
        node.SetLinkedControl(self.linked)
        node.SetRenderMode(self.mode)
        node.RemoveAttribute(_STATE_ATTRIBUTE)

    def remember(self) -> None:
        """Write the state on the view, for `mend`."""
        node = self.scene.GetSingletonNode(self.name, "vtkMRMLViewNode")
        if node is not None:
            node.SetAttribute(_STATE_ATTRIBUTE, f"{int(self.linked)} {self.mode} {self.label}")

    @classmethod
    def mend(cls, scene: Any, name: str) -> None:
        """Bring a view back to the state that is written on it; nothing where none is."""
        node = scene.GetSingletonNode(name, "vtkMRMLViewNode")
        written = None if node is None else node.GetAttribute(_STATE_ATTRIBUTE)
        if written is None:
            return
        linked, mode, label = (*written.split(" ", 2), "", "")[:3]
        cls(scene, name, True, label or name, linked == "1", int(mode) if mode.isdecimal() else 0).restore()


def copy_camera(scene: Any, source: Any, target: Any) -> None:
    """Look at the scene in one view from where another does, where both have their cameras."""
    cameras: dict[str, Any] = {}
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
        camera = scene.GetNthNodeByClass(n, "vtkMRMLCameraNode")
        cameras.setdefault(camera.GetLayoutName(), camera)
    first, second = cameras.get(source.GetLayoutName()), cameras.get(target.GetLayoutName())
    if first is None or second is None:
        return
    second.SetPosition(first.GetPosition())
    second.SetFocalPoint(first.GetFocalPoint())
    second.SetViewUp(first.GetViewUp())
    second.SetViewAngle(first.GetViewAngle())
    second.SetParallelScale(first.GetParallelScale())
    second.ResetClippingRange()
