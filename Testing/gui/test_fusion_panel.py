"""MSK Fusion's panel on the real scene, with quick stand-ins for the algorithms."""

from __future__ import annotations

import numpy as np
import pytest
from fusion_pair import (  # noqa: F401  fixtures are used by their names
    TRUTH,
    choose,
    images_fixture,
    panel_fixture,
)

from harness.helpers import nodes_of_class, press, replace_function, small_volume
from harness.slicer_source import source_folder
from MSKFusionLib.errors import Cancelled, InputError
from MSKFusionLib.mrml import ROLE_ATTRIBUTE, node_to_rigid, segmentation_to_node, volume_to_node
from MSKFusionLib.registration.polyrigid import PolyrigidMap
from MSKFusionLib.registration.result import BendingMap, BonePose, RegistrationResult, Verdict
from MSKFusionLib.segmentation import LevelHint
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality


def registration(verdict=Verdict.ACCEPTED, reasons=(), error=0.6, warnings=()):
    def register_rigid(fixed, moving, **keywords):
        keywords["progress"](0.5, "half")
        assert (fixed.name, moving.name) == ("CT of P", "T1 of P")
        return RegistrationResult("rigid", TRUTH, verdict, reasons, expected_error_mm=error, warnings=warnings)

    return register_rigid


def test_buttons_wait_for_their_images(panel, images):
    ui = panel.ui
    assert (ui.registerButton.enabled, ui.segmentButton.enabled) == (False, False)
    assert "first" in ui.registerButton.toolTip
    ui.ctSelector.setCurrentNode(images[0])
    assert (ui.registerButton.enabled, ui.segmentButton.enabled) == (False, True)
    ui.mrSelector.setCurrentNode(images[0])
    assert not ui.registerButton.enabled, "one image cannot be registered to itself"
    ui.mrSelector.setCurrentNode(images[1])
    assert ui.registerButton.enabled


def test_choices_live_in_the_parameter_node(panel, images, session):
    choose(panel, images)
    panel.ui.levelComboBox.currentText = "L5"
    panel.ui.placeComboBox.currentIndex = 1
    node = panel.logic.getParameterNode()
    assert (node.ctVolume, node.mrVolume, node.levelName, node.levelPlace.value) == (*images, "L5", "highest")
    node.levelName = "L4"
    assert panel.ui.levelComboBox.currentText == "L4"
    session.close_panel(panel)
    again = session.open_panel("MSKFusion")
    assert again.ui.ctSelector.currentNode() is images[0]
    assert again.ui.levelComboBox.currentText == "L4"


def test_images_that_say_what_they_are_are_chosen_on_entering(session, images):
    panel = session.open_panel("MSKFusion")
    assert (panel.ui.ctSelector.currentNode(), panel.ui.mrSelector.currentNode()) == images


def test_register_puts_the_mr_under_the_transform(panel, images, monkeypatch):
    registered = registration(reasons=("bone edges agree",), warnings=("the side cannot be told",))
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registered)
    voxels_before = images[1].GetImageData()
    choose(panel, images)
    press(panel.ui.registerButton)
    transform = images[1].GetParentTransformNode()
    assert np.allclose(node_to_rigid(transform), TRUTH, atol=1e-12)
    assert transform.GetName() == "T1 of P to CT of P"
    assert images[1].GetImageData() is voxels_before
    assert images[0].GetParentTransformNode() is None
    text = panel.ui.registrationLabel.text
    assert "Accepted" in text
    assert "0.6 mm" in text
    assert "bone edges agree" in text
    assert "the side cannot be told" in text
    assert "the side cannot be told" in transform.GetDescription()
    assert panel.ui.workArea.enabled
    assert not panel.ui.cancelButton.enabled


def test_ct_under_a_transform_takes_the_mr_along(panel, images, session, monkeypatch):
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    moved = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "table")
    images[0].SetAndObserveTransformNodeID(moved.GetID())
    choose(panel, images)
    press(panel.ui.registerButton)
    assert images[1].GetParentTransformNode().GetParentTransformNode() is moved


def test_a_rejected_registration_moves_nothing_and_says_so(panel, images, session, monkeypatch):
    fake = registration(Verdict.REJECTED, ("the images show different bodies",), None)
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", fake)
    choose(panel, images)
    press(panel.ui.registerButton)
    assert images[1].GetParentTransformNode() is None
    assert "Rejected: the images show different bodies" in panel.ui.registrationLabel.text
    kept = nodes_of_class(session.scene, "vtkMRMLLinearTransformNode")
    assert [n.GetName() for n in kept] == ["T1 of P to CT of P (rejected)"]


def test_a_verdict_does_not_outlive_its_images(panel, images, session, monkeypatch):
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    choose(panel, images)
    press(panel.ui.registerButton)
    other = volume_to_node(session.scene, small_volume(Modality.MR, "T2 of P"))
    panel.ui.mrSelector.setCurrentNode(other)
    assert panel.ui.registrationLabel.text == "Not registered yet."


def test_a_verdict_stays_while_another_module_is_shown(panel, images, monkeypatch):
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    choose(panel, images)
    press(panel.ui.registerButton)
    panel.exit()
    panel.enter()
    assert "Accepted" in panel.ui.registrationLabel.text


def test_a_scene_closed_meanwhile_stops_the_work(panel, images, session, shown_errors, monkeypatch):
    def register_rigid(fixed, moving, *, progress, **_):
        session.scene.Clear(0)
        return registration()(fixed, moving, progress=lambda *_: None)

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    choose(panel, images)
    press(panel.ui.registerButton)
    assert shown_errors == []
    assert "Stopped" in panel.ui.statusLabel.text
    assert nodes_of_class(session.scene, "vtkMRMLLinearTransformNode") == []


def test_registering_again_leaves_one_transform(panel, images, session, monkeypatch):
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    choose(panel, images)
    press(panel.ui.registerButton)
    press(panel.ui.registerButton)
    assert len(nodes_of_class(session.scene, "vtkMRMLLinearTransformNode")) == 1


def test_registering_again_takes_away_one_that_bent(panel, images, session, monkeypatch):
    """A registration bone by bone is a grid transform."""
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    bent = session.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "T1 of P to CT of P")
    bent.SetAttribute(ROLE_ATTRIBUTE, "registration")
    bent.SetNodeReferenceID("fixed", images[0].GetID())
    bent.SetNodeReferenceID("moving", images[1].GetID())
    other = session.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "of the user")
    choose(panel, images)
    press(panel.ui.registerButton)
    assert nodes_of_class(session.scene, "vtkMRMLGridTransformNode") == [other]
    assert len(nodes_of_class(session.scene, "vtkMRMLLinearTransformNode")) == 1


def test_bone_by_bone_waits_for_bones_and_replaces_all_its_nodes(panel, images, session, monkeypatch):
    ct = small_volume(Modality.CT, "CT of P")
    bones = Segmentation(
        ct.with_voxels((ct.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL),
        (Segment(22, "L3", "vertebra"),),
    )

    def register_piecewise(fixed, moving, labels, *, progress, **_):
        assert (fixed.name, moving.name) == ("CT of P", "T1 of P")
        assert [s.name for s in labels.segments] == ["L3"]
        progress(0.5, "half")
        placed = (BonePose("L3", TRUTH, Verdict.ACCEPTED), BonePose("L4", None, Verdict.REJECTED, ("out of view",)))
        bent = BendingMap(PolyrigidMap.of_poses(labels, {"L3": TRUTH}, TRUTH), ct_is_fixed=True)
        return RegistrationResult("piecewise", TRUTH, Verdict.ACCEPTED, (), bones=placed, bending=bent)

    replace_function(monkeypatch, "MSKFusionLib.registration.register_piecewise", register_piecewise)
    choose(panel, images)
    panel.ui.methodComboBox.currentIndex = 1
    assert not panel.ui.registerButton.enabled
    assert "bones" in panel.ui.registerButton.toolTip
    node = segmentation_to_node(session.scene, bones, "bones of P")
    panel.ui.bonesSelector.setCurrentNode(node)
    assert panel.ui.registerButton.enabled
    for _ in range(2):
        press(panel.ui.registerButton)
        (grid,) = nodes_of_class(session.scene, "vtkMRMLGridTransformNode")
        (bone,) = nodes_of_class(session.scene, "vtkMRMLLinearTransformNode")
        assert images[1].GetParentTransformNode() is grid
        assert bone.GetNodeReference("moving") is images[1]
        assert "not placed: L4" in panel.ui.registrationLabel.text
    panel.ui.methodComboBox.currentIndex = 0
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    press(panel.ui.registerButton)
    assert nodes_of_class(session.scene, "vtkMRMLGridTransformNode") == []
    assert len(nodes_of_class(session.scene, "vtkMRMLLinearTransformNode")) == 1


def test_segment_adds_named_bones_on_the_ct(panel, images, session, monkeypatch):
    hints = []

    def segment_bones_ct(ct, *, level_hint, progress):
        hints.append(level_hint)
        labels = ct.with_voxels((ct.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL)
        return Segmentation(labels, (Segment(22, "L3", "vertebra"),), ("named from the user's level",))

    replace_function(monkeypatch, "MSKFusionLib.segmentation.segment_bones_ct", segment_bones_ct)
    choose(panel, images)
    press(panel.ui.segmentButton)
    panel.ui.levelComboBox.currentText = "L3"
    press(panel.ui.segmentButton)
    assert hints == [None, LevelHint("L3", "lowest")]
    node, second = nodes_of_class(session.scene, "vtkMRMLSegmentationNode")
    assert node.GetName() == "CT of P bones"
    assert second.GetName() != node.GetName(), "the first may hold the user's edits, and is left alone"
    assert node.GetSegmentation().GetNthSegment(0).GetName() == "L3"
    assert "1 vertebrae wholly in view: L3. named from the user's level" in panel.ui.bonesLabel.text


def test_the_spine_of_the_mr_is_a_segmentation_of_its_own(panel, images, session, monkeypatch):
    hints = []

    def segment_spine_mr(mr, *, level_hint, progress):
        assert mr.modality is Modality.MR
        hints.append(level_hint)
        labels = mr.with_voxels((mr.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL)
        return Segmentation(labels, (Segment(22, "L3", "vertebra", complete=False),), ("the canal is not seen",))

    replace_function(monkeypatch, "MSKFusionLib.segmentation.mr.segment_spine_mr", segment_spine_mr)
    assert not panel.ui.segmentMrButton.enabled
    choose(panel, images)
    panel.ui.levelComboBox.currentText = "L3"
    press(panel.ui.segmentMrButton)
    assert hints == [LevelHint("L3", "lowest")]
    (node,) = nodes_of_class(session.scene, "vtkMRMLSegmentationNode")
    assert node.GetName() == "T1 of P spine"
    assert panel.ui.mrLabelsLabel.text == "Found: L3. the canal is not seen."
    panel.ui.mrSelector.setCurrentNode(None)
    assert panel.ui.mrLabelsLabel.text == "No MR segmented yet."


def test_an_error_is_shown_in_words_and_changes_nothing(panel, images, shown_errors, monkeypatch):
    def register_rigid(fixed, moving, **_):
        raise InputError("the CT and the MR show no bone in common", "Choose images of one region.", where="CT of P")

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    choose(panel, images)
    nodes_before = panel.parent.mrmlScene().GetNumberOfNodes()
    press(panel.ui.registerButton)
    assert panel.ui.statusLabel.text.startswith("CT of P: the CT and the MR show no bone in common.")
    assert len(shown_errors) == 1
    assert "no bone in common" in shown_errors[0]
    assert panel.parent.mrmlScene().GetNumberOfNodes() == nodes_before
    assert panel.ui.registerButton.enabled
    assert panel.ui.workArea.enabled


def test_cancel_stops_the_work_without_an_error(panel, images, shown_errors, monkeypatch):
    def register_rigid(fixed, moving, *, progress, **_):
        progress(0.1, "first")
        assert panel.ui.cancelButton.enabled
        assert not panel.ui.workArea.enabled, "nothing can be pressed meanwhile"
        assert panel.ui.statusLabel.text == "first"
        panel.ui.cancelButton.click()
        with pytest.raises(Cancelled):
            progress(0.2, "second")
        raise Cancelled

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    choose(panel, images)
    press(panel.ui.registerButton)
    assert "Stopped" in panel.ui.statusLabel.text
    assert shown_errors == []
    assert images[1].GetParentTransformNode() is None


def test_closing_the_scene_leaves_no_stale_observer(panel, images, session, monkeypatch):
    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", registration())
    choose(panel, images)
    press(panel.ui.registerButton)
    old = panel.logic.getParameterNode().parameterNode
    session.scene.Clear(0)
    assert panel.ui.registrationLabel.text == "Not registered yet."
    assert not panel.ui.registerButton.enabled
    assert panel.ui.ctSelector.currentNode() is None
    observed = [o[0] for o in panel.Observations]
    assert old is panel.logic.getParameterNode().parameterNode or not old.HasObserver("ModifiedEvent")
    assert len(observed) == 4, "three of the scene, one of the parameter node"
    session.close_panel(panel)
    assert panel.Observations == []
    if source_folder() is None:  # Slicer's own wrapper observes its node as long as it lives
        assert not panel.logic.getParameterNode().parameterNode.HasObserver("ModifiedEvent")
