"""What each command does; every function returns the exit status."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from MSKFusionLib.errors import InputError
from MSKFusionLib.images import load_image
from MSKFusionLib.networks import read_flow_bundle, segment_with_network
from MSKFusionLib.networks.build import load_monai
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration import (
    RegistrationResult,
    Verdict,
    register_deformable,
    register_piecewise,
    register_rigid,
)
from MSKFusionLib.registration.landmark_files import read_landmarks
from MSKFusionLib.registration.landmarks import LandmarkPairs
from MSKFusionLib.segmentation import Segmentation, segment_bones_ct
from MSKFusionLib.segmentation.files import read_segmentation, write_segmentation
from MSKFusionLib.torch_device import choose_device
from MSKFusionLib.volume import Modality, Volume, write_image

from ..bone.smooth_bone import surface_bands
from ..bone.surface_band import band_map
from ..export.report import summary
from ..guides.options import GuideOptions
from ..output_folder import check_files, check_output, output_folder
from ..pipeline import Case, CaseOptions, plan_case
from ..plan import Plan
from ..plan_file import plan_to_json
from ..records import describe_registration, describe_segmentation
from ..screws.implants import load_implants
from ..screws.options import ScrewOptions
from ..screws.sites.request import request_from_table
from .case_file import options_from_table, read_case_file
from .console import say, table
from .level_hint import parse_level_hint, parse_levels
from .sites import parse_sites
from .status import DONE, REJECTED
from .write_case import write_case, write_registered


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Plan a case file."""
    check_output(args.out, force=args.force)
    asked = read_case_file(args.case)
    ct = load_ct(asked.ct, asked.ct_series)
    mr = None if asked.mr is None else load_image(asked.mr, modality=Modality.MR, series=asked.mr_series)
    bones = None if asked.bones is None else read_segmentation(asked.bones, reference=ct, numbering=asked.numbering)
    options = CaseOptions(
        level_hint=parse_level_hint(asked.level),
        levels=asked.levels,
        screws=options_from_table(ScrewOptions, asked.screws, f"{args.case} [screws]"),
        guides=options_from_table(GuideOptions, asked.guides, f"{args.case} [guides]"),
        sites=tuple(request_from_table(t, f"{args.case} [[sites]] {n}") for n, t in enumerate(asked.sites, 1)),
    )
    implants = None if asked.implants is None else load_implants(asked.implants)
    case = plan_case(ct, mr, bones, options, implants=implants, progress=part(progress, 0.0, 0.8))
    return _write(case, args, progress)


def screws(args: argparse.Namespace, progress: Progress) -> int:
    """Plan screws on a CT, without guides."""
    check_output(args.out, force=args.force)
    sites = parse_sites(args)  # what cannot be asked for is said before the image is read
    ct = load_ct(args.ct, args.series)
    bones = None if args.bones is None else read_segmentation(args.bones, reference=ct, numbering=args.numbering)
    options = CaseOptions(
        level_hint=parse_level_hint(args.level),
        levels=parse_levels(args.levels),
        screws=ScrewOptions(trajectory=args.trajectory),
        want_guides=False,
        sites=sites,
    )
    implants = None if args.implants is None else load_implants(args.implants)
    case = plan_case(ct, None, bones, options, implants=implants, progress=part(progress, 0.0, 0.8))
    return _write(case, args, progress)


def register(args: argparse.Namespace, progress: Progress) -> int:
    """Register two images."""
    check_output(args.out, force=args.force)
    fixed = load_image(args.fixed, modality=_modality(args.fixed_modality), series=args.fixed_series)
    moving = load_image(args.moving, modality=_modality(args.moving_modality), series=args.moving_series)
    checks = None if args.check_landmarks is None else _landmarks(args.check_landmarks, args.landmark_sd)
    result = _register(fixed, moving, args, part(progress, 0.0, 0.9))
    if checks is not None:
        result = replace(result, landmark_tre_mm=checks.distances_by_name(result.apply_to_points(checks.fixed_ras)))
    with output_folder(args.out, force=args.force) as folder:
        write_registered(result, folder, fixed, moving, fused=args.fused, progress=part(progress, 0.9, 1.0))
    progress(1.0, "Done")
    error = "" if result.expected_error_mm is None else f", expected error {result.expected_error_mm:.1f} mm"
    words = f"Registration {result.verdict}{error}, {result.seconds:.0f} s. {'; '.join((*result.reasons, *result.warnings))}"
    if result.bones:
        rows = [
            [
                b.name,
                _number(b.evidence.get("moved_mm"), "mm"),
                _number(b.evidence.get("turned_deg"), "degrees"),
                _number(b.expected_error_mm, "mm"),
                "; ".join(b.reasons) or "ok",
            ]
            for b in result.bones
        ]
        words += "\n" + table(["Bone", "Moved on its own", "Turned", "Expected error", ""], rows)
    if result.landmark_tre_mm:
        worst, most = max(result.landmark_tre_mm.items(), key=lambda item: item[1])
        mean = sum(result.landmark_tre_mm.values()) / len(result.landmark_tre_mm)
        words += f"\nLandmarks not used: {mean:.1f} mm on average, {most:.1f} mm at most ({worst})."
    say(words.strip(), describe_registration(result), as_json=args.json)
    return DONE if result.verdict is Verdict.ACCEPTED else REJECTED


def _register(fixed: Volume, moving: Volume, args: argparse.Namespace, progress: Progress) -> RegistrationResult:
    """Register by the method that was asked for."""
    soft = args.method == "deformable"
    if not soft and (args.start is not None or args.device is not None or args.network is not None):
        raise InputError("--start, --device and --network are for --method deformable")
    # Read before the long work: a bundle that cannot be used is said at once.
    network = None
    if args.network is not None:
        network = read_flow_bundle(args.network)
        load_monai()
    if args.landmarks is not None and args.method != "rigid":
        raise InputError("--landmarks is for --method rigid", "Use --check-landmarks to measure the others.")
    if args.method == "rigid":
        if args.bones is not None:
            raise InputError(
                "--bones is for --method piecewise and deformable; one rigid motion takes all of the image along"
            )
        marks = None if args.landmarks is None else _landmarks(args.landmarks, args.landmark_sd)
        return register_rigid(fixed, moving, landmarks=marks, seed=args.seed, progress=progress)
    device = choose_device(args.device or "auto") if soft else ""
    ct = fixed if fixed.modality is Modality.CT else moving
    if ct.modality is not Modality.CT:
        raise InputError(f"a {args.method} registration needs a CT", "Say which image is the CT (--fixed-modality ct).")
    bone_by_bone = not soft or args.start == "piecewise"
    bones = None
    if args.bones is not None:
        bones = read_segmentation(args.bones, reference=ct, numbering=args.numbering)
    elif bone_by_bone:
        bones = segment_bones_ct(ct, progress=part(progress, 0.0, 0.2))
    placing = part(progress, 0.2, 0.4 if soft else 1.0)
    if bone_by_bone and bones is not None:
        placed = register_piecewise(fixed, moving, bones, seed=args.seed, progress=placing)
    else:
        placed = register_rigid(fixed, moving, seed=args.seed, progress=placing)
    if not soft:
        return placed
    return register_deformable(
        fixed,
        moving,
        initial=placed,
        bones=bones,
        network=network,
        device=device,
        seed=args.seed,
        progress=part(progress, 0.4, 1.0),
    )


def _landmarks(files: Sequence[str], sd_mm: float) -> LandmarkPairs:
    return LandmarkPairs.by_name(read_landmarks(files[0]), read_landmarks(files[1]), sd_mm)


def segment(args: argparse.Namespace, progress: Progress) -> int:
    """Find the bones in a CT, or what a network knows in an image."""
    target = Path(args.out)
    band_file = None if args.uncertainty is None else Path(args.uncertainty)
    check_files(target, band_file, force=args.force)
    if args.network is not None and band_file is not None:
        raise InputError("--uncertainty goes by the cortex in a CT", "Leave it out, or --network.")
    if args.network is not None:
        bones = _by_network(args, part(progress, 0.0, 0.95))
    elif args.device is not None or args.precision is not None or args.modality == "mr":
        raise InputError("--device, --precision and --modality mr are for --network", "Give a network, or a CT alone.")
    else:
        ct = load_ct(args.image, args.series)
        hint = parse_level_hint(args.level)
        found_by = 0.95 if band_file is None else 0.6
        bones = segment_bones_ct(ct, level_hint=hint, spine_required=False, progress=part(progress, 0.0, found_by))
    bands = {} if band_file is None else surface_bands(bones, ct, progress=part(progress, 0.6, 0.95))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_segmentation(bones, target)
    if band_file is not None:
        band_file.parent.mkdir(parents=True, exist_ok=True)
        write_image(band_map(bones, bands), band_file)
    progress(1.0, "Done")
    # A network may know no vertebra at all: what it found is named then.
    listed = bones.vertebrae or (bones.segments if args.network is not None else ())
    what = "vertebrae" if bones.vertebrae or args.network is None else "structures"
    whole = [s.name for s in listed if s.complete]
    cut = [s.name for s in listed if not s.complete]
    words = f"{len(bones.segments)} segments; {what} wholly in view: {', '.join(whole) or 'none'}"
    words += f"; cut by the image's border: {', '.join(cut)}" if cut else ""
    others = [s.name for s in bones.segments if bones.vertebrae and s.kind in ("sacrum", "bone")]
    words += f"; other bones: {', '.join(others)}" if others else ""
    words = f"{words}. {' '.join(bones.notes)}".strip()
    record = describe_segmentation(bones)
    if bands:
        rows = [[n, f"{b.usual_mm:.2f} mm", f"{b.unseen_share:.0%}"] for n, b in bands.items()]
        words += "\n" + table(["bone", "surface within (9 of 10, usually)", "no cortex seen"], rows)
        record["surface_bands"] = {
            n: {"usual_mm": round(b.usual_mm, 3), "unseen_share": round(b.unseen_share, 4)} for n, b in bands.items()
        }
    say(words, record, as_json=args.json)
    return DONE


def _by_network(args: argparse.Namespace, progress: Progress) -> Segmentation:
    """Find what the network of the call knows."""
    if args.level is not None:
        raise InputError("--level numbers vertebrae that were found without a network", "Leave it out, or --network.")
    image = load_image(args.image, modality=_modality(args.modality), series=args.series)
    return segment_with_network(
        image, args.network, device=args.device or "auto", precision=args.precision or "auto", progress=progress
    )


def load_ct(path: str | Path, series: str | None) -> Volume:
    """Read a CT and refuse anything else."""
    # In a folder of CT and MR series the modality chooses; a plain file's values tell.
    ct = load_image(path, modality=Modality.CT if Path(path).is_dir() else None, series=series)
    if ct.modality is Modality.MR:
        raise InputError("this looks like an MR, a CT is needed here", "Give the CT.", where=str(path))
    return ct if ct.modality is Modality.CT else replace(ct, modality=Modality.CT)


def plan_result(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data for `--json`."""
    import json

    return dict(json.loads(plan_to_json(plan)))


def _write(case: Case, args: argparse.Namespace, progress: Progress) -> int:
    with output_folder(args.out, force=args.force) as folder:
        write_case(case, folder, progress=part(progress, 0.8, 1.0))
    progress(1.0, "Done")
    say(summary(case.plan), plan_result(case.plan), as_json=args.json)
    return DONE if case.plan.verdict is Verdict.ACCEPTED else REJECTED


def _modality(text: str | None) -> Modality | None:
    return None if text is None else Modality(text.upper())


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3g} {unit}".strip()
