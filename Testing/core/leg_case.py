"""A case of a leg whose bones are bars and whose landmarks are known in closed form: for scenes and panels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from core.limb_shapes import leg
from core.test_limb_wedge import bar

from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.osteotomy.planned import limb_record
from MSKPlannerLib.pipeline import empty_case

LEG = leg("right", varus=8.0, ldfa=92.0, mpta=84.0)
FEMUR, TIBIA = bar(-14, 380), bar(-380, -6).transformed(rigid(rotation_about([0, 1, 0], 8.0)))
BONES = {"femur": "right femur", "tibia": "right tibia"}
LIMB = limb_record(LEG, BONES, {})


def leg_images() -> tuple[Volume, Segmentation]:
    """A CT and labels so small that they cost nothing; the surfaces are not made from them (`leg_case`)."""
    rng = np.random.default_rng(5)
    ct = Volume(
        rng.uniform(0, 300, (6, 7, 8)).astype(np.int16), np.array([-20.0, -20, -20]), np.full(3, 6.0), np.eye(3),
        modality=Modality.CT, name="CT of a leg",
    )  # fmt: skip
    labels = np.zeros(ct.voxels.shape, np.uint8)
    labels[1:3, 2:5, 2:5], labels[4:, 2:5, 2:5] = 1, 2
    segments = (Segment(1, "right femur", "bone"), Segment(2, "right tibia", "bone"))
    return ct, Segmentation(ct.with_voxels(labels, modality=Modality.LABEL), segments)


def leg_case(ct: Volume, bones: Segmentation):
    """The case with its leg measured, nothing cut yet."""
    case = empty_case(ct, bones)
    for name, mesh in (("right femur", FEMUR), ("right tibia", TIBIA)):
        case.fields.kept(("cut surface", name), lambda mesh=mesh: mesh)
    return replace(case, plan=replace(case.plan, limb=LIMB))
