"""A chosen pedicle screw measured on its own surface, and said in words: what holds, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from MSKFusionLib.frames import unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.volume import Volume

from ..anatomy.pedicle import Pedicle
from ..anatomy.vertebra import VertebraFrame
from ..bone.depth_field import DepthField
from ..bone.surface_band import SurfaceBand
from ..bone.terraces import USUAL_DOUBT_MM
from ..plan import Screw
from .breach_risk import PlannedCylinder, breach_risk
from .candidate_lines import Choice
from .corridor import Corridor
from .error_budget import ErrorBudget, load_error_budget
from .measures import LOW_DENSITY_HU, body_density_hu, heary_grade, screw_angles_deg, wall_breaches
from .options import ScrewOptions
from .safety import ScrewSafety, assess_surface, path_density, screw_surface

#: So far behind the isthmus the pedicle begins, from where on the clearance counts: farther back the entry's own cortex comes near.
CORRIDOR_BACK_MM = 2.0
#: A screw runs forwards where its direction has at least this share towards anterior (84 degrees off it).
LEAST_FORWARDS = 0.1
#: How the note on the pedicle's corridor begins.
WIDEST = "widest corridor:"
OBSTRUCTED = "another vertebra lies in the straight way to the entry: it has to be passed or taken down"


@dataclass(frozen=True, eq=False)
class PedicleSide:
    """One pedicle and the bone about it.

    Parameters
    ----------
    ct
        For densities, in HU.
    fine
        The bone where screws run.
    band
        How sure its surface is; None without a CT.
    taken_off_mm
        See `prepared.PreparedLevel`.
    """

    ct: Volume | None
    level: str
    side: str
    frame: VertebraFrame
    fine: DepthField
    band: SurfaceBand | None = None
    taken_off_mm: float = 0.0

    @property
    def pedicle(self) -> Pedicle:
        """The pedicle of this side."""
        return self.frame.pedicles[self.side]

    @cached_property
    def body_hu(self) -> float | None:
        """Mean CT value of the trabecular bone of the body."""
        return None if self.ct is None else body_density_hu(self.ct, self.frame)


def measured_screw(
    place: PedicleSide,
    entry_ras: ArrayLike,
    tip_ras: ArrayLike,
    diameter_mm: float,
    budget: ErrorBudget | None = None,
) -> Screw:
    """Measure a pedicle screw on its own surface: every number of it, how sure the surface beside it is, and no verdict yet.

    The planner's screws and those that a user moved are measured here, and nowhere else.

    Parameters
    ----------
    budget
        None leaves the breach risk out, which takes a hundred times as long as all the rest.

    Raises
    ------
    GeometryError
        When the screw has no length, or a size is not a positive number.
    """
    frame, level, side = place.frame, place.level, place.side
    entry, tip = np.asarray(entry_ras, dtype=np.float64), np.asarray(tip_ras, dtype=np.float64)
    length_mm = float(np.linalg.norm(tip - entry))
    axis = (tip - entry) / max(length_mm, 1e-9)
    forwards = float(axis @ frame.anterior_ras)

    def way_to(y_mm: float) -> float:
        """Return how far along the screw a coronal plane of the vertebra is met."""
        return (y_mm - float(frame.to_frame(entry)[1])) / forwards

    # One that hardly runs forwards, as no plan makes but a hand may, meets those planes nowhere: all of it counts as pedicle.
    runs = forwards > LEAST_FORWARDS
    planned = PlannedCylinder(
        entry,
        tip,
        diameter_mm,
        counted_from_mm=way_to(float(frame.to_frame(place.pedicle.centre_ras)[1]) - CORRIDOR_BACK_MM) if runs else None,
        axes_ras=frame.axes_ras,
        side=side,
    )
    surface = screw_surface(
        place.fine.depth_mm, entry, tip, planned.diameter_mm, counted_from_mm=planned.counted_from_mm
    )
    safety = assess_surface(surface, axes_ras=frame.axes_ras, side=side)
    walls = wall_breaches(surface, frame.axes_ras, side, way_to(-0.5 * frame.body_depth_mm) if runs else np.inf)
    convergence_deg, sagittal_deg = screw_angles_deg(entry, tip, frame.axes_ras, side)
    density = None if place.ct is None else path_density(place.ct, entry, tip, diameter_mm)
    return Screw(
        name=f"{level} {side}",
        site="pedicle",
        level=level,
        side=side,
        entry_ras=(float(entry[0]), float(entry[1]), float(entry[2])),
        tip_ras=(float(tip[0]), float(tip[1]), float(tip[2])),
        diameter_mm=diameter_mm,
        length_mm=length_mm,
        clearance_mm=safety.clearance_mm,
        grade=safety.grade,
        breach_mm=safety.breach_mm,
        breach_direction=safety.breach_direction,
        breaches_mm=walls.deepest,
        heary=heary_grade(walls) if level.startswith("T") else "",
        convergence_deg=convergence_deg,
        sagittal_deg=sagittal_deg,
        hu_mean=None if density is None else density.hu_mean,
        hu_min=None if density is None else density.hu_min,
        body_hu=place.body_hu,
        pedicle_width_mm=place.pedicle.width_mm,
        risk=None if budget is None else breach_risk(place.fine.depth_mm, planned, budget),
        notes=(*_label_note(place), *_surface_note(place.band, safety)),
    )


def _label_note(place: PedicleSide) -> tuple[str, ...]:
    """Return what there is to say of a surface that was made without a CT."""
    if place.ct is not None:
        return ()
    open_ = f", and counted up to {place.taken_off_mm:.1f} mm farther in where the slices leave it open"
    return (
        f"no CT: the bone's surface is the label's own, sure to {USUAL_DOUBT_MM:g} mm"
        + (open_ if place.taken_off_mm >= 0.05 else ""),
    )


def _surface_note(band: SurfaceBand | None, safety: ScrewSafety) -> tuple[str, ...]:
    """Return what there is to say of the bone's surface where the screw comes nearest to it."""
    if band is None or safety.breach_mm > 0:
        return ()
    _, (half_width_mm,), (seen,) = band.nearest(np.array([safety.nearest_ras]))
    if not seen:
        return (
            f"no cortex can be seen where the screw comes nearest to the surface: its {safety.clearance_mm:.1f} mm of bone go by "
            "the label alone there",
        )
    if half_width_mm > safety.clearance_mm:
        return (
            f"the surface where the screw comes nearest is sure to {half_width_mm:.1f} mm only: a breach is not excluded",
        )
    return ()


def density_note(level: str, body_hu: float | None) -> tuple[str, ...]:
    """Return what there is to say of a vertebra's density."""
    if body_hu is None or body_hu >= LOW_DENSITY_HU:
        return ()
    return (
        f"low density: {body_hu:.0f} HU in the body of {level}, below {LOW_DENSITY_HU:.0f} (Pickhardt 2013; holds for CT "
        "at 120 kV without contrast medium)",
    )


def described(
    place: PedicleSide,
    corridor: Corridor,
    choice: Choice,
    diameters_mm: Sequence[float],
    options: ScrewOptions,
    *,
    narrow: bool,
    obstructed: bool,
) -> Screw:
    """Measure a chosen screw anew on its surface, and say what holds and what does not.

    Parameters
    ----------
    diameters_mm
        That the table has, thinnest first.
    narrow
        Whether no screw of the table had the wished clearance.
    obstructed
        Whether another vertebra lies in the way to the entry.
    """
    frame, pedicle, level, side = place.frame, place.pedicle, place.level, place.side
    budget = load_error_budget(options.error_budget) if options.error_budget else None
    screw = measured_screw(place, choice.entry_ras, choice.tip_ras, choice.diameter_mm, budget)
    room = max(corridor.clearance_mm, screw.diameter_mm / 2 + screw.clearance_mm)
    fitting = [d for d in diameters_mm if d / 2 <= room]
    largest = fitting[-1] if fitting else None
    reasons: list[str] = list(frame.reasons)
    notes: list[str] = [
        f"{WIDEST} {2 * corridor.clearance_mm:.1f} mm through the pedicle "
        f"(no other is wider than {2 * corridor.bound_mm:.1f} mm)",
        *density_note(level, screw.body_hu),
        *screw.notes,
    ]
    if obstructed:
        notes.append(OBSTRUCTED)
    if narrow and screw.clearance_mm < options.wished_clearance_mm:
        fits = (
            f"the largest screw that fits is {largest:g} mm"
            if largest
            else f"no screw fits, not even {diameters_mm[0]:g} mm"
        )
        text = f"the {side} pedicle of {level} is {pedicle.width_mm:.1f} mm wide; {fits}"
        if screw.clearance_mm < options.minimum_clearance_mm:
            reasons.append(f"{text}, with {screw.clearance_mm:.1f} mm of bone round {screw.diameter_mm:g} mm")
        else:
            notes.append(f"{text}; less than the wished {options.wished_clearance_mm:g} mm of bone round it")
    elif screw.breach_mm > 0:
        reasons.append(breach_in_words(screw))
    return replace(
        screw,
        length_mm=choice.length_mm,
        largest_diameter_mm=largest,
        trajectory=options.trajectory,
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=tuple(reasons),
        notes=tuple(notes),
    )


def breach_in_words(screw: Screw) -> str:
    """Return how far and where a screw leaves the bone."""
    return f"the screw leaves the bone by {screw.breach_mm:.1f} mm {screw.breach_direction}".rstrip()


def of_less_risk(held: Screw, safer: Screw) -> Screw:
    """Return the screw that breaches less often, of the one with most hold and the one moved for its risk, and say so."""
    if held.risk is None or safer.risk is None or safer.risk.probability >= held.risk.probability:
        note = "the path with most hold is also the one of least risk"
        return replace(held, notes=(*held.notes, note))
    apart_mm = float(np.linalg.norm(np.subtract(held.entry_ras, safer.entry_ras)))
    ways = [unit(np.subtract(s.tip_ras, s.entry_ras)) for s in (held, safer)]
    turned_deg = float(np.degrees(np.arccos(np.clip(ways[0] @ ways[1], -1, 1))))
    note = (
        f"least risk: breaches in {safer.risk.probability:.0%} instead of {held.risk.probability:.0%} of cases by the error "
        f"budget; the path with most hold enters {apart_mm:.1f} mm and {turned_deg:.0f} degrees off this one"
    )
    return replace(safer, notes=(*safer.notes, note))
