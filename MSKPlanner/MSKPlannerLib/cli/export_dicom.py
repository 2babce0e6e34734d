"""The DICOM part of `mskplanner export`: bodies, labels and registration of a plan, filed in the study of its CT."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from MSKFusionLib.dicom.source import SourceSeries, read_source
from MSKFusionLib.errors import InputError
from MSKFusionLib.images import load_image
from MSKFusionLib.segmentation.labels import Segmentation
from MSKFusionLib.volume import Modality, Volume

from ..export.dicom_labels import labels_object, load_highdicom
from ..export.dicom_registration import registration_object
from ..export.dicom_stl import stl_object
from ..export.dicom_study import DicomStudy
from ..export.parts import FileNotes, Part
from ..export.plan_parts import check_image, check_labels
from ..plan import Plan

#: What only DICOM holds, by the word for `--what`.
DICOM_ONLY = ("labels", "registration")
#: Numbers of the instances in the series of models.
_FIRST_NUMBER = {"guide": 1, "bone": 1001, "fragment": 2001, "screw": 3001}
_MERGED_NUMBER = 9001


@dataclass(frozen=True, eq=False)
class DicomExport:
    """The study of a plan's CT and, where the registration is wished, the series of its MR."""

    plan: Plan
    study: DicomStudy
    mr: SourceSeries | None

    @classmethod
    def of(cls, plan: Plan, args: argparse.Namespace, what: Sequence[str], ct: Volume | None) -> DicomExport:
        """Read where the plan's images belong, and refuse what cannot be written before any work is done.

        Raises
        ------
        InputError
            When an image is missing, no DICOM series, or not the plan's.
        MissingComponentError
            When labels are wished and highdicom is not installed.
        """
        if args.frame != "lps":
            raise InputError("DICOM holds patient coordinates in LPS", "Leave --frame out, or choose other formats.")
        if ct is None:
            raise InputError("DICOM is filed in the study of the CT", "Give the CT's DICOM folder by --ct.")
        if "labels" in what:
            load_highdicom()
        check_image(plan, ct, "ct")
        study = DicomStudy.of(plan, _source(args.ct, args.series, Modality.CT), with_patient=args.with_patient)
        mr = None
        if "registration" in what:
            if plan.registration is None:
                raise InputError("this plan has no registration", "Leave it out of --what.", where=plan.plan_id)
            if args.mr is None:
                raise InputError("the registration needs the MR's series", "Give its DICOM folder by --mr.")
            check_image(plan, load_image(args.mr, modality=Modality.MR, series=args.mr_series), "mr")
            mr = _source(args.mr, args.mr_series, Modality.MR)
            registration_object(study, mr, plan.registration)  # refused now, not when half is written
        return cls(plan, study, mr)

    def write_parts(self, parts: Sequence[Part], path: Path, notes: FileNotes, earlier: Sequence[Part]) -> None:
        """Write bodies as one encapsulated STL.

        Its number in the series goes by its kind and the bodies of that kind that came before (`earlier`), so that a
        guide is the same object whatever else is written with it.
        """
        kind = parts[0].kind
        number = _FIRST_NUMBER[kind] + sum(p.kind == kind for p in earlier) if len(parts) == 1 else _MERGED_NUMBER
        self.study.write(stl_object(self.study, parts, notes, number), path)

    def write_labels(self, bones: Segmentation, path: Path) -> None:
        """Write the labels as a DICOM segmentation."""
        check_labels(self.plan, bones)
        self.study.write(labels_object(self.study, bones), path)

    def write_registration(self, path: Path) -> None:
        """Write the motion from the MR to the CT as a spatial registration."""
        assert self.mr is not None
        assert self.plan.registration is not None
        self.study.write(registration_object(self.study, self.mr, self.plan.registration), path)


def _source(path: str, series: str | None, modality: Modality) -> SourceSeries:
    place = Path(path)
    if place.is_file():
        with place.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                raise InputError(
                    f"this is no DICOM, so its {modality} has no study to be filed in",
                    "Give the DICOM folder that was planned on.",
                    where=path,
                )
    return read_source(place, series, modality=modality)
