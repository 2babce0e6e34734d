"""The whole path on one patient, step by step: images in, a checked plan with its solids out.

Nothing here knows of files, scenes or windows: the command line, the panels and a notebook call the same functions.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import PurePath
from typing import Any

import numpy as np

from MSKFusionLib import __version__
from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.progress import Progress, no_progress, part
from MSKFusionLib.registration import register_rigid
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation import LevelHint, segment_bones_ct
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from .anatomy.vertebra import VertebraFrame, vertebra_frame
from .guides.checks import failed
from .guides.drill_guide import GuideSolid, design_drill_guide
from .guides.options import GuideOptions
from .mesh import Mesh
from .plan import Guide, Plan, Point, Screw
from .screws.depth_field import DepthField, depth_field
from .screws.implants import ImplantTable
from .screws.pedicle import ScrewOptions, plan_levels
from .surface import bone_surface


@dataclass(frozen=True)
class CaseOptions:
    """What is asked of a case; None takes the default that the step documents."""

    level_hint: LevelHint | None = None
    levels: tuple[str, ...] | None = None
    screws: ScrewOptions = field(default_factory=ScrewOptions)
    guides: GuideOptions = field(default_factory=GuideOptions)
    seed: int = 0
    want_guides: bool = True


@dataclass(frozen=True, eq=False)
class Case:
    """A patient's images and everything that was made of them. `plan` is the document; the rest is what it describes."""

    ct: Volume | None
    mr: Volume | None
    segmentation: Segmentation
    plan: Plan
    registration: RegistrationResult | None = None
    bones: Mapping[str, Mesh] = field(default_factory=dict)
    frames: Mapping[str, VertebraFrame] = field(default_factory=dict)
    guides: Mapping[str, GuideSolid] = field(default_factory=dict)


def plan_case(
    ct: Volume,
    mr: Volume | None = None,
    bones: Segmentation | None = None,
    options: CaseOptions | None = None,
    *,
    implants: ImplantTable | None = None,
    progress: Progress = no_progress,
) -> Case:
    """Register, segment, plan screws and design guides.

    Parameters
    ----------
    bones
        A ready segmentation on the CT's grid; None segments the CT.

    Raises
    ------
    InputError
        When the images or what is asked of them cannot be planned on.
    """
    asked = options or CaseOptions()
    registration = None
    if mr is not None:
        registration = register_rigid(ct, mr, seed=asked.seed, progress=part(progress, 0.0, 0.3))
    if bones is None:
        bones = segment_bones_ct(ct, level_hint=asked.level_hint, progress=part(progress, 0.3, 0.5))
    check_levels(bones, asked.levels)
    found = plan_levels(
        ct,
        bones,
        implants=implants,
        options=asked.screws,
        levels=asked.levels,
        progress=part(progress, 0.5, 0.65),
    )
    screws = found.screws
    surfaces, frames = _anatomy(bones, screws)
    guides, solids = [], {}
    if asked.want_guides:
        guides, solids = design_guides(
            bones, screws, surfaces, frames, asked.guides, progress=part(progress, 0.65, 1.0)
        )
    plan = Plan(
        plan_id=plan_id(ct, mr, bones),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=software_versions(),
        inputs=tuple(describe_input(role, v) for role, v in (("ct", ct), ("mr", mr)) if v is not None),
        parameters=describe_options(asked),
        registration=None if registration is None else describe_registration(registration),
        segmentation=describe_segmentation(bones),
        screws=screws,
        guides=tuple(guides),
    )
    progress(1.0, "Done")
    return Case(ct, mr, bones, judge(plan, registration, found.skipped), registration, surfaces, frames, solids)


def design_guides(
    bones: Segmentation,
    screws: Sequence[Screw],
    surfaces: Mapping[str, Mesh],
    frames: Mapping[str, VertebraFrame],
    options: GuideOptions,
    *,
    progress: Progress = no_progress,
) -> tuple[list[Guide], dict[str, GuideSolid]]:
    """Design one drill guide a vertebra for the accepted screws; what cannot be designed is listed as rejected."""
    guides: list[Guide] = []
    solids: dict[str, GuideSolid] = {}
    levels = list(surfaces)
    spine = [s.name for s in bones.segments if s.kind in ("vertebra", "sacrum")]
    depths: dict[str, DepthField] = {}

    def depth_of(level: str) -> DepthField:
        if level not in depths:
            depths[level] = depth_field(bones, level)
        return depths[level]

    for n, level in enumerate(levels):
        wanted = [s for s in screws if s.level == level and s.verdict is Verdict.ACCEPTED]
        name = f"{level} guide"
        if not wanted:
            continue
        progress(n / len(levels), f"Designing the guide of {level}")
        at = spine.index(level)
        neighbours = [depth_of(other) for other in spine[max(0, at - 1) : at + 2] if other != level]
        try:
            solid = design_drill_guide(
                surfaces[level],
                frames[level],
                wanted,
                options,
                neighbours=neighbours,
                progress=part(progress, n / len(levels), (n + 1) / len(levels)),
            )
        except ProcessingError as error:
            guides.append(_missing_guide(name, level, wanted, options, str(error)))
            continue
        solids[name] = solid
        guides.append(describe_guide(name, level, wanted, solid, options))
    return guides, solids


def describe_guide(name: str, level: str, screws: Sequence[Screw], solid: GuideSolid, options: GuideOptions) -> Guide:
    """Return the document's entry of a designed guide."""
    problems = tuple(c.message for c in failed(solid.checks))
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
        insertion_direction_ras=point(solid.insertion_direction_ras),
        checks=solid.checks,
        verdict=Verdict.REJECTED if problems else Verdict.ACCEPTED,
        reasons=problems,
    )


def judge(plan: Plan, registration: RegistrationResult | None, skipped: Sequence[tuple[str, str]] = ()) -> Plan:
    """Return the plan with its verdict: rejected when any part failed its own check.

    A vertebra that the image cuts off is not planned on, which is said and is no failure; any other level without
    screws is one.
    """
    whole = {s["name"] for s in (plan.segmentation or {}).get("segments", []) if s["complete"]}
    reasons = [f"no screws in {level}: {reason}" for level, reason in skipped if level in whole]
    notes = [f"no screws in {level}: {reason}" for level, reason in skipped if level not in whole]
    if registration is not None and registration.verdict is Verdict.REJECTED:
        reasons.append(f"registration: {'; '.join(registration.reasons)}")
    reasons += [
        f"{p.name}: {'; '.join(p.reasons)}" for p in (*plan.screws, *plan.guides) if p.verdict is Verdict.REJECTED
    ]
    if not plan.screws:
        reasons.append("no vertebra wholly in view could be planned on")
    verdict = Verdict.REJECTED if reasons else Verdict.ACCEPTED
    return replace(plan, verdict=verdict, reasons=tuple(reasons), notes=(*plan.notes, *notes))


def check_levels(bones: Segmentation, levels: Sequence[str] | None) -> None:
    """Refuse levels that are not there or not wholly in view."""
    found = {s.name: s for s in bones.vertebrae}
    for level in levels or ():
        if level not in found:
            raise InputError(
                f"there is no vertebra {level}", f"There are: {', '.join(found) or 'none'}.", where=bones.labels.name
            )
        if not found[level].complete:
            raise InputError(f"{level} is not wholly in view", "Leave it out of the levels.", where=bones.labels.name)


def plan_id(ct: Volume | None, mr: Volume | None, bones: Segmentation) -> str:
    """Return a name for the plan that says nothing of the patient: the hash of the images it rests on."""
    parts = [v.sha256() for v in (ct, mr, bones.labels) if v is not None]
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


def _anonymous(source: str) -> str:
    """Return the kind of a source: file names and series UIDs can lead back to a patient."""
    if source.startswith("generated patient"):
        return source
    return "DICOM series" if source.startswith("DICOM") else f"file {PurePath(source).suffix}".strip()


def describe_registration(result: RegistrationResult) -> dict[str, Any]:
    """Return the document's (and `registration.json`'s) entry of a registration."""
    return {
        "method": result.method,
        "verdict": str(result.verdict),
        "reasons": list(result.reasons),
        "fixed_to_moving_ras": result.fixed_to_moving_ras.tolist(),
        "fixed_to_moving_lps": result.fixed_to_moving_lps.tolist(),
        "expected_error_mm": result.expected_error_mm,
        "evidence": {k: float(v) for k, v in result.evidence.items()},
        "seconds": round(result.seconds, 2),
    }


def describe_segmentation(bones: Segmentation) -> dict[str, Any]:
    """Return the document's entry of a segmentation."""
    values, counts = np.unique(bones.labels.voxels, return_counts=True)
    volume = dict(zip(values.tolist(), (counts * bones.labels.voxel_mm3).tolist(), strict=True))
    return {
        "labels_sha256": bones.labels.sha256(),
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


def describe_options(options: CaseOptions) -> dict[str, Any]:
    """Return what was asked, every default spelled out, so that the plan can be run again."""
    hint = options.level_hint
    return {
        "level_hint": None if hint is None else str(hint),
        "levels": None if options.levels is None else list(options.levels),
        "seed": options.seed,
        "screws": dict(vars(options.screws)),
        "guides": dict(vars(options.guides)),
    }


def software_versions() -> dict[str, str]:
    """Return the versions that a plan rests on."""
    names = ("slicer-core", "SimpleITK", "vtk", "numpy", "scipy", "manifold3d", "trimesh", "pydicom")
    found = {"mskplanner": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _anatomy(bones: Segmentation, screws: Sequence[Screw]) -> tuple[dict[str, Mesh], dict[str, VertebraFrame]]:
    levels = dict.fromkeys(s.level for s in screws)
    return {v: bone_surface(bones, v) for v in levels}, {v: vertebra_frame(bones, v) for v in levels}


def point(values: Any) -> Point:
    """Return three plain floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z


def _missing_guide(name: str, level: str, screws: Sequence[Screw], options: GuideOptions, reason: str) -> Guide:
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
        verdict=Verdict.REJECTED,
        reasons=(f"no guide: {reason}",),
    )
