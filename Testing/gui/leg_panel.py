"""MSK Planner's panel on a leg whose bones are bars: its scene, the layout of the application, and the first cut."""

from __future__ import annotations

import pytest
import slicer
from core.leg_case import leg_case, leg_images

from harness.helpers import press, replace_function
from MSKFusionLib.mrml import segmentation_to_node, volume_to_node


@pytest.fixture(name="layout")
def layout_fixture(session):
    """The application's layout as its own logic keeps it, with the nodes of the views."""
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(session.scene)
    logic.GetLayoutNode().SetViewArrangement(logic.GetLayoutNode().SlicerLayoutFourUpView)
    yield logic.GetLayoutNode()
    logic.SetMRMLScene(None)


@pytest.fixture(name="leg_inputs")
def leg_inputs_fixture(session, monkeypatch):
    """CT and bones of the leg in the scene; a plan on them has the leg measured."""
    replace_function(monkeypatch, "MSKPlannerLib.pipeline.empty_case", leg_case)
    return add_leg(session.scene)


def add_leg(scene):
    """Put CT and bones of the leg into a scene."""
    ct, bones = leg_images()
    return volume_to_node(scene, ct), segmentation_to_node(scene, bones, "Bones of a leg")


def choose_bone(panel, bone):
    """Choose the bone that is cut."""
    box = panel.cutUi.cutBoneComboBox
    box.currentIndex = [box.itemText(n) for n in range(box.count)].index(bone)


def add_cut(panel, bone):
    """Choose a bone and cut it."""
    choose_bone(panel, bone)
    press(panel.cutUi.addCutButton)
