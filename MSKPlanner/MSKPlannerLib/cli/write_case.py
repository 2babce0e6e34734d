"""Everything a run writes: plan, scene, report, guides, registration, segmentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from MSKFusionLib.fusion import fused_volume
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.volume import Volume, write_image, write_sitk

from ..colours import BONE_COLOUR, GUIDE_COLOUR, SCREW_COLOUR, judged_colour
from ..editing.cut_bones import surface_of
from ..editing.guide_marks import kind_of
from ..export.mesh_files import write_parts, write_stl
from ..export.osteotomy_files import fragment_bodies, fragment_files
from ..export.parts import Part
from ..export.plan_parts import plan_notes
from ..export.print_sheet import print_sheet
from ..export.registration_report import render_registration_report
from ..export.report import Body, Picture, render_report
from ..mesh import Mesh
from ..pipeline import Case
from ..plan import Guide
from ..plan_file import plan_to_json
from ..records import describe_input, describe_registration

if TYPE_CHECKING:
    from ..mrml import PlanNodes


def write_case(
    case: Case,
    folder: Path,
    *,
    shown: tuple[Any, PlanNodes] | None = None,
    allow_outdated: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Write all files of a case into `folder` (made by `output_folder`).

    Parameters
    ----------
    shown
        The scene that holds the case already, and its nodes: what the application saves. None builds a scene.
    allow_outdated
        Write guides that no longer fit the plan; their files say so.

    Raises
    ------
    InputError
        When a guide is out of date and `allow_outdated` is not set.
    """
    plan, fragments = fragment_files(case)
    (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    for file, mesh in fragments.items():
        (folder / file).parent.mkdir(exist_ok=True)
        write_stl(mesh, folder / file)
    write_segmentation(case.segmentation, folder / "segmentation.seg.nrrd")
    if case.registration is not None and case.ct is not None and case.mr is not None:
        write_registration(case.registration, folder, case.ct, case.mr)
    for name, solid in case.guides.items():
        record = next(g for g in case.plan.guides if g.name == name)
        (folder / record.file).parent.mkdir(exist_ok=True)
        says = plan_notes(case.plan, allow_outdated=allow_outdated, guides=[record])
        body = Part(name, "guide", solid.mesh, judged_colour(GUIDE_COLOUR, record.verdict))
        for ending in (".stl", ".3mf"):
            write_parts([body], (folder / record.file).with_suffix(ending), notes=says)
        sheet = print_sheet(
            record, solid.mesh, case.plan, printer=solid.options.printer, bone=_bone_under(case, record)
        )
        (folder / record.file).with_suffix(".html").write_text(sheet, encoding="utf-8")
    progress(0.2, "Building the scene")
    pictures, notes = _write_scene(case, folder, shown, progress)
    progress(0.9, "Writing the report")
    html = render_report(case.plan, pictures, _bodies(case), notes)
    (folder / "report.html").write_text(html, encoding="utf-8")
    for picture in pictures:
        picture.path.unlink()
    if pictures:
        pictures[0].path.parent.rmdir()


#: Guides that stand on the bone as it is in the image.
_ON_WHOLE_BONE = ("cut", "facets", "dome", "pin")


def _bone_under(case: Case, guide: Guide) -> Mesh | None:
    """Return the bone that a guide is shown on: its vertebra, or the bone that is sawn or gets wires; none for one that is moved first."""
    if guide.level in case.bones:
        return case.bones[guide.level]
    return surface_of(case, guide.level) if kind_of(guide) in _ON_WHOLE_BONE else None


def write_registration(
    result: RegistrationResult, folder: Path, fixed: Volume, moving: Volume, progress: Progress = no_progress
) -> None:
    """Write `registration.json`, `fixed_to_moving.h5` (for ITK) and `registration.html`."""
    entry = describe_registration(result)
    text = json.dumps(entry, indent=2, allow_nan=False)
    (folder / "registration.json").write_text(text + "\n", encoding="utf-8")
    sitk.WriteTransform(result.to_sitk(fixed), str(folder / "fixed_to_moving.h5"))
    inputs = [describe_input("fixed", fixed), describe_input("moving", moving)]
    html = render_registration_report(entry, inputs, result, fixed, moving, progress)
    (folder / "registration.html").write_text(html, encoding="utf-8")


def write_registered(
    result: RegistrationResult, folder: Path, fixed: Volume, moving: Volume, *, fused: bool, progress: Progress
) -> None:
    """Write a registration, and its images: the moving one on the fixed grid, the expected error in mm.

    Parameters
    ----------
    fused
        Also write both images as one in colour, which is large.
    """
    write_registration(result, folder, fixed, moving, part(progress, 0.0, 0.3))
    mark = "" if result.verdict is Verdict.ACCEPTED else "rejected_"
    write_image(result.resample(moving, fixed), folder / f"{mark}moving_on_fixed.nrrd")
    errors = result.error_map(fixed)
    if errors is not None:
        write_image(errors, folder / "expected_error_mm.nrrd")
    if fused:
        write_sitk(fused_volume(fixed, moving, result, part(progress, 0.5, 1.0)), folder / f"{mark}fused.nrrd")


def _write_scene(
    case: Case, folder: Path, shown: tuple[Any, PlanNodes] | None, progress: Progress
) -> tuple[list[Picture], list[str]]:
    """Write scene.mrb and make the pictures with Slicer's own views; say in words which could not be made."""
    from MSKFusionLib.mrml import headless_scene, save_scene

    from ..mrml import plan_to_scene
    from .pictures import make_pictures

    def save_and_draw(scene: Any, nodes: PlanNodes) -> tuple[list[Picture], list[str]]:
        save_scene(scene, folder / "scene.mrb")
        progress(0.5, "Taking pictures")
        return make_pictures(scene, nodes, case, folder / ".pictures", progress)

    if shown is not None:
        return save_and_draw(*shown)
    with headless_scene() as scene:
        nodes = plan_to_scene(
            scene,
            case.plan,
            ct=case.ct,
            mr=case.mr,
            registration=case.registration,
            segmentation=case.segmentation,
            guide_meshes={name: solid.mesh for name, solid in case.guides.items()},
        )
        return save_and_draw(scene, nodes)


def _bodies(case: Case) -> Sequence[Body]:
    from ..screws.shape import screw_mesh

    bodies = [Body(name, mesh, BONE_COLOUR, 0.55) for name, mesh in case.bones.items()]
    bodies += fragment_bodies(case)
    bodies += [Body(s.name, screw_mesh(s), judged_colour(SCREW_COLOUR, s.verdict)) for s in case.plan.screws]
    verdicts = {g.name: g.verdict for g in case.plan.guides}
    bodies += [
        Body(name, solid.mesh, judged_colour(GUIDE_COLOUR, verdicts[name])) for name, solid in case.guides.items()
    ]
    return bodies
