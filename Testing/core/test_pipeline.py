"""What the verdict over a whole plan counts."""

from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.pipeline import judge
from MSKPlannerLib.plan import Plan, Screw
from MSKPlannerLib.screws.pedicle import Skipped

RIGHT = Screw("L4 right", "pedicle", "L4", "right", (0, 0, 0), (0, 40, 0), 6.0, 40.0, 1.0, "A")
PLAN = Plan("p", "now", {}, screws=(RIGHT,))


def test_a_side_without_a_screw_is_a_rejection_as_a_level_is():
    found = judge(PLAN, None, [Skipped("L4", "left", "no pedicle", whole=True)])
    assert found.verdict is Verdict.REJECTED
    assert found.reasons == ("no screw in L4 left: no pedicle",)
    found = judge(PLAN, None, [Skipped("L5", None, "no canal", whole=True)])
    assert found.reasons == ("no screws in L5: no canal",)


def test_a_vertebra_that_the_image_cuts_is_only_noted():
    found = judge(PLAN, None, [Skipped("L5", None, "not wholly in view", whole=False)])
    assert found.verdict is Verdict.ACCEPTED
    assert found.notes == ("no screws in L5: not wholly in view",)
