"""Encapsulated STL (DICOM PS3.3 A.85.2): one body of a plan, filed beside the images that it was planned on."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedSTLStorage

from .dicom_study import SHORT_TEXT, DicomStudy, code, instances, referenced_series
from .mesh_writing import stl_bytes
from .parts import FileNotes, Part

#: Series of these objects: its number, what it is called.
_SERIES = (9101, "MSK Planner: models for printing")
_USED_AS = {
    "guide": ("129014", "DCM", "Tool Fabrication"),
    "bone": ("129013", "DCM", "Planning Intent"),
    "screw": ("129013", "DCM", "Planning Intent"),
    "fragment": ("129013", "DCM", "Planning Intent"),
}


def stl_object(study: DicomStudy, parts: Sequence[Part], notes: FileNotes, number: int) -> Dataset:
    """Return bodies as one dataset to be written by `DicomStudy.write`: LPS mm in the CT's frame of reference.

    Parameters
    ----------
    parts
        One, or several as one merged mesh.
    notes
        What its file says of it: a guide out of date or rejected says so in its title.
    number
        Of the instance in its series, from 1.

    Raises
    ------
    InputError
        When the mesh cannot be written.
    """
    ds = Dataset()
    study.stamp(ds, EncapsulatedSTLStorage, "M3D", _SERIES, number)
    kinds = list(dict.fromkeys(p.kind for p in parts))
    ds.DocumentTitle = study.text("; ".join((*notes.warnings, ", ".join(p.name for p in parts))), SHORT_TEXT)
    ds.ContentDescription = study.text(f"{', '.join(kinds)} of plan {study.plan_sha256[:12]}")
    ds.AcquisitionDateTime = ""
    ds.BurnedInAnnotation = "NO"
    ds.ConceptNameCodeSequence = [code("85040-4", "LN", "CT 3D CAM model")]
    ds.SourceInstanceSequence = instances(study.source)
    ds.ReferencedSeriesSequence = [referenced_series(study.source)]
    ds.MIMETypeOfEncapsulatedDocument = "model/stl"
    content = stl_bytes(parts, frame="LPS", notes=notes)
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    ds.EncapsulatedDocumentLength = len(content)
    ds.MeasurementUnitsCodeSequence = [code("mm", "UCUM", "mm")]
    ds.ModelUsageCodeSequence = [code(*_USED_AS[k]) for k in kinds[:1]]
    if kinds == ["bone"]:
        ds.ModelModification, ds.ModelMirroring = "NO", "NO"
    return ds
