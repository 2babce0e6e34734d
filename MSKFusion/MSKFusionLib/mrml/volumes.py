"""`Volume` to and from `vtkMRMLScalarVolumeNode` and `vtkMRMLLabelMapVolumeNode`, without losing a digit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..errors import GeometryError
from ..volume import Modality, Provenance, Volume, guess_modality

#: Attributes of a volume node that carry what MRML has no field for.
MODALITY_ATTRIBUTE = "MSKPlanner.Modality"
PROVENANCE_ATTRIBUTE = "MSKPlanner.Provenance"

#: Window and level at which a CT shows bone.
BONE_WINDOW_HU, BONE_LEVEL_HU = 1800.0, 400.0


def volume_to_node(scene: Any, volume: Volume, name: str | None = None) -> Any:
    """Add a volume to the scene.

    Voxels, origin, spacing and directions are the same to the last bit; booleans become 0 and 1 of 8 bits, half
    precision becomes single. CT is shown in a bone window and marked as Hounsfield units.

    Parameters
    ----------
    scene
        `vtkMRMLScene`.
    name
        Name of the node; the volume's own where it is not given.

    Returns
    -------
    vtkMRMLScalarVolumeNode, or vtkMRMLLabelMapVolumeNode for labels, with a display node.
    """
    label = volume.modality is Modality.LABEL
    node = slicer.vtkMRMLLabelMapVolumeNode() if label else slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name or volume.name)
    node.SetAndObserveImageData(voxels_to_image(volume.voxels))
    node.SetOrigin(*volume.origin_ras.tolist())
    node.SetSpacing(*volume.spacing_mm.tolist())
    node.SetIJKToRASDirections(*volume.directions_ras.ravel().tolist())
    node.SetAttribute(MODALITY_ATTRIBUTE, volume.modality.value)
    node.SetAttribute(PROVENANCE_ATTRIBUTE, _provenance_to_json(volume.provenance))
    if volume.modality is Modality.CT:
        node.SetVoxelValueQuantity(_coded("112031", "DCM", "Attenuation Coefficient"))
        node.SetVoxelValueUnits(_coded("[hnsf'U]", "UCUM", "Hounsfield unit"))
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    if not label:
        _show(node, volume)
    return node


def node_to_volume(node: Any) -> Volume:
    """Take a volume from the scene, in the node's own frame.

    A transform above the node is not applied: the voxels are where the scanner put them. What the transform does to
    them is `transforms.node_to_world_ras`.

    Raises
    ------
    GeometryError
        When the node holds no image, or its axes are not perpendicular.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise GeometryError("the volume holds no voxels", where=node.GetName())
    if image.GetNumberOfScalarComponents() != 1:
        raise GeometryError(
            f"the volume has {image.GetNumberOfScalarComponents()} values a voxel",
            "Give one 3D image with one value a voxel.",
            where=node.GetName(),
        )
    voxels = image_to_voxels(image)
    directions = np.zeros((3, 3))
    rows = [[0.0] * 3 for _ in range(3)]
    node.GetIJKToRASDirections(rows)
    directions[:] = rows
    return Volume(
        voxels,
        np.array(node.GetOrigin()),
        np.array(node.GetSpacing()),
        directions,
        modality=_modality(node, voxels),
        name=node.GetName(),
        provenance=_provenance_from_json(node.GetAttribute(PROVENANCE_ATTRIBUTE), node),
    )


def voxels_to_image(voxels: NDArray[Any], image: Any = None) -> Any:
    """Return voxels (K, J, I) as `vtkImageData` without geometry (MRML keeps that on the node); the voxels are copied."""
    array = np.ascontiguousarray(voxels)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    image = vtk.vtkImageData() if image is None else image
    image.SetDimensions(*array.shape[::-1])
    scalars = numpy_to_vtk(array.reshape(-1), deep=True)
    scalars.SetName("voxels")
    image.GetPointData().SetScalars(scalars)
    return image


def image_to_voxels(image: Any) -> NDArray[Any]:
    """Return a copy of the voxels (K, J, I) of `vtkImageData`."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).copy()


def _show(node: Any, volume: Volume) -> None:
    display = node.GetDisplayNode()
    display.SetDefaultColorMap()
    display.AutoWindowLevelOff()
    if volume.modality is Modality.CT:
        display.SetWindowLevel(BONE_WINDOW_HU, BONE_LEVEL_HU)
        return
    # The display node's own automatic range waits for a display pipeline that is not there without a view.
    low, high = np.percentile(volume.voxels[:: max(1, volume.voxels.shape[0] // 60), ::3, ::3], [0.5, 99.5])
    display.SetWindowLevel(max(float(high - low), 1e-6), float(high + low) / 2)


def _modality(node: Any, voxels: NDArray[Any]) -> Modality:
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return Modality.LABEL
    stated = node.GetAttribute(MODALITY_ATTRIBUTE)
    if stated in set(Modality):
        return Modality(stated)
    units = node.GetVoxelValueUnits()
    if units is not None and units.GetCodeValue() == "[hnsf'U]":
        return Modality.CT
    return guess_modality(voxels)


def _provenance_to_json(provenance: Provenance) -> str:
    content = {
        "source": provenance.source,
        "sha256": provenance.sha256,
        "steps": provenance.steps,
        "details": dict(provenance.details),
    }
    return json.dumps(content, default=str)


def _provenance_from_json(text: str | None, node: Any) -> Provenance:
    try:
        content = json.loads(text or "")
    except ValueError:
        return Provenance(source=f"scene node '{node.GetName()}'")
    return Provenance(content["source"], content["sha256"], tuple(content["steps"]), content["details"])


def _coded(code: str, scheme: str, meaning: str) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(code, scheme, meaning)
    return entry
