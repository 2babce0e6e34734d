"""A cut with its hinge as one frame, an angle, and what of it is no plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, check_rigid, perpendicular_axes, rigid

from .cuts import check_kerf
from .hinge import Hinge
from .plane import Plane
from .saw_form import Dome, Form, Step, Tongue


class CutKind(Enum):
    """What is done at a cut."""

    OPENING = "opening wedge"
    CLOSING = "closing wedge"
    TURN = "derotation"
    DOME = "dome"
    STEP = "step lengthening"


#: Kinds whose angle has a sign, and what may leave the plane in each kind.
_SIGNED = (CutKind.TURN, CutKind.DOME)
_FORMS: dict[CutKind, tuple[type, ...]] = {
    CutKind.OPENING: (type(None), Tongue),
    CutKind.CLOSING: (type(None), Tongue),
    CutKind.TURN: (type(None),),
    CutKind.DOME: (Dome,),
    CutKind.STEP: (Step,),
}


@dataclass(frozen=True, eq=False)
class CutShape:
    """A cut and its turn.

    Parameters
    ----------
    to_ras
        Rigid 4x4: the origin on the hinge; z across the plane, to the fragment that moves. In a wedge x lies in the plane
        from the hinge to where the saw enters and y along the hinge; a derotation turns about z. The origin of a dome is its
        apex, y its axis' direction; a step is sawn along y.
    angle_deg
        Not negative in a wedge; right-handed about z in a derotation, about -y in a dome; 0 in a step.
    kerf_mm
        Thickness of the saw's slot; the plane is its middle. A closing wedge is sawn inside its two faces.
    form
        What is no plane of it: the tongue of a biplanar wedge, a dome's radius, the line of a step. None: nothing.
    """

    kind: CutKind
    to_ras: FloatArray
    angle_deg: float = 0.0
    kerf_mm: float = 0.0
    form: Form | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "to_ras", check_rigid(self.to_ras, "cut"))
        object.__setattr__(self, "kerf_mm", check_kerf(self.kerf_mm, "cut"))
        if not np.isfinite(self.angle_deg) or (self.kind not in _SIGNED and self.angle_deg < 0):
            raise InputError(f"an angle of {self.angle_deg:g} degrees", "Give 0 or more.", where="cut")
        if not isinstance(self.form, _FORMS[self.kind]):
            named = "no form" if self.form is None else type(self.form).__name__.lower()
            raise InputError(f"a {self.kind.value} with {named}", "Give the form of its kind.", where="cut")
        if self.kind is CutKind.STEP and self.angle_deg:
            raise InputError("a step cut lengthens a bone and turns nothing", "Leave the angle out.", where="cut")

    @property
    def plane(self) -> Plane:
        """Plane of the saw; of a closing wedge the face that the fragment that stays keeps."""
        return Plane(self.to_ras[:3, 3], self.to_ras[:3, 2])

    @property
    def hinge(self) -> Hinge:
        """What the fragment turns about: positive angles open a wedge. Of a step, which turns nothing, the saw's direction."""
        point, axis = self.to_ras[:3, 3], self.to_ras[:3, 2] if self.kind is CutKind.TURN else -self.to_ras[:3, 1]
        return Hinge(point + self.form.radius_mm * self.to_ras[:3, 2] if isinstance(self.form, Dome) else point, axis)

    @property
    def entry_ras(self) -> FloatArray:
        """A point on the side from which the saw comes."""
        return np.asarray(self.to_ras[:3, 3] + 10.0 * self.to_ras[:3, 0])

    @property
    def motion_ras(self) -> FloatArray:
        """Rigid 4x4 of the fragment that moves."""
        if isinstance(self.form, Step):
            return rigid(translation=self.form.shift_mm * self.to_ras[:3, 2])
        return self.hinge.motion_ras(-self.angle_deg if self.kind is CutKind.CLOSING else self.angle_deg)

    def transformed(self, matrix: ArrayLike) -> CutShape:
        """Return the cut under a rigid 4x4 RAS transform."""
        return replace(self, to_ras=check_rigid(matrix, "cut") @ self.to_ras)

    def turned_by(self, signed_deg: float) -> CutShape:
        """Return the cut with a signed angle about its hinge: a negative one makes an opening wedge a closing one."""
        if self.kind in _SIGNED:
            return replace(self, angle_deg=signed_deg)
        if self.kind is CutKind.STEP:
            raise InputError("a step cut lengthens a bone and turns nothing", "Choose another kind of cut.", "target")
        kind = CutKind.OPENING if signed_deg >= 0 else CutKind.CLOSING
        return replace(self, kind=kind, angle_deg=abs(signed_deg))


def frame_of_planes(kind: CutKind, plane: Plane, hinge: Hinge) -> FloatArray:
    """Return the 4x4 frame of a cut from what a plan document keeps: a plane, its normal to the moved fragment, and a hinge."""
    z = plane.normal_ras
    if kind is CutKind.TURN:
        u, v = perpendicular_axes(z)
        return rigid(np.column_stack([u, v, z]), hinge.point_ras)
    y = -hinge.axis_ras
    # A dome's axis lies off its apex; all other hinges lie in their plane.
    origin = plane.point_ras if kind is CutKind.DOME else hinge.point_ras
    return rigid(np.column_stack([np.cross(y, z), y, z]), origin)


def shape_of_planes(kind: CutKind, plane: Plane, hinge: Hinge, angle_deg: float, kerf_mm: float = 0.0) -> CutShape:
    """Return the cut of one plane (its normal to the moved fragment) and a hinge in it."""
    return CutShape(kind, frame_of_planes(kind, plane, hinge), angle_deg, kerf_mm)
