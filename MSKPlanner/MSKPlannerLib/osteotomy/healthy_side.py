"""A deformed bone against the mirrored healthy one: the 6-DOF correction, as a screw and as one oblique cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, invert_rigid, rigid, unit

from ..anatomy.bone_end import principal_axis, surface_points
from ..anatomy.surface_fit import SurfaceFit, Template, fit_from_anywhere, sample_surface
from ..mesh import Mesh
from .plane import point_of
from .screw_motion import FragmentNumbers, ScrewMotion, fragment_numbers, screw_motion
from .single_cut import SingleCut, single_oblique_cut

#: Bone this near to the level may have healed in another shape and is not compared, mm; the weight grows beyond it.
_MARGIN_MM, _FULL_WEIGHT_MM = 15.0, 40.0
#: A side that lies farther off the template than this is not that person's other bone, mm.
_ALIKE_MM = 2.0
#: And of one on which more than one in twenty points lies so far off, mm: a template of the wrong side fits shafts only.
_ALIKE_P95_MM = 5.0
#: Above this the turn about some axis is not shown by the surfaces, degrees.
_UNSURE_DEG = 1.0
#: Cuts more oblique than this run along the bone, degrees.
OBLIQUE_DEG = 60.0


@dataclass(frozen=True, eq=False)
class HealthySide:
    """What makes a bone as its healthy counterpart is.

    Parameters
    ----------
    level_ras, axis_ras
        Where the deformity is, and the bone's direction from the part that stays to the part that moves.
    template_ras
        The mirrored healthy bone, laid onto the part that stays: what the bone should look like.
    staying, moving
        How the template lies on either part.
    motion_ras
        Rigid 4x4 of the moving part.
    screw
        The motion as one turn and one shift.
    numbers
        In a surgeon's words, in the frame of the bone's axis and the patient's front.
    cut
        The single oblique cut; None where the correction hardly turns.
    reasons
        Why the result cannot be relied on; empty where it is accepted.
    warnings
        What to look at.
    """

    level_ras: FloatArray
    axis_ras: FloatArray
    template_ras: Mesh
    staying: SurfaceFit
    moving: SurfaceFit
    motion_ras: FloatArray
    screw: ScrewMotion
    numbers: FragmentNumbers
    cut: SingleCut | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether both parts are like the healthy bone and the surfaces fix the correction."""
        return not self.reasons


def compare_with_healthy(
    bone: Mesh, healthy: Mesh, level_ras: ArrayLike, moves_ras: ArrayLike, side: str
) -> HealthySide:
    """Return the correction that makes a deformed bone like the mirrored healthy one.

    Parameters
    ----------
    bone
        The deformed bone, RAS mm.
    healthy
        The same bone of the other side, in any pose.
    level_ras
        A point at the level of the deformity; bone within 15 mm of it is not compared.
    moves_ras
        A point beyond the level on the part that is moved, as the wrist of a forearm.
    side
        "left" or "right": the deformed side.

    Raises
    ------
    InputError
        When a mesh is empty or the side is no side.
    GeometryError
        When one part is too small to be compared.
    """
    if side not in ("left", "right"):
        raise InputError(f"the side is {side!r}", "Say 'left' or 'right'.", where="healthy side")
    for name, mesh in (("bone", bone), ("healthy bone", healthy)):
        if len(mesh.faces) < 100:
            raise InputError("the surface has hardly any triangles", "Make it again.", where=name)
    level = point_of(level_ras, "level of the deformity")
    points, area = surface_points(bone)
    axis = principal_axis(points, area)
    towards = point_of(moves_ras, "part that moves") - level
    if abs(towards @ axis) < 1.0:
        raise GeometryError(
            "the point of the part that moves lies beside the level", "Move it along the bone.", "level"
        )
    axis = axis if towards @ axis > 0 else -axis
    template = Template(healthy.transformed(np.diag([-1.0, 1, 1, 1])))
    whole = fit_from_anywhere(template, bone)
    samples = sample_surface(bone)
    beyond = (samples - level) @ axis
    fits = []
    for name, sign in (("stays", -1.0), ("moves", 1.0)):
        weight = np.clip((sign * beyond - _MARGIN_MM) / (_FULL_WEIGHT_MM - _MARGIN_MM), 0, 1)
        try:
            fits.append(template.fit(samples, weight, whole.template_to_bone_ras))
        except GeometryError as error:
            raise GeometryError(
                f"too little of the part that {name} is in view to be compared", "Move the level.", "healthy side"
            ) from error
    staying, moving = fits
    motion = staying.template_to_bone_ras @ invert_rigid(moving.template_to_bone_ras)
    screw = screw_motion(motion, level)
    cut = single_oblique_cut(motion, level, axis) if screw.angle_deg >= 0.5 else None
    numbers = fragment_numbers(motion, _bone_frame(level, axis), side, level)
    reasons, warnings = _judged(staying, moving, cut)
    shown = template.mesh.transformed(staying.template_to_bone_ras)
    return HealthySide(level, axis, shown, staying, moving, motion, screw, numbers, cut, reasons, warnings)


def _bone_frame(level: FloatArray, axis: FloatArray) -> FloatArray:
    """Return a frame along the bone (z towards the part that stays), x towards the patient's right or nearest to it."""
    z = -axis
    right = np.array([1.0, 0, 0]) if abs(z[0]) < 0.9 else np.array([0, 0, -1.0])
    x = unit(right - (right @ z) * z)
    return rigid(np.column_stack([x, np.cross(z, x), z]), level)


def _judged(staying: SurfaceFit, moving: SurfaceFit, cut: SingleCut | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reasons, warnings = [], []
    for name, fit in (("stays", staying), ("moves", moving)):
        if fit.median_mm > _ALIKE_MM or fit.p95_mm > _ALIKE_P95_MM:
            reasons.append(
                f"the part that {name} does not fit the mirrored bone (median {fit.median_mm:.1f} mm, one point in twenty more "
                f"than {fit.p95_mm:.1f} mm off): is it the same bone, and its other side?"
            )
        if fit.rotation_sd_deg.max() > _UNSURE_DEG:
            reasons.append(
                f"the part that {name} does not fix the turn about its axis ({fit.rotation_sd_deg.max():.1f} degrees "
                "standard deviation): show more of it"
            )
    if cut is None:
        warnings.append("the correction hardly turns: a shift needs no oblique cut")
    elif cut.obliquity_deg > OBLIQUE_DEG:
        warnings.append(f"the single cut lies {cut.obliquity_deg:.0f} degrees oblique and would run along the bone")
    return tuple(reasons), tuple(warnings)
