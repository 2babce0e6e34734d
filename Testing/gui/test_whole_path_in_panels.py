"""A generated patient through both panels with the real algorithms, every button pressed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.helpers import nodes_of_class, press
from MSKFusionLib.frames import transform_points
from MSKFusionLib.mrml import load_scene, node_to_rigid, save_scene, segmentation_to_node, volume_to_node
from MSKPlannerLib.export.mesh_files import read_mesh
from MSKPlannerLib.mrml import nodes_of_plan
from MSKPlannerLib.mrml.slice_views import arrange_slice_views
from MSKPlannerLib.plan_file import plan_to_json, read_plan

#: As in the application: the long work is done in another process.
pytestmark = pytest.mark.usefixtures("planner_works_away")


@pytest.mark.slow
def test_whole_path(session, small_patient, shown_errors, tmp_path):
    patient = small_patient
    volume_to_node(session.scene, patient.ct, "CT")
    mr = volume_to_node(session.scene, patient.mr_t1, "T1")

    fusion = session.open_panel("MSKFusion")
    press(fusion.ui.registerButton)
    assert "Accepted" in fusion.ui.registrationLabel.text, fusion.ui.statusLabel.text
    bones_ras = patient.bone_points_ras("L3", 500, 1)
    found = transform_points(node_to_rigid(mr.GetParentTransformNode()), bones_ras)
    assert np.linalg.norm(found - transform_points(patient.ct_to_mr_ras, bones_ras), axis=1).mean() < 1.0
    fusion.ui.levelComboBox.currentText = "S1"
    press(fusion.ui.segmentButton)
    assert "L3" in fusion.ui.bonesLabel.text, fusion.ui.statusLabel.text
    fusion.exit()

    planner = session.open_panel("MSKPlanner")
    planner.ui.levelsLineEdit.text = "L3"
    press(planner.ui.planButton)
    assert planner.ui.screwsTable.rowCount == 2, planner.ui.statusLabel.text
    press(planner.ui.guidesButton)
    assert planner.ui.guidesLabel.text.startswith("L3 guide: accepted"), planner.ui.statusLabel.text
    _drag_a_tip(planner, 1.5)
    assert "out of date" in planner.ui.guidesLabel.text
    press(planner.ui.updateButton)
    assert planner.ui.guidesLabel.text.startswith("L3 guide: accepted"), planner.ui.statusLabel.text
    folder = tmp_path / "plan"
    planner.ui.folderPathLineEdit.currentPath = str(folder)
    press(planner.ui.exportButton)
    assert str(folder) in planner.ui.exportLabel.text, planner.ui.statusLabel.text
    assert shown_errors == []

    plan = read_plan(folder)
    assert plan_to_json(plan) == plan_to_json(planner.logic.case.plan)
    assert {s.side for s in plan.screws} == {"left", "right"}
    for screw in plan.screws:
        middle = (np.array(screw.entry_ras) + screw.tip_ras) / 2
        assert patient.bone_depth_mm("L3", middle[None])[0] > screw.diameter_mm / 2
    assert all((folder / file).is_file() for guide in plan.guides for file in guide.files)
    assert (folder / "report.html").is_file()

    count = {kind: len(nodes_of_class(session.scene, f"vtkMRML{kind}Node")) for kind in ("Model", "MarkupsLine")}
    load_scene(session.scene, folder / "scene.mrb")
    assert {kind: len(nodes_of_class(session.scene, f"vtkMRML{kind}Node")) for kind in count} == count
    assert len(nodes_of_plan(session.scene, plan.plan_id, role="guide")) == 1
    assert planner.logic.case.plan.screws == plan.screws, "the plan of the scene that was loaded is gone on with"
    assert planner.ui.screwsTable.rowCount == 2
    _drag_a_tip(planner, -1.5)
    assert shown_errors == []


@pytest.mark.slow
def test_an_engineer_prints_what_a_surgeon_planned(session, small_patient, shown_errors, tmp_path):
    """From a saved scene to printable files: other printer, guides designed again, findings gone to, every format."""
    patient = small_patient
    ct = volume_to_node(session.scene, patient.ct, "CT")
    segmentation_to_node(session.scene, patient.labels, "Bones")
    surgeon = session.open_panel("MSKPlanner")
    surgeon.ui.levelsLineEdit.text = "L3"
    press(surgeon.ui.planButton)
    planned = surgeon.logic.case.plan.screws
    save_scene(session.scene, tmp_path / "from_surgeon.mrb")
    session.close_panel(surgeon)
    session.scene.Clear(0)
    assert ct.GetScene() is None

    load_scene(session.scene, tmp_path / "from_surgeon.mrb")
    engineer = session.open_panel("MSKPlanner")
    ui = engineer.ui
    assert engineer.logic.case.plan.screws == planned
    ui.printerComboBox.currentText = "sls"
    press(ui.guidesButton)
    assert ui.guidesLabel.text.startswith("L3 guide: accepted"), ui.guidesLabel.text
    (guide,) = engineer.logic.case.plan.guides
    assert guide.fit_clearance_mm == 0.3, "what laser sintering holds"
    assert guide.fit_gap_mean_mm == pytest.approx(0.3, abs=0.15)
    arrange_slice_views(session.scene, ui.ctSelector.currentNode(), None, np.zeros(3))
    red = session.scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    rows = [ui.problemsTable.item(r, 1).text() for r in range(ui.problemsTable.rowCount)]
    ui.problemsTable.setCurrentCell(next(n for n, text in enumerate(rows) if text.startswith("minimum wall")), 0)
    wall = next(c.place_ras for c in guide.checks if c.name == "minimum wall")
    assert np.allclose([red.GetSliceToRAS().GetElement(i, 3) for i in range(3)], wall)

    folder = tmp_path / "print"
    ui.folderPathLineEdit.currentPath = str(folder)
    ui.bonesCheckBox.checked = True
    for what, frame in (("STL", "LPS"), ("3MF", "LPS"), ("PLY", "RAS")):
        ui.formatComboBox.currentText, ui.frameComboBox.currentText = what, frame
        press(ui.exportBodiesButton)
        assert f"{what.lower()}_{frame.lower()}" in ui.exportLabel.text, ui.statusLabel.text
    assert "Files ✓" in ui.chainLabel.text
    assert shown_errors == []

    meshes = [
        read_mesh(folder / name) for name in ("stl_lps/L3_guide.stl", "3mf_lps/L3_guide.3mf", "ply_ras/L3_guide.ply")
    ]
    for mesh in meshes:
        assert mesh.is_closed
        assert mesh.volume_mm3 == pytest.approx(guide.volume_mm3, rel=1e-4)
        assert np.allclose(mesh.vertices_ras.mean(axis=0), meshes[0].vertices_ras.mean(axis=0), atol=1e-2)
    bone = read_mesh(folder / "stl_lps/L3_bone.stl")
    assert bone.is_closed
    # In the true bone: no corner of the guide lies in it, and the exported surface is where it is.
    assert patient.bone_depth_mm("L3", meshes[0].vertices_ras).max() < 0.3
    assert np.percentile(np.abs(patient.bone_depth_mm("L3", bone.vertices_ras)), 90) < 0.6


def _drag_a_tip(planner, up_mm):
    """Drag the tip of the first screw and look whether all of it follows."""
    screw = planner.logic.case.plan.screws[0]
    line = planner.logic.session.nodes.screws[screw.name].axis
    line.InvokeEvent(line.PointStartInteractionEvent)
    tip = np.array(screw.tip_ras) + [0.0, 0.0, up_mm]
    line.SetNthControlPointPosition(1, *tip)
    line.InvokeEvent(line.PointEndInteractionEvent)
    found = planner.logic.case.plan.screws[0]
    assert np.allclose(found.tip_ras, tip)
    assert found.clearance_mm != screw.clearance_mm
    assert found.risk is not None
    assert planner.ui.screwsTable.item(0, 3).text() == f"{found.clearance_mm:.2f}"
