"""Several cuts of a leg or of any bones, carried out one after the other and written down for the plan document.

A cut of the femur takes the tibia with it: where both are cut, the tibia's cut goes along with the femur's fragment first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, as_point, invert_rigid
from MSKFusionLib.registration.result import Verdict

from ..anatomy.limb_alignment import align
from ..anatomy.limb_landmarks import POINTS, LimbLandmarks
from ..anatomy.limb_measures import MEASURES, unusual
from ..guides.recipe import mesh_sha256
from ..mesh import Mesh
from ..plan_osteotomy import (
    BeforeAfter,
    CorrectionTarget,
    CutPlane,
    Fragment,
    HingeLine,
    Limb,
    Matrix,
    Osteotomy,
)
from .cut_parts import CutParts, carried_out, closing_notes, outlined
from .cut_shape import CutKind, CutShape, frame_of_planes
from .form_record import form_of, form_record
from .hinge import Hinge
from .limb_bone import AGREE_DEG, AGREE_MM, THIN_HINGE_MM, bone_frame, landmarks_after
from .plane import Plane
from .target import CutLevel, Target, plan_turn

#: What hangs on a bone of the leg and goes with the part that moves. The fibula stays with the upper tibia.
_FOLLOWERS = {"femur": ("tibia", "fibula", "talus"), "tibia": ("talus",)}
_ORDER = {"femur": 0, "tibia": 1}


@dataclass(frozen=True, eq=False)
class AskedCut:
    """A cut as it is asked for.

    Parameters
    ----------
    bone
        Name of the surface that is cut.
    role
        ``femur`` or ``tibia`` of the leg that is measured, else empty.
    shape
        In the image's place; its angle does not count where there is a target.
    """

    name: str
    bone: str
    shape: CutShape
    role: str = ""
    target: Target | None = None


@dataclass(frozen=True, eq=False)
class PlannedCut:
    """A cut that was carried out: its record, and its fragments by their names as they lie in the image (None: not asked)."""

    record: Osteotomy
    solids: Mapping[str, Mesh] | None


def plan_cuts(
    asked: Sequence[AskedCut], bones: Mapping[str, Mesh], limb: Limb | None = None, *, solids: bool = True
) -> tuple[PlannedCut, ...]:
    """Return cuts carried out, the femur's before the tibia's, in the order in which they were asked for.

    Parameters
    ----------
    bones
        Closed surfaces by their names, RAS mm, as they lie in the image.
    limb
        The leg whose measures are to be told; None tells none, and no target can be asked for.
    solids
        Whether the fragments are made; without them their volumes are 0 and their transforms, angles and measures as they
        will be: fast enough to follow a hand.

    Raises
    ------
    InputError
        When a bone is cut twice, or a target is asked for without a leg.
    GeometryError
        When a cut misses its bone, or no turn reaches its target.
    """
    names = [a.bone for a in asked]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InputError("a bone can be cut once in a plan", "Change the cut that it has.", where=twice)
    points = None if limb is None else landmarks_of(limb)
    carried: dict[str, FloatArray] = {}
    done: dict[str, PlannedCut] = {}
    for cut in sorted(asked, key=lambda a: _ORDER.get(a.role, 2)):
        so_far = carried.get(cut.role, np.eye(4))
        shape = cut.shape.transformed(so_far)
        if cut.target is not None:
            shape = _turned_to(cut, shape, points)
        in_image = shape.transformed(invert_rigid(so_far))
        parts = parts_of(bones[cut.bone], in_image) if solids else outlined(bones[cut.bone], in_image)
        before, points = points, None if points is None else _after(points, cut, shape)
        done[cut.name] = _planned(cut, parts, shape, so_far, before, points, limb, asked, bones[cut.bone], solids)
        for follower in _FOLLOWERS.get(cut.role, ()):
            carried[follower] = shape.motion_ras @ carried.get(follower, np.eye(4))
    return tuple(done[a.name] for a in asked)


def parts_of(bone: Mesh, shape: CutShape) -> CutParts:
    """Return `cut_shape.carried_out`; the last few are kept, for whoever shows what was just planned."""
    place = np.round(shape.to_ras, 9) + 0.0
    key = (id(bone), shape.kind, place.tobytes(), round(shape.angle_deg, 9), shape.kerf_mm, shape.form)
    if key not in _MADE:
        # The bone is held with its parts, so that no other mesh gets its id.
        _MADE[key] = (bone, carried_out(bone, shape))
        while len(_MADE) > _MOST_MADE:
            _MADE.popitem(last=False)
    return _MADE[key][1]


#: Cuts that were carried out last, and how many are kept.
_MADE: OrderedDict[tuple[Any, ...], tuple[Mesh, CutParts]] = OrderedDict()
_MOST_MADE = 6


def limb_after(limb: Limb, records: Sequence[Osteotomy]) -> LimbLandmarks:
    """Return the landmarks of a leg after all cuts of a plan."""
    points = landmarks_of(limb)
    carried: dict[str, FloatArray] = {}
    for record in sorted(records, key=lambda r: _ORDER.get(r.role, 2)):
        cut = asked_of(record)
        shape = cut.shape.transformed(carried.get(cut.role, np.eye(4)))
        points = _after(points, cut, shape)
        for follower in _FOLLOWERS.get(cut.role, ()):
            carried[follower] = shape.motion_ras @ carried.get(follower, np.eye(4))
    return points


def whole_change(osteotomies: Sequence[Osteotomy]) -> tuple[BeforeAfter, ...]:
    """Return the measures of a leg before the first and after the last of its cuts."""
    measured = sorted((o for o in osteotomies if o.measures), key=lambda o: o.role != "femur")
    if not measured:
        return ()
    last = {m.name: m.after for m in measured[-1].measures}
    return tuple(BeforeAfter(m.name, m.title, m.unit, m.before, last[m.name]) for m in measured[0].measures)


def asked_of(record: Osteotomy) -> AskedCut:
    """Return what a record of the plan document was asked for: carried out again it gives the same."""
    plane, hinge = record.planes[0], record.hinge
    kind = CutKind(record.kind)
    sawn, line = (
        Plane(np.array(plane.point_ras), np.array(plane.normal_ras)),
        Hinge(np.array(hinge.point_ras), np.array(hinge.axis_ras)),
    )
    to_ras = frame_of_planes(kind, sawn, line)
    form = None if record.form is None else form_of(record.form, to_ras, line.point_ras)
    shape = CutShape(kind, to_ras, record.angle_deg, plane.kerf_mm, form)
    target = None if record.target is None else Target(record.target.measure, record.target.value)
    return AskedCut(record.name, record.bone, shape, record.role, target)


def landmarks_of(limb: Limb) -> LimbLandmarks:
    """Return the landmarks of a leg of the plan document."""
    return LimbLandmarks.of_points(limb.side, {n: np.array(p) for n, p in limb.landmarks_ras.items()})


def limb_record(
    points: LimbLandmarks, bones: Mapping[str, str], origin: Mapping[str, str], notes: Sequence[str] = ()
) -> Limb:
    """Return the plan document's entry of a leg; see `plan_osteotomy.Limb`."""
    known = {n: as_point(getattr(points, n)) for n in POINTS if n not in points.missing}
    return Limb(points.side, dict(bones), known, {n: origin.get(n, "placed") for n in known}, tuple(notes))


def _turned_to(cut: AskedCut, shape: CutShape, points: LimbLandmarks | None) -> CutShape:
    """Return a cut with the angle that its target needs."""
    assert cut.target is not None
    if points is None or cut.role not in _ORDER:
        raise InputError(
            "a target needs a leg that is measured", "Give an angle, or cut its femur or tibia.", where=cut.name
        )
    turn = plan_turn(points, CutLevel(cut.role), shape.hinge, cut.target)
    return shape.turned_by(turn.angle_deg)


def _after(points: LimbLandmarks, cut: AskedCut, shape: CutShape) -> LimbLandmarks:
    """Return the landmarks after a cut of the leg; of any other bone they stay as they are."""
    if cut.role not in _ORDER:
        return points
    level = CutLevel(cut.role)
    bone_frame(points, level)
    through = shape.kind in (CutKind.TURN, CutKind.DOME, CutKind.STEP)
    hinge = None if through else shape.to_ras
    return landmarks_after(points, level, shape.plane, shape.motion_ras, hinge)


def _planned(
    cut: AskedCut, parts: CutParts, shape: CutShape, so_far: FloatArray, before: LimbLandmarks | None,
    after: LimbLandmarks | None, limb: Limb | None, asked: Sequence[AskedCut], bone: Mesh, solids: bool,
) -> PlannedCut:  # fmt: skip
    """Write a cut down; `shape` lies where the cuts before it have brought the bone."""
    in_image = shape.transformed(invert_rigid(so_far))
    measures, reasons, notes, missed = _measured(cut, before, after)
    target = None if cut.target is None else CorrectionTarget(cut.target.measure, cut.target.value, missed)
    if parts.gap_miss_mm > AGREE_MM:
        reasons.append(f"the fragments miss the planned gap by {parts.gap_miss_mm:.2f} mm")
    if parts.section is not None and parts.section.bone_left_mm < THIN_HINGE_MM:
        notes.append(f"only {parts.section.bone_left_mm:.1f} mm of bone are left behind the hinge")
    notes += closing_notes(parts, shape)
    if parts.overlap_mm:
        reasons.append(f"where they are put the parts lie {parts.overlap_mm:.2f} mm deep in each other")
    cut_too = {a.bone for a in asked}
    named = limb.bones if limb is not None and cut.role in _ORDER else {}
    carries = tuple(named[r] for r in _FOLLOWERS.get(cut.role, ()) if r in named and named[r] not in cut_too)
    surfaces = {"staying": parts.staying, "moved": parts.moved}
    surfaces |= {} if parts.wedge is None else {"wedge": parts.wedge}
    places = {"staying": so_far, "moved": shape.motion_ras @ so_far, "wedge": so_far}
    fragments = tuple(
        Fragment(
            n, m.volume_mm3, _matrix(places[n]), carries if n == "moved" else (), "", mesh_sha256(m) if solids else ""
        )
        for n, m in surfaces.items()
    )
    hinge, section = in_image.hinge, parts.section
    return PlannedCut(
        Osteotomy(
            name=cut.name,
            bone=cut.bone,
            role=cut.role,
            kind=shape.kind.value,
            planes=tuple(CutPlane(as_point(p.point_ras), as_point(p.normal_ras), shape.kerf_mm) for p in parts.planes),
            hinge=HingeLine(
                as_point(hinge.point_ras),
                as_point(hinge.axis_ras),
                None if section is None else section.bone_left_mm,
                None if section is None else section.hinge_length_mm,
            ),
            angle_deg=shape.angle_deg,
            gap_mm=parts.gap_mm,
            removed_mm3=parts.removed_mm3,
            fragments=fragments,
            target=target,
            measures=measures,
            bone_sha256=mesh_sha256(bone),
            form=None if in_image.form is None else form_record(in_image.form, in_image.to_ras),
            verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
            reasons=tuple(reasons),
            notes=tuple(notes),
        ),
        surfaces if solids else None,
    )


def _measured(
    cut: AskedCut, before: LimbLandmarks | None, after: LimbLandmarks | None
) -> tuple[tuple[BeforeAfter, ...], list[str], list[str], float]:
    """Return the measures before and after, why the cut is rejected, what to look at, and by how much the target is missed."""
    if before is None or after is None or cut.role not in _ORDER:
        return (), [], [], 0.0
    was, now = align(before, whole=False), align(after, whole=False)
    rows = []
    for name, info in MEASURES.items():
        a, b = (float(getattr(m, name)) for m in (was, now))
        rows.append(BeforeAfter(name, info.title, info.unit, _finite(a), _finite(b)))
    new = [n for n in unusual(now) if n not in unusual(was) and (cut.target is None or n != cut.target.measure)]
    notes = [f"{MEASURES[n].title} leaves its usual range" for n in new]
    if cut.target is None:
        return tuple(rows), [], notes, 0.0
    measure, value = cut.target.measure, cut.target.value
    missed = float(getattr(now, measure)) - value
    if measure.endswith("_deg"):
        missed = (missed + 180) % 360 - 180
    in_mm = measure == "weight_bearing_share"
    width = float(np.linalg.norm(before.lateral_plateau_edge - before.medial_plateau_edge)) if in_mm else 1.0
    bar = AGREE_DEG if measure.endswith("_deg") else AGREE_MM
    if abs(missed) * width <= bar:
        return tuple(rows), [], notes, missed
    words = f"measured again on the fragments, {MEASURES[measure].title} misses its target by {missed:.3g}"
    return tuple(rows), [words], notes, missed if np.isfinite(missed) else 0.0


def with_files(record: Osteotomy, files: Mapping[str, str]) -> Osteotomy:
    """Return a record whose fragments lie in files, by the fragments' names."""
    return replace(record, fragments=tuple(replace(f, file=files.get(f.name, "")) for f in record.fragments))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _matrix(values: FloatArray) -> Matrix:
    rows = [(float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in values]
    return rows[0], rows[1], rows[2], rows[3]
