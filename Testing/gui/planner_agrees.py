"""What must hold of the planner's panel, its plan and the scene at any time."""

from __future__ import annotations

import numpy as np

from harness.helpers import nodes_of_class
from MSKPlannerLib.editing.up_to_date import out_of_date
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan
from MSKPlannerLib.mrml.limb_marks import moved_landmarks, wanted_landmarks
from MSKPlannerLib.mrml.osteotomy_nodes import is_at, plane_frame
from MSKPlannerLib.osteotomy.planned import asked_of


def check_plan(session, panel):
    """Assert that panel, plan and scene say the same."""
    logic, table = panel.logic, panel.ui.screwsTable
    case = logic.case
    names = [] if case is None else [s.name for s in case.plan.screws]
    assert [table.item(r, 0).text() for r in range(table.rowCount)] == names
    waiting = [n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsLineNode") if n.GetName() == "New screw"]
    assert len(waiting) == int(panel.ui.placeButton.checked)
    if case is None:
        assert logic.session.history.undo_label == ""
        return
    nodes = logic.session.nodes
    assert set(nodes.screws) == set(names)
    for screw in case.plan.screws:
        line = nodes.screws[screw.name].axis
        ends = [line.GetNthControlPointPosition(n) for n in (0, 1)]
        assert np.allclose(ends, [screw.entry_ras, screw.tip_ras], atol=1e-9)
    clicks = [n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") if not n.GetSaveWithScene()]
    assert len(clicks) == int(panel.cutUi.placeLandmarkButton.checked)
    cuts = panel.cutUi.cutsTable
    assert [cuts.item(r, 0).text() for r in range(cuts.rowCount)] == [o.bone for o in case.plan.osteotomies]
    assert set(logic.session.cuts.shown.nodes) == {o.name for o in case.plan.osteotomies}
    points = logic.session.cuts.shown.landmarks
    if points is not None and points.GetScene() is not None:
        assert moved_landmarks(points, wanted_landmarks(case.plan)) == {}
    for record in case.plan.osteotomies:
        frame = plane_frame(logic.session.cuts.shown.nodes[record.name].plane)
        assert is_at(frame, asked_of(record).shape)
        assert all(f.mesh_sha256 for f in record.fragments)
    plan_id = case.plan.plan_id
    held = [n for n in nodes_of_plan(session.scene, role="plan") if n.GetAttribute("MSKPlanner.InHand")]
    assert [n.GetAttribute("MSKPlanner.PlanID") for n in held] == [plan_id]
    loose = [n for n in nodes_of_plan(session.scene, role="screw-axis") if not n.GetLocked()]
    assert {n.GetAttribute("MSKPlanner.PlanID") for n in loose} <= {plan_id}, "only the plan in hand has handles"
    plan = scene_to_plan(session.scene, plan_id)
    assert plan.osteotomies == case.plan.osteotomies
    assert plan.screws == case.plan.screws
    assert plan.guides == case.plan.guides
    assert {n.GetAttribute("MSKPlanner.Item") for n in nodes_of_plan(session.scene, plan_id, role="screw")} == set(
        names
    )
    told = [panel.ui.problemsTable.item(r, 1).text() for r in range(panel.ui.problemsTable.rowCount)]
    assert sum("out of date" in t for t in told) == sum(bool(g.out_of_date) for g in case.plan.guides)
    label = panel.ui.outOfDateLabel.text
    current = logic.session.basis.holds
    assert (label == "\n".join(out_of_date(case.plan).lines)) or not current

    check_views(session, panel)


def check_views(session, panel):
    """Two views only while the button is down; otherwise nothing of it is anywhere."""
    button, scene = panel.cutUi.beforeAfterButton, session.scene
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    kept = [n for n in nodes_of_class(scene, "vtkMRMLDisplayNode") if n.GetViewNodeIDs()]
    whole = [n for n in nodes_of_class(scene, "vtkMRMLModelNode") if n.GetName().endswith(", before")]
    if not button.checked:
        assert (kept, whole) == ([], [])
        assert layout.GetViewArrangement() != layout.SlicerLayoutDual3DView
        return
    assert layout.GetViewArrangement() == layout.SlicerLayoutDual3DView
    for name in {o.bone for o in panel.logic.case.plan.osteotomies}:
        assert [n.GetName() for n in whole].count(f"{name}, before") == 1
    for nodes in panel.logic.session.cuts.shown.nodes.values():
        for model in nodes.models.values():
            assert not model.GetDisplayNode().IsDisplayableInView("vtkMRMLViewNode1")
            assert model.GetDisplayNode().IsDisplayableInView("vtkMRMLViewNode2")
