"""`mskplanner export`: the bodies of a plan as files for printers, navigation and other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, part
from MSKFusionLib.segmentation.files import read_segmentation

from ..export.mesh_files import WRITABLE, write_parts
from ..export.parts import FileNotes, Part
from ..export.plan_parts import bone_parts, guide_parts, plan_notes, screw_parts
from ..output_folder import check_output, output_folder
from ..plan import Plan
from ..plan_file import plan_sha256, read_plan
from .commands import load_ct
from .console import say, table
from .status import DONE

_WHAT = ("guides", "bones", "screws")


def export(args: argparse.Namespace, progress: Progress) -> int:
    """Write the guides, bones and screws of a plan."""
    check_output(args.out, force=args.force)
    endings = _choices(args.format, tuple(e[1:] for e in WRITABLE), "--format")
    what = _choices(args.what, _WHAT, "--what")
    plan = read_plan(args.plan)
    folder = Path(args.plan) if Path(args.plan).is_dir() else Path(args.plan).parent
    if args.ct is not None and "bones" not in what:
        raise InputError("--ct is for the surfaces of bones", "Leave it out, or export the bones too.")
    notes = {g.name: plan_notes(plan, allow_outdated=args.allow_outdated, guides=[g]) for g in plan.guides}
    if "guides" not in what:
        notes = {}
    parts = _parts(plan, folder, what, args, part(progress, 0.0, 0.7))
    plain = FileNotes(plan_sha256(plan))
    warnings = tuple(w for p in parts if p.name in notes for w in notes[p.name].warnings)
    groups = [("merged", parts, FileNotes(plain.plan_sha256, warnings))] if args.merged else []
    if not args.merged:
        groups = [(p.file_stem, [p], notes.get(p.name, plain)) for p in parts]
        _refuse_same_names([stem for stem, _, _ in groups])
    written = []
    with output_folder(args.out, force=args.force) as out:
        for n, (stem, members, says) in enumerate(groups):
            progress(0.7 + 0.3 * n / len(groups), f"Writing {stem}")
            for ending in endings:
                write_parts(members, out / f"{stem}.{ending}", frame=args.frame.upper(), notes=says)
                written.append((f"{stem}.{ending}", members))
    progress(1.0, "Done")
    rows = [[name, ", ".join(p.name for p in m), str(sum(len(p.mesh.faces) for p in m))] for name, m in written]
    words = f"{len(written)} files in {args.frame.upper()} mm, plan {plain.plan_sha256[:12]}"
    as_json = {
        "plan_sha256": plain.plan_sha256,
        "frame": args.frame.upper(),
        "warnings": list(warnings),
        "files": [{"file": name, "parts": [p.name for p in m]} for name, m in written],
    }
    say("\n".join([table(["File", "Parts", "Triangles"], rows), words, *warnings]), as_json, as_json=args.json)
    return DONE


def _parts(plan: Plan, folder: Path, what: Sequence[str], args: argparse.Namespace, progress: Progress) -> list[Part]:
    parts: list[Part] = []
    if "guides" in what:
        parts += guide_parts(plan, folder)
    if "bones" in what:
        ct = None if args.ct is None else load_ct(args.ct, args.series)
        bones = read_segmentation(folder / "segmentation.seg.nrrd", reference=ct)
        parts += bone_parts(plan, bones, ct, progress=progress)
    if "screws" in what:
        parts += screw_parts(plan)
    if not parts:
        raise InputError(f"the plan holds no {' and no '.join(what)}", "Choose others by --what.", where=str(args.plan))
    return parts


def _choices(text: str, known: Sequence[str], option: str) -> list[str]:
    chosen = list(dict.fromkeys(t.strip().lower() for t in text.split(",") if t.strip()))
    wrong = [c for c in chosen if c not in known]
    if wrong or not chosen:
        raise InputError(f"'{wrong[0] if wrong else text}' is not known", f"Known: {', '.join(known)}.", where=option)
    return chosen


def _refuse_same_names(stems: Sequence[str]) -> None:
    lowered = [s.lower() for s in stems]
    same = next((s for s in stems if lowered.count(s.lower()) > 1), None)
    if same:
        raise InputError(f"two parts would have the file name '{same}'", "Write them into one file with --merged.")
