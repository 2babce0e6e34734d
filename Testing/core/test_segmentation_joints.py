"""Joints cut at the image's own resolution: a facet that went to the neighbour comes back."""

import numpy as np
import pytest
from scipy import ndimage

from MSKFusionLib.segmentation.joints import recut_joints

SPACING = np.array([1.0, 0.7, 0.7])


def _two_facets():
    """Two vertebrae, each with a facet beside the other's, a joint of 1.4 mm between; 1 above, 2 below."""
    truth = np.zeros((60, 60, 60), np.uint8)
    truth[38:56, 10:50, 10:50] = 1
    truth[4:22, 10:50, 10:50] = 2
    truth[25:38, 20:40, 20:29] = 1  # the upper one's facet reaches down
    truth[22:35, 20:40, 31:40] = 2  # the lower one's reaches up
    solid = [ndimage.binary_erosion(truth == value, iterations=2) for value in (1, 2)]
    hu = np.where(truth > 0, 600.0, 50.0) - 430.0 * (solid[0] | solid[1])
    hu = ndimage.gaussian_filter(hu, 0.5 / SPACING) + np.random.default_rng(0).normal(0, 20, truth.shape)
    return truth, hu.astype(np.float32)


@pytest.mark.parametrize("thief", [1, 2])
def test_a_stolen_facet_comes_back(thief):
    truth, hu = _two_facets()
    wrong = truth.copy()
    # The half of the other's facet that lies nearest to the joint, over its whole height.
    stolen = np.zeros(truth.shape, bool)
    stolen[25:35, 20:40, 25:35] = True
    wrong[stolen & (truth > 0)] = thief
    assert np.count_nonzero(wrong != truth) > 300
    found = recut_joints(wrong, hu, SPACING, [1, 2])
    assert np.count_nonzero(found != truth) < 0.02 * np.count_nonzero(truth)
    assert np.count_nonzero(found != truth) < 0.1 * np.count_nonzero(wrong != truth)


def test_right_labels_stay_right():
    truth, hu = _two_facets()
    found = recut_joints(truth, hu, SPACING, [1, 2])
    assert np.count_nonzero(found != truth) < 0.005 * np.count_nonzero(truth)
    assert np.array_equal(found > 0, truth > 0)


def test_vertebrae_that_do_not_touch_are_left_alone():
    labels = np.zeros((30, 20, 20), np.uint8)
    labels[2:8, 4:16, 4:16] = 2
    labels[20:28, 4:16, 4:16] = 1
    hu = np.where(labels > 0, 500.0, 40.0).astype(np.float32)
    assert np.array_equal(recut_joints(labels, hu, SPACING, [1, 2, 3]), labels)
