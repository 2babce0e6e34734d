"""MSK Fusion's panel: looking at a registration, moving it by hand, deciding; landmarks, levels by a click, networks."""

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
from MSKFusionLib.frames import invert_rigid, rigid, rotation_about, transform_points
from MSKFusionLib.mrml import (
    node_to_rigid,
    node_to_segmentation,
    node_to_world_ras,
    segmentation_to_node,
    volume_to_node,
)
from MSKFusionLib.mrml.between import moving_on_fixed, rigid_between
from MSKFusionLib.mrml.nudge import nudge_of
from MSKFusionLib.mrml.transforms import to_vtk_matrix
from MSKFusionLib.registration.expected_error import Refits
from MSKFusionLib.registration.result import BonePose, RegistrationResult, Verdict
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume

HAND = rigid(rotation_about([0, 0, 1], 10.0), [3.0, 0.0, 4.0])


@pytest.fixture
def layers(session):
    """What the red slice view shows."""
    import slicer

    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName("Red")
    return session.scene.AddNode(node)


@pytest.fixture
def starts(monkeypatch):
    """The starts that registrations were given; each ends at the truth."""
    given = []

    def register_rigid(fixed, moving, *, start_ras, landmarks, progress):
        given.append((start_ras, landmarks))
        refits = Refits.__new__(Refits)
        return RegistrationResult("rigid", TRUTH, Verdict.ACCEPTED, (), expected_error_mm=0.6, refits=refits)

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    return given


def move_by_hand(mr, matrix=HAND):
    """Do what dragging the handles does: turn about the handles' middle, then move."""
    nudge_of(mr).SetMatrixTransformToParent(to_vtk_matrix(matrix))


def test_nothing_can_be_checked_before_there_are_images(panel):
    ui = panel.checkUi
    assert ui.checkCollapsibleButton.collapsed
    for widget in (ui.lookComboBox, ui.lookSlider, ui.nudgeButton, ui.againButton, ui.acceptButton, ui.rejectButton):
        assert not widget.enabled


def test_the_slider_blends_the_mr_into_the_ct(panel, pair, layers):
    ui = panel.checkUi
    assert layers.GetBackgroundVolumeID() is None, "the views are left alone until they are asked for"
    ui.lookSlider.value = 30.0
    assert (layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID()) == (pair[0].GetID(), pair[1].GetID())
    assert layers.GetForegroundOpacity() == pytest.approx(0.3)


def choose_look(panel, index):
    panel.checkUi.lookComboBox.currentIndex = index
    panel.checkUi.lookComboBox.activated.emit(index)


def test_the_checkerboard_has_squares_of_both_and_goes_again(panel, pair, layers, session):
    before = session.scene.GetNumberOfNodes()
    choose_look(panel, 1)
    board = session.scene.GetNodeByID(layers.GetBackgroundVolumeID())
    assert board.GetHideFromEditors()
    assert not board.GetSaveWithScene()
    assert panel.checkUi.lookSlider.value == 20.0
    choose_look(panel, 0)
    assert session.scene.GetNumberOfNodes() == before
    assert layers.GetBackgroundVolumeID() == pair[0].GetID()


def test_outlines_need_bones_and_give_their_fill_back(panel, pair, layers, session):
    choose_look(panel, 2)
    assert "bones" in panel.checkUi.lookLabel.text
    ct = small_volume(Modality.CT, "CT of P")
    labels = Segmentation(
        ct.with_voxels((ct.voxels > 100).astype(np.uint8) * 22, modality=Modality.LABEL),
        (Segment(22, "L3", "vertebra"),),
    )
    bones = segmentation_to_node(session.scene, labels, "Bones")
    fill = bones.GetDisplayNode().GetOpacity2DFill()
    panel.logic.getParameterNode().bonesSegmentation = bones
    choose_look(panel, 2)
    assert layers.GetBackgroundVolumeID() == pair[1].GetID()
    assert bones.GetDisplayNode().GetOpacity2DFill() == 0.0
    assert bones.GetDisplayNode().GetVisibility2D()
    choose_look(panel, 0)
    assert bones.GetDisplayNode().GetOpacity2DFill() == fill


def test_the_error_map_belongs_to_the_registration_of_this_session(panel, pair, layers, session, starts, monkeypatch):
    choose_look(panel, 3)
    assert "accepted by its own check" in panel.checkUi.lookLabel.text

    def error_map(self, fixed, step_mm):
        return fixed.with_voxels(
            np.linspace(0.4, 2.0, fixed.voxels.size).reshape(fixed.voxels.shape), modality=Modality.UNKNOWN
        )

    monkeypatch.setattr(Refits, "error_map", error_map)
    press(panel.ui.registerButton)
    choose_look(panel, 3)
    assert "0.4" in panel.checkUi.lookLabel.text
    assert "2.0 mm" in panel.checkUi.lookLabel.text
    shown = session.scene.GetNodeByID(layers.GetForegroundVolumeID())
    assert shown.GetImageData().GetScalarRange() == pytest.approx((0.4, 2.0))
    press(panel.checkUi.nudgeButton)
    move_by_hand(pair[1])
    choose_look(panel, 3)
    assert "not moved by hand" in panel.checkUi.lookLabel.text


def test_a_move_by_hand_is_said_and_registering_goes_on_from_there(panel, pair, session, starts):
    ct, mr = pair
    ui = panel.checkUi
    press(panel.ui.registerButton)
    first = mr.GetParentTransformNode()
    assert not ui.checkCollapsibleButton.collapsed, "what is to be looked at next is open"
    press(ui.nudgeButton)
    hand = nudge_of(mr)
    assert hand.GetDisplayNode().GetEditorVisibility()
    assert not hand.GetDisplayNode().GetEditorScalingEnabled()
    assert not ui.againButton.enabled, "nothing was moved yet"
    centre = np.array(hand.GetCenterOfTransformation())
    move_by_hand(mr)
    moved_mm = np.linalg.norm(transform_points(HAND, centre) - centre)
    assert f"{moved_mm:.1f} mm, 10.0°" in ui.nudgeLabel.text
    assert mr.GetParentTransformNode() is first, "what was registered stays as it was"
    assert np.allclose(node_to_rigid(first), TRUTH)
    world = node_to_world_ras(mr)
    assert np.allclose(world, HAND @ invert_rigid(TRUTH))
    assert np.allclose(rigid_between(ct, mr), invert_rigid(world), atol=1e-9)
    press(ui.againButton)
    assert np.allclose(starts[-1][0], invert_rigid(world), atol=1e-9)
    assert nudge_of(mr) is None, "what the hand moved is in the new result"
    assert len(nodes_of_class(session.scene, "vtkMRMLLinearTransformNode")) == 1
    assert ui.nudgeLabel.text == ""


def test_a_move_by_hand_can_be_taken_back(panel, pair, session):
    _ct, mr = pair
    press(panel.checkUi.nudgeButton)
    move_by_hand(mr)
    press(panel.checkUi.backButton)
    assert mr.GetParentTransformNode() is None
    assert nodes_of_class(session.scene, "vtkMRMLLinearTransformNode") == []
    assert not panel.checkUi.nudgeButton.checked


def test_handles_that_moved_nothing_leave_nothing(panel, pair, session):
    press(panel.checkUi.nudgeButton)
    press(panel.checkUi.nudgeButton)
    assert nodes_of_class(session.scene, "vtkMRMLLinearTransformNode") == []


def test_a_move_by_hand_that_somebody_deletes_is_no_more(panel, pair, session):
    press(panel.checkUi.nudgeButton)
    move_by_hand(pair[1])
    session.scene.RemoveNode(nudge_of(pair[1]))
    session.application.processEvents()
    assert not panel.checkUi.nudgeButton.checked
    assert panel.checkUi.nudgeLabel.text == ""
    assert pair[1].GetParentTransformNode() is None


def test_rejecting_puts_the_mr_back_where_it_was(panel, pair, session, starts):
    _ct, mr = pair
    table = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "of the user")
    mr.SetAndObserveTransformNodeID(table.GetID())
    press(panel.ui.registerButton)
    press(panel.ui.registerButton)
    press(panel.checkUi.rejectButton)
    assert mr.GetParentTransformNode() is table
    assert "rejected" in panel.checkUi.decisionLabel.text
    press(panel.checkUi.acceptButton)
    assert np.allclose(node_to_rigid(mr.GetParentTransformNode()), TRUTH)
    assert panel.checkUi.decisionLabel.text == "You accepted it."


def test_a_decision_does_not_outlive_what_it_was_on(panel, pair, starts):
    press(panel.ui.registerButton)
    press(panel.checkUi.acceptButton)
    press(panel.checkUi.nudgeButton)
    move_by_hand(pair[1])
    assert panel.checkUi.decisionLabel.text == ""


def test_accepting_against_the_check_says_so(panel, pair, monkeypatch):
    def register_rigid(fixed, moving, **_):
        return RegistrationResult("rigid", TRUTH, Verdict.REJECTED, ("the images show different bodies",))

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    press(panel.ui.registerButton)
    assert pair[1].GetParentTransformNode() is None
    press(panel.checkUi.acceptButton)
    assert np.allclose(node_to_rigid(pair[1].GetParentTransformNode()), TRUTH)
    assert "against its own check" in panel.checkUi.decisionLabel.text


def test_sampling_through_the_scene_is_where_the_truth_says(session):
    """A ramp along one axis tells where each voxel was taken from."""
    fixed = Volume(
        np.zeros((6, 7, 8), np.int16), np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]), np.eye(3), name="F"
    )
    grid = np.indices((40, 40, 40)).astype(np.float32)
    moving = Volume(grid[2] * 2.0 + grid[1] * 3.0 - grid[0], np.array([-20.0] * 3), np.ones(3), np.eye(3), name="M")
    nodes = [volume_to_node(session.scene, v) for v in (fixed, moving)]
    under = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    under.SetMatrixTransformFromParent(to_vtk_matrix(TRUTH))
    nodes[1].SetAndObserveTransformNodeID(under.GetID())
    found = moving_on_fixed(*nodes)
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in (6, 7, 8)), indexing="ij"), -1)[..., ::-1]
    r, a, s = np.moveaxis(transform_points(TRUTH, ijk * 2.0 + [1.0, 2.0, 3.0]) + 20.0, -1, 0)
    inside = np.isfinite(found)
    assert inside.any()
    within = (np.stack([r, a, s]).min(axis=0) > 0.01) & (np.stack([r, a, s]).max(axis=0) < 38.99)
    assert inside[within].all()
    assert np.allclose(found[within], (2 * r + 3 * a - s)[within], atol=1e-3)


def placed_list(session, name, points):
    node = session.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for label, point in points.items():
        node.AddControlPoint(vtk.vtkVector3d(*point), label)
    return node


def test_landmarks_are_given_to_the_registration_in_the_images_own_frames(panel, pair, session, starts):
    _ct, mr = pair
    points = {"a": [0.0, 0.0, 0.0], "b": [40.0, 0.0, 0.0], "c": [0.0, 30.0, 0.0]}
    table = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "of the user")
    table.SetMatrixTransformToParent(to_vtk_matrix(HAND))
    mr.SetAndObserveTransformNodeID(table.GetID())
    fixed = placed_list(session, "CT landmarks", points)
    moving = placed_list(
        session, "MR landmarks", {n: transform_points(HAND, transform_points(TRUTH, p)) for n, p in points.items()}
    )
    panel.ui.ctLandmarksWidget.setCurrentNode(fixed)
    panel.ui.mrLandmarksWidget.setCurrentNode(moving)
    node = panel.logic.getParameterNode()
    assert (node.ctLandmarks, node.mrLandmarks) == (fixed, moving)
    press(panel.ui.registerButton)
    marks = starts[-1][1]
    assert marks.names == ("a", "b", "c")
    assert np.allclose(marks.moving_ras, transform_points(TRUTH, marks.fixed_ras))
    assert "3 landmarks: 0.0 mm apart" in panel.ui.registrationLabel.text
    press(panel.checkUi.nudgeButton)
    move_by_hand(mr)
    press(panel.checkUi.againButton)
    assert np.allclose(starts[-1][1].moving_ras, marks.moving_ras), "they lie in the image, wherever it was moved"
    press(panel.checkUi.rejectButton)
    assert mr.GetParentTransformNode() is moving.GetParentTransformNode() is table


def test_points_are_placed_removed_and_renamed_in_the_panel(panel, pair, session):
    import slicer

    widget = panel.ui.mrLandmarksWidget
    node = widget.markupsSelectorComboBox().addNode()
    assert node.GetName() == "MR landmarks"
    place = widget.markupsPlaceWidget()
    press(place.placeButton())
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    node.AddControlPoint(vtk.vtkVector3d(1, 2, 3))
    node.AddControlPoint(vtk.vtkVector3d(4, 5, 6))
    widget.tableWidget().item(0, 0).setText("promontory")
    assert node.GetNthControlPointLabel(0) == "promontory"
    press(place.deleteButton())
    assert node.GetNumberOfControlPoints() == 1
    press(place.placeButton())
    assert interaction.GetCurrentInteractionMode() != interaction.Place


def test_landmarks_that_stand_alone_are_refused_in_words(panel, pair, session, starts, shown_errors):
    panel.ui.ctLandmarksWidget.setCurrentNode(placed_list(session, "CT landmarks", {"a": [0, 0, 0], "b": [1, 0, 0]}))
    press(panel.ui.registerButton)
    assert "stands in one image only" in panel.ui.statusLabel.text
    assert starts == []


def two_vertebrae(session):
    voxels = np.zeros((20, 8, 8), np.uint8)
    voxels[1:8, 1:7, 1:7], voxels[12:19, 1:7, 1:7] = 102, 101  # V1 is nearer to the head
    grid = Volume(voxels, np.zeros(3), np.ones(3), np.eye(3), modality=Modality.LABEL, name="Bones")
    labels = Segmentation(grid, (Segment(101, "V1", "vertebra"), Segment(102, "V2", "vertebra")))
    return segmentation_to_node(session.scene, labels, "Bones")


def test_clicking_one_vertebra_names_all_without_segmenting_again(panel, pair, session, shown_errors):
    bones = two_vertebrae(session)
    before = node_to_segmentation(bones).labels.voxels > 0
    panel.logic.getParameterNode().bonesSegmentation = bones
    assert not panel.ui.clickLevelButton.enabled, "its name must be known first"
    panel.ui.levelComboBox.currentText = "L4"
    press(panel.ui.clickLevelButton)
    (clicks,) = [n for n in nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") if n.GetName() == "L4"]
    clicks.AddControlPoint(vtk.vtkVector3d(4.0, 4.0, 15.0))
    session.application.processEvents()
    named = node_to_segmentation(bones)
    assert [s.name for s in named.segments] == ["L4", "L5"]
    assert ((named.labels.voxels > 0) == before).all()
    assert "L4, L5" in panel.ui.bonesLabel.text
    assert not panel.ui.clickLevelButton.checked
    assert nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") == []
    assert shown_errors == []
    press(panel.ui.clickLevelButton)
    (clicks,) = nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode")
    clicks.AddControlPoint(vtk.vtkVector3d(4.0, 4.0, 60.0))
    session.application.processEvents()
    assert "lies in no vertebra" in panel.ui.statusLabel.text
    press(panel.ui.clickLevelButton)
    press(panel.ui.clickLevelButton)
    assert nodes_of_class(session.scene, "vtkMRMLMarkupsFiducialNode") == [], "given up"


def test_a_network_finds_them_in_place_of_the_rules(panel, pair, session, monkeypatch, tmp_path, shown_errors):
    asked = []

    def segment_with_network(image, network, **keywords):
        asked.append((image.name, network))
        labels = image.with_voxels((image.voxels > 100).astype(np.uint8), modality=Modality.LABEL)
        return Segmentation(labels, (Segment(1, "sacrum", "sacrum"),))

    replace_function(monkeypatch, "MSKFusionLib.networks.segment_with_network", segment_with_network)
    panel.ui.engineComboBox.currentIndex = 2
    press(panel.ui.segmentButton)
    assert "no network is chosen" in panel.ui.statusLabel.text
    panel.ui.networkPathLineEdit.currentPath = str(tmp_path)
    press(panel.ui.segmentButton)
    panel.ui.engineComboBox.currentIndex = 1
    assert not panel.ui.networkPathLineEdit.enabled
    press(panel.ui.segmentMrButton)
    assert asked == [("CT of P", str(tmp_path)), ("T1 of P", "totalsegmentator")]
    assert panel.ui.bonesLabel.text == "Found: sacrum."


def test_the_mr_can_follow_one_bone(panel, pair, session, monkeypatch):
    bones = two_vertebrae(session)
    poses = (
        BonePose("V1", TRUTH, Verdict.ACCEPTED, expected_error_mm=0.7),
        BonePose("V2", None, Verdict.REJECTED, ("out",)),
    )

    def register_piecewise(fixed, moving, labels, **_):
        return RegistrationResult("piecewise", np.eye(4), Verdict.ACCEPTED, (), bones=poses)

    replace_function(monkeypatch, "MSKFusionLib.registration.register_piecewise", register_piecewise)
    panel.logic.getParameterNode().bonesSegmentation = bones
    panel.ui.methodComboBox.currentIndex = 1
    panel.ui.structureComboBox.currentText = "V1"
    press(panel.ui.registerButton)
    assert np.allclose(node_to_rigid(pair[1].GetParentTransformNode()), TRUTH)
    assert "0.7 mm. the whole image follows V1" in panel.ui.registrationLabel.text
    panel.ui.structureComboBox.currentText = "V2"
    press(panel.ui.registerButton)
    assert "Rejected: V2: out" in panel.ui.registrationLabel.text


def test_a_scene_closed_while_it_is_looked_at_leaves_nothing(panel, pair, layers, session, starts):
    press(panel.ui.registerButton)
    press(panel.checkUi.nudgeButton)
    choose_look(panel, 1)
    session.scene.Clear(0)
    assert not panel.checkUi.nudgeButton.checked
    assert not panel.checkUi.lookComboBox.enabled
    session.close_panel(panel)


def test_an_image_deleted_while_it_is_registered_is_said(panel, pair, session, monkeypatch, shown_errors):
    def register_rigid(fixed, moving, **_):
        session.scene.RemoveNode(pair[1])
        return RegistrationResult("rigid", TRUTH, Verdict.ACCEPTED, ())

    replace_function(monkeypatch, "MSKFusionLib.registration.register_rigid", register_rigid)
    press(panel.ui.registerButton)
    assert "deleted meanwhile" in panel.ui.statusLabel.text
    assert nodes_of_class(session.scene, "vtkMRMLTransformNode") == []
