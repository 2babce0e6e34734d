"""Decode the stored values of DICOM images, and turn them into the values that they stand for.

Uncompressed and RLE images are decoded by pydicom itself, every other syntax (JPEG, JPEG-LS, JPEG 2000) by the GDCM
inside SimpleITK, always: what happens to be installed beside them (pylibjpeg, Pillow, GDCM for Python) is never asked, so
that an image reads the same on every machine.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage
from scipy import ndimage

from ..errors import InputError, MSKError
from ..progress import Progress, no_progress, part
from .header import FrameHeader

AIR_HU = -1000


def stored_values(frames: Sequence[FrameHeader], progress: Progress = no_progress) -> list[NDArray[Any]]:
    """Return the stored values (rows, columns) of each image, before any rescaling.

    Raises
    ------
    InputError
        When pixel data are missing, cut short, damaged, or in a syntax that cannot be decoded.
    """
    by_path: dict[Path, list[int]] = {}
    for number, frame in enumerate(frames):
        by_path.setdefault(frame.path, []).append(number)
    found: dict[int, NDArray[Any]] = {}
    for path, numbers in by_path.items():
        start, stop = len(found) / len(frames), (len(found) + len(numbers)) / len(frames)
        arrays = _decode(path, [frames[n] for n in numbers], part(progress, start, stop))
        found.update(zip(numbers, arrays, strict=True))
    return [found[number] for number in range(len(frames))]


def _decode(path: Path, frames: Sequence[FrameHeader], progress: Progress) -> list[NDArray[Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path, force=True)
            syntax = _transfer_syntax(ds)
            if not any(name in ds for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                raise InputError("the pixel data are missing", "Copy or export the series again.", where=str(path))
            arrays = []
            for number, frame in enumerate(frames):
                progress(number / len(frames), "reading images")
                arrays.append(_decode_frame(ds, syntax, frame))
    except MSKError:
        raise
    except Exception as error:
        raise InputError(
            "the pixel data are cut short, damaged, or in a syntax that cannot be decoded",
            "Copy or export the series again, uncompressed where the archive offers it.",
            where=str(path),
        ) from error
    for array, frame in zip(arrays, frames, strict=True):
        if array.shape != (frame.rows, frame.columns):
            raise InputError(
                f"the picture has {array.shape} pixels where its header promises {(frame.rows, frame.columns)}",
                "Export the series again.",
                where=str(path),
            )
    return arrays


def _transfer_syntax(ds: Dataset) -> UID:
    if not hasattr(ds, "file_meta"):
        ds.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in ds.file_meta:  # files without the preamble: pydicom found out how they are written
        implicit = ds.original_encoding[0]
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return UID(ds.file_meta.TransferSyntaxUID)


def _decode_frame(ds: Dataset, syntax: UID, frame: FrameHeader) -> NDArray[Any]:
    if not syntax.is_compressed or syntax == RLELossless or syntax.is_deflated:
        plugin = "pydicom" if syntax == RLELossless else ""
        array = np.asarray(pixel_array(ds, index=frame.index, raw=True, decoding_plugin=plugin))
    else:
        array = _decode_by_gdcm(ds, syntax, frame.index)
    if array.dtype.kind in "iu":
        array = _used_bits(array, ds)
    if "ModalityLUTSequence" in ds:
        array = np.asarray(apply_modality_lut(array, ds))
    return array


def _used_bits(array: NDArray[Any], ds: Dataset) -> NDArray[Any]:
    """Return the value of the used bits only: old scanners keep drawings in the others."""
    allocated, used = int(ds.BitsAllocated), int(ds.get("BitsStored") or ds.BitsAllocated)
    high = int(ds.get("HighBit") or used - 1)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if used >= allocated or native.dtype.itemsize * 8 != allocated:
        return native
    moved = native << (allocated - 1 - high)  # the sign bit comes to the top
    return np.asarray(moved >> (allocated - used))


def _decode_by_gdcm(ds: Dataset, syntax: UID, index: int) -> NDArray[Any]:
    """Let GDCM decode one frame, given as a file of its own without anything that would make it change the values."""
    count = int(ds.get("NumberOfFrames") or 1)
    plain = Dataset()
    for name in ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"]:
        setattr(plain, name, int(ds[name].value))
    plain.PhotometricInterpretation = str(ds.PhotometricInterpretation)
    plain.SOPClassUID, plain.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    plain.PixelData = encapsulate([get_frame(ds.PixelData, index, number_of_frames=count)])
    plain["PixelData"].VR = "OB"
    plain.file_meta = FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = syntax
    plain.file_meta.MediaStorageSOPClassUID = plain.SOPClassUID
    plain.file_meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID
    with tempfile.TemporaryDirectory(prefix="msk_dicom_") as folder:
        file = str(Path(folder) / "frame.dcm")
        plain.save_as(file, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(file)
        array = sitk.GetArrayFromImage(reader.Execute())
    return np.asarray(array.reshape(array.shape[-2:]))


def real_values(stored: Sequence[NDArray[Any]], frames: Sequence[FrameHeader]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return the voxels (N, rows, columns) that the stored values stand for, and what was put right.

    Slope and intercept are those of each slice. Whole numbers stay whole: int16 where they fit, int32 otherwise; float32
    only when a slope or an intercept is broken. CT pixels outside the reconstruction (PixelPaddingValue) become air.
    """
    steps: list[str] = []
    is_ct = frames[0].modality == "CT"
    slopes = np.array([f.slope for f in frames])
    intercepts = np.array([f.intercept for f in frames])
    whole = all(a.dtype.kind in "iu" for a in stored) and bool(np.all(slopes % 1 == 0) and np.all(intercepts % 1 == 0))
    paddings = [_padding_mask(a, f) if is_ct else None for a, f in zip(stored, frames, strict=True)]
    inverted = [f.photometric == "MONOCHROME1" and not is_ct for f in frames]

    def values(k: int) -> NDArray[Any]:
        kind: Any = np.int64 if whole else np.float64
        a: NDArray[Any] = stored[k].astype(kind)
        if inverted[k]:
            a = kind(largest) - a
        a = a * kind(slopes[k]) + kind(intercepts[k])
        mask = paddings[k]
        if mask is not None:
            a[mask] = AIR_HU
        return a

    # White is low in MONOCHROME1: turned round about the largest value of the whole volume, so that slices agree.
    largest = max(float(a.max()) for a in stored)

    kind: Any = np.float32
    if whole:
        low = min(int(v.min()) for v in map(values, range(len(stored))))
        high = max(int(v.max()) for v in map(values, range(len(stored))))
        kind = next(t for t in (np.int16, np.int32, np.int64) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    voxels = np.empty((len(stored), *stored[0].shape), dtype=kind)
    for k in range(len(stored)):
        voxels[k] = values(k)
    count = sum(int(m.sum()) for m in paddings if m is not None)
    if count:
        steps.append(f"{count} pixels outside the reconstructed circle (padding) set to air ({AIR_HU} HU)")
    if any(inverted):
        steps.append("grey values turned round (MONOCHROME1: white was low)")
    if len(set(slopes)) > 1 or len(set(intercepts)) > 1:
        steps.append("each slice rescaled by its own slope and intercept")
    return voxels, tuple(steps)


def _padding_mask(stored: NDArray[Any], frame: FrameHeader) -> NDArray[np.bool_] | None:
    """Return where a CT image holds no data, None where it has no such place."""
    if frame.padding is None:
        return None
    mask = (stored >= frame.padding[0]) & (stored <= frame.padding[1])
    if not mask.any():
        return None
    hu = np.array(frame.padding) * frame.slope + frame.intercept
    if hu.max() > -900 and hu.min() < 3071:
        # The padding value is one that tissue has too: only what hangs together with the edge is outside.
        labels, _ = ndimage.label(mask)
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        mask = np.isin(labels, edge[edge > 0])
    return mask
