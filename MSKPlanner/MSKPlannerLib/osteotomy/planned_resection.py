"""A planned resection as the plan document keeps it, and carried out again from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import as_point
from MSKFusionLib.registration.result import Verdict

from ..guides.field import MeshDistance
from ..guides.recipe import mesh_sha256
from ..mesh import Mesh
from ..plan_resection import ResectionCut, ResectionPart, ResectionRecord
from .plane import Plane
from .resection import Resection
from .resection_solids import ResectionSolids, resection_solids


def resection_record(plan: Resection, bone: str, notes: Sequence[str] = ()) -> tuple[ResectionRecord, dict[str, Mesh]]:
    """Return a resection's record and its parts by their names.

    Parameters
    ----------
    bone
        What the bone is called.
    notes
        What is to be known besides the plan's own, as of the registration.
    """
    meshes = part_meshes(plan.solids, plan.tumour)
    budget, erred = plan.options.budget, plan.after_errors
    middle = plan.tumour.vertices_ras.mean(axis=0)
    cuts = tuple(
        ResectionCut(
            name=c.name,
            point_ras=as_point(c.plane.projected(middle)),
            normal_ras=as_point(c.plane.normal_ras),
            kerf_mm=plan.options.kerf_mm,
            margin_mm=c.surface.least_mm,
            margin_ras=as_point(c.surface.least_ras),
            area_mm2=c.surface.mesh.area_mm2,
            saw_direction_ras=as_point(c.saw.direction_ras),
            saw_depth_mm=c.saw.depth_mm,
            off_approach_deg=c.saw.off_approach_deg,
        )
        for c in plan.cuts
    )
    reasons = []
    if not plan.margin_kept:
        reasons.append(f"the margin is {plan.margin_mm:.2f} mm, {plan.options.margin_mm:g} mm are wished")
    record = ResectionRecord(
        name=f"{bone} resection",
        bone=bone,
        wished_mm=plan.options.margin_mm,
        travel_ras=as_point(plan.options.travel_ras),
        cuts=cuts,
        parts=tuple(ResectionPart(n, m.volume_mm3, "", mesh_sha256(m)) for n, m in meshes.items()),
        margin_mm=plan.margin_mm,
        margin_ras=as_point(plan.margin_ras),
        healthy_mm3=plan.healthy_mm3,
        tumour_in_bone_mm3=plan.tumour_in_bone_mm3,
        margin_after_errors_mm=erred.low_mm,
        kept_probability=erred.kept_probability,
        breached_probability=erred.breached_probability,
        budget=(budget.registration_error_mm, budget.place_sd_mm, budget.turn_sd_deg, budget.tumour_sd_mm),
        bone_sha256=mesh_sha256(plan.bone),
        tumour_sha256=mesh_sha256(plan.tumour),
        verdict=Verdict.REJECTED if reasons else Verdict.ACCEPTED,
        reasons=tuple(reasons),
        notes=(*notes, *plan.notes),
    )
    return record, meshes


def solids_of(record: ResectionRecord, bone: Mesh, tumour: Mesh) -> ResectionSolids:
    """Carry the cuts of a record out on the surfaces that it was planned on.

    Raises
    ------
    InputError
        When these are others.
    """
    for mesh, planned, what in ((bone, record.bone_sha256, "bone"), (tumour, record.tumour_sha256, "tumour")):
        if mesh_sha256(mesh) != planned:
            raise InputError(
                f"this is not the surface of the {what} that the resection was planned on",
                "Give the one that was planned on, or plan again.",
                where=record.name,
            )
    planes = [Plane(np.array(c.point_ras), np.array(c.normal_ras)) for c in record.cuts]
    kerf = record.cuts[0].kerf_mm if record.cuts else 0.0
    return resection_solids(bone, tumour, MeshDistance(tumour), planes, record.wished_mm, kerf)


def part_meshes(solids: ResectionSolids, tumour: Mesh) -> dict[str, Mesh]:
    """Return the parts by their names in a record; without dust where the saw has no thickness."""
    parts = {"specimen": solids.specimen, "remaining": solids.remaining, "dust": solids.kerf, "tumour": tumour}
    return {n: m for n, m in parts.items() if len(m.faces)}


def with_part_files(record: ResectionRecord, files: Mapping[str, str]) -> ResectionRecord:
    """Return a record whose parts lie in files, by the parts' names."""
    return replace(record, parts=tuple(replace(p, file=files.get(p.name, "")) for p in record.parts))
