"""Label images are counted and renumbered slice by slice as they would be at once."""

from __future__ import annotations

import numpy as np

from MSKFusionLib.label_slices import renumbered, voxel_counts


def test_all_values_are_counted_and_renumbered() -> None:
    labels = np.arange(6 * 8 * 10, dtype=np.int64).reshape(6, 8, 10).astype(np.uint8)
    assert np.array_equal(voxel_counts(labels), np.bincount(labels.ravel(), minlength=256))
    table = np.random.default_rng(0).permutation(256).astype(np.uint8)
    assert np.array_equal(renumbered(labels, table), table[labels])
