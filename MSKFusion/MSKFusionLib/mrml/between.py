"""From one node's own frame to another's, through whatever transforms they are under, bent ones too."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike, NDArray
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import InputError
from ..frames import FloatArray, fit_rigid


def between(source: Any, target: Any) -> vtk.vtkGeneralTransform:
    """Return the map from the own frame of one transformable node to that of another."""
    found = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        source.GetParentTransformNode(), target.GetParentTransformNode(), found
    )
    return found


def points_between(source: Any, target: Any, points: ArrayLike) -> FloatArray:
    """Take points (N, 3), mm, of one node's own frame to that of another."""
    through = between(source, target)
    return np.array([through.TransformPoint(*p) for p in np.asarray(points, dtype=np.float64)]).reshape(-1, 3)


def rigid_between(fixed: Any, moving: Any) -> FloatArray:
    """Return the rigid 4x4 from a volume's own frame to another's that is nearest to how they lie in the scene.

    Exact where the transforms between them are rigid; of bent ones the least squared distance over the fixed volume.
    """
    low, high = _corner_indices(fixed)
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, 4) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    matrix = vtk.vtkMatrix4x4()
    fixed.GetIJKToRASMatrix(matrix)
    points = np.array([matrix.MultiplyPoint((*p, 1.0))[:3] for p in grid.reshape(-1, 3)])
    return fit_rigid(points, points_between(fixed, moving, points))


def moving_on_fixed(fixed: Any, moving: Any) -> NDArray[np.float32]:
    """Return a volume (K, J, I) sampled where another's voxels lie in the scene; NaN where it shows nothing.

    Raises
    ------
    InputError
        When either holds no voxels.
    """
    for node in (fixed, moving):
        if node.GetImageData() is None or not node.GetImageData().GetNumberOfPoints():
            raise InputError("the volume is empty", where=node.GetName())
    to_fixed, from_moving = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    fixed.GetIJKToRASMatrix(to_fixed)
    moving.GetRASToIJKMatrix(from_moving)
    through = vtk.vtkGeneralTransform()
    through.PostMultiply()
    through.Concatenate(to_fixed)
    through.Concatenate(between(fixed, moving))
    through.Concatenate(from_moving)
    plain = vtk.vtkImageCast()
    plain.SetOutputScalarTypeToFloat()
    plain.SetInputData(moving.GetImageData())
    sampled = vtk.vtkImageReslice()
    sampled.SetInputConnection(plain.GetOutputPort())
    sampled.SetResliceTransform(through)
    sampled.SetInterpolationModeToLinear()
    sampled.SetBackgroundLevel(float("nan"))
    sampled.SetOutputOrigin(0.0, 0.0, 0.0)
    sampled.SetOutputSpacing(1.0, 1.0, 1.0)
    sampled.SetOutputExtent(fixed.GetImageData().GetExtent())
    sampled.Update()
    found = sampled.GetOutput()
    columns, rows, slices = found.GetDimensions()
    return np.array(vtk_to_numpy(found.GetPointData().GetScalars())).reshape(slices, rows, columns)


def _corner_indices(volume: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    extent = np.array(volume.GetImageData().GetExtent(), dtype=np.float64)
    return extent[0::2], extent[1::2]
