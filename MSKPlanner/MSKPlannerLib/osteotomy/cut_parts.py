"""What carrying a cut out makes of a bone: closed parts in their place before the turn, and the numbers of the cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points

from ..guides.solid import from_manifold, to_manifold
from ..mesh import Mesh
from .bodies import joined
from .closing_form import face_miss_mm, planed_mm, slot_of_closing, split_closing
from .cut_shape import CutKind, CutShape
from .cuts import hinged_cut
from .hinge import gap_mm
from .hinge_section import HingeSection, section_at_hinge
from .plane import Plane
from .plane_split import split_by_plane
from .saw_form import Form, Step, Tongue, meets, overlap_mm, slot_of_form, split_by_form
from .sheet_solid import slot_solid
from .wedge import LARGEST_DEG, gap_miss_mm, second_face, wedge

#: Smaller angles are none: the bone is cut and nothing turned.
_NO_ANGLE_DEG = 1e-9
#: Volumes add up to this share of the bone.
_VOLUME_SHARE = 1e-4
#: Less that is planed off is not told, mm.
_TOLD_MM = 0.05


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
    overlap_mm
        How deep the parts of a cut with a form lie in each other after the turn (`saw_form.overlap_mm`).
    planed_mm
        What a closing biplanar wedge takes off along its second plane, where that is most: 0 where that plane slides in itself.
    """

    staying: Mesh
    moved: Mesh
    wedge: Mesh | None
    dust: Mesh | None
    section: HingeSection | None
    gap_mm: float | None
    gap_miss_mm: float
    planes: tuple[Plane, ...]
    overlap_mm: float = 0.0
    planed_mm: float = 0.0

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
    if shape.kind in (CutKind.TURN, CutKind.DOME, CutKind.STEP):
        height = shape.plane.height_mm(bone.vertices_ras)
        if not height.min() < 0 < height.max():
            gap = float(np.abs(height).min())
            raise GeometryError(
                f"the plane misses the bone by {gap:.1f} mm", "Move it into the bone.", shape.kind.value
            )
        return CutParts(none, none, None, None, None, _shift_mm(shape), 0.0, planes)
    section = section_at_hinge(bone, shape.plane, shape.hinge, shape.entry_ras)
    widest = float(gap_mm(_sawn_depth_mm(section, shape), shape.angle_deg))
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
    if shape.form is not None:
        parts = _formed(bone, shape, shape.form)
    else:
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


def _formed(bone: Mesh, shape: CutShape, form: Form) -> CutParts:
    """Carry out a cut that is no single plane."""
    if isinstance(form, Tongue) and shape.kind is CutKind.CLOSING and shape.angle_deg >= _NO_ANGLE_DEG:
        return _closed(bone, shape, form)
    section, gap, missed = None, _shift_mm(shape), 0.0
    if isinstance(form, Tongue):
        section = section_at_hinge(bone, shape.plane, shape.hinge, shape.entry_ras)
        depth = _sawn_depth_mm(section, shape)
        gap = float(gap_mm(depth, shape.angle_deg))
    staying, moved = split_by_form(bone, form, shape.to_ras)
    if isinstance(form, Tongue) and gap is not None:
        missed = _tongue_gap_miss_mm(moved, shape, form, gap)
    depth_in = overlap_mm(staying, moved, form, shape.to_ras, shape.motion_ras)
    parts = CutParts(
        staying, moved, None, None, section, gap, missed, (shape.plane,), depth_in if meets(depth_in) else 0.0
    )
    if not shape.kerf_mm:
        return parts
    return _without(parts, slot_of_form(form, shape.to_ras, shape.kerf_mm, _reach_mm(parts, shape.to_ras[:3, 3])))


def _closed(bone: Mesh, shape: CutShape, form: Tongue) -> CutParts:
    """Carry out a closing biplanar wedge: its faces as the plain one's, and what the saw takes of the second plane."""
    section = section_at_hinge(bone, shape.plane, shape.hinge, shape.entry_ras)
    gap = float(gap_mm(_sawn_depth_mm(section, shape), shape.angle_deg))
    if shape.angle_deg > LARGEST_DEG:
        raise InputError(f"a wedge of {shape.angle_deg:g} degrees", f"Give up to {LARGEST_DEG:g}.", where="wedge")
    staying, moved, taken = split_closing(bone, form, shape.to_ras, shape.angle_deg)
    missed = face_miss_mm(moved, form, shape.to_ras, shape.angle_deg, shape.motion_ras)
    depth_in = overlap_mm(staying, moved, form, shape.to_ras, shape.motion_ras)
    planed = planed_mm(taken, form, shape.to_ras, shape.angle_deg)
    planes = (shape.plane, second_face(shape.plane, shape.hinge, shape.angle_deg))
    depth_in = depth_in if meets(depth_in) else 0.0
    parts = CutParts(staying, moved, taken, None, section, gap, missed, planes, depth_in, planed)
    if not shape.kerf_mm:
        return parts
    reach = _reach_mm(parts, shape.to_ras[:3, 3])
    return _without(parts, slot_of_closing(form, shape.to_ras, shape.angle_deg, shape.kerf_mm, reach))


def closing_notes(parts: CutParts, shape: CutShape) -> tuple[str, ...]:
    """Return what to look at where a closing wedge has a tongue."""
    if not isinstance(shape.form, Tongue) or shape.kind is not CutKind.CLOSING:
        return ()
    notes = []
    if parts.planed_mm > _TOLD_MM:
        part = "the front of the part that stays" if shape.form.descends else "the tongue"
        notes.append(f"{part} is planed off by up to {parts.planed_mm:.1f} mm, to slide as the wedge closes")
    if shape.kerf_mm:
        notes.append(f"closed, the second plane stays open by up to the saw's {shape.kerf_mm:g} mm")
    return tuple(notes)


def _shift_mm(shape: CutShape) -> float | None:
    """Return what a step opens across its ends; None where nothing comes apart."""
    return shape.form.shift_mm if isinstance(shape.form, Step) else None


def _sawn_depth_mm(section: HingeSection, shape: CutShape) -> float:
    """Return how deep the plane is sawn from the cortex to the hinge where that is most; before a tongue, not under it."""
    if not isinstance(shape.form, Tongue):
        return section.depth_mm
    local = transform_points(invert_rigid(section.to_ras), section.face.vertices_ras)
    at_corner = section.depth_at_mm(shape.form.corner_mm)
    sawn = shape.form.front * (local[:, 1] - shape.form.corner_mm) <= 0
    deepest = max(float(local[sawn, 0].max(initial=0.0)), at_corner)
    if deepest <= 0 or not sawn.any() or sawn.all():
        raise GeometryError(
            "the corner of the biplanar cut lies outside the bone", "Move it into the bone.", where="biplanar cut"
        )
    return deepest


def _tongue_gap_miss_mm(moved: Mesh, shape: CutShape, form: Tongue, gap: float) -> float:
    """Return by how much the moved part, where it is put, misses the planned gap."""
    local = transform_points(invert_rigid(shape.to_ras), moved.vertices_ras)
    flat = (np.abs(local[:, 2]) < 1e-6) & (form.front * (local[:, 1] - form.corner_mm) <= 1e-6)
    if not flat.any():
        return float("inf")
    rim = moved.vertices_ras[flat][local[flat, 0].argmax()]
    return abs(float(np.linalg.norm(transform_points(shape.motion_ras, rim) - rim)) - gap)


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
    return _without(parts, slot_solid(cut, _reach_mm(parts, hinge.point_ras)))


def _reach_mm(parts: CutParts, place_ras: FloatArray) -> float:
    """Return a length from a place that is beyond all of the bone."""
    ends = np.concatenate([parts.staying.vertices_ras, parts.moved.vertices_ras])
    return 10.0 + 1.1 * float(np.linalg.norm(ends - place_ras, axis=1).max())


def _without(parts: CutParts, solid: Any) -> CutParts:
    """Take a slot (`manifold3d.Manifold`) from all parts."""
    kept, lost = [], []
    for part in (parts.staying, parts.moved) if parts.wedge is None else (parts.staying, parts.moved, parts.wedge):
        inside, outside = to_manifold(part, "osteotomy: bone").split(solid)
        if outside.is_empty() or any(p.status().name != "NoError" for p in (inside, outside)):
            raise ProcessingError("osteotomy: the sawn bone does not close.")
        kept.append(from_manifold(outside))
        lost += [] if inside.is_empty() else [from_manifold(inside)]
    wedged = None if parts.wedge is None else kept[2]
    return replace(parts, staying=kept[0], moved=kept[1], wedge=wedged, dust=joined(lost) if lost else None)
