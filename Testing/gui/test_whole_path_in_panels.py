"""A generated patient through both panels with the real algorithms, every button pressed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.helpers import nodes_of_class, press
from MSKFusionLib.frames import transform_points
from MSKFusionLib.mrml import load_scene, node_to_rigid, volume_to_node
from MSKPlannerLib.mrml import nodes_of_plan
from MSKPlannerLib.plan_file import plan_to_json, read_plan


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
