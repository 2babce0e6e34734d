"""A plan in the scene: every node named, coloured, tagged, in its folder; and whole again after a file."""

from collections import Counter

import numpy as np
import pytest
import slicer
import vtk
from scene_objects import FIXED_TO_MOVING_RAS, LEVELS, box_mesh, plan_parts, registration

from MSKFusionLib.frames import invert_rigid, unit
from MSKFusionLib.mrml import (
    headless_scene,
    hierarchy_node,
    load_scene,
    node_to_rigid,
    node_to_segmentation,
    node_to_volume,
    node_to_world_ras,
    nodes_in_folder,
    save_scene,
)
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.colours import REJECTED_COLOUR, SCREW_COLOUR
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.mrml import (
    ITEM_ATTRIBUTE,
    PLAN_ATTRIBUTE,
    ROLE_ATTRIBUTE,
    VERDICT_ATTRIBUTE,
    nodes_of_plan,
    plan_to_scene,
    scene_to_plan,
)


@pytest.fixture
def nodes(scene):
    return plan_to_scene(scene, **plan_parts())


def _all(scene):
    return [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]


def _hierarchy(scene, item=None, depth=0):
    """The subject hierarchy as (depth, name, class of node, owner)."""
    hierarchy = hierarchy_node(scene)
    item = hierarchy.GetSceneItemID() if item is None else item
    ids = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, ids, False)
    found = []
    for n in range(ids.GetNumberOfIds()):
        child = ids.GetId(n)
        node = hierarchy.GetItemDataNode(child)
        owner = hierarchy.GetItemOwnerPluginName(child)
        found.append((depth, hierarchy.GetItemName(child), node.GetClassName() if node else "", owner))
        found += _hierarchy(scene, child, depth + 1)
    return found


def _check_scene(scene):
    """What must hold for the scene that was made and for the one that was read."""
    parts = plan_parts()
    plan = parts["plan"]
    tagged = nodes_of_plan(scene)
    roles = Counter(node.GetAttribute(ROLE_ATTRIBUTE) for node in tagged)
    assert roles == {
        **dict.fromkeys(("plan", "ct", "mr", "registration", "segmentation"), 1),
        "screw": 4,
        "screw-axis": 4,
        "guide": 2,
        "metrics": 2,
    }
    assert all(node.GetAttribute(PLAN_ATTRIBUTE) == plan.plan_id for node in tagged)
    names = [node.GetName() for node in tagged]
    assert all(names)
    assert len(set(names)) == len(names)
    shown = [node for node in tagged if node.IsA("vtkMRMLDisplayableNode")]
    assert all(node.GetDisplayNode() is not None for node in shown)
    top = [row for row in _hierarchy(scene) if row[0] == 0]
    assert top == [(0, f"Plan {plan.plan_id}", "", "Folder")]
    folders = [row[1] for row in _hierarchy(scene) if row[0] == 1]
    assert folders == ["Images", "Anatomy", "Screws", "Guides", "Documents"]
    in_folder = nodes_in_folder(scene, hierarchy_node(scene).GetItemByName(f"Plan {plan.plan_id}"))
    assert {n.GetID() for n in in_folder} == {n.GetID() for n in tagged}
    assert not [row for row in _hierarchy(scene) if not row[3]]  # each item has the plugin that owns it
    by_role = {node.GetAttribute(ROLE_ATTRIBUTE): node for node in tagged}
    assert by_role["mr"].GetParentTransformNode() is by_role["registration"]
    assert node_to_rigid(by_role["registration"]) == pytest.approx(FIXED_TO_MOVING_RAS, abs=1e-12)
    assert node_to_world_ras(by_role["mr"]) == pytest.approx(invert_rigid(FIXED_TO_MOVING_RAS), abs=1e-12)
    mr = node_to_volume(by_role["mr"])
    assert np.array_equal(mr.voxels, parts["mr"].voxels)
    assert mr.ijk_to_ras == pytest.approx(parts["mr"].ijk_to_ras, abs=1e-12)
    segmentation = node_to_segmentation(by_role["segmentation"])
    assert segmentation.segments == parts["segmentation"].segments
    assert np.array_equal(segmentation.labels.voxels, parts["segmentation"].labels.voxels)
    assert by_role["segmentation"].GetSegmentation().ContainsRepresentation("Closed surface")
    assert scene_to_plan(scene) == plan
    assert scene_to_plan(scene, "another") is None
    for screw in plan.screws:
        axis, model = (
            next(n for n in nodes_of_plan(scene, role=role) if n.GetAttribute(ITEM_ATTRIBUTE) == screw.name)
            for role in ("screw-axis", "screw")
        )
        points = slicer.util.arrayFromMarkupsControlPoints(axis, world=True)
        assert points == pytest.approx(np.array([screw.entry_ras, screw.tip_ras]), abs=1e-6)
        _check_screw_body(model, screw)
    for name, mesh in parts["guide_meshes"].items():
        model = next(n for n in nodes_of_plan(scene, role="guide") if n.GetAttribute(ITEM_ATTRIBUTE) == name)
        back = Mesh.from_polydata(model.GetPolyData())
        assert back.is_closed
        assert back.vertices_ras == pytest.approx(mesh.vertices_ras, abs=1e-3)
        assert 0.3 < model.GetDisplayNode().GetOpacity() < 0.9


def _check_screw_body(model, screw):
    """The shaft is a cylinder of the planned diameter about the planned axis, from entry to tip."""
    points = slicer.util.arrayFromModelPoints(model)
    entry, axis = np.array(screw.entry_ras), unit(np.subtract(screw.tip_ras, screw.entry_ras))
    along = (points - entry) @ axis
    radius = np.linalg.norm(points - entry - along[:, None] * axis, axis=1)
    assert along.max() == pytest.approx(screw.length_mm, abs=1e-3)
    assert radius[along > 0.1].max() == pytest.approx(screw.diameter_mm / 2, abs=1e-3)


def test_everything_is_there(scene, nodes):
    _check_scene(scene)
    assert set(nodes.screws) == {s.name for s in plan_parts()["plan"].screws}
    assert nodes.mr.GetName() == "MR T1"


def test_everything_is_there_after_a_file(scene, nodes, tmp_path):
    path = save_scene(scene, tmp_path / "scene.mrb")
    before = Counter(n.GetClassName() for n in _all(scene))
    rows = _hierarchy(scene)
    with headless_scene() as other:
        load_scene(other, path)
        assert Counter(n.GetClassName() for n in _all(other)) == before
        assert _hierarchy(other) == rows
        _check_scene(other)


def test_the_slice_views_show_the_images(scene, nodes):
    middle = np.mean([p for s in plan_parts()["plan"].screws for p in (s.entry_ras, s.tip_ras)], axis=0)
    for name in ("Red", "Yellow", "Green"):
        layers = scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        assert layers.GetBackgroundVolumeID() == nodes.ct.GetID()
        assert layers.GetForegroundVolumeID() == nodes.mr.GetID()
        assert max(scene.GetSingletonNode(name, "vtkMRMLSliceNode").GetLayoutColor()) > 0.6  # its own, not grey
        to_ras = scene.GetSingletonNode(name, "vtkMRMLSliceNode").GetSliceToRAS()
        normal = np.array([to_ras.GetElement(r, 2) for r in range(3)])
        origin = np.array([to_ras.GetElement(r, 3) for r in range(3)])
        assert (middle - origin) @ normal == pytest.approx(0, abs=1e-6)


def test_a_second_plan_has_its_own_folder(scene, nodes):
    from dataclasses import replace

    plan = replace(plan_parts()["plan"], plan_id="second", guides=())
    second = plan_to_scene(scene, plan, arrange_views=False)
    assert second.folder != nodes.folder
    assert scene_to_plan(scene, "second") == plan
    assert len(nodes_in_folder(scene, second.folder)) == 10  # 4 axes, 4 bodies, document, screw metrics
    assert second.ct is None
    assert second.guide_metrics is None


def test_what_is_rejected_says_so(scene):
    parts = plan_parts(Verdict.REJECTED)
    parts["registration"] = registration(Verdict.REJECTED)
    nodes = plan_to_scene(scene, **parts)
    model = nodes.screws["L3 left"].model
    assert "(rejected)" in model.GetName()
    assert model.GetAttribute(VERDICT_ATTRIBUTE) == "rejected"
    assert model.GetDescription() == "it leaves the pedicle"
    assert model.GetDisplayNode().GetColor() == pytest.approx(REJECTED_COLOUR)
    assert nodes.screws["L3 right"].model.GetDisplayNode().GetColor() == pytest.approx(SCREW_COLOUR)
    # a wrong transform is kept to be looked at, but nothing is moved by it
    assert "(rejected)" in nodes.registration.GetName()
    assert nodes.mr.GetParentTransformNode() is None


def test_bone_surfaces_replace_those_of_the_segmentation(scene):
    meshes = {level: box_mesh((40, 30, 25), (0, 0, z)) for level, z in zip(LEVELS, (22.0, -14.0), strict=True)}
    nodes = plan_to_scene(scene, **plan_parts(), bone_meshes=meshes)
    assert not nodes.segmentation.GetDisplayNode().GetVisibility3D()
    assert nodes.segmentation.GetDisplayNode().GetVisibility2D()
    assert nodes.bones["L3"].GetDisplayNode().GetColor() == pytest.approx(
        nodes.segmentation.GetSegmentation().GetSegment("L3").GetColor()
    )


def test_the_metrics_have_units(scene, nodes):
    table = nodes.metrics
    assert table.GetNumberOfRows() == 4
    columns = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
    assert table.GetColumnUnitLabel("Length (mm)") == "mm"
    assert table.GetColumnUnitLabel("Mean (HU)") == "HU"
    assert table.GetTable().GetValueByName(0, "Diameter (mm)").ToDouble() == 5.5
    assert np.isnan(table.GetTable().GetValueByName(0, "Minimum (HU)").ToDouble())
    assert all(table.GetColumnDescription(name) for name in columns)


def test_a_guide_file_lies_at_the_planned_place_in_slicer(scene, nodes, tmp_path):
    """STL as it is printed, read by Slicer's own reader: the same vertices in RAS to 1e-3 mm."""
    from MSKPlannerLib.export.mesh_files import write_stl

    mesh = plan_parts()["guide_meshes"]["L3 guide"]
    write_stl(mesh, tmp_path / "L3.stl", frame="LPS")
    storage = slicer.vtkMRMLModelStorageNode()
    storage.SetFileName(str(tmp_path / "L3.stl"))
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "read")
    assert storage.ReadData(model)
    read = slicer.util.arrayFromModelPoints(model)
    distance = np.linalg.norm(read[:, None] - mesh.vertices_ras[None], axis=2)
    assert distance.min(axis=0).max() < 1e-3
    assert distance.min(axis=1).max() < 1e-3
