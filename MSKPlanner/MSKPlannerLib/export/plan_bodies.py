"""The bodies of a plan as mesh files: which ones, in which formats and frame, a file a body or all in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MSKFusionLib.errors import InputError
from MSKFusionLib.progress import Progress, no_progress, part

from ..colours import GUIDE_COLOUR, judged_colour
from ..output_folder import output_folder
from ..pipeline import Case
from ..plan import Guide, Plan
from ..plan_file import plan_sha256
from .mesh_files import WRITABLE, write_parts
from .parts import FileNotes, Part
from .plan_parts import bone_parts, plan_notes, screw_parts

#: What of a plan can be written, the endings of the formats without their dot, and the frames.
WHAT = ("guides", "bones", "screws")
FORMATS = tuple(ending[1:] for ending in WRITABLE)
FRAMES = ("LPS", "RAS")


@dataclass(frozen=True)
class BodyChoice:
    """What is written, and how.

    Parameters
    ----------
    what
        Of `WHAT`.
    formats
        Of `FORMATS`.
    frame
        Of `FRAMES`.
    merged
        All in one file, in place of a file a body.

    Raises
    ------
    InputError
        When nothing is chosen, or something unknown.
    """

    what: tuple[str, ...] = ("guides",)
    formats: tuple[str, ...] = ("stl",)
    frame: str = "LPS"
    merged: bool = False

    def __post_init__(self) -> None:
        for chosen, known, name in (
            (self.what, WHAT, "bodies"),
            (self.formats, FORMATS, "formats"),
            ((self.frame,), FRAMES, "frames"),
        ):
            wrong = [c for c in chosen if c not in known]
            if wrong or not chosen:
                problem = f"'{wrong[0]}' is not known" if wrong else "nothing is chosen"
                raise InputError(problem, f"Choose of: {', '.join(known)}.", where=name)


@dataclass(frozen=True)
class Written:
    """A file that was written, and the names of the bodies in it."""

    file: str
    parts: tuple[Part, ...]


def require_solids(case: Case) -> None:
    """Refuse a case that lacks the printable solid of a guide, as one that was loaded with its scene does.

    Raises
    ------
    InputError
        Which names the guide.
    """
    missing = [g.name for g in case.plan.guides if g.file and g.name not in case.guides]
    if missing:
        raise InputError("its printable solid is not at hand", "Bring the plan up to date first.", where=missing[0])


def guide_notes(plan: Plan, guides: Sequence[Guide], *, allow_outdated: bool = False) -> dict[str, FileNotes]:
    """Return what the files of some guides say of them, by name.

    Raises
    ------
    InputError
        When one is out of date and that is not allowed.
    """
    return {g.name: plan_notes(plan, allow_outdated=allow_outdated, guides=[g]) for g in guides}


def file_groups(
    plan: Plan, parts: Sequence[Part], notes: Mapping[str, FileNotes], *, merged: bool
) -> list[tuple[str, list[Part], FileNotes]]:
    """Return the files that parts go into: the name without its ending, the parts, what it says of itself.

    Parameters
    ----------
    notes
        What the files of a part say of it, by its name; the others name the plan.
    merged
        All in one file, in place of a file a part.

    Raises
    ------
    InputError
        When two files would have one name.
    """
    plain = FileNotes(plan_sha256(plan))
    if merged:
        warnings = tuple(w for p in parts if p.name in notes for w in notes[p.name].warnings)
        return [("merged", list(parts), FileNotes(plain.plan_sha256, warnings))] if parts else []
    groups = [(p.file_stem, [p], notes.get(p.name, plain)) for p in parts]
    stems = [stem.lower() for stem, _, _ in groups]
    same = next((stem for stem, _, _ in groups if stems.count(stem.lower()) > 1), None)
    if same:
        raise InputError(f"two parts would have the file name '{same}'", "Write them into one file (merged).")
    return groups


def export_bodies(
    case: Case,
    folder: str | Path,
    choice: BodyChoice,
    *,
    allow_outdated: bool = False,
    progress: Progress = no_progress,
) -> tuple[Written, ...]:
    """Write bodies of a case in hand into a new folder, whole or not at all.

    Raises
    ------
    InputError
        When a guide is out of date and that is not allowed, a solid is not at hand, there is nothing to write, or the
        folder cannot be written or holds results already.
    """
    parts: list[Part] = []
    notes: Mapping[str, FileNotes] = {}
    if "guides" in choice.what:
        notes = guide_notes(case.plan, case.plan.guides, allow_outdated=allow_outdated)
        require_solids(case)
        verdicts = {g.name: g.verdict for g in case.plan.guides}
        parts += [
            Part(name, "guide", solid.mesh, judged_colour(GUIDE_COLOUR, verdicts[name]))
            for name, solid in case.guides.items()
        ]
    if "bones" in choice.what:
        parts += bone_parts(case.plan, case.segmentation, case.ct, progress=part(progress, 0.0, 0.7))
    if "screws" in choice.what:
        parts += screw_parts(case.plan)
    if not parts:
        raise InputError(f"the plan holds no {' and no '.join(choice.what)}", "Choose others.", where=case.plan.plan_id)
    written = []
    groups = file_groups(case.plan, parts, notes, merged=choice.merged)
    with output_folder(folder) as staging:
        for n, (stem, members, says) in enumerate(groups):
            progress(0.7 + 0.3 * n / len(groups), f"Writing {stem}")
            for ending in choice.formats:
                write_parts(members, staging / f"{stem}.{ending}", frame=choice.frame, notes=says)
                written.append(Written(f"{stem}.{ending}", tuple(members)))
    progress(1.0, "Done")
    return tuple(written)
