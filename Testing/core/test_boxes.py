"""Boxes round labels."""

import numpy as np
import pytest

from MSKFusionLib.boxes import label_boxes, mask_box, touches_border
from MSKFusionLib.errors import InputError
from MSKFusionLib.segmentation.labels import Segment, Segmentation
from MSKFusionLib.volume import Modality, Volume


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


def test_the_labels_around_a_segment_keep_their_places():
    voxels = np.zeros((20, 21, 22), dtype=np.uint8)
    voxels[8:10, 2:5, 10:14] = 20
    voxels[10:12, 2:5, 10:14] = 21
    labels = Volume(voxels, np.array([5.0, 6.0, 7.0]), np.array([1.0, 0.5, 2.0]), np.eye(3), Modality.LABEL, "labels")
    bones = Segmentation(labels, (Segment(20, "L1"), Segment(21, "L2"), Segment(22, "L3")))
    part = bones.around("L1", 3.0)
    assert part.shape_ijk == (4 + 2 * 3, 5 + 6, 2 + 2 * 2), "rounded up to whole voxels, and no farther than the grid"
    assert part.origin_ras.tolist() == [5.0 + 7, 6.0, 7.0 + 2 * 6]
    assert np.array_equal(part.voxels, voxels[6:12, 0:11, 7:17])
    with pytest.raises(InputError, match="'L3' has no voxels"):
        bones.around("L3", 3.0)


def test_what_touches_the_border():
    assert touches_border((slice(0, 2), slice(1, 2)), (5, 5))
    assert touches_border((slice(1, 2), slice(3, 5)), (5, 5))
    assert not touches_border((slice(1, 2), slice(1, 4)), (5, 5))
