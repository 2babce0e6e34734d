"""Rigid registration as a whole: on a body of known geometry, on pairs that cannot match, and on what must be refused."""

from dataclasses import replace

import numpy as np
import pytest
from core.body_pair import BodyPair, body_pair

from MSKFusionLib.errors import Cancelled, InputError
from MSKFusionLib.frames import invert_rigid, rigid_about, rotation_about, transform_points
from MSKFusionLib.registration import RegistrationResult, Verdict, register_rigid
from MSKFusionLib.registration.quality import MIRRORED, SYMMETRIC, Evidence, judge, warnings_of
from MSKFusionLib.volume import Modality, Volume, read_image


@pytest.fixture(scope="module")
def pair() -> BodyPair:
    return body_pair(0)


@pytest.fixture(scope="module")
def result(pair: BodyPair) -> RegistrationResult:
    return register_rigid(pair.ct, pair.mr)


def test_pose_is_found_without_a_start(pair: BodyPair, result: RegistrationResult):
    assert pair.error_mm(np.eye(4)) > 30.0
    assert pair.error_mm(result.fixed_to_moving_ras) < 0.4
    assert result.verdict == Verdict.ACCEPTED
    assert result.reasons == ()


def test_expected_error_is_not_flattering(pair: BodyPair, result: RegistrationResult):
    assert result.expected_error_mm is not None
    assert result.expected_error_mm >= 0.5 * pair.error_mm(result.fixed_to_moving_ras)
    assert result.expected_error_mm < 2.0


def test_evidence_names_its_units(result: RegistrationResult):
    assert result.evidence
    for name, value in result.evidence.items():
        assert name.endswith(("_share", "_mm", "_nats", "_count")), name
        assert np.isfinite(value), name


def test_the_other_way_round_gives_the_inverse(pair: BodyPair, result: RegistrationResult):
    turned = register_rigid(pair.mr, pair.ct)
    np.testing.assert_allclose(turned.fixed_to_moving_ras, invert_rigid(result.fixed_to_moving_ras), atol=1e-9)
    assert turned.verdict == result.verdict
    assert turned.evidence == result.evidence  # the same input gives the same result


def test_the_right_body_fits_better_than_its_mirror_image(result: RegistrationResult):
    assert result.evidence["mirror_share"] < 0.9
    assert result.warnings == ()


def test_a_mirrored_body_is_rejected(pair: BodyPair):
    axis = int(np.argmax(np.abs(pair.mr.directions_ras[0])))
    mirrored = pair.mr.with_voxels(np.ascontiguousarray(np.flip(pair.mr.voxels, 2 - axis)))
    turned = register_rigid(pair.ct, mirrored, anywhere=False)
    assert turned.verdict is Verdict.REJECTED
    assert turned.evidence["mirror_share"] > 1.05


def test_what_the_mirror_image_means_for_the_verdict(result: RegistrationResult):
    evidence = Evidence.from_dict(result.evidence)
    verdict, reasons, expected_mm = judge(replace(evidence, mirror_share=MIRRORED + 0.01))
    assert verdict is Verdict.REJECTED
    assert "mirrored" in reasons[-1]
    assert expected_mm is None
    alike = replace(evidence, mirror_share=1.0)
    assert judge(alike)[0] is Verdict.ACCEPTED
    assert "left and right cannot be told" in warnings_of(alike)[0]
    assert warnings_of(replace(evidence, mirror_share=SYMMETRIC - 0.01)) == ()


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3, 4))])
def test_far_away_and_turned(seed: int):
    far = body_pair(seed, shift_mm=(-45.0, 60.0, 70.0), turn_deg=40.0)
    found = register_rigid(far.ct, far.mr)
    assert far.error_mm(found.fixed_to_moving_ras) < 0.4
    assert found.verdict == Verdict.ACCEPTED


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "turn_deg"), [(1, 180.0), (2, 95.0), (3, 170.0), (4, 130.0)])
def test_a_body_turned_over_is_found_without_a_start(seed: int, turn_deg: float):
    over = body_pair(seed, shift_mm=(20.0, -30.0, 10.0), turn_deg=turn_deg)
    found = register_rigid(over.ct, over.mr)
    assert over.error_mm(found.fixed_to_moving_ras) < 0.4
    assert found.verdict == Verdict.ACCEPTED


@pytest.mark.slow
def test_a_start_carries_the_search_to_any_turn():
    upside_down = body_pair(3, turn_deg=170.0)
    start = rigid_about(np.zeros(3), rotation_about((1, 0, 0), 8.0)) @ upside_down.ct_to_mr_ras
    found = register_rigid(upside_down.ct, upside_down.mr, start_ras=start)
    assert upside_down.error_mm(found.fixed_to_moving_ras) < 0.4


def test_two_mr_images_of_other_contrast_are_registered(pair: BodyPair):
    motion = rigid_about(pair.mr.centre_ras, rotation_about((1, -2, 1), 25.0), (12.0, -20.0, 15.0))
    dark = np.where(pair.mr.voxels > 60, 1100.0 - pair.mr.voxels, pair.mr.voxels).astype(np.float32)
    moved = motion @ pair.mr.ijk_to_ras
    other = replace(
        pair.mr.with_voxels(dark), origin_ras=moved[:3, 3], directions_ras=motion[:3, :3] @ pair.mr.directions_ras
    )
    found = register_rigid(pair.mr, other)
    points = transform_points(pair.ct_to_mr_ras, pair.bone_points_ras())
    apart = transform_points(found.fixed_to_moving_ras, points) - transform_points(motion, points)
    assert np.linalg.norm(apart, axis=1).mean() < 0.2
    assert found.verdict == Verdict.ACCEPTED


@pytest.mark.parametrize("anywhere", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_noise_is_rejected(pair: BodyPair, anywhere: bool):
    rng = np.random.default_rng(0)
    noise = pair.mr.with_voxels(np.hypot(*rng.normal(0, 100, (2, *pair.mr.voxels.shape))).astype(np.float32))
    found = register_rigid(pair.ct, noise, anywhere=anywhere)
    assert found.verdict == Verdict.REJECTED
    assert found.reasons
    assert found.expected_error_mm is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_another_body_is_rejected(seed: int):
    other = body_pair(seed, another_body=True)
    found = register_rigid(other.ct, other.mr)
    assert found.verdict == Verdict.REJECTED
    assert found.reasons


# ---------------------------------------------------------------------- refused
def test_two_images_of_one_kind_are_refused(pair: BodyPair):
    with pytest.raises(InputError, match="both images are CT"):
        register_rigid(pair.ct, pair.ct)


def test_an_unknown_modality_is_refused(pair: BodyPair):
    with pytest.raises(InputError, match="UNKNOWN"):
        register_rigid(pair.ct, replace(pair.mr, modality=Modality.UNKNOWN))


def test_values_that_are_no_numbers_are_refused(pair: BodyPair):
    voxels = pair.mr.voxels.copy()
    voxels[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="not numbers"):
        register_rigid(pair.ct, pair.mr.with_voxels(voxels))


def test_an_empty_image_is_refused(pair: BodyPair):
    with pytest.raises(InputError, match="empty"):
        register_rigid(pair.ct, pair.mr.with_voxels(np.full_like(pair.mr.voxels, 7)))


def test_two_slices_are_refused(pair: BodyPair):
    with pytest.raises(InputError, match="slices"):
        register_rigid(pair.ct, replace(pair.mr, voxels=pair.mr.voxels[10:12]))


def test_a_speck_of_ct_is_refused(pair: BodyPair):
    speck = pair.ct.cropped((40, 30, 30), (48, 38, 36))
    with pytest.raises(InputError, match="ml of one"):
        register_rigid(speck, pair.mr)


def test_a_ct_of_air_is_refused(pair: BodyPair):
    rng = np.random.default_rng(0)
    air = pair.ct.with_voxels(rng.normal(-1000, 5, pair.ct.voxels.shape).astype(np.float32))
    with pytest.raises(InputError, match="no body"):
        register_rigid(air, pair.mr)


def test_a_transform_that_scales_is_refused(pair: BodyPair):
    with pytest.raises(InputError, match="scales"):
        register_rigid(pair.ct, pair.mr, start_ras=np.diag([2.0, 2, 2, 1]))


@pytest.mark.parametrize("at", [0.01, *(pytest.param(a, marks=pytest.mark.slow) for a in (0.3, 0.6, 0.9))])
def test_cancelling_stops_it(pair: BodyPair, at: float):
    def stop(fraction: float, message: str) -> None:
        assert 0.0 <= fraction <= 1.0
        assert message
        if fraction >= at:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        register_rigid(pair.ct, pair.mr, progress=stop)


# ---------------------------------------------------------------------- real
@pytest.mark.slow
@pytest.mark.realdata
def test_rire_from_the_given_position(real_data):
    from core.rire_truth import mean_error_mm

    ct = read_image(real_data / "rire" / "training_001_ct_1.25mm.nii.gz", Modality.CT)
    mr: Volume = read_image(real_data / "rire" / "training_001_mr_T1.mha", Modality.MR)
    found = register_rigid(ct, mr)
    error = mean_error_mm(real_data, found.fixed_to_moving_ras)
    assert error <= 2.0
    assert found.verdict == Verdict.ACCEPTED
    assert found.expected_error_mm is not None
    assert found.expected_error_mm >= 0.5 * error
