"""The screw of a planned corridor as the plan document has it: measured on its own surface, and said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from MSKFusionLib.frames import FloatArray
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.volume import Volume

from ...bone.depth_field import DepthField
from ...plan import BreachRisk, Screw
from ..breach_risk import PlannedCylinder, breach_risk
from ..candidate_lines import Choice
from ..error_budget import ErrorBudget
from ..safety import DepthFunction, ScrewSurface, assess_surface, path_density, screw_surface
from .description import Site
from .plan_corridor import PlannedCorridor

#: The search goes by the axis; measured on its surface a screw may have so much less than was wished.
_TOLERANCE_MM = 0.1


@dataclass(frozen=True, eq=False)
class Place:
    """Where a corridor's screw is, in words and for the directions of its breaches.

    Parameters
    ----------
    name, level, side
        Of the screw in the plan.
    axes_ras
        3x3: right, anterior and superior of the pelvis as columns.
    from_structures
        Distance from structures that are no segments (canal and foramina as gaps), positive outside them, by name.
    """

    name: str
    level: str
    side: str
    axes_ras: FloatArray
    from_structures: Mapping[str, DepthField] = field(default_factory=dict)


def described_corridor(
    found: PlannedCorridor,
    site: Site,
    place: Place,
    ct: Volume | None,
    budget: ErrorBudget | None,
    remarks: Sequence[str] = (),
) -> Screw:
    """Return the screw of a corridor that holds one.

    Parameters
    ----------
    ct
        For densities, in HU.
    remarks
        What else to know of its bones.
    """
    choice = found.screw
    if choice is None:
        raise ValueError("this corridor holds no screw")
    screw = described_choice(
        choice, found.problem.solid, site, place, ct, budget, [*remarks, found.message, *_room(found)]
    )
    return replace(screw, largest_diameter_mm=found.largest_diameter_mm)


def described_choice(
    choice: Choice,
    bone: DepthField,
    site: Site,
    place: Place,
    ct: Volume | None,
    budget: ErrorBudget | None,
    remarks: Sequence[str] = (),
    *,
    counted_from_mm: float | None = None,
) -> Screw:
    """Return a chosen screw measured on its surface, rejected where it breaches or has less bone round it than its site wishes.

    Parameters
    ----------
    bone
        What counts as bone.
    ct
        For densities, in HU.
    remarks
        First of its notes.
    counted_from_mm
        Along the screw; 0 for one that is sunk in bone, None from behind its entry zone.
    """
    solid = bone.depth_mm
    surface = screw_surface(
        solid, choice.entry_ras, choice.tip_ras, choice.diameter_mm, counted_from_mm=counted_from_mm
    )
    safety = assess_surface(surface)
    breaches = breaches_by_wall(surface, place.axes_ras, place.side)
    reasons: list[str] = []
    if safety.breach_mm > 0:
        way = max(breaches, key=lambda d: breaches[d])
        reasons.append(f"the screw leaves the bone by {safety.breach_mm:.1f} mm ({way})")
    elif safety.clearance_mm < site.clearance_mm - _TOLERANCE_MM:
        reasons.append(f"{safety.clearance_mm:.1f} mm of bone round it, less than the {site.clearance_mm:g} mm wished")
    notes = list(remarks)
    structures = {}
    for name, outside in place.from_structures.items():
        mm = _nearest_mm(surface, outside)
        if mm is None:
            continue
        structures[name] = mm
        if mm < 0:
            reasons.append(f"it runs into {name} by {-mm:.1f} mm")
        elif mm < site.nerve_distance_mm - _TOLERANCE_MM:
            notes.append(f"{name}: {mm:.1f} mm away, less than {site.nerve_distance_mm:g} mm")
    density = None if ct is None else path_density(ct, choice.entry_ras, choice.tip_ras, choice.diameter_mm)
    entry, tip = (tuple(float(c) for c in p) for p in (choice.entry_ras, choice.tip_ras))
    return Screw(
        name=place.name,
        site=site.name,
        level=place.level,
        side=place.side,
        entry_ras=(entry[0], entry[1], entry[2]),
        tip_ras=(tip[0], tip[1], tip[2]),
        diameter_mm=choice.diameter_mm,
        length_mm=choice.length_mm,
        clearance_mm=safety.clearance_mm,
        grade=safety.grade,
        breach_mm=safety.breach_mm,
        breach_direction=max(breaches, key=lambda d: breaches[d]) if breaches else "",
        breaches_mm=breaches,
        structures_mm=structures,
        hu_mean=None if density is None else density.hu_mean,
        hu_min=None if density is None else density.hu_min,
        risk=_risk(solid, choice, counted_from_mm, budget),
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=tuple(reasons),
        notes=tuple(notes),
    )


def breaches_by_wall(surface: ScrewSurface, axes_ras: FloatArray, side: str) -> dict[str, float]:
    """Return how far a screw leaves the bone each way, mm; a way that holds is missing.

    A pelvic screw runs in any direction, so that all six ways of the body occur; ``tip`` is the end of the screw.
    """
    found: dict[str, float] = {}
    arms = surface.points_ras - surface.entry_ras
    along = arms @ surface.axis_ras
    beyond = surface.depths_mm[-surface.cap_count] < 0
    for n in np.flatnonzero(surface.depths_mm < 0):
        across = arms[n] - along[n] * surface.axis_ras
        at_tip = beyond and surface.length_mm - along[n] < 1e-6
        name = "tip" if at_tip else direction_name(across, axes_ras, side)
        found[name] = max(found.get(name, 0.0), -float(surface.depths_mm[n]))
    return found


def direction_name(across: FloatArray, axes_ras: FloatArray, side: str) -> str:
    """Name a direction (3,) by the axis of the body that it is nearest to; without a side right and left stay."""
    parts = across @ axes_ras
    axis = int(np.abs(parts).argmax())
    if axis == 0 and side in ("left", "right"):
        return "lateral" if (parts[0] > 0) == (side == "right") else "medial"
    return (("left", "right"), ("posterior", "anterior"), ("caudal", "cranial"))[axis][int(parts[axis] > 0)]


def _room(found: PlannedCorridor) -> list[str]:
    """Say what else the corridor allows."""
    words = [f"a screw of this diameter may be up to {found.longest_mm:.0f} mm long on this line"]
    if found.angular_tolerance_deg is not None:
        words.append(
            f"it may be turned about its entry by {found.angular_tolerance_deg:.1f} degrees before it meets a wall"
        )
    if found.direction_deg is not None:
        forward, up = found.direction_deg
        words.append(
            f"from the transverse axis {abs(forward):.0f} degrees towards {'anterior' if forward >= 0 else 'posterior'}, "
            f"{abs(up):.0f} towards {'cranial' if up >= 0 else 'caudal'}"
        )
    return words


def _nearest_mm(surface: ScrewSurface, outside: DepthField) -> float | None:
    """Return the least distance of a screw's surface from a structure, None where the map does not reach it."""
    ijk = outside.to_ijk(surface.points_ras)
    mapped = np.all((ijk >= 0) & (ijk <= np.array(outside.shape_ijk) - 1), axis=1)
    return float(outside.depth_mm(surface.points_ras[mapped]).min()) if mapped.any() else None


def _risk(
    depth: DepthFunction, choice: Choice, counted_from_mm: float | None, budget: ErrorBudget | None
) -> BreachRisk | None:
    if budget is None:
        return None
    cylinder = PlannedCylinder(choice.entry_ras, choice.tip_ras, choice.diameter_mm, counted_from_mm=counted_from_mm)
    return breach_risk(depth, cylinder, budget)
