"""Mesh files: STL, 3MF, PLY, OBJ and VTK read; the first four written too (`mesh_writing`).

Files hold LPS millimetres, as Slicer writes them since version 4.11; the STL header says so (``SPACE=LPS``) and is
obeyed when it says otherwise. The same mesh gives the same bytes on every machine, and a file is there whole or not at
all.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm
from vtkmodules.vtkIOGeometry import vtkOBJReader
from vtkmodules.vtkIOLegacy import vtkPolyDataReader
from vtkmodules.vtkIOPLY import vtkPLYReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import flip_ras_lps

from ..mesh import Mesh, merge_vertices
from .mesh_3mf import SPACE_3MF
from .mesh_writing import STL_TRIANGLE, WRITABLE, write_3mf, write_parts, write_stl

__all__ = ["READABLE", "WRITABLE", "read_mesh", "write_3mf", "write_parts", "write_stl"]

_3MF_UNITS_MM = {"micron": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "inch": 25.4, "foot": 304.8, "meter": 1000.0}
READABLE = (".stl", ".3mf", ".ply", ".obj", ".vtk", ".vtp")


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
        ".ply": lambda p: _read_vtk(p, vtkPLYReader()),
        ".obj": lambda p: _read_vtk(p, vtkOBJReader()),
        ".vtk": lambda p: _read_vtk(p, vtkPolyDataReader()),
        ".vtp": lambda p: _read_vtk(p, vtkXMLPolyDataReader()),
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
        if len(data) == 84 + count * STL_TRIANGLE.itemsize:
            triangles = np.frombuffer(data, dtype=STL_TRIANGLE, offset=84)
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


def _read_vtk(path: Path, reader: vtkAlgorithm) -> tuple[Mesh, str]:
    errors: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: errors.append("error"))
    reader.SetFileName(str(path))
    reader.Update()
    if errors:
        raise _cut_short(path)
    data = reader.GetOutput()
    notes = reader.GetHeader() or "" if isinstance(reader, vtkPolyDataReader) else ""
    if isinstance(reader, vtkPLYReader):
        comments = reader.GetComments()
        notes = " ".join(comments.GetValue(n) for n in range(comments.GetNumberOfValues()))
    elif isinstance(reader, vtkOBJReader):
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
    space = {"m": SPACE_3MF}
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
