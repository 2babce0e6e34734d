"""The fragments of a case's osteotomies as files and as bodies of the report."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ..colours import BONE_COLOUR, MOVED_COLOUR, judged_colour
from ..editing.cut_bones import surface_of
from ..mesh import Mesh
from ..osteotomy.planned import asked_of, parts_of, with_files
from ..pipeline import Case
from ..plan import Plan
from .report import Body


def fragment_files(case: Case) -> tuple[Plan, dict[str, Mesh]]:
    """Return a case's plan with the names of its fragments' files in it, and what goes into them: as they lie in the image."""
    records, meshes = [], {}
    for record in case.plan.osteotomies:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", record.bone).strip("_") or "bone"
        parts = parts_of(surface_of(case, record.bone), asked_of(record).shape)
        solids = {"staying": parts.staying, "moved": parts.moved, "wedge": parts.wedge}
        files = {f.name: f"fragments/{stem}_{f.name}.stl" for f in record.fragments}
        meshes.update({files[n]: mesh for n, mesh in solids.items() if n in files and mesh is not None})
        records.append(with_files(record, files))
    return replace(case.plan, osteotomies=tuple(records)), meshes


def fragment_bodies(case: Case) -> list[Body]:
    """Return the fragments where they shall be, for the report's view."""
    plan, meshes = fragment_files(case)
    bodies = []
    for record in plan.osteotomies:
        for fragment in record.fragments:
            if fragment.name == "wedge":
                continue
            colour = judged_colour(MOVED_COLOUR, record.verdict) if fragment.name == "moved" else BONE_COLOUR
            placed = meshes[fragment.file].transformed(np.array(fragment.image_to_planned_ras))
            bodies.append(Body(f"{record.bone}, {fragment.name}", placed, colour))
    return bodies
