"""A small plan in an output folder, and the DICOM series that it was made on: oblique CT and MR of two studies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from core.guide_shapes import box_mesh
from pydicom.uid import generate_uid

from dicom_writer import straight_positions, write_series
from MSKFusionLib.dicom import read_series
from MSKFusionLib.frames import flip_transform_ras_lps, rigid, rotation_about, transform_points
from MSKFusionLib.segmentation.files import write_segmentation
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.export.mesh_files import write_stl
from MSKPlannerLib.guides.options import GuideOptions
from MSKPlannerLib.guides.recipe import mesh_sha256, recipe_of
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import Guide, Plan, Screw
from MSKPlannerLib.plan_file import plan_to_json
from MSKPlannerLib.records import describe_input, describe_segmentation, guide_inputs

#: CT RAS to MR RAS: 20 degrees about an oblique axis and a shift; nothing of it is its own inverse or transpose.
FIXED_TO_MOVING_RAS = rigid(rotation_about([1.0, 2.0, 3.0], 20.0), [12.0, -7.0, 31.0])
_TURN = rotation_about([2.0, -1.0, 0.5], 25.0)
_RADIUS_MM = {"L4": 9.0, "left hip bone": 6.0}
_CENTRES = {"L4": (-12.0, 0.0, 4.0), "left hip bone": (12.0, 3.0, -5.0)}  # from the middle of the grid


@dataclass(frozen=True, eq=False)
class DicomPlan:
    """The folders, and what was put into them."""

    ct_folder: Path
    mr_folder: Path
    plan_folder: Path
    ct: Volume
    bones: Segmentation
    guide: Mesh
    plan: Plan
    study_uid: str
    ct_frame_uid: str
    mr_frame_uid: str


def make_dicom_plan(folder: Path, *, one_frame: bool = False, **registration) -> DicomPlan:
    """Write series and plan.

    Parameters
    ----------
    one_frame
        CT and MR name the same frame of reference, as a PET-CT's series do.
    registration
        Entries of the plan's registration that differ from an accepted rigid one.
    """
    study, ct_frame = generate_uid(), generate_uid()
    mr_frame = ct_frame if one_frame else generate_uid()
    shape, step = (24, 34, 40), 1.3
    rng = np.random.default_rng(4)
    row, column, normal = _TURN.T
    positions = straight_positions(shape[0], step, (-210.0, 95.0, -640.0), normal)
    common = {"row": row, "column": column, "spacing_mm": (1.1, 1.2), "StudyDate": "20250102", "StudyTime": "101112",
              "PatientBirthDate": "19501224", "PatientSex": "F", "AccessionNumber": "ACC-77", "StudyID": "S9",
              "ReferringPhysicianName": "Feuerbach^Ida", "StudyDescription": "LWS Grünewald"}  # fmt: skip
    blank = rng.integers(20, 60, shape).astype(np.int16)
    write_series(folder / "ct", blank, positions, StudyInstanceUID=study, FrameOfReferenceUID=ct_frame, **common)
    ct = read_series(folder / "ct")
    labels = np.zeros(shape, dtype=np.uint8)
    values = {"L4": 23, "left hip bone": 60}
    k, j, i = np.indices(shape)
    ras = transform_points(ct.ijk_to_ras, np.stack([i, j, k], -1).astype(float))
    for name, offset in _CENTRES.items():
        labels[np.linalg.norm(ras - ct.centre_ras - offset, axis=-1) < _RADIUS_MM[name]] = values[name]
    for file in (folder / "ct").iterdir():
        file.unlink()
    voxels = np.where(labels > 0, 600, blank).astype(np.int16)
    write_series(folder / "ct", voxels, positions, StudyInstanceUID=study, FrameOfReferenceUID=ct_frame, **common)
    ct = read_series(folder / "ct")
    mr_positions = straight_positions(9, 4.0, (-30.0, -40.0, 5.0))
    pixels = rng.integers(0, 900, (9, 30, 30)).astype(np.int16)
    write_series(folder / "mr", pixels, mr_positions, modality="MR", FrameOfReferenceUID=mr_frame,
                 PatientBirthDate="19501224")  # fmt: skip
    mr = read_series(folder / "mr", modality=Modality.MR)

    segments = (Segment(23, "L4", "vertebra", source="drawn"), Segment(60, "left hip bone", "bone", source="drawn"))
    bones = Segmentation(ct.with_voxels(labels, modality=Modality.LABEL, name="bones"), segments)
    centre = ct.centre_ras
    screw = Screw("L4 left", "pedicle", "L4", "left", tuple(centre), tuple(centre + [0, 30, 0]), 6.0, 30.0, 1.0, "A")
    guide_mesh = box_mesh((12.0, 20.0, 30.0), centre + [7.0, -25.0, 3.0])
    guide = Guide(
        "L4 guide", "L4", ("L4 left",), "guides/L4_drill_guide.stl", True, 1, guide_mesh.volume_mm3, 2.0, 0.25, 0.25,
        0.1, (0, 1, 0), recipe=recipe_of("drill", vars(GuideOptions()), guide_inputs(bones, ct), screws=[screw]),
        mesh_sha256=mesh_sha256(guide_mesh),
    )  # fmt: skip
    lps = flip_transform_ras_lps(FIXED_TO_MOVING_RAS)
    entry = {"method": "rigid: test", "verdict": "accepted", "reasons": [], "warnings": [], "expected_error_mm": 0.8,
             "fixed_to_moving_ras": FIXED_TO_MOVING_RAS.tolist(), "fixed_to_moving_lps": lps.tolist()}  # fmt: skip
    plan = Plan(
        "plan-0123456789ab", "2026-11-21T10:20:30+00:00", {},
        inputs=(describe_input("ct", ct), describe_input("mr", mr)), registration={**entry, **registration},
        segmentation=describe_segmentation(bones), screws=(screw,), guides=(guide,),
    )  # fmt: skip
    out = folder / "plan"
    (out / "guides").mkdir(parents=True)
    (out / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    write_segmentation(bones, out / "segmentation.seg.nrrd")
    write_stl(guide_mesh, out / guide.file)
    return DicomPlan(folder / "ct", folder / "mr", out, ct, bones, guide_mesh, plan, study, ct_frame, mr_frame)
