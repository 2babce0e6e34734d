"""A chosen pedicle screw measured on its own surface, and said in words: what holds, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MSKFusionLib.frames import unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.volume import Volume

from ..anatomy.pedicle import Pedicle
from ..anatomy.vertebra import VertebraFrame
from ..bone.depth_field import DepthField
from ..plan import Screw
from .breach_risk import PlannedCylinder, breach_risk
from .corridor import Corridor
from .error_budget import load_error_budget
from .measures import LOW_DENSITY_HU, body_density_hu, heary_grade, screw_angles_deg, wall_breaches
from .options import ScrewOptions
from .safety import assess_surface, path_density, screw_surface
from .trajectory import Choice

#: So far behind the isthmus the pedicle begins, from where on the clearance counts: farther back the entry's own cortex comes near.
CORRIDOR_BACK_MM = 2.0


@dataclass(frozen=True, eq=False)
class PedicleSide:
    """One pedicle and the bone about it.

    Parameters
    ----------
    ct
        For densities, in HU.
    fine
        The bone where screws run.
    """

    ct: Volume | None
    level: str
    side: str
    frame: VertebraFrame
    fine: DepthField

    @property
    def pedicle(self) -> Pedicle:
        """The pedicle of this side."""
        return self.frame.pedicles[self.side]


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
    axis = (choice.tip_ras - choice.entry_ras) / choice.length_mm
    to_isthmus = float((pedicle.centre_ras - choice.entry_ras) @ frame.anterior_ras / (axis @ frame.anterior_ras))
    planned = PlannedCylinder(
        choice.entry_ras,
        choice.tip_ras,
        choice.diameter_mm,
        counted_from_mm=to_isthmus - CORRIDOR_BACK_MM / float(axis @ frame.anterior_ras),
        axes_ras=frame.axes_ras,
        side=side,
    )
    surface = screw_surface(
        place.fine.depth_mm,
        planned.entry_ras,
        planned.tip_ras,
        planned.diameter_mm,
        counted_from_mm=planned.counted_from_mm,
    )
    safety = assess_surface(surface, axes_ras=frame.axes_ras, side=side)
    to_body_mm = float(
        (frame.to_ras(np.array([0, -0.5 * frame.body_depth_mm, 0])) - choice.entry_ras)
        @ frame.anterior_ras
        / (axis @ frame.anterior_ras)
    )
    walls = wall_breaches(surface, frame.axes_ras, side, to_body_mm)
    convergence_deg, sagittal_deg = screw_angles_deg(choice.entry_ras, choice.tip_ras, frame.axes_ras, side)
    budget = load_error_budget(options.error_budget) if options.error_budget else None
    risk = None if budget is None else breach_risk(place.fine.depth_mm, planned, budget)
    density = None if place.ct is None else path_density(place.ct, choice.entry_ras, choice.tip_ras, choice.diameter_mm)
    room = max(corridor.clearance_mm, choice.diameter_mm / 2 + safety.clearance_mm)
    fitting = [d for d in diameters_mm if d / 2 <= room]
    largest = fitting[-1] if fitting else None
    reasons: list[str] = list(frame.reasons)
    notes: list[str] = [
        f"widest corridor: {2 * corridor.clearance_mm:.1f} mm through the pedicle "
        f"(no other is wider than {2 * corridor.bound_mm:.1f} mm)"
    ]
    body_hu = None if place.ct is None else body_density_hu(place.ct, frame)
    if body_hu is not None and body_hu < LOW_DENSITY_HU:
        notes.append(
            f"low density: {body_hu:.0f} HU in the body of {level}, below {LOW_DENSITY_HU:.0f} (Pickhardt 2013; holds for CT "
            "at 120 kV without contrast medium)"
        )
    if obstructed:
        notes.append("another vertebra lies in the straight way to the entry: it has to be passed or taken down")
    if narrow and safety.clearance_mm < options.wished_clearance_mm:
        fits = (
            f"the largest screw that fits is {largest:g} mm"
            if largest
            else f"no screw fits, not even {diameters_mm[0]:g} mm"
        )
        text = f"the {side} pedicle of {level} is {pedicle.width_mm:.1f} mm wide; {fits}"
        if safety.clearance_mm < options.minimum_clearance_mm:
            reasons.append(f"{text}, with {safety.clearance_mm:.1f} mm of bone round {choice.diameter_mm:g} mm")
        else:
            notes.append(f"{text}; less than the wished {options.wished_clearance_mm:g} mm of bone round it")
    elif safety.breach_mm > 0:
        reasons.append(f"the screw leaves the bone by {safety.breach_mm:.1f} mm {safety.breach_direction}")
    entry, tip = (tuple(float(c) for c in p) for p in (choice.entry_ras, choice.tip_ras))
    return Screw(
        name=f"{level} {side}",
        site="pedicle",
        level=level,
        side=side,
        entry_ras=(entry[0], entry[1], entry[2]),
        tip_ras=(tip[0], tip[1], tip[2]),
        diameter_mm=choice.diameter_mm,
        length_mm=choice.length_mm,
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
        body_hu=body_hu,
        pedicle_width_mm=pedicle.width_mm,
        largest_diameter_mm=largest,
        risk=risk,
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=tuple(reasons),
        notes=tuple(notes),
    )


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
