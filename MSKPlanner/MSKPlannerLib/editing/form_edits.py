"""Cuts that are no plain wedge or derotation, as a user makes them of one that is there: biplanar, dome, step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, rigid, unit

from ..mesh import Mesh
from ..osteotomy.cut_shape import CutKind, CutShape
from ..osteotomy.limb_tongue import closing_tongue
from ..osteotomy.planned import AskedCut
from ..osteotomy.saw_form import Step, Tongue
from ..osteotomy.usual_forms import TONGUE_MM, section_of, usual_dome, usual_step, usual_tongue
from ..pipeline import Case
from .cut_bones import surface_of

#: What a cut can be made into beside a plain wedge and a derotation.
FORMS = ("biplanar", "biplanar closing", "dome", "step")
#: The front of a patient whose leg is not measured, RAS.
_FRONT = np.array([0.0, 1.0, 0.0])
#: A tongue takes at most this share of the bone's depth.
_TONGUE_SHARE = 1 / 3


def with_form_of(case: Case, asked: AskedCut, name: str, wedge_frame: FloatArray, along_ras: FloatArray) -> AskedCut:
    """Return a cut as ``biplanar`` (opening) or ``biplanar closing`` in the same plane, or as ``dome`` or ``step`` square to the bone at the same level.

    Parameters
    ----------
    wedge_frame
        Frame of a wedge in that plane (`cut_shape.CutShape`), for a cut that has none.
    along_ras
        Direction of the bone.

    Raises
    ------
    InputError
        When there is no such form.
    """
    mesh = surface_of(case, asked.bone)
    shape = asked.shape
    if name in ("biplanar", "biplanar closing"):
        kind = CutKind.OPENING if name == "biplanar" else CutKind.CLOSING
        frame = shape.to_ras if shape.kind in (CutKind.OPENING, CutKind.CLOSING) else wedge_frame
        angle = shape.angle_deg if shape.kind is kind else 0.0
        along = (section_of(mesh, shape.plane).vertices_ras - frame[:3, 3]) @ frame[:3, 1]
        thick = min(TONGUE_MM, _TONGUE_SHARE * float(np.ptp(along)))
        usual = usual_tongue if kind is CutKind.OPENING else closing_tongue
        made = CutShape(kind, frame, angle, shape.kerf_mm, usual(mesh, frame, _front(asked, case), thick))
        return replace(asked, shape=made, target=asked.target if angle else None)
    middle = _in_the_middle(mesh, shape, wedge_frame, along_ras)
    if name == "dome":
        made = CutShape(CutKind.DOME, middle, 0.0, shape.kerf_mm, usual_dome(mesh, middle, -1.0))
    elif name == "step":
        made = CutShape(CutKind.STEP, middle, 0.0, shape.kerf_mm, usual_step(mesh, middle, 0.0))
    else:
        raise InputError(f"there is no cut of the form '{name}'", where=asked.name)
    return replace(asked, shape=made, target=None)


def lengthened(asked: AskedCut, shift_mm: float) -> AskedCut:
    """Return a step whose parts are drawn apart by so much.

    Raises
    ------
    InputError
        When the cut is no step, or its parts would come apart.
    """
    step = asked.shape.form
    if not isinstance(step, Step):
        raise InputError("only a step lengthens a bone", where=asked.name)
    long = float(np.ptp([z for _, z in step.corners_mm]))
    if shift_mm >= long:
        raise InputError(f"the step is {long:.0f} mm long: its parts would come apart", "Give less.", where=asked.name)
    return replace(asked, shape=replace(asked.shape, form=replace(step, shift_mm=float(shift_mm))))


def turned_form(shape: CutShape) -> CutShape:
    """Return a cut whose frame was turned by 180 degrees about z with its tongue where it was."""
    if not isinstance(shape.form, Tongue):
        return shape
    return replace(shape, form=replace(shape.form, corner_mm=-shape.form.corner_mm, front=-shape.form.front))


def _front(asked: AskedCut, case: Case) -> FloatArray:
    limb: Mapping[str, tuple[float, float, float]] = {} if case.plan.limb is None else case.plan.limb.landmarks_ras
    pair = [
        limb.get(n) for n in ("lateral_posterior_tibia", "medial_posterior_tibia", "tibial_knee_centre", "ankle_centre")
    ]
    if not asked.role or any(p is None for p in pair):
        return _FRONT
    lateral, medial, knee, ankle = (np.array(p) for p in pair)
    front = np.cross(lateral - medial, knee - ankle)
    return front if front @ _FRONT > 0 else -front


def _in_the_middle(mesh: Mesh, shape: CutShape, wedge_frame: FloatArray, along_ras: FloatArray) -> FloatArray:
    """Return the frame turned square to the bone, its origin in the middle of the section that the plane makes."""
    frame = wedge_frame if shape.kind is CutKind.TURN else shape.to_ras
    face = section_of(mesh, shape.plane)
    areas = np.linalg.norm(face.face_area_vectors, axis=1)
    middle = (areas[:, None] * face.triangles_ras.mean(axis=1)).sum(axis=0) / areas.sum()
    z = unit(along_ras if along_ras @ frame[:3, 2] > 0 else -along_ras)
    x = unit(frame[:3, 0] - (frame[:3, 0] @ z) * z)
    return rigid(np.column_stack([x, np.cross(z, x), z]), middle)
