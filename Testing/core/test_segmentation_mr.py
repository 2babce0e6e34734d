"""Spine from MR without a network: bodies, discs and canal against known geometry; what is no spine is refused."""

import numpy as np
import pytest
from core.mr_blocks import BODY_MM, DISC_MM, SHELL_MM, block_spine, dice, true_mr_labels

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.frames import transform_points
from MSKFusionLib.label_fusion import combine_mapped
from MSKFusionLib.segmentation import LevelHint, Segmentation
from MSKFusionLib.segmentation.mr import segment_spine_mr
from MSKFusionLib.segmentation.mr.body import fit_block
from MSKFusionLib.segmentation.mr.prepare import prepare_mr
from MSKFusionLib.segmentation.mr.surfaces import STEP_MM, leaving_cost, settle, unlike
from MSKFusionLib.volume import Modality, Volume


def test_a_border_is_found_where_the_tissue_ends_and_bridged_where_nothing_is_seen():
    t = np.arange(0.0, 30.0, STEP_MM)
    true = 15.0 + 2.0 * np.sin(np.arange(20) / 3.0)[:, None] + np.zeros((20, 16))
    values = np.where(t < true[..., None], 1.0, 0.2).astype(np.float32)
    values[8:11, 5:9] = 1.0  # a pedicle: marrow goes on
    border = settle(leaving_cost(unlike(values, 1.0)), np.full((20, 16), 15.0), sigma=(1.5, 1.5))
    assert np.abs(border.at_mm - true).max() < 1.5
    assert np.abs(border.at_mm - true).mean() < 0.4
    assert border.seen[9, 7] < 0.1 < 0.5 < border.seen[2, 2]


@pytest.mark.parametrize(("weighting", "tilt"), [("T1", 20.0), ("T2", 0.0)])
def test_a_block_has_its_measures_and_its_tilt(weighting, tilt):
    mr, _ = block_spine(weighting, tilt_deg=tilt)
    image = prepare_mr(mr)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    centre = np.array([0.0, 8.0 * c, 8.0 * s])
    block = fit_block(image, image.from_ras(centre + [5.0, -4.0, 4.0]))
    assert not isinstance(block, str)
    assert block.wrong() == ""
    assert np.linalg.norm(image.to_ras(block.centre_mm) - centre) < 1.5
    marrow = BODY_MM - 2 * SHELL_MM  # a block is where the marrow ends
    assert abs(block.height_mm - marrow[2]) < 3.0
    assert abs(block.depth_mm - marrow[1]) < 3.0
    assert abs(block.width_mm - marrow[0]) < 4.0
    assert np.degrees(np.arccos(block.axes[:, 2] @ [0.0, -s, c])) < 4.0


@pytest.mark.parametrize("weighting", [pytest.param("T1", marks=pytest.mark.slow), "T2"])
def test_a_spine_of_blocks_in_order(weighting):
    mr, truth = block_spine(weighting)
    found = segment_spine_mr(mr, level_hint=LevelHint("L4", "lowest"))
    assert [s.name for s in found.vertebrae] == ["L2", "L3", "L4"]
    assert not any(s.complete for s in found.vertebrae)  # no screw is planned on a body without pedicles
    for n, level in enumerate(("L2", "L3", "L4"), start=1):
        # The shell of the blocks is as thick as a voxel: half of it may count as tissue outside.
        assert dice(found.mask(level), truth == n) > 0.87
    heights = [s.notes[0] for s in found.segments if s.kind == "disc" and "/" in s.name]
    assert {s.name for s in found.segments if s.kind == "disc"} >= {"disc L2/L3", "disc L3/L4"}
    assert all(abs(float(h.split()[0]) - DISC_MM) < 3.0 for h in heights)  # half of both shells, as above
    # Above and below the bodies it goes on to the image's end.
    assert dice(found.mask("spinal_canal"), truth == 50) > 0.85
    assert any("above L2" in note for note in found.notes)


@pytest.mark.parametrize(("weighting", "click"), [pytest.param("T2", False, marks=pytest.mark.slow), ("T1", True)])
def test_a_generated_patient(small_patient, weighting, click):
    mr = small_patient.mr(weighting)
    truth = true_mr_labels(small_patient, mr)
    l4 = transform_points(small_patient.ct_to_mr_ras, small_patient.spine.frames["L4"][:3, 3])
    found = segment_spine_mr(mr, click_ras=l4 if click else None, level_hint=LevelHint("L4", l4))
    assert [s.name for s in found.vertebrae] == ["L3", "L4", "L5"]
    scores = [dice(found.mask(level), truth == n) for n, level in enumerate(("L3", "L4", "L5"), start=1)]
    assert min(scores[1:]) > 0.85
    assert scores[0] > 0.75  # above L3 the generated spine ends without a disc
    canal = found.mask("spinal_canal")
    assert (truth[canal] == 90).mean() < 0.12
    assert dice(canal, truth == 50) >= 0.8  # from the first body down to the end of the sacrum
    assert found["disc L4/L5"].confidence > 0.5
    # Onto the CT: its bones stay, and of the MR come the discs and the canal.
    of_ct = small_patient.labels
    bones = Segmentation(
        of_ct.labels.with_voxels(
            np.where(np.isin(of_ct.labels.voxels, [s.value for s in of_ct.bones]), of_ct.labels.voxels, 0)
        ),
        of_ct.bones,
    )
    both = combine_mapped(
        bones, found, lambda points: transform_points(small_patient.ct_to_mr_ras, points), 0.5
    ).segmentation
    assert np.array_equal(both.mask("L4"), bones.mask("L4"))
    assert dice(both.mask("disc L4/L5"), of_ct.mask("disc_L4_L5")) > 0.8
    assert both.mask("spinal_canal").any()


def test_what_is_no_spine_in_mr_is_refused():
    mr, _ = block_spine()
    with pytest.raises(InputError, match="is CT"):
        segment_spine_mr(mr.with_voxels(mr.voxels, modality=Modality.CT))
    with pytest.raises(InputError, match="Hounsfield"):
        segment_spine_mr(mr.with_voxels(mr.voxels - np.int16(1000)))
    with pytest.raises(InputError, match="too few"):
        segment_spine_mr(mr.cropped((0, 0, 0), (40, 40, 4)))
    with pytest.raises(InputError, match="outside the image"):
        segment_spine_mr(mr, click_ras=(500.0, 0.0, 0.0))
    with pytest.raises(InputError, match="three finite numbers"):
        segment_spine_mr(mr, click_ras=(np.nan, 0.0, 0.0))
    with pytest.raises(ProcessingError, match="no vertebral body at the click"):
        segment_spine_mr(mr, click_ras=(0.0, 38.0, 0.0))  # fat
    noise = np.random.default_rng(1).rayleigh(100.0, mr.voxels.shape).astype(np.int16)
    with pytest.raises(ProcessingError, match="Click into a vertebral body"):
        segment_spine_mr(mr.with_voxels(noise))
    broken = mr.voxels.astype(np.float32)
    broken[3, 3, 3] = np.nan
    with pytest.raises(InputError, match="not numbers"):
        segment_spine_mr(mr.with_voxels(broken))


def test_an_image_without_a_second_body_needs_a_click():
    mr, truth = block_spine(bodies=1)
    with pytest.raises(ProcessingError, match="no row of vertebral bodies"):
        segment_spine_mr(mr)
    found = segment_spine_mr(mr, click_ras=(0.0, 8.0, 0.0))
    assert dice(found.mask("V1"), truth == 1) > 0.87
    assert isinstance(found.labels, Volume)
