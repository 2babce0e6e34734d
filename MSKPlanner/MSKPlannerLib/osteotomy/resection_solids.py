"""Specimen, saw dust and what stays of a bone after a resection: closed, and adding up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, ProcessingError

from ..bone.mesh_depth import surface_points
from ..guides.field import MeshDistance
from ..guides.solid import box, from_manifold, to_manifold
from ..mesh import Mesh
from .bodies import contains
from .plane import Plane

#: Volumes add up to this share of the bone.
_VOLUME_SHARE = 1e-4
_CRUMB_MM3 = 1.0
#: Spacing of the points by which a part is told to be near the tumour.
_SURFACE_MM = 1.0
#: So many places of the tumour are looked for in a part that is near it nowhere.
_PLACES = 20


@dataclass(frozen=True, eq=False)
class ResectionSolids:
    """A bone after a resection.

    Parameters
    ----------
    specimen, remaining, kerf
        Closed; what goes, what stays, what the saw takes (empty for a saw without thickness).
    """

    specimen: Mesh
    remaining: Mesh
    kerf: Mesh

    def volume_error_share(self, bone: Mesh) -> float:
        """Return by how much the three miss the bone's volume, as a share of it."""
        total = sum(m.volume_mm3 for m in (self.specimen, self.remaining, self.kerf) if len(m.faces))
        return abs(total - bone.volume_mm3) / bone.volume_mm3


def resection_solids(
    bone: Mesh, tumour: Mesh, distance: MeshDistance, planes: Sequence[Plane], margin_mm: float, kerf_mm: float
) -> ResectionSolids:
    """Cut the parts out of a bone that lie below all planes and come nearer to the tumour than the margin.

    Parameters
    ----------
    distance
        From the tumour.
    planes
        Faces of the specimen, their normals away from it; the saw's thickness is taken from what stays.

    Raises
    ------
    GeometryError
        When nothing of the bone would stay or go.
    ProcessingError
        When a part does not close or the volumes do not add up.
    """
    solid = to_manifold(bone, "bone")
    around, outer = solid.split(_below(planes, bone, kerf_mm))
    parts = [b for b in around.decompose() if b.volume() > 0]
    held = [p for p in parts if _is_near(p, tumour, distance, margin_mm)]
    if not held:
        raise GeometryError("the cuts take nothing off the bone", "Check the planes.", where="resection")
    # Only planes part specimen and dust: the bone's own surface is not cut along itself, which would leave shavings.
    specimen, slot = _sum(held).split(_below(planes, bone, 0.0)) if kerf_mm else (_sum(held), None)
    if specimen.is_empty():
        raise GeometryError("the saw leaves nothing of the specimen", "Use a thinner blade.", where="resection")
    others = [p for p in parts if not any(p is h for h in held)]
    remaining = _sum([outer, *others]) if others else outer
    if remaining.is_empty() or remaining.volume() < _CRUMB_MM3:
        raise GeometryError("the cuts leave nothing of the bone", "Move the planes.", where="resection")
    empty = Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
    kerf = empty if slot is None or slot.is_empty() else from_manifold(slot)
    result = ResectionSolids(from_manifold(specimen), from_manifold(remaining), kerf)
    for mesh, what in ((result.specimen, "specimen"), (result.remaining, "bone that stays"), (kerf, "saw dust")):
        if len(mesh.faces) and not mesh.is_closed:
            raise ProcessingError(f"resection: the {what} does not close.")
    if result.volume_error_share(bone) > _VOLUME_SHARE:
        raise ProcessingError("resection: the volumes of the parts do not add up to the bone's.")
    return result


def _below(planes: Sequence[Plane], bone: Mesh, beyond_mm: float) -> Any:
    """Return the convex body below all planes, shifted so far along their normals; larger than the bone on open sides."""
    low, high = bone.bounds_ras
    room = 10.0 + float(np.linalg.norm(high - low))
    body = box(low - room, high + room, np.eye(4))
    for plane in (p.shifted(beyond_mm) for p in planes):
        body = body.trim_by_plane((-plane.normal_ras).tolist(), float(-plane.normal_ras @ plane.point_ras))
    if body.is_empty():
        raise GeometryError("the planes enclose nothing", "Check their directions.", where="resection")
    return body


def _is_near(part: Any, tumour: Mesh, distance: MeshDistance, margin_mm: float) -> bool:
    """Return whether a part holds some of the tumour, or some of it is nearer to the tumour than the margin."""
    mesh = from_manifold(part)
    points = surface_points(mesh, _SURFACE_MM)
    if (distance.distance_mm(points) < margin_mm - _SURFACE_MM / 4).any():
        return True
    some = tumour.vertices_ras[:: max(1, len(tumour.vertices_ras) // _PLACES)]
    return any(contains(mesh, p) for p in some)


def _sum(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
