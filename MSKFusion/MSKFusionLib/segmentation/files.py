"""Segmentations as files: Slicer's `.seg.nrrd`, DICOM's (only read), and plain labelmaps in a named numbering.

The keys of `.seg.nrrd` are those that Slicer's own storage node writes (one shared layer); our segment table travels
in a tag of each segment, as it does in the scene.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import SimpleITK as sitk

from ..boxes import Box, label_boxes, touches_border
from ..errors import InputError
from ..terminology import (
    coded_structure,
    means_bone,
    named_structure,
    structure_colour,
    structure_term,
    unnamed_vertebra_value,
)
from ..volume import Modality, Provenance, Volume, read_image, resample_to, write_sitk
from .dicom_labels import is_dicom, read_dicom_labels
from .labels import VERTEBRA_VALUES, Segment, Segmentation

#: The tag that carries a segment's entry of the table, as quoted JSON (the file uses ``:`` and ``|`` itself).
SEGMENT_TAG = "MSKPlanner.Segment"

#: What the values of a plain labelmap mean. TotalSegmentator counts its vertebrae from S1 = 26 upward to C1 = 50.
NUMBERINGS: dict[str, dict[int, str]] = {
    "verse": {value: name for name, value in VERTEBRA_VALUES.items()},
    "totalsegmentator": {
        26 + n: name for n, name in enumerate(["S1", *reversed([v for v in VERTEBRA_VALUES if v not in ("S1", "L6")])])
    },
}


def write_segmentation(segmentation: Segmentation, path: str | Path) -> None:
    """Write a segmentation whole or not at all: `.seg.nrrd` with names and terms, any other format as a labelmap.

    A labelmap keeps the values alone (VerSe numbers for named vertebrae).

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    p = Path(path)
    labels = segmentation.labels.voxels
    highest = max([s.value for s in segmentation.segments], default=0)
    image = replace(segmentation.labels, voxels=labels.astype(np.uint8 if highest < 256 else np.uint16)).to_sitk()
    if p.name.lower().endswith(".seg.nrrd"):
        for key, value in _header(segmentation).items():
            image.SetMetaData(key, value)
    write_sitk(image, p)


def read_segmentation(
    path: str | Path, reference: Volume | None = None, *, numbering: str | None = None
) -> Segmentation:
    """Read a `.seg.nrrd`, a DICOM segmentation or a labelmap.

    Parameters
    ----------
    reference
        The image that the segments must lie on: labels on another grid are brought onto its grid (nearest voxel),
        which the notes say.
    numbering
        What the values of a file without names mean: ``verse`` or ``totalsegmentator``.

    Raises
    ------
    InputError
        When the file cannot be read, holds overlapping segments, no labels or unnamed values, or lies elsewhere.
    """
    p = Path(path)
    keys, volume = _read(p)
    if numbering is not None and numbering not in NUMBERINGS:
        raise InputError(f"there is no numbering '{numbering}'", f"There are: {', '.join(NUMBERINGS)}.", where=str(p))
    notes: tuple[str, ...] = ()
    if reference is not None and volume.same_grid(reference):
        # A file's header rounds the grid; on the image's own the same plan comes out again to the last digit.
        volume = reference.with_voxels(volume.voxels, modality=Modality.LABEL, name=volume.name)
    elif reference is not None:
        notes = (f"the labels were brought onto the grid of {reference.name}",)
        source, count = volume, int(np.count_nonzero(volume.voxels))
        volume = resample_to(volume, reference, np.eye(4), order=0)
        share = np.count_nonzero(volume.voxels) * volume.voxel_mm3 / max(1e-9, count * source.voxel_mm3)
        if share < 0.05:
            raise InputError("the labels do not lie in the image", "Give labels of this image.", where=str(p))
        if share < 0.9:
            notes += (f"only {100 * share:.0f} % of the labels lie in {reference.name}",)
    present = [int(v) for v in np.unique(volume.voxels) if v]
    if keys:
        ours, others = _named_in_file(keys, present, p.name)
    else:
        ours, others = [], _named_by_numbers(volume, present, numbering, str(p))
    return Segmentation(volume, _in_order([*ours, *_judged(volume, others)]), notes)


def _header(segmentation: Segmentation) -> dict[str, str]:
    volume = segmentation.labels
    header = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    boxes = label_boxes(volume.voxels)
    for n, segment in enumerate(segmentation.segments):
        term = structure_term(segment.name, segment.kind)
        tags = f"Segmentation.Status:completed|{SEGMENT_TAG}:{encode_segment(segment)}|"
        tags += f"TerminologyEntry:{term.serialized()}|" if term else ""
        colour = structure_colour(segment.name, segment.kind)
        header |= {
            f"Segment{n}_ID": segment.name,
            f"Segment{n}_Name": segment.name,
            f"Segment{n}_NameAutoGenerated": "0",
            f"Segment{n}_Color": " ".join(f"{c:.6f}" for c in colour),
            f"Segment{n}_ColorAutoGenerated": "0",
            f"Segment{n}_LabelValue": str(segment.value),
            f"Segment{n}_Layer": "0",
            f"Segment{n}_Extent": _extent(boxes.get(segment.value)),
            f"Segment{n}_Tags": tags,
        }
    return header


def _extent(box: Box | None) -> str:
    """Return the first and last index along i, j, k as the file holds them; an empty one for no box."""
    return "0 -1 0 -1 0 -1" if box is None else " ".join(f"{s.start} {s.stop - 1}" for s in box[::-1])


def encode_segment(segment: Segment) -> str:
    """Return an entry of the segment table as text without the characters that segment tags use themselves."""
    return quote(json.dumps(asdict(segment)))


def decode_segment(text: str) -> Segment | None:
    """Return the entry that `encode_segment` wrote; None for anything else."""
    try:
        values = json.loads(unquote(text))
        return Segment(**{**values, "notes": tuple(values.get("notes", ()))})
    except (TypeError, ValueError, AttributeError):
        return None


def _read(path: Path) -> tuple[dict[str, str], Volume]:
    keys: dict[str, str] = {}
    if path.is_file() and path.name.lower().endswith(".seg.nrrd"):
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise InputError("this segmentation cannot be read, or is cut short", where=str(path)) from error
        if image.GetDimension() == 4 or image.GetNumberOfComponentsPerPixel() > 1:
            raise InputError(
                "its segments overlap (it has several layers)",
                "Export it from Slicer with 'shared labelmap' after removing the overlaps.",
                where=str(path),
            )
        keys = {k: image.GetMetaData(k) for k in image.GetMetaDataKeys() if k.startswith("Segment")}
        source = Provenance(source=path.name)
        volume = Volume.from_sitk(image, modality=Modality.LABEL, name=path.name.split(".")[0], provenance=source)
    elif is_dicom(path):
        named, volume = read_dicom_labels(path)
        for n, (value, (name, kind)) in enumerate(named.items()):
            keys |= {f"Segment{n}_LabelValue": str(value), f"Segment{n}_Name": name}
            keys |= {f"Segment{n}_Kind": kind} if kind else {}
    else:
        volume = read_image(path, modality=Modality.LABEL)
    if volume.voxels.dtype.kind == "f":
        if np.any(volume.voxels != np.round(volume.voxels)):
            raise InputError("the voxels are not whole numbers: this is no labelmap", where=str(path))
        volume = volume.with_voxels(volume.voxels.astype(np.int32))
    if volume.voxels.min() < 0 or volume.voxels.max() > np.iinfo(np.uint16).max:
        raise InputError("label values lie outside 0 to 65535: this is no labelmap", where=str(path))
    if not volume.voxels.any():
        raise InputError("there is no label in it", "Segment again.", where=str(path))
    smallest = np.uint8 if volume.voxels.max() < 256 else np.uint16
    return keys, volume.with_voxels(volume.voxels.astype(smallest))


def _named_in_file(keys: dict[str, str], present: list[int], name: str) -> tuple[list[Segment], list[Segment]]:
    """Return the segments whose table entry travelled with them, and those that only have a name."""
    ours, others = [], []
    count = sum(1 for k in keys if k.endswith("_LabelValue"))
    for n in range(count):
        value = int(keys[f"Segment{n}_LabelValue"])
        title = keys.get(f"Segment{n}_Name", f"segment {n}").strip()
        tags = dict(t.split(":", 1) for t in keys.get(f"Segment{n}_Tags", "").split("|") if ":" in t)
        stored = decode_segment(tags.get(SEGMENT_TAG, ""))
        if stored is not None:  # the user may have renamed it in Slicer; the name in the file holds
            ours.append(replace(stored, value=value, name=title))
        elif value in present:
            kind = keys.get(f"Segment{n}_Kind") or _kind(title, tags.get("TerminologyEntry", ""))
            others.append(Segment(value, title, kind, source=f"file {name}"))
    return ours, others


def _named_by_numbers(volume: Volume, present: list[int], numbering: str | None, where: str) -> list[Segment]:
    if numbering is None:
        raise InputError(
            f"the values {_short(present)} of this labelmap have no names",
            "Say what they mean with --numbering verse or totalsegmentator, or give a .seg.nrrd.",
            where=where,
        )
    names = NUMBERINGS[numbering]
    if not set(present) & set(names):
        raise InputError(
            f"none of the values {_short(present)} is a vertebra in the numbering '{numbering}'",
            "Give the other numbering, or a .seg.nrrd.",
            where=where,
        )
    source = f"file {volume.name}, {numbering} numbering"
    return [Segment(v, names.get(v, f"label {v}"), _kind(names.get(v, "")), source=source) for v in present]


def _judged(volume: Volume, segments: list[Segment]) -> list[Segment]:
    """Mark vertebrae that touch the image's border as not complete: nobody has said whether they are."""
    boxes = label_boxes(volume.voxels)
    judged = []
    for segment in segments:
        box = boxes.get(segment.value)
        if segment.kind in ("vertebra", "sacrum") and box is not None and touches_border(box, volume.voxels.shape):
            segment = replace(segment, complete=False)
        judged.append(segment)
    return judged


def _in_order(segments: list[Segment]) -> tuple[Segment, ...]:
    """Return the segments with the vertebrae first, from head to foot."""
    order = {name: n for n, name in enumerate(VERTEBRA_VALUES)}
    return tuple(sorted(segments, key=lambda s: (order.get(s.name, 900), s.value)))


def _kind(name: str, entry: str = "") -> str:
    """Return the kind of a structure: bone, unless its terminology entry in Slicer, or else its name, says otherwise."""
    if name in ("S1", "sacrum"):
        return "sacrum"
    if name in VERTEBRA_VALUES or unnamed_vertebra_value(name) is not None:
        return "vertebra"
    scheme, value, *_ = [*"".join(entry.split("~")[2:3]).split("^"), "", ""]
    meaning = coded_structure(scheme, value) or named_structure(name)
    return meaning if meaning and not means_bone(meaning) else "bone"


def _short(values: list[int]) -> str:
    return ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
