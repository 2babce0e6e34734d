"""The guide for K-wires on a bone of a case: a row between two marked points, or the axes of screws of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.registration.result import Verdict

from ..guides.field import Distance, distance_to
from ..guides.options import GuideOptions
from ..guides.pin_guide import design_pin_guide
from ..guides.pins import pin_through, row_between
from ..guides.presets import options_for_printer
from ..guides.recipe import inputs_of
from ..mesh import Mesh
from ..pipeline import Case, PrintedSolid, guide_options_of
from ..plan import Guide, GuideScrew, Point, Screw
from ..records import describe_pin_guide, guide_inputs
from .cut_bones import surface_of
from .cut_guides import SAW_FROM, bones_round, label_of

_PRESET = "pin"
#: The entry of a screw lies this near to the surface of the bone that its wire goes into.
_ON_BONE_MM = 2.0


@dataclass(frozen=True)
class PinRequest:
    """What wires are wanted.

    Parameters
    ----------
    bone
        Name of the segment that they go into.
    of_screws
        Along the accepted screws of the plan that enter this bone; else a row between two points.
    first_ras, last_ras
        Where the first and the last wire of a row go in, in the frame of the case's CT; None: not marked yet.
    count, converge_deg, depth_mm
        Of a row (`guides.pins.row_between`).
    come_from
        Of `cut_guides.SAW_FROM`; empty: square to the bone.
    diameter_mm
        Of the wires.
    """

    bone: str = ""
    of_screws: bool = False
    first_ras: Point | None = None
    last_ras: Point | None = None
    count: int = 2
    converge_deg: float = 0.0
    depth_mm: float = 30.0
    come_from: str = ""
    diameter_mm: float = 1.6


def pin_guide_for(
    case: Case, asked: PinRequest, printer: str = "sla", progress: Progress = no_progress
) -> tuple[Guide, PrintedSolid]:
    """Return the guide that leads wires into a bone of a case.

    Raises
    ------
    InputError
        When it is not said what wires, or the plan has no screw for them.
    MSKError
        When no sound solid comes of it.
    """
    if not asked.bone:
        raise InputError("it is not said which bone gets the wires", "Choose it.", where="pin guide")
    progress(0.0, f"Surface of {asked.bone}")
    bone = _surface(case, asked.bone)
    exact = distance_to(bone)
    screws: tuple[Screw, ...] = ()
    if asked.of_screws:
        screws = _screws_into(case, exact, asked.bone)
        pins: tuple[GuideScrew, ...] = _axes(screws)
    else:
        pins = _row(exact, asked)
    options = replace(options_for_printer(_PRESET, printer), drill_diameter_mm=asked.diameter_mm)
    return _designed(case, asked.bone, pins, screws, options, label_of(asked.bone), part(progress, 0.1, 1.0))


def pin_guide_again(case: Case, guide: Guide, progress: Progress = no_progress) -> tuple[Guide, PrintedSolid] | None:
    """Return a pin guide designed again for the bone and the screws as they are now; None where its screws are no more.

    Wires that are not those of screws stay on their lines, each with its tip; where the bone has changed their entries do.

    Raises
    ------
    MSKError
        When the recipe cannot be read, or no sound solid comes of it.
    """
    recipe = guide.recipe
    assert recipe is not None
    known = dict(recipe.options)
    label, written = str(known.pop("label", label_of(guide.level))), known.pop("pins", None)
    options = guide_options_of(known)
    named = {s.name for s in recipe.screws}
    screws = tuple(s for s in case.plan.screws if s.name in named and s.verdict is Verdict.ACCEPTED)
    if named:
        pins = _axes(screws)
    else:
        exact = distance_to(_surface(case, guide.level))
        pins = tuple(pin_through(exact, name, entry, tip) for name, entry, tip in _lines(written, guide.name))
    asked = recipe.insertion_direction_ras
    return _designed(case, guide.level, pins, screws, options, label, progress, asked) if pins else None


# ---------------------------------------------------------------------------------------------------- in detail
def _designed(
    case: Case,
    bone_name: str,
    pins: Sequence[GuideScrew],
    screws: Sequence[Screw],
    options: GuideOptions,
    label: str,
    progress: Progress,
    insertion_direction_ras: Point | None = None,
) -> tuple[Guide, PrintedSolid]:
    bone = _surface(case, bone_name)
    middle = np.mean([p.entry_ras for p in pins], axis=0)
    progress(0.0, f"Bones beside {bone_name}")
    neighbours = [_surface(case, name) for name in bones_round(case, bone_name, middle)]
    made = design_pin_guide(
        bone,
        pins,
        options,
        label=label,
        neighbours=neighbours,
        insertion_direction_ras=insertion_direction_ras,
        progress=part(progress, 0.1, 1.0),
    )
    inputs = {**inputs_of(bone, neighbours), **guide_inputs(case.segmentation, case.ct)}
    return describe_pin_guide(f"{bone_name} pin guide", bone_name, label, made, inputs, screws), made.solid


def _surface(case: Case, bone: str) -> Mesh:
    """Return the surface of a bone: a vertebra's as its drill guide has it, any other's as it is cut."""
    return case.bones[bone] if bone in case.frames and bone in case.bones else surface_of(case, bone)


def _row(bone: Distance, asked: PinRequest) -> tuple[GuideScrew, ...]:
    if asked.first_ras is None or asked.last_ras is None:
        raise InputError(
            "it is not marked where the first and the last wire go in", "Place both points on the bone.", "pin guide"
        )
    if asked.come_from and asked.come_from not in SAW_FROM:
        raise InputError(f"'{asked.come_from}' is no side", f"Choose of: {', '.join(SAW_FROM)}.", where="pin guide")
    return row_between(
        bone,
        asked.first_ras,
        asked.last_ras,
        count=asked.count,
        converge_deg=asked.converge_deg,
        depth_mm=asked.depth_mm,
        outward_ras=SAW_FROM[asked.come_from] if asked.come_from else None,
    )


def _screws_into(case: Case, bone: Distance, name: str) -> tuple[Screw, ...]:
    usable = [s for s in case.plan.screws if s.verdict is Verdict.ACCEPTED]
    off = np.abs(bone.distance_mm(np.array([s.entry_ras for s in usable]))) if usable else np.zeros(0)
    found = tuple(s for s, mm in zip(usable, off, strict=True) if mm <= _ON_BONE_MM)
    if not found:
        raise InputError(
            f"no accepted screw of the plan enters {name}", "Choose another bone, or mark a row.", where="pin guide"
        )
    return found


def _axes(screws: Sequence[Screw]) -> tuple[GuideScrew, ...]:
    return tuple(GuideScrew(s.name, s.entry_ras, s.tip_ras) for s in screws)


def _lines(written: Any, where: str) -> list[tuple[str, list[float], list[float]]]:
    """Read the wires of a recipe: name, entry and tip."""
    try:
        return [(str(p["name"]), [float(v) for v in p["entry_ras"]], [float(v) for v in p["tip_ras"]]) for p in written]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the recipe cannot be read ({type(error).__name__}: {error})", "Design the guide anew.", where
        ) from error
