"""How near a cut comes to canal, nerves and vessels that a segmentation holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MSKFusionLib.frames import FloatArray, transform_points
from MSKFusionLib.segmentation.labels import Segmentation

from ..bone.mesh_depth import surface_points
from ..mesh import Mesh
from ..plan_osteotomy import Osteotomy
from ..screws.structures import StructureMaps, margin_mm
from .closing_form import opened_frame
from .cut_shape import CutKind
from .plane import Plane
from .plane_split import cut_face
from .planned import asked_of, parts_of
from .saw_form import Tongue, cut_face_of

#: Points of a cut's face lie so far apart, mm.
_STEP_MM = 1.0


def with_structures(record: Osteotomy, bone: Mesh, segmentation: Segmentation) -> Osteotomy:
    """Return an osteotomy with its distance from each structure at risk within 30 mm, and a note where that is too little.

    Distances are those of the cut's faces in bone, up to the hinge, less half the saw's thickness; the saw that goes on beyond
    the cortex comes nearer. They are true to about half a voxel. Only structures that the labels hold are known.

    Parameters
    ----------
    bone
        The surface that is cut, as it lies in the image.
    """
    if not any(margin_mm(s.name, s.kind) is not None for s in segmentation.segments):
        return record
    if record.form is not None:
        sheet = form_points(bone, record)
    else:
        sheet = np.concatenate([face_points(bone, record, n) for n in range(len(record.planes))])
    if not len(sheet):
        return record
    maps = StructureMaps.around(segmentation, sheet)
    half = 0.5 * record.planes[0].kerf_mm if record.kind != CutKind.CLOSING.value else 0.0
    found = maps.nearest(sheet)
    near = {s.name: s.distance_mm - half for s in found}
    notes = [
        f"{s.name} lies {near[s.name]:.1f} mm from the cut ({s.margin_mm:g} mm are wished)"
        for s in found
        if near[s.name] < s.margin_mm
    ]
    return replace(record, structures_mm=near, notes=(*record.notes, *notes))


def form_points(bone: Mesh, record: Osteotomy) -> FloatArray:
    """Return points (N, 3), RAS mm, of the face of a cut that is no plane; of a biplanar wedge the plane only up to its hinge."""
    shape = asked_of(record).shape
    assert shape.form is not None
    parts = parts_of(bone, replace(shape, kerf_mm=0.0))
    points = surface_points(cut_face_of(parts.staying, shape.form, shape.to_ras), _STEP_MM)
    if not isinstance(shape.form, Tongue):
        return points
    if parts.wedge is not None:  # the faces that the moved part keeps
        second = opened_frame(shape.to_ras, shape.angle_deg)
        points = np.concatenate([points, surface_points(cut_face_of(parts.moved, shape.form, second), _STEP_MM)])
    local = transform_points(np.linalg.inv(shape.to_ras), points)
    return np.asarray(points[(local[:, 0] >= -_STEP_MM) | (np.abs(local[:, 2]) > _STEP_MM)])


def face_points(bone: Mesh, record: Osteotomy, number: int = 0) -> FloatArray:
    """Return points (N, 3), RAS mm, of one of the faces that an osteotomy cuts in a bone, its rim included; of a wedge up to the hinge."""
    plane = Plane(np.array(record.planes[number].point_ras), np.array(record.planes[number].normal_ras))
    face = cut_face(bone, plane)
    if not len(face.faces):
        return np.empty((0, 3))
    to_ras = plane.to_ras
    to_plane = np.linalg.inv(to_ras)
    flat = transform_points(to_plane, face.vertices_ras)[:, :2]
    edges = np.sort(np.concatenate([face.faces[:, [0, 1]], face.faces[:, [1, 2]], face.faces[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    rim = unique[count == 1]
    low, high = flat.min(axis=0), flat.max(axis=0)
    u, v = (np.arange(a + 0.5 * _STEP_MM, b, _STEP_MM) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = np.concatenate([grid[_within(grid, flat[rim[:, 0]], flat[rim[:, 1]])], flat[np.unique(rim)]])
    points = transform_points(to_ras, np.column_stack([inside, np.zeros(len(inside))]))
    if record.kind == CutKind.TURN.value:
        return np.asarray(points)
    # From the hinge to where the saw enters.
    x = np.cross(-np.array(record.hinge.axis_ras), np.array(record.planes[0].normal_ras))
    ahead = (points - np.array(record.hinge.point_ras)) @ x
    kept = ahead >= -_STEP_MM  # what lies just behind the hinge stands for the hinge itself
    return np.asarray(points[kept] - np.minimum(ahead[kept], 0.0)[:, None] * x)


def _within(points: FloatArray, start: FloatArray, end: FloatArray) -> np.ndarray:
    """Tell which points (N, 2) lie within closed lines of edges (E, 2), by how often a ray crosses them."""
    inside = np.zeros(len(points), dtype=bool)
    for a, b in zip(start, end, strict=True):
        if a[1] == b[1]:
            continue
        crosses = (points[:, 1] > a[1]) != (points[:, 1] > b[1])
        at = a[0] + (points[:, 1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
        inside ^= crosses & (points[:, 0] < at)
    return inside
