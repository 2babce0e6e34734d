"""The closed surface of one bone, at the sub-voxel zero level of its depth field."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from MSKFusionLib.frames import transform_points

from ..mesh import Mesh, merge_vertices, split_bodies
from .depth_field import DepthField

#: A level set that touches a grid point exactly makes triangles without area; the point is moved off it by this.
_OFF_ZERO_MM = 1e-4


def surface_of_depth(bone: DepthField) -> Mesh:
    """Return the surface of a bone in RAS mm: closed, outward, one body.

    Crumbs of the segmentation and closed holes inside the bone are dropped: a guide and a screw meet the outside only.
    Method: flying edges (Schroeder et al. 2015, doi 10.1109/LDAV.2015.7348069).
    """
    values = np.pad(-bone.depth, 1, constant_values=1.0)
    values[np.abs(values) < _OFF_ZERO_MM] = _OFF_ZERO_MM
    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.0)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    in_grid = Mesh.from_polydata(contour.GetOutput())
    mesh = merge_vertices(Mesh(transform_points(bone.ijk_to_ras, in_grid.vertices_ras - 1.0), in_grid.faces))
    outer = split_bodies(mesh)[0]
    return outer if outer.volume_mm3 > 0 else Mesh(outer.vertices_ras, outer.faces[:, ::-1])
