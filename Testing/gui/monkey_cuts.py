"""What can be done to osteotomies and landmarks in the planner's panel and in the views, at random."""

from __future__ import annotations

import numpy as np
import vtk
from core.leg_case import LIMB

from harness.helpers import nodes_of_class
from harness.monkey import Monkey
from MSKPlannerLib.anatomy.limb_landmarks import POINTS


class CutActions(Monkey):
    """Cuts, drags planes and landmarks, shows before and after."""

    def on_cuts(self):
        return {
            self.add_cut: 2,
            self.drag_cut: 3,
            self.change_cut: 5,
            self.press_cut: 2,
            self.drag_landmark: 2,
            self.place_landmark: 2,
            self.forget_landmark: 1,
            self.before_and_after: 2,
            self.choose_layout: 0.5,
        }

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
        """The point lists of the scene that wait for the click on a landmark, or hold some."""
        return nodes_of_class(self.session.scene, "vtkMRMLMarkupsFiducialNode")

    def before_and_after(self):
        self.panel.cutUi.beforeAfterButton.click()

    def choose_layout(self):
        layout = self.session.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        layout.SetViewArrangement(self.random.choice([layout.SlicerLayoutFourUpView, layout.SlicerLayoutOneUp3DView]))
