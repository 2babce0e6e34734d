"""Distances from a mask."""

import numpy as np

from MSKFusionLib.distance_map import signed_distance_mm


def test_signs_and_units_along_each_axis():
    mask = np.zeros((15, 15, 15), dtype=bool)
    mask[5:10, 5:10, 5:10] = True
    d = signed_distance_mm(mask, [0.5, 1.0, 2.0])
    assert d.dtype == np.float32
    np.testing.assert_allclose(d[2:8, 7, 7], [1.5, 1.0, 0.5, 0.0, -0.5, -1.0])
    np.testing.assert_allclose(d[7, 2:5, 7], [3.0, 2.0, 1.0])
    np.testing.assert_allclose(d[7, 7, 2:5], [6.0, 4.0, 2.0])
    np.testing.assert_allclose(d[4, 4, 4], np.sqrt(0.25 + 1 + 4), rtol=1e-6)


def test_far_from_nothing():
    assert np.all(signed_distance_mm(np.zeros((3, 4, 5), dtype=bool), np.ones(3)) == np.inf)
