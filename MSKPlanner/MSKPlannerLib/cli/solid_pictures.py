"""Pictures of closed surfaces, some coloured by a number at each corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from MSKFusionLib.frames import FloatArray, unit

from ..mesh import Mesh

Colour = tuple[float, float, float]
_SIZE = (760, 620)
NO_PICTURES = "This machine cannot draw off screen (no OpenGL, EGL or OSMesa): the report has no pictures."


@dataclass(frozen=True, eq=False)
class Drawn:
    """One surface of a picture.

    Parameters
    ----------
    values, limits, title
        A number (N,) at each corner, what the ends of the colours mean, and the title of their bar.
    """

    mesh: Mesh
    colour: Colour = (0.9, 0.86, 0.75)
    opacity: float = 1.0
    values: FloatArray | None = None
    limits: tuple[float, float] = (0.0, 1.0)
    title: str = ""


def draw(
    bodies: Sequence[Drawn],
    from_ras: Sequence[float] | FloatArray,
    *,
    around: FloatArray | None = None,
    up_ras: Sequence[float] = (0.0, 0.0, 1.0),
    size: tuple[int, int] = _SIZE,
) -> bytes:
    """Return a picture (PNG) of surfaces seen from a direction.

    Parameters
    ----------
    from_ras
        From the bodies to the eye.
    around
        Points (N, 3) that the picture must hold; all bodies where None.
    """
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(*size)
    window.SetMultiSamples(4)
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(1.0, 1.0, 1.0)
    window.AddRenderer(renderer)
    # What is seen through is drawn after what is not.
    for body in sorted(bodies, key=lambda b: -b.opacity):
        _add(renderer, body)
    _look(renderer, bodies, unit(from_ras), around, unit(up_ras), size)
    _axes_label(renderer, unit(from_ras))
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    writer = vtk.vtkPNGWriter()
    writer.SetWriteToMemory(1)
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
    window.Finalize()
    return bytes(memoryview(writer.GetResult()))


def _add(renderer: vtk.vtkRenderer, body: Drawn) -> None:
    data = body.mesh.to_polydata()
    mapper = vtk.vtkPolyDataMapper()
    if body.values is not None:
        data.GetPointData().SetScalars(numpy_to_vtk(np.asarray(body.values, dtype=np.float64), deep=True))
        table = vtk.vtkLookupTable()
        # Blue is far, red is near: the usual order of warnings.
        table.SetHueRange(0.0, 0.66)
        table.Build()
        mapper.SetLookupTable(table)
        mapper.SetScalarRange(*body.limits)
    else:
        mapper.ScalarVisibilityOff()
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(data)
    normals.SetFeatureAngle(35.0)
    mapper.SetInputConnection(normals.GetOutputPort())
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*body.colour)
    actor.GetProperty().SetOpacity(body.opacity)
    if body.values is not None:
        actor.GetProperty().LightingOff()
        bar = vtk.vtkScalarBarActor()
        bar.SetLookupTable(mapper.GetLookupTable())
        bar.SetTitle(body.title)
        bar.SetNumberOfLabels(5)
        bar.UnconstrainedFontSizeOn()
        for text in (bar.GetTitleTextProperty(), bar.GetLabelTextProperty()):
            text.SetColor(0.1, 0.1, 0.1)
            text.SetFontSize(14)
            text.ShadowOff()
            text.ItalicOff()
        bar.SetPosition(0.86, 0.1)
        bar.SetWidth(0.1)
        bar.SetHeight(0.5)
        if not renderer.GetActors2D().GetNumberOfItems():
            renderer.AddViewProp(bar)
    renderer.AddActor(actor)


def _look(
    renderer: vtk.vtkRenderer,
    bodies: Sequence[Drawn],
    back: FloatArray,
    around: FloatArray | None,
    up: FloatArray,
    size: tuple[int, int],
) -> None:
    points = np.concatenate([b.mesh.vertices_ras for b in bodies]) if around is None else np.asarray(around)
    if abs(back @ up) > 0.97:
        up = np.array([0.0, 1.0, 0.0])
    right = unit(np.cross(up, back))
    above = np.cross(back, right)
    low, high = points.min(axis=0), points.max(axis=0)
    centre = 0.5 * (low + high)
    sides = np.stack([low, high]) - centre
    away = np.array([[sides[a, 0], sides[b, 1], sides[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    half = max(float(np.abs(away @ above).max()), float(np.abs(away @ right).max()) * size[1] / size[0]) * 1.1
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetParallelScale(half)
    camera.SetFocalPoint(*centre)
    camera.SetPosition(*(centre + 1000.0 * back))
    camera.SetViewUp(*above)
    renderer.ResetCameraClippingRange()


def _axes_label(renderer: vtk.vtkRenderer, back: FloatArray) -> None:
    """Say in words from where the patient is seen."""
    words = (("left", "right"), ("behind", "the front"), ("below", "above"))
    order = np.argsort(-np.abs(back))
    named = [words[a][int(back[a] > 0)] for a in order if abs(back[a]) > 0.35]
    label = vtk.vtkTextActor()
    label.SetInput("seen from " + " and ".join(named))
    label.SetPosition(10, 10)
    label.GetTextProperty().SetColor(0.3, 0.3, 0.3)
    label.GetTextProperty().SetFontSize(15)
    renderer.AddViewProp(label)
