"""Screws added to a case: between two points that a user marked, or planned at a site; each a function from case to case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError, MSKError
from MSKFusionLib.frames import FloatArray, unit
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.segmentation.labels import Segment

from ..anatomy.vertebra import VertebraFrame
from ..pipeline import Case
from ..plan import Point, Screw
from ..screws.describe import LEAST_FORWARDS
from ..screws.evaluate import evaluate_screw
from ..screws.facet import with_facet_joints
from ..screws.free_hand import bones_along, depth_in_bone_mm, evaluate_free
from ..screws.implants import LENGTH_RANGE_MM, load_implants
from ..screws.options import with_trajectory
from ..screws.pedicle import plan_levels
from ..screws.prepared import PreparedLevel
from ..screws.sites.plan_sites import plan_sites
from ..screws.sites.request import PEDICLE, SiteRequest
from .asked import options_of
from .screw_edits import bones_of, fields_of, level_of, way_to_surface_mm, with_screw

#: The entry is put on the bone's surface where that lies so far behind the click, or before it, along the line.
_BEHIND_MM, _BEFORE_MM = 25.0, 40.0
#: A line that passes so far off a pedicle's border is not meant to go through it.
_OFF_PEDICLE_MM = 4.0
#: The tip reaches so far beyond the pedicle's middle at least.
_BEYOND_PEDICLE_MM = 4.0
#: Diameters of a screw outside pedicles (as `sites.request` has them), and whole steps of its length.
_FREE_DIAMETERS_MM = (3.5, 4.5, 6.5, 7.3)
_FREE_STEP_MM = 5.0


def placed_between(case: Case, entry_click_ras: ArrayLike, tip_click_ras: ArrayLike) -> Case:
    """Return the case with a screw from one marked point to the other, its entry on the surface of the bone there.

    Through a pedicle it is that pedicle's screw, in place of one that is there; anywhere else one of the site ``free``.
    It is as thick as the bone allows with the clearance that the plan wishes, and as long as the line, to the nearest
    size that there is.

    Parameters
    ----------
    entry_click_ras, tip_click_ras
        (3,), RAS mm, near the bone's surface and within the bone.

    Raises
    ------
    InputError
        When the line meets no bone, or no surface is near the first point.
    """
    ready = fields_of(case)
    bones = bones_of(ready)
    first, tip = (np.asarray(p, dtype=np.float64) for p in (entry_click_ras, tip_click_ras))
    if first.shape != (3,) or tip.shape != (3,) or not np.isfinite([first, tip]).all():
        raise InputError("entry and tip are not two points", "Mark them again.", where="new screw")
    if np.linalg.norm(tip - first) < LENGTH_RANGE_MM[0]:
        raise InputError("entry and tip lie together", "Mark the tip deeper in the bone.", where="new screw")
    met = bones_along(bones.segmentation, first, tip)
    if not met:
        raise InputError(
            "the line between the two points meets no bone",
            "Mark the entry on a bone, and the tip within it.",
            where="new screw",
        )
    axis = unit(tip - first)
    shift = way_to_surface_mm(
        lambda points: depth_in_bone_mm(bones, met[0].name, points), first, axis, (-_BEHIND_MM, _BEFORE_MM)
    )
    if shift is None:
        raise InputError(
            f"no surface of {met[0].name} lies within {_BEHIND_MM:g} mm behind the entry",
            "Mark the entry nearer to the surface.",
            where="new screw",
        )
    entry = first + shift * axis
    if np.linalg.norm(tip - entry) < LENGTH_RANGE_MM[0]:
        raise InputError("the tip does not lie within the bone", "Mark it deeper.", where="new screw")
    pedicle = _pedicle_of(ready, met, entry, tip)
    new = _free_screw(ready, entry, tip) if pedicle is None else _pedicle_screw(ready, *pedicle, entry, tip)
    return with_screw(ready, replace(new, by_hand=True))


def planned_at(
    case: Case,
    site: str,
    level: str = "",
    sides: Sequence[str] = (),
    progress: Progress = no_progress,
    *,
    trajectory: str = "",
    landmarks: Mapping[str, Point] | None = None,
) -> Case:
    """Return the case with the screws of one site planned, in place of those there.

    Parameters
    ----------
    site
        ``pedicle`` or a name of `Resources/Sites`.
    level
        The vertebra, for pedicles.
    sides
        ``left``, ``right``; empty takes both.
    trajectory
        Of pedicles (`screws.pedicle_ways.WAYS`); empty takes that of the plan.
    landmarks
        Points that a user placed for the site (`SiteRequest.landmark_names`), RAS mm.

    Raises
    ------
    MSKError
        When there is no such place, or it holds no screw; the reason is said.
    """
    ready = fields_of(case)
    bones, options = bones_of(ready), options_of(case.plan)
    asked = replace(options, error_budget=str(_budget_name(case)))
    if trajectory and trajectory != options.trajectory:
        asked = with_trajectory(asked, trajectory)
    if site == PEDICLE:
        found = plan_levels(
            ready.ct, ready.segmentation, options=asked, levels=[level], fields=bones, progress=progress
        )
        screws = [s for s in with_facet_joints(found.screws, ready.segmentation) if not sides or s.side in sides]
        skipped = [s for s in found.skipped if not sides or s.side in (None, *sides)]
    else:
        request = SiteRequest(site, tuple(sides), landmarks=landmarks or {})
        planned = plan_sites(ready.ct, ready.segmentation, [request], options=asked, progress=progress)
        screws, skipped = list(planned.screws), list(planned.skipped)
    if not screws:
        reasons = "; ".join(str(s) for s in skipped) or f"there is no pedicle on the {' and '.join(sides)}"
        raise GeometryError(f"no screw could be planned: {reasons}", where=f"{site} {level}".strip())
    out = ready
    for screw in screws:
        out = with_screw(out, screw)
    notes = tuple(str(s) for s in skipped if str(s) not in out.plan.notes)
    return replace(out, plan=replace(out.plan, notes=(*out.plan.notes, *notes))) if notes else out


def new_screws(before: Case | None, after: Case) -> tuple[str, ...]:
    """Return the names of the screws that one case has and the one before it had not, or had elsewhere or in another size."""
    old = set() if before is None else {_body(s) for s in before.plan.screws}
    return tuple(s.name for s in after.plan.screws if _body(s) not in old)


# ---------------------------------------------------------------------------------------------------- in detail
def _body(screw: Screw) -> tuple[object, ...]:
    return screw.name, screw.entry_ras, screw.tip_ras, screw.diameter_mm, screw.by_hand


def _budget_name(case: Case) -> str:
    return str((case.plan.parameters.get("screws") or {}).get("error_budget", ""))


def _pedicle_of(
    case: Case, met: Sequence[Segment], entry: FloatArray, tip: FloatArray
) -> tuple[PreparedLevel, str] | None:
    """Return the vertebra and the side whose pedicle a line runs through; None where it runs through none."""
    for segment in (s for s in met if s.kind == "vertebra"):
        try:
            at = level_of(case, segment.name)
        except MSKError:  # cut off by the image, or without pedicles: its screws are measured as any bone's
            continue
        side = side_of_pedicle(at.frame, entry, tip)
        if side:
            return at, side
    return None


def side_of_pedicle(frame: VertebraFrame, entry_ras: FloatArray, tip_ras: FloatArray) -> str:
    """Return the side of the pedicle that a screw runs forwards through or close by; empty where it does not."""
    start, end = frame.to_frame(entry_ras), frame.to_frame(tip_ras)
    way = unit(end - start)
    if way[1] <= LEAST_FORWARDS:
        return ""
    found: dict[str, float] = {}
    for side, pedicle in frame.pedicles.items():
        centre = frame.to_frame(pedicle.centre_ras)
        if start[1] >= centre[1] or end[1] < centre[1] + _BEYOND_PEDICLE_MM:
            continue
        passes = start + (centre[1] - start[1]) / way[1] * way
        found[side] = float(np.linalg.norm(passes - centre)) - pedicle.width_mm / 2
    nearest = min(found, key=lambda side: found[side], default="")
    return nearest if nearest and found[nearest] <= _OFF_PEDICLE_MM else ""


def _pedicle_screw(case: Case, at: PreparedLevel, side: str, entry: FloatArray, tip: FloatArray) -> Screw:
    table, options = load_implants(), options_of(case.plan)
    others = [s for s in case.plan.screws if s.name != f"{at.level} {side}"]

    def of(diameter_mm: float) -> Screw:
        lengths = np.array(table.lengths_mm(diameter_mm))
        length = float(lengths[np.abs(lengths - np.linalg.norm(tip - entry)).argmin()])
        end = entry + length * unit(tip - entry)
        return evaluate_screw(at, entry, end, diameter_mm, side, options=options, others=others)

    return _thickest(of, table.diameters_mm, options.wished_clearance_mm)


def _free_screw(case: Case, entry: FloatArray, tip: FloatArray) -> Screw:
    taken = {s.name for s in case.plan.screws}
    name = next(n for n in (f"Free {i}" for i in range(1, len(taken) + 2)) if n not in taken)
    marked_mm = float(np.linalg.norm(tip - entry))
    length = max(_FREE_STEP_MM, _FREE_STEP_MM * round(marked_mm / _FREE_STEP_MM))
    end = entry + min(length, LENGTH_RANGE_MM[1]) * unit(tip - entry)
    options = options_of(case.plan)

    def of(diameter_mm: float) -> Screw:
        return evaluate_free(bones_of(case), entry, end, diameter_mm, name, options=options, others=case.plan.screws)

    return _thickest(of, _FREE_DIAMETERS_MM, options.wished_clearance_mm)


def _thickest(of: Callable[[float], Screw], diameters_mm: Sequence[float], wished_mm: float) -> Screw:
    """Return the thickest screw with the wished clearance; else the thickest within bone; else the thinnest."""
    made = [of(d) for d in sorted(diameters_mm)]
    for least_mm in (wished_mm, 0.0):
        good = [s for s in made if s.clearance_mm >= least_mm]
        if good:
            return good[-1]
    return made[0]
