"""What a plan says of its parts, and what the verdict over it counts."""

from types import SimpleNamespace

import numpy as np

from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Volume
from MSKPlannerLib.guides.options import GuideOptions
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.pipeline import judge
from MSKPlannerLib.plan import Check, Plan, Screw
from MSKPlannerLib.records import describe_guide, describe_input, describe_segmentation, plan_id
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


def test_a_plan_is_named_by_the_hashes_of_what_it_rests_on():
    ct = Volume(np.arange(24).reshape(2, 3, 4), np.zeros(3), np.ones(3), np.eye(3))
    bones = Segmentation(ct.with_voxels(ct.voxels % 2), (Segment(1, "L4", "vertebra"),))
    inputs, segmentation = [describe_input("ct", ct)], describe_segmentation(bones)
    assert inputs[0]["voxels_sha256"] == ct.sha256()
    assert plan_id(inputs, segmentation) == f"plan-{ct.sha256()[:6]}{segmentation['labels_sha256'][:3]}"


def test_what_was_done_to_a_guide_is_in_its_record():
    solid = SimpleNamespace(
        mesh=Mesh(np.empty((0, 3)), np.empty((0, 3), dtype=int)), bodies=1, min_wall_mm=2.0, fit_gap_mean_mm=0.25,
        fit_gap_max_error_mm=0.1, insertion_direction_ras=np.array([0.0, 1.0, 0.0]),
        checks=(Check("wall", False, 1.0, 2.0, "mm", "the wall is thin"),), notes=("a piece was dropped",),
        asked_direction=None,
    )  # fmt: skip
    record = describe_guide("L4 guide", "L4", [RIGHT], solid, GuideOptions(), {"labels": "abc"})
    assert record.notes == ("a piece was dropped",)
    assert record.remarks == "the wall is thin; a piece was dropped"
