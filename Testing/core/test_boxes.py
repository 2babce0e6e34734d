"""Boxes round labels."""

import numpy as np
import pytest

from MSKFusionLib.boxes import label_boxes, mask_box, touches_border


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_every_label_in_its_box(kind):
    labels = np.zeros((6, 7, 8), dtype=kind)
    labels[1:3, 2:5, 0:4] = 2
    labels[5, 6, 7] = 200
    assert label_boxes(labels) == {
        2: (slice(1, 3), slice(2, 5), slice(0, 4)),
        200: (slice(5, 6), slice(6, 7), slice(7, 8)),
    }
    assert label_boxes(labels, 2)[2] == (slice(0, 5), slice(0, 7), slice(0, 6))
    assert label_boxes(np.zeros_like(labels)) == {}


def test_the_box_of_a_mask_stays_on_the_grid():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1:3, 2:5, 0:4] = True
    assert mask_box(mask) == (slice(1, 3), slice(2, 5), slice(0, 4))
    assert mask_box(mask, np.array([1, 5, 3])) == (slice(0, 4), slice(0, 7), slice(0, 7))
    with pytest.raises(ValueError, match="empty"):
        mask_box(mask & False)


def test_what_touches_the_border():
    assert touches_border((slice(0, 2), slice(1, 2)), (5, 5))
    assert touches_border((slice(1, 2), slice(3, 5)), (5, 5))
    assert not touches_border((slice(1, 2), slice(1, 4)), (5, 5))
