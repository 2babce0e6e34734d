"""An output folder that is written whole or not at all.

Everything is made in a hidden folder beside it; the two change places in one step at the end. A run that is killed
leaves what was there before; files in the folder that no plan wrote are kept.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MSKFusionLib.errors import InputError

#: Lists what a run wrote, so that the next one with --force replaces just that.
MANIFEST = ".mskplanner-files.json"
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


@contextmanager
def output_folder(folder: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder to write into; it becomes `folder` when the block ends without an exception.

    Raises
    ------
    InputError
        When `folder` holds results already and `force` is not set, is a file, or cannot be written.
    """
    target = Path(folder).expanduser().absolute()
    check_output(target, force=force)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        raise InputError(f"the output folder cannot be made ({error.strerror})", where=str(target)) from error
    try:
        yield staging
        _finish(staging, target)
    except OSError as error:
        raise InputError(
            f"the results cannot be written ({error.strerror or error})",
            "Free disk space or choose another folder; what was there is unchanged.",
            where=str(target),
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_files(*files: str | Path | None, force: bool = False) -> None:
    """Refuse files that are there already, before any work is done, unless `force` is set; None is passed over.

    Raises
    ------
    InputError
        For the first of them that is there.
    """
    for file in files:
        if file is not None and Path(file).exists() and not force:
            raise InputError(
                "this file is there already", "Choose another, or replace it with --force.", where=str(file)
            )


def check_output(folder: str | Path, *, force: bool = False) -> None:
    """Refuse a folder that cannot be written to before any work is done; arguments as in `output_folder`."""
    target = Path(folder).expanduser().absolute()
    if target.exists() and not target.is_dir():
        raise InputError("this is a file, not a folder", "Choose another output folder.", where=str(target))
    if not force and any(
        (target / name).exists()
        for name in (MANIFEST, "plan.json", "registration.json", "resection.json", "reduction.json")
    ):
        raise InputError(
            "there are results in this folder already",
            "Choose another folder, or replace them with --force.",
            where=str(target),
        )
    existing = next(p for p in (target, *target.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise InputError("the folder cannot be written to", "Choose another output folder.", where=str(existing))


def _finish(staging: Path, target: Path) -> None:
    written = sorted(p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file())
    (staging / MANIFEST).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    umask = os.umask(0)
    os.umask(umask)
    staging.chmod(0o777 & ~umask)  # mkdtemp makes it private
    if not target.exists():
        staging.rename(target)
        return
    _keep_foreign_files(target, staging)
    if not _exchange(staging, target):
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent)) / "old"
        target.rename(aside)
        try:
            staging.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside.parent, ignore_errors=True)


def _keep_foreign_files(target: Path, staging: Path) -> None:
    """Bring the files that no earlier run wrote along, by a second hard link where the disk has them."""
    manifest = target / MANIFEST
    ours = {MANIFEST}
    if manifest.is_file():
        ours.update(json.loads(manifest.read_text(encoding="utf-8")))
    for path in sorted(target.rglob("*")):
        relative = path.relative_to(target)
        copy = staging / relative
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                copy.mkdir(parents=True, exist_ok=True)
            continue
        if relative.as_posix() in ours:
            continue
        if copy.exists():  # somebody's own file has the name of one of ours
            copy = copy.with_name(f"{copy.name}.before-mskplanner")
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, copy, follow_symlinks=False)
        except OSError:
            shutil.copy2(path, copy, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step, where the system can (Linux); tell whether it did."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)
