"""`Segmentation` to and from `vtkMRMLSegmentationNode`: names, colours, standard terms, label values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import chain, count
from typing import Any

import numpy as np
import slicer
import vtk

from ..errors import GeometryError, InputError
from ..segmentation.files import SEGMENT_TAG, decode_segment, encode_segment
from ..segmentation.labels import VERTEBRA_VALUES, Segment, Segmentation
from ..terminology import structure_colour, structure_term, unnamed_vertebra_value
from ..volume import Modality, Provenance, Volume
from .one_layer import fill_from_one_layer
from .volumes import image_to_voxels, voxels_to_image

_BINARY = "Binary labelmap"
_SURFACE = "Closed surface"
#: Values from here on belong to no structure by convention.
_FREE_VALUE = 201
#: Structures that would hide the bones in 3D.
_HIDDEN_IN_3D = frozenset({"muscle", "fat", "skin", "adipose", "body", "kidney", "kidneys"})


def segmentation_to_node(
    scene: Any,
    segmentation: Segmentation,
    name: str | None = None,
    *,
    closed_surfaces: bool = True,
    smoothing: float = 0.5,
) -> Any:
    """Add a segmentation to the scene: one shared label layer, segments named, coloured and tagged with their terms.

    Parameters
    ----------
    closed_surfaces
        Also make the surfaces that the 3D view shows (about 0.1 s a segment).
    smoothing
        0 to 1, for these surfaces only; plans are not computed on them.

    Returns
    -------
    vtkMRMLSegmentationNode with a display node (outlines and a light fill in 2D, surfaces in 3D). Segment IDs are
    the segments' names.
    """
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(name or segmentation.labels.name)
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    layer = _labels_to_layer(segmentation.labels)
    content = node.GetSegmentation()
    content.SetConversionParameter(
        "Reference image geometry", slicer.vtkSegmentationConverter.SerializeImageGeometry(layer)
    )
    content.SetConversionParameter("Smoothing factor", str(smoothing))
    modified = node.StartModify()
    try:
        for entry in segmentation.segments:
            content.AddSegment(_to_segment(entry, layer), entry.name)
    finally:
        node.EndModify(modified)
    _show(node, segmentation)
    if closed_surfaces and segmentation.segments:
        if not node.CreateClosedSurfaceRepresentation():
            raise GeometryError("no surfaces could be made of the segments", where=node.GetName())
        node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(_SURFACE)
    return node


def add_segments(node: Any, found: Segmentation) -> tuple[str, ...]:
    """Add what was found to a segmentation that is there; what is in it already, a user's edits too, stays as it is.

    The new segments lie on a label layer of their own, which may have another grid. A name or label value that is taken is
    followed by the next free one.

    Returns
    -------
    names of the new segments in the node
    """
    content = node.GetSegmentation()
    there = [content.GetNthSegment(n) for n in range(content.GetNumberOfSegments())]
    names, values = {s.GetName() for s in there}, {s.GetLabelValue() for s in there}
    entries = []
    for entry in found.segments:
        name = next(n for n in chain([entry.name], (f"{entry.name} {k}" for k in count(2))) if n not in names)
        value = next(v for v in chain([entry.value], count(_FREE_VALUE)) if v not in values)
        names.add(name)
        values.add(value)
        entries.append(replace(entry, name=name, value=value))
    voxels = np.zeros(found.labels.voxels.shape, dtype=np.uint16)
    for before, after in zip(found.segments, entries, strict=True):
        voxels[found.labels.voxels == before.value] = after.value
    layer = _labels_to_layer(found.labels.with_voxels(voxels))
    modified = node.StartModify()
    try:
        for entry in entries:
            content.AddSegment(_to_segment(entry, layer), content.GenerateUniqueSegmentID(entry.name))
    finally:
        node.EndModify(modified)
    _hide_what_covers_bones(node, entries)
    return tuple(entry.name for entry in entries)


def node_to_segmentation(node: Any, reference: Volume | None = None) -> Segmentation:
    """Take a segmentation from the scene as labels on one grid, in the node's own frame (no transform is applied).

    Parameters
    ----------
    reference
        The grid wanted; the segmentation's own reference geometry where it is not given.

    Returns
    -------
    Segmentation. Label values are the segments' own where they are distinct, else they follow the names (VerSe for
    vertebrae). Where segments overlap the later one wins, and a note says how many voxels.

    Raises
    ------
    InputError
        When the segmentation is empty.
    GeometryError
        When its segments cannot be put on the grid.
    """
    content = node.GetSegmentation()
    ids = [content.GetNthSegmentID(i) for i in range(content.GetNumberOfSegments())]
    if not ids:
        raise InputError("the segmentation has no segments", where=node.GetName())
    if not node.CreateBinaryLabelmapRepresentation():
        raise GeometryError("the segments cannot be turned into voxels", where=node.GetName())
    grid = _reference_grid(node) if reference is None else _empty_layer(reference)
    entries = _entries(node, ids)
    highest = max(entry.value for entry in entries)
    labels = np.zeros(grid.GetDimensions()[::-1], dtype=np.uint8 if highest < 256 else np.uint16)
    overlapping = 0
    # One pass over a large image in place of several for each segment.
    at_once = fill_from_one_layer([content.GetSegment(i) for i in ids], entries, grid, labels)
    for segment_id, entry in () if at_once else zip(ids, entries, strict=True):
        inside = _mask_on_grid(node, segment_id, grid)
        overlapping += int(np.count_nonzero(labels[inside]))
        labels[inside] = entry.value
    notes = (f"segments overlap in {overlapping} voxels: the later segment was kept there",) if overlapping else ()
    return Segmentation(_grid_to_volume(grid, labels, node.GetName()), tuple(entries), notes)


# ---------------------------------------------------------------------- to the scene
def _labels_to_layer(labels: Volume) -> Any:
    voxels = labels.voxels
    if voxels.dtype.kind not in "iub":
        raise InputError(f"labels are whole numbers, not {voxels.dtype}", where=labels.name)
    lowest, highest = int(voxels.min()), int(voxels.max())
    if lowest < 0 or highest > np.iinfo(np.uint16).max:
        raise InputError(f"label values run from {lowest} to {highest}, not from 0 to 65535", where=labels.name)
    layer = _empty_layer(labels)
    voxels_to_image(voxels.astype(np.uint8 if highest < 256 else np.uint16, copy=False), layer)
    return layer


def _empty_layer(volume: Volume) -> Any:
    layer = slicer.vtkOrientedImageData()
    layer.SetDimensions(*volume.shape_ijk)
    layer.SetOrigin(*volume.origin_ras.tolist())
    layer.SetSpacing(*volume.spacing_mm.tolist())
    layer.SetDirections(volume.directions_ras.tolist())
    return layer


def _to_segment(entry: Segment, layer: Any) -> Any:
    segment = slicer.vtkSegment()
    segment.SetName(entry.name)
    segment.SetNameAutoGenerated(False)
    segment.SetColor(*structure_colour(entry.name, entry.kind))
    segment.SetColorAutoGenerated(False)
    segment.SetLabelValue(entry.value)
    term = structure_term(entry.name, entry.kind)
    if term is not None:
        segment.SetTerminology(term.serialized())
    segment.SetTag(SEGMENT_TAG, encode_segment(entry))
    segment.AddRepresentation(_BINARY, layer)
    return segment


def _show(node: Any, segmentation: Segmentation) -> None:
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility2D(True)
    display.SetVisibility3D(True)
    display.SetPreferredDisplayRepresentationName2D(_BINARY)
    display.SetAllSegmentsVisibility(True)
    display.SetOpacity2DFill(0.15)
    display.SetOpacity2DOutline(1.0)
    _hide_what_covers_bones(node, segmentation.segments)


def _hide_what_covers_bones(node: Any, entries: Iterable[Segment]) -> None:
    display, content = node.GetDisplayNode(), node.GetSegmentation()
    for entry in entries:
        if display is not None and (entry.kind.casefold() in _HIDDEN_IN_3D or entry.name.casefold() in _HIDDEN_IN_3D):
            segment_id = content.GetSegmentIdBySegmentName(entry.name)
            display.SetSegmentVisibility3D(segment_id, False)
            display.SetSegmentVisibility2DFill(segment_id, False)


# ---------------------------------------------------------------------- from the scene
def _reference_grid(node: Any) -> Any:
    content = node.GetSegmentation()
    # A label layer's own geometry is exact; the reference geometry went through text.
    geometry = content.DetermineCommonLabelmapGeometry(slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, None)
    grid = slicer.vtkOrientedImageData()
    if not geometry or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, grid, False):
        raise GeometryError("the segmentation has no grid", "Give a reference image.", where=node.GetName())
    extent = grid.GetExtent()
    if any(extent[0::2]):  # start at index 0, at the same places
        to_world = vtk.vtkMatrix4x4()
        grid.GetImageToWorldMatrix(to_world)
        start = to_world.MultiplyPoint((extent[0], extent[2], extent[4], 1.0))[:3]
        grid.SetExtent(0, extent[1] - extent[0], 0, extent[3] - extent[2], 0, extent[5] - extent[4])
        grid.SetOrigin(*start)
    return grid


def _mask_on_grid(node: Any, segment_id: str, grid: Any) -> Any:
    """Return where a segment is on the grid, as booleans (K, J, I)."""
    single = slicer.vtkOrientedImageData()
    if not node.GetBinaryLabelmapRepresentation(segment_id, single):
        raise GeometryError("the segment has no voxels", where=f"{node.GetName()}, {segment_id}")
    on_grid = slicer.vtkOrientedImageData()
    if single.IsEmpty():
        return np.zeros(grid.GetDimensions()[::-1], dtype=bool)
    resampled = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        single, grid, on_grid, False
    )
    if not resampled or on_grid.GetDimensions() != grid.GetDimensions():
        raise GeometryError("the segment cannot be put on the grid", where=f"{node.GetName()}, {segment_id}")
    return image_to_voxels(on_grid) > 0


def _grid_to_volume(grid: Any, labels: Any, name: str) -> Volume:
    rows = [[0.0] * 3 for _ in range(3)]
    grid.GetDirections(rows)
    return Volume(
        labels,
        np.array(grid.GetOrigin()),
        np.array(grid.GetSpacing()),
        np.array(rows),
        modality=Modality.LABEL,
        name=name,
        provenance=Provenance(source=f"scene node '{name}'"),
    )


def _entries(node: Any, ids: list[str]) -> list[Segment]:
    content = node.GetSegmentation()
    segments = [content.GetSegment(segment_id) for segment_id in ids]
    names = _distinct([segment.GetName() or segment_id for segment, segment_id in zip(segments, ids, strict=True)])
    stored = [_stored_entry(segment) for segment in segments]
    values = [segment.GetLabelValue() for segment in segments]
    if len(set(values)) != len(values):
        values = _values_by_name(names)
    entries = []
    for name, value, entry in zip(names, values, stored, strict=True):
        if entry is None:
            kind = "sacrum" if name in ("S1", "sacrum") else "vertebra" if _vertebra_value(name) else name
            entry = Segment(value, name, kind=kind, source=f"scene node '{node.GetName()}'")
        # The user may have renamed the segment; its name in the scene holds.
        entries.append(Segment(**{**asdict(entry), "value": value, "name": name, "notes": tuple(entry.notes)}))
    return entries


def _stored_entry(segment: Any) -> Segment | None:
    value = vtk.mutable("")
    return decode_segment(str(value)) if segment.GetTag(SEGMENT_TAG, value) else None


def _vertebra_value(name: str) -> int | None:
    return VERTEBRA_VALUES.get(name) or unnamed_vertebra_value(name)


def _values_by_name(names: list[str]) -> list[int]:
    known = [_vertebra_value(name) for name in names]
    taken = {value for value in known if value}
    free = (value for value in range(_FREE_VALUE, 65536) if value not in taken)
    return [value or next(free) for value in known]


def _distinct(names: list[str]) -> list[str]:
    """Number the names that occur more than once."""
    result: list[str] = []
    for name in names:
        unique, number = name, 2
        while unique in result:
            unique, number = f"{name} ({number})", number + 1
        result.append(unique)
    return result
