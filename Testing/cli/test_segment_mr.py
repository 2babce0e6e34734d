"""`mskplanner segment-mr`: labels written with names, and what it cannot do said in one line."""

import json

import pytest
from core.mr_blocks import block_spine, dice
from core.mr_limb import MUSCLE, limb

from MSKFusionLib.segmentation.files import read_segmentation
from MSKFusionLib.volume import write_image


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    path = tmp_path_factory.mktemp("mr") / "blocks.nrrd"
    mr, truth = block_spine()
    write_image(mr, path)
    return path, truth


def test_labels_are_written_and_read_back(mskplanner, blocks, tmp_path):
    path, truth = blocks
    out = tmp_path / "mr.seg.nrrd"
    done = mskplanner("segment-mr", path, "--click", 0, 8, 0, "--level", "L3@0,8,0", "--out", out, "--json")
    assert done.status == 0, done.err
    assert {"L2", "L3", "L4", "disc L3/L4", "spinal_canal"} <= {s["name"] for s in json.loads(done.out)["segments"]}
    read = read_segmentation(out)
    assert dice(read.mask("L3"), truth == 2) > 0.87
    again = mskplanner("segment-mr", path, "--out", out)
    assert again.status == 2
    assert "--force" in again.error


def test_a_click_beside_the_spine_writes_nothing(mskplanner, blocks, tmp_path):
    done = mskplanner("segment-mr", blocks[0], "--click", 0, 38, 0, "--out", tmp_path / "x.seg.nrrd")
    assert done.status == 2
    assert "Click into the middle of a vertebral body" in done.error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_lesion_alone(mskplanner, tmp_path):
    mr, truth = block_spine(bodies=1, lesion_mm=9.0)
    write_image(mr, tmp_path / "mr.nrrd")
    out = tmp_path / "lesion.seg.nrrd"
    done = mskplanner("segment-mr", tmp_path / "mr.nrrd", "--no-spine", "--lesion", 2, 6, 1, "--out", out)
    assert done.status == 0, done.err
    assert dice(read_segmentation(out).mask("lesion"), truth == 60) > 0.88
    nothing = mskplanner("segment-mr", tmp_path / "mr.nrrd", "--no-spine", "--out", tmp_path / "x.seg.nrrd")
    assert nothing.status == 2
    assert "--lesion" in nothing.error


def test_muscle_and_fat_of_a_limb(mskplanner, tmp_path):
    mr, truth = limb("T1")
    write_image(mr, tmp_path / "limb.nrrd")
    out = tmp_path / "limb.seg.nrrd"
    done = mskplanner("segment-mr", tmp_path / "limb.nrrd", "--no-spine", "--tissue", "--out", out)
    assert done.status == 0, done.err
    assert dice(read_segmentation(out).mask("muscle"), truth == MUSCLE) > 0.93
    assert "single muscles are not told apart" in done.out
