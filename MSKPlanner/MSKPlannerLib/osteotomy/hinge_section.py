"""The face of a cut seen from its hinge: how deep the bone is, and how much of it is left behind the hinge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, transform_points, unit

from ..mesh import Mesh
from .hinge import Hinge
from .plane import Plane, point_of
from .plane_split import cut_face

#: A hinge with less bone than this behind it is outside the bone for all that a saw can do, mm.
_LEAST_BONE_MM = 0.5


@dataclass(frozen=True, eq=False)
class HingeSection:
    """The face that the plane of a cut makes in the bone, in the frame of its hinge.

    Parameters
    ----------
    to_ras
        Rigid 4x4: x in the plane from the hinge to where the saw enters, y along the hinge, z across the plane.
    face
        The face, in RAS mm.
    hinge
        Its axis runs so that a positive angle opens the cut when the fragment above the plane is turned.
    bone_left_mm
        Hinge-fracture distance: bone left behind the hinge, at right angles to it in the plane, where that is most.
    hinge_length_mm
        How long the hinge runs in bone, from its first to its last point in the face.
    depth_mm
        From the hinge to the far cortex on the side of the saw, where that is most.
    """

    to_ras: FloatArray
    face: Mesh
    hinge: Hinge
    bone_left_mm: float
    hinge_length_mm: float
    depth_mm: float

    def stations(self, count: int = 5) -> tuple[FloatArray, FloatArray]:
        """Return places along the hinge (count,) and the depth of the bone from the hinge to the saw's side there, mm.

        The places divide the hinge's length in bone evenly and leave out its ends.
        """
        flat = transform_points(invert_rigid(self.to_ras), self.face.vertices_ras)[:, :2]
        low, high = _span(flat, self.face, across=0, value=0.0)
        places = np.linspace(low, high, count + 2)[1:-1]
        return places, np.array([_span(flat, self.face, across=1, value=float(y))[1] for y in places])

    def depth_at_mm(self, place_mm: float) -> float:
        """Return how far the bone goes from the hinge to the saw's side at a place along the hinge, mm; 0 beside the bone."""
        flat = transform_points(invert_rigid(self.to_ras), self.face.vertices_ras)[:, :2]
        return _span(flat, self.face, across=1, value=place_mm)[1]


def section_at_hinge(bone: Mesh, plane: Plane, hinge: Hinge, entry_ras: FloatArray) -> HingeSection:
    """Return what the plane of a cut meets of a closed bone, seen from the hinge.

    Parameters
    ----------
    plane
        Its normal looks to the fragment that is moved.
    hinge
        In the plane (up to 1 mm and 1 degree; brought into it).
    entry_ras
        A point on the side from which the saw comes.

    Raises
    ------
    GeometryError
        When the plane misses the bone, or the hinge lies outside the plane or outside the bone.
    """
    off = abs(float(plane.height_mm(hinge.point_ras)))
    tilt = float(np.degrees(np.arcsin(min(1.0, abs(float(hinge.axis_ras @ plane.normal_ras))))))
    if off > 1.0 or tilt > 1.0:
        raise GeometryError(
            f"the hinge lies {off:.1f} mm and {tilt:.1f} degrees off the plane of the cut",
            "Put it into the plane.",
            "hinge",
        )
    y = unit(hinge.axis_ras - (hinge.axis_ras @ plane.normal_ras) * plane.normal_ras)
    origin = plane.projected(hinge.point_ras)
    x = np.cross(y, plane.normal_ras)
    towards = float((point_of(entry_ras, "entry of the saw") - origin) @ x)
    if abs(towards) < 1e-3:
        raise GeometryError("the side from which the saw comes is not clear", "Move its entry off the hinge.", "hinge")
    if towards < 0:
        x, y = -x, -y
    to_ras = rigid(np.column_stack([x, y, plane.normal_ras]), origin)
    face = cut_face(bone, plane)
    if not len(face.faces):
        gap = float(np.abs(plane.height_mm(bone.vertices_ras)).min())
        raise GeometryError(f"the plane misses the bone by {gap:.1f} mm", "Move it into the bone.", "wedge")
    flat = transform_points(invert_rigid(to_ras), face.vertices_ras)[:, :2]
    left, depth = float(-flat[:, 0].min()), float(flat[:, 0].max())
    if left < _LEAST_BONE_MM or depth < _LEAST_BONE_MM:
        far = max(-left, -depth, 0.0)
        raise GeometryError(
            f"the hinge lies outside the bone ({far:.1f} mm off its edge)"
            if far > 0
            else "the hinge lies on the cortex",
            "Move it into the bone, some millimetres short of the far cortex.",
            "hinge",
        )
    low, high = _span(flat, face, across=0, value=0.0)
    # A positive turn about -y takes x towards z: it lifts the side of the saw.
    return HingeSection(to_ras, face, Hinge(origin, -y), left, high - low, depth)


def _span(flat: FloatArray, face: Mesh, *, across: int, value: float) -> tuple[float, float]:
    """Return the first and last coordinate of a flat face along the line where the other coordinate has a value."""
    edges = np.concatenate([face.faces[:, [0, 1]], face.faces[:, [1, 2]], face.faces[:, [2, 0]]])
    a, b = flat[edges[:, 0]], flat[edges[:, 1]]
    ha, hb = a[:, across] - value, b[:, across] - value
    meets = (ha * hb <= 0) & (ha != hb)
    if not meets.any():
        return 0.0, 0.0
    share = ha[meets] / (ha[meets] - hb[meets])
    along = a[meets, 1 - across] + share * (b[meets, 1 - across] - a[meets, 1 - across])
    return float(along.min()), float(along.max())
