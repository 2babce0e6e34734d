"""Volumes, transforms and segmentations to and from their nodes."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from scene_objects import FIXED_TO_MOVING_RAS, awkward_volume, ct_and_labels, moving_volume

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKFusionLib.mrml import (
    displacements_to_node,
    node_to_rigid,
    node_to_segmentation,
    node_to_volume,
    node_to_world_ras,
    place_registration,
    place_under,
    rigid_to_node,
    segmentation_to_node,
    volume_to_node,
)
from MSKFusionLib.registration.dense_field import DenseFieldMap
from MSKFusionLib.registration.polyrigid import PolyrigidMap
from MSKFusionLib.registration.result import BendingMap, BonePose, RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.mesh import Mesh

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64", ">i2", ">f4"]


# ---------------------------------------------------------------------- volumes
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_volume_comes_back_to_the_last_bit(scene, dtype):
    volume = awkward_volume(np.dtype(dtype))
    node = volume_to_node(scene, volume, "another name")
    back = node_to_volume(node)
    assert back.voxels.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(back.voxels, volume.voxels)
    for part in ("origin_ras", "spacing_mm", "directions_ras"):
        assert np.array_equal(getattr(back, part), getattr(volume, part)), part
    assert (back.modality, back.provenance, back.name) == (volume.modality, volume.provenance, "another name")
    assert node.GetDisplayNode() is not None


def test_labels_become_a_labelmap_node(scene):
    volume = awkward_volume(np.uint8, Modality.LABEL)
    node = volume_to_node(scene, volume)
    assert node.IsA("vtkMRMLLabelMapVolumeNode")
    assert node_to_volume(node).modality is Modality.LABEL


def test_voxels_are_where_mrml_thinks_they_are(scene):
    volume = awkward_volume()
    node = volume_to_node(scene, volume)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk = np.array([8.0, 6.0, 4.0])
    assert matrix.MultiplyPoint((*ijk, 1.0))[:3] == pytest.approx(transform_points(volume.ijk_to_ras, ijk), abs=1e-12)
    assert node.GetImageData().GetScalarComponentAsDouble(8, 6, 4, 0) == volume.voxels[4, 6, 8]


def test_the_scene_has_its_own_copy(scene):
    volume = awkward_volume()
    node = volume_to_node(scene, volume)
    slicer.util.arrayFromVolume(node)[:] = 0
    assert volume.voxels.any()


def test_a_parent_transform_is_not_applied(scene):
    volume = awkward_volume()
    node = volume_to_node(scene, volume)
    place_under(node, rigid_to_node(scene, FIXED_TO_MOVING_RAS, "moved"))
    assert np.array_equal(node_to_volume(node).ijk_to_ras, volume.ijk_to_ras)
    assert node_to_world_ras(node) == pytest.approx(invert_rigid(FIXED_TO_MOVING_RAS), abs=1e-12)


def test_a_volume_loaded_by_slicer_says_what_it_is(scene):
    node = volume_to_node(scene, awkward_volume())
    for attribute in ("MSKPlanner.Modality", "MSKPlanner.Provenance"):
        node.RemoveAttribute(attribute)
    volume = node_to_volume(node)
    assert volume.modality is Modality.CT  # from the unit of its values
    assert volume.provenance.source == "scene node 'awkward'"


def test_an_empty_volume_node_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(GeometryError, match="nothing: the volume holds no voxels"):
        node_to_volume(node)


# ---------------------------------------------------------------------- transforms
def test_the_moving_volume_lies_on_the_fixed_one(scene):
    """A landmark of the moving image, seen in the world, is where the fixed image has it."""
    ct, _ = ct_and_labels()
    moving = moving_volume(ct)
    node = volume_to_node(scene, moving)
    transform = rigid_to_node(scene, FIXED_TO_MOVING_RAS, "MR on CT")
    place_under(node, transform)
    fixed_ras = np.array([12.0, -30.0, 21.0])
    moving_ras = transform_points(FIXED_TO_MOVING_RAS, fixed_ras)
    landmark = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmark")
    landmark.AddControlPoint(moving_ras.tolist())
    place_under(landmark, transform)
    world = [0.0] * 3
    landmark.GetNthControlPointPositionWorld(0, world)
    assert world == pytest.approx(fixed_ras, abs=1e-9)
    from_world = vtk.vtkGeneralTransform()
    transform.GetTransformFromWorld(from_world)
    assert from_world.TransformPoint(fixed_ras.tolist()) == pytest.approx(moving_ras, abs=1e-9)
    # every corner voxel of the moving grid lands on the fixed voxel that it was made from
    corners = transform_points(node_to_world_ras(node), moving.corners_ras())
    ijk = transform_points(ct.ras_to_ijk, corners)
    assert ijk == pytest.approx(np.round(ijk), abs=1e-9)
    assert np.array_equal(node_to_volume(node).voxels, moving.voxels)


def test_a_transform_comes_back(scene):
    node = rigid_to_node(scene, FIXED_TO_MOVING_RAS, "t")
    assert node_to_rigid(node) == pytest.approx(FIXED_TO_MOVING_RAS, abs=1e-14)


def test_what_is_not_rigid_is_refused(scene):
    with pytest.raises(GeometryError, match="scales, shears or mirrors"):
        rigid_to_node(scene, np.diag([2.0, 1, 1, 1]), "stretched")
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    spline = vtk.vtkThinPlateSplineTransform()
    for setter in (spline.SetSourceLandmarks, spline.SetTargetLandmarks):
        points = vtk.vtkPoints()
        for n in range(4):
            points.InsertNextPoint(n, n * n, n**3 + (setter == spline.SetTargetLandmarks))
        setter(points)
    spline.SetBasisToR()
    node.SetAndObserveTransformToParent(spline)
    with pytest.raises(GeometryError, match="bends space"):
        node_to_rigid(node)
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "under it")
    place_under(model, node)
    with pytest.raises(GeometryError, match="under it"):
        node_to_world_ras(model)


# ---------------------------------------------------------------------- segmentations
def test_a_segmentation_comes_back(scene):
    _, labels = ct_and_labels()
    node = segmentation_to_node(scene, labels)
    back = node_to_segmentation(node)
    assert back.segments == labels.segments
    assert np.array_equal(back.labels.voxels, labels.labels.voxels)
    assert np.array_equal(back.labels.ijk_to_ras, labels.labels.ijk_to_ras)
    assert back.notes == ()


def test_segments_are_named_coloured_and_tagged(scene):
    _, labels = ct_and_labels()
    content = segmentation_to_node(scene, labels).GetSegmentation()
    assert content.GetNumberOfLayers() == 1
    colours = []
    for entry in labels.segments:
        segment = content.GetSegment(entry.name)
        assert (segment.GetName(), segment.GetLabelValue()) == (entry.name, entry.value)
        colours.append(segment.GetColor())
    assert len(set(colours)) == len(colours)
    assert "SCT^36470004^L3 vertebra" in content.GetSegment("L3").GetTerminology()
    assert "SCT^15825003^Aorta" in content.GetSegment("aorta").GetTerminology()


def test_surfaces_lie_where_the_voxels_are(scene):
    _, labels = ct_and_labels()
    node = segmentation_to_node(scene, labels, smoothing=0.0)
    surface = vtk.vtkPolyData()
    assert node.GetClosedSurfaceRepresentation("L3", surface)
    k, j, i = np.nonzero(labels.mask("L3"))
    centre = transform_points(labels.labels.ijk_to_ras, np.stack([i, j, k], axis=1)).mean(axis=0)
    mesh = Mesh.from_polydata(surface)
    a, b, c = np.moveaxis(mesh.triangles_ras, 1, 0)
    signed = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    centroid = ((a + b + c) / 4 * signed[:, None]).sum(axis=0) / signed.sum()
    assert np.linalg.norm(centroid - centre) < 0.1
    assert abs(mesh.volume_mm3) == pytest.approx(len(i) * labels.labels.voxel_mm3, rel=0.05)


def test_a_segmentation_made_by_hand_in_slicer(scene):
    """Several layers, overlaps, a name twice, no tags of ours, values that clash."""
    ct, _ = ct_and_labels()
    reference = volume_to_node(scene, ct)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by hand")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    masks = []
    for name, low in (("L3", 10), ("tumour", 15), ("tumour", 30)):
        mask = np.zeros(ct.voxels.shape, dtype=np.uint8)
        mask[low : low + 10, 20:30, 20:30] = 1
        segment = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, reference)
        masks.append(mask > 0)
    back = node_to_segmentation(node, ct)
    assert [s.name for s in back.segments] == ["L3", "tumour", "tumour (2)"]
    assert back.labels.same_grid(ct)
    assert np.array_equal(back.mask("tumour"), masks[1])
    assert np.array_equal(back.mask("L3"), masks[0] & ~masks[1])
    assert back.segments[0].kind == "vertebra"
    assert back.notes == (
        f"segments overlap in {int((masks[0] & masks[1]).sum())} voxels: the later segment was kept there",
    )
    # without a reference image: its own grid, the same places
    own = node_to_segmentation(node)
    assert np.count_nonzero(own.mask("tumour (2)")) == np.count_nonzero(masks[2])


@pytest.mark.parametrize("shift", [(0, 0, 0), (2, -1, 3), (-3, 4, 0), (90, 0, 0)])
def test_segments_of_one_layer_are_read_at_once_as_one_by_one(scene, shift, monkeypatch):
    """On its own grid, on others that begin elsewhere, and on one that it does not reach."""
    ct, segmentation = ct_and_labels()
    node = segmentation_to_node(scene, segmentation)
    size = np.array(ct.shape_ijk) + [1, -2, 2]
    origin = transform_points(ct.ijk_to_ras, np.array(shift, dtype=float))
    grid = Volume(np.zeros(size[::-1], np.int16), origin, ct.spacing_mm, ct.directions_ras)
    at_once = node_to_segmentation(node, grid)
    asked = []
    monkeypatch.setattr("MSKFusionLib.mrml.segmentations.fill_from_one_layer", lambda *a: bool(asked.append(a)))
    one_by_one = node_to_segmentation(node, grid)
    assert len(asked) == 1
    assert np.array_equal(at_once.labels.voxels, one_by_one.labels.voxels)
    assert at_once.segments == one_by_one.segments
    assert at_once.labels.voxels.any() == (shift[0] < 90)
    turned = replace(grid, directions_ras=rotation_about([0, 0, 1], 3.0)[:3, :3] @ grid.directions_ras)
    monkeypatch.undo()
    assert np.array_equal(node_to_segmentation(node, turned).labels.voxels > 0, _nearest(segmentation, turned) > 0), (
        "another grid is not read as this one"
    )


def _nearest(segmentation, grid):
    """The labels at the voxel that is nearest to each voxel of a grid."""
    labels = segmentation.labels
    k, j, i = np.indices(grid.voxels.shape)
    places = transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1).reshape(-1, 3).astype(float))
    at = np.rint(transform_points(labels.ras_to_ijk, places)).astype(int)
    inside = np.all((at >= 0) & (at < labels.shape_ijk), axis=1)
    out = np.zeros(len(at), dtype=labels.voxels.dtype)
    out[inside] = labels.voxels[at[inside, 2], at[inside, 1], at[inside, 0]]
    return out.reshape(grid.voxels.shape)


def test_a_name_changed_in_slicer_holds(scene):
    _, labels = ct_and_labels()
    node = segmentation_to_node(scene, labels)
    node.GetSegmentation().GetSegment("L3").SetName("L2")
    back = node_to_segmentation(node)
    assert [s.name for s in back.segments] == ["L2", "L4", "aorta"]


def test_values_above_255_and_vertebrae_without_a_name(scene):
    _, labels = ct_and_labels()
    voxels = labels.labels.voxels.astype(np.int32) * 100
    segments = (Segment(2200, "V1", "vertebra"), Segment(2300, "V2", "vertebra"), Segment(6000, "aorta", "artery"))
    node = segmentation_to_node(scene, Segmentation(replace(labels.labels, voxels=voxels), segments), "numbered")
    back = node_to_segmentation(node)
    assert back.segments == segments
    assert np.array_equal(back.labels.voxels, voxels)
    colours = [node.GetSegmentation().GetSegment(name).GetColor() for name in ("V1", "V2")]
    assert colours[0] != colours[1]


def test_labels_that_are_no_labels_are_refused(scene):
    _, labels = ct_and_labels()
    broken = Segmentation(replace(labels.labels, voxels=labels.labels.voxels - 0.5), labels.segments)
    with pytest.raises(InputError, match="whole numbers"):
        segmentation_to_node(scene, broken)
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    with pytest.raises(InputError, match="empty: the segmentation has no segments"):
        node_to_segmentation(empty)


def test_a_bending_registration_is_a_grid_transform(scene):
    """What the node does to a point is what the displacements say, also between their grid's points and turned axes."""
    axes = rotation_about([1, 2, 3], 35.0)
    grid = Volume(np.zeros((9, 8, 7), np.uint8), np.array([10.0, -20, 30]), np.full(3, 4.0), axes, Modality.LABEL)
    k, j, i = np.meshgrid(*[np.arange(n) for n in (9, 8, 7)], indexing="ij")
    points = transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1))
    bend = np.array([[0.02, 0.01, 0.0], [0.0, -0.03, 0.01], [0.01, 0.0, 0.02]])
    node = displacements_to_node(scene, grid, points @ bend.T + [5.0, 2.0, -1.0], "bent")
    from_world = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(from_world)
    for ijk in ([1, 1, 1], [3.3, 4.7, 2.1], [5.5, 6.2, 7.4]):
        fixed = transform_points(grid.ijk_to_ras, np.array(ijk, float))
        assert from_world.TransformPoint(fixed.tolist()) == pytest.approx(
            fixed + bend @ fixed + [5.0, 2.0, -1.0], abs=1e-6
        )
    to_world = vtk.vtkGeneralTransform()
    node.GetTransformToWorld(to_world)
    assert to_world.TransformPoint(from_world.TransformPoint(fixed.tolist())) == pytest.approx(fixed, abs=0.01)


def test_a_registration_bone_by_bone_has_one_node_for_all_and_one_a_bone(scene):
    """The node that bends takes a point of a bone where that bone's own node takes it."""
    volume, segmentation = ct_and_labels()
    names = [s.name for s in segmentation.segments][:2]
    common = FIXED_TO_MOVING_RAS
    poses = {n: common @ rigid(None, [0.5 * i, 0.0, 0.3]) for i, n in enumerate(names)}
    bones = tuple(BonePose(n, m, Verdict.ACCEPTED) for n, m in poses.items())
    bones += (BonePose("far", None, Verdict.REJECTED, ("the MR shows 0% of it",)),)
    joined = BendingMap(PolyrigidMap.of_poses(segmentation, poses, common), ct_is_fixed=True)
    result = RegistrationResult("piecewise", common, Verdict.ACCEPTED, (), bones=bones, bending=joined)
    moving = volume_to_node(scene, moving_volume(volume))
    nodes = place_registration(scene, result, volume, "MR on CT", moving)
    assert set(nodes.bones) == set(names)
    assert moving.GetParentTransformNode() is nodes.whole
    assert not nodes.whole.IsLinear()
    for name in names:
        assert node_to_rigid(nodes.bones[name]) == pytest.approx(poses[name], abs=1e-12)
        kji = np.argwhere(segmentation.mask(name)).mean(axis=0)
        inside = transform_points(segmentation.labels.ijk_to_ras, kji[::-1])
        from_world = vtk.vtkGeneralTransform()
        nodes.whole.GetTransformFromWorld(from_world)
        assert from_world.TransformPoint(inside.tolist()) == pytest.approx(
            transform_points(poses[name], inside), abs=0.2
        )


def test_a_registration_of_soft_tissue_is_one_grid_transform(scene):
    volume, _ = ct_and_labels()
    axes = rotation_about([1, 2, 3], 20.0)
    grid = Volume(np.zeros((9, 9, 9), np.uint8), volume.centre_ras - axes @ np.full(3, 16.0), np.full(3, 4.0), axes)
    bump = np.einsum("k,j,i->kji", *[np.sin(np.linspace(0, np.pi, 9)) ** 2] * 3)
    field = DenseFieldMap(grid, (bump[..., None] * [3.0, -1.0, 2.0]).astype(np.float32), FIXED_TO_MOVING_RAS)
    result = RegistrationResult(
        "deformable", FIXED_TO_MOVING_RAS, Verdict.ACCEPTED, (), bending=BendingMap(field, ct_is_fixed=True)
    )
    moving = volume_to_node(scene, moving_volume(volume))
    nodes = place_registration(scene, result, volume, "MR on CT", moving)
    assert moving.GetParentTransformNode() is nodes.whole
    assert not nodes.bones
    from_world = vtk.vtkGeneralTransform()
    nodes.whole.GetTransformFromWorld(from_world)
    corners = volume.corners_ras()
    for point in np.random.default_rng(1).uniform(corners.min(axis=0) + 2, corners.max(axis=0) - 2, (20, 3)):
        ijk = transform_points(volume.ras_to_ijk, point)
        if np.all((ijk > 1) & (ijk < np.array(volume.shape_ijk) - 2)):
            assert from_world.TransformPoint(point.tolist()) == pytest.approx(result.apply_to_points(point), abs=0.3)
