"""Twenty generated patients, the whole path on each, measured in the true anatomy (about two minutes each)."""

import pytest

from MSKFusionLib.progress import no_progress
from MSKPlannerLib.cli.demo import plan_generated
from MSKPlannerLib.truth import compare


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_every_bar_holds(seed):
    patient, case = plan_generated(seed, no_progress)
    result = compare(case, patient)
    assert result.failures == ()
    # The estimate must not promise what the truth does not keep.
    assert result.registration_expected_mm >= 0.5 * result.registration_mean_mm
