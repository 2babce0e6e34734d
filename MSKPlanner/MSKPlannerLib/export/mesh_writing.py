"""STL, PLY and OBJ: parts written in LPS mm (RAS on demand), which the file says; the same parts give the same bytes.

3MF is in `mesh_3mf`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import unit_rows
from MSKFusionLib.whole_file import whole_file

from ..mesh import Mesh
from .mesh_3mf import write_3mf_parts
from .parts import FileNotes, Part, merged, single_precision

STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_PLY_VERTEX = np.dtype([("place", "<f4", 3), ("colour", "u1", 3)])
_PLY_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_HEADER_BYTES = 80


def write_parts(parts: Sequence[Part], path: str | Path, *, frame: str = "LPS", notes: FileNotes | None = None) -> None:
    """Write parts into one file, in the format that its ending names (`WRITABLE`).

    Single precision (0.1 micrometre at a metre), the same numbers in every format. STL and PLY hold one merged mesh (PLY
    with colours), 3MF and OBJ an object a part, with names and colours.

    Raises
    ------
    InputError
        When there is nothing to write, the ending or the frame is unknown, or the file cannot be written.
    """
    target = Path(path)
    if not parts:
        raise InputError("there is nothing to write", where=str(path))
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        raise InputError(
            f"'{target.suffix}' is not a format that is written", f"Give one of {', '.join(_WRITERS)}.", where=str(path)
        )
    writer(parts, target, frame, notes or FileNotes())


def write_stl(mesh: Mesh, path: str | Path, *, frame: str = "LPS", notes: FileNotes | None = None) -> None:
    """Write one mesh as a binary STL with ``SPACE=LPS`` (or RAS) in its header; see `write_parts`."""
    _write_stl([Part("mesh", "guide", mesh)], Path(path), frame, notes or FileNotes())


def write_3mf(
    mesh: Mesh, path: str | Path, *, name: str = "guide", frame: str = "LPS", notes: FileNotes | None = None
) -> None:
    """Write one mesh as a 3MF package in millimetres, its coordinates equal to the STL's; see `write_parts`."""
    write_3mf_parts([Part(name, "guide", mesh)], Path(path), frame, notes or FileNotes())


def stl_bytes(parts: Sequence[Part], *, frame: str = "LPS", notes: FileNotes | None = None) -> bytes:
    """Return parts as one merged binary STL, as its file holds it; see `write_parts`."""
    points, faces = single_precision(merged(parts)[0], frame)
    corners = points[faces].astype("<f4")
    edges = corners.astype(np.float64)
    normal = unit_rows(np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]))
    triangles = np.zeros(len(corners), dtype=STL_TRIANGLE)
    triangles["normal"], triangles["corners"] = normal, corners
    return _stl_header(frame, notes or FileNotes()) + np.uint32(len(triangles)).tobytes() + triangles.tobytes()


def _write_stl(parts: Sequence[Part], path: Path, frame: str, notes: FileNotes) -> None:
    content = stl_bytes(parts, frame=frame, notes=notes)
    with whole_file(path) as draft:
        draft.write_bytes(content)


def _stl_header(frame: str, notes: FileNotes) -> bytes:
    # Not "solid ..." at the start: readers would take the file for text. The warning first: 80 bytes are soon full.
    words = [f"MSK Planner output. SPACE={frame}; UNITS=mm", *(w.split(":")[0] for w in notes.warnings)]
    words += [f"PLAN={notes.plan_sha256[:12]}"] if notes.plan_sha256 else []
    return "; ".join(words).encode("ascii", errors="replace")[:_HEADER_BYTES].ljust(_HEADER_BYTES, b" ")


def _comments(frame: str, notes: FileNotes) -> list[str]:
    """Return what text headers say, a line each."""
    lines = [f"MSK Planner output. SPACE={frame}; UNITS=mm"]
    lines += [f"PLAN-SHA256={notes.plan_sha256}"] if notes.plan_sha256 else []
    lines += [f"WARNING {w}" for w in notes.warnings]
    return [" ".join(line.encode("ascii", errors="replace").decode("ascii").split()) for line in lines]


def _write_ply(parts: Sequence[Part], path: Path, frame: str, notes: FileNotes) -> None:
    mesh, owner = merged(parts)
    points, faces = single_precision(mesh, frame)
    vertices = np.zeros(len(points), dtype=_PLY_VERTEX)
    colours = np.array([[round(255 * value) for value in p.colour] for p in parts], dtype=np.uint8)
    vertices["place"], vertices["colour"] = points, colours[owner]
    triangles = np.zeros(len(faces), dtype=_PLY_FACE)
    triangles["count"], triangles["corners"] = 3, faces
    named = [f"part {n}: {p.name} ({p.kind})" for n, p in enumerate(parts)]
    header = ["ply", "format binary_little_endian 1.0", *(f"comment {c}" for c in _comments(frame, notes))]
    header += [f"comment {n.encode('ascii', errors='replace').decode('ascii')}" for n in named]
    header += [f"element vertex {len(points)}", *(f"property float {axis}" for axis in "xyz")]
    header += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    with whole_file(path) as draft:
        draft.write_bytes(("\n".join(header) + "\n").encode("ascii") + vertices.tobytes() + triangles.tobytes())


def _write_obj(parts: Sequence[Part], path: Path, frame: str, notes: FileNotes) -> None:
    """Write an OBJ with its colours in an MTL file of the same name beside it."""
    materials = path.with_suffix(".mtl").name
    lines = [*(f"# {c}" for c in _comments(frame, notes)), f"mtllib {materials}"]
    first = 1
    for n, part in enumerate(parts):
        points, faces = single_precision(part.placed, frame)
        lines += [f"o {' '.join(part.name.split()).replace(' ', '_')}", f"usemtl material_{n}"]
        lines += [f"v {x} {y} {z}" for x, y, z in points.astype("U32")]
        lines += [f"f {a} {b} {c}" for a, b, c in (faces + first).tolist()]
        first += len(points)
    colours = [
        f"newmtl material_{n}\nKd {' '.join(f'{value:.6f}' for value in p.colour)}\n" for n, p in enumerate(parts)
    ]
    with whole_file(path) as draft:
        draft.with_name(materials).write_text("\n".join(colours), encoding="utf-8", newline="\n")
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


_WRITERS: dict[str, Callable[[Sequence[Part], Path, str, FileNotes], None]] = {
    ".stl": _write_stl,
    ".3mf": write_3mf_parts,
    ".ply": _write_ply,
    ".obj": _write_obj,
}
#: Endings that `write_parts` knows.
WRITABLE = tuple(_WRITERS)
