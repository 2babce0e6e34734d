"""A file that is there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, in a hidden folder beside `path`; the file takes its place when the block ends well.

    The draft has the file's own name, which formats go by and some keep inside. Data files that a format puts beside
    its header (MetaImage's `.raw`) come along.

    Raises
    ------
    InputError
        When the file cannot be written; what was there before stays.
    """
    target = Path(path).absolute()
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        draft = folder / target.name
        yield draft
        # The header last: it is what names the file, and must not point at data that are not there yet.
        for part in sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: p == draft):
            part.replace(target.with_name(part.name))
    except OSError as error:
        raise InputError(f"the file cannot be written ({error.strerror or error})", where=str(path)) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
