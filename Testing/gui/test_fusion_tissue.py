"""MSK Fusion's panel: what is labelled in an MR, how it goes with the image, and how it is joined with the CT's bones."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from fusion_pair import (  # noqa: F401  fixtures are used by their names
    TRUTH,
    images_fixture,
    pair_fixture,
    panel_fixture,
)

from harness.helpers import nodes_of_class, press, replace_function, small_volume
from MSKFusionLib.errors import InputError, MissingComponentError
from MSKFusionLib.label_fusion import CombinedLabels, Disagreement
from MSKFusionLib.mrml import node_to_segmentation, segmentation_to_node
from MSKFusionLib.registration.result import RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality

BALL = (Segment(22, "L3", "vertebra"),)


@pytest.fixture
def registers(monkeypatch):
    """A registration that ends at the truth, at once."""

    def register_rigid(fixed, moving, **_):
        return RegistrationResult("rigid", TRUTH, Verdict.ACCEPTED, (), expected_error_mm=0.6)

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)


def labelled(image, value, *segments):
    voxels = (image.voxels > 100).astype(np.uint8) * value
    return Segmentation(image.with_voxels(voxels, modality=Modality.LABEL), segments)


def mr_labels(session, mr):
    """A spine in the MR, as the panel itself adds it."""
    from MSKFusionLib.mrml.fusing import add_beside
    from MSKFusionLib.mrml.volumes import node_to_volume

    return add_beside(mr, labelled(node_to_volume(mr), 22, *BALL), "spine")


def names(node):
    content = node.GetSegmentation()
    return [content.GetNthSegment(n).GetName() for n in range(content.GetNumberOfSegments())]


def test_muscle_and_fat_join_what_is_labelled_already(panel, pair, session, monkeypatch):
    known = []

    def segment_soft_tissue_mr(mr, spine=None, *, progress):
        known.append(None if spine is None else [s.name for s in spine.segments])
        voxels = np.where(mr.voxels > 100, 0, 187).astype(np.uint8)
        voxels[0][voxels[0] > 0] = 186
        labels = mr.with_voxels(voxels, modality=Modality.LABEL)
        return Segmentation(labels, (Segment(186, "muscle", "muscle"), Segment(187, "fat", "fat")))

    replace_function(monkeypatch, "MSKFusionLib.segmentation.mr.segment_soft_tissue_mr", segment_soft_tissue_mr)
    node = mr_labels(session, pair[1])
    before = node_to_segmentation(node)["L3"], node_to_segmentation(node).mask("L3").copy()
    panel.ui.mrLabelsSelector.setCurrentNode(node)
    press(panel.ui.tissueButton)
    press(panel.ui.tissueButton)
    assert nodes_of_class(session.scene, "vtkMRMLSegmentationNode") == [node]
    assert names(node) == ["L3", "muscle", "fat", "muscle 2", "fat 2"], "what a user may have edited stays"
    assert known == [["L3"], ["L3"]], "an earlier finding of muscle and fat does not keep them out"
    again = node_to_segmentation(node)
    assert (again["L3"], np.array_equal(again.mask("L3"), before[1])) == (before[0], True)
    assert again.mask("muscle 2")[0].any()
    assert len({s.value for s in again.segments}) == 5
    display = node.GetDisplayNode()
    assert not display.GetSegmentVisibility3D("muscle"), "it would hide the bones"
    assert display.GetSegmentVisibility3D("L3")
    assert panel.ui.mrLabelsLabel.text == "Found: muscle, fat."


def test_a_lesion_is_clicked_in_the_mr(panel, pair, session, monkeypatch):
    clicks = []

    def segment_lesion_mr(mr, click_ras, **_):
        clicks.append(click_ras)
        return labelled(mr, 191, Segment(191, "lesion", "lesion"))

    replace_function(monkeypatch, "MSKFusionLib.segmentation.mr.segment_lesion_mr", segment_lesion_mr)
    moved = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    shift = vtk.vtkMatrix4x4()
    shift.SetElement(0, 3, 10.0)
    moved.SetMatrixTransformToParent(shift)
    pair[1].SetAndObserveTransformNodeID(moved.GetID())
    press(panel.ui.lesionButton)
    assert panel.ui.lesionButton.checked
    (waiting,) = nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode")
    waiting.AddControlPoint(vtk.vtkVector3d(14.0, 4.0, 5.0))
    session.application.processEvents()
    assert np.allclose(clicks, [[4.0, 4.0, 5.0]]), "in the image's own frame"
    assert not panel.ui.lesionButton.checked
    node = panel.ui.mrLabelsSelector.currentNode()
    assert (node.GetName(), names(node)) == ("T1 of P lesion", ["lesion"])
    assert node.GetParentTransformNode() is moved
    panel.logic.getParameterNode().bonesSegmentation = node
    panel.ui.levelComboBox.currentText = "L3"
    press(panel.ui.lesionButton)
    press(panel.ui.clickLevelButton)
    assert not panel.ui.lesionButton.checked, "one click is waited for at a time"
    press(panel.ui.lesionButton)
    assert not panel.ui.clickLevelButton.checked
    press(panel.ui.lesionButton)
    assert nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") == [], "given up"


def test_what_was_labelled_in_the_mr_goes_with_it(panel, pair, session, registers):
    node = mr_labels(session, pair[1])
    users = segmentation_to_node(session.scene, node_to_segmentation(node), "of the user")
    press(panel.ui.registerButton)
    transform = pair[1].GetParentTransformNode()
    assert transform is not None
    assert node.GetParentTransformNode() is transform
    assert users.GetParentTransformNode() is None, "nothing says that it belongs to the MR"
    press(panel.checkUi.rejectButton)
    assert (pair[1].GetParentTransformNode(), node.GetParentTransformNode()) == (None, None)


def test_bones_and_tissue_are_joined_by_the_registration(panel, pair, session, registers, monkeypatch):
    from MSKFusionLib.mrml.volumes import node_to_volume

    given = []

    def combine_labels(bones, others, registration, *, progress):
        given.append((bones.labels.name, [s.name for s in others.segments], registration))
        clash = Disagreement("disc", "L4", 3.0, 1.2, (1.0, 2.0, 3.0), 20.0)
        joined = Segmentation(bones.labels, (*bones.segments, Segment(40, "disc", "disc")), ("kept", str(clash)))
        return CombinedLabels(joined, bones.labels, (clash,))

    replace_function(monkeypatch, "MSKFusionLib.label_fusion.combine_labels", combine_labels)
    ui = panel.ui
    assert not ui.joinButton.enabled
    bones = segmentation_to_node(
        session.scene, labelled(node_to_volume(pair[0]), 23, Segment(23, "L4", "vertebra")), "bones"
    )
    panel.logic.getParameterNode().bonesSegmentation = bones
    ui.mrLabelsSelector.setCurrentNode(mr_labels(session, pair[1]))
    assert "Register the MR" in ui.joinButton.toolTip
    press(ui.registerButton)
    assert ui.joinButton.enabled
    press(ui.joinButton)
    ((_, others, registration),) = given
    assert others == ["L3"]
    assert np.allclose(registration.fixed_to_moving_ras, TRUTH)
    joined = nodes_of_class(session.scene, "vtkMRMLSegmentationNode")[-1]
    assert (joined.GetName(), names(joined)) == ("CT of P bones and tissue", ["L4", "disc"])
    assert joined.GetParentTransformNode() is None
    assert ui.mrLabelsLabel.text.startswith(
        "In one: L4, disc. kept. The two images disagree: disc of the MR lies 3.0 mm"
    )
    press(panel.checkUi.nudgeButton)
    assert not ui.joinButton.enabled, "nobody knows how exactly the hand has placed it"
    press(panel.checkUi.nudgeButton)
    press(panel.checkUi.rejectButton)
    assert not ui.joinButton.enabled


def test_soft_tissue_is_bent_after_the_bones_are_placed(panel, pair, session, registers, monkeypatch):
    asked = []

    def register_deformable(fixed, moving, *, initial, bones, progress):
        asked.append((initial.method, bones))
        return RegistrationResult("deformable", TRUTH, Verdict.ACCEPTED, (), expected_error_mm=1.0)

    replace_function(monkeypatch, "MSKFusionLib.registration.register_deformable", register_deformable)
    monkeypatch.setattr("MSKFusionLib.mrml.fusing.check_torch", lambda: None)
    panel.ui.methodComboBox.currentIndex = 2
    assert "PyTorch" in panel.ui.registerButton.toolTip
    press(panel.ui.registerButton)
    assert asked == [("rigid", None)]
    assert "expected error 1.0 mm" in panel.ui.registrationLabel.text
    panel.ui.methodComboBox.currentIndex = 3
    assert not panel.ui.registerButton.enabled, "bone by bone needs bones"


def test_without_pytorch_it_is_said_before_the_long_work(panel, pair, registers, monkeypatch, shown_errors):
    def missing():
        raise MissingComponentError("deformable registration needs PyTorch")

    monkeypatch.setattr("MSKFusionLib.mrml.fusing.check_torch", missing)
    panel.ui.methodComboBox.currentIndex = 2
    press(panel.ui.registerButton)
    assert "needs PyTorch" in panel.ui.statusLabel.text
    assert pair[1].GetParentTransformNode() is None


def test_labels_that_lie_elsewhere_are_not_mixed(panel, pair, session, monkeypatch, shown_errors):
    def segment_soft_tissue_mr(mr, spine=None, **_):
        return labelled(mr, 186, Segment(186, "muscle", "muscle"))

    replace_function(monkeypatch, "MSKFusionLib.segmentation.mr.segment_soft_tissue_mr", segment_soft_tissue_mr)
    node = mr_labels(session, pair[1])
    table = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    node.SetAndObserveTransformNodeID(table.GetID())
    panel.ui.mrLabelsSelector.setCurrentNode(node)
    press(panel.ui.tissueButton)
    assert "the labels lie elsewhere than the MR" in panel.ui.statusLabel.text
    assert names(node) == ["L3"]


def test_a_rejected_registration_carries_no_labels(session):
    from MSKFusionLib.label_fusion import combine_labels

    found = labelled(small_volume(Modality.MR, "T1 of P"), 22, *BALL)
    bad = RegistrationResult("rigid", TRUTH, Verdict.REJECTED, ("another person",))
    with pytest.raises(InputError, match="another person"):
        combine_labels(found, found, bad)
