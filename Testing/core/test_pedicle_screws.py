"""Pedicle screws in schematic vertebrae with known pedicles, and in the generated patient."""

import numpy as np
import pytest
from core.bone_shapes import moved, pose, schematic_vertebra, vertebra_segmentation, voxel_centres

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rotation_about
from MSKFusionLib.registration.result import Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality
from MSKPlannerLib.anatomy.vertebra import vertebra_frame
from MSKPlannerLib.screws.implants import ImplantTable, load_implants
from MSKPlannerLib.screws.options import ScrewOptions
from MSKPlannerLib.screws.pedicle import _first_choice, plan_levels, plan_pedicle_screws
from MSKPlannerLib.screws.safety import assess_screw, screw_clearance_mm


def make(local_to_ras, left=8.0, right=8.0, rotation=None, spacing=(0.7, 0.7, 1.0)):
    shape = moved(schematic_vertebra(left, right), local_to_ras)
    return shape, vertebra_segmentation(shape, local_to_ras[:3, 3], spacing, rotation)


@pytest.fixture(scope="module")
def turned():
    local_to_ras = pose(yaw_deg=12, roll_deg=20, pitch_deg=-12)
    shape, segmentation = make(local_to_ras, rotation=rotation_about([1, 0, 1], 20))
    return local_to_ras, shape, segmentation, plan_pedicle_screws(None, segmentation)


def test_a_screw_a_side_named_and_measured(turned):
    _, _, _, screws = turned
    assert [s.name for s in screws] == ["L3 left", "L3 right"]
    for screw in screws:
        assert screw.verdict is Verdict.ACCEPTED
        assert screw.grade == "A"
        assert screw.clearance_mm >= 0.9
        length = np.linalg.norm(np.subtract(screw.tip_ras, screw.entry_ras))
        assert screw.length_mm == pytest.approx(length, abs=1e-6)
        assert screw.length_mm % 5 == 0
        assert screw.hu_mean is None
        assert screw.pedicle_width_mm == pytest.approx(8.0, abs=0.5)


def test_the_truth_agrees(turned):
    local_to_ras, shape, _, screws = turned
    for screw in screws:
        # The schematic body's depth is a scaled one: exact where it is small.
        assert screw_clearance_mm(shape, screw.entry_ras, screw.tip_ras, screw.diameter_mm) > 0.6
        entry, tip = (np.linalg.inv(local_to_ras) @ np.append(p, 1) for p in (screw.entry_ras, screw.tip_ras))
        sign = 1 if screw.side == "right" else -1
        assert entry[0] * sign > 5
        assert entry[1] < -35
        assert abs(shape(np.array(screw.entry_ras)[None])[0]) < 0.4
        assert tip[1] < 0.3 * 34 + 0.5
        assert shape(np.array(screw.tip_ras)[None])[0] > screw.diameter_mm / 2


def test_diameter_is_what_pedicle_and_wish_allow(turned):
    _, _, segmentation, screws = turned
    # 8 mm less 1 mm all round is 6 mm; rasterised walls cost up to a step of the table.
    assert all(5.0 <= s.diameter_mm <= 6.0 for s in screws)
    bolder = plan_pedicle_screws(None, segmentation, options=ScrewOptions(wished_clearance_mm=0.5))
    assert all(b.diameter_mm > s.diameter_mm for b, s in zip(bolder, screws, strict=True))
    capped = plan_pedicle_screws(None, segmentation, options=ScrewOptions(wished_clearance_mm=0.5, pedicle_fill=0.6))
    assert all(s.diameter_mm <= 0.6 * s.pedicle_width_mm for s in capped)


def test_direction_limits_and_margins_are_kept(turned):
    _, _, segmentation, _ = turned
    options = ScrewOptions(convergence_deg=(5.0, 15.0), sagittal_deg=(-5.0, 5.0), anterior_margin_mm=12.0)
    frame = vertebra_frame(segmentation, "L3")
    for screw in plan_pedicle_screws(None, segmentation, options=options):
        x, y, z = frame.axes_ras.T @ np.subtract(screw.tip_ras, screw.entry_ras)
        inward = np.degrees(np.arctan2(-x if screw.side == "right" else x, y))
        assert 5.0 - 0.1 <= inward <= 15.0 + 0.1
        assert abs(np.degrees(np.arctan2(z, y))) <= 5.1


def test_a_mirrored_patient_gets_a_mirrored_plan():
    _, plain = make(pose(), left=7.0, right=9.0, spacing=(0.8, 0.8, 0.8))
    flipped = Segmentation(plain.labels.with_voxels(plain.labels.voxels[:, :, ::-1].copy()), plain.segments)
    middle = plain.labels.centre_ras[0]
    a = {s.side: s for s in plan_pedicle_screws(None, plain)}
    b = {s.side: s for s in plan_pedicle_screws(None, flipped)}
    for side, other in (("left", "right"), ("right", "left")):
        assert a[side].diameter_mm == b[other].diameter_mm
        assert a[side].pedicle_width_mm == pytest.approx(b[other].pedicle_width_mm, abs=0.3)
        entry, tip = (np.array(p) * [-1, 1, 1] + [2 * middle, 0, 0] for p in (b[other].entry_ras, b[other].tip_ras))
        # The rasters are not mirrored about a voxel, and the best of many equal lines is a matter of tenths.
        assert np.linalg.norm(entry - a[side].entry_ras) < 3.0
        cosine = np.dot(tip - entry, np.subtract(a[side].tip_ras, a[side].entry_ras))
        cosine /= a[side].length_mm * b[other].length_mm
        assert np.degrees(np.arccos(cosine)) < 6.0


def test_the_same_plan_twice(turned):
    _, _, segmentation, screws = turned
    assert plan_pedicle_screws(None, segmentation) == screws


def test_a_narrow_pedicle_is_said_to_be_so():
    shape, segmentation = make(pose(), left=3.4, right=8.0)
    left, right = plan_pedicle_screws(None, segmentation)
    assert right.verdict is Verdict.ACCEPTED
    assert left.verdict is Verdict.REJECTED
    assert "left pedicle of L3 is 3" in left.reasons[0]
    assert "no screw fits" in left.reasons[0]
    assert left.largest_diameter_mm is None
    assert left.diameter_mm == 4.0
    # It still runs through the middle of what there is: off the bar's axis by less than half a voxel (0.35 mm).
    assert screw_clearance_mm(shape, left.entry_ras, left.tip_ras, 2 * (1.7 - 0.35)) >= 0

    thin = ImplantTable("thin", ((2.0, 40.0), (2.5, 40.0), (3.0, 40.0), (4.0, 40.0)))
    left, _ = plan_pedicle_screws(None, segmentation, implants=thin)
    assert left.largest_diameter_mm in (2.5, 3.0)
    assert left.diameter_mm == 2.0
    assert left.clearance_mm > 0.3


def test_density_decides_between_equal_paths():
    _, segmentation = make(pose(), left=11.0, right=11.0)
    z = (
        np.arange(segmentation.labels.shape_ijk[2]) * segmentation.labels.spacing_mm[2]
        + segmentation.labels.origin_ras[2]
    )
    values = np.broadcast_to(
        (26000.0 - 100.0 * z).astype(np.float32)[:, None, None], segmentation.labels.voxels.shape
    ).copy()
    ct = segmentation.labels.with_voxels(values, modality=Modality.CT)
    thin = ImplantTable("thin", ((4.0, 40.0),))
    plain = plan_pedicle_screws(None, segmentation, implants=thin)
    dense = plan_pedicle_screws(ct, segmentation, implants=thin)
    for a, b in zip(plain, dense, strict=True):
        # Denser below: the screw goes down as far as the wished clearance lets it.
        assert b.tip_ras[2] + b.entry_ras[2] < a.tip_ras[2] + a.entry_ras[2] - 0.3
        assert b.hu_mean == pytest.approx(26000 - 50 * (b.tip_ras[2] + b.entry_ras[2]), abs=15)
        assert b.hu_min <= b.hu_mean
        assert b.clearance_mm >= 0.9


def test_the_way_to_the_entry_goes_past_the_vertebra_above():
    _, segmentation = make(pose(), left=11.0, right=11.0)
    labels = segmentation.labels
    free = {s.side: s for s in plan_pedicle_screws(None, segmentation)}
    # A plate of another vertebra behind the left entry, above the axis: in the way of a straight screw.
    entry, tip = np.array(free["left"].entry_ras), np.array(free["left"].tip_ras)
    back = (entry - tip) / np.linalg.norm(entry - tip)
    centres = voxel_centres(labels) - (entry + 12 * back + [0, 0, 8.0])
    voxels = labels.voxels.copy()
    voxels[(np.abs(centres) < [9.0, 2.0, 9.0]).all(axis=-1) & (voxels == 0)] = 21
    crowded = Segmentation(labels.with_voxels(voxels), (*segmentation.segments, Segment(21, "L2", "vertebra", False)))
    plan = plan_levels(None, crowded)
    assert [s.level for s in plan.skipped] == ["L2"]
    assert str(plan.skipped[0]).startswith("no screws in L2: the vertebra is not wholly in view")
    left = next(s for s in plan.screws if s.side == "left")
    way = (
        np.array(left.entry_ras)
        + np.arange(4, 50, 0.5)[:, None] * -np.subtract(left.tip_ras, left.entry_ras) / left.length_mm
    )
    ijk = np.rint(way @ labels.ras_to_ijk[:3, :3].T + labels.ras_to_ijk[:3, 3]).astype(int)
    ijk = ijk[((ijk >= 0) & (ijk < labels.shape_ijk)).all(axis=1)]
    assert not (voxels[ijk[:, 2], ijk[:, 1], ijk[:, 0]] == 21).any()
    assert not any("another vertebra" in n for n in left.notes)
    assert left.clearance_mm >= 0.95

    voxels[(np.abs(centres + [0, 0, 8.0]) < [26.0, 2.0, 26.0]).all(axis=-1) & (voxels == 0)] = 21
    walled = Segmentation(labels.with_voxels(voxels), (*segmentation.segments, Segment(21, "L2", "vertebra", False)))
    left = next(s for s in plan_pedicle_screws(None, walled) if s.side == "left")
    assert any("another vertebra" in n for n in left.notes)
    assert any(n.startswith("no CT: ") for n in left.notes)


class Ways:
    """A search that finds a screw up to some diameter with the wished clearance, and the thinnest with some."""

    def __init__(self, name: str, largest_mm: float, widest_mm: float | None) -> None:
        self.name, self.largest_mm, self.widest_mm = name, largest_mm, widest_mm

    def best(self, _ct, diameter_mm, lengths_mm, _clearance_mm):
        return (self.name, diameter_mm) if diameter_mm <= self.largest_mm else None

    def widest(self, diameter_mm, lengths_mm):
        return None if self.widest_mm is None else ((self.name, diameter_mm), self.widest_mm)


@pytest.mark.parametrize(
    ("past_joint", "free", "through", "chosen"),
    [
        (("joint", 7.0, 1.0), ("free", 8.0, 1.0), ("through", 8.0, 1.0), (("joint", 7.0), False, False)),
        # a free way at any diameter before one through another vertebra
        (("joint", 0.0, None), ("free", 4.5, 1.0), ("through", 8.0, 1.0), (("free", 4.5), False, False)),
        # and with less than the wished clearance too, where it is not below the least
        (("joint", 0.0, None), ("free", 0.0, 0.7), ("through", 8.0, 1.5), (("free", 4.0), True, False)),
        (("joint", 0.0, None), ("free", 0.0, 0.3), ("through", 6.0, 1.5), (("through", 6.0), False, True)),
        (("joint", 0.0, 0.2), ("free", 0.0, 0.3), ("through", 0.0, 0.4), (("joint", 4.0), True, False)),
        (("joint", 0.0, None), ("free", 0.0, None), ("through", 0.0, None), (None, True, False)),
    ],
)
def test_a_free_way_to_the_entry_comes_before_a_thick_screw(past_joint, free, through, chosen):
    diameters = [d for d in reversed(load_implants().diameters_mm) if d <= 8.0]
    ways = [Ways(*w) for w in (past_joint, free, through)]
    assert _first_choice(ways, None, diameters, 9.0, load_implants(), ScrewOptions()) == chosen


def test_where_no_line_can_hold_the_thinnest_screw_the_first_one_found_is_the_answer():
    ways = [Ways("joint", 0.0, 0.2), Ways("free", 0.0, 0.3), Ways("through", 0.0, 0.4)]
    # Nobody looks on: the other ways would fail.
    found = _first_choice([ways[0], None, None], None, [], 2.2, load_implants(), ScrewOptions())
    assert found == (("joint", 4.0), True, False)


def test_levels_are_chosen_and_doubtful_ones_named():
    _, segmentation = make(pose())
    with pytest.raises(InputError, match=r"there is no vertebra L9\. There are: "):
        plan_pedicle_screws(None, segmentation, levels=["L9"])
    k = int(np.argwhere(segmentation.mask("L3"))[:, 0].mean())
    cut = Segmentation(segmentation.labels.cropped((0, 0, k), segmentation.labels.shape_ijk), segmentation.segments)
    with pytest.raises(InputError, match="not wholly in view"):
        plan_pedicle_screws(None, cut, levels=["L3"])
    with pytest.raises(InputError, match="no vertebra is wholly in view"):
        plan_levels(None, cut)


@pytest.mark.parametrize(
    "changes",
    [
        {"wished_clearance_mm": 0.2},
        {"pedicle_fill": 0.0},
        {"convergence_deg": (30.0, 10.0)},
        {"sagittal_deg": (-90.0, 90.0)},
        {"error_budget": "none such"},
        {"objective": "speed"},
        {"objective": "risk", "error_budget": ""},
    ],
)
def test_options_that_contradict_themselves(changes):
    with pytest.raises(InputError):
        ScrewOptions(**changes)


def test_every_screw_is_in_the_true_bone_of_a_generated_patient(small_patient):
    plan = plan_levels(small_patient.ct, small_patient.labels)
    levels = [s.name for s in small_patient.labels.vertebrae if s.complete]
    assert [s.name for s in plan.screws] == [f"{level} {side}" for level in levels for side in ("left", "right")]
    cut = [s.name for s in small_patient.labels.vertebrae if not s.complete]
    assert [(s.level, s.side, s.whole) for s in plan.skipped] == [(name, None, False) for name in cut]
    for screw in plan.screws:
        level = screw.level
        found = assess_screw(
            lambda p, n=level: small_patient.bone_depth_mm(n, p), screw.entry_ras, screw.tip_ras, screw.diameter_mm
        )
        assert found.grade == "A"
        true_width = small_patient.vertebrae[level].pedicles[screw.side].width_mm
        if true_width >= 5.5:
            assert found.clearance_mm >= 0.5
        assert screw.pedicle_width_mm == pytest.approx(true_width, abs=1.0)
        assert screw.hu_mean > 50
        assert screw.risk.budget == "printed_guide"
        assert 0.01 < screw.risk.probability < 0.9


@pytest.mark.slow
def test_the_screw_of_least_risk_is_of_the_same_size_and_breaches_less():
    _, segmentation = make(pose(), left=11.0, right=11.0)
    labels = segmentation.labels
    # Denser upwards, so that the path with most hold runs near the upper wall.
    height = voxel_centres(labels) @ pose()[:3, 2]
    ct = labels.with_voxels((200 + 60 * (height - height.mean())).astype(np.float32), modality=Modality.CT)
    thin = {"wished_clearance_mm": 0.5, "pedicle_fill": 0.5}
    held = plan_pedicle_screws(ct, segmentation, options=ScrewOptions(**thin))
    safer = plan_pedicle_screws(ct, segmentation, options=ScrewOptions(**thin, objective="risk"))
    for a, b in zip(held, safer, strict=True):
        assert (a.diameter_mm, a.length_mm) == (b.diameter_mm, b.length_mm)
        assert b.risk.probability < a.risk.probability - 0.02
        assert "least risk" in b.notes[-1]
        assert b.grade == "A"
