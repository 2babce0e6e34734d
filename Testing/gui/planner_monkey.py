"""Who presses, drags, deletes and closes at random in the planner's panel, and looks after every action whether all agrees."""

from __future__ import annotations

from monkey_cuts import CutActions
from monkey_guides import GuideActions
from monkey_screws import ScrewActions
from planner_agrees import check_plan

from MSKPlannerLib.mrml import nodes_of_plan


class PlannerMonkey(ScrewActions, CutActions, GuideActions):
    """Presses and drags at random.

    Parameters
    ----------
    folder
        Where it writes files.
    add_inputs
        Puts CT and bones into a scene that was closed.
    """

    def __init__(self, session, panel, seed, folder, add_inputs):
        super().__init__(session, panel, seed)
        self.folder, self.add_inputs = folder, add_inputs

    def chances(self):
        return {
            **self.on_screws(),
            **self.on_cuts(),
            **self.on_guides(),
            self.copy_plan: 0.7,
            self.switch_plan: 2,
            self.undo: 6,
            self.redo: 4,
            self.remove_node: 2,
            self.rename: 1,
            self.plan: 2,
            self.update: 2,
            self.edit_bones: 1,
            self.leave: 1,
            self.close_scene: 0.5,
        }

    def check(self):
        check_plan(self.session, self.panel)

    def plan(self):
        self.panel.ui.planButton.click()

    def update(self):
        self.panel.ui.updateButton.click()

    def undo(self):
        for _ in range(self.random.randrange(1, 8)):
            self.panel.ui.undoButton.click()

    def redo(self):
        for _ in range(self.random.randrange(1, 8)):
            self.panel.ui.redoButton.click()

    def copy_plan(self):
        if self.panel.ui.plansComboBox.count < 4:
            self.panel.ui.copyPlanButton.click()

    def switch_plan(self):
        box = self.panel.ui.plansComboBox
        box.currentIndex = self.random.randrange(box.count)

    def remove_node(self):
        nodes = nodes_of_plan(self.session.scene)
        if nodes:
            self.session.scene.RemoveNode(self.random.choice(nodes))

    def rename(self):
        nodes = nodes_of_plan(self.session.scene)
        if nodes:
            self.random.choice(nodes).SetName("something else")

    def edit_bones(self):
        node = self.panel.ui.segmentationSelector.currentNode()
        if node is None:
            return
        if self.random.random() < 0.3:
            self.session.scene.RemoveNode(node)
            self.add_inputs(self.session.scene)
        else:
            node.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap").Modified()

    def leave(self):
        self.panel.exit()
        self.panel.enter()

    def close_scene(self):
        self.session.scene.Clear(0)
        self.add_inputs(self.session.scene)
        self.panel.enter()
