"""A screw that a user moved: measured as the plan measures its own, and judged in words that name what is wrong.

Nothing is searched for and nothing is corrected here: the screw is taken as it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, perpendicular_axes, transform_points, unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.volume import Volume

from ..plan import Screw
from .beside import beside, with_structures
from .candidate_lines import ways_are_free
from .describe import LEAST_FORWARDS, OBSTRUCTED, WIDEST, breach_in_words, density_note, measured_screw
from .error_budget import ErrorBudget
from .implants import DIAMETER_RANGE_MM, LENGTH_RANGE_MM
from .measures import gap_mm
from .options import ScrewOptions
from .prepared import PreparedLevel
from .safety import cylinder_points

#: An entry may lie so far off the surface, out or in: what a hand on a handle leaves, and what bone there is under a head.
_ENTRY_OFF_MM = 1.5
_ENTRY_SUNK_MM = 3.0
#: Of the axis, so much may lie outside before it is said that the screw misses the bone.
_LEAST_IN_BONE = 0.2
_AXIS_STEP_MM = 0.5


def evaluate_screw(
    at: PreparedLevel,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float,
    side: str,
    *,
    options: ScrewOptions | None = None,
    others: Sequence[Screw] = (),
    before: Screw | None = None,
    budget: ErrorBudget | None = None,
) -> Screw:
    """Measure a pedicle screw where it lies, and say what holds and what does not; a few milliseconds.

    Parameters
    ----------
    at
        The vertebra, of `prepare_level`.
    entry_ras, tip_ras
        RAS mm.
    others
        The other screws of the plan, for the distance to the nearest.
    before
        The screw as it was: its name, and what belongs to the pedicle and not to the screw, are taken over.
    budget
        Also count the breach risk (0.4 s); None leaves it out.

    Returns
    -------
    Screw
        Not reviewed, whatever it was before: another screw than the one that was looked at.

    Raises
    ------
    GeometryError
        When the points are no numbers or lie together, or the vertebra has no pedicle on this side.
    InputError
        When no screw has this size.
    """
    wishes = options or ScrewOptions(error_budget="")
    entry, tip = checked_ends(at.level, entry_ras, tip_ras, diameter_mm)
    place = at.side(side)
    screw = measured_screw(place, entry, tip, float(diameter_mm), budget)
    reasons, notes = list(place.frame.reasons), [*density_note(at.level, screw.body_hu), *screw.notes]
    if before is not None:
        notes[:0] = [note for note in before.notes if note.startswith(WIDEST)]
        largest = before.largest_diameter_mm if before.side == side else None
        screw = replace(screw, name=before.name, largest_diameter_mm=largest, trajectory=before.trajectory)
    ends = ring_ends(entry, tip, diameter_mm)
    in_image = within_image(at.segmentation.labels, ends)
    if not in_image:  # there the edge's value would be taken
        screw = replace(screw, hu_mean=None, hu_min=None)
    reasons += _beyond(at, ends, in_image)
    reasons += _misplaced(at, screw, entry, tip)
    if screw.breach_mm > 0:
        reasons.append(breach_in_words(screw))
    elif screw.clearance_mm < wishes.minimum_clearance_mm:
        reasons.append(
            f"only {screw.clearance_mm:.1f} mm of bone round it, less than the least of {wishes.minimum_clearance_mm:g} mm"
        )
    elif screw.clearance_mm < wishes.wished_clearance_mm:
        notes.append(
            f"{screw.clearance_mm:.1f} mm of bone round it, less than the wished {wishes.wished_clearance_mm:g} mm"
        )
    if not ways_are_free(entry[None], unit(tip - entry)[None], at.coarse, at.neighbours)[0]:
        notes.append(OBSTRUCTED)
    sunk_mm = float(at.fine.depth_mm(entry))
    if sunk_mm > _ENTRY_SUNK_MM:
        notes.append(f"the entry lies {sunk_mm:.1f} mm deep in the bone: the head would not come to lie there")
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    screw = replace(screw, verdict=verdict, reasons=tuple(reasons), notes=tuple(notes))
    screw = beside(screw, {o.name: gap_between_mm(screw, o) for o in others if o.name != screw.name})
    return with_structures(screw, at.structures) if in_image else screw


def checked_ends(
    level: str, entry_ras: ArrayLike, tip_ras: ArrayLike, diameter_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Return entry and tip as arrays, where a screw of this size can be at all.

    Raises
    ------
    GeometryError
        When they are not two points.
    InputError
        When no screw has this size.
    """
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    if entry.shape != (3,) or tip.shape != (3,) or not (np.isfinite(entry).all() and np.isfinite(tip).all()):
        raise GeometryError("entry and tip are not two points", "Give three numbers each, RAS mm.", where=level)
    length = float(np.linalg.norm(tip - entry))
    sizes = ((diameter_mm, DIAMETER_RANGE_MM, "diameter"), (length, LENGTH_RANGE_MM, "length"))
    for value, (low, high), what in sizes:
        if not low <= value <= high:  # not a number is in no range
            raise InputError(f"no screw has a {what} of {value:.1f} mm", f"Give {low:g} to {high:g} mm.", where=level)
    return entry, tip


def _misplaced(at: PreparedLevel, screw: Screw, entry: FloatArray, tip: FloatArray) -> list[str]:
    """Return what is wrong with where a screw lies, before its clearance says anything."""
    frame, level, side = at.frame, at.level, screw.side
    axis = unit(tip - entry)
    along = np.arange(0.0, screw.length_mm, _AXIS_STEP_MM)
    depth = at.fine.depth_mm(entry + along[:, None] * axis)
    forwards = float(axis @ frame.anterior_ras)
    found: list[str] = []
    if (depth > 0).mean() < _LEAST_IN_BONE:
        return [*found, f"it hardly meets the bone of {level}: {100 * (depth > 0).mean():.0f} % of its axis lie in it"]
    if float(depth[0]) < -_ENTRY_OFF_MM:
        found.append(f"the entry lies {-float(depth[0]):.1f} mm off the bone")
    if forwards <= LEAST_FORWARDS:
        turned = " (entry and tip may be swapped)" if forwards < -LEAST_FORWARDS else ""
        return [*found, f"it does not run forwards{turned}"]
    # Where it passes the isthmus: through its own pedicle, the other one, or none.
    centres = {name: frame.to_frame(p.centre_ras) for name, p in frame.pedicles.items()}
    start, way = frame.to_frame(entry), axis @ frame.axes_ras
    aside = {name: _aside_mm(c, start, way) for name, c in centres.items()}
    nearest = min(aside, key=lambda name: aside[name])
    if nearest != side:
        found.append(f"it runs on the {nearest} side and is called {side}")
    if float(frame.to_frame(tip)[1]) < -0.5 * frame.body_depth_mm:
        found.append("its tip does not reach the vertebral body")
    return found


def _aside_mm(centre: FloatArray, start: FloatArray, way: FloatArray) -> float:
    """Return how far from a pedicle's centre a line passes, in the coronal plane there (points in the vertebra's frame)."""
    passes = start + (centre[1] - start[1]) / way[1] * way
    return float(np.linalg.norm(passes - centre))


def _beyond(at: PreparedLevel, ends_ras: FloatArray, in_image: bool) -> list[str]:
    if not in_image:
        return ["it reaches beyond the image: what is there is not known"]
    ijk = at.fine.to_ijk(ends_ras)
    if (ijk >= 0).all() and (ijk <= np.array(at.fine.shape_ijk) - 1).all():
        return []
    return [f"it reaches beyond the part of {at.level} that screws are measured in, and counts as outside bone there"]


def within_image(image: Volume, points_ras: FloatArray) -> bool:
    """Tell whether all points (N, 3) lie in an image."""
    ijk = transform_points(image.ras_to_ijk, points_ras)
    return bool((ijk >= -0.5).all() and (ijk <= np.array(image.shape_ijk) - 0.5).all())


def ring_ends(entry_ras: FloatArray, tip_ras: FloatArray, diameter_mm: float) -> FloatArray:
    """Return points (N, 3) of a screw's surface without which none of it lies farther out: the rings at both ends."""
    entry, axis = entry_ras, unit(tip_ras - entry_ras)
    length = float(np.linalg.norm(tip_ras - entry_ras))
    local, _ = cylinder_points(length, diameter_mm, 0.0, step_mm=length)
    return np.asarray(entry + local @ np.vstack([*perpendicular_axes(axis), axis]))


def gap_between_mm(one: Screw, other: Screw) -> float:
    """Return the free distance between two screws; negative where they meet."""
    return gap_mm((one.entry_ras, one.tip_ras, one.diameter_mm), (other.entry_ras, other.tip_ras, other.diameter_mm))
