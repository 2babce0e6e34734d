"""The command `path`: a needle from the skin to a target, and what it ablates there."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.images import load_image
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.registration.landmark_files import read_landmarks
from MSKFusionLib.segmentation import Segmentation, segment_bones_ct
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.volume import Modality, Volume

from ..export.path_report import render_path_report
from ..output_folder import check_output, output_folder
from ..percutaneous.ablation import AblationPlan, AblationRequest, plan_ablation
from ..percutaneous.document import paths_document, write_entry_map, write_markups
from ..percutaneous.needle_path import PathPlan
from ..percutaneous.paths import plan_paths
from ..percutaneous.request import PathRequest
from ..percutaneous.skin import find_skin
from ..records import describe_input
from .console import say
from .sites import parse_numbers
from .status import DONE, REJECTED


def path(args: argparse.Namespace, progress: Progress) -> int:
    """Plan percutaneous paths."""
    check_output(args.out, force=args.force)
    ablation_asked = _ablation_request(args)
    image = load_image(
        args.image, modality=None if args.modality is None else Modality(args.modality.upper()), series=args.series
    )
    progress(0.05, "looking for bones" if args.labels is None else "reading labels")
    segmentation, notes = _labels(args, image, part(progress, 0.05, 0.4))
    request = PathRequest(
        _target(args, segmentation),
        needle_mm=args.needle,
        longest_mm=args.longest,
        bone=args.bone,
        avoid_mm=_avoid(args.avoid),
        position=args.position,
        options=args.options,
        apart_mm=args.apart,
    )
    progress(0.4, "looking for the skin")
    skin = find_skin(image)
    plan = plan_paths(skin, segmentation, request, part(progress, 0.5, 0.85))
    ablation = _ablate(plan, segmentation, request, ablation_asked, args.lesion)
    together = None if ablation is None or ablation_asked is None else (ablation_asked, ablation)
    document = paths_document(request, plan, [describe_input("image", image)], together)
    document["notes"] = notes
    with output_folder(args.out, force=args.force) as folder:
        (folder / "paths.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        html = render_path_report(document, plan, image, segmentation, ablation)
        (folder / "paths.html").write_text(html, encoding="utf-8")
        write_entry_map(folder / "entry_map.vtp", plan)
        for n, p in enumerate(plan.paths, 1):
            ends = np.array([p.entry_ras, p.target_ras])
            write_markups(folder / f"path_{n}.mrk.json", "Line", ends, ["entry", "target"])
        if ablation is not None:
            names = [f"zone {n}" for n in range(1, len(ablation.centres_ras) + 1)]
            write_markups(folder / "ablation_zones.mrk.json", "Fiducial", ablation.centres_ras, names)
    progress(1.0, "Done")
    words = " ".join([plan.message, *([] if ablation is None else [ablation.message]), *notes])
    say(words, document, as_json=args.json)
    return DONE if document["verdict"] == "accepted" else REJECTED


def _labels(args: argparse.Namespace, image: Volume, progress: Progress) -> tuple[Segmentation | None, list[str]]:
    if args.labels is not None:
        return read_segmentation(args.labels, reference=image, numbering=args.numbering), []
    if args.bone == "through":
        return None, ["No labels were given: nothing but gas is kept away from."]
    if image.modality is not Modality.CT:
        raise InputError(
            "in MR bones are not found by themselves",
            "Give --labels, or allow bone anywhere: --bone through.",
            where="path",
        )
    try:
        found = segment_bones_ct(image, spine_required=False, progress=progress)
    except ProcessingError as error:
        raise InputError(f"no bones are found ({error})", "Give --labels, or --bone through.", where="path") from error
    return found, ["Bones were found in the CT; nerves, vessels and organs are not known and NOT kept away from."]


def _target(args: argparse.Namespace, segmentation: Segmentation | None) -> tuple[float, float, float]:
    given = [v for v in (args.target, args.target_file) if v is not None]
    if len(given) > 1 or not (given or args.lesion):
        raise InputError("one target is needed", "Give --target R,A,S, --target-file or --lesion.", where="path")
    if args.target is not None:
        point = parse_numbers(args.target, "--target")
    elif args.target_file is not None:
        point = list(map(float, next(iter(read_landmarks(args.target_file).values()))))
    else:
        if segmentation is None:
            raise InputError("a lesion is a segment", "Give --labels.", where="--lesion")
        mask = segmentation.mask(args.lesion)
        if not mask.any():
            raise InputError(f"'{args.lesion}' has no voxels", "Segment it again.", where="--lesion")
        middle = np.argwhere(mask).mean(axis=0)[::-1]
        point = [float(c) for c in transform_points(segmentation.labels.ijk_to_ras, middle)]
    if len(point) != 3:
        raise InputError("the target is not a point", "Write --target=R,A,S in mm.", where="path")
    return (point[0], point[1], point[2])


def _avoid(text: str | None) -> dict[str, float]:
    out: dict[str, float] = {}
    for item in (text or "").split(","):
        name, _, room = item.partition("=")
        if name.strip():
            out[name.strip()] = parse_numbers(room or "5", "--avoid")[0]
    return out


def _ablation_request(args: argparse.Namespace) -> AblationRequest | None:
    given: dict[str, Any] = {}
    if args.zone is not None:
        sizes = parse_numbers(args.zone.lower().replace("x", ","), "--zone")
        if len(sizes) not in (1, 2):
            raise InputError("a zone is one width, or width x length", "Write --zone 20x30.", where="--zone")
        given = {"across_mm": sizes[0], "along_mm": sizes[-1]}
    for key, value in (("margin_mm", args.margin), ("coverage", args.coverage), ("most", args.zones)):
        if value is not None:
            given[key] = value
    if args.same_needle:
        given["same_needle"] = True
    if given and args.lesion is None:
        raise InputError("what is to be ablated is not said", "Give --lesion NAME.", where="path")
    return None if not given else AblationRequest(**given)


def _ablate(
    plan: PathPlan,
    segmentation: Segmentation | None,
    request: PathRequest,
    asked: AblationRequest | None,
    lesion: str | None,
) -> AblationPlan | None:
    if asked is None or lesion is None or segmentation is None or not plan.paths:
        return None
    best = plan.paths[0]
    axis = np.subtract(best.target_ras, best.entry_ras)
    names = list(dict.fromkeys([*request.avoid_mm, *(n for p in plan.paths for n in p.structures_mm)]))
    known = {s.name for s in segmentation.segments}
    return plan_ablation(
        segmentation, lesion, axis, asked, through_ras=best.target_ras, avoid=[n for n in names if n in known]
    )
