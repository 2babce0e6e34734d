"""The guide of a planned resection: a slot on every plane, wires in the bone that stays, in one body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import FloatArray, unit
from MSKFusionLib.progress import Progress, no_progress

from ..bone.mesh_depth import split_triangles
from ..guides.cut_options import CuttingGuideOptions
from ..guides.recipe import cut_name
from ..guides.sawn_face import SawnFace
from ..guides.slots_guide import SlotsGuide, design_slots_guide
from ..mesh import Mesh
from ..plan import GuideCut, Point
from ..plan_resection import ResectionCut, ResectionRecord
from .plane import Plane, direction_of
from .planned_resection import solids_of

#: Points of a face lie no farther apart than this.
_FACE_MM = 1.5
_ON_PLANE_MM = 1e-4
#: An approach this far out of a plane leads no saw along it.
_OUT_OF_PLANE_DEG = 60.0


def design_resection_guide(
    record: ResectionRecord,
    bone: Mesh,
    tumour: Mesh,
    options: CuttingGuideOptions | None = None,
    *,
    cuts: Sequence[str] = (),
    approach_ras: Point | None = None,
    label: str = "R1",
    neighbours: Sequence[Mesh] = (),
    insertion_direction_ras: Point | None = None,
    progress: Progress = no_progress,
) -> SlotsGuide:
    """Design the guide of a resection's planes.

    The specimen's face stays where it is planned: the slot's middle lies half the saw beside it, in the bone that stays. What
    the guide touches, and its wires, keep off the tumour, and the wires off all that is taken out.

    Parameters
    ----------
    bone, tumour
        The surfaces that the resection was planned on.
    cuts
        Names of the planes that it is for; none: all.
    approach_ras
        From the bone to the surgeon; None: every saw goes in as the plan has found it free.

    Raises
    ------
    InputError
        When a surface is another, or there is no such plane.
    GeometryError
        When a plane cannot be reached from the side of the others.
    ProcessingError
        When no sound solid comes of it; the message names the operation and the place.
    """
    wish = CuttingGuideOptions() if options is None else options
    progress(0.0, f"{label}: faces of the resection")
    faces = faces_of_resection(record, bone, tumour, wish, cuts, approach_ras)
    return design_slots_guide(
        bone,
        faces,
        wish,
        label=label,
        neighbours=[tumour, *neighbours],
        leaves=[GuideCut(cut_name(record, c), c.point_ras, c.normal_ras) for c in record.cuts],
        insertion_direction_ras=insertion_direction_ras,
        progress=progress,
    )


def saw_options(options: CuttingGuideOptions, record: ResectionRecord) -> CuttingGuideOptions:
    """Return options with the saw that a resection is planned for."""
    kerf = max((c.kerf_mm for c in record.cuts), default=0.0)
    return replace(options, kerf_mm=kerf) if kerf else options


def asked_of_resection(record: ResectionRecord, cuts: Sequence[str], approach_ras: Point | None) -> dict[str, Any]:
    """Return what the recipe of a resection's guide keeps besides dimensions and planes."""
    return {
        "resection": record.name,
        "cuts": list(cuts),
        "approach_ras": None if approach_ras is None else list(approach_ras),
        "planned_kerf_mm": max((c.kerf_mm for c in record.cuts), default=0.0),
    }


def faces_of_resection(
    record: ResectionRecord,
    bone: Mesh,
    tumour: Mesh,
    options: CuttingGuideOptions,
    cuts: Sequence[str] = (),
    approach_ras: Point | None = None,
) -> tuple[SawnFace, ...]:
    """Return the sawn faces of a resection; parameters as `design_resection_guide`."""
    known = ", ".join(c.name for c in record.cuts)
    gone = [n for n in cuts if n not in {c.name for c in record.cuts}]
    if gone:
        raise InputError(f"the resection has no cut '{gone[0]}'", f"It has: {known}.", where=record.name)
    thick = max(options.kerf_mm, options.blade_thickness_mm)
    planned = max((c.kerf_mm for c in record.cuts), default=0.0)
    if thick > planned + 1e-6:
        raise InputError(
            f"the saw takes {thick:.2f} mm, the resection is planned for {planned:.2f} mm",
            "Plan it with that saw (mskplanner resect --kerf), or choose a thinner blade.",
            where=record.name,
        )
    specimen = solids_of(record, bone, tumour).specimen
    faces = []
    for cut in (c for c in record.cuts if not cuts or c.name in cuts):
        points = _face_points(specimen, Plane(np.array(cut.point_ras), np.array(cut.normal_ras)))
        if not len(points):
            raise GeometryError("the plane bares no bone", "Plan the resection again.", where=cut.name)
        others = (GuideCut(o.name, o.point_ras, o.normal_ras) for o in record.cuts if o is not cut)
        faces.append(
            SawnFace(
                cut=GuideCut(cut_name(record, cut), cut.point_ras, cut.normal_ras),
                outward_ras=_outward(cut, approach_ras),
                points_ras=points,
                limits=tuple(others),
                middle_mm=cut.kerf_mm / 2,
            )
        )
    return tuple(faces)


def _face_points(specimen: Mesh, plane: Plane) -> FloatArray:
    flat = np.abs(plane.height_mm(specimen.vertices_ras)) < _ON_PLANE_MM
    own = flat[specimen.faces].all(axis=1) & (specimen.face_area_vectors @ plane.normal_ras > 0)
    if not own.any():
        return np.empty((0, 3))
    face = split_triangles(Mesh(specimen.vertices_ras, specimen.faces[own]), _FACE_MM)
    return np.asarray(face.vertices_ras[np.unique(face.faces)])


def _outward(cut: ResectionCut, approach_ras: Point | None) -> FloatArray:
    """Return the way against the saw of one plane."""
    if approach_ras is None:
        return -np.asarray(cut.saw_direction_ras, dtype=np.float64)
    approach, normal = direction_of(approach_ras, "--approach"), unit(np.array(cut.normal_ras))
    off = float(np.degrees(np.arcsin(np.clip(abs(normal @ approach), 0.0, 1.0))))
    if off > _OUT_OF_PLANE_DEG:
        raise GeometryError(
            f"the approach stands {off:.0f} degrees out of the plane; a saw goes along its plane",
            "Choose the side that the resection was planned for.",
            where=cut.name,
        )
    return unit(approach - (approach @ normal) * normal)
