"""3MF packages (3MF core specification 1.2.3): millimetres, an object a part, names, colours, the plan's hash."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from MSKFusionLib.frames import FloatArray
from MSKFusionLib.whole_file import whole_file

from ..colours import hex_colour
from .parts import FileNotes, Part, single_precision

SPACE_3MF = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
#: Metadata of our own stands in a namespace of our own, as the specification (3.4.1.2) asks.
_OUR_SPACE = "urn:x-mskplanner:3mf"
#: The earliest date a zip archive can hold: the file's bytes do not depend on when it was written.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\n'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\n'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>\n'
    "</Types>\n"
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">\n'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>\n'
    "</Relationships>\n"
)
#: Id of the colours; the objects are numbered after it.
_COLOURS_ID = 1


def write_3mf_parts(parts: Sequence[Part], path: Path, frame: str, notes: FileNotes) -> None:
    """Write parts as one 3MF package; called through `mesh_writing.write_parts`."""
    model = "".join(_model(parts, frame, notes))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        contents = (("[Content_Types].xml", _TYPES), ("_rels/.rels", _RELATIONS), ("3D/3dmodel.model", model))
        for part, text in contents:
            entry = zipfile.ZipInfo(part, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            package.writestr(entry, text.encode("utf-8"), compresslevel=6)
    with whole_file(path) as draft:
        draft.write_bytes(packed.getvalue())


def _model(parts: Sequence[Part], frame: str, notes: FileNotes) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<model unit="millimeter" xml:lang="en-US" xmlns="{SPACE_3MF}" xmlns:mskplanner="{_OUR_SPACE}">\n'
    description = "; ".join((f"Patient coordinates, SPACE={frame}", *notes.warnings))
    metadata = [
        ("Title", ", ".join(p.name for p in parts)),
        ("Application", "MSK Planner"),
        ("Description", description),
        ("mskplanner:Space", frame),
    ]
    metadata += [("mskplanner:PlanSHA256", notes.plan_sha256)] if notes.plan_sha256 else []
    metadata += [("mskplanner:Warning", "; ".join(notes.warnings))] if notes.warnings else []
    for name, value in metadata:
        yield f'<metadata name="{name}">{_text(value)}</metadata>\n'
    yield f'<resources>\n<basematerials id="{_COLOURS_ID}">\n'
    for part in parts:
        yield f'<base name={_attribute(part.name)} displaycolor="{hex_colour(part.colour).upper()}"/>\n'
    yield "</basematerials>\n"
    first = _COLOURS_ID + 1
    for n, part in enumerate(parts):
        name = _attribute(part.name)
        yield f'<object id="{first + n}" type="model" name={name} pid="{_COLOURS_ID}" pindex="{n}">\n<mesh>\n<vertices>\n'
        points, faces = single_precision(part.placed, frame)
        for x, y, z in _numbers(points):
            yield f'<vertex x="{x}" y="{y}" z="{z}"/>\n'
        yield "</vertices>\n<triangles>\n"
        for a, b, c in faces.tolist():
            yield f'<triangle v1="{a}" v2="{b}" v3="{c}"/>\n'
        yield "</triangles>\n</mesh>\n</object>\n"
    yield "</resources>\n<build>\n"
    for n in range(len(parts)):
        yield f'<item objectid="{first + n}"/>\n'
    yield "</build>\n</model>\n"


def _numbers(points: FloatArray) -> Iterator[tuple[str, str, str]]:
    """Write single-precision coordinates with as many digits as tell them apart, never in exponents."""
    text = points.astype("U32")
    small = np.char.find(text, "e") >= 0
    text[small] = [np.format_float_positional(v, unique=True, trim="0") for v in points[small]]
    yield from text.tolist()


def _text(value: str) -> str:
    return _attribute(value)[1:-1]


def _attribute(value: str) -> str:
    """Return a text in double quotes for XML; what XML cannot hold becomes a question mark."""
    clean = "".join(c if c >= " " and not 0xD800 <= ord(c) <= 0xDFFF and c not in "￾￿" else "?" for c in value)
    quoted = quoteattr(clean, {'"': "&quot;"})
    return quoted
