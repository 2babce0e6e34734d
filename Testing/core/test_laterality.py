"""Left and right: a mirrored body is rejected, a symmetric one is accepted with a warning, the right one without."""

from dataclasses import replace

import numpy as np
import pytest
from core.body_pair import BodyPair, body_pair

from MSKFusionLib.registration import RegistrationResult, Verdict, register_rigid
from MSKFusionLib.registration.quality import MIRRORED, SYMMETRIC, Evidence, judge, warnings_of
from MSKFusionLib.volume import Volume


def mirrored(mr: Volume) -> Volume:
    """The same image of a mirrored body: its voxels in reverse order along the axis nearest to left and right."""
    axis = int(np.argmax(np.abs(mr.directions_ras[0])))
    return mr.with_voxels(np.ascontiguousarray(np.flip(mr.voxels, 2 - axis)))


@pytest.fixture(scope="module")
def pair() -> BodyPair:
    return body_pair(0)


@pytest.fixture(scope="module")
def found(pair: BodyPair) -> RegistrationResult:
    return register_rigid(pair.ct, pair.mr, anywhere=False)


def test_the_right_body_fits_better_than_its_mirror_image(found: RegistrationResult):
    assert found.verdict is Verdict.ACCEPTED
    assert found.evidence["mirror_share"] < 0.9
    assert found.warnings == ()


def test_a_mirrored_body_is_rejected(pair: BodyPair):
    turned = register_rigid(pair.ct, mirrored(pair.mr), anywhere=False)
    assert turned.verdict is Verdict.REJECTED
    assert turned.evidence["mirror_share"] > 1.05


def test_what_the_share_means_for_the_verdict(found: RegistrationResult):
    evidence = Evidence.from_dict(found.evidence)
    verdict, reasons, expected_mm = judge(replace(evidence, mirror_share=MIRRORED + 0.01))
    assert verdict is Verdict.REJECTED
    assert "mirrored" in reasons[-1]
    assert expected_mm is None
    alike = replace(evidence, mirror_share=1.0)
    assert judge(alike)[0] is Verdict.ACCEPTED
    assert "left and right cannot be told" in warnings_of(alike)[0]
    assert warnings_of(replace(evidence, mirror_share=SYMMETRIC - 0.01)) == ()
