"""Slicer's own 3D and slice views without a window: the displayable managers draw, a PNG comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike, NDArray
from vtk.util.numpy_support import vtk_to_numpy

from MSKFusionLib.mrml import application_logic, inside_application
from MSKFusionLib.mrml.transforms import to_vtk_matrix

from .render_probe import working_window_class

#: Pixels of a picture: (height, width, 3), 8 bits.
Pixels = NDArray[np.uint8]

_MANAGERS_3D = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
_MANAGERS_SLICE = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
#: The name of the views made here; it clashes with none of the application's layouts.
_LAYOUT_NAME = "MSKPlannerPicture"


class OffscreenView3D:
    """One 3D view; made by `offscreen_3d`."""

    def __init__(self, scene: Any, size: tuple[int, int], node: Any = None) -> None:
        self._renderer = vtk.vtkRenderer()
        self._renderer.SetUseDepthPeeling(True)  # transparent bone before opaque screws, in the right order
        self._renderer.SetMaximumNumberOfPeels(6)
        self._renderer.SetOcclusionRatio(0.0)
        self._renderer.UseFXAAOn()
        self._window, self._interactor = _window(size, [self._renderer])
        application = application_logic(scene)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        self._group = _managers(factory, application, _MANAGERS_3D, self._renderer)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logics = application.GetViewLogics()
        self._logics.AddItem(self._logic)
        self._logic.SetMRMLScene(scene)
        self.node = self._logic.AddViewNode(_LAYOUT_NAME) if node is None else node
        self._group.SetMRMLDisplayableNode(self.node)
        manager = self._group.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager")
        self.camera_node = manager.GetCameraNode()

    def draw(self) -> Pixels:
        """Draw and return the picture."""
        self._renderer.ResetCameraClippingRange()
        return _draw(self._window, self._interactor)

    def close(self) -> None:
        """Let go of the scene; the view is not usable after."""
        self._group.SetMRMLDisplayableNode(None)
        self._logics.RemoveItem(self._logic)
        self._logic.SetMRMLScene(None)
        self._style.SetInteractor(None)
        _close_window(self._window, self._interactor)


class OffscreenSlice:
    """One slice view; made by `offscreen_slice`."""

    def __init__(self, scene: Any, size: tuple[int, int]) -> None:
        self._size = size
        self._texts: list[Any] = []
        background, overlay = vtk.vtkRenderer(), vtk.vtkRenderer()
        for renderer in (background, overlay):
            renderer.GetActiveCamera().ParallelProjectionOn()
        overlay.SetLayer(1)
        self._window, self._interactor = _window(size, [background, overlay])
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._overlay = overlay
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        background.AddViewProp(actor)
        application = application_logic(scene)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self._group = _managers(factory, application, _MANAGERS_SLICE, background)
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logics = application.GetSliceLogics()
        self._logics.AddItem(self._logic)
        self._logic.SetMRMLScene(scene)
        self.node = self._logic.AddSliceNode(_LAYOUT_NAME)
        self.node.SetDimensions(*size, 1)
        self._logic.ResizeSliceNode(*size)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)
        self._group.SetMRMLDisplayableNode(self.node)

    def show(self, volume_node: Any) -> None:
        """Put a volume behind."""
        self._logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume_node.GetID())

    def place(self, slice_to_ras: ArrayLike, width_mm: float) -> None:
        """Put the slice's plane.

        Parameters
        ----------
        slice_to_ras
            4x4; its columns are the picture's right, its up, the normal, and the picture's centre.
        width_mm
            What the picture is wide.
        """
        width, height = self._size
        self.node.SetFieldOfView(width_mm, width_mm * height / width, 1.0)
        self.node.SetXYZOrigin(0.0, 0.0, 0.0)
        self.node.GetSliceToRAS().DeepCopy(to_vtk_matrix(slice_to_ras))
        self.node.UpdateMatrices()

    def write(self, text: str, x_share: float, y_share: float, *, size_px: int = 16) -> None:
        """Write a text into the pictures at a place given in shares of width and height, centred on it."""
        actor = vtk.vtkTextActor()
        actor.SetInput(text)
        actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
        actor.SetPosition(x_share, y_share)
        style = actor.GetTextProperty()
        style.SetFontSize(size_px)
        style.SetColor(1.0, 1.0, 1.0)
        style.SetShadow(True)
        style.SetJustificationToCentered()
        style.SetVerticalJustificationToCentered()
        self._overlay.AddViewProp(actor)
        self._texts.append(actor)

    def clear_texts(self) -> None:
        """Remove what was written."""
        for actor in self._texts:
            self._overlay.RemoveViewProp(actor)
        self._texts.clear()

    def draw(self) -> Pixels:
        """Draw and return the picture."""
        self._mapper.SetInputConnection(self._logic.GetImageDataConnection())
        return _draw(self._window, self._interactor)

    def close(self) -> None:
        """Let go of the scene; the view is not usable after."""
        self._mapper.RemoveAllInputConnections(0)
        self._group.SetMRMLDisplayableNode(None)
        self._logics.RemoveItem(self._logic)
        self._style.SetSliceLogic(None)
        self._style.SetInteractor(None)
        self._logic.SetMRMLScene(None)
        _close_window(self._window, self._interactor)


@contextmanager
def offscreen_3d(scene: Any, size: tuple[int, int], node: Any = None) -> Iterator[OffscreenView3D]:
    """Give a 3D view on the scene, and leave the scene without a trace of it.

    Parameters
    ----------
    node
        The view of the application that is drawn, as its nodes have it; None: a view of its own.
    """
    with _no_trace(scene), closing(OffscreenView3D(scene, size, node)) as view:
        yield view


@contextmanager
def offscreen_slice(scene: Any, size: tuple[int, int]) -> Iterator[OffscreenSlice]:
    """Give a slice view on the scene, and leave the scene without a trace of it."""
    with _no_trace(scene), closing(OffscreenSlice(scene, size)) as view:
        yield view


def write_png(pixels: Pixels, path: str) -> None:
    """Write a picture."""
    image = vtk.vtkImageData()
    image.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
    flat = np.ascontiguousarray(pixels[::-1]).reshape(-1, 3)
    image.GetPointData().SetScalars(vtk.util.numpy_support.numpy_to_vtk(flat, deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(path)
    writer.SetInputData(image)
    writer.Write()
    if writer.GetErrorCode():
        raise OSError(f"{path} cannot be written")


@contextmanager
def _no_trace(scene: Any) -> Iterator[None]:
    """Remove the nodes that were added inside the block: views, cameras, slice models and their displays."""
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    try:
        yield
    finally:
        added = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        for node in reversed([n for n in added if n.GetID() not in before]):
            if scene.IsNodePresent(node):
                scene.RemoveNode(node)


def _window(size: tuple[int, int], renderers: list[Any]) -> tuple[Any, Any]:
    # The class that the probe found working: the factory would try X first, and complain.
    window_class = None if inside_application() else working_window_class()
    window = getattr(vtk, window_class or "", vtk.vtkRenderWindow)()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)  # depth peeling needs it; the renderers smooth edges by FXAA
    window.SetAlphaBitPlanes(1)
    window.SetNumberOfLayers(len(renderers))
    for renderer in renderers:
        window.AddRenderer(renderer)
    window.SetSize(*size)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    interactor.Initialize()
    return window, interactor


def _managers(factory: Any, application: Any, names: tuple[str, ...], renderer: Any) -> Any:
    factory.SetMRMLApplicationLogic(application)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    return group


def _draw(window: Any, interactor: Any) -> Pixels:
    interactor.Render()
    reader = vtk.vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.SetInputBufferTypeToRGB()
    reader.ReadFrontBufferOff()
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)
    return np.array(pixels[::-1])


def _close_window(window: Any, interactor: Any) -> None:
    interactor.SetRenderWindow(None)
    for renderer in list(window.GetRenderers()):
        renderer.RemoveAllViewProps()
        window.RemoveRenderer(renderer)
    window.Finalize()
