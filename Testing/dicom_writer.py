"""Write DICOM series with a known geometry, sound or broken in a known way, for the tests."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

#: In every header, so that a test can look for it in messages: no message may hold it.
PATIENT_NAME, PATIENT_ID = "Grünewald^Klothilde", "PID4711"


def decimals(values: ArrayLike) -> list[str]:
    """Return numbers as DICOM decimal strings hold them (16 characters)."""
    return [f"{v:.9f}"[:16] for v in np.atleast_1d(np.asarray(values, dtype=float))]


def base_dataset(pixels: NDArray[Any], modality: str = "CT") -> Dataset:
    """Return everything of a header but the geometry."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.Modality, ds.PatientName, ds.PatientID = modality, PATIENT_NAME, PATIENT_ID
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    return ds


def save(ds: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> None:
    """Write one dataset in a transfer syntax; its PixelData are little-endian and uncompressed."""
    ds = copy.deepcopy(ds)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = (
        syntax if not syntax.is_compressed or syntax.is_deflated else ExplicitVRLittleEndian
    )
    if syntax == RLELossless:
        ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif syntax.is_compressed and not syntax.is_deflated:
        _compress_by_itk(ds, syntax)
    elif not syntax.is_little_endian and ds.BitsAllocated == 16:
        ds.PixelData = np.frombuffer(ds.PixelData, dtype="<u2").astype(">u2").tobytes()
    ds["PixelData"].VR = (
        "OB" if syntax.is_encapsulated or (ds.BitsAllocated == 8 and not syntax.is_implicit_VR) else "OW"
    )
    ds.save_as(path, enforce_file_format=True)


def _compress_by_itk(ds: Dataset, syntax: UID) -> None:
    """Let SimpleITK's writer compress the pixels losslessly."""
    kind = f"{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}"
    pixels = np.frombuffer(ds.PixelData, dtype=f"<{kind}").reshape(1, ds.Rows, ds.Columns)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor({JPEGLosslessSV1: "JPEG", JPEG2000Lossless: "JPEG2000"}[syntax])
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "compressed.dcm")
        writer.SetFileName(file)
        writer.Execute(sitk.GetImageFromArray(pixels))
        written = pydicom.dcmread(file)
    assert written.file_meta.TransferSyntaxUID == syntax
    ds.PixelData = written.PixelData
    ds.file_meta.TransferSyntaxUID = syntax


def write_series(
    folder: Path,
    pixels: NDArray[Any],
    positions_lps: ArrayLike,
    *,
    row: ArrayLike = (1, 0, 0),
    column: ArrayLike = (0, 1, 0),
    spacing_mm: tuple[float, float] = (0.7, 0.8),
    modality: str = "CT",
    syntax: UID = ExplicitVRLittleEndian,
    names: Sequence[str] | None = None,
    each: Callable[[int], dict[str, Any]] = lambda k: {},
    **tags: Any,
) -> list[Path]:
    """Write one file a slice.

    Parameters
    ----------
    pixels
        (N, rows, columns) stored values.
    positions_lps
        (N, 3) ImagePositionPatient of each.
    spacing_mm
        Between columns and between rows.
    names
        File names; by default they run against the order of the slices.
    each
        Extra tags of slice k; a value of None removes the tag.
    tags
        Extra tags of all slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    positions = np.asarray(positions_lps, dtype=float)
    common = {
        "SeriesInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.1",
        "SeriesNumber": 3,
        "SeriesDescription": "Bone",
        "PixelSpacing": decimals([spacing_mm[1], spacing_mm[0]]),
        "ImageOrientationPatient": decimals([*np.asarray(row, float), *np.asarray(column, float)]),
        **({"RescaleSlope": "1", "RescaleIntercept": "0"} if modality == "CT" else {}),
        **tags,
    }
    paths = []
    for k, picture in enumerate(pixels):
        ds = base_dataset(picture, modality)
        values = {**common, "ImagePositionPatient": decimals(positions[k]), "InstanceNumber": k + 1, **each(k)}
        for name, value in values.items():
            if value is None:
                if name in ds:
                    delattr(ds, name)
            else:
                setattr(ds, name, value)
        paths.append(folder / (names[k] if names else f"im{len(pixels) - k:04d}"))
        save(ds, paths[-1], syntax)
    return paths


def write_enhanced(
    path: Path,
    pixels: NDArray[Any],
    positions_lps: ArrayLike,
    *,
    row: ArrayLike = (1, 0, 0),
    column: ArrayLike = (0, 1, 0),
    spacing_mm: tuple[float, float] = (0.7, 0.8),
    modality: str = "MR",
    syntax: UID = ExplicitVRLittleEndian,
    frame: Callable[[int], dict[str, dict[str, Any]]] = lambda k: {},
    shared_geometry: bool = True,
    **tags: Any,
) -> None:
    """Write one enhanced multi-frame file; `frame(k)` gives more functional groups of frame k as {sequence: tags}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = base_dataset(pixels, modality)
    ds.SOPClassUID = EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage
    ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), "1.2.3.4"
    ds.SeriesNumber, ds.SeriesDescription, ds.NumberOfFrames = 5, "Enhanced", len(pixels)
    measures = {"PixelSpacing": decimals([spacing_mm[1], spacing_mm[0]]), "SliceThickness": "99"}
    orientation = {"ImageOrientationPatient": decimals([*np.asarray(row, float), *np.asarray(column, float)])}
    geometry = {"PixelMeasuresSequence": measures, "PlaneOrientationSequence": orientation}
    ds.SharedFunctionalGroupsSequence = DicomSequence([_group(geometry if shared_geometry else {})])
    groups = []
    for k, position in enumerate(np.asarray(positions_lps, dtype=float)):
        own = {} if shared_geometry else geometry
        place = {"PlanePositionSequence": {"ImagePositionPatient": decimals(position)}}
        groups.append(_group({**own, **place, **frame(k)}))
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(groups)
    for name, value in tags.items():
        setattr(ds, name, value)
    save(ds, path, syntax)


def _group(sequences: dict[str, dict[str, Any]]) -> Dataset:
    group = Dataset()
    for sequence, tags in sequences.items():
        item = Dataset()
        for name, value in tags.items():
            setattr(item, name, value)
        setattr(group, sequence, DicomSequence([item]))
    return group


def straight_positions(
    count: int, step_mm: float, origin: ArrayLike = (-20.0, -30.0, 5.0), normal: ArrayLike = (0, 0, 1)
):
    """Return (N, 3) positions of an even, straight stack."""
    return np.asarray(origin, float) + np.arange(count)[:, None] * step_mm * np.asarray(normal, float)


def noise(count: int, rows: int = 12, columns: int = 10, seed: int = 0) -> NDArray[np.int16]:
    """Return pictures that cannot be mistaken for each other."""
    return np.random.default_rng(seed).integers(-1000, 1500, (count, rows, columns)).astype(np.int16)
