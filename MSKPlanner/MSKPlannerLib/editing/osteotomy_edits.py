"""What a user does to the osteotomies of a case, each as a function from case to case; measures and the plan's verdict follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError, MSKError
from MSKFusionLib.frames import check_rigid, invert_rigid, rigid, unit
from MSKFusionLib.progress import Progress, no_progress

from ..anatomy.limb_alignment import align
from ..mesh import Mesh
from ..osteotomy.cut_parts import outlined
from ..osteotomy.cut_risks import with_structures
from ..osteotomy.cut_shape import CutKind, CutShape
from ..osteotomy.hinge import angle_for_gap_deg
from ..osteotomy.limb_cut import asked_cut, plan_limb_cut
from ..osteotomy.limb_wedge import WedgeOptions
from ..osteotomy.plane import Plane
from ..osteotomy.plane_split import cut_face
from ..osteotomy.planned import AskedCut, asked_of, landmarks_of, limb_after, limb_record, plan_cuts
from ..osteotomy.target import CutLevel, Target, neutral_axis
from ..pipeline import Case
from ..plan import Plan
from ..plan_osteotomy import Limb, Osteotomy
from .cut_bones import role_of, surface_of, with_leg
from .form_edits import lengthened, turned_form, with_form_of
from .screw_edits import judged_again

#: How far inside the far cortex the hinge of a new cut lies, mm.
_HINGE_DEPTH_MM = 10.0
#: What a femur is corrected to beside a tibia that is cut for the whole leg: the middle of `limb_measures.MEASURES`' range.
_USUAL_LDFA_DEG = 87.5
_WEDGES = (CutKind.OPENING, CutKind.CLOSING)


def osteotomy_of(case: Case, name: str) -> Osteotomy:
    """Return an osteotomy by its name.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    for osteotomy in case.plan.osteotomies:
        if osteotomy.name == name:
            return osteotomy
    raise InputError(f"there is no osteotomy '{name}'", where=case.plan.plan_id)


def landmarks_placed(case: Case, points_ras: Mapping[str, ArrayLike], *, solids: bool = True) -> Case:
    """Return the case with landmarks of its leg where a surgeon puts them; every measure and target follows.

    Parameters
    ----------
    points_ras
        By the names of `anatomy.limb_landmarks.LimbLandmarks`, as they lie in the image.
    solids
        As in `placed`.

    Raises
    ------
    InputError
        When no leg is measured.
    GeometryError
        When the points cannot be those of one leg of that side, or a target can no longer be reached.
    """
    limb = case.plan.limb
    if limb is None:
        raise InputError("no leg is measured", "Cut its femur or tibia first.", where=case.plan.plan_id)
    points = landmarks_of(limb)
    points = replace(points, **{n: np.asarray(p, dtype=np.float64) for n, p in points_ras.items()})  # type: ignore[arg-type]
    align(points, whole=False)
    origin = {**limb.origin, **dict.fromkeys(points_ras, "placed")}
    moved = replace(case, plan=replace(case.plan, limb=limb_record(points, limb.bones, origin, limb.notes)))
    return _with_cuts(moved, [asked_of(o) for o in case.plan.osteotomies], solids=solids)


def carried_out_again(case: Case) -> Case:
    """Return the case with the fragments of all cuts made: what was left out while a hand was on one of them."""
    return _with_cuts(case, [asked_of(o) for o in case.plan.osteotomies])


def added(case: Case, bone: str, target: Target | None = None, *, opening: bool = True) -> Case:
    """Return the case with a cut of a bone: the one for a target, or one across its middle that turns nothing yet.

    Raises
    ------
    MSKError
        When the bone is cut already, its surface cannot be cut, or no cut gets to the target.
    """
    if any(o.bone == bone for o in case.plan.osteotomies):
        raise InputError("a bone can be cut once in a plan", "Change the cut that it has.", where=bone)
    role = role_of(case, bone)
    mesh = surface_of(case, bone)
    name = f"{bone} osteotomy"
    if target is None:
        shape = default_shape(mesh)
        asked = AskedCut(name, bone, shape, role)
    else:
        asked = replace(_for_target(case, bone, role, target, opening), name=name, bone=bone)
    return _with_cuts(case, [*map(asked_of, case.plan.osteotomies), asked])


def first_cut(case: Case, bone: str, progress: Progress = no_progress) -> tuple[Case, str]:
    """Return the case with a cut of a bone to begin with, and what to know of it.

    A femur or tibia is measured with its leg and cut for a straight axis where that can be planned; a femur whose tibia is
    cut already, for a usual mLDFA. Else, and for any other bone, the cut lies across its middle and turns nothing yet.

    Raises
    ------
    MSKError
        When the bone is cut already or its surface cannot be cut.
    """
    if any(o.bone == bone for o in case.plan.osteotomies):
        raise InputError("a bone can be cut once in a plan", "Change the cut that it has.", where=bone)
    remark = ""
    try:
        case = with_leg(case, bone, progress)
        if role_of(case, bone):
            second = role_of(case, bone) == "femur" and any(o.role for o in case.plan.osteotomies)
            return added(case, bone, Target("ldfa_deg", _USUAL_LDFA_DEG) if second else neutral_axis()), ""
    except MSKError as error:
        remark = f"cut across its middle: {error}"
    progress(0.8, f"Cutting {bone}")
    return added(case, bone), remark


def placed(case: Case, name: str, to_ras: ArrayLike, *, solids: bool = True) -> Case:
    """Return the case with a cut at another place; with a target its angle is what that needs there.

    Parameters
    ----------
    to_ras
        Frame of the cut (`osteotomy.cut_shape.CutShape`), in the image.
    solids
        Whether the fragments are made; without them their volumes stand at 0 until they are.
    """
    frame = check_rigid(to_ras, name)
    return _changed(case, name, lambda a: replace(a, shape=replace(a.shape, to_ras=frame)), solids=solids)


def with_angle(case: Case, name: str, angle_deg: float) -> Case:
    """Return the case with a cut of another angle; it is for no target then."""
    return _changed(case, name, lambda a: replace(a, target=None, shape=replace(a.shape, angle_deg=float(angle_deg))))


def with_gap(case: Case, name: str, gap: float) -> Case:
    """Return the case with a wedge of another height at the cortex, mm, or a step drawn apart by it; it is for no target then.

    Raises
    ------
    InputError
        When the cut is no wedge.
    """
    before = osteotomy_of(case, name)
    shape = asked_of(before).shape
    if shape.kind is CutKind.STEP:
        return _changed(case, name, lambda a: lengthened(a, gap))
    if shape.kind not in _WEDGES:
        raise InputError(f"a {shape.kind.value} opens no gap", "Give an angle.", where=name)
    one_degree = outlined(surface_of(case, before.bone), replace(shape, angle_deg=1.0)).gap_mm or 0.0
    depth = one_degree / (2 * np.sin(np.radians(0.5)))
    return with_angle(case, name, angle_for_gap_deg(gap, depth))


def with_target(case: Case, name: str, target: Target) -> Case:
    """Return the case with a cut whose angle brings the leg to a target, the plane as it is."""
    return _changed(case, name, lambda a: replace(a, target=target))


def with_kind(case: Case, name: str, kind: CutKind) -> Case:
    """Return the case with another kind of cut in the same plane; a wedge that is turned into a derotation turns by nothing yet."""

    def change(asked: AskedCut) -> AskedCut:
        same = (kind in _WEDGES) == (asked.shape.kind in _WEDGES) and asked.shape.kind is not CutKind.DOME
        shape = replace(asked.shape, kind=kind, angle_deg=asked.shape.angle_deg if same else 0.0, form=None)
        if kind in _WEDGES and not same:  # an axis of its own: as a new cut has it
            mesh = surface_of(case, asked.bone)
            shape = replace(shape, to_ras=_frame_in(mesh, shape.plane))
        return replace(asked, shape=shape, target=None)

    return _changed(case, name, change)


def with_form(case: Case, name: str, form: str) -> Case:
    """Return the case with a cut in the same plane as ``biplanar``, ``biplanar closing``, ``dome`` or ``step`` (`form_edits`)."""

    def change(asked: AskedCut) -> AskedCut:
        mesh = surface_of(case, asked.bone)
        return with_form_of(case, asked, form, _frame_in(mesh, asked.shape.plane), default_shape(mesh).to_ras[:3, 2])

    return _changed(case, name, change)


def with_kerf(case: Case, name: str, kerf_mm: float) -> Case:
    """Return the case with a cut by a saw of another thickness."""
    return _changed(case, name, lambda a: replace(a, shape=replace(a.shape, kerf_mm=float(kerf_mm))))


def turned_over(case: Case, name: str) -> Case:
    """Return the case with the saw coming from the other side: the hinge as far inside the other cortex."""

    def change(asked: AskedCut) -> AskedCut:
        frame = asked.shape.to_ras
        face = cut_face(surface_of(case, asked.bone), asked.shape.plane).vertices_ras
        along = (face - frame[:3, 3]) @ frame[:3, 0]
        origin = frame[:3, 3] + (along.max() + along.min()) * frame[:3, 0]
        axes = np.column_stack([-frame[:3, 0], -frame[:3, 1], frame[:3, 2]])
        return replace(asked, shape=turned_form(replace(asked.shape, to_ras=rigid(axes, origin))))

    return _changed(case, name, change)


def removed(case: Case, name: str) -> Case:
    """Return the case without an osteotomy, the other fragments and measures brought up to that."""
    osteotomy_of(case, name)
    left = [o for o in case.plan.osteotomies if o.name != name]
    if not any(o.role for o in left):  # nothing of them hangs on what was removed
        return replace(case, plan=judged_again(case.plan, case.plan.screws, case.plan.guides, left))
    try:
        return _with_cuts(case, [asked_of(o) for o in left])
    except MSKError:  # a target that can no longer be reached keeps its angle
        return _with_cuts(case, [replace(asked_of(o), target=None) for o in left])


def reviewed(case: Case, name: str, mark: bool) -> Case:
    """Return the case with the reviewer's mark set on an osteotomy, or taken off it."""
    osteotomy_of(case, name)
    marked = [replace(o, reviewed=mark) if o.name == name else o for o in case.plan.osteotomies]
    return replace(case, plan=replace(case.plan, osteotomies=tuple(marked)))


def carried_over(case: Case, before: Case | None) -> Case:
    """Return a case made anew on the same bones with the osteotomies of the one before it."""
    if before is None or not before.plan.osteotomies or _images(case.plan) != _images(before.plan):
        return case
    plan = replace(case.plan, limb=before.plan.limb)
    return replace(case, plan=judged_again(plan, plan.screws, plan.guides, before.plan.osteotomies))


def on_other_bones(case: Case, limb: Limb | None, records: Sequence[Osteotomy]) -> tuple[Case, tuple[str, ...]]:
    """Return a case on bones that have changed with osteotomies carried out on them where they lie, and why any could not be.

    The leg is measured anew; landmarks that were placed by hand stay.

    Parameters
    ----------
    limb, records
        Of the plan on the bones as they were.
    """
    cuts = [asked_of(o) for o in records]
    if not cuts:
        return case, ()
    try:
        bone, ready = next((c.bone for c in cuts if c.role), ""), case
        if limb is not None and bone:
            ready = with_leg(case, bone)
            placed = {n: limb.landmarks_ras[n] for n, origin in limb.origin.items() if origin == "placed"}
            if ready.plan.limb is not None and placed:
                ready = landmarks_placed(ready, placed)
        return _with_cuts(ready, cuts), ()
    except MSKError as error:
        return case, tuple(f"osteotomy of {c.bone}: it cannot be kept ({error}); cut again" for c in cuts)


def default_shape(bone: Mesh) -> CutShape:
    """Return an opening wedge without an angle across the middle of a bone, square to its length."""
    middle = bone.vertices_ras.mean(axis=0)
    axes = np.linalg.svd(bone.vertices_ras[:: max(1, len(bone.vertices_ras) // 5000)] - middle, full_matrices=False)[2]
    along = axes[0] if axes[0][2] <= 0 else -axes[0]  # what lies towards the feet moves
    return CutShape(CutKind.OPENING, _frame_in(bone, Plane(middle, along)))


# ---------------------------------------------------------------------------------------------------- in detail
def _frame_in(bone: Mesh, plane: Plane) -> np.ndarray:
    """Return the frame of a cut in a plane: the hinge 10 mm inside the cortex of the patient's left, along the section's short way."""
    face = cut_face(bone, plane).vertices_ras
    if not len(face):
        raise GeometryError("the plane misses the bone", "Move it into the bone.", where="osteotomy")
    z = plane.normal_ras
    x = np.array([1.0, 0, 0]) - z[0] * z
    x = unit(x if np.linalg.norm(x) > 0.1 else np.cross(z, [0.0, 1.0, 0.0]))
    along = (face - face.mean(axis=0)) @ x
    depth = min(_HINGE_DEPTH_MM, 0.25 * float(np.ptp(along)))
    origin = face.mean(axis=0) + (along.min() + depth) * x
    return rigid(np.column_stack([x, np.cross(z, x), z]), origin)


def _for_target(case: Case, bone: str, role: str, target: Target, opening: bool) -> AskedCut:
    """Return the cut that a target needs, where the femur's cut has brought the bone already brought back into the image."""
    limb = case.plan.limb
    if limb is None or not role:
        raise InputError("a target needs a leg that is measured", "Choose its femur or tibia.", where=bone)
    upper = [o for o in case.plan.osteotomies if o.role == "femur"] if role == "tibia" else []
    carried = np.array(upper[0].fragments[1].image_to_planned_ras) if upper else np.eye(4)
    points = limb_after(limb, upper)
    mesh = surface_of(case, bone).transformed(carried)
    plan = plan_limb_cut(points, {role: mesh}, target, WedgeOptions(CutLevel(role), opening))
    asked = asked_cut(plan)
    if asked.role != role:
        raise InputError(f"this target is one of the {asked.role}", "Cut that bone.", where=bone)
    return replace(asked, shape=asked.shape.transformed(invert_rigid(carried)))


def _changed(case: Case, name: str, change: Callable[[AskedCut], AskedCut], *, solids: bool = True) -> Case:
    before = osteotomy_of(case, name)
    now = change(asked_of(before))
    asked = [now if o.name == name else asked_of(o) for o in case.plan.osteotomies]
    return _with_cuts(case, asked, solids=solids, changed=name)


def _with_cuts(case: Case, asked: Sequence[AskedCut], *, solids: bool = True, changed: str = "") -> Case:
    """Carry all cuts out; a mark of the reviewer stays on those that come out as they were."""
    bones: Mapping[str, Mesh] = {a.bone: surface_of(case, a.bone) for a in asked}
    marked = {o.name: o for o in case.plan.osteotomies if o.reviewed and o.name != changed}
    made = [cut.record for cut in plan_cuts(asked, bones, case.plan.limb, solids=solids)]
    if solids:
        made = [with_structures(r, bones[r.bone], case.segmentation) for r in made]
    records = [replace(r, reviewed=r.name in marked and _looks(r) == _looks(marked[r.name])) for r in made]
    return replace(case, plan=judged_again(case.plan, case.plan.screws, case.plan.guides, records))


def _images(plan: Plan) -> tuple[Any, ...]:
    """Return what tells the images and bones of one plan from those of another."""
    return (*(i.get("voxels_sha256") for i in plan.inputs), (plan.segmentation or {}).get("labels_sha256"))


def _looks(record: Osteotomy) -> tuple[Any, ...]:
    """Return what a reviewer of an osteotomy has looked at."""
    places = tuple(f.image_to_planned_ras for f in record.fragments)
    return (
        record.kind,
        record.form,
        record.planes,
        record.hinge,
        record.angle_deg,
        record.target,
        record.measures,
        places,
    )
