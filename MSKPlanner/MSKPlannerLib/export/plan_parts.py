"""The parts of a plan that can be exported: guides from their files, bones from the labels, screws from the plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import FloatArray
from MSKFusionLib.progress import Progress, no_progress
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.terminology import structure_colour
from MSKFusionLib.volume import Volume

from ..bone.smooth_bone import BoneFields
from ..bone.surface import surface_of_depth
from ..colours import BONE_COLOUR, GUIDE_COLOUR, SCREW_COLOUR, judged_colour
from ..guides.recipe import mesh_sha256, why_outdated
from ..guides.solid import without_short_edges
from ..mesh import Mesh
from ..plan import Guide, Plan
from ..plan_file import plan_sha256
from ..records import labels_sha256
from ..screws.shape import screw_mesh
from .mesh_files import read_mesh
from .parts import FileNotes, Part

#: Corners of a bone's surface nearer than this become one: single precision keeps no triangle between them.
_SHORT_EDGE_MM = 2e-4
_MAKE_AGAIN = "Make it again (mskplanner guide PLAN --regenerate)."


def plan_notes(plan: Plan, *, allow_outdated: bool = False, guides: Sequence[Guide] = ()) -> FileNotes:
    """Return what the files of a plan say of it.

    Raises
    ------
    InputError
        When a guide is out of date. One that its own checks rejected is written and says so.
    """
    warnings = []
    for guide in guides:
        changed = why_outdated(guide, plan)
        if changed and not allow_outdated:
            raise InputError(
                f"this guide is out of date: {'; '.join(changed)}",
                "Make it again (mskplanner guide --regenerate), or ask for it as it is (export --allow-outdated).",
                where=guide.name,
            )
        if changed:
            warnings.append(f"OUT OF DATE: {guide.name}: {'; '.join(changed)}")
        if guide.verdict is Verdict.REJECTED:
            warnings.append(f"REJECTED: {guide.name}: {'; '.join(guide.reasons)}")
    return FileNotes(plan_sha256(plan), tuple(warnings))


def guide_parts(plan: Plan, folder: Path) -> list[Part]:
    """Return the guides of a plan as their files in its folder hold them.

    Raises
    ------
    InputError
        When a file is missing or is not the guide that the plan describes.
    """
    parts = []
    for guide in plan.guides:
        if not guide.file:
            continue
        parts.append(Part(guide.name, "guide", guide_mesh(guide, folder), judged_colour(GUIDE_COLOUR, guide.verdict)))
    return parts


def guide_mesh(guide: Guide, folder: Path) -> Mesh:
    """Return the solid of a guide as its file in a plan's folder holds it; errors as `guide_parts`."""
    return _described(folder / guide.file, guide.mesh_sha256 or None, "guide", _MAKE_AGAIN)


def screw_parts(plan: Plan) -> list[Part]:
    """Return the screws of a plan as simple bodies: shaft, tip, head."""
    return [Part(s.name, "screw", screw_mesh(s), judged_colour(SCREW_COLOUR, s.verdict)) for s in plan.screws]


def bone_parts(
    plan: Plan, bones: Segmentation, ct: Volume | None = None, *, progress: Progress = no_progress
) -> list[Part]:
    """Return the surfaces of all bones that a plan was made on; with the CT, where the CT shows their cortex to end.

    Raises
    ------
    InputError
        When the labels or the CT are not those of the plan.
    ProcessingError
        When a surface does not close.
    """
    check_labels(plan, bones)
    if ct is not None:
        check_image(plan, ct, "ct")
    fields, parts = BoneFields(bones, ct), []
    wanted = bones.bones
    for n, segment in enumerate(wanted):
        progress(n / len(wanted), f"Surface of {segment.name}")
        mesh = without_short_edges(surface_of_depth(fields.depth(segment.name)), _SHORT_EDGE_MM)
        if not mesh.is_closed:
            raise ProcessingError(f"The surface of {segment.name} does not stay closed in single precision.")
        parts.append(Part(segment.name, "bone", mesh, structure_colour(segment.name, segment.kind)))
    return parts


def check_labels(plan: Plan, bones: Segmentation) -> None:
    """Refuse labels that a plan was not made on (`InputError`)."""
    if (plan.segmentation or {}).get("labels_sha256") != labels_sha256(bones):
        raise InputError("the bones are not those that this plan was made on", "Plan again.", where=plan.plan_id)


def check_image(plan: Plan, image: Volume, role: str) -> None:
    """Refuse an image (`role` ``ct`` or ``mr``) that a plan was not made on (`InputError`)."""
    if image.sha256() not in {i.get("voxels_sha256") for i in plan.inputs if i.get("role") == role}:
        what = f"the {role.upper()} is not the one that this plan was made on"
        raise InputError(what, "Give the one that was planned on, or plan again.", where=plan.plan_id)


def osteotomy_parts(plan: Plan, folder: Path, *, planned: bool) -> list[Part]:
    """Return the fragments of a plan's osteotomies as their files in its folder hold them.

    Parameters
    ----------
    planned
        Where they shall be; else as they lie in the image.

    Raises
    ------
    InputError
        When a file is missing or is not the fragment that the plan describes.
    """
    parts = []
    for osteotomy in plan.osteotomies:
        for fragment in osteotomy.fragments:
            if not fragment.file:
                continue
            mesh = _described(folder / fragment.file, fragment.mesh_sha256, "fragment", "Plan again.")
            goes = planned and fragment.name != "wedge"
            motion = np.array(fragment.image_to_planned_ras) if goes else None
            name = f"{osteotomy.bone} {fragment.name}"
            colour = judged_colour(BONE_COLOUR, osteotomy.verdict)
            parts.append(Part(f"{name} planned" if goes else name, "fragment", mesh, colour, motion))
    return parts


def resection_parts(plan: Plan, folder: Path) -> list[Part]:
    """Return the parts of a plan's resections as their files in its folder hold them: specimen, what stays, tumour.

    Raises
    ------
    InputError
        When a file is missing or is not the part that the plan describes.
    """
    parts = []
    for resection in plan.resections:
        for part in resection.parts:
            if not part.file:
                continue
            mesh = _described(folder / part.file, part.mesh_sha256, "part", "Plan again.")
            parts.append(
                Part(f"{resection.bone} {part.name}", "fragment", mesh, judged_colour(BONE_COLOUR, resection.verdict))
            )
    return parts


def _described(path: Path, described_sha256: str | None, what: str, way_out: str) -> Mesh:
    """Return the mesh of a plan's file, once it is known to be what the plan describes, where it says what that is."""
    mesh = read_mesh(path)
    if described_sha256 is not None and mesh_sha256(mesh) != described_sha256:
        raise InputError(
            f"this file is not the {what} that the plan describes; it was changed or belongs to another plan",
            way_out,
            where=str(path),
        )
    return mesh


def fragment_parts(
    fragments: Sequence[Mesh], moved_ras: Sequence[FloatArray | None] | None = None, name: str = "fragment"
) -> list[Part]:
    """Return the fragments of a cut bone (`osteotomy.fragments.CutBone.fragments`), each under its planned motion.

    Parameters
    ----------
    moved_ras
        A rigid 4x4 RAS a fragment, or None for one that stays; None: all stay.

    Raises
    ------
    InputError
        When there are not as many motions as fragments.
    """
    motions = [None] * len(fragments) if moved_ras is None else list(moved_ras)
    if len(motions) != len(fragments):
        raise InputError(f"{len(fragments)} fragments and {len(motions)} motions", where=name)
    return [
        Part(f"{name} {n + 1}", "fragment", mesh, BONE_COLOUR, motion)
        for n, (mesh, motion) in enumerate(zip(fragments, motions, strict=True))
    ]
