"""Transforms to nodes, and rigid ones back.

A registration gives `fixed_to_moving_ras`: a point of the fixed image (the world) to the same anatomy in the moving
image's own frame. MRML calls that `TransformFromParent` of a node that the moving volume is put under; the volume
itself is never resampled and never gets another origin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import ArrayLike
from vtk.util.numpy_support import numpy_to_vtk

from ..errors import GeometryError
from ..frames import FloatArray, check_rigid, rigid
from ..volume import Volume


def rigid_to_node(scene: Any, fixed_to_moving_ras: ArrayLike, name: str) -> Any:
    """Add a registration's result as a transform node.

    Parameters
    ----------
    fixed_to_moving_ras
        Rigid 4x4; becomes the node's TransformFromParent.

    Returns
    -------
    vtkMRMLLinearTransformNode; put the moving volume under it with `place_under`.

    Raises
    ------
    GeometryError
        When the matrix is not rigid.
    """
    matrix = check_rigid(fixed_to_moving_ras, where=name)
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformFromParent(to_vtk_matrix(matrix))
    node.CreateDefaultDisplayNodes()
    return node


def displacements_to_node(scene: Any, grid: Volume, displacement_ras: FloatArray, name: str) -> Any:
    """Add displacements of the fixed image's points as a grid transform node: its TransformFromParent.

    Parameters
    ----------
    grid
        Where the displacements are; its voxels do not matter.
    displacement_ras
        (K, J, I, 3) RAS mm, from a fixed point to the same anatomy in the moving image.

    Returns
    -------
    vtkMRMLGridTransformNode; between the grid's points it interpolates linearly, beyond the grid it moves nothing.
    """
    from slicer import vtkOrientedGridTransform

    image = vtk.vtkImageData()
    image.SetDimensions(*grid.shape_ijk)
    image.SetSpacing(*grid.spacing_mm)
    image.SetOrigin(*grid.origin_ras)
    vectors = numpy_to_vtk(np.ascontiguousarray(displacement_ras, dtype=np.float64).reshape(-1, 3), deep=True)
    vectors.SetName("displacement")
    image.GetPointData().SetScalars(vectors)
    transform = vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetGridDirectionMatrix(to_vtk_matrix(rigid(grid.directions_ras)))
    transform.SetInterpolationModeToLinear()
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    node.SetAndObserveTransformFromParent(transform)
    node.CreateDefaultDisplayNodes()
    return node


def node_to_rigid(node: Any) -> FloatArray:
    """Return `fixed_to_moving_ras` (4x4) of a linear transform node: its TransformFromParent.

    Raises
    ------
    GeometryError
        When the node's transform is not linear, or not rigid.
    """
    if not node.IsLinear():
        raise GeometryError("the transform bends space; a rigid one is needed", where=node.GetName())
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformFromParent(matrix)
    return check_rigid(from_vtk_matrix(matrix), where=node.GetName())


def place_under(node: Any, transform_node: Any | None) -> None:
    """Put a node under a transform (None: take it out); its own data stay as they are."""
    node.SetAndObserveTransformNodeID(transform_node.GetID() if transform_node is not None else None)


def node_to_world_ras(node: Any) -> FloatArray:
    """Return the 4x4 that takes a transformable node's own coordinates to the world; identity without a transform.

    Raises
    ------
    GeometryError
        When a transform above the node is not linear.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise GeometryError("a transform above the node bends space", "Harden it first.", where=node.GetName())
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return from_vtk_matrix(matrix)


def to_vtk_matrix(matrix: ArrayLike) -> Any:
    """Return a 4x4 as `vtkMatrix4x4`."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result


def from_vtk_matrix(matrix: Any) -> FloatArray:
    """Return a `vtkMatrix4x4` as a 4x4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
