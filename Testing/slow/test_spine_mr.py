"""Spine from MR without a network: generated variety, and the real crop."""

import numpy as np
import pytest
from core.mr_blocks import dice, true_mr_labels

from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.segmentation.mr import segment_spine_mr
from MSKFusionLib.volume import Modality, read_image

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("seed", "weighting", "changes"),
    [
        (21, "T1", {"mr_spacing_mm": (0.6, 5.0)}),
        (22, "T2", {"mr_noise": 0.04}),
        (23, "T1", {"scoliosis_deg": 20.0}),
        (24, "T2", {"mr_spacing_mm": (1.0, 1.0)}),
    ],
)
def test_generated_variety_without_a_click(seed, weighting, changes):
    patient = generate_patient(PatientOptions.small(seed, **changes))
    truth = true_mr_labels(patient, patient.mr(weighting))
    found = segment_spine_mr(patient.mr(weighting))
    assert len(found.vertebrae) == 3
    scores = [dice(found.mask(f"V{n}"), truth == n) for n in (1, 2, 3)]
    assert min(scores[1:]) >= 0.85, scores
    assert scores[0] >= 0.75  # above it the generated spine ends without a disc
    discs = [dice(found.mask(f"disc V{n}/V{n + 1}"), truth == 33 + n) for n in (1, 2)]
    assert min(discs) >= 0.75, discs
    canal = found.mask("spinal_canal")
    assert (truth[canal] == 90).mean() < 0.12
    assert dice(canal, truth == 50) >= 0.8


@pytest.mark.realdata
def test_the_real_crop(real_data):
    def image(name, modality):
        return read_image(real_data / "spine_mr" / f"tptbox_sub-mri_{name}.nii.gz", modality)

    vertebra = image("seg-vert_label-6_msk", Modality.LABEL).voxels
    part = image("seg-subreg_label-6_msk", Modality.LABEL).voxels
    found = segment_spine_mr(image("label-6_T2w", Modality.MR))
    bodies = np.isin(found.labels.voxels, [s.value for s in found.vertebrae])
    assert dice(bodies, part == 49) >= 0.85
    assert dice(found.mask("V1"), (part == 49) & (vertebra == 6)) >= 0.85
    assert dice(found.mask("V2"), (part == 49) & (vertebra == 7)) >= 0.85
    assert dice(found.mask("spinal_canal"), (part == 60) | (part == 61)) >= 0.8
    assert dice(found.mask("disc V1/V2"), vertebra == 106) >= 0.8
