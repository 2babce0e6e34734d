"""The application's slice views turned to a screw, and turned back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk

from MSKFusionLib.frames import FloatArray
from MSKFusionLib.mrml import node_to_world_ras
from MSKFusionLib.mrml.transforms import to_vtk_matrix

from ..plan import Screw
from ..screws.planes import screw_planes
from .plan_session import PlanSession
from .slice_views import LAYOUT_NAMES

#: Which of a screw's planes each of the application's views shows: along it near axial, near sagittal, and across it.
_PLANE_OF = {"Red": 0, "Yellow": 1, "Green": 2}


@dataclass(frozen=True, eq=False)
class _Before:
    """What a view showed before it was turned."""

    slice_to_ras: vtk.vtkMatrix4x4
    field_of_view: tuple[float, float, float]
    origin: tuple[float, float, float]
    orientation: str


class ScrewViews:
    """The red, yellow and green slice views along and across a screw.

    Every screw's body is drawn where each slice cuts it, whichever way the slice is turned (its model is visible in 2D).
    """

    def __init__(self, session: PlanSession) -> None:
        self._session = session
        self._before: dict[str, _Before] = {}
        self._shown: tuple[Any, ...] = ()

    @property
    def aligned(self) -> bool:
        """Whether the views are turned to a screw."""
        return bool(self._before)

    def align(self, screw: Screw, across_mm: float) -> None:
        """Turn the views to a screw; where they show it already they are left as somebody may have moved them.

        Parameters
        ----------
        across_mm
            How far from the entry the slice across the screw is.

        Raises
        ------
        GeometryError
            When the plan lies under a transform that is not linear.
        """
        place = self._world()
        wanted = (screw.entry_ras, screw.tip_ras, across_mm, place.tobytes())
        if wanted == self._shown and self._before:
            return
        case = self._session.case
        frame = case.frames.get(screw.level) if case is not None else None
        up = frame.superior_ras if frame is not None else (0.0, 0.0, 1.0)
        planes = screw_planes(screw, up, across_mm=across_mm)
        only_across = self._before and wanted[:2] == self._shown[:2] and wanted[3] == self._shown[3]
        for name, view in self._views().items():
            if name not in self._before:
                self._before[name] = _Before(
                    _copy(view.GetSliceToRAS()), view.GetFieldOfView(), view.GetXYZOrigin(), view.GetOrientation()
                )
            elif only_across and _PLANE_OF[name] != 2:
                continue
            _, slice_to_ras, width_mm = planes[_PLANE_OF[name]]
            width, height = view.GetDimensions()[:2]
            view.SetFieldOfView(width_mm, width_mm * height / max(width, 1), 1.0)
            view.SetXYZOrigin(0.0, 0.0, 0.0)
            view.GetSliceToRAS().DeepCopy(to_vtk_matrix(place @ slice_to_ras))
            view.UpdateMatrices()
        self._shown = wanted

    def release(self) -> None:
        """Turn the views back to what they showed."""
        views = self._views()
        for name, before in self._before.items():
            if name in views:
                view = views[name]
                view.SetOrientation(before.orientation)
                view.SetFieldOfView(*before.field_of_view)
                view.SetXYZOrigin(*before.origin)
                view.GetSliceToRAS().DeepCopy(before.slice_to_ras)
                view.UpdateMatrices()
        self._before, self._shown = {}, ()

    def _world(self) -> FloatArray:
        ct = self._session.basis.ct if self._session.basis is not None else None
        return node_to_world_ras(ct) if ct is not None and ct.GetScene() is not None else np.eye(4)

    def _views(self) -> dict[str, Any]:
        scene = self._session.scene
        found = {name: scene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in LAYOUT_NAMES}
        return {name: view for name, view in found.items() if view is not None}


def _copy(matrix: Any) -> vtk.vtkMatrix4x4:
    out = vtk.vtkMatrix4x4()
    out.DeepCopy(matrix)
    return out
