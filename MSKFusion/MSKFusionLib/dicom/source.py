"""Where the images of a series belong: study, frame of reference, instances; for objects that are filed beside them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from ..errors import InputError
from ..volume import Modality
from .patient import PatientKey
from .series import choose, find_candidates

#: Who the patient is and what the study is about: what stays behind unless it is asked for.
IDENTITY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_PLACE = """SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID
    PositionReferenceIndicator Modality InstanceNumber Rows Columns NumberOfFrames PixelSpacing SliceThickness
    ImagePositionPatient ImageOrientationPatient SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    DimensionOrganizationSequence DimensionIndexSequence ImageType"""


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """The series that a volume was read from.

    Parameters
    ----------
    modality
        As the header says it: ``CT``, ``MR``.
    headers
        One a file, in the order of the slices: identity (`IDENTITY`), UIDs and geometry, no pixels. Never shown.
    patient
        Compared, never shown.
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    headers: tuple[Dataset, ...] = field(repr=False)
    patient: PatientKey = field(repr=False)

    @property
    def images(self) -> tuple[tuple[str, str], ...]:
        """SOP class and instance UID of each file."""
        return tuple((str(h.SOPClassUID), str(h.SOPInstanceUID)) for h in self.headers)

    def identity(self, keyword: str) -> str:
        """Return one of `IDENTITY` as text, empty where the header lacks it."""
        value = self.headers[0].get(keyword)
        return "" if value is None else str(value)


def read_source(folder: str | Path, series: str | None = None, *, modality: Modality | None = None) -> SourceSeries:
    """Read where a series belongs; arguments as in `read_series`, which chooses the same images.

    Raises
    ------
    InputError
        When the series cannot be chosen or read, its images name no study or frame of reference, or several.
    """
    place = str(folder)
    chosen, _ = choose(find_candidates(folder), series, modality, place)
    files = list(dict.fromkeys(f.path for f in (chosen.part.stack or chosen.part).frames))
    headers = tuple(_header(path) for path in files)
    uids = []
    for keyword, name in (("StudyInstanceUID", "study"), ("FrameOfReferenceUID", "frame of reference")):
        found = {str(h.get(keyword) or "") for h in headers}
        if len(found) > 1 or "" in found:
            fault = "no" if "" in found else "more than one"
            raise InputError(
                f"the images of this series name {fault} {name}, so nothing can be tied to them",
                "Export the series again from the archive.",
                where=place,
            )
        uids.append(found.pop())
    first = headers[0]
    return SourceSeries(
        uids[0], chosen.info.uid, uids[1], str(first.get("Modality") or ""), headers, PatientKey.of(first)
    )


def _header(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(
                path, stop_before_pixels=True, force=True, specific_tags=[*IDENTITY, *_PLACE.split()]
            )
    except Exception as error:  # pydicom raises whatever damaged bytes led it to
        raise InputError("the header of this DICOM file is damaged", "Export it again.", where=str(path)) from error
