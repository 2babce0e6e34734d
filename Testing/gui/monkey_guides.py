"""What can be asked for in the planner's panel around guides and files, at random, also given up half way."""

from __future__ import annotations

from quick_planner import axis, of

from harness.helpers import meanwhile
from harness.monkey import Monkey


class GuideActions(Monkey):
    """Asks for guides of every kind, gives them up, goes to findings, writes files."""

    def on_guides(self):
        return {
            self.guides: 2,
            self.ask_for_guide: 4,
            self.mark_wires: 2,
            self.give_up_guide: 1.5,
            self.move_while_guides_are_designed: 1,
            self.close_while_guides_are_designed: 0.3,
            self.choose_printer: 1,
            self.go_to_problem: 2,
            self.export_bodies: 1,
        }

    def guides(self):
        self.panel.ui.guidesButton.click()

    def ask_for_guide(self):
        """Ask for a guide of another kind, with whatever is chosen for it."""
        ui = self.panel.ui
        ui.guideKindComboBox.currentIndex = self.random.randrange(5)
        ui.guideLevelsLineEdit.text = self.random.choice(["L3, L4", "L3", "", "L4, L3", "T1"])
        ui.holesSpinBox.value = self.random.randrange(4)
        ui.sawFromComboBox.currentIndex = self.random.randrange(5)
        if ui.guideCutComboBox.count:
            ui.guideCutComboBox.currentIndex = self.random.randrange(ui.guideCutComboBox.count)
        self._choose_wires()
        ui.guidesButton.click()

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

    def _choose_wires(self):
        ui = self.panel.ui
        ui.pinKindComboBox.currentIndex = self.random.randrange(2)
        ui.pinCountSpinBox.value = self.random.randrange(1, 5)
        ui.pinAngleSpinBox.value = self.random.uniform(-10, 10)
        if ui.pinBoneComboBox.count:
            ui.pinBoneComboBox.currentIndex = self.random.randrange(ui.pinBoneComboBox.count)

    def mark_wires(self):
        """Place a row's points, all of them or one; sometimes with a list that is there already, or delete that."""
        ui = self.panel.ui
        ui.guideKindComboBox.currentIndex = 4
        node = ui.pinPointsWidget.currentNode()
        if node is not None and self.random.random() < 0.2:
            self.session.scene.RemoveNode(node)
            return
        if node is None and ui.pinPointsButton.enabled:
            ui.pinPointsButton.click()
            node = ui.pinPointsWidget.currentNode()
        if node is not None:
            for n in range(min(self.random.randrange(3), node.GetNumberOfControlPoints())):
                node.SetNthControlPointPosition(n, *(self.random.uniform(0, 40) for _ in range(3)))

    def give_up_guide(self):
        """Press Cancel while guides are designed: the plan is as it was."""
        case = self.panel.logic.case
        with meanwhile(self.panel, lambda: self.panel.ui.cancelButton.click()):
            self.ask_for_guide()
        assert self.panel.logic.case is case

    def move_while_guides_are_designed(self):
        """The views are alive meanwhile: what the user moves stays where it was put."""
        case = self.panel.logic.case
        if case is None or not case.plan.screws or not self.panel.ui.guidesButton.enabled:
            return
        screw = self.random.choice(case.plan.screws)
        line, put = axis(self.panel, screw.name), []
        x, y, z = screw.tip_ras

        def move():
            line.SetNthControlPointPosition(1, x + 0.5, y, z)
            put.append(of(self.panel, screw.name))

        with meanwhile(self.panel, move):
            self.panel.ui.guidesButton.click()
        assert not put or of(self.panel, screw.name) is put[0]

    def close_while_guides_are_designed(self):
        with meanwhile(self.panel, lambda: self.session.scene.Clear(0)):
            self.ask_for_guide()
        if self.panel.logic.case is None:
            self.add_inputs(self.session.scene)
            self.panel.enter()
