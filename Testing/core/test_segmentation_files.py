"""Segmentations as files: what is written reads back the same, what nobody can name is refused."""

import numpy as np
import pytest
import SimpleITK as sitk

from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation.files import NUMBERINGS, read_segmentation, write_segmentation
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume, write_image


def _volume(voxels, origin=(3.25, -7.1, 100.123456789), spacing=(0.7, 0.7, 1.0)):
    c, s = np.cos(0.2), np.sin(0.2)
    directions = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return Volume(voxels, np.array(origin), np.array(spacing), directions, modality=Modality.LABEL, name="labels")


@pytest.fixture
def segmentation():
    voxels = np.zeros((20, 24, 28), np.uint8)
    voxels[2:8, 5:15, 6:20] = 22
    voxels[8:14, 5:15, 6:20] = 23
    voxels[14:, 5:15, 6:20] = 26
    voxels[3:6, 18:20, 3:5] = 60
    segments = (
        Segment(22, "L3", "vertebra", True, 0.9, "us", ("a: note | with % signs",)),
        Segment(23, "L4", "vertebra", True, 1.0, "us"),
        Segment(26, "S1", "sacrum", False, 0.5, "us"),
        Segment(60, "rib", "bone", True, 0.7, "us"),
    )
    return Segmentation(_volume(voxels), segments)


def test_a_seg_file_comes_back_the_same(segmentation, tmp_path):
    write_segmentation(segmentation, tmp_path / "bones.seg.nrrd")
    again = read_segmentation(tmp_path / "bones.seg.nrrd")
    assert np.array_equal(again.labels.voxels, segmentation.labels.voxels)
    assert np.array_equal(again.labels.ijk_to_ras, segmentation.labels.ijk_to_ras)
    assert again.segments == segmentation.segments
    assert [p.name for p in tmp_path.iterdir()] == ["bones.seg.nrrd"]


def test_a_rename_in_slicer_holds(segmentation, tmp_path):
    path = tmp_path / "bones.seg.nrrd"
    write_segmentation(segmentation, path)
    image = sitk.ReadImage(str(path))
    image.SetMetaData("Segment0_Name", "L2")
    sitk.WriteImage(image, str(path))
    assert [s.name for s in read_segmentation(path).segments] == ["L2", "L4", "S1", "rib"]


@pytest.mark.parametrize(
    ("name", "entry", "kind"),
    [
        ("left kidney", "", "kidney"),
        ("aorta", "", "aorta"),
        ("Segment_1", "Segmentation category and type~SCT^85756007^Tissue~SCT^15825003^Aorta~^^~~^^~^^", "aorta"),
        ("Segment_1", "Segmentation category and type~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~~^^~^^", "bone"),
        ("right femur", "", "bone"),
        ("fragment 2", "", "bone"),
        ("L2", "Segmentation category and type~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~~^^~^^", "vertebra"),
    ],
)
def test_what_another_program_named_is_bone_only_where_name_and_code_allow_it(
    segmentation, tmp_path, name, entry, kind
):
    image = segmentation.labels.to_sitk()
    image.SetMetaData("Segment0_LabelValue", str(segmentation.segments[0].value))
    image.SetMetaData("Segment0_Name", name)
    image.SetMetaData("Segment0_Tags", f"TerminologyEntry:{entry}|" if entry else "")
    for n, segment in enumerate(segmentation.segments[1:], 1):
        image.SetMetaData(f"Segment{n}_LabelValue", str(segment.value))
        image.SetMetaData(f"Segment{n}_Name", segment.name)
    sitk.WriteImage(image, str(tmp_path / "other.seg.nrrd"))
    found = {s.name: s.kind for s in read_segmentation(tmp_path / "other.seg.nrrd").segments}
    assert found[name] == kind


def test_a_labelmap_needs_a_numbering(segmentation, tmp_path):
    path = tmp_path / "labels.nii.gz"
    write_segmentation(segmentation, path)
    with pytest.raises(InputError, match="--numbering"):
        read_segmentation(path)
    found = read_segmentation(path, numbering="verse")
    assert [(s.value, s.name, s.kind) for s in found.segments][:3] == [
        (22, "L3", "vertebra"),
        (23, "L4", "vertebra"),
        (26, "S1", "sacrum"),
    ]
    with pytest.raises(InputError, match="no numbering 'coffee'"):
        read_segmentation(path, numbering="coffee")


def test_the_numberings_are_the_published_ones():
    assert {v: NUMBERINGS["totalsegmentator"][v] for v in (26, 27, 31, 32, 43, 44, 50)} == {
        26: "S1", 27: "L5", 31: "L1", 32: "T12", 43: "T1", 44: "C7", 50: "C1",
    }  # fmt: skip
    assert {v: NUMBERINGS["verse"][v] for v in (1, 8, 19, 20, 24, 26)} == {
        1: "C1", 8: "T1", 19: "T12", 20: "L1", 24: "L5", 26: "S1",
    }  # fmt: skip


def test_vertebrae_at_the_border_are_not_complete(segmentation, tmp_path):
    path = tmp_path / "labels.nrrd"
    voxels = np.where(segmentation.labels.voxels == 26, 24, segmentation.labels.voxels)
    write_image(segmentation.labels.with_voxels(voxels), path)
    complete = {s.name: s.complete for s in read_segmentation(path, numbering="verse").segments}
    assert complete["L4"]
    assert not complete["L5"]


def test_labels_on_another_grid_are_brought_over(segmentation, tmp_path):
    path = tmp_path / "bones.seg.nrrd"
    write_segmentation(segmentation, path)
    fine = _volume(np.zeros((40, 48, 56), np.int16), spacing=(0.35, 0.35, 0.5))
    found = read_segmentation(path, fine)
    assert found.labels.same_grid(fine)
    assert found.notes
    volume = np.count_nonzero(found.mask("L4")) * found.labels.voxel_mm3
    assert volume == pytest.approx(np.count_nonzero(segmentation.mask("L4")) * segmentation.labels.voxel_mm3, rel=0.1)
    far = _volume(np.zeros((9, 9, 9), np.int16), origin=(900, 0, 0))
    with pytest.raises(InputError, match="do not lie in the image"):
        read_segmentation(path, far)


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.full((9, 9, 9), 0.5) * np.arange(9), "not whole numbers"),
        (np.arange(729).reshape(9, 9, 9).astype(np.int32) - 5, "outside 0 to 65535"),
        (100 + (np.arange(729).reshape(9, 9, 9) % 3).astype(np.uint8), "none of the values"),
    ],
)
def test_what_is_no_labelmap(tmp_path, voxels, words):
    path = tmp_path / "labels.nrrd"
    write_image(_volume(voxels), path)
    with pytest.raises(InputError, match=words):
        read_segmentation(path, numbering="verse")


def test_overlapping_segments_are_refused(tmp_path):
    layers = sitk.GetImageFromArray(np.ones((9, 9, 9, 2), np.uint8), isVector=True)
    layers.SetMetaData("Segment0_LabelValue", "1")
    sitk.WriteImage(layers, str(tmp_path / "two.seg.nrrd"))
    with pytest.raises(InputError, match="overlap"):
        read_segmentation(tmp_path / "two.seg.nrrd")


def test_slicer_reads_it(segmentation, tmp_path):
    """The real storage node finds names, values and voxels where we put them."""
    pytest.importorskip("slicer")
    from MSKFusionLib.mrml import headless_scene, node_to_segmentation

    path = tmp_path / "bones.seg.nrrd"
    write_segmentation(segmentation, path)
    with headless_scene() as scene:
        storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage.SetFileName(str(path))
        assert storage.ReadData(node)
        found = node_to_segmentation(node, segmentation.labels)
    for segment in segmentation.segments:
        assert np.array_equal(found.mask(segment.name), segmentation.mask(segment.name))
