"""What is exported: parts with a name, a colour and a place, and what their files say of the plan they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, check_rigid, flip_ras_lps
from MSKFusionLib.terminology import Colour

from ..colours import BONE_COLOUR
from ..mesh import IntArray, Mesh

#: What a part may be.
KINDS = ("guide", "bone", "screw", "fragment")


@dataclass(frozen=True, eq=False)
class Part:
    """One body of a plan as it is exported.

    Parameters
    ----------
    name
        As in the plan document.
    kind
        One of `KINDS`.
    mesh
        RAS mm, in its own place.
    colour
        Red, green, blue from 0 to 1.
    moved_ras
        Rigid 4x4 RAS that brings it to its planned place (a fragment's reduction); None: it stays. Files hold the
        planned place.

    Raises
    ------
    InputError
        When the kind is not known or the mesh is empty or not finite.
    GeometryError
        When `moved_ras` is not rigid.
    """

    name: str
    kind: str
    mesh: Mesh
    colour: Colour = BONE_COLOUR
    moved_ras: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"'{self.kind}' is no kind of part", f"Kinds: {', '.join(KINDS)}.", where=self.name)
        if self.moved_ras is not None:
            object.__setattr__(self, "moved_ras", check_rigid(self.moved_ras, self.name))
        check_writable(self.mesh, self.name)

    @property
    def placed(self) -> Mesh:
        """The mesh in its planned place, RAS mm."""
        return self.mesh if self.moved_ras is None else self.mesh.transformed(self.moved_ras)

    @property
    def file_stem(self) -> str:
        """A file name for it, without ending: letters, digits, dash and underscore."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", self.name).strip("_") or "part"
        return stem if self.kind in stem.lower() else f"{stem}_{self.kind}"


@dataclass(frozen=True)
class FileNotes:
    """What a file says of itself beside its triangles.

    Parameters
    ----------
    plan_sha256
        Hash of the plan document (`plan_file.plan_sha256`); empty where there is none.
    warnings
        What whoever opens the file must know (``OUT OF DATE: ...``), printable ASCII.
    """

    plan_sha256: str = ""
    warnings: tuple[str, ...] = ()


def check_writable(mesh: Mesh, where: str) -> None:
    """Refuse a mesh that no file can hold: empty, or with corners that are not numbers."""
    if not len(mesh.faces):
        raise InputError("the mesh is empty; nothing is written", where=where)
    if not np.all(np.isfinite(mesh.vertices_ras)):
        raise InputError("the mesh has corners that are not numbers; nothing is written", where=where)


def single_precision(mesh: Mesh, frame: str) -> tuple[FloatArray, IntArray]:
    """Return corners (N, 3) float32 in the file's frame, and faces: the same numbers in every format.

    Raises
    ------
    InputError
        When the frame is neither LPS nor RAS.
    """
    if frame not in ("LPS", "RAS"):
        raise InputError(f"the frame '{frame}' is neither LPS nor RAS")
    points = flip_ras_lps(mesh.vertices_ras) if frame == "LPS" else mesh.vertices_ras
    return points.astype(np.float32), mesh.faces


def merged(parts: Sequence[Part]) -> tuple[Mesh, IntArray]:
    """Return all parts in their planned places as one mesh, and the number of the part of each of its corners."""
    placed = [p.placed for p in parts]
    first = np.cumsum([0, *(len(m.vertices_ras) for m in placed)])
    mesh = Mesh(
        np.concatenate([m.vertices_ras for m in placed]),
        np.concatenate([m.faces + n for m, n in zip(placed, first[:-1], strict=True)]),
    )
    return mesh, np.repeat(np.arange(len(placed)), np.diff(first))
