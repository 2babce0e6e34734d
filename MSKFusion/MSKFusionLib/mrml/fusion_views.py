"""Ways of looking at how two images lie on each other, in the application's slice views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..checkerboard import checkerboard
from ..volume import Modality, Volume
from .between import moving_on_fixed
from .registrations import ROLE_ATTRIBUTE
from .transforms import place_under
from .volumes import node_to_volume, volume_to_node

_ROLE = "registration-check"
#: Told apart by everybody, and brighter where the error is larger.
_ERROR_COLOURS = ("vtkMRMLColorTableNodeFileViridis.txt", "vtkMRMLColorTableNodeGrey")
#: The outline of a bone must stand on the MR, not hide it.
_NO_FILL = 0.0


class FusionViews:
    """What the slice views show of two images: blended, as a checkerboard, outlines over one of them, an error map.

    Volumes that it makes are not saved with the scene, and go when something else is looked at.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._made: Any = None
        self._outlined: tuple[Any, float] | None = None

    def blend(self, fixed: Any, moving: Any, share: float) -> None:
        """Show the moving volume over the fixed one.

        Parameters
        ----------
        share
            0 shows the fixed one alone, 1 the moving one.
        """
        self._leave()
        self._layers(fixed, moving, share)

    def outlines(self, moving: Any, bones: Any) -> None:
        """Show the moving volume alone, with the outlines of the fixed one's bones over it."""
        self._leave()
        self._layers(moving, None, 0.0)
        display = bones.GetDisplayNode()
        if display is None:
            bones.CreateDefaultDisplayNodes()
            display = bones.GetDisplayNode()
        self._outlined = (display, display.GetOpacity2DFill())
        display.SetVisibility(True)
        display.SetVisibility2D(True)
        display.SetOpacity2DOutline(1.0)
        display.SetOpacity2DFill(_NO_FILL)

    def checkerboard(self, fixed: Any, moving: Any, square_mm: float) -> None:
        """Show squares of both volumes by turns, as they lie now.

        Raises
        ------
        InputError
            When they do not overlap, or the squares are smaller than the voxels.
        """
        volume = node_to_volume(fixed)
        board = checkerboard(volume, moving_on_fixed(fixed, moving), square_mm)
        self._leave()
        shown = volume.with_voxels(board, modality=Modality.UNKNOWN)
        self._layers(
            self._make(shown, fixed, f"{fixed.GetName()}, {moving.GetName()} by turns", (0.0, 255.0)), None, 0.0
        )

    def error_map(self, fixed: Any, error_mm: Volume, share: float) -> tuple[float, float]:
        """Show the expected error in mm over the fixed volume; return the least and the greatest that it shows."""
        self._leave()
        seen = error_mm.voxels[np.isfinite(error_mm.voxels)]
        low, high = float(seen.min()), float(seen.max())
        node = self._make(error_mm, fixed, f"Expected error (mm) over {fixed.GetName()}", (low, max(high, low + 0.1)))
        colours = next(filter(None, (self._scene.GetNodeByID(name) for name in _ERROR_COLOURS)), None)
        if colours is not None:
            node.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
        self._layers(fixed, node, share)
        return low, high

    def stop(self) -> None:
        """Take away what was made, and give the bones their fill back."""
        self._leave()

    def _layers(self, background: Any, foreground: Any, share: float) -> None:
        for layers in self._composites():
            layers.SetBackgroundVolumeID(background.GetID())
            layers.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
            layers.SetForegroundOpacity(min(max(share, 0.0), 1.0))

    def _make(self, volume: Volume, fixed: Any, name: str, window: tuple[float, float]) -> Any:
        node = volume_to_node(self._scene, volume, name)
        node.SetAttribute(ROLE_ATTRIBUTE, _ROLE)
        node.SetSaveWithScene(False)
        node.SetHideFromEditors(True)  # nobody registers or plans on it
        place_under(node, fixed.GetParentTransformNode())
        display = node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*window)
        self._made = node
        return node

    def _leave(self) -> None:
        made, self._made = self._made, None
        outlined, self._outlined = self._outlined, None
        if outlined is not None and outlined[0].GetScene() is not None and outlined[0].GetOpacity2DFill() == _NO_FILL:
            outlined[0].SetOpacity2DFill(outlined[1])
        if made is not None and made.GetScene() is not None and not self._scene.IsClosing():
            for layers in self._composites():  # a view must not go on asking for what is gone
                if layers.GetBackgroundVolumeID() == made.GetID():
                    layers.SetBackgroundVolumeID(None)
                if layers.GetForegroundVolumeID() == made.GetID():
                    layers.SetForegroundVolumeID(None)
            self._scene.RemoveNode(made)

    def _composites(self) -> Iterator[Any]:
        kind = "vtkMRMLSliceCompositeNode"
        for n in range(self._scene.GetNumberOfNodesByClass(kind)):
            yield self._scene.GetNthNodeByClass(n, kind)
