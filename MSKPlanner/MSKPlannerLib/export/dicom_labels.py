"""DICOM Segmentation (PS3.3 A.51): the label set that a plan rests on, by highdicom, on the CT's own grid."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from MSKFusionLib import __version__
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import RAS_LPS
from MSKFusionLib.optional import load_optional
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.terminology import structure_colour, structure_term

from .dicom_study import DicomStudy, code, derived_uid

_SERIES = (9102, "MSK Planner: segmentation")
_ANATOMY = ("SCT", "123037004", "Anatomical Structure")


def load_highdicom() -> Any:
    """Return the module `highdicom`.

    Raises
    ------
    MissingComponentError
        When it is not installed.
    """
    return load_optional(
        "highdicom",
        missing="labels as DICOM need highdicom, which is not installed here. Install it with "
        "pip install 'mskplanner[dicom]' (in Slicer: pip_install('highdicom')), or leave the labels out.",
    )


def labels_object(study: DicomStudy, bones: Segmentation) -> Dataset:
    """Return a segmentation as a dataset to be written by `DicomStudy.write`: one binary segment a structure.

    The frames lie on the labels' own grid, which is the images' unless a tilt or uneven steps were put right.

    Raises
    ------
    InputError
        When no segment has voxels.
    MissingComponentError
        When highdicom is not installed.
    """
    hd = load_highdicom()
    values = [s.value for s in bones.segments]
    present = set(np.unique(bones.labels.voxels).tolist())
    used = [s for s in bones.segments if s.value in present]
    if not used:
        raise InputError("no segment has voxels", "Segment again.", where=bones.labels.name)
    table = np.zeros(max([*values, *present]) + 1, dtype=np.uint16)
    for number, segment in enumerate(used, 1):
        table[segment.value] = number
    numbers = table[bones.labels.voxels]
    m = RAS_LPS @ bones.labels.ijk_to_ras
    # highdicom counts slice, row, column; ours is column, row, slice
    volume = hd.Volume(
        numbers,
        np.column_stack([m[:, 2], m[:, 1], m[:, 0], m[:, 3]]),
        coordinate_system="PATIENT",
        frame_of_reference_uid=study.source.frame_of_reference_uid,
    )
    made = hd.seg.Segmentation(
        source_images=_without_identity(study, float(bones.labels.spacing_mm[2])),
        pixel_array=volume,
        segmentation_type="BINARY",
        segment_descriptions=[_describe(hd, study, s, n) for n, s in enumerate(used, 1)],
        series_instance_uid=derived_uid("series"),
        series_number=_SERIES[0],
        sop_instance_uid=derived_uid("instance"),
        instance_number=1,
        manufacturer="MSK Planner",
        manufacturer_model_name="MSK Planner",
        software_versions=__version__,
        device_serial_number="1",
        content_label="SEGMENTATION",
        content_description=study.text(f"Labels of plan {study.plan_sha256[:12]}"),
        omit_empty_frames=True,
    )
    ds = Dataset()
    ds.update({element.tag: element for element in made})
    _fix(ds, derived_uid("dimensions", study.plan_sha256, study.source.series_uid))
    study.stamp(ds, SegmentationStorage, "SEG", _SERIES)
    ds.ContentCreatorName = ""
    return ds


def _without_identity(study: DicomStudy, thickness_mm: float) -> list[Dataset]:
    """Return the headers of the CT as highdicom wants them; `DicomStudy.stamp` says afterwards who the patient is."""
    found = []
    for header in study.source.headers:
        ds = copy.deepcopy(header)  # elements are changed in place
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(ds, keyword, "")
        for keyword in ("StudyDate", "StudyTime", "ReferringPhysicianName"):
            setattr(ds, keyword, None)
        if not ds.get("SliceThickness"):  # may be empty in a CT; highdicom only compares it
            ds.SliceThickness = thickness_mm
        ds.SpecificCharacterSet = "ISO_IR 192"
        found.append(ds)
    return found


def _describe(hd: Any, study: DicomStudy, segment: Segment, number: int) -> Any:
    from pydicom.sr.coding import Code

    term = structure_term(segment.name, segment.kind)
    category, kind, side = (term.category, term.type, term.side) if term else (_ANATOMY, _ANATOMY, None)
    colour = hd.color.CIELabColor.from_rgb(*(round(255 * c) for c in structure_colour(segment.name, segment.kind)))
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=study.text(segment.name),
        segmented_property_category=Code(category[1], category[0], category[2]),
        segmented_property_type=Code(kind[1], kind[0], kind[2]),
        # Labels may have been drawn or mended by hand before they came here: no more than this is known.
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="MSK Planner", version=__version__, family=Code("123104", "DCM", "Morphological Operations")
        ),
        tracking_id=study.text(f"{study.plan_id} {segment.name}"),
        tracking_uid=derived_uid("segment", study.plan_sha256, study.source.series_uid, segment.name),
        display_color=colour,
    )
    description.SegmentDescription = segment.kind  # what our reader knows it by again
    # highdicom asks for the family of algorithms, which is not known; the element itself is optional.
    del description.SegmentationAlgorithmIdentificationSequence
    if side is not None:
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            code(side[1], side[0], side[2])
        ]
    return description


def _fix(ds: Dataset, organization_uid: str) -> None:
    """Put what follows from the plan in the place of what highdicom took from chance and from the clock."""
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization_uid
    for item in ds.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
