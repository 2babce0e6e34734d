"""Refuse image files that ITK would read without a word although half of them is missing, and pictures without a place."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import SimpleITK as sitk

from .errors import InputError

#: Formats that do not say where in the patient, or how large, their pixels are.
_PICTURES = frozenset({"TIFFImageIO", "PNGImageIO", "JPEGImageIO", "BMPImageIO", "LSMImageIO", "JPEG2000ImageIO"})
#: Formats that ITK fills up with rubbish when their pixels end early; all of them lie on disk uncompressed but NIfTI.
_UNCHECKED_BY_ITK = frozenset({"NiftiImageIO", "VTKImageIO", "GiplImageIO"})
_CHUNK = 1 << 22


def refuse_incomplete(path: Path, reader: sitk.ImageFileReader) -> None:
    """Check that a file holds as many pixels as its header promises.

    Parameters
    ----------
    reader
        With the image information of `path` read.

    Raises
    ------
    InputError
        When it is cut short, or is a picture format without a geometry.
    """
    kind = sitk.ImageFileReader.GetImageIOFromFileName(str(path))
    if kind in _PICTURES:
        raise InputError(
            "a picture format that does not say where in the patient it lies",
            "Give a DICOM folder, NRRD, NIfTI or MetaImage file.",
            where=str(path),
        )
    if kind not in _UNCHECKED_BY_ITK:
        return
    promised = math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * _bytes_a_value(path, reader)
    if _length(path) < promised:
        raise InputError("this image file is cut short", "Copy or export it again.", where=str(path))


def _bytes_a_value(path: Path, reader: sitk.ImageFileReader) -> int:
    """Return how many bytes one number takes in the file at least."""
    if reader.HasMetaDataKey("bitpix"):  # NIfTI, where ITK may have turned whole numbers into floats
        return max(1, int(reader.GetMetaData("bitpix")) // 8 // reader.GetNumberOfComponents())
    with path.open("rb") as file:
        if b"\nASCII" in file.read(1024):
            return 1
    return int(sitk.GetPixelIDValueAsString(reader.GetPixelID()).split("-")[0].split()[-1]) // 8


def _length(path: Path) -> int:
    """Return how many bytes the file, or its data file beside it, holds; compressed files are unpacked to count."""
    data = path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path
    if not data.is_file() and data.with_name(data.name + ".gz").is_file():
        data = data.with_name(data.name + ".gz")
    with data.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return data.stat().st_size
    count = 0
    try:
        with gzip.open(data, "rb") as unpacked:
            while chunk := unpacked.read(_CHUNK):
                count += len(chunk)
    except (EOFError, OSError, zlib.error):
        return 0
    return count
