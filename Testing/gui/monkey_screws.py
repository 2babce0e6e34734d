"""What can be done to screws in the planner's panel and in the views, at random."""

from __future__ import annotations

import numpy as np
from quick_planner import axis, click_two_points, drag, of

from harness.monkey import Monkey


class ScrewActions(Monkey):
    """Drags, sizes, copies, adds."""

    def on_screws(self):
        return {
            self.drag: 6,
            self.move: 4,
            self.size: 4,
            self.press_one: 10,
            self.add_at_site: 2,
            self.click_two_points: 3,
            self.leave_clicks_waiting: 1,
            self.align_slices: 2,
            self.slide_across: 1,
            self.review: 2,
            self.choose: 4,
        }

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

    def align_slices(self):
        self.panel.ui.alignButton.click()

    def slide_across(self):
        self.panel.ui.acrossSlider.value = self.random.uniform(0, 60)
