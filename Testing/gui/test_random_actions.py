"""Whatever is pressed, dragged, deleted and closed in whatever order: nothing is raised, and no observer is left behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from core.leg_case import FEMUR, LIMB, TIBIA, leg_images
from quick_planner import (  # noqa: F401  used by their names
    SCREWS,
    add_inputs,
    axis,
    click_two_points,
    drag,
    inputs_fixture,
    of,
    quick_fixture,
    raised_fixture,
    stand_in_guides,
)

from harness.helpers import nodes_of_class, replace_function
from harness.monkey import Monkey
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node
from MSKPlannerLib.anatomy.limb_landmarks import POINTS
from MSKPlannerLib.editing.up_to_date import out_of_date
from MSKPlannerLib.mrml import nodes_of_plan, scene_to_plan
from MSKPlannerLib.mrml.limb_marks import moved_landmarks, wanted_landmarks
from MSKPlannerLib.mrml.osteotomy_nodes import is_at, plane_frame
from MSKPlannerLib.mrml.slice_views import arrange_slice_views
from MSKPlannerLib.osteotomy.planned import asked_of

ACTIONS = 200


class PlannerMonkey(Monkey):
    """Presses and drags at random, and looks after every action whether panel, plan and scene still say the same."""

    def __init__(self, session, panel, seed, folder):
        super().__init__(session, panel, seed)
        self.folder = folder

    def chances(self):
        return {
            self.drag: 6,
            self.move: 4,
            self.size: 4,
            self.press_one: 10,
            self.add_at_site: 2,
            self.click_two_points: 3,
            self.leave_clicks_waiting: 1,
            self.choose_printer: 1,
            self.go_to_problem: 2,
            self.export_bodies: 1,
            self.align_slices: 2,
            self.slide_across: 1,
            self.copy_plan: 0.7,
            self.switch_plan: 2,
            self.undo: 6,
            self.redo: 4,
            self.review: 2,
            self.choose: 4,
            self.remove_node: 2,
            self.rename: 1,
            self.plan: 2,
            self.guides: 2,
            self.update: 2,
            self.edit_bones: 1,
            self.leave: 1,
            self.close_scene: 0.5,
            self.add_cut: 2,
            self.drag_cut: 3,
            self.change_cut: 5,
            self.press_cut: 2,
            self.drag_landmark: 2,
            self.place_landmark: 2,
            self.forget_landmark: 1,
            self.ask_for_guide: 3,
            self.before_and_after: 2,
            self.choose_layout: 0.5,
        }

    def check(self):
        logic, table = self.panel.logic, self.panel.ui.screwsTable
        case = logic.case
        names = [] if case is None else [s.name for s in case.plan.screws]
        assert [table.item(r, 0).text() for r in range(table.rowCount)] == names
        waiting = [
            n for n in nodes_of_class(self.session.scene, "vtkMRMLMarkupsLineNode") if n.GetName() == "New screw"
        ]
        assert len(waiting) == int(self.panel.ui.placeButton.checked)
        if case is None:
            assert logic.session.history.undo_label == ""
            return
        nodes = logic.session.nodes
        assert set(nodes.screws) == set(names)
        for screw in case.plan.screws:
            line = nodes.screws[screw.name].axis
            ends = [line.GetNthControlPointPosition(n) for n in (0, 1)]
            assert np.allclose(ends, [screw.entry_ras, screw.tip_ras], atol=1e-9)
        clicks = [n for n in self.lists() if not n.GetSaveWithScene()]
        assert len(clicks) == int(self.panel.cutUi.placeLandmarkButton.checked)
        cuts = self.panel.cutUi.cutsTable
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
        held = [n for n in nodes_of_plan(self.session.scene, role="plan") if n.GetAttribute("MSKPlanner.InHand")]
        assert [n.GetAttribute("MSKPlanner.PlanID") for n in held] == [plan_id]
        loose = [n for n in nodes_of_plan(self.session.scene, role="screw-axis") if not n.GetLocked()]
        assert {n.GetAttribute("MSKPlanner.PlanID") for n in loose} <= {plan_id}, "only the plan in hand has handles"
        plan = scene_to_plan(self.session.scene, plan_id)
        assert plan.osteotomies == case.plan.osteotomies
        assert plan.screws == case.plan.screws
        assert plan.guides == case.plan.guides
        assert {
            n.GetAttribute("MSKPlanner.Item") for n in nodes_of_plan(self.session.scene, plan_id, role="screw")
        } == set(names)
        told = [self.panel.ui.problemsTable.item(r, 1).text() for r in range(self.panel.ui.problemsTable.rowCount)]
        assert sum("out of date" in t for t in told) == sum(bool(g.out_of_date) for g in case.plan.guides)
        label = self.panel.ui.outOfDateLabel.text
        current = logic.session.basis.holds
        assert (label == "\n".join(out_of_date(case.plan).lines)) or not current

        self.check_views()

    def check_views(self):
        """Two views only while the button is down; otherwise nothing of it is anywhere."""
        button, scene = self.panel.cutUi.beforeAfterButton, self.session.scene
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        kept = [n for n in nodes_of_class(scene, "vtkMRMLDisplayNode") if n.GetViewNodeIDs()]
        whole = [n for n in nodes_of_class(scene, "vtkMRMLModelNode") if n.GetName().endswith(", before")]
        if not button.checked:
            assert (kept, whole) == ([], [])
            assert layout.GetViewArrangement() != layout.SlicerLayoutDual3DView
            return
        assert layout.GetViewArrangement() == layout.SlicerLayoutDual3DView
        for name in {o.bone for o in self.panel.logic.case.plan.osteotomies}:
            assert [n.GetName() for n in whole].count(f"{name}, before") == 1
        for nodes in self.panel.logic.session.cuts.shown.nodes.values():
            for model in nodes.models.values():
                assert not model.GetDisplayNode().IsDisplayableInView("vtkMRMLViewNode1")
                assert model.GetDisplayNode().IsDisplayableInView("vtkMRMLViewNode2")

    # ------------------------------------------------------------------------------------------------ actions
    def before_and_after(self):
        self.panel.cutUi.beforeAfterButton.click()

    def choose_layout(self):
        layout = self.session.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        layout.SetViewArrangement(self.random.choice([layout.SlicerLayoutFourUpView, layout.SlicerLayoutOneUp3DView]))

    def ask_for_guide(self):
        """Ask for a guide of another kind, with whatever is chosen for it."""
        ui = self.panel.ui
        ui.guideKindComboBox.currentIndex = self.random.randrange(4)
        ui.guideLevelsLineEdit.text = self.random.choice(["L3, L4", "L3", "", "L4, L3", "T1"])
        ui.holesSpinBox.value = self.random.randrange(4)
        ui.sawFromComboBox.currentIndex = self.random.randrange(5)
        if ui.guideCutComboBox.count:
            ui.guideCutComboBox.currentIndex = self.random.randrange(ui.guideCutComboBox.count)
        ui.guidesButton.click()

    def add_cut(self):
        ui = self.panel.cutUi
        if ui.cutBoneComboBox.count:
            ui.cutBoneComboBox.currentIndex = self.random.randrange(ui.cutBoneComboBox.count)
            ui.addCutButton.click()

    def drag_cut(self):
        planes = list(self.panel.logic.session.cuts.shown.planes.values())
        if not planes:
            return
        node, grasped = self.random.choice(planes), self.random.random() < 0.6
        if grasped:
            node.InvokeEvent(node.PointStartInteractionEvent)
        for _ in range(2):
            if self.random.random() < 0.05:
                node.RemoveAllControlPoints()
                break
            turn = vtk.vtkTransform()
            turn.Translate(*(self.random.gauss(0, 6) for _ in range(3)))
            turn.RotateWXYZ(self.random.gauss(0, 5), *(self.random.gauss(0, 1) for _ in range(3)))
            node.ApplyTransform(turn)
        if grasped:
            node.InvokeEvent(node.PointEndInteractionEvent)

    def drag_landmark(self):
        node = self.panel.logic.session.cuts.shown.landmarks
        if node is None or node.GetScene() is None:
            return
        grasped = self.random.random() < 0.6
        if grasped:
            node.InvokeEvent(node.PointStartInteractionEvent)
        for _ in range(2):
            index = self.random.randrange(node.GetNumberOfControlPoints())
            if self.random.random() < 0.05:
                node.RemoveNthControlPoint(index)
                continue
            at = np.array(node.GetNthControlPointPosition(index))
            node.SetNthControlPointPosition(index, *(at + [self.random.gauss(0, 4) for _ in range(3)]))
        if grasped:
            node.InvokeEvent(node.PointEndInteractionEvent)

    def place_landmark(self):
        """Choose a landmark and click beside where it is; sometimes nowhere near, sometimes not at all."""
        ui = self.panel.cutUi
        name = self.random.choice(POINTS)
        ui.landmarksTable.setCurrentCell(POINTS.index(name), 0)
        if not ui.placeLandmarkButton.enabled:
            return
        ui.placeLandmarkButton.click()
        waiting = [n for n in self.lists() if not n.GetSaveWithScene()]
        if waiting and self.random.random() < 0.8:
            case = self.panel.logic.case
            known = {} if case is None or case.plan.limb is None else case.plan.limb.landmarks_ras
            at = np.array(known.get(name, LIMB.landmarks_ras[name])) + [self.random.gauss(0, 3) for _ in range(3)]
            waiting[0].AddControlPoint(vtk.vtkVector3d(*(at if self.random.random() < 0.9 else -at)))

    def forget_landmark(self):
        ui = self.panel.cutUi
        ui.landmarksTable.setCurrentCell(self.random.randrange(len(POINTS)), 0)
        if ui.forgetLandmarkButton.enabled:
            ui.forgetLandmarkButton.click()

    def lists(self):
        return nodes_of_class(self.session.scene, "vtkMRMLMarkupsFiducialNode")

    def change_cut(self):
        ui = self.panel.cutUi
        if ui.cutsTable.rowCount:
            ui.cutsTable.setCurrentCell(self.random.randrange(ui.cutsTable.rowCount), 0)
            box = self.random.choice([ui.cutAngleSpinBox, ui.cutGapSpinBox, ui.cutKerfSpinBox, ui.cutTargetSpinBox])
            if self.random.random() < 0.4:
                box = self.random.choice([ui.cutKindComboBox, ui.cutTargetComboBox])
                box.currentIndex = self.random.randrange(box.count)
            else:
                box.value = self.random.uniform(0, 20)

    def press_cut(self):
        ui = self.panel.cutUi
        if ui.cutsTable.rowCount:
            ui.cutsTable.setCurrentCell(self.random.randrange(ui.cutsTable.rowCount), 0)
        self.random.choice([ui.turnCutButton, ui.removeCutButton, ui.cutReviewedCheckBox]).click()

    def _name(self):
        names = [s.name for s in self.panel.logic.case.plan.screws] if self.panel.logic.case else []
        return self.random.choice(names) if names else None

    def _near(self, name, point):
        screw = of(self.panel, name)
        return np.array((screw.entry_ras, screw.tip_ras)[point]) + [self.random.gauss(0, 4) for _ in range(3)]

    def drag(self):
        if name := self._name():
            point = self.random.randrange(2)
            drag(self.panel, name, point, self._near(name, point))

    def move(self):
        if name := self._name():
            point = self.random.randrange(2)
            axis(self.panel, name).SetNthControlPointPosition(point, *self._near(name, point))

    def choose(self):
        table = self.panel.ui.screwsTable
        if table.rowCount:
            table.setCurrentCell(self.random.randrange(table.rowCount), 0)

    def size(self):
        ui = self.panel.ui
        if self.random.random() < 0.5:
            ui.sizeComboBox.currentIndex = self.random.randrange(ui.sizeComboBox.count)
        else:
            self.random.choice([ui.diameterSpinBox, ui.lengthSpinBox]).value = self.random.uniform(1, 80)

    def press_one(self):
        ui = self.panel.ui
        self.random.choice([ui.copyButton, ui.swapButton, ui.removeButton]).click()

    def review(self):
        self.panel.ui.reviewedCheckBox.click()

    def copy_plan(self):
        if self.panel.ui.plansComboBox.count < 4:
            self.panel.ui.copyPlanButton.click()

    def switch_plan(self):
        box = self.panel.ui.plansComboBox
        box.currentIndex = self.random.randrange(box.count)

    def align_slices(self):
        self.panel.ui.alignButton.click()

    def slide_across(self):
        self.panel.ui.acrossSlider.value = self.random.uniform(0, 60)

    def choose_printer(self):
        box = self.panel.ui.printerComboBox
        box.currentIndex = self.random.randrange(box.count)

    def go_to_problem(self):
        table = self.panel.ui.problemsTable
        if table.rowCount:
            table.setCurrentCell(self.random.randrange(table.rowCount), 0)

    def export_bodies(self):
        """Write what there is, also what is out of date where that can be asked for; a refusal is as good."""
        ui = self.panel.ui
        ui.outdatedCheckBox.click()
        ui.screwsCheckBox.checked = self.random.random() < 0.5
        ui.folderPathLineEdit.currentPath = str(self.folder / str(len(self.done)))
        ui.exportBodiesButton.click()

    def add_at_site(self):
        ui = self.panel.ui
        ui.sideComboBox.currentIndex = self.random.randrange(3)
        ui.addButton.click()

    def click_two_points(self):
        if self.panel.ui.placeButton.enabled and not self.panel.ui.placeButton.checked:
            entry = np.array([self.random.uniform(-25, 25), -4.0, self.random.uniform(30, 210)])
            click_two_points(self.panel, entry, entry + [self.random.gauss(0, 3), self.random.uniform(1, 60), 0])

    def leave_clicks_waiting(self):
        """Begin to place a screw and do something else, or give up."""
        self.panel.ui.placeButton.click()

    def undo(self):
        for _ in range(self.random.randrange(1, 8)):
            self.panel.ui.undoButton.click()

    def redo(self):
        for _ in range(self.random.randrange(1, 8)):
            self.panel.ui.redoButton.click()

    def remove_node(self):
        nodes = nodes_of_plan(self.session.scene)
        if nodes:
            self.session.scene.RemoveNode(self.random.choice(nodes))

    def rename(self):
        nodes = nodes_of_plan(self.session.scene)
        if nodes:
            self.random.choice(nodes).SetName("something else")

    def plan(self):
        self.panel.ui.planButton.click()

    def guides(self):
        self.panel.ui.guidesButton.click()

    def update(self):
        self.panel.ui.updateButton.click()

    def edit_bones(self):
        node = self.panel.ui.segmentationSelector.currentNode()
        if node is None:
            return
        if self.random.random() < 0.3:
            self.session.scene.RemoveNode(node)
            add_inputs(self.session.scene)
        else:
            node.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap").Modified()

    def leave(self):
        self.panel.exit()
        self.panel.enter()

    def close_scene(self):
        self.session.scene.Clear(0)
        add_inputs(self.session.scene)
        self.panel.enter()


@pytest.fixture(name="layout")
def layout_fixture(session):
    """The application's layout, kept by its own logic."""
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(session.scene)
    logic.GetLayoutNode().SetViewArrangement(logic.GetLayoutNode().SlicerLayoutFourUpView)
    yield
    logic.SetMRMLScene(None)


def observed(scene):
    """Whether anything of a session still observes the scene's lines."""
    lines = [
        scene.GetNthNodeByClass(n, "vtkMRMLMarkupsLineNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode"))
    ]
    return [line.GetName() for line in lines if line.HasObserver(line.PointEndInteractionEvent)]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 23))])
def test_random_actions(session, layout, quick, raised, inputs, seed, tmp_path, monkeypatch):
    replace_function(monkeypatch, "MSKPlannerLib.editing.osteotomy_edits.surface_of", lambda case, bone: FEMUR)
    monkeypatch.setattr("MSKPlannerLib.mrml.shown_osteotomies.surface_of", lambda case, bone: FEMUR)
    arrange_slice_views(session.scene, inputs[0], None, np.zeros(3))
    stand_in_guides(monkeypatch)
    panel = session.open_panel("MSKPlanner")
    panel.ui.planButton.click()
    monkey = PlannerMonkey(session, panel, seed, tmp_path)
    for _ in range(ACTIONS):
        monkey.act()
        assert raised == [], monkey.done[-5:]
    kept, two_views = panel.logic.session, panel.beforeAfter._views
    session.close_panel(panel)
    assert len(kept._observers) == 0
    assert len(kept.cuts) == 0
    assert len(two_views) == 0
    assert panel.Observations == []
    assert observed(session.scene) == []


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_random_actions_on_a_leg(session, layout, quick, raised, seed, tmp_path, monkeypatch):
    """The same with a femur and a tibia whose leg is measured: targets, two levels, landmarks."""

    def with_leg(case, bone, progress=None):
        return case if case.plan.limb is not None else replace(case, plan=replace(case.plan, limb=LIMB))

    surfaces = {"right femur": FEMUR, "right tibia": TIBIA}
    replace_function(monkeypatch, "MSKPlannerLib.editing.osteotomy_edits.surface_of", lambda case, bone: surfaces[bone])
    monkeypatch.setattr("MSKPlannerLib.mrml.shown_osteotomies.surface_of", lambda case, bone: surfaces[bone])
    replace_function(monkeypatch, "MSKPlannerLib.editing.osteotomy_edits.with_leg", with_leg)

    def add_leg(scene):
        ct, bones = leg_images()
        return volume_to_node(scene, ct), segmentation_to_node(scene, bones, "Bones of a leg")

    monkeypatch.setitem(globals(), "add_inputs", add_leg)
    add_leg(session.scene)
    stand_in_guides(monkeypatch)
    panel = session.open_panel("MSKPlanner")
    monkey = PlannerMonkey(session, panel, seed, tmp_path)
    for _ in range(ACTIONS):
        monkey.act()
        assert raised == [], monkey.done[-5:]
    kept, two_views = panel.logic.session, panel.beforeAfter._views
    session.close_panel(panel)
    assert len(kept._observers) == len(kept.cuts) == len(two_views) == 0
    assert observed(session.scene) == []


def test_fifty_steps_back_and_forth(session, quick, raised, inputs):
    panel = session.open_panel("MSKPlanner")
    panel.ui.planButton.click()
    seen = [panel.logic.case.plan.screws]
    for n in range(60):
        axis(panel, SCREWS[n % 4].name).SetNthControlPointPosition(
            1, SCREWS[n % 4].tip_ras[0], 40.0 + 0.1 * (n + 1), 120.0
        )
        seen.append(panel.logic.case.plan.screws)
    for before in reversed(seen[:-1]):
        panel.ui.undoButton.click()
        assert panel.logic.case.plan.screws == before
    for after in seen[1:]:
        panel.ui.redoButton.click()
        assert panel.logic.case.plan.screws == after
