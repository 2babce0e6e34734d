"""The files of a MONAI bundle, in a folder or in a zip; nothing is unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import InputError
from .plain_config import MOST_BYTES, PlainConfig, read_json

METADATA, INFERENCE, WEIGHTS = "configs/metadata.json", "configs/inference.json", "models/model.pt"
MOST_WEIGHT_BYTES = 4_000_000_000
_CHUNK = 1 << 22
#: What a file or a member of a zip that is broken, packed in an unknown way or locked makes.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class BundleFiles:
    """Where the files of a bundle lie.

    Parameters
    ----------
    path
        The folder or the zip.
    inside
        For a zip: what comes before ``configs/`` in its names.
    """

    path: Path
    inside: str | None = None

    @classmethod
    def find(cls, path: str | Path) -> BundleFiles:
        """Return the files of the bundle at `path`.

        Raises
        ------
        InputError
            When there is no bundle there.
        """
        p = Path(path)
        if p.is_dir():
            return cls(p)
        if not p.is_file():
            raise InputError("there is no such file or folder", "Give a MONAI bundle.", where=str(path))
        try:
            with zipfile.ZipFile(p) as archive:
                # The outermost one, should a bundle lie in another.
                heads = [n[: -len(METADATA)] for n in archive.namelist() if n == METADATA or n.endswith("/" + METADATA)]
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(
                "this is neither a folder nor a zip that can be read", "Give a MONAI bundle.", where=str(path)
            ) from error
        if not heads:
            raise InputError(f"there is no {METADATA} in this zip", "Give a MONAI bundle.", where=str(path))
        return cls(p, min(heads, key=lambda n: (n.count("/"), n)))

    def config(self, name: str) -> PlainConfig:
        """Read one JSON file.

        Raises
        ------
        InputError
            When it is missing or no JSON object.
        """
        where = f"{self.path.name}/{name}"
        with self._opened(name) as file:
            try:
                data = file.read(MOST_BYTES + 1)
            except _UNREADABLE as error:
                raise self._broken(name, error) from error
        return PlainConfig(read_json(data, where), where)

    @contextmanager
    def weights(self) -> Iterator[IO[bytes]]:
        """Open the weights to be read from any place in them.

        Raises
        ------
        InputError
            When they are missing or too large.
        """
        with self._opened(WEIGHTS) as file:
            if self.inside is None:
                yield file
                return
            # A packed member cannot be read backwards quickly, and a zip's own word on its size is not to be trusted.
            memory = io.BytesIO()
            try:
                while (chunk := file.read(_CHUNK)) and memory.tell() <= MOST_WEIGHT_BYTES:
                    memory.write(chunk)
            except _UNREADABLE as error:
                raise self._broken(WEIGHTS, error) from error
            if memory.tell() > MOST_WEIGHT_BYTES:
                raise self._too_large()
        memory.seek(0)
        yield memory

    def weights_sha256(self) -> str:
        """Return the hash of the weights' file."""
        with self.weights() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        with ExitStack() as stack:
            try:
                if self.inside is None:
                    place = self.path / name
                    if place.is_file() and place.stat().st_size > MOST_WEIGHT_BYTES:
                        raise self._too_large()
                    file: IO[bytes] = stack.enter_context(place.open("rb"))
                else:
                    archive = stack.enter_context(zipfile.ZipFile(self.path))
                    file = stack.enter_context(archive.open(self.inside + name))
            except (FileNotFoundError, KeyError) as error:
                raise InputError(
                    f"the bundle lacks {name}",
                    "Give a bundle with its configuration in JSON and its weights in it (nothing is downloaded).",
                    where=str(self.path),
                ) from error
            except _UNREADABLE as error:
                raise self._broken(name, error) from error
            yield file

    def _broken(self, name: str, error: Exception) -> InputError:
        return InputError(f"{name} cannot be read ({error})", "Get the bundle again.", where=str(self.path))

    def _too_large(self) -> InputError:
        return InputError(
            f"the weights take more than {MOST_WEIGHT_BYTES / 1e9:.0f} GB",
            "Give a smaller network.",
            where=str(self.path),
        )
