"""What the plan document says of each part: plain values, hashes instead of names."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import PurePath
from typing import Any

import numpy as np

from MSKFusionLib import __version__
from MSKFusionLib.frames import flip_transform_ras_lps
from MSKFusionLib.registration.result import BonePose, RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume, geometry_bytes

from .guides.checks import failed
from .guides.cutting_guide import CuttingGuideSolid
from .guides.drill_guide import GuideSolid
from .guides.levels_guide import joined_name
from .guides.options import GuideOptions
from .guides.pin_guide import PinGuide
from .guides.recipe import mesh_sha256, moved_by, recipe_of
from .guides.skin_frame import SkinFrame
from .guides.sleeve import Sleeve
from .guides.slots_guide import SlotsGuide
from .mesh import Mesh, body_labels
from .osteotomy.drill_first import PlannedHole
from .plan import Guide, GuideCut, GuideRecipe, GuideScrew, Plan, Point, Screw
from .plan_osteotomy import Osteotomy


def plan_id(inputs: Sequence[Mapping[str, Any]], segmentation: Mapping[str, Any]) -> str:
    """Return a name for the plan that says nothing of the patient: the hashes of the images it rests on.

    Parameters
    ----------
    inputs, segmentation
        As `describe_input` and `describe_segmentation` give them.
    """
    parts = [*(i["voxels_sha256"] for i in inputs), segmentation["labels_sha256"]]
    return f"plan-{parts[0][:6]}{''.join(p[:3] for p in parts[1:])}"


def describe_input(role: str, volume: Volume) -> dict[str, Any]:
    """Return what the document says of an image: its hash and geometry, never a patient's name."""
    return {
        "role": role,
        "modality": str(volume.modality),
        "source": _anonymous(volume.provenance.source),
        "source_sha256": volume.provenance.sha256,
        "voxels_sha256": volume.sha256(),
        "size_ijk": list(volume.shape_ijk),
        "spacing_mm": volume.spacing_mm.tolist(),
        "ijk_to_ras": volume.ijk_to_ras.tolist(),
        "steps": list(volume.provenance.steps),
    }


def describe_surface(role: str, mesh: Mesh) -> dict[str, Any]:
    """Return what the document says of a surface that was planned on."""
    return {"role": role, "mesh_sha256": mesh_sha256(mesh), "triangles": len(mesh.faces)}


def new_plan(name: str, inputs: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> Plan:
    """Return a plan of now and of this software with nothing in it yet.

    Parameters
    ----------
    name
        Its `plan_id`.
    inputs
        As `describe_input` and `describe_surface` give them.
    parameters
        What was asked.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Plan(name, created, _software_versions(), inputs=tuple(inputs), parameters=dict(parameters))


def describe_registration(result: RegistrationResult) -> dict[str, Any]:
    """Return the document's (and `registration.json`'s) entry of a registration."""
    entry: dict[str, Any] = {
        "method": result.method,
        "verdict": str(result.verdict),
        "reasons": list(result.reasons),
        "warnings": list(result.warnings),
        "fixed_to_moving_ras": result.fixed_to_moving_ras.tolist(),
        "fixed_to_moving_lps": result.fixed_to_moving_lps.tolist(),
        "expected_error_mm": result.expected_error_mm,
        "evidence": {k: float(v) for k, v in result.evidence.items()},
        "seconds": round(result.seconds, 2),
    }
    if result.landmark_tre_mm:
        entry["landmark_tre_mm"] = dict(result.landmark_tre_mm)
    if result.bones:
        entry["bones"] = [_describe_bone(b) for b in result.bones]
    return entry


def _describe_bone(bone: BonePose) -> dict[str, Any]:
    pose = bone.fixed_to_moving_ras
    return {
        "name": bone.name,
        "verdict": str(bone.verdict),
        "reasons": list(bone.reasons),
        "fixed_to_moving_ras": None if pose is None else pose.tolist(),
        "fixed_to_moving_lps": None if pose is None else flip_transform_ras_lps(pose).tolist(),
        "expected_error_mm": bone.expected_error_mm,
        "evidence": {k: float(v) for k, v in bone.evidence.items()},
    }


def labels_sha256(bones: Segmentation) -> str:
    """Return the hash of a segmentation's labels and where they lie.

    It is the same in memory and from a file: integers of any width, places to the micrometre (a file's header keeps
    directions and spacing as one product).
    """
    digest = hashlib.sha256(geometry_bytes(bones.labels.ijk_to_ras, 1e-3))
    digest.update(np.ascontiguousarray(bones.labels.voxels.astype("<u2")).tobytes())
    return digest.hexdigest()


def describe_segmentation(bones: Segmentation) -> dict[str, Any]:
    """Return the document's entry of a segmentation."""
    values, counts = np.unique(bones.labels.voxels, return_counts=True)
    volume = dict(zip(values.tolist(), (counts * bones.labels.voxel_mm3).tolist(), strict=True))
    return {
        "labels_sha256": labels_sha256(bones),
        "notes": list(bones.notes),
        "segments": [
            {
                "name": s.name,
                "value": s.value,
                "kind": s.kind,
                "complete": s.complete,
                "confidence": round(s.confidence, 3),
                "source": s.source,
                "volume_mm3": round(volume.get(s.value, 0.0), 1),
                "notes": list(s.notes),
            }
            for s in bones.segments
        ],
    }


def guide_inputs(bones: Segmentation, ct: Volume | None) -> dict[str, str]:
    """Return what a guide stands on, for its recipe: the labels' hash, and the CT's where the CT was used."""
    found = {"labels": labels_sha256(bones)}
    return found if ct is None else {**found, "ct": ct.sha256()}


def describe_guide(
    name: str,
    level: str,
    screws: Sequence[Screw],
    solid: GuideSolid,
    options: GuideOptions,
    inputs: Mapping[str, str],
) -> Guide:
    """Return the document's entry of a designed guide; `inputs` as `guide_inputs` gives them."""
    problems = tuple(c.message for c in failed(solid.checks))
    x, y, z = solid.insertion_direction_ras
    stem = f"guides/{level}_drill_guide"
    return Guide(
        name=name,
        level=level,
        screws=tuple(s.name for s in screws),
        file=f"{stem}.stl",
        files=(f"{stem}.stl", f"{stem}.3mf"),
        watertight=solid.mesh.is_closed,
        bodies=solid.bodies,
        volume_mm3=solid.mesh.volume_mm3,
        min_wall_mm=solid.min_wall_mm,
        fit_clearance_mm=options.fit_clearance_mm,
        fit_gap_mean_mm=solid.fit_gap_mean_mm,
        fit_gap_max_error_mm=solid.fit_gap_max_error_mm,
        insertion_direction_ras=(float(x), float(y), float(z)),
        recipe=recipe_of("drill", vars(options), inputs, screws=screws, insertion_direction_ras=solid.asked_direction),
        mesh_sha256=mesh_sha256(solid.mesh),
        checks=solid.checks,
        verdict=Verdict.REJECTED if problems else Verdict.ACCEPTED,
        reasons=problems,
        notes=solid.notes,
    )


def describe_levels_guide(
    name: str,
    levels: Sequence[str],
    screws: Sequence[Screw],
    solid: GuideSolid,
    inputs: Mapping[str, str],
    *,
    fixed: bool,
) -> Guide:
    """Return the document's entry of a drill guide for several levels; `fixed` as it was asked for."""
    made = describe_guide(name, joined_name(levels), screws, solid, solid.options, inputs)
    assert made.recipe is not None
    options = {**made.recipe.options, "levels": list(levels), "fixed": fixed}
    return replace(made, recipe=replace(made.recipe, kind="levels", options=options))


def describe_cutting_guide(
    name: str,
    bone: str,
    solid: CuttingGuideSolid,
    inputs: Mapping[str, str],
    holes: Sequence[PlannedHole] = (),
    osteotomy: Osteotomy | None = None,
) -> Guide:
    """Return the document's entry of a cutting guide; `inputs` names what it stands on (`plan.GuideRecipe`).

    Parameters
    ----------
    holes, osteotomy
        What is drilled through it as it shall be after the correction, and that correction.
    """
    options: dict[str, Any] = {**vars(solid.options), "label": solid.label, "approach_ras": list(solid.approach_ras)}
    if osteotomy is not None and holes:
        options |= _of_correction(holes, osteotomy)
    if solid.hinge is not None:
        options["hinge"] = {"point_ras": list(solid.hinge.point_ras), "beyond_ras": list(solid.hinge.normal_ras)}
    recipe = recipe_of("cut", options, inputs, cuts=[solid.cut], insertion_direction_ras=solid.asked_direction)
    said = (
        _stop_words(solid),
        "the ledge leads the blade on one side alone: keep it flat on it"
        if solid.tilt_deg is None
        else f"the blade can tilt by {solid.tilt_deg:.1f} degrees in the slot",
        *(f"drill {drilled_depth(s, h)} before the cut" for s, h in zip(solid.hole_sleeves, solid.holes, strict=True)),
    )
    return described(name, bone, solid, recipe, said)


def _stop_words(solid: CuttingGuideSolid) -> str:
    words = f"set the saw's depth stop to {solid.stop_mm:.1f} mm from the top of the {solid.slot.what}"
    if solid.hinge is None:
        return words
    if solid.deepest_mm is None:
        return f"{words}: the hinge is not under the {solid.slot.what}, the far side of the bone is"
    if solid.deepest_mm - solid.stop_mm < 1.0:
        return f"{words}: there the hinge is"
    return f"{words}: there the hinge is nearest, where it is farthest it lies {solid.deepest_mm:.1f} mm deep"


def describe_reduction_guide(
    name: str,
    bone: str,
    label: str,
    made: PinGuide,
    inputs: Mapping[str, str],
    holes: Sequence[PlannedHole],
    osteotomy: Osteotomy,
    cut: GuideCut,
) -> Guide:
    """Return the document's entry of the guide that brings the holes of a cut bone together."""
    options = {**vars(made.solid.options), "label": label, **_of_correction(holes, osteotomy)}
    direction = made.solid.asked_direction
    fragments = [h.fragment for h in holes]
    single = [f for f in dict.fromkeys(fragments) if fragments.count(f) == 1]
    recipe = recipe_of("reduction", options, inputs, cuts=[cut], insertion_direction_ras=direction)
    said = (
        "put it on after the cut, and wires through it into the holes that were drilled before: the fragments then stand as planned",
        *(f"wire {drilled_depth(s, h.planned)}" for s, h in zip(made.solid.sleeves, holes, strict=True)),
        *(f"the one wire of the {f} fragment does not keep it from turning: its seat alone does" for f in single),
    )
    return described(name, bone, made.solid, recipe, said)


def _of_correction(holes: Sequence[PlannedHole], osteotomy: Osteotomy) -> dict[str, Any]:
    """Return what a recipe keeps of holes and of the correction that brings them together."""
    return {
        "holes": [
            {
                "name": h.planned.name,
                "fragment": h.fragment,
                "entry_ras": list(h.planned.entry_ras),
                "tip_ras": list(h.planned.tip_ras),
            }
            for h in holes
        ],
        "moved_by": moved_by(osteotomy),
    }


def drilled_depth(sleeve: Sleeve, pin: GuideScrew) -> str:
    """Return the words of how deep an instrument goes in a sleeve."""
    deep = sleeve.length_mm + float(np.linalg.norm(np.subtract(pin.tip_ras, sleeve.entry_ras)))
    return f"{sleeve.screw}: {deep:.1f} mm from the end of its sleeve to the tip"


def describe_pin_guide(
    name: str, bone: str, label: str, made: PinGuide, inputs: Mapping[str, str], screws: Sequence[Screw] = ()
) -> Guide:
    """Return the document's entry of a pin guide; `screws` are those of the plan whose axes its wires take, if any."""
    options: dict[str, Any] = {**vars(made.solid.options), "label": label}
    if not screws:
        options["pins"] = _written(made.pins)
    direction = made.solid.asked_direction
    recipe = recipe_of("pin", options, inputs, screws=screws, insertion_direction_ras=direction)
    said = tuple(drilled_depth(s, p) for s, p in zip(made.solid.sleeves, made.pins, strict=True))
    return described(name, bone, made.solid, recipe, said, tuple(s.name for s in screws))


def _written(pins: Sequence[GuideScrew]) -> list[dict[str, Any]]:
    """Return wires as a recipe's options hold them."""
    return [{"name": p.name, "entry_ras": list(p.entry_ras), "tip_ras": list(p.tip_ras)} for p in pins]


def describe_skin_frame(
    name: str, label: str, solid: SkinFrame, inputs: Mapping[str, str], screws: Sequence[Screw] = ()
) -> Guide:
    """Return the document's entry of a frame on the skin; `screws` are those of the plan that it leads, if any."""
    ways = [{"name": w.name, "entry_ras": list(w.entry_ras), "target_ras": list(w.target_ras)} for w in solid.ways]
    recipe = recipe_of("skin", {**vars(solid.options), "ways": ways}, inputs, screws=screws)
    said = (
        *(
            f"{w.name}: {d:.1f} mm from the end of its tube to the target"
            for w, d in zip(solid.ways, solid.depth_mm, strict=True)
        ),
        f"0.1 mm of gap lets it slide by {solid.stability.slide_mm:.1f} mm along the skin and turn by "
        f"{solid.stability.turn_deg:.1f} degrees on it: mark where its pads stand",
        "true only while the patient lies as in the image: the skin moves",
    )
    return described(name, label, solid, recipe, said, tuple(s.name for s in screws))


def described(
    name: str,
    level: str,
    solid: CuttingGuideSolid | GuideSolid | SkinFrame | SlotsGuide,
    recipe: GuideRecipe,
    said: Sequence[str],
    screws: tuple[str, ...] = (),
) -> Guide:
    """Return the document's entry of a solid with its recipe and what is to be said of it besides its own notes."""
    problems = tuple(c.message for c in failed(solid.checks))
    x, y, z = solid.insertion_direction_ras
    stem = f"guides/{re.sub(r'[^A-Za-z0-9_-]+', '_', name).strip('_') or 'guide'}"
    return Guide(
        name=name,
        level=level,
        screws=screws,
        file=f"{stem}.stl",
        files=(f"{stem}.stl", f"{stem}.3mf"),
        watertight=solid.mesh.is_closed,
        bodies=body_labels(solid.mesh)[1],
        volume_mm3=solid.mesh.volume_mm3,
        min_wall_mm=_finite(solid.min_wall_mm),
        fit_clearance_mm=solid.options.fit_clearance_mm,
        fit_gap_mean_mm=_finite(solid.fit.mean_mm),
        fit_gap_max_error_mm=_finite(solid.fit.max_error_mm),
        insertion_direction_ras=(float(x), float(y), float(z)),
        recipe=recipe,
        mesh_sha256=mesh_sha256(solid.mesh),
        checks=solid.checks,
        verdict=Verdict.REJECTED if problems else Verdict.ACCEPTED,
        reasons=problems,
        notes=(*said, *solid.notes),
    )


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def missing_guide(
    name: str,
    level: str,
    screws: Sequence[Screw],
    options: GuideOptions,
    inputs: Mapping[str, str],
    reason: str,
    asked_direction: Point | None = None,
) -> Guide:
    """Return the document's entry of a guide that could not be designed, with the reason."""
    return Guide(
        name=name,
        level=level,
        screws=tuple(s.name for s in screws),
        file="",
        watertight=False,
        bodies=0,
        volume_mm3=0.0,
        min_wall_mm=0.0,
        fit_clearance_mm=options.fit_clearance_mm,
        fit_gap_mean_mm=0.0,
        fit_gap_max_error_mm=0.0,
        insertion_direction_ras=(0.0, -1.0, 0.0),
        recipe=recipe_of("drill", vars(options), inputs, screws=screws, insertion_direction_ras=asked_direction),
        verdict=Verdict.REJECTED,
        reasons=(f"no guide: {reason}",),
    )


def _software_versions() -> dict[str, str]:
    """Return the versions that a plan rests on."""
    names = ("slicer-core", "SimpleITK", "vtk", "numpy", "scipy", "manifold3d", "trimesh", "pydicom")
    found = {"mskplanner": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _anonymous(source: str) -> str:
    """Return the kind of a source: file names and series UIDs can lead back to a patient."""
    if source.startswith("generated patient"):
        return source
    return "DICOM series" if source.startswith("DICOM") else f"file {PurePath(source).suffix}".strip()
