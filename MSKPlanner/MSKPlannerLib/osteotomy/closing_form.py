"""A closing wedge with a tongue: two sheets that the wedge's turn brings onto each other, and what lies between them taken out.

The first sheet is that of the fragment that stays (its plane, and the second plane from their corner on); the second is the first,
opened about the hinge by the wedge's angle. Whatever the second plane's lean, the faces therefore lie on each other once the wedge
is closed: a second plane square to the hinge slides in itself, one that leans is planed off by a second, thin wedge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid_about, rotation_about, transform_points

from ..guides.solid import checked, from_manifold, to_manifold
from ..mesh import Mesh
from .saw_form import Tongue, on_face, sheet_of, split_by_form
from .sheet_solid import side_solid

#: The second sheet's tongue gives way by so much where both lie in one plane, mm: no film of bone is left between them.
_GIVES_WAY_MM = 1e-6
#: A closing wedge leaves at least this share of the cut's depth as a face to close on.
_LEAST_FACE_SHARE = 0.5
#: Points this far from a plane lie beside it, mm.
_BESIDE_MM = 1e-4


def opened_frame(to_ras: FloatArray, angle_deg: float) -> FloatArray:
    """Return the 4x4 frame of the moved fragment's faces: the cut's, turned about its hinge by the wedge's angle."""
    return np.asarray(rigid_about(to_ras[:3, 3], rotation_about(-to_ras[:3, 1], angle_deg)) @ to_ras)


def split_closing(bone: Mesh, tongue: Tongue, to_ras: FloatArray, angle_deg: float) -> tuple[Mesh, Mesh, Mesh]:
    """Return the part that stays, the one that moves and the wedge, in their places before it is closed.

    Behind the hinge, where bone bends, the first sheet goes on through it and the second is not sawn.

    Raises
    ------
    GeometryError
        When the cut misses the bone, or the wedge is larger than the bone.
    ProcessingError
        When the parts do not close.
    """
    staying, above = split_by_form(bone, tongue, to_ras)
    second = opened_frame(to_ras, angle_deg)
    local = transform_points(invert_rigid(to_ras), above.vertices_ras)
    reach = 10.0 + 1.1 * float(np.linalg.norm(local, axis=1).max())
    # Towards the tongue that moves, away from one that stays: the wedge keeps no film along the second plane.
    give = _GIVES_WAY_MM * tongue.front * (1 if tongue.descends else -1)
    sheet = sheet_of(replace(tongue, corner_mm=tongue.corner_mm + give), second)
    kept, lost = to_manifold(above, "biplanar cut: bone").split(side_solid(sheet, reach))
    if any(p.status().name != "NoError" for p in (kept, lost)):
        raise ProcessingError("biplanar cut: the wedge does not close.")
    across = to_ras[:3, 0]
    deep = _deepest(staying, tongue, to_ras, across)
    left = -np.inf if kept.is_empty() else _deepest(from_manifold(kept), tongue, second, across)
    if lost.is_empty() or left < _LEAST_FACE_SHARE * deep:
        raise GeometryError(
            "the wedge is larger than the bone on its side", "Use a smaller angle, or move the plane.", "biplanar cut"
        )
    return staying, from_manifold(kept), from_manifold(lost)


def slot_of_closing(tongue: Tongue, to_ras: FloatArray, angle_deg: float, kerf_mm: float, reach_mm: float) -> Any:
    """Return what the saw takes beside the wedge (`manifold3d.Manifold`): the second plane, through both cortices.

    It begins half a blade before the face that it leaves: of an ascending cut before the hinge the moved fragment's, else the plane.
    """
    import manifold3d as m3

    far, half = 2.0 * reach_mm, 0.5 * kerf_mm
    rising = tongue.rising
    # Seen in the second plane: x, and upwards from the corner.
    corners = [[far, far], [-far, far], [-far, -half]]
    if tongue.descends:
        corners += [[far, -half]]
    else:
        slope = float(np.tan(np.radians(angle_deg)) / -rising[2])
        corners += [[0.0, -half], [far, -half - far * slope]]
    across = np.cross([1.0, 0.0, 0.0], rising)
    frame = np.eye(4)
    frame[:3, :3] = np.column_stack([[1.0, 0.0, 0.0], rising, across])
    frame[:3, 3] = np.array([0.0, tongue.corner_mm, 0.0]) - half * across
    section = m3.CrossSection([np.array(corners)], m3.FillRule.NonZero)
    solid = m3.Manifold.extrude(section, kerf_mm).transform((to_ras @ frame)[:3])
    return checked(solid, "biplanar cut: the slot of the saw")


def face_miss_mm(moved: Mesh, tongue: Tongue, to_ras: FloatArray, angle_deg: float, motion_ras: FloatArray) -> float:
    """Return by how much the moved part's faces, where it is put, miss the sheet of the part that stays; infinite without any."""
    second = opened_frame(to_ras, angle_deg)
    own = moved.vertices_ras[on_face(moved.vertices_ras, tongue, second)]
    if not len(own):
        return float("inf")
    local = transform_points(invert_rigid(to_ras), transform_points(motion_ras, own))
    flat = (local[:, 1:] - [tongue.corner_mm, 0.0]) * [-tongue.front, 1.0]  # behind the corner, and up
    up = tongue.rising[1:] * [-tongue.front, 1.0]
    foot = np.maximum(flat @ up, 0.0)[:, None] * up
    beside = np.minimum(
        np.hypot(np.minimum(flat[:, 0], 0.0), flat[:, 1]),
        np.linalg.norm(flat - foot, axis=1),
    )
    return float(beside.max())


def planed_mm(wedge: Mesh, tongue: Tongue, to_ras: FloatArray, angle_deg: float) -> float:
    """Return how much bone is taken off along the second plane, where that is most, mm; 0 where it is square to the hinge."""
    here = to_ras if not tongue.descends else opened_frame(to_ras, angle_deg)
    height = transform_points(invert_rigid(here), wedge.vertices_ras)[:, 2]
    beyond = height > _BESIDE_MM if tongue.descends else height < -_BESIDE_MM
    if not beyond.any():
        return 0.0
    local = transform_points(invert_rigid(to_ras), wedge.vertices_ras[beyond]) - [0.0, tongue.corner_mm, 0.0]
    return float(np.abs(local @ np.cross([1.0, 0.0, 0.0], tongue.rising)).max())


def _deepest(part: Mesh, tongue: Tongue, frame: FloatArray, across: FloatArray) -> float:
    """Return how far a part's face on the plane of a sheet reaches from the hinge in a direction to the saw's side."""
    local = transform_points(invert_rigid(frame), part.vertices_ras)
    flat = (np.abs(local[:, 2]) < _BESIDE_MM) & (tongue.front * (local[:, 1] - tongue.corner_mm) < _BESIDE_MM)
    return float(((part.vertices_ras[flat] - frame[:3, 3]) @ across).max(initial=-np.inf))
