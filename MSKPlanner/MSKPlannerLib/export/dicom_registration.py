"""Spatial Registration (DICOM PS3.3 A.39): the rigid motion that brings the MR's frame of reference onto the CT's.

An item's matrix takes points of the item's frame of reference to the object's own (PS3.3 C.20.2.1.1): here the CT's, so
that the matrix is the inverse of `fixed_to_moving_lps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SpatialRegistrationStorage
from pydicom.valuerep import format_number_as_ds

from MSKFusionLib.dicom.source import SourceSeries
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import FloatArray, flip_transform_ras_lps

from .dicom_study import DicomStudy, code, instances, referenced_series
from .rigid_registration import moving_to_fixed_ras

_SERIES = (9103, "MSK Planner: registration of the MR to the CT")


def registration_object(study: DicomStudy, mr: SourceSeries, registration: Mapping[str, Any]) -> Dataset:
    """Return the registration of a plan as a dataset to be written by `DicomStudy.write`.

    Parameters
    ----------
    mr
        The moving image's series; the CT's is the study's source.
    registration
        The plan's entry (`records.describe_registration`).

    Raises
    ------
    InputError
        When the registration was rejected, moves more than one body, is no rigid motion, or the MR shows another patient.
    """
    if mr.patient.differs_from(study.source.patient):
        raise InputError("CT and MR are of different patients", "Give the images that were planned on.")
    to_ct_lps = flip_transform_ras_lps(moving_to_fixed_ras(registration))
    ds = Dataset()
    study.stamp(ds, SpatialRegistrationStorage, "REG", _SERIES)
    ds.Laterality = ""
    ds.ContentLabel = "MR_TO_CT"
    expected = registration.get("expected_error_mm")
    accuracy = f", expected error {expected:.1f} mm" if isinstance(expected, (int, float)) else ""
    ds.ContentDescription = study.text(f"MR to CT, rigid{accuracy}")
    ds.ContentCreatorName = ""
    one_frame = mr.frame_of_reference_uid == study.source.frame_of_reference_uid
    ds.RegistrationSequence = [
        _item(study.source, np.eye(4), one_frame=one_frame, fixed=True),
        _item(mr, to_ct_lps, one_frame=one_frame),
    ]
    if mr.study_uid == study.source.study_uid:
        ds.ReferencedSeriesSequence = [referenced_series(study.source), referenced_series(mr)]
    else:
        ds.ReferencedSeriesSequence = [referenced_series(study.source)]
        other = Dataset()
        other.StudyInstanceUID = mr.study_uid
        other.ReferencedSeriesSequence = [referenced_series(mr)]
        ds.StudiesContainingOtherReferencedInstancesSequence = [other]
    return ds


def _item(source: SourceSeries, to_ct_lps: FloatArray, *, one_frame: bool, fixed: bool = False) -> Dataset:
    """Return how one series lies in the CT's frame of reference.

    Two scans may share a frame of reference and lie differently in it all the same: then the images alone say whom the
    matrix is for.
    """
    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrix = [format_number_as_ds(float(v)) for v in to_ct_lps.ravel()]
    matrix.FrameOfReferenceTransformationMatrixType = "RIGID"
    step = Dataset()
    step.MatrixSequence = [matrix]
    step.RegistrationTypeCodeSequence = (
        [code("125021", "DCM", "Frame of Reference Identity")]
        if fixed
        else [code("125024", "DCM", "Image Content-based Alignment")]
    )
    item = Dataset()
    if not one_frame:
        item.FrameOfReferenceUID = source.frame_of_reference_uid
    item.ReferencedImageSequence = instances(source)
    item.MatrixRegistrationSequence = [step]
    return item
