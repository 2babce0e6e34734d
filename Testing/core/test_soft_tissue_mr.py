"""Muscle and fat in MR: against known geometry, and refused where nothing tells one from the other."""

import numpy as np
import pytest
from core.mr_blocks import dice, true_mr_labels
from core.mr_limb import FAT, MUSCLE, limb

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import invert_rigid
from MSKFusionLib.phantom import PatientOptions, generate_patient
from MSKFusionLib.phantom.grid import Grid
from MSKFusionLib.phantom.mr import _SIGNALS
from MSKFusionLib.phantom.patient import make_body
from MSKFusionLib.phantom.render import render
from MSKFusionLib.phantom.tissue import Tissue
from MSKFusionLib.segmentation import Segment, Segmentation
from MSKFusionLib.segmentation.mr import add_soft_tissue, prepare_mr, segment_soft_tissue_mr
from MSKFusionLib.segmentation.mr.soft_tissue import _beside_spine
from MSKFusionLib.volume import Modality


@pytest.mark.parametrize("weighting", ["T1", pytest.param("T2", marks=pytest.mark.slow), "PD"])
def test_a_limb_whatever_the_weighting(weighting):
    mr, truth = limb(weighting)
    found = segment_soft_tissue_mr(mr)
    assert [(s.name, s.kind, s.complete) for s in found.segments] == [
        ("muscle", "muscle", False),
        ("fat", "fat", False),
    ]
    assert dice(found.mask("muscle"), truth == MUSCLE) > 0.93
    fat = found.mask("fat")
    assert ((truth == FAT) & fat).sum() / (truth == FAT).sum() > 0.85
    assert not (fat & (truth == MUSCLE)).sum() > 0.02 * fat.sum()
    assert found.labels.same_grid(mr)
    assert "marrow" in " ".join(found["fat"].notes)  # what it is mistaken for is said


def test_what_does_not_tell_muscle_from_fat_is_refused():
    suppressed, _ = limb("FS")
    with pytest.raises(ProcessingError, match="suppressed"):
        segment_soft_tissue_mr(suppressed)
    within, _ = limb("T1", skin=False)
    with pytest.raises(ProcessingError, match="skin"):
        segment_soft_tissue_mr(within)
    mr, _ = limb("T1")
    with pytest.raises(InputError, match="is CT"):
        segment_soft_tissue_mr(mr.with_voxels(mr.voxels, modality=Modality.CT))
    noise = np.random.default_rng(1).rayleigh(100.0, mr.voxels.shape).astype(np.int16)
    with pytest.raises(ProcessingError):
        segment_soft_tissue_mr(mr.with_voxels(noise))


def test_what_is_labelled_already_stays_and_other_grids_are_refused():
    mr, truth = limb("T1")
    image = prepare_mr(mr)
    assert prepare_mr(image) is image  # the shading is taken out once
    tissue = segment_soft_tissue_mr(image)
    labels = mr.with_voxels(np.where(truth == 3, 9, 0).astype(np.uint8), modality=Modality.LABEL)
    bone = Segmentation(labels, (Segment(9, "V1", "vertebra"),))
    both = add_soft_tissue(bone, tissue)
    assert np.array_equal(both.mask("V1"), truth == 3)
    assert dice(both.mask("muscle"), truth == MUSCLE) > 0.93
    cut = Segmentation(labels.cropped((0, 0, 0), (20, 20, 5)), bone.segments)
    for refused in (lambda: add_soft_tissue(cut, tissue), lambda: segment_soft_tissue_mr(image, cut)):
        with pytest.raises(InputError, match="another grid"):
            refused()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_patients_beside_the_spine(seed):
    """The truth is the tissue that the patient was drawn with, at the MR's own voxels."""
    patient = generate_patient(PatientOptions.small(seed, more_weightings=("PD", "FS")))
    body = make_body(patient.spine, seed, posed=False)
    for weighting, least_muscle, least_fat in (("T1", 0.85, 0.85), ("T2", 0.88, 0.82), ("PD", 0.8, 0.75)):
        mr = patient.mr(weighting)
        grid = Grid(mr.voxels.shape, invert_rigid(patient.ct_to_mr_ras) @ mr.ijk_to_ras)
        _, tissue, bones = render(body, grid, _SIGNALS[weighting])
        spine = _known_spine(true_mr_labels(patient, mr), mr)
        image = prepare_mr(mr)
        found, where = segment_soft_tissue_mr(image, spine), _beside_spine(image, spine) & (bones == 0)
        assert dice(found.mask("muscle"), where & (tissue == Tissue.MUSCLE)) > least_muscle
        fat = where & np.isin(tissue, (Tissue.FAT, Tissue.EPIDURAL_FAT))
        assert dice(found.mask("fat"), fat) > least_fat
    mr = patient.mr("FS")
    with pytest.raises(ProcessingError, match="suppressed"):
        segment_soft_tissue_mr(mr, _known_spine(true_mr_labels(patient, mr), mr))


def _known_spine(labels, mr):
    labels = np.where(labels < 90, labels, 0).astype(np.uint8)
    segments = [
        Segment(int(v), f"V{v}" if v < 10 else f"s{v}", "vertebra" if v < 10 else "disc")
        for v in np.unique(labels)
        if v
    ]
    return Segmentation(mr.with_voxels(labels, modality=Modality.LABEL), tuple(segments))
