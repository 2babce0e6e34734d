"""Deformable registration, against generated patients whose soft tissue lies elsewhere in the MR."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import Cancelled, InputError, MissingComponentError
from MSKFusionLib.frames import invert_rigid, transform_points
from MSKFusionLib.phantom import Patient, PatientOptions, generate_patient
from MSKFusionLib.registration import RegistrationResult, Verdict, register_deformable, register_rigid
from MSKFusionLib.registration.deformable import judge_field
from MSKFusionLib.volume import Modality

BONE_KINDS = ("vertebra", "sacrum", "bone")


def points_and_truth(patient: Patient, count: int = 3000) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Points of bone and of soft tissue in the CT that the MR shows, and where they truly are there."""
    labels, mr = patient.labels.labels, patient.mr_t2
    bone = np.isin(labels.voxels, [s.value for s in patient.labels.segments if s.kind in BONE_KINDS])
    rng = np.random.default_rng(7)
    out = {}
    for name, mask in (("bone", bone), ("soft", ~bone & (patient.ct.voxels > -300))):
        kji = np.argwhere(mask)
        kji = kji[rng.permutation(len(kji))[: 6 * count]]
        points = transform_points(patient.ct.ijk_to_ras, kji[:, ::-1].astype(float))
        true = patient.ct_to_mr(points)
        ijk = transform_points(mr.ras_to_ijk, true)
        seen = np.all((ijk >= 0) & (ijk <= np.array(mr.shape_ijk) - 1), axis=1)
        out[name] = points[seen][:count], true[seen][:count]
    return out


def errors_mm(result: RegistrationResult, patient: Patient) -> dict[str, np.ndarray]:
    return {
        name: np.linalg.norm(result.apply_to_points(points) - true, axis=1)
        for name, (points, true) in points_and_truth(patient).items()
    }


def known_rigid(patient: Patient, *, ct_is_fixed: bool = True) -> RegistrationResult:
    """The true rigid motion, as if it had been found."""
    m = patient.ct_to_mr_ras if ct_is_fixed else invert_rigid(patient.ct_to_mr_ras)
    return RegistrationResult("known", m, Verdict.ACCEPTED, (), {}, 0.1)


@pytest.fixture(scope="module")
def patient() -> Patient:
    pytest.importorskip("torch").set_num_threads(1)
    options = PatientOptions.small(seed=3, levels=("L4", "L5"), ct_spacing_mm=(1.5, 1.5, 2.0), mr_spacing_mm=(1.6, 4.0))
    whole = generate_patient(replace(options, soft_tissue_motion_mm=12.0))
    # Two vertebrae and what is behind and before them: quick, and with the edge of the view close everywhere.
    n = np.array(whole.mr_t2.shape_ijk)
    return replace(whole, mr_t2=whole.mr_t2.cropped([0.2 * n[0], 0.25 * n[1], 0], [0.85 * n[0], 0.75 * n[1], n[2]]))


@pytest.fixture(scope="module")
def found(patient: Patient) -> RegistrationResult:
    return register_deformable(
        patient.ct, patient.mr_t2, initial=known_rigid(patient), bones=patient.labels, device="cpu"
    )


def test_soft_tissue_is_found_and_bone_stays(patient, found):
    before, after = errors_mm(known_rigid(patient), patient), errors_mm(found, patient)
    assert found.verdict is Verdict.ACCEPTED, found.reasons
    assert np.median(after["soft"]) < 0.75 * np.median(before["soft"])
    assert np.percentile(after["soft"], 95) < 0.65 * np.percentile(before["soft"], 95)
    assert after["bone"].max() < 1e-6


def test_nothing_folds_and_the_evidence_says_so(found):
    assert found.evidence["folded_share"] == 0
    assert found.evidence["least_jacobian"] > 0.05
    assert found.evidence["least_jacobian_in_bone"] == pytest.approx(1.0, abs=1e-3)
    assert found.evidence["soft_information_after_nats"] > found.evidence["soft_information_before_nats"]


def test_the_expected_error_is_no_promise_too_good(patient, found):
    after = np.median(errors_mm(found, patient)["soft"])
    assert 0.4 * after < found.expected_error_mm < 2.5 * after


def test_the_way_back_and_itk_agree(patient, found):
    points, _ = points_and_truth(patient, 300)["soft"]
    there = found.apply_to_points(points)
    turned = replace(found, bending=replace(found.bending, ct_is_fixed=False))
    assert np.linalg.norm(turned.apply_to_points(there) - points, axis=1).max() < 0.05
    itk = found.to_sitk(patient.ct)
    by_itk = np.array([itk.TransformPoint((p * [-1, -1, 1]).tolist()) for p in points]) * [-1, -1, 1]
    assert np.linalg.norm(by_itk - there, axis=1).mean() < 0.1
    assert found.resample(patient.mr_t2, patient.ct).same_grid(patient.ct)


def test_a_cancel_is_heard(patient):
    def cancel(fraction: float, message: str) -> None:
        if fraction > 0.15:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        register_deformable(
            patient.ct, patient.mr_t2, initial=known_rigid(patient), bones=patient.labels, device="cpu", progress=cancel
        )


def evidence(**changes: float) -> dict[str, float]:
    """What a good field shows."""
    good = {
        "least_jacobian": 0.5,
        "least_jacobian_of_field": 0.5,
        "folded_share": 0.0,
        "soft_information_before_nats": 0.3,
        "soft_information_after_nats": 0.5,
        "forth_and_back_mm": 0.6,
    }
    return good | changes


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"least_jacobian_of_field": -0.1, "least_jacobian": -0.1}, "the field folds"),
        ({"least_jacobian": -0.1, "folded_share": 0.01}, "between the bones folds"),
        ({"soft_information_after_nats": 0.3}, "nothing is gained"),
        ({"forth_and_back_mm": 4.0}, "another motion"),
    ],
)
def test_what_speaks_against_a_field_rejects_it(changes, word):
    start = RegistrationResult("known", np.eye(4), Verdict.ACCEPTED, ())
    assert judge_field(start, evidence()) == (Verdict.ACCEPTED, ())
    verdict, reasons = judge_field(start, evidence(**changes))
    assert verdict is Verdict.REJECTED
    assert word in reasons[0]


def test_a_rejected_start_stays_rejected():
    start = RegistrationResult("known", np.eye(4), Verdict.REJECTED, ("another person",))
    verdict, reasons = judge_field(start, evidence())
    assert verdict is Verdict.REJECTED
    assert "another person" in reasons[0]


def test_two_images_of_a_kind_are_refused(patient):
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="both images are CT"):
        register_deformable(patient.ct, patient.ct, initial=known_rigid(patient))


def test_without_torch_the_way_out_is_said(monkeypatch):
    from MSKFusionLib.torch_device import load_torch

    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(MissingComponentError, match="mskplanner\\[deformable\\]"):
        load_torch()


# ---------------------------------------------------------------------- minutes
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("weighting", ["mr_t1", "mr_t2"])
def test_the_bar_holds_on_generated_patients(seed, weighting):
    pytest.importorskip("torch")
    patient = generate_patient(PatientOptions(seed=seed, soft_tissue_motion_mm=12.0))
    mr = getattr(patient, weighting)
    rigid = register_rigid(patient.ct, mr)
    found = register_deformable(patient.ct, mr, initial=rigid, bones=patient.labels)
    after = errors_mm(found, replace(patient, mr_t2=mr))
    assert found.verdict is Verdict.ACCEPTED, found.reasons
    assert np.median(after["soft"]) < 1.5
    assert np.median(after["bone"]) < 0.2


@pytest.mark.slow
def test_the_mr_may_be_the_fixed_image(patient, found):
    back = register_deformable(
        patient.mr_t2, patient.ct, initial=known_rigid(patient, ct_is_fixed=False), bones=patient.labels, device="cpu"
    )
    points, _ = points_and_truth(patient, 1000)["soft"]
    # A matrix turned round and back differs in its last digit, and with it a few of the voxels that are compared.
    apart = np.linalg.norm(back.apply_to_points(found.apply_to_points(points)) - points, axis=1)
    assert np.median(apart) < 0.2
    assert np.percentile(apart, 95) < 1.0


@pytest.mark.slow
def test_without_labels_bone_is_found_by_its_density(patient):
    again = register_deformable(patient.ct, patient.mr_t2, initial=known_rigid(patient), device="cpu")
    assert again.evidence["bones_given"] == 0
    after = errors_mm(again, patient)
    assert np.median(after["soft"]) < 1.5
    # What is not dense (marrow far from its cortex, thin cortex) is not known to be bone and moves a little.
    assert np.median(after["bone"]) < 0.2
    assert np.percentile(after["bone"], 95) < 1.0


@pytest.mark.slow
def test_the_same_input_gives_the_same_field(patient, found):
    again = register_deformable(
        patient.ct, patient.mr_t2, initial=known_rigid(patient), bones=patient.labels, device="cpu"
    )
    assert np.array_equal(again.bending.ct_to_mr.displacement_ras, found.bending.ct_to_mr.displacement_ras)


@pytest.mark.slow
def test_a_body_that_did_not_move_is_said_to_gain_nothing():
    pytest.importorskip("torch")
    still = generate_patient(PatientOptions.small(seed=1))
    assert still.mr_t2.modality is Modality.MR
    found = register_deformable(still.ct, still.mr_t2, initial=known_rigid(still), bones=still.labels)
    assert found.verdict is Verdict.REJECTED
    assert "nothing is gained" in found.reasons[0]
