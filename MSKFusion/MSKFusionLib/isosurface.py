"""The triangles of a zero level on a grid: the one place where a field becomes a surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

from .frames import FloatArray

#: A level that meets a grid point exactly makes triangles without area and joins two sheets; such points count as
#: outside by this much (in the unit of the values).
_OFF_ZERO = 1e-4


def zero_surface(values_kji: NDArray[np.floating]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the surface round the values below zero, by flying edges (Schroeder 2015, doi 10.1109/LDAV.2015.7348069).

    Parameters
    ----------
    values_kji
        (K, J, I), negative inside. The surface is closed where no value on the border of the grid is negative.

    Returns
    -------
    vertices_ijk : numpy.ndarray
        (N, 3) in index coordinates (i, j, k) of the grid, good to single precision.
    faces : numpy.ndarray
        (M, 3), counter-clockwise seen from outside.
    """
    values = np.array(values_kji, order="C")
    values[np.abs(values) < _OFF_ZERO] = _OFF_ZERO
    image = vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel()))
    edges = vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.0)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    out = edges.GetOutput()
    if not out.GetNumberOfPoints():
        return np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)
    vertices = vtk_to_numpy(out.GetPoints().GetData()).astype(np.float64)
    # VTK turns its triangles towards the lower values, which are inside here.
    faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3)[:, ::-1].astype(np.int64)
    return vertices, faces
