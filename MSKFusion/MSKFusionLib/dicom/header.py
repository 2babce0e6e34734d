"""What one DICOM file says about its images: one `FrameHeader` an image, for single and enhanced multi-frame objects."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from ..errors import InputError
from ..frames import FloatArray
from .patient import PatientKey

#: Objects that may carry rows and columns, yet are no image of the patient to plan on.
_NOT_PLANNED_ON = "SEG RTDOSE RTSTRUCT RTPLAN RTIMAGE RTRECORD SR PR KO REG FID DOC AU ECG HD RWV M3D PLAN"
_NO_IMAGES = frozenset(_NOT_PLANNED_ON.split())

#: Attributes that tell apart several volumes within one series, most telling first, and the words for them.
#: Sources: DICOM PS3.3 C.7.6.16 (functional groups), C.8.3.1 (MR image), C.8.2.1 (CT image).
VARYING: Mapping[str, str] = {
    "StackID": "stack",
    "EchoNumbers": "echo",
    "EchoTime": "echo time",
    "TemporalPositionIdentifier": "time point",
    "DiffusionBValue": "b-value",
    "DiffusionGradientOrientation": "diffusion direction",
    "InversionTime": "inversion time",
    "FlipAngle": "flip angle",
    "TriggerTime": "trigger time",
    "NominalPercentageOfCardiacPhase": "heart phase",
    "AcquisitionNumber": "acquisition",
    "ImageType": "image type",
    "ComplexImageComponent": "component",
    "KVP": "tube voltage",
    "ConvolutionKernel": "kernel",
    "SliceThickness": "slice thickness",
    "ContrastBolusAgent": "contrast agent",
    "AcquisitionTime": "acquisition time",
    "Instance": "file",
}

#: Where an enhanced object keeps what a single image has at its top level: attribute, functional group, its name there.
_IN_GROUPS: tuple[tuple[str, str, str], ...] = (
    ("StackID", "FrameContentSequence", "StackID"),
    ("AcquisitionNumber", "FrameContentSequence", "FrameAcquisitionNumber"),
    ("TemporalPositionIdentifier", "FrameContentSequence", "TemporalPositionIndex"),
    ("NominalPercentageOfCardiacPhase", "FrameContentSequence", "NominalPercentageOfCardiacPhase"),
    ("EchoTime", "MREchoSequence", "EffectiveEchoTime"),
    ("DiffusionBValue", "MRDiffusionSequence", "DiffusionBValue"),
    ("InversionTime", "MRModifierSequence", "InversionTimes"),
    ("FlipAngle", "MRTimingAndRelatedParametersSequence", "FlipAngle"),
    ("TriggerTime", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("ImageType", "MRImageFrameTypeSequence", "FrameType"),
    ("ComplexImageComponent", "MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("ImageType", "CTImageFrameTypeSequence", "FrameType"),
    ("KVP", "CTXRayDetailsSequence", "KVP"),
    ("ConvolutionKernel", "CTReconstructionSequence", "ConvolutionKernel"),
    ("GantryDetectorTilt", "CTAcquisitionDetailsSequence", "GantryDetectorTilt"),
    ("PixelSpacing", "PixelMeasuresSequence", "PixelSpacing"),
    ("SliceThickness", "PixelMeasuresSequence", "SliceThickness"),
    ("ImagePositionPatient", "PlanePositionSequence", "ImagePositionPatient"),
    ("ImageOrientationPatient", "PlaneOrientationSequence", "ImageOrientationPatient"),
    ("RescaleSlope", "PixelValueTransformationSequence", "RescaleSlope"),
    ("RescaleIntercept", "PixelValueTransformationSequence", "RescaleIntercept"),
    ("RescaleType", "PixelValueTransformationSequence", "RescaleType"),
)

_TOP_LEVEL = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID SeriesNumber
    SeriesDescription ProtocolName Modality InstanceNumber Rows Columns SamplesPerPixel PhotometricInterpretation
    PixelSpacing ImagePositionPatient ImageOrientationPatient GantryDetectorTilt RescaleSlope RescaleIntercept
    RescaleType LossyImageCompression PixelPaddingValue PixelPaddingRangeLimit PixelRepresentation NumberOfFrames
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PatientID PatientName PatientBirthDate"""
_TAGS = [*(name for name in VARYING if name not in ("StackID", "Instance")), *_TOP_LEVEL.split()]

#: Transfer syntaxes that always lose something: JPEG baseline and extended, near-lossless JPEG-LS.
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81))


@dataclass(frozen=True, eq=False)
class FrameHeader:
    """One image (a file, or a frame of one) and where it lies. Lengths in mm, vectors in LPS as DICOM gives them."""

    path: Path
    index: int
    is_multi_frame: bool
    patient: PatientKey = field(repr=False)
    sop_instance_uid: str
    series_uid: str
    frame_of_reference_uid: str
    series_number: int | None
    description: str
    modality: str
    image_type: tuple[str, ...]
    instance_number: int | None
    rows: int
    columns: int
    is_grey: bool
    photometric: str
    row_spacing_mm: float
    column_spacing_mm: float
    position_lps: FloatArray
    row_lps: FloatArray
    column_lps: FloatArray
    thickness_mm: float | None
    tilt_deg: float | None
    slope: float
    intercept: float
    rescale_type: str
    is_lossy: bool
    padding: tuple[int, int] | None
    varying: Mapping[str, str]
    #: Why the image has no place in the patient; empty when it has one.
    problem: str = ""

    @property
    def is_localizer(self) -> bool:
        """Whether the scanner marked it as a scout picture."""
        return "LOCALIZER" in self.image_type

    @property
    def label(self) -> str:
        """How a person finds the image again."""
        number = f"image {self.instance_number}" if self.instance_number is not None else self.path.name
        return f"{number}, frame {self.index + 1}" if self.is_multi_frame else number


def read_headers(path: Path) -> tuple[FrameHeader, ...] | None:
    """Return the images of one file; None when it is not DICOM, empty when it is DICOM without images to plan on.

    Raises
    ------
    InputError
        When the file cannot be opened, or is a DICOM image whose header is damaged.
    """
    kind = _kind_of(path)
    if kind is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            if kind == "bare" and not (
                "SOPClassUID" in dataset and "Rows" in dataset and "SeriesInstanceUID" in dataset
            ):
                return None
            return _frames(dataset, path)
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever the damaged bytes led it to
        if kind == "bare":  # it only looked like one
            return None
        raise InputError(
            "the header of this DICOM file is damaged or cut short", "Export the series again.", where=str(path)
        ) from error


def _kind_of(path: Path) -> Literal["marked", "bare"] | None:
    """Tell DICOM files with the mark, and files that may be old DICOM without it, from everything else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise InputError(
            f"this file cannot be opened ({error.strerror or 'read error'})",
            "Make it readable, or take it out of the folder.",
            where=str(path),
        ) from error
    if start[128:132] == b"DICM":
        return "marked"
    # The first element is of group 0002 or 0008, written with the low or (big-endian) the high byte first.
    little = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    big = start[:2] == b"\x00\x08" and start[2:3] == b"\x00"
    return "bare" if little or big else None


def _frames(ds: Dataset, path: Path) -> tuple[FrameHeader, ...]:
    meta = getattr(ds, "file_meta", Dataset())
    sop_class = str(ds.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    if sop_class == "1.2.840.10008.1.3.10":  # DICOMDIR
        return ()
    modality = str(ds.get("Modality") or "")
    if not sop_class and not modality:
        raise InputError("this DICOM file is cut short", "Copy or export the series again.", where=str(path))
    if modality in _NO_IMAGES:
        return ()
    if "Rows" not in ds or "Columns" not in ds:
        # Image storage classes of CT, MR and their enhanced kinds must have them; everything else holds no picture.
        if modality in ("CT", "MR") and sop_class.startswith(
            ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")
        ):
            raise InputError("this DICOM file is cut short", "Copy or export the series again.", where=str(path))
        return ()
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    if groups:
        shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        count = int(ds.get("NumberOfFrames") or len(groups))
        if count != len(groups):
            raise InputError(
                f"this file promises {count} images and describes {len(groups)}", "Export it again.", where=str(path)
            )
        return tuple(_frame(ds, path, i, (group, shared)) for i, group in enumerate(groups))
    if int(ds.get("NumberOfFrames") or 1) > 1:
        problem = "its images are frames of one file without a position each"
        return (_frame(ds, path, 0, (), multi_frame_problem=problem),)
    return (_frame(ds, path, 0, ()),)


def _frame(
    ds: Dataset, path: Path, index: int, groups: Sequence[Dataset], multi_frame_problem: str = ""
) -> FrameHeader:
    values = _values(ds, groups)
    patient = PatientKey.of(ds)
    description = str(ds.get("SeriesDescription") or ds.get("ProtocolName") or "")
    geometry, problem = _geometry(values)
    varying = {name: _text(values[name]) for name in VARYING if name in values}
    if groups:
        varying["Instance"] = str(ds.get("SOPInstanceUID") or path)
    image_type = values.get("ImageType") or ()
    number = ds.get("SeriesNumber")
    instance = ds.get("InstanceNumber")
    return FrameHeader(
        path=path,
        index=index,
        is_multi_frame=bool(groups),
        patient=patient,
        sop_instance_uid=str(ds.get("SOPInstanceUID") or ""),
        series_uid=str(ds.get("SeriesInstanceUID") or ""),
        frame_of_reference_uid=str(ds.get("FrameOfReferenceUID") or ""),
        series_number=None if number in (None, "") else int(number),
        description=" ".join(patient.scrub(description).split()),
        modality=str(ds.get("Modality") or ""),
        image_type=(image_type,) if isinstance(image_type, str) else tuple(str(t) for t in image_type),
        instance_number=None if instance in (None, "") else int(instance),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        is_grey=int(ds.get("SamplesPerPixel") or 1) == 1
        and str(ds.get("PhotometricInterpretation") or "MONOCHROME2").startswith("MONOCHROME"),
        photometric=str(ds.get("PhotometricInterpretation") or "MONOCHROME2"),
        row_spacing_mm=geometry[0],
        column_spacing_mm=geometry[1],
        position_lps=geometry[2],
        row_lps=geometry[3],
        column_lps=geometry[4],
        thickness_mm=_positive(values.get("SliceThickness")),
        tilt_deg=_number(values.get("GantryDetectorTilt")),
        slope=1.0 if (slope := _number(values.get("RescaleSlope"))) in (None, 0.0) else float(slope or 1.0),
        intercept=_number(values.get("RescaleIntercept")) or 0.0,
        rescale_type=str(values.get("RescaleType") or ""),
        is_lossy=str(ds.get("LossyImageCompression") or "") == "01"
        or getattr(ds, "file_meta", Dataset()).get("TransferSyntaxUID") in _LOSSY,
        padding=_padding(ds),
        varying=varying,
        problem=multi_frame_problem or problem,
    )


def _values(ds: Dataset, groups: Sequence[Dataset]) -> dict[str, Any]:
    """Return what is said of one image; its own functional group goes before the shared one and the top level."""
    wanted = {*VARYING, *(name for name, _, _ in _IN_GROUPS)}
    values = {name: ds.get(name) for name in wanted if ds.get(name) not in (None, "")}
    for group in reversed(groups):  # shared first, so that the image's own overrides it
        for name, sequence, key in _IN_GROUPS:
            items = group.get(sequence)
            if items and items[0].get(key) not in (None, ""):
                values[name] = items[0].get(key)
        diffusion = group.get("MRDiffusionSequence")
        if diffusion and diffusion[0].get("DiffusionGradientDirectionSequence"):
            direction = diffusion[0].DiffusionGradientDirectionSequence[0].get("DiffusionGradientOrientation")
            if direction is not None:
                values["DiffusionGradientOrientation"] = direction
    return values


_NOWHERE = (0.0, 0.0, np.zeros(3), np.zeros(3), np.zeros(3))


def _geometry(values: Mapping[str, Any]) -> tuple[tuple[float, float, FloatArray, FloatArray, FloatArray], str]:
    """Return (row spacing, column spacing, position, row direction, column direction) and what is wrong with them."""
    try:
        position = np.array(values["ImagePositionPatient"], dtype=np.float64)
        axes = np.array(values["ImageOrientationPatient"], dtype=np.float64)
    except (KeyError, ValueError, TypeError):
        return _NOWHERE, "its images do not say where in the patient they lie (screen captures or exported pictures)"
    try:
        spacing = np.array(values["PixelSpacing"], dtype=np.float64)
    except (KeyError, ValueError, TypeError):
        return _NOWHERE, "its images do not say how large a pixel is"
    if position.shape != (3,) or axes.shape != (6,) or not np.isfinite([*position, *axes]).all():
        return _NOWHERE, "the position or orientation of its images is not three and six numbers"
    if spacing.shape != (2,) or not np.isfinite(spacing).all() or spacing.min() <= 0:
        return _NOWHERE, f"its pixel spacing {spacing.tolist()} is not two positive numbers"
    row, column = axes[:3], axes[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if abs(lengths[0] - 1) > 1e-2 or abs(lengths[1] - 1) > 1e-2 or abs(row @ column) > 1e-3:
        return _NOWHERE, "the row and column directions of its images are not perpendicular unit vectors"
    row = row / lengths[0]
    column = column - (column @ row) * row
    return (float(spacing[0]), float(spacing[1]), position, row, column / np.linalg.norm(column)), ""


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _padding(ds: Dataset) -> tuple[int, int] | None:
    """Return the stored values, from and to, that mean "no data here"."""
    signed = int(ds.get("PixelRepresentation") or 0) == 1

    def stored(value: Any) -> int:
        if isinstance(value, bytes):  # implicit VR leaves it open whether the number is signed
            return int.from_bytes(value[:2], "little" if ds.original_encoding[1] else "big", signed=signed)
        number = int(value)
        return (number + 2**15) % 2**16 - 2**15 if signed else number % 2**16

    try:
        first = ds.get("PixelPaddingValue")
        if first in (None, "", b""):
            return None
        limit = ds.get("PixelPaddingRangeLimit")
        ends = (stored(first), stored(first if limit in (None, "", b"") else limit))
    except (TypeError, ValueError):
        return None
    return min(ends), max(ends)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    try:
        return "/".join(str(v) for v in value)
    except TypeError:
        return str(value)
