"""Surfaces of labels alone on faces along the slices and across them, against the plane that was rasterised."""

import numpy as np
import pytest

from MSKFusionLib.frames import rotation_about
from MSKFusionLib.volume import Modality, Volume
from MSKPlannerLib.bone.smooth_bone import SmoothBone
from MSKPlannerLib.bone.terraces import USUAL_DOUBT_MM, sure_bone, terrace_doubt_mm

SPACING = np.array([0.7, 0.7, 1.0])
HALF = np.array([14.0, 12.0, 7.0])
UNDER_MM = 0.7


def too_deep_mm(tilt_deg, offsets_mm):
    """Return how much too deep (label, sure bone) places under both broad faces of a block are said to lie, and the most moved."""
    turn = rotation_about([1, 0, 0], tilt_deg) @ rotation_about([0, 1, 0], 0.6 * tilt_deg)
    count = np.array([54, 48, 28])
    origin = -(count - 1) / 2 * SPACING
    k, j, i = np.indices(count[::-1])
    centres = np.stack([i, j, k], axis=-1) * SPACING + origin
    grid = Volume(np.zeros(count[::-1], np.uint8), origin, SPACING, np.eye(3), modality=Modality.LABEL)
    across = np.random.default_rng(0).uniform(-1, 1, (300, 2)) * (HALF[:2] - 4.0)
    places = np.concatenate([np.column_stack([across, np.full(300, s * (HALF[2] - UNDER_MM))]) for s in (1, -1)])
    label, sure, most = [], [], []
    for offset_mm in offsets_mm:
        middle = np.array([0.0, 0.0, offset_mm])
        smooth = SmoothBone.of_mask(grid, (np.abs((centres - middle) @ turn) < HALF).all(axis=-1))
        moved, most_mm = sure_bone(smooth)
        at = places @ turn.T + middle
        label.append(smooth.field().depth_mm(at) - UNDER_MM)
        sure.append(moved.field().depth_mm(at) - UNDER_MM)
        most.append(most_mm)
    return np.concatenate(label), np.concatenate(sure), max(most)


def test_bone_that_slices_do_not_tell_is_not_counted():
    label, sure, most_mm = too_deep_mm(3.0, (0.0, 0.35, 0.7))
    # A terrace is 20 mm long here: within a slice's thickness the label alone may lie anywhere.
    assert np.percentile(label, 95) > USUAL_DOUBT_MM + 0.15
    assert np.percentile(sure, 95) < USUAL_DOUBT_MM + 0.08
    assert np.all(sure < label + 0.02)
    assert 0.1 < most_mm < 0.3


def test_what_many_slices_cut_stays_where_it_was():
    label, sure, _ = too_deep_mm(25.0, (0.2,))
    assert np.abs(label).max() < USUAL_DOUBT_MM
    assert np.abs(sure - label).max() < 0.03


def test_the_doubt_grows_with_the_voxel_and_with_the_length_of_the_terrace():
    tilt = np.radians([1.0, 5.0, 10.0, 20.0, 40.0])
    faces = np.stack([np.sin(tilt), np.zeros(5), np.cos(tilt)], axis=-1)
    doubt = terrace_doubt_mm(faces, np.array([1.0, 1.0, 1.0]))
    assert np.all(np.diff(doubt) <= 1e-9)
    assert doubt[0] > 2 * doubt[-1]
    assert np.all(terrace_doubt_mm(faces, np.full(3, 0.5)) < doubt)
    # Nowhere more than of a place that may be anywhere in a voxel.
    assert doubt.max() <= 1.645 * 0.29
    assert terrace_doubt_mm(faces, np.full(3, 3.0))[0] == pytest.approx(1.645 * 0.29 * 3.0)
