"""The solid of a guide of which only the mesh is at hand: read from its file, or made by its recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ..mesh import Mesh
from ..plan import Guide


@dataclass(frozen=True)
class KeptOptions:
    """Of what a guide was asked to be, the printer: its recipe has the rest."""

    printer: str


@dataclass(frozen=True, eq=False)
class KeptSolid:
    """The solid of a guide as its file holds it (`pipeline.PrintedSolid`)."""

    mesh: Mesh
    options: KeptOptions


def kept_solid(guide: Guide, mesh: Mesh) -> KeptSolid:
    """Return the solid of a guide for the printer that it was designed for."""
    options = {} if guide.recipe is None else guide.recipe.options
    return KeptSolid(mesh, KeptOptions(str(options.get("printer") or "sla")))
