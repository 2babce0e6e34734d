"""The form of a cut as the plan document keeps it, and back."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, as_point, invert_rigid, transform_points

from ..plan_osteotomy import SawForm
from .saw_form import Dome, Form, Step, Tongue

#: How far from the corner the ends of a biplanar line are written down, mm.
_ARM_MM = 20.0


def form_record(form: Form, to_ras: FloatArray) -> SawForm:
    """Return a form as it lies in the image.

    Parameters
    ----------
    to_ras
        Frame of its cut.
    """
    if isinstance(form, Dome):
        return SawForm("dome", as_point(to_ras[:3, 1]), radius_mm=abs(form.radius_mm))
    if isinstance(form, Step):
        local = np.array([[x, 0.0, z] for x, z in form.corners_mm])
        return SawForm("step", as_point(-to_ras[:3, 1]), _points(to_ras, local), shift_mm=form.shift_mm)
    corner = np.array([0.0, form.corner_mm, 0.0])
    back = corner - [0.0, form.front * _ARM_MM, 0.0]
    line = np.array([back, corner, corner + _ARM_MM * form.rising])
    return SawForm("biplanar", as_point(to_ras[:3, 0]), _points(to_ras, line))


def form_of(record: SawForm, to_ras: FloatArray, hinge_ras: FloatArray | None = None) -> Form:
    """Return the form that a document keeps, in the frame of its cut.

    Parameters
    ----------
    to_ras
        Frame of the cut, made of the document's plane and hinge.
    hinge_ras
        A point of the hinge; needed for a dome.

    Raises
    ------
    InputError
        When it is no form that this program knows.
    """
    local = (
        transform_points(invert_rigid(to_ras), np.array(record.corners_ras)) if record.corners_ras else np.empty((0, 3))
    )
    if record.name == "dome" and record.radius_mm is not None and hinge_ras is not None:
        return Dome(float(np.copysign(record.radius_mm, (hinge_ras - to_ras[:3, 3]) @ to_ras[:3, 2])))
    if record.name == "step":
        return Step(tuple((float(x), float(z)) for x, _, z in local), record.shift_mm)
    if record.name == "biplanar" and len(local) == 3:
        back, corner, end = local
        front = 1 if corner[1] > back[1] else -1
        ahead, up = front * (end - corner)[1], -(end - corner)[2]
        rise = float(np.degrees(np.arctan2(abs(up), -ahead)))
        return Tongue(float(corner[1]), front, rise, bool(up < 0))
    raise InputError(f"a cut of the form '{record.name}' is not known", "Plan it again.", where="plan document")


def _points(to_ras: FloatArray, local: FloatArray) -> tuple[tuple[float, float, float], ...]:
    return tuple(as_point(p) for p in transform_points(to_ras, local))
