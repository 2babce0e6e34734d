"""MSK Fusion's panel with a CT and an MR of a few voxels, whose true transform is known."""

from __future__ import annotations

import pytest

from harness.helpers import small_volume
from MSKFusionLib.frames import rigid, rotation_about
from MSKFusionLib.mrml import volume_to_node
from MSKFusionLib.volume import Modality

TRUTH = rigid(rotation_about([1, 2, 3], 20.0), [4.0, -5.0, 6.0])


@pytest.fixture(name="panel")
def panel_fixture(session):
    return session.open_panel("MSKFusion")


@pytest.fixture(name="images")
def images_fixture(session):
    """CT and MR, in the scene and not chosen."""
    ct = volume_to_node(session.scene, small_volume(Modality.CT, "CT of P"))
    return ct, volume_to_node(session.scene, small_volume(Modality.MR, "T1 of P"))


@pytest.fixture(name="pair")
def pair_fixture(panel, images):
    """CT and MR, chosen in the panel."""
    choose(panel, images)
    return images


def choose(panel, pair):
    """Choose both images in the panel."""
    panel.ui.ctSelector.setCurrentNode(pair[0])
    panel.ui.mrSelector.setCurrentNode(pair[1])
