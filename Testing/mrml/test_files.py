"""Scenes to and from .mrb files."""

import re
import zipfile
from collections import Counter

import numpy as np
import pytest
import slicer
import vtk
from scene_objects import FIXED_TO_MOVING_RAS, awkward_volume, ct_and_labels

from MSKFusionLib.errors import InputError, ProcessingError
from MSKFusionLib.mrml import (
    add_folder,
    headless_scene,
    hierarchy_node,
    load_scene,
    node_to_rigid,
    node_to_segmentation,
    node_to_volume,
    nodes_in_folder,
    place_under,
    put_in_folder,
    rigid_to_node,
    save_scene,
    segmentation_to_node,
    volume_to_node,
)


def _classes(scene):
    return Counter(scene.GetNthNode(i).GetClassName() for i in range(scene.GetNumberOfNodes()))


def _fill(scene):
    _, labels = ct_and_labels()
    volume = volume_to_node(scene, awkward_volume())
    transform = rigid_to_node(scene, FIXED_TO_MOVING_RAS, "t")
    place_under(volume, transform)
    segmentation = segmentation_to_node(scene, labels)
    folder = add_folder(scene, "inner", add_folder(scene, "outer"))
    for node in (volume, transform, segmentation):
        put_in_folder(scene, node, folder)


def test_a_scene_comes_back_whole(scene, tmp_path):
    _fill(scene)
    path = save_scene(scene, tmp_path / "case.mrb")
    before = _classes(scene)  # saving gives each node the storage node that it had not
    with headless_scene() as other:
        load_scene(other, path)
        assert _classes(other) == before
        volume, expected = other.GetFirstNodeByName("awkward"), awkward_volume()
        back = node_to_volume(volume)
        assert np.array_equal(back.voxels, expected.voxels)
        assert back.ijk_to_ras == pytest.approx(expected.ijk_to_ras, abs=1e-12)
        assert (back.modality, back.provenance) == (expected.modality, expected.provenance)
        assert volume.GetParentTransformNode().GetName() == "t"
        assert node_to_rigid(volume.GetParentTransformNode()) == pytest.approx(FIXED_TO_MOVING_RAS, abs=1e-12)
        _, labels = ct_and_labels()
        segmentation = node_to_segmentation(other.GetFirstNodeByName("labels"))
        assert segmentation.segments == labels.segments
        assert np.array_equal(segmentation.labels.voxels, labels.labels.voxels)
        assert segmentation.labels.ijk_to_ras == pytest.approx(labels.labels.ijk_to_ras, abs=1e-9)
        hierarchy = hierarchy_node(other)
        item = hierarchy.GetItemByName("inner")
        assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "outer"
        assert {n.GetName() for n in nodes_in_folder(other, item)} == {"awkward", "t", "labels"}


def test_a_loaded_scene_saves_again(scene, tmp_path):
    _fill(scene)
    first = save_scene(scene, tmp_path / "a.mrb")
    load_scene(scene, first)
    before = _classes(scene)
    second = save_scene(scene, tmp_path / "b.mrb")
    load_scene(scene, second)
    assert _classes(scene) == before


def test_nothing_but_the_file_is_left(scene, tmp_path):
    _fill(scene)
    save_scene(scene, tmp_path / "case.mrb")
    save_scene(scene, tmp_path / "case.mrb")
    assert [p.name for p in tmp_path.iterdir()] == ["case.mrb"]


def test_a_node_that_cannot_be_saved_leaves_the_old_file(scene, tmp_path):
    path = tmp_path / "case.mrb"
    path.write_bytes(b"the scene of yesterday")
    node = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "cannot be saved this way round")
    image = vtk.vtkImageData()
    image.SetDimensions(6, 6, 6)
    image.SetSpacing(30, 30, 30)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())[:] = 2
    spline = slicer.vtkOrientedBSplineTransform()
    spline.SetCoefficientData(image)
    node.SetAndObserveTransformToParent(spline)
    with pytest.raises(ProcessingError, match=r"case\.mrb: the scene could not be saved"):
        save_scene(scene, path)
    assert path.read_bytes() == b"the scene of yesterday"
    assert [p.name for p in tmp_path.iterdir()] == ["case.mrb"]


@pytest.mark.parametrize(
    ("name", "words"), [("case.mrml", "ends in .mrb"), ("missing/case.mrb", "there is no such folder")]
)
def test_paths_that_make_no_sense(scene, tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        save_scene(scene, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_scenes(scene, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        load_scene(scene, tmp_path / "missing.mrb")
    _fill(scene)
    whole = save_scene(scene, tmp_path / "whole.mrb").read_bytes()
    cut = tmp_path / "cut.mrb"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short"):
        load_scene(scene, cut)


def test_the_application_opens_the_file_without_a_warning(scene, tmp_path):
    """It warns where a scene's version sorts after its own, "Slicer 5.12.4 <revision>"."""
    path = save_scene(scene, tmp_path / "case.mrb")
    with zipfile.ZipFile(path) as archive:
        text = archive.read("case/case.mrml").decode()
    written = re.search(r'<MRML version="([^"]+)"', text)[1]
    assert written.startswith("Slicer 5.12.4 ")
    assert written < "Slicer 5.12.4 33000"
