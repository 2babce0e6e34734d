"""The generated leg as labels and a CT of its bones, on a grid."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import vtk
from core.femur_shapes import femur_mesh
from core.leg_shapes import LegShape
from core.tibia_shapes import tibia_mesh
from vtk.util.numpy_support import vtk_to_numpy

from MSKFusionLib.segmentation import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.mesh import Mesh

#: A leg in varus.
SHAPE = LegShape(valgus_deg=-4.0)


def leg_images(spacing_mm: float = 2.0) -> tuple[Volume, Segmentation]:
    """A CT in which bone fades into its surroundings over a voxel, and labels."""
    meshes = [femur_mesh(3.0), tibia_mesh(SHAPE.tibia).transformed(SHAPE.tibia_to_leg)]
    low = np.min([m.bounds_ras[0] for m in meshes], axis=0) - 6
    high = np.max([m.bounds_ras[1] for m in meshes], axis=0) + 6
    count = np.ceil((high - low) / spacing_mm).astype(int)
    labels = np.zeros(count[::-1], dtype=np.int16)
    for value, mesh in enumerate(meshes, start=1):
        labels[filled(mesh, low, spacing_mm, count)] = value
    spacing = np.full(3, spacing_mm)
    bone = sitk.GetImageFromArray(np.where(labels > 0, 700.0, 30.0).astype(np.float32))
    voxels = sitk.GetArrayFromImage(sitk.DiscreteGaussian(bone, 0.7)).astype(np.int16)
    ct = Volume(voxels, low, spacing, np.eye(3), modality=Modality.CT, name="CT of a leg")
    volume = Volume(labels, low, spacing, np.eye(3), modality=Modality.LABEL)
    return ct, Segmentation(volume, (Segment(1, "right femur", "bone"), Segment(2, "right tibia", "bone")))


def filled(mesh: Mesh, low: np.ndarray, spacing_mm: float, count: np.ndarray) -> np.ndarray:
    """Which voxels (K, J, I) of a grid lie in a closed mesh."""
    image = vtk.vtkImageData()
    image.SetOrigin(*low)
    image.SetSpacing(spacing_mm, spacing_mm, spacing_mm)
    image.SetDimensions(*map(int, count))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputData(mesh.to_polydata())
    stencil.SetOutputOrigin(*low)
    stencil.SetOutputSpacing(spacing_mm, spacing_mm, spacing_mm)
    stencil.SetOutputWholeExtent(image.GetExtent())
    cut = vtk.vtkImageStencil()
    cut.SetInputData(image)
    cut.SetStencilConnection(stencil.GetOutputPort())
    cut.SetBackgroundValue(0)
    cut.Update()
    return vtk_to_numpy(cut.GetOutput().GetPointData().GetScalars()).reshape(count[::-1]) > 0
