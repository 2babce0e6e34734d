"""Guides that a plan's folder holds already: their solids read back, and what of the folder goes along into another."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from MSKFusionLib.errors import InputError

from ..editing.kept_solids import kept_solid
from ..pipeline import Case
from ..plan import Guide, Plan
from .plan_parts import guide_mesh

#: What a plan's folder keeps its labels as.
LABELS = "segmentation.seg.nrrd"
_REGISTRATION = ("registration.json", "fixed_to_moving.h5", "registration.html")


def folder_of(plan: str | Path) -> Path:
    """Return the folder of a plan that is named by it or by its document."""
    return Path(plan) if Path(plan).is_dir() else Path(plan).parent


def with_solids_of_files(case: Case, folder: Path) -> Case:
    """Return a case with the solids that it lacks, as the files of its guides hold them.

    Raises
    ------
    InputError
        When a file is missing, is not the guide that the plan describes, or lies outside the folder.
    """
    solids = dict(case.guides)
    for guide in case.plan.guides:
        if guide.file and guide.name not in solids:
            if not (folder / inside(guide.file, guide.name)).is_file():
                raise InputError(
                    f"its file {guide.file} is not there",
                    "Bring it back, or make the guide again (mskplanner guide PLAN --regenerate).",
                    where=guide.name,
                )
            solids[guide.name] = kept_solid(guide, guide_mesh(guide, folder))
    return replace(case, guides=solids)


def bring_along(plan: Plan, source: Path, target: Path, others: Iterable[str] = ()) -> None:
    """Copy what a plan's folder holds besides its guides and is in the plan still: registration, parts of resections.

    Parameters
    ----------
    others
        Further files by their name in the folder.
    """
    names = [*(_REGISTRATION if plan.registration is not None else ()), *others]
    names += [inside(p.file, r.name) for r in plan.resections for p in r.parts if p.file]
    for name in names:
        if (source / name).is_file() and not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def files_of(guide: Guide) -> tuple[str, ...]:
    """Return the files of a guide in its plan's folder, its print sheet too."""
    named = tuple(dict.fromkeys(f for f in (guide.file, *guide.files) if f))
    return (*named, str(PurePosixPath(guide.file).with_suffix(".html"))) if guide.file else named


def inside(file: str, what: str) -> str:
    """Return the name of a file in a plan's folder, refused where it leads out of it (`InputError`)."""
    path = PurePosixPath(file.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in file:
        raise InputError(f"'{file[:60]}' lies outside the plan's folder", "Mend the plan, or plan again.", where=what)
    return file
