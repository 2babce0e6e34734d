"""`mskplanner export`: the bodies of a plan as files for printers, navigation and other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Volume

from ..export.mesh_files import WRITABLE, write_parts
from ..export.parts import Part
from ..export.plan_bodies import WHAT, file_groups, guide_notes
from ..export.plan_parts import bone_parts, guide_parts, osteotomy_parts, resection_parts, screw_parts
from ..output_folder import check_output, output_folder
from ..plan import Plan
from ..plan_file import plan_sha256, read_plan
from .commands import load_ct
from .console import say, table
from .export_dicom import DICOM_ONLY, DicomExport
from .status import DONE

_BODIES = (*WHAT, "fragments", "fragments-before", "resections")
_DICOM = "dicom"


def export(args: argparse.Namespace, progress: Progress) -> int:
    """Write the guides, bones and screws of a plan."""
    check_output(args.out, force=args.force)
    endings = _choices(args.format, (*(e[1:] for e in WRITABLE), _DICOM), "--format")
    what = _choices(args.what, (*_BODIES, *DICOM_ONLY), "--what")
    plan = read_plan(args.plan)
    folder = Path(args.plan) if Path(args.plan).is_dir() else Path(args.plan).parent
    _check_call(args, endings, what)
    ct = None if args.ct is None else load_ct(args.ct, args.series)
    dicom = DicomExport.of(plan, args, what, ct) if _DICOM in endings else None
    guides = plan.guides if "guides" in what else ()
    notes = guide_notes(plan, guides, allow_outdated=args.allow_outdated)
    bones = None
    if "bones" in what or "labels" in what:
        bones = read_segmentation(folder / "segmentation.seg.nrrd", reference=ct)
    parts = _parts(plan, folder, what, bones, ct, part(progress, 0.0, 0.7))
    document = plan_sha256(plan)
    warnings = tuple(w for p in parts if p.name in notes for w in notes[p.name].warnings)
    groups = file_groups(plan, parts, notes, merged=args.merged)
    rows: list[tuple[str, list[str], int]] = []
    with output_folder(args.out, force=args.force) as out:
        for n, (stem, members, says) in enumerate(groups):
            progress(0.7 + 0.2 * n / len(groups), f"Writing {stem}")
            for ending in endings:
                file = out / f"{stem}.{'dcm' if ending == _DICOM else ending}"
                if dicom is not None and ending == _DICOM:
                    dicom.write_parts(members, file, says, parts[:n])
                else:
                    write_parts(members, file, frame=args.frame.upper(), notes=says)
                rows.append((file.name, [p.name for p in members], sum(len(p.mesh.faces) for p in members)))
        progress(0.9, "Bodies written")
        if dicom is not None and bones is not None and "labels" in what:
            dicom.write_labels(bones, out / "segmentation.dcm")
            rows.append(("segmentation.dcm", [s.name for s in bones.segments], 0))
        if dicom is not None and "registration" in what:
            dicom.write_registration(out / "registration.dcm")
            rows.append(("registration.dcm", ["MR to CT"], 0))
    progress(1.0, "Done")
    listed = table(["File", "Parts", "Triangles"], [[name, ", ".join(names), str(n or "")] for name, names, n in rows])
    words = f"{len(rows)} files in {args.frame.upper()} mm, plan {document[:12]}"
    as_json = {
        "plan_sha256": document,
        "frame": args.frame.upper(),
        "warnings": list(warnings),
        "files": [{"file": name, "parts": names} for name, names, _ in rows],
    }
    if dicom is not None and not args.with_patient:
        words += ". DICOM without the patient: an archive keeps it beside the patient's study (--with-patient: in it)"
    say("\n".join([listed, words, *warnings]), as_json, as_json=args.json)
    return DONE


def _check_call(args: argparse.Namespace, endings: Sequence[str], what: Sequence[str]) -> None:
    """Refuse options that do not go together."""
    dicom_only = [w for w in what if w in DICOM_ONLY]
    if dicom_only and _DICOM not in endings:
        raise InputError(f"{' and '.join(dicom_only)} can only be written as DICOM", "Add --format dicom.")
    if (args.mr is not None or args.with_patient) and _DICOM not in endings:
        raise InputError("--mr and --with-patient are for --format dicom")
    if args.ct is not None and "bones" not in what and _DICOM not in endings:
        raise InputError("--ct is for the surfaces of bones and for DICOM", "Leave it out, or export the bones too.")


def _parts(
    plan: Plan,
    folder: Path,
    what: Sequence[str],
    bones: Segmentation | None,
    ct: Volume | None,
    progress: Progress,
) -> list[Part]:
    bodies = [w for w in what if w in _BODIES]
    parts: list[Part] = []
    if "guides" in bodies:
        parts += guide_parts(plan, folder)
    if "bones" in bodies and bones is not None:
        parts += bone_parts(plan, bones, ct, progress=progress)
    if "screws" in bodies:
        parts += screw_parts(plan)
    if "fragments" in bodies:
        parts += osteotomy_parts(plan, folder, planned=True)
    if "fragments-before" in bodies:
        parts += osteotomy_parts(plan, folder, planned=False)
    if "resections" in bodies:
        parts += resection_parts(plan, folder)
    if bodies and not parts:
        raise InputError(f"the plan holds no {' and no '.join(bodies)}", "Choose others by --what.", where=plan.plan_id)
    return parts


def _choices(text: str, known: Sequence[str], option: str) -> list[str]:
    chosen = list(dict.fromkeys(t.strip().lower() for t in text.split(",") if t.strip()))
    wrong = [c for c in chosen if c not in known]
    if wrong or not chosen:
        raise InputError(f"'{wrong[0] if wrong else text}' is not known", f"Known: {', '.join(known)}.", where=option)
    return chosen
