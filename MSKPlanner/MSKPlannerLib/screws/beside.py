"""What lies beside a screw: other screws and the structures at risk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from MSKFusionLib.errors import ProcessingError
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segmentation

from ..plan import Screw
from .implants import ImplantTable
from .measures import gap_mm
from .structures import structure_distances

#: Left between the two screws of a vertebra, whose tips converge.
_BETWEEN_SCREWS_MM = 1.0


def with_neighbours(screws: Sequence[Screw]) -> list[Screw]:
    """Return screws with the nearest other one of each; two that meet are rejected."""
    cylinders = [(s.entry_ras, s.tip_ras, s.diameter_mm) for s in screws]
    out = []
    for n, screw in enumerate(screws):
        gaps = [(gap_mm(cylinders[n], other), m) for m, other in enumerate(cylinders) if m != n]
        if not gaps:
            out.append(screw)
            continue
        nearest_mm, m = min(gaps)
        screw = replace(screw, nearest_screw=screws[m].name, nearest_screw_mm=nearest_mm)
        if nearest_mm < 0:
            meets = f"it meets the screw {screws[m].name} by {-nearest_mm:.1f} mm"
            screw = replace(screw, verdict=Verdict.REJECTED, reasons=(*screw.reasons, meets))
        out.append(screw)
    return out


def with_structures(screw: Screw, segmentation: Segmentation) -> Screw:
    """Return a screw with its distances to the structures at risk; one that runs into any is rejected."""
    found = structure_distances(segmentation, screw.entry_ras, screw.tip_ras, screw.diameter_mm)
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
