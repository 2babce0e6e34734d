"""Screws that a user adds: between two points, snapped to bone, and at a site; the truth is the bone's own geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import unit
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.editing import screw_edits
from MSKPlannerLib.editing.add_screws import new_screws, placed_between, planned_at
from MSKPlannerLib.editing.chain import chain_in_words, chain_of
from MSKPlannerLib.editing.rebase import taken_over
from MSKPlannerLib.editing.up_to_date import out_of_date
from MSKPlannerLib.pipeline import empty_case
from MSKPlannerLib.screws.implants import load_implants
from MSKPlannerLib.screws.planes import screw_planes

#: A bar of bone: 20 x 24 x 70 mm about the origin, its axis along z; a second one beyond a gap of 3 mm.
HALF_MM = np.array([10.0, 12.0, 35.0])
GAP_MM = 3.0


def bar(half_mm=HALF_MM):
    """A CT and its bones: the bar and the one beyond the gap, of any half width."""
    voxels = np.zeros((180, 40, 40), dtype=np.uint8)
    ct = Volume(
        np.full(voxels.shape, -50, dtype=np.int16),
        np.array([-19.5, -19.5, -50.0]),
        np.ones(3),
        np.eye(3),
        modality=Modality.CT,
    )
    k, j, i = np.indices(voxels.shape)
    x, y, z = i - 19.5, j - 19.5, k - 50.0
    across = (np.abs(x) < half_mm[0]) & (np.abs(y) < half_mm[1])
    voxels[across & (np.abs(z) < HALF_MM[2])] = 1
    voxels[across & (z > HALF_MM[2] + GAP_MM) & (z < HALF_MM[2] + GAP_MM + 40)] = 2
    labels = ct.with_voxels(voxels, modality=Modality.LABEL)
    ct.voxels[voxels > 0] = 700
    bones = Segmentation(labels, (Segment(1, "left bar"), Segment(2, "far bar")))
    return ct, bones


@pytest.fixture(scope="module")
def bar_case():
    return empty_case(*bar())


def test_an_entry_snaps_to_the_surface_and_the_size_to_what_there_is(bar_case):
    case = placed_between(bar_case, (1.0, 0.0, -41.0), (1.0, 0.0, 6.0))
    (screw,) = case.plan.screws
    assert (screw.name, screw.site, screw.level, screw.side) == ("Free 1", "free", "left bar", "left")
    assert screw.by_hand
    assert screw.entry_ras == pytest.approx((1.0, 0.0, -HALF_MM[2]), abs=0.6), "on the end face of the bar"
    assert screw.length_mm == pytest.approx(40.0), "41 mm to the nearest size"
    assert screw.diameter_mm == 7.3, "the thickest of those that there are"
    assert screw.clearance_mm == pytest.approx(HALF_MM[0] - 1.0 - 7.3 / 2, abs=0.4)
    assert screw.grade == "A"
    assert case.plan.verdict is Verdict.ACCEPTED, case.plan.reasons
    assert bar_case.plan.verdict is Verdict.REJECTED, "a plan without a screw"
    assert new_screws(bar_case, case) == ("Free 1",)


def test_an_entry_that_was_marked_within_the_bone_comes_out_behind(bar_case):
    (screw,) = placed_between(bar_case, (0.0, 0.0, -20.0), (0.0, 0.0, 20.0)).plan.screws
    assert screw.entry_ras == pytest.approx((0.0, 0.0, -HALF_MM[2]), abs=0.6)
    with pytest.raises(InputError, match="no surface of left bar"):
        placed_between(bar_case, (0.0, 0.0, 2.0), (0.0, 0.0, 30.0))


def test_a_free_screw_is_moved_sized_and_counted_like_any(bar_case):
    case = placed_between(bar_case, (0.0, 0.0, -41.0), (0.0, 0.0, 5.0))
    case = placed_between(case, (0.0, 0.0, -41.0), (0.0, 0.0, 5.0))
    assert [s.name for s in case.plan.screws] == ["Free 1", "Free 2"]
    assert "it meets the screw Free 1" in " ".join(case.plan.screws[1].reasons)
    case = screw_edits.removed(case, "Free 2")
    moved = screw_edits.placed(case, "Free 1", (8.0, 0.0, -35.0), (8.0, 0.0, 5.0))
    (screw,) = moved.plan.screws
    assert screw.clearance_mm == pytest.approx(2.0 - 7.3 / 2, abs=0.4)
    assert screw.verdict is Verdict.REJECTED
    assert "leaves the bone by" in screw.reasons[0]
    assert screw.breach_direction == "medial", "to the right of a left bone"
    thin = screw_edits.resized(moved, "Free 1", 3.0, 44.0).plan.screws[0]
    assert (thin.diameter_mm, thin.length_mm) == (3.0, pytest.approx(44.0))
    assert thin.verdict is Verdict.REJECTED, "half a millimetre is not enough"
    risky = screw_edits.with_risk(moved, "Free 1").plan.screws[0]
    assert risky.risk is not None
    assert risky.risk.probability > 0.9
    with pytest.raises(InputError, match="only a pedicle screw is mirrored"):
        screw_edits.copied_to_other_side(moved, "Free 1")
    with pytest.raises(InputError, match="only a pedicle screw is mirrored"):
        screw_edits.with_sides_swapped(moved, "Free 1")


def test_a_joint_that_is_crossed_counts_as_joint_and_says_so(bar_case):
    case = placed_between(bar_case, (0.0, 0.0, -15.0), (0.0, 0.0, 50.0))
    (screw,) = case.plan.screws
    assert (screw.level, screw.breach_mm) == ("left bar", 0.0)
    assert "left bar and far bar" in screw.notes[0]
    assert "lower bound" in screw.notes[1]
    assert 0 < screw.clearance_mm < 2.5


@pytest.mark.parametrize(
    ("entry", "tip", "words"),
    [
        ((15.0, 0.0, 0.0), (15.0, 0.0, 30.0), "meets no bone"),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), "lie together"),
        ((0.0, 0.0, np.nan), (0.0, 0.0, 1.0), "not two points"),
        ((1e6, 0.0, 0.0), (2e6, 0.0, 0.0), "meets no bone"),
    ],
)
def test_what_is_no_screw_is_refused_in_words(bar_case, entry, tip, words):
    with pytest.raises(InputError, match=words):
        placed_between(bar_case, entry, tip)


@pytest.fixture(scope="module")
def spine(small_patient):
    return empty_case(small_patient.ct, small_patient.labels)


def test_two_clicks_through_a_pedicle_find_level_and_side(small_patient, spine):
    case = planned_at(spine, "pedicle", "L4")
    assert [s.name for s in case.plan.screws] == ["L4 left", "L4 right"]
    assert not any(s.by_hand for s in case.plan.screws)
    only_right = planned_at(spine, "pedicle", "L4", ("right",)).plan.screws
    assert [s.name for s in only_right] == ["L4 right"]
    assert only_right[0].entry_ras == case.plan.screws[1].entry_ras
    for planned in case.plan.screws:
        way = np.subtract(planned.tip_ras, planned.entry_ras) / planned.length_mm
        clicks = np.array(planned.entry_ras) - 6.0 * way, np.array(planned.tip_ras) + 1.5 * way
        placed = placed_between(case, *clicks)
        assert len(placed.plan.screws) == 2, "it takes the place of the one there"
        found = next(s for s in placed.plan.screws if s.name == planned.name)
        assert (found.site, found.level, found.side, found.by_hand) == ("pedicle", "L4", planned.side, True)
        assert found.entry_ras == pytest.approx(planned.entry_ras, abs=0.3), "the planner's own entry is on the surface"
        assert (found.diameter_mm, round(found.length_mm, 6)) in load_implants().sizes_mm
        assert abs(found.length_mm - planned.length_mm) <= 2.51
        middle = (np.array(found.entry_ras) + found.tip_ras) / 2
        assert small_patient.bone_depth_mm("L4", middle[None])[0] > found.diameter_mm / 2


def test_across_a_body_it_is_a_free_screw_and_no_guide_is_put_out_of_date(spine):
    case = planned_at(spine, "pedicle", "L4")
    frame = screw_edits.level_of(case, "L4").frame
    half = frame.body_width_mm / 2
    clicks = frame.to_ras(np.array([[half + 4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    placed = placed_between(case, *clicks)
    free = placed.plan.screws[-1]
    assert (free.name, free.site, free.level) == ("Free 1", "free", "L4")
    assert free.nearest_screw == "L4 right"
    assert not any(level == "L4" and "Free" in why for level, why in out_of_date(placed.plan).guides)


def test_a_site_without_a_place_for_a_screw_says_why(spine):
    with pytest.raises(InputError, match="no vertebra L9"):
        planned_at(spine, "pedicle", "L9")
    with pytest.raises(GeometryError, match="no screw could be planned"):
        planned_at(spine, "lc2", sides=("left",))


def test_a_plan_is_taken_over_to_other_bones(bar_case):
    case = placed_between(bar_case, (0.0, 0.0, -41.0), (0.0, 0.0, 5.0))
    case = screw_edits.reviewed(placed_between(case, (4.5, 0.0, -41.0), (4.5, 0.0, -12.0)), "Free 2", True)
    ct, bones = bar(HALF_MM - [2.0, 0.0, 0.0])
    narrow = taken_over(case, ct, bones)
    before, after = case.plan.screws, narrow.plan.screws
    assert [s.entry_ras for s in after] == [s.entry_ras for s in before], "where they were"
    assert after[0].clearance_mm == pytest.approx(before[0].clearance_mm - 2.0, abs=0.3)
    assert not after[1].reviewed
    assert narrow.plan.plan_id != case.plan.plan_id
    assert narrow.plan.segmentation != case.plan.segmentation
    gone = bones.labels.with_voxels(np.where(bones.labels.voxels == 1, 0, bones.labels.voxels))
    lost = taken_over(case, ct, Segmentation(gone, bones.segments))
    assert lost.plan.screws == ()
    assert lost.plan.verdict is Verdict.REJECTED
    assert "Free 1 cannot be kept" in " ".join(lost.plan.reasons)


def test_the_chain_says_what_hangs_on_what(bar_case):
    def states(*arguments):
        return "".join(link.state.value for link in chain_of(*arguments))

    assert states(None) == "–––––"
    assert states(bar_case.plan) == "✓––––"
    case = placed_between(bar_case, (0.0, 0.0, -41.0), (0.0, 0.0, 5.0))
    assert states(case.plan) == "✓✓✗––", "the risk is not counted yet"
    counted = screw_edits.with_risk(case, "Free 1").plan
    assert states(counted, "", counted) == "✓✓✓–✓"
    assert states(counted, "the bones have changed", counted) == "✗✗✗–✗"
    assert states(case.plan, "", counted) == "✓✓✗–✗"
    assert chain_in_words(chain_of(counted)) == "Images ✓  →  Screws ✓  →  Risk ✓  →  Guides –  →  Files –"


@pytest.mark.parametrize("tip", [(30.0, 5.0, 3.0), (0.0, 0.0, 40.0), (-4.0, 38.0, -9.0)])
def test_planes_of_a_screw_hold_its_axis_or_lie_across_it(bar_case, tip):
    screw = replace(
        placed_between(bar_case, (0.0, 0.0, -41.0), (0.0, 0.0, 5.0)).plan.screws[0],
        entry_ras=(1.0, 2.0, 3.0),
        tip_ras=tip,
    )
    axis = unit(np.subtract(screw.tip_ras, screw.entry_ras))
    *along, across = [slice_to_ras for _, slice_to_ras, _ in screw_planes(screw, across_mm=7.0)]
    for slice_to_ras in (*along, across):
        assert np.allclose(slice_to_ras[:3, :3].T @ slice_to_ras[:3, :3], np.eye(3))
    for slice_to_ras in along:
        assert abs(slice_to_ras[:3, 2] @ axis) < 1e-9
        assert abs((np.array(screw.entry_ras) - slice_to_ras[:3, 3]) @ slice_to_ras[:3, 2]) < 1e-9
    assert abs(abs(across[:3, 2] @ axis) - 1) < 1e-9
    assert np.allclose(across[:3, 3], np.array(screw.entry_ras) + 7.0 * axis)
