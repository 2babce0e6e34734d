"""Mesh files: STL and 3MF written, STL, 3MF, PLY, OBJ and VTK read.

Files hold LPS millimetres, as Slicer writes them since version 4.11; the STL header says so (``SPACE=LPS``) and is
obeyed when it says otherwise. The same mesh gives the same bytes on every machine, and a file is there whole or not at
all.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import vtk

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import flip_ras_lps, unit_rows
from MSKFusionLib.whole_file import whole_file

from ..mesh import Mesh, merge_vertices

_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_3MF_SPACE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_3MF_UNITS_MM = {"micron": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "inch": 25.4, "foot": 304.8, "meter": 1000.0}
#: The earliest date a zip archive can hold: the file's bytes do not depend on when it was written.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
READABLE = (".stl", ".3mf", ".ply", ".obj", ".vtk", ".vtp")


# --------------------------------------------------------------------------------------------------------------- writing
def write_stl(mesh: Mesh, path: str | Path, *, frame: str = "LPS") -> None:
    """Write a binary STL with ``SPACE=LPS`` (or RAS) in its header, single precision (0.1 micrometre at a metre).

    Raises
    ------
    InputError
        When the mesh is empty or not finite, the frame is unknown, or the file cannot be written.
    """
    _check_writable(mesh, path)
    points = _in_frame(mesh, frame)
    corners = points[mesh.faces].astype("<f4")
    edges = corners.astype(np.float64)
    normal = unit_rows(np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]))
    triangles = np.zeros(len(corners), dtype=_STL_TRIANGLE)
    triangles["normal"], triangles["corners"] = normal, corners
    # Not "solid ..." at the start: readers would take the file for text.
    header = f"MSK Planner output. SPACE={frame}; UNITS=mm".encode("ascii").ljust(80, b" ")
    with whole_file(path) as draft:
        draft.write_bytes(header + np.uint32(len(triangles)).tobytes() + triangles.tobytes())


def write_3mf(mesh: Mesh, path: str | Path, *, name: str = "guide", frame: str = "LPS") -> None:
    """Write a 3MF package in millimetres (3MF core specification 1.2.3), its coordinates equal to the STL's.

    Raises
    ------
    InputError
        When the mesh is empty or not finite, the frame is unknown, or the file cannot be written.
    """
    _check_writable(mesh, path)
    # Single precision, as in the STL: both files describe the same solid.
    points = _in_frame(mesh, frame).astype(np.float32)
    vertices = "\n".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in _numbers(points))
    triangles = "\n".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in mesh.faces.tolist())
    title = name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    model = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<model unit="millimeter" xml:lang="en-US" xmlns="{_3MF_SPACE}">\n'
        f'<metadata name="Title">{title}</metadata>\n'
        '<metadata name="Application">MSK Planner</metadata>\n'
        f'<metadata name="Description">Patient coordinates, SPACE={frame}</metadata>\n'
        f'<resources>\n<object id="1" name="{title}" type="model">\n<mesh>\n'
        f"<vertices>\n{vertices}\n</vertices>\n<triangles>\n{triangles}\n</triangles>\n"
        '</mesh>\n</object>\n</resources>\n<build>\n<item objectid="1"/>\n</build>\n</model>\n'
    )
    types = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\n'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\n'
        '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>\n'
        "</Types>\n"
    )
    relations = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">\n'
        '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
        'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>\n'
        "</Relationships>\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        for part, text in (("[Content_Types].xml", types), ("_rels/.rels", relations), ("3D/3dmodel.model", model)):
            entry = zipfile.ZipInfo(part, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            package.writestr(entry, text.encode("utf-8"), compresslevel=6)
    with whole_file(path) as draft:
        draft.write_bytes(packed.getvalue())


def _numbers(points: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """Write single-precision coordinates with as many digits as tell them apart, never in exponents."""
    for row in points:
        x, y, z = (np.format_float_positional(value, unique=True, trim="0") for value in row)
        yield x, y, z


def _in_frame(mesh: Mesh, frame: str) -> np.ndarray:
    if frame not in ("LPS", "RAS"):
        raise InputError(f"the frame '{frame}' is neither LPS nor RAS")
    return flip_ras_lps(mesh.vertices_ras) if frame == "LPS" else mesh.vertices_ras


def _check_writable(mesh: Mesh, path: str | Path) -> None:
    if not len(mesh.faces):
        raise InputError("the mesh is empty; nothing is written", where=str(path))
    if not np.all(np.isfinite(mesh.vertices_ras)):
        raise InputError("the mesh has corners that are not numbers; nothing is written", where=str(path))


# --------------------------------------------------------------------------------------------------------------- reading
def read_mesh(path: str | Path, *, frame: str | None = None) -> Mesh:
    """Read a mesh file into RAS; corners at the same place become one.

    Parameters
    ----------
    frame
        ``LPS`` or ``RAS``: what the file's coordinates are; None: what its header says, LPS where it says nothing.

    Raises
    ------
    InputError
        When the file is missing, of an unknown kind, cut short, or holds no triangles.
    """
    source = Path(path)
    readers: dict[str, Callable[[Path], tuple[Mesh, str]]] = {
        ".stl": _read_stl,
        ".3mf": _read_3mf,
        ".ply": lambda p: _read_vtk(p, vtk.vtkPLYReader()),
        ".obj": lambda p: _read_vtk(p, vtk.vtkOBJReader()),
        ".vtk": lambda p: _read_vtk(p, vtk.vtkPolyDataReader()),
        ".vtp": lambda p: _read_vtk(p, vtk.vtkXMLPolyDataReader()),
    }
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise InputError(
            f"'{source.suffix}' is not a mesh format", f"Give one of {', '.join(READABLE)}.", where=str(path)
        )
    if not source.is_file():
        raise InputError("there is no such file", "Check the path.", where=str(path))
    mesh, notes = reader(source)
    if not len(mesh.faces):
        raise InputError("there are no triangles in this file", "Export the mesh again.", where=str(path))
    found = re.search(r"SPACE\s*=\s*(LPS|RAS)", notes)
    space = frame or (found.group(1) if found else "LPS")
    merged = merge_vertices(mesh)
    return Mesh(flip_ras_lps(merged.vertices_ras), merged.faces) if space == "LPS" else merged


def _cut_short(path: Path) -> InputError:
    return InputError("this file is cut short or not what its name says", "Export the mesh again.", where=str(path))


def _read_stl(path: Path) -> tuple[Mesh, str]:
    data = path.read_bytes()
    notes = data[:80].decode("ascii", errors="replace")
    if len(data) >= 84:
        count = int.from_bytes(data[80:84], "little")
        if len(data) == 84 + count * _STL_TRIANGLE.itemsize:
            triangles = np.frombuffer(data, dtype=_STL_TRIANGLE, offset=84)
            corners = triangles["corners"].astype(np.float64).reshape(-1, 3)
            return Mesh(corners, np.arange(len(corners)).reshape(-1, 3)), notes
    if not data.lstrip().startswith(b"solid") or b"endsolid" not in data:
        raise _cut_short(path)
    number = rb"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf)\w*)"
    found = re.findall(rb"vertex\s+" + rb"\s+".join([number] * 3), data, flags=re.IGNORECASE)
    if len(found) % 3 or len(found) != data.lower().count(b"vertex"):
        raise _cut_short(path)
    corners = np.array(found, dtype="S32").astype(np.float64).reshape(-1, 3)
    return Mesh(corners, np.arange(len(corners)).reshape(-1, 3)), data.splitlines()[0].decode("ascii", errors="replace")


def _read_vtk(path: Path, reader: vtk.vtkAlgorithm) -> tuple[Mesh, str]:
    errors: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: errors.append("error"))
    reader.SetFileName(str(path))
    reader.Update()
    if errors:
        raise _cut_short(path)
    data = reader.GetOutput()
    notes = reader.GetHeader() or "" if isinstance(reader, vtk.vtkPolyDataReader) else ""
    if isinstance(reader, vtk.vtkPLYReader):
        comments = reader.GetComments()
        notes = " ".join(comments.GetValue(n) for n in range(comments.GetNumberOfValues()))
    elif isinstance(reader, vtk.vtkOBJReader):
        notes = reader.GetComment() or ""
    field = data.GetFieldData().GetAbstractArray("SPACE")
    if field is not None and field.GetNumberOfValues():
        notes = f"SPACE={field.GetVariantValue(0).ToString()}"
    return Mesh.from_polydata(data), notes


def _read_3mf(path: Path) -> tuple[Mesh, str]:
    try:
        with zipfile.ZipFile(path) as package:
            root = ElementTree.fromstring(package.read(_model_part(package)))
        return _mesh_of_model(root)
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, ValueError, IndexError, ProcessingError) as error:
        raise _cut_short(path) from error


def _model_part(package: zipfile.ZipFile) -> str:
    relations = ElementTree.fromstring(package.read("_rels/.rels"))
    for relation in relations:
        if relation.get("Type", "").endswith("/3dmodel"):
            return relation.get("Target", "").lstrip("/")
    raise KeyError("no model in the package")


def _mesh_of_model(root: ElementTree.Element) -> tuple[Mesh, str]:
    space = {"m": _3MF_SPACE}
    scale = _3MF_UNITS_MM[root.get("unit", "millimeter")]
    objects = {o.get("id", ""): o for o in root.findall("m:resources/m:object", space)}
    vertices, faces, offset = [], [], 0
    pending = [(i.get("objectid", ""), _affine(i.get("transform"))) for i in root.findall("m:build/m:item", space)]
    while pending:
        key, matrix = pending.pop(0)
        body = objects[key]
        for part in body.findall("m:components/m:component", space):
            pending.append((part.get("objectid", ""), _affine(part.get("transform")) @ matrix))
        corners = [[float(v.get(a, "nan")) for a in "xyz"] for v in body.findall("m:mesh/m:vertices/m:vertex", space)]
        triangles = body.findall("m:mesh/m:triangles/m:triangle", space)
        if corners and triangles:
            p = np.column_stack([np.array(corners), np.ones(len(corners))]) @ matrix
            vertices.append(p[:, :3] * scale)
            faces.append(np.array([[int(t.get(a, "-1")) for a in ("v1", "v2", "v3")] for t in triangles]) + offset)
            offset += len(corners)
    notes = " ".join(m.text or "" for m in root.findall("m:metadata", space))
    if not vertices:
        return Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)), notes
    return Mesh(np.concatenate(vertices), np.concatenate(faces)), notes


def _affine(text: str | None) -> np.ndarray:
    """Return a 3MF transform (row vectors, 4 rows of 3) as a 4x4 that multiplies from the right."""
    matrix = np.eye(4)
    if text:
        matrix[:, :3] = np.array([float(x) for x in text.split()]).reshape(4, 3)
    return matrix
