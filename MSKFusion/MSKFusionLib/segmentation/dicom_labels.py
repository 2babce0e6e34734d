"""Read a DICOM Segmentation (PS3.3 A.51) as one label volume, from whatever program wrote it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.uid import UID

from ..errors import InputError, MSKError
from ..frames import FloatArray, flip_ras_lps
from ..terminology import coded_structure, means_bone
from ..volume import Modality, Provenance, Volume
from .labels import VERTEBRA_VALUES

#: Who wrote a file whose `SegmentDescription` is the kind of our table; other programs may say anything there.
OUR_NAME = "MSK Planner"
#: Frames lie on a common grid to so much of a step, or of a voxel.
_OFF_GRID = 0.02
#: Values of structures that have no number of their own.
_FIRST_FREE_VALUE = 200


def is_dicom(path: Path) -> bool:
    """Tell whether a file has the mark of DICOM."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom_labels(path: Path) -> tuple[dict[int, tuple[str, str]], Volume]:
    """Return name and kind by label value, and the labels on the grid of the frames that are there.

    A kind is empty where the name alone must say it.

    Vertebrae get their numbers in the VerSe convention, other structures values from 200 on, in the file's order.

    Raises
    ------
    InputError
        When it is no segmentation, holds fractions, overlapping segments or frames off a common grid, or is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(pydicom.dcmread(path), path)
    except MSKError:
        raise
    except Exception as error:  # pydicom raises whatever damaged bytes led it to
        raise InputError(
            "this DICOM segmentation is damaged, or in a syntax that cannot be decoded",
            "Export it again, uncompressed.",
            where=str(path),
        ) from error


def _read(ds: Dataset, path: Path) -> tuple[dict[int, tuple[str, str]], Volume]:
    where = str(path)
    if ds.get("Modality") != "SEG":
        what = f"this DICOM file is of modality {ds.get('Modality') or 'unknown'}, not a segmentation"
        raise InputError(what, "Give the file of the segmentation.", where=where)
    kind = str(ds.get("SegmentationType"))
    if kind not in ("BINARY", "LABELMAP"):
        raise InputError("its segments are fractions, not labels", "Export it as a binary segmentation.", where=where)
    shared, groups = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence
    count, rows, columns = int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns)
    if count != len(groups):
        raise InputError(f"it promises {count} frames and describes {len(groups)}", "Export it again.", where=where)
    axes = np.array(_own(groups, shared, "PlaneOrientationSequence", "ImageOrientationPatient", where), dtype=float)
    measures = np.array(_own(groups, shared, "PixelMeasuresSequence", "PixelSpacing", where), dtype=float)
    places = np.array([g.PlanePositionSequence[0].ImagePositionPatient for g in groups], dtype=np.float64)
    row, column = axes[:3], axes[3:]
    normal = np.cross(row, column)
    slices, step = _slices(places, np.stack([row, column, normal]), measures, shared, where)
    names, values = _named(ds)
    labels = np.zeros((int(slices.max()) + 1, rows, columns), dtype=np.uint16)
    for n, (frame, group) in enumerate(zip(_frames(ds, count, rows, columns), groups, strict=True)):
        layer = labels[slices[n]]
        if kind == "LABELMAP":
            found = np.array([values.get(int(v), 0) for v in range(int(frame.max()) + 1)], dtype=np.uint16)[frame]
        else:
            number = int(_item(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            found = np.where(frame > 0, values[number], 0).astype(np.uint16)
        if np.any((layer > 0) & (found > 0) & (layer != found)):
            raise InputError("its segments overlap", "Remove the overlaps and export it again.", where=where)
        np.maximum(layer, found, out=layer)
    first = places[int(np.argmin(places @ normal))]
    directions_lps = np.stack([row, column, normal], axis=1)
    volume = Volume(
        labels,
        flip_ras_lps(first),
        np.array([measures[1], measures[0], step]),
        directions_lps * np.array([-1.0, -1.0, 1.0])[:, None],
        modality=Modality.LABEL,
        name=path.name.split(".")[0],
        provenance=Provenance(source="DICOM segmentation"),
    )
    return names, volume


def _item(group: Dataset, shared: Dataset, sequence: str) -> Dataset:
    found: Dataset = (group.get(sequence) or shared.get(sequence))[0]
    return found


def _own(groups: Any, shared: Dataset, sequence: str, keyword: str, where: str) -> list[float]:
    """Return what all frames share, be it said once or with each frame."""
    found = {tuple(float(v) for v in _item(g, shared, sequence)[keyword].value) for g in groups}
    if len(found) != 1:
        raise InputError("its frames lie on several grids", "Export it on the grid of one image.", where=where)
    return list(found.pop())


def _slices(
    places_lps: FloatArray, axes: FloatArray, measures: FloatArray, shared: Dataset, where: str
) -> tuple[NDArray[np.int64], float]:
    """Return the slice of each frame, counted along the normal, and the step in mm; empty slices may be left out."""
    sideways = (places_lps - places_lps[0]) @ axes[:2].T
    heights = places_lps @ axes[2]
    heights = heights - heights.min()
    apart = np.diff(np.unique(np.round(heights, 4)))
    said = shared.get("PixelMeasuresSequence")
    step = float((said[0].get("SpacingBetweenSlices") or 0.0) if said else 0.0)
    if step <= 0.0:
        step = float(apart.min()) if len(apart) else float((said[0].get("SliceThickness") or 0.0) if said else 0.0)
    if step <= 0.0:
        raise InputError("it does not say how far its slices are apart", "Export it again.", where=where)
    slices = heights / step
    if np.abs(sideways).max() > _OFF_GRID * measures.min() or np.abs(slices - np.rint(slices)).max() > _OFF_GRID:
        raise InputError("its frames do not lie on one grid", "Export it on the grid of one image.", where=where)
    return np.rint(slices).astype(np.int64), step


def _named(ds: Dataset) -> tuple[dict[int, tuple[str, str]], dict[int, int]]:
    """Return name and kind by label value, and the label value of each segment number."""
    names: dict[int, tuple[str, str]] = {}
    values: dict[int, int] = {}
    free, used = _FIRST_FREE_VALUE, set()
    for segment in ds.SegmentSequence:
        number = int(segment.SegmentNumber)
        name = " ".join(str(segment.get("SegmentLabel") or f"segment {number}").split())
        level = _meaning(segment).removesuffix(" vertebra").upper()
        if level in VERTEBRA_VALUES:  # the code is the standard word, whatever the label calls it
            name = level
        name = name if name not in used else f"{name} ({number})"
        used.add(name)
        value = VERTEBRA_VALUES.get(name, 0)
        if not value:
            value, free = free, free + 1
        names[value], values[number] = (name, _kind(ds, segment)), value
    return names, values


def _kind(ds: Dataset, segment: Dataset) -> str:
    if ds.get("Manufacturer") == OUR_NAME and segment.get("SegmentDescription"):
        return str(segment.SegmentDescription)
    meaning = _meaning(segment)
    return "" if means_bone(meaning) else meaning


def _meaning(segment: Dataset) -> str:
    codes = segment.get("SegmentedPropertyTypeCodeSequence")
    if not codes:
        return ""
    return coded_structure(str(codes[0].get("CodingSchemeDesignator")), str(codes[0].get("CodeValue")))


def _frames(ds: Dataset, count: int, rows: int, columns: int) -> Iterator[NDArray[Any]]:
    """Yield the frames one by one: all of them at once may be larger than the memory."""
    if int(ds.BitsAllocated) != 1 or UID(ds.file_meta.TransferSyntaxUID).is_compressed:
        yield from iter_pixels(ds)
        return
    # Bits follow each other without a gap between frames (PS3.5 8.1.1).
    packed = np.frombuffer(ds.PixelData, dtype=np.uint8)
    size = rows * columns
    if len(packed) * 8 < count * size:
        raise ValueError("fewer bits than frames")
    for n in range(count):
        first, last = n * size // 8, ((n + 1) * size + 7) // 8
        bits = np.unpackbits(packed[first:last], bitorder="little")
        offset = n * size - first * 8
        yield bits[offset : offset + size].reshape(rows, columns)
