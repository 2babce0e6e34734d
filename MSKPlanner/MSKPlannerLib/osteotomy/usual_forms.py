"""Where the tongue, dome or step of a cut usually lies in a bone: starting positions that a surgeon moves."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import FloatArray, invert_rigid, transform_points

from ..mesh import Mesh
from .plane import Plane
from .plane_split import cut_face
from .saw_form import Dome, Step, Tongue

#: Thickness of a tongue behind the front cortex, mm, and its angle. A biplanar tibial osteotomy rises behind the tuberosity
#: (Lobenhoffer & Agneskirchner 2003, doi 10.1007/s00167-002-0334-7); these numbers are this planner's choice.
TONGUE_MM, RISE_DEG = 15.0, 110.0
#: Length of a step along the bone, mm.
STEP_MM = 40.0
#: A dome whose radius is this many times half of the bone's width leaves it well before its ends.
_WIDER = 1.25


def usual_tongue(
    bone: Mesh, to_ras: FloatArray, front_ras: FloatArray, tongue_mm: float = TONGUE_MM, rise_deg: float = RISE_DEG,
    *, descends: bool = False,
) -> Tongue:  # fmt: skip
    """Return the tongue at the front of a bone.

    Parameters
    ----------
    to_ras
        Frame of the cut (`cut_shape.CutShape`).
    front_ras
        Direction to the patient's front.
    tongue_mm
        From the foremost point of the cut's face to the corner.
    rise_deg, descends
        See `saw_form.Tongue`.

    Raises
    ------
    GeometryError
        When the plane misses the bone, or the tongue takes more than two thirds of its depth or less than a millimetre.
    """
    along = _face(bone, to_ras)[:, 1]
    front = 1 if float(to_ras[:3, 1] @ front_ras) > 0 else -1
    depth = float(np.ptp(along))
    if not 1.0 <= tongue_mm <= 2 * depth / 3:
        raise GeometryError(
            f"a tongue of {tongue_mm:g} mm in a bone that is {depth:.0f} mm deep there",
            f"Give 1 to {2 * depth / 3:.0f} mm.",
            "biplanar cut",
        )
    corner = float((front * along).max() - tongue_mm) * front
    return Tongue(corner, front, rise_deg, descends)


def usual_dome(bone: Mesh, to_ras: FloatArray, towards: float, radius_mm: float | None = None) -> Dome:
    """Return a dome with its axis on one side of its apex: `towards` above 0 that of the part that moves.

    Parameters
    ----------
    radius_mm
        None: the least that leaves the bone well before the arc ends.
    """
    wide = float(np.abs(_face(bone, to_ras)[:, 0]).max())
    return Dome(float(np.copysign(_WIDER * wide if radius_mm is None else radius_mm, towards)))


def usual_step(
    bone: Mesh, to_ras: FloatArray, shift_mm: float, step_mm: float = STEP_MM, slant_deg: float = 0.0
) -> Step:
    """Return a step whose long stretch runs along z through the origin.

    Parameters
    ----------
    slant_deg
        Of the long stretch off z (a Z-shaped cut): positive lets the parts come free of each other as they are drawn apart.

    Raises
    ------
    GeometryError
        When the plane misses the bone, or the stretch would leave it at its side.
    """
    wide = float(np.abs(_face(bone, to_ras)[:, 0]).max())
    lean = 0.5 * step_mm * float(np.tan(np.radians(slant_deg)))
    if abs(lean) > 0.8 * wide:
        raise GeometryError("the step leaves the bone at its side", "Make it steeper or shorter.", "step cut")
    far, half = 2.0 * wide, 0.5 * step_mm
    return Step(((-far, half), (-lean, half), (lean, -half), (far, -half)), shift_mm)


def section_of(bone: Mesh, plane: Plane) -> Mesh:
    """Return the face that a plane makes in a bone.

    Raises
    ------
    GeometryError
        When it misses the bone.
    """
    face = cut_face(bone, plane)
    if not len(face.faces):
        gap = float(np.abs(plane.height_mm(bone.vertices_ras)).min())
        raise GeometryError(f"the plane misses the bone by {gap:.1f} mm", "Move it into the bone.", "cut")
    return face


def _face(bone: Mesh, to_ras: FloatArray) -> FloatArray:
    """Return the corners of the face that the cut's plane makes, in its frame."""
    face = section_of(bone, Plane(to_ras[:3, 3], to_ras[:3, 2]))
    return np.asarray(transform_points(invert_rigid(to_ras), face.vertices_ras))
