"""What the plan document says of guides with several slots, and of templates of holes: resections, facets, domes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .guides.facets import hinge_of
from .guides.pin_guide import PinGuide
from .guides.recipe import dome_line, recipe_of
from .guides.slots_guide import SlotsGuide
from .plan import Guide, Point
from .plan_osteotomy import Osteotomy
from .records import described, drilled_depth


def describe_slots_guide(
    kind: str, name: str, bone: str, solid: SlotsGuide, inputs: Mapping[str, str], asked: Mapping[str, Any]
) -> Guide:
    """Return the document's entry of a guide with several slots.

    Parameters
    ----------
    kind
        Of its recipe (`plan.GuideRecipe`).
    asked
        What its recipe keeps besides the dimensions and the planes.
    """
    options: dict[str, Any] = {**vars(solid.options), "label": solid.label, **asked}
    recipe = recipe_of(
        kind, options, inputs, cuts=[f.cut for f in solid.faces], insertion_direction_ras=solid.asked_direction
    )
    said = (*solid.sayings, f"the blade can tilt by {solid.tilt_deg:.1f} degrees in a slot")
    return described(name, bone, solid, recipe, said)


def describe_facets_guide(
    name: str, bone: str, solid: SlotsGuide, inputs: Mapping[str, str], osteotomy: Osteotomy, approach_ras: Point
) -> Guide:
    """Return the document's entry of a guide for the facets of a cut."""
    asked: dict[str, Any] = {"approach_ras": list(approach_ras)}
    hinge = hinge_of(osteotomy)
    if hinge is not None:
        asked["hinge"] = {"point_ras": list(hinge.point_ras), "beyond_ras": list(hinge.normal_ras)}
    return describe_slots_guide("facets", name, bone, solid, inputs, asked)


def describe_dome_guide(
    name: str,
    bone: str,
    label: str,
    made: PinGuide,
    inputs: Mapping[str, str],
    osteotomy: Osteotomy,
    approach_ras: Point,
) -> Guide:
    """Return the document's entry of a template of holes along a dome's arc."""
    arc = {"dome_of": osteotomy.name, "dome": dome_line(osteotomy), "approach_ras": list(approach_ras)}
    options: dict[str, Any] = {**vars(made.solid.options), "label": label, **arc}
    direction = made.solid.asked_direction
    recipe = recipe_of("dome", options, inputs, insertion_direction_ras=direction)
    said = (
        "leave a wire in the first and the last hole while the others are drilled, then join the holes with an osteotome",
        *(drilled_depth(s, p) for s, p in zip(made.solid.sleeves, made.pins, strict=True)),
    )
    return described(name, bone, made.solid, recipe, said)
