"""The zero level of a field as triangles."""

import numpy as np

from MSKFusionLib.isosurface import zero_surface


def _volume(vertices, faces):
    t = vertices[faces]
    return np.einsum("ij,ij->i", t[:, 0], np.cross(t[:, 1], t[:, 2])).sum() / 6


def test_a_ball_in_index_coordinates_faces_outward():
    centre_ijk = np.array([10.4, 11.2, 9.0])
    k, j, i = np.mgrid[:20, :23, :22]
    radius = np.sqrt((i - centre_ijk[0]) ** 2 + (j - centre_ijk[1]) ** 2 + (k - centre_ijk[2]) ** 2)
    vertices, faces = zero_surface((radius - 6.3).astype(np.float32))
    assert np.abs(np.linalg.norm(vertices - centre_ijk, axis=1) - 6.3).max() < 0.03
    assert abs(_volume(vertices - centre_ijk, faces) / (4 / 3 * np.pi * 6.3**3) - 1) < 0.02


def test_a_level_through_grid_points_makes_no_triangle_without_area():
    k, j, i = np.mgrid[:9, :9, :9]
    values = np.maximum.reduce([abs(i - 4), abs(j - 4), abs(k - 4)]) - 2.0
    before = values.copy()
    vertices, faces = zero_surface(values)
    t = vertices[faces]
    assert np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1).min() > 1e-9
    assert np.array_equal(values, before)


def test_nothing_inside_gives_no_triangles():
    vertices, faces = zero_surface(np.ones((4, 4, 4), dtype=np.float32))
    assert vertices.shape == (0, 3)
    assert faces.shape == (0, 3)
