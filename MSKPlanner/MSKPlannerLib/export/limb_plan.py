"""The plan document of a leg's correction, and the files of its fragments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation import Segmentation

from ..anatomy.leg import LegPoints
from ..mesh import Mesh
from ..osteotomy.cut_risks import with_structures
from ..osteotomy.planned import AskedCut, limb_record, plan_cuts, with_files
from ..pipeline import rejections
from ..plan import Plan
from ..records import describe_surface, new_plan
from .mesh_files import write_stl


def limb_plan(
    leg: LegPoints, bones: Mapping[str, Mesh], asked: Sequence[AskedCut], parameters: Mapping[str, Any],
    reasons: Sequence[str] = (), segmentation: Segmentation | None = None,
) -> tuple[Plan, dict[str, Mesh]]:  # fmt: skip
    """Carry the cuts of a leg out and write them down.

    Parameters
    ----------
    bones
        By ``femur``, ``tibia``, ``fibula``, ``talus``; those that there are.
    parameters
        What was asked, for the document.
    reasons
        Why the plan is rejected apart from what its own fragments show.
    segmentation
        Where the structures at risk are; None: not known.

    Returns
    -------
    plan, meshes
        The document, and the surfaces of its fragments' files (as they lie in the image) by the files' names.
    """
    limb = limb_record(leg.landmarks, {b: b for b in bones}, leg.origin, (*leg.not_found, *leg.notes))
    cuts = plan_cuts(asked, bones, limb)
    osteotomies, meshes = [], {}
    for cut in cuts:
        assert cut.solids is not None
        files = {n: f"{cut.record.bone}_{_FILE_WORDS[n]}.stl" for n in cut.solids}
        meshes.update({files[n]: mesh for n, mesh in cut.solids.items()})
        record = with_files(cut.record, files)
        if segmentation is not None:
            record = with_structures(record, bones[record.bone], segmentation)
        osteotomies.append(record)
    inputs = [describe_surface(name, mesh) for name, mesh in bones.items()]
    plan_id = f"plan-{''.join(i['mesh_sha256'][:3] for i in inputs)}"
    why = tuple(dict.fromkeys((*reasons, *rejections(osteotomies))))
    plan = replace(
        new_plan(plan_id, inputs, {"limb": dict(parameters)}),
        osteotomies=tuple(osteotomies),
        limb=limb,
        verdict=Verdict.REJECTED if why else Verdict.ACCEPTED,
        reasons=why,
    )
    return plan, meshes


#: What the fragments' files are called, as they lie in the image.
_FILE_WORDS = {"staying": "staying", "moved": "moved_before", "wedge": "wedge"}


def write_fragments(plan: Plan, meshes: Mapping[str, Mesh], folder: Path) -> None:
    """Write each fragment as it lies in the image, and those that are put elsewhere also as planned (``_after``)."""
    for osteotomy in plan.osteotomies:
        for fragment in osteotomy.fragments:
            mesh, motion = meshes[fragment.file], np.array(fragment.image_to_planned_ras)
            write_stl(mesh, folder / fragment.file)
            if fragment.name != "wedge" and not np.array_equal(motion, np.eye(4)):
                after = fragment.file.replace("_before", "").replace(".stl", "_after.stl")
                write_stl(mesh.transformed(motion), folder / after)
