"""A cut with its hinge as one frame and an angle, and what carrying it out makes of a bone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, check_rigid, perpendicular_axes, rigid

from ..guides.solid import from_manifold, to_manifold
from ..mesh import Mesh
from .bodies import joined
from .cuts import check_kerf, hinged_cut
from .hinge import Hinge, gap_mm
from .hinge_section import HingeSection, section_at_hinge
from .plane import Plane
from .plane_split import split_by_plane
from .sheet_solid import slot_solid
from .wedge import gap_miss_mm, second_face, wedge

#: Smaller angles are none: the bone is cut and nothing turned.
_NO_ANGLE_DEG = 1e-9
#: Volumes add up to this share of the bone.
_VOLUME_SHARE = 1e-4


class CutKind(Enum):
    """What is done at a cut."""

    OPENING = "opening wedge"
    CLOSING = "closing wedge"
    TURN = "derotation"


@dataclass(frozen=True, eq=False)
class CutShape:
    """A cut and its turn.

    Parameters
    ----------
    to_ras
        Rigid 4x4: the origin on the hinge; z across the plane, to the fragment that moves. In a wedge x lies in the plane
        from the hinge to where the saw enters and y along the hinge; a derotation turns about z.
    angle_deg
        Not negative in a wedge; right-handed about z in a derotation.
    kerf_mm
        Thickness of the saw's slot; the plane is its middle. A closing wedge is sawn inside its two faces.
    """

    kind: CutKind
    to_ras: FloatArray
    angle_deg: float = 0.0
    kerf_mm: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "to_ras", check_rigid(self.to_ras, "cut"))
        object.__setattr__(self, "kerf_mm", check_kerf(self.kerf_mm, "cut"))
        if not np.isfinite(self.angle_deg) or (self.kind is not CutKind.TURN and self.angle_deg < 0):
            raise InputError(f"an angle of {self.angle_deg:g} degrees", "Give 0 or more.", where="cut")

    @property
    def plane(self) -> Plane:
        """Plane of the saw; of a closing wedge the face that the fragment that stays keeps."""
        return Plane(self.to_ras[:3, 3], self.to_ras[:3, 2])

    @property
    def hinge(self) -> Hinge:
        """What the fragment turns about: positive angles open a wedge."""
        return Hinge(self.to_ras[:3, 3], self.to_ras[:3, 2] if self.kind is CutKind.TURN else -self.to_ras[:3, 1])

    @property
    def entry_ras(self) -> FloatArray:
        """A point on the side from which the saw comes."""
        return np.asarray(self.to_ras[:3, 3] + 10.0 * self.to_ras[:3, 0])

    @property
    def motion_ras(self) -> FloatArray:
        """Rigid 4x4 of the fragment that moves."""
        return self.hinge.motion_ras(-self.angle_deg if self.kind is CutKind.CLOSING else self.angle_deg)

    def transformed(self, matrix: ArrayLike) -> CutShape:
        """Return the cut under a rigid 4x4 RAS transform."""
        return replace(self, to_ras=check_rigid(matrix, "cut") @ self.to_ras)

    def turned_by(self, signed_deg: float) -> CutShape:
        """Return the cut with a signed angle about its hinge: a negative one makes an opening wedge a closing one."""
        if self.kind is CutKind.TURN:
            return replace(self, angle_deg=signed_deg)
        kind = CutKind.OPENING if signed_deg >= 0 else CutKind.CLOSING
        return replace(self, kind=kind, angle_deg=abs(signed_deg))


def shape_of_planes(kind: CutKind, plane: Plane, hinge: Hinge, angle_deg: float, kerf_mm: float = 0.0) -> CutShape:
    """Return the cut of a plane (its normal to the moved fragment) and a hinge in it, as a plan document keeps them."""
    z = plane.normal_ras
    if kind is CutKind.TURN:
        u, v = perpendicular_axes(z)
        return CutShape(kind, rigid(np.column_stack([u, v, z]), hinge.point_ras), angle_deg, kerf_mm)
    y = -hinge.axis_ras
    return CutShape(kind, rigid(np.column_stack([np.cross(y, z), y, z]), hinge.point_ras), angle_deg, kerf_mm)


@dataclass(frozen=True, eq=False)
class CutParts:
    """What a cut makes of a bone; every part in its place before the turn.

    Parameters
    ----------
    staying, moved
        Closed; without triangles where only the numbers were asked for.
    wedge
        Bone taken out by a closing wedge, else None.
    dust
        What the saw takes, else None.
    section
        The face seen from the hinge; None for a derotation.
    gap_mm, gap_miss_mm
        Height of the wedge at the cortex where it is widest, and by how much the fragments miss it.
    planes
        One, or the two faces of a closing wedge.
    """

    staying: Mesh
    moved: Mesh
    wedge: Mesh | None
    dust: Mesh | None
    section: HingeSection | None
    gap_mm: float | None
    gap_miss_mm: float
    planes: tuple[Plane, ...]

    @property
    def removed_mm3(self) -> float:
        """Bone that is lost."""
        return float(sum(part.volume_mm3 for part in (self.wedge, self.dust) if part is not None))


def outlined(bone: Mesh, shape: CutShape) -> CutParts:
    """Return the numbers of a cut without its parts: fast enough to follow a hand.

    Raises
    ------
    GeometryError
        When the plane or the hinge misses the bone.
    """
    none = Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
    planes: tuple[Plane, ...] = (shape.plane,)
    if shape.kind is CutKind.TURN:
        height = shape.plane.height_mm(bone.vertices_ras)
        if not height.min() < 0 < height.max():
            gap = float(np.abs(height).min())
            raise GeometryError(f"the plane misses the bone by {gap:.1f} mm", "Move it into the bone.", "derotation")
        return CutParts(none, none, None, None, None, None, 0.0, planes)
    section = section_at_hinge(bone, shape.plane, shape.hinge, shape.entry_ras)
    widest = float(gap_mm(section.depth_mm, shape.angle_deg))
    if shape.kind is CutKind.CLOSING and shape.angle_deg:
        planes = (shape.plane, second_face(shape.plane, shape.hinge, shape.angle_deg))
    return CutParts(none, none, None, None, section, widest, 0.0, planes)


def carried_out(bone: Mesh, shape: CutShape) -> CutParts:
    """Return the parts of a bone after a cut.

    Raises
    ------
    InputError
        When the bone's surface is not closed, or the angle is no wedge's.
    GeometryError
        When the plane or the hinge misses the bone, or the wedge is larger than the bone.
    ProcessingError
        When the parts do not close or their volumes do not add up.
    """
    if not bone.is_closed or bone.volume_mm3 <= 0:
        raise InputError("the surface of the bone is not closed and outward", "Make it again.", where="osteotomy")
    parts = _turned(bone, shape) if shape.kind is CutKind.TURN else _wedged(bone, shape)
    total = parts.staying.volume_mm3 + parts.moved.volume_mm3 + parts.removed_mm3
    if abs(total - bone.volume_mm3) > _VOLUME_SHARE * bone.volume_mm3:
        raise ProcessingError("osteotomy: the volumes of the fragments do not add up to the bone's.")
    if not (parts.staying.is_closed and parts.moved.is_closed):
        raise ProcessingError("osteotomy: a fragment does not close.")
    return parts


def _turned(bone: Mesh, shape: CutShape) -> CutParts:
    half = shape.kerf_mm / 2
    moved, rest = split_by_plane(bone, shape.plane.shifted(half))
    dust, staying = split_by_plane(rest, shape.plane.shifted(-half)) if half and len(rest.faces) else (None, rest)
    if not len(moved.faces) or not len(staying.faces):
        gap = float(np.abs(shape.plane.height_mm(bone.vertices_ras)).min())
        raise GeometryError(f"the plane misses the bone by {gap:.1f} mm", "Move it into the bone.", "derotation")
    return CutParts(staying, moved, None, dust, None, None, 0.0, (shape.plane,))


def _wedged(bone: Mesh, shape: CutShape) -> CutParts:
    if shape.angle_deg < _NO_ANGLE_DEG:
        section = section_at_hinge(bone, shape.plane, shape.hinge, shape.entry_ras)
        moved, staying = split_by_plane(bone, shape.plane)
        return _sawn(CutParts(staying, moved, None, None, section, 0.0, 0.0, (shape.plane,)), shape)
    beyond = shape.to_ras[:3, 3] + 10.0 * shape.to_ras[:3, 2]
    made = wedge(
        bone, shape.plane, shape.hinge, shape.entry_ras, shape.angle_deg, beyond,
        opening=shape.kind is CutKind.OPENING,
    )  # fmt: skip
    parts = CutParts(
        made.fixed, made.moved, made.removed, None, made.section, made.gap_mm, gap_miss_mm(made), made.planes
    )
    return _sawn(parts, shape) if made.opening else parts


def _sawn(parts: CutParts, shape: CutShape) -> CutParts:
    """Take what the saw takes from both sides of the plane, from the hinge on."""
    if not shape.kerf_mm:
        return parts
    hinge = shape.hinge
    cut = hinged_cut("saw", shape.plane, hinge.point_ras, hinge.axis_ras, shape.entry_ras, shape.kerf_mm)
    ends = np.concatenate([parts.staying.vertices_ras, parts.moved.vertices_ras])
    solid = slot_solid(cut, 10.0 + 1.1 * float(np.linalg.norm(ends - hinge.point_ras, axis=1).max()))
    kept, lost = [], []
    for part in (parts.staying, parts.moved):
        inside, outside = to_manifold(part, "osteotomy: bone").split(solid)
        if outside.is_empty() or any(p.status().name != "NoError" for p in (inside, outside)):
            raise ProcessingError("osteotomy: the sawn bone does not close.")
        kept.append(from_manifold(outside))
        lost += [] if inside.is_empty() else [from_manifold(inside)]
    return replace(parts, staying=kept[0], moved=kept[1], dust=joined(lost) if lost else None)
