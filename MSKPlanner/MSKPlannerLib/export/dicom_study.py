"""What every DICOM object of a plan shares: the study it is filed in, its UIDs, who made it, how it is written.

The patient stays out unless asked for; the UIDs of study, series and frame of reference are there either way, since
they are what ties an object to the images. UIDs follow from the plan, the study and the content (2.25 and a UUID,
DICOM PS3.5 B.2), so that the same plan gives the same file.
"""

from __future__ import annotations

import hashlib
import io
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from MSKFusionLib import __version__
from MSKFusionLib.dicom.source import IDENTITY, SourceSeries
from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation.dicom_labels import OUR_NAME
from MSKFusionLib.whole_file import whole_file

from ..plan import Plan
from ..plan_file import plan_sha256

_UUID_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "mskplanner")
#: Longest texts of the value representations used here (PS3.5 6.2).
LONG_STRING, SHORT_TEXT = 64, 1024
_NO_PATIENT = "Anonymous^"


def derived_uid(*parts: str) -> str:
    """Return the UID that stands for these texts: the same ones give the same UID, on every machine."""
    return f"2.25.{uuid.uuid5(_UUID_SPACE, chr(0).join(parts)).int}"


@dataclass(frozen=True, eq=False)
class DicomStudy:
    """The study that the objects of a plan are filed in.

    Parameters
    ----------
    source
        The plan's CT as its files say it.
    created
        When the plan was made: the date of what is made from it.
    with_patient
        Take name, number and the study's texts over from the CT. Otherwise the patient is ``Anonymous`` with the plan's
        name as number, which an archive files apart from the patient's own study.
    """

    source: SourceSeries
    plan_id: str
    plan_sha256: str
    created: datetime
    with_patient: bool = False

    @classmethod
    def of(cls, plan: Plan, source: SourceSeries, *, with_patient: bool = False) -> DicomStudy:
        """Return the study of a plan's CT.

        Raises
        ------
        InputError
            When the plan does not say when it was made.
        """
        try:
            created = datetime.fromisoformat(plan.created)
        except ValueError as error:
            raise InputError(
                f"the plan was made at '{plan.created}', which is no date", "Plan again.", where=plan.plan_id
            ) from error
        return cls(source, plan.plan_id, plan_sha256(plan), created, with_patient)

    def text(self, words: str, longest: int = LONG_STRING) -> str:
        """Return words as an element of DICOM holds them, without the patient's name unless that is wished."""
        clean = words if self.with_patient else self.source.patient.scrub(words)
        clean = "".join(c if c.isprintable() else " " for c in clean).replace("\\", "/").strip()
        return clean if len(clean) <= longest else f"{clean[: longest - 3]}..."

    def stamp(self, ds: Dataset, sop_class: str, modality: str, series: tuple[int, str], number: int = 1) -> None:
        """Write patient, study, series, equipment and date into a dataset, over whatever stands there.

        Parameters
        ----------
        series
            Number and description; one series a kind of object.
        number
            Of the instance in its series.
        """
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID = sop_class
        with _silent():
            for keyword in IDENTITY:
                setattr(ds, keyword, self.source.identity(keyword) if self.with_patient else "")
        for keyword in ("IssuerOfPatientID", "StudyDescription"):  # not to be there empty
            if not ds.get(keyword):
                delattr(ds, keyword)
        if not self.with_patient:
            ds.PatientName, ds.PatientID = _NO_PATIENT, self.text(self.plan_id)
            ds.PatientIdentityRemoved = "YES"
            ds.DeidentificationMethod = "Patient and study texts left out, UIDs of study and images kept"
        ds.StudyInstanceUID = self.source.study_uid
        ds.Modality = modality
        ds.SeriesNumber, ds.SeriesDescription = series[0], self.text(series[1])
        ds.SeriesInstanceUID = derived_uid(
            "series", self.plan_sha256, self.source.series_uid, sop_class, str(self.with_patient)
        )
        ds.InstanceNumber = number
        ds.FrameOfReferenceUID = self.source.frame_of_reference_uid
        ds.PositionReferenceIndicator = ""
        ds.Manufacturer = ds.ManufacturerModelName = OUR_NAME
        ds.DeviceSerialNumber = f"plan {self.plan_sha256[:12]}"
        ds.SoftwareVersions = __version__
        ds.ContentDate = f"{self.created:%Y%m%d}"
        ds.ContentTime = f"{self.created:%H%M%S}"
        for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
            if keyword in ds:
                delattr(ds, keyword)

    def write(self, ds: Dataset, path: str | Path) -> str:
        """Give a dataset the UID that follows from its content, write it whole or not at all, and return the UID.

        Raises
        ------
        InputError
            When the file cannot be written.
        """
        if "SOPInstanceUID" in ds:
            del ds.SOPInstanceUID
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        content = io.BytesIO()
        with _silent():
            pydicom.dcmwrite(content, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
        uid = derived_uid("instance", self.plan_sha256, hashlib.sha256(content.getvalue()).hexdigest())
        ds.SOPInstanceUID = uid
        meta = ds.file_meta
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, UID(uid)
        meta.ImplementationClassUID = UID(derived_uid("implementation"))
        meta.ImplementationVersionName = f"MSKPLANNER_{__version__}"[:16]
        with _silent(), whole_file(path) as draft:
            ds.save_as(draft, enforce_file_format=True)
        return uid


@contextmanager
def _silent() -> Iterator[None]:
    """Keep pydicom from warning of values that the CT's header has wrong: its words repeat them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning[:LONG_STRING]
    return item


def instances(source: SourceSeries) -> list[Dataset]:
    """Return a reference to each file of a series."""
    found = []
    for sop_class, uid in source.images:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        found.append(item)
    return found


def referenced_series(source: SourceSeries) -> Dataset:
    """Return the item that names a series and its files (Common Instance Reference)."""
    item = Dataset()
    item.SeriesInstanceUID = source.series_uid
    item.ReferencedInstanceSequence = instances(source)
    return item
