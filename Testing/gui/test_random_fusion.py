"""Whatever is pressed, moved and deleted in MSK Fusion's panel in whatever order: nothing is raised, and nothing of ours is left over."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

from harness.helpers import nodes_of_class, replace_function, small_volume
from harness.monkey import Monkey
from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.mrml import ROLE_ATTRIBUTE, volume_to_node
from MSKFusionLib.mrml.nudge import nudge_of
from MSKFusionLib.mrml.transforms import to_vtk_matrix
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality

ACTIONS = 200


@pytest.fixture
def quick(monkeypatch):
    """Results that differ from call to call, and now and then an error."""
    count = [0]

    def register_rigid(fixed, moving, *, progress, **_):
        count[0] += 1
        progress(0.5, "half")
        if count[0] % 7 == 0:
            raise InputError("the images show no bone in common")
        verdict = Verdict.REJECTED if count[0] % 3 == 0 else Verdict.ACCEPTED
        place = rigid(rotation_about([1, 2, 3], 5.0 * count[0]), [0.1 * count[0], 0, 0])
        return RegistrationResult("rigid", place, verdict, ("because",))

    def segment_bones_ct(ct, **_):
        voxels = (ct.voxels > 100).astype(np.uint8) * 101
        voxels[voxels.shape[0] // 2 :][voxels[voxels.shape[0] // 2 :] > 0] = 102
        segments = (Segment(101, "V1", "vertebra"), Segment(102, "V2", "vertebra"))
        return Segmentation(ct.with_voxels(voxels, modality=Modality.LABEL), segments)

    def one_segment(value, name):
        def found(image, *_, **__):
            count[0] += 1
            if count[0] % 5 == 0:
                raise InputError("nothing is seen there")
            labels = image.with_voxels((image.voxels > 100).astype(np.uint8) * value, modality=Modality.LABEL)
            return Segmentation(labels, (Segment(value, name, name),))

        return found

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    replace_function(monkeypatch, "MSKFusionLib.segmentation.segment_bones_ct", segment_bones_ct)
    replace_function(monkeypatch, "MSKFusionLib.segmentation.mr.segment_soft_tissue_mr", one_segment(186, "muscle"))
    replace_function(monkeypatch, "MSKFusionLib.segmentation.mr.segment_lesion_mr", one_segment(191, "lesion"))


class FusionMonkey(Monkey):
    """Presses and moves at random, and looks after every action whether panel and scene still fit."""

    def chances(self):
        return {
            self.press: 10,
            self.look: 4,
            self.slide: 3,
            self.move: 6,
            self.click: 3,
            self.choose_level: 2,
            self.choose_image: 1,
            self.landmark: 2,
            self.remove_node: 2,
            self.put_under: 1,
            self.leave: 1,
            self.close_scene: 0.4,
        }

    def check(self):
        scene, panel = self.session.scene, self.panel
        hands = [n for n in nodes_of_class(scene, "vtkMRMLTransformNode") if n.GetAttribute(ROLE_ATTRIBUTE) == "nudge"]
        images = nodes_of_class(scene, "vtkMRMLScalarVolumeNode")
        moved = {nudge_of(n).GetID() for n in images if nudge_of(n) is not None}
        assert {n.GetID() for n in hands} <= moved, "a move by hand of nothing"
        made = [n for n in images if n.GetAttribute(ROLE_ATTRIBUTE) == "registration-check"]
        assert len(made) <= 1
        assert all(n.GetHideFromEditors() and not n.GetSaveWithScene() for n in made)
        waiting = [n for n in nodes_of_class(scene, "vtkMRMLMarkupsFiducialNode") if not n.GetSaveWithScene()]
        assert len(waiting) == int(panel.clicking.active) + int(panel.pointing.active) <= 1
        assert panel.ui.clickLevelButton.checked == panel.clicking.active
        assert panel.ui.lesionButton.checked == panel.pointing.active
        assert panel.ui.workArea.enabled

    def press(self):
        ui, check = self.panel.ui, self.panel.checkUi
        button = self.random.choice(
            [
                ui.registerButton, ui.registerButton, ui.segmentButton, ui.clickLevelButton,
                ui.tissueButton, ui.lesionButton, ui.lesionButton, ui.joinButton,
                check.nudgeButton, check.backButton, check.againButton, check.acceptButton, check.rejectButton,
            ]
        )  # fmt: skip
        if button.isEnabled():
            button.click()

    def look(self):
        box = self.panel.checkUi.lookComboBox
        if box.enabled:
            box.currentIndex = self.random.randrange(4)
            box.activated.emit(box.currentIndex)

    def slide(self):
        slider = self.panel.checkUi.lookSlider
        if slider.enabled:
            slider.value = self.random.uniform(slider.minimum, slider.maximum)

    def move(self):
        images = nodes_of_class(self.session.scene, "vtkMRMLScalarVolumeNode")
        hand = next(filter(None, map(nudge_of, images)), None)
        if hand is not None:
            turn = rotation_about([0, 0, 1], self.random.uniform(-20, 20))
            hand.SetMatrixTransformToParent(to_vtk_matrix(rigid(turn, [self.random.uniform(-9, 9), 0, 0])))

    def click(self):
        for node in nodes_of_class(self.session.scene, "vtkMRMLMarkupsFiducialNode"):
            if not node.GetSaveWithScene():
                node.AddControlPoint(vtk.vtkVector3d(*(self.random.uniform(-5, 25) for _ in range(3))))

    def choose_level(self):
        box = self.panel.ui.levelComboBox
        box.currentIndex = self.random.randrange(box.count)

    def choose_image(self):
        selector = self.random.choice([self.panel.ui.ctSelector, self.panel.ui.mrSelector])
        images = nodes_of_class(self.session.scene, "vtkMRMLScalarVolumeNode")
        selector.setCurrentNode(self.random.choice([None, *images]))

    def landmark(self):
        widget = self.random.choice([self.panel.ui.ctLandmarksWidget, self.panel.ui.mrLandmarksWidget])
        if widget.currentNode() is None or self.random.random() < 0.2:
            widget.markupsSelectorComboBox().addNode()
        widget.currentNode().AddControlPoint(vtk.vtkVector3d(*(self.random.uniform(-50, 50) for _ in range(3))))

    def remove_node(self):
        kinds = ("Transform", "Segmentation", "MarkupsFiducial", "ScalarVolume")
        kind = self.random.choices(kinds, (4, 2, 2, 1))[0]
        nodes = nodes_of_class(self.session.scene, f"vtkMRML{kind}Node")
        if nodes:
            self.session.scene.RemoveNode(self.random.choice(nodes))
        self.images()

    def put_under(self):
        """Put an image under a transform in another module."""
        self.panel.exit()
        nodes = nodes_of_class(self.session.scene, "vtkMRMLScalarVolumeNode")
        if nodes:
            table = self.session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "of the user")
            self.random.choice(nodes).SetAndObserveTransformNodeID(table.GetID())
        self.panel.enter()

    def leave(self):
        self.panel.exit()
        self.panel.enter()

    def close_scene(self):
        self.session.scene.Clear(0)
        self.images()

    def images(self):
        """Load what is missing, as a user would."""
        for modality, name in ((Modality.CT, "CT of P"), (Modality.MR, "T1 of P")):
            if self.session.scene.GetFirstNodeByName(name) is None:
                volume_to_node(self.session.scene, small_volume(modality, name))
        self.panel.enter()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_random_actions_in_fusion(session, quick, seed, monkeypatch):
    import slicer

    layers = slicer.vtkMRMLSliceCompositeNode()
    layers.SetLayoutName("Red")
    layers.SetSingletonTag("Red")
    session.scene.AddNode(layers)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: None)
    raised = []
    monkeypatch.setattr("sys.excepthook", lambda kind, error, trace: raised.append(error))
    panel = session.open_panel("MSKFusion")
    monkey = FusionMonkey(session, panel, seed)
    monkey.images()
    for number in range(ACTIONS):
        monkey.act()
        assert not raised, (number, monkey.done[-3:], raised)
    session.close_panel(panel)
    assert panel.Observations == []
    images = nodes_of_class(session.scene, "vtkMRMLScalarVolumeNode")
    assert [n for n in images if n.GetAttribute(ROLE_ATTRIBUTE) == "registration-check"] == []
