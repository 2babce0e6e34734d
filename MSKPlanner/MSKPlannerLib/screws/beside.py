"""What lies beside a screw: other screws and the structures at risk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.registration.result import Verdict

from ..plan import Screw
from .implants import ImplantTable
from .measures import gap_mm
from .structures import StructureMaps

#: Left between the two screws of a vertebra, whose tips converge.
_BETWEEN_SCREWS_MM = 1.0
#: How a reason begins that speaks of another screw.
_MEETS = "it meets the screw "


def with_neighbours(screws: Sequence[Screw]) -> list[Screw]:
    """Return screws with the nearest other one of each; two that meet are rejected. What was said of it before is replaced."""
    cylinders = [(s.entry_ras, s.tip_ras, s.diameter_mm) for s in screws]
    gaps = {(n, m): gap_mm(cylinders[n], cylinders[m]) for n, m in itertools.combinations(range(len(screws)), 2)}
    return [
        beside(screw, {screws[m].name: gaps[min(n, m), max(n, m)] for m in range(len(screws)) if m != n})
        for n, screw in enumerate(screws)
    ]


def beside(screw: Screw, gaps_mm: Mapping[str, float]) -> Screw:
    """Return a screw with the nearest of the others (free distance by name); what was said of it before is replaced."""
    reasons = tuple(r for r in screw.reasons if not r.startswith(_MEETS))
    if reasons != screw.reasons:
        screw = replace(screw, verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED, reasons=reasons)
    if not gaps_mm:
        return replace(screw, nearest_screw="", nearest_screw_mm=None)
    nearest = min(gaps_mm, key=lambda name: gaps_mm[name])
    screw = replace(screw, nearest_screw=nearest, nearest_screw_mm=gaps_mm[nearest])
    if gaps_mm[nearest] >= 0:
        return screw
    meets = f"{_MEETS}{nearest} by {-gaps_mm[nearest]:.1f} mm"
    return replace(screw, verdict=Verdict.REJECTED, reasons=(*reasons, meets))


def with_structures(screw: Screw, structures: StructureMaps) -> Screw:
    """Return a screw with its distances to the structures at risk; one that runs into any is rejected."""
    found = structures.distances(screw.entry_ras, screw.tip_ras, screw.diameter_mm)
    into = [f"it runs into {s.name} by {-s.distance_mm:.1f} mm" for s in found if s.distance_mm < 0]
    close = [
        f"{s.name} is {s.distance_mm:.1f} mm away, less than {s.margin_mm:g} mm"
        for s in found
        if 0 <= s.distance_mm < s.margin_mm
    ]
    return replace(
        screw,
        structures_mm={s.name: s.distance_mm for s in found},
        # The canal lies against the pedicle: to be in it is what the fifth of Heary's grades is about.
        heary="V" if screw.heary == "IV" and into else screw.heary,
        verdict=Verdict.REJECTED if into else screw.verdict,
        reasons=(*screw.reasons, *into),
        notes=(*screw.notes, *close),
    )


def tips_apart(screws: list[Screw], implants: ImplantTable, plan: Callable[[str, ImplantTable], Screw]) -> list[Screw]:
    """Return the screws of one vertebra so that their tips do not meet: the longer one is planned anew, shorter, until they do not.

    Parameters
    ----------
    plan
        Plans the screw of a side with the sizes of a table.
    """
    while len(screws) == 2:
        ends = [(s.entry_ras, s.tip_ras, s.diameter_mm) for s in screws]
        longest = max(s.length_mm for s in screws)
        shorter = tuple(size for size in implants.sizes_mm if size[1] < longest - 1e-6)
        if gap_mm(ends[0], ends[1]) >= _BETWEEN_SCREWS_MM or not shorter:
            break
        table = ImplantTable(implants.name, shorter)
        try:
            screws = [plan(s.side, table) if s.length_mm >= longest - 1e-6 else s for s in screws]
        except ProcessingError:
            break  # none so short reaches the body: that they meet is said
    return screws
