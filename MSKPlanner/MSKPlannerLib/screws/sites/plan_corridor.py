"""One screw in one corridor: the widest line, what fits into it, and what is known about all the others."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from MSKFusionLib.frames import FloatArray, perpendicular_axes, unit
from MSKFusionLib.segmentation.labels import Segmentation

from ...anatomy.pelvis import sacral_frame
from ...bone.depth_field import DepthField
from ..candidate_lines import Choice
from ..corridor import Corridor, polished_corridor, widest_corridor
from ..safety import assess_screw, entry_zone_mm
from .description import Site, load_site
from .sacral import Problem, SacralAnatomy, frame_direction_deg, sacral_anatomy, sacral_problem

_STEP_MM = 0.5
_REACH_MM = 220.0
#: How far behind its start a corridor is followed to the entry.
_ENTRY_REACH_MM = 40.0
_GAP_MM = 0.15
#: Where many lines are nearly as good, the proof stops here: the bound that is reported is then a little wider.
_MOST_LINES = 120_000
_TOUCH_MM = 0.01
_TURNS_DEG = np.arange(0.25, 15.01, 0.25)
_TURN_DIRECTIONS = 16


@dataclass(frozen=True, eq=False)
class PlannedCorridor:
    """The widest corridor of a site and the screw in it.

    Parameters
    ----------
    possible
        Whether the thinnest usual screw fits with its clearance.
    decided
        False where the corridor found is too narrow but the bound leaves room for one that is not.
    width_mm, bound_width_mm
        Diameter of the largest cylinder found, and what no cylinder of the family exceeds.
    screw
        None where none fits.
    clearance_mm
        Least distance of the screw's surface from the walls, nerves counted with their own distance.
    largest_diameter_mm
        Of a screw that keeps the wished clearance.
    longest_mm
        Of a screw of the chosen diameter on this line that keeps it.
    angular_tolerance_deg
        So far the screw may be turned about its entry, any way, before it leaves bone.
    direction_deg
        Towards anterior and towards cranial of the transverse axis; None outside the sacrum's sites.
    problem
        The fields and the lines that were searched.
    """

    name: str
    side: str
    possible: bool
    decided: bool
    corridor: Corridor
    width_mm: float
    bound_width_mm: float
    screw: Choice | None
    clearance_mm: float | None
    largest_diameter_mm: float
    longest_mm: float
    angular_tolerance_deg: float | None
    direction_deg: tuple[float, float] | None
    message: str
    seconds: float
    problem: Problem


def plan_corridor(
    site: Site | str | Path, bones: Segmentation | SacralAnatomy, side: str = "right", *, gap_mm: float = _GAP_MM
) -> PlannedCorridor:
    """Plan the screw of one sacral site.

    Parameters
    ----------
    site
        A site, its name in `Resources/Sites`, or a TOML file.
    bones
        Labels of sacrum (S1) and both hip bones; or the anatomy made from them, where several sites are planned.
    side
        ``left`` or ``right``: where the screw enters.
    gap_mm
        Proof wanted of the corridor's radius.

    Raises
    ------
    GeometryError
        When the bones do not show the anatomy that the site needs; the message says what is missing.
    """
    what = site if isinstance(site, Site) else load_site(site)
    if isinstance(bones, Segmentation):
        bones = sacral_anatomy(bones, sacral_frame(bones), joint_gap_mm=what.joint_gap_mm)
    began = time.perf_counter()
    problem = sacral_problem(what, side, bones)
    through = what.family == "trans_sacral"
    found = plan_in(problem, what, side, through=through, gap_mm=gap_mm, began=began)
    direction = frame_direction_deg(bones.frame, found.corridor.start_ras, found.corridor.end_ras)
    return replace(found, direction_deg=direction)


def plan_in(
    problem: Problem, site: Site, side: str, *, through: bool, gap_mm: float = _GAP_MM, began: float | None = None
) -> PlannedCorridor:
    """Plan in a field and a family of lines, whatever they were made from.

    Parameters
    ----------
    through
        The screw must reach the corridor's far end; otherwise a shorter one is taken where the table has none so long.
    """
    began = time.perf_counter() if began is None else began
    corridor = polished_corridor(
        problem.field,
        problem.family,
        widest_corridor(problem.field, problem.family, gap_mm=gap_mm, max_evaluations=_MOST_LINES),
    )
    width, bound = 2 * corridor.clearance_mm, 2 * corridor.bound_mm
    needed = site.needed_width_mm
    entry, axis = _entry(problem.solid, corridor)
    screw, clearance, longest = _largest(problem, site, corridor, entry, axis, through)
    possible = screw is not None
    decided = possible or bound < needed
    tolerance = None if screw is None else angular_tolerance_deg(problem.field, screw)
    where = f"{site.title}, {side}"
    if screw is not None:
        text = (
            f"{where}: {screw.diameter_mm:g} x {screw.length_mm:g} mm fits; the widest corridor is {width:.1f} mm "
            f"(no other is wider than {bound:.1f} mm)"
        )
    elif bound <= 0:
        text = f"{where}: not possible: no straight line between its two regions stays in bone"
    elif decided:
        text = (
            f"{where}: not possible: the widest corridor is {max(width, 0.0):.1f} mm, none is wider than {bound:.1f} mm, and the thinnest "
            f"screw ({site.diameters_mm[0]:g} mm) needs {needed:.1f} mm with bone all round it"
        )
    elif width >= needed:
        text = (
            f"{where}: no screw of the table fits: the corridor is {width:.1f} mm wide, but on the way from its entry to the "
            f"corridor's end a screw of {site.diameters_mm[0]:g} mm keeps its clearance over {longest:.0f} mm only"
        )
    else:
        text = (
            f"{where}: no screw fits the corridor found ({width:.1f} mm, {needed:.1f} mm needed); whether another one would is not "
            f"decided (bound {bound:.1f} mm)"
        )
    return PlannedCorridor(
        site.name, side, possible, decided, corridor, width, bound, screw, clearance, max(0.0, width - 2 * site.clearance_mm),
        longest, tolerance, None, text, time.perf_counter() - began, problem,
    )  # fmt: skip


def _entry(solid: DepthField, corridor: Corridor) -> tuple[FloatArray, FloatArray]:
    """Return where the line enters bone, behind the corridor's start, and its direction."""
    axis = unit(corridor.end_ras - corridor.start_ras)
    back = np.arange(0.0, _ENTRY_REACH_MM, _STEP_MM)
    depth = solid.depth_mm(corridor.start_ras - back[:, None] * axis)
    outside = depth <= 0
    if not outside.any() or outside[0]:
        return corridor.start_ras, axis
    n = int(outside.argmax())
    share = depth[n - 1] / max(float(depth[n - 1] - depth[n]), 1e-6)
    return corridor.start_ras - (back[n - 1] + share * _STEP_MM) * axis, axis


def _largest(
    problem: Problem, site: Site, corridor: Corridor, entry: FloatArray, axis: FloatArray, through: bool
) -> tuple[Choice | None, float | None, float]:
    """Return the thickest screw of the site on a line, the longest of that thickness, its clearance, and the safe length."""
    along = np.arange(0.0, _REACH_MM, _STEP_MM)
    depth = problem.field.depth_mm(entry + along[:, None] * axis)
    needed = float((corridor.end_ras - entry) @ axis)
    safe = 0.0
    for diameter in reversed(site.diameters_mm):
        low = (depth < diameter / 2 + site.clearance_mm - 1e-6) & (along >= entry_zone_mm(diameter))
        safe = float(along[int(low.argmax())]) if low.any() else _REACH_MM
        fitting = [length for length in site.lengths_mm if length <= safe]
        if safe < needed - _STEP_MM or not fitting:
            continue
        # The entry zone may hide what the corridor's own start shows: no screw is thicker than the corridor allows.
        if diameter / 2 + site.clearance_mm > corridor.clearance_mm + _TOUCH_MM:
            continue
        # Into a body the tip goes no farther than the site asks; through the sacrum as far as there is bone.
        within = [length for length in fitting if length <= needed + 2.5] if not through else fitting
        length = max(within or fitting[:1])
        choice = Choice(entry, entry + length * axis, diameter, length)
        safety = assess_screw(problem.field.depth_mm, choice.entry_ras, choice.tip_ras, diameter)
        if safety.clearance_mm >= site.clearance_mm - 0.1:
            return choice, safety.clearance_mm, safe
    return None, None, safe


def angular_tolerance_deg(field: DepthField, screw: Choice) -> float:
    """Return by how much a screw may be turned about its entry, in the worst direction, before its wall meets a wall of bone.

    By the depth of its axis behind the entry zone; 15 degrees at most are looked at.
    """
    axis = unit(screw.tip_ras - screw.entry_ras)
    u, v = perpendicular_axes(axis)
    angle = np.linspace(0, 2 * np.pi, _TURN_DIRECTIONS, endpoint=False)
    aside = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v
    turn = np.radians(_TURNS_DEG)[:, None, None]
    direction = np.cos(turn) * axis + np.sin(turn) * aside
    along = np.arange(entry_zone_mm(screw.diameter_mm), screw.length_mm + 0.1, 1.0)
    depth = field.depth_mm(screw.entry_ras + along[:, None] * direction[:, :, None, :]).min(axis=-1)
    touches = (depth < screw.diameter_mm / 2).any(axis=1)
    return float(_TURNS_DEG[int(touches.argmax())] - 0.25) if touches.any() else float(_TURNS_DEG[-1])
