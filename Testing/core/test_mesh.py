"""Meshes: geometry against closed forms, edges, bodies, polydata."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh, joined, sphere_mesh
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import GeometryError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.mesh import Mesh, body_labels, merge_vertices, split_bodies

sizes = st.tuples(*[st.floats(0.5, 80.0)] * 3)
places = st.tuples(*[st.floats(-500.0, 500.0)] * 3)


@settings(max_examples=30, deadline=None)
@given(sizes, places, st.floats(-180, 180))
def test_volume_and_area_of_a_box_anywhere(size, centre, angle):
    mesh = box_mesh(size, centre).transformed(rigid(rotation_about([1, 2, 3], angle)))
    a, b, c = size
    assert mesh.volume_mm3 == pytest.approx(a * b * c, rel=1e-9)
    assert mesh.area_mm2 == pytest.approx(2 * (a * b + b * c + c * a), rel=1e-9)
    assert mesh.is_closed


def test_mirroring_keeps_the_faces_outward():
    mesh = box_mesh().transformed(np.diag([-1.0, 1, 1, 1]))
    assert mesh.volume_mm3 == pytest.approx(6000.0)
    assert mesh.is_closed


def test_polydata_and_back_is_exact():
    mesh = sphere_mesh(17.0, (400.1, -3.7, 1000.3))
    back = Mesh.from_polydata(mesh.to_polydata())
    assert np.array_equal(back.vertices_ras, mesh.vertices_ras)
    assert np.array_equal(back.faces, mesh.faces)


def test_edges_tell_what_is_broken():
    box = box_mesh()
    assert box.edge_counts.open == box.edge_counts.crowded == box.edge_counts.same_way == 0
    hole = Mesh(box.vertices_ras, box.faces[1:])
    assert hole.edge_counts.open == 3
    assert not hole.is_closed
    turned = box.faces.copy()
    turned[0] = turned[0, ::-1]
    assert Mesh(box.vertices_ras, turned).edge_counts.same_way == 3
    fin = Mesh(np.vstack([box.vertices_ras, [[0, 0, 99.0]]]), np.vstack([box.faces, [*box.faces[0, :2], 8]]))
    assert fin.edge_counts.crowded == 1
    assert not Mesh(np.empty((0, 3)), np.empty((0, 3))).is_closed


def test_bodies_are_split_and_sorted_by_size():
    both = joined(sphere_mesh(3.0), sphere_mesh(9.0, (40, 0, 0)))
    assert body_labels(both)[1] == 2
    large, small = split_bodies(both)
    assert large.volume_mm3 > small.volume_mm3
    assert large.is_closed
    assert small.is_closed


def test_a_soup_of_triangles_becomes_the_mesh_again():
    sphere = sphere_mesh(12.0)
    soup = Mesh(sphere.triangles_ras.reshape(-1, 3), np.arange(3 * len(sphere.faces)).reshape(-1, 3))
    merged = merge_vertices(soup)
    assert len(merged.vertices_ras) == len(sphere.vertices_ras)
    assert merged.is_closed
    assert merged.volume_mm3 == pytest.approx(sphere.volume_mm3)


@pytest.mark.parametrize("faces", [[[0, 1, 8]], [[0, 1, -1]], [[0, 1, 2, 3]]])
def test_faces_that_do_not_fit_are_refused(faces):
    with pytest.raises(GeometryError):
        Mesh(np.zeros((8, 3)), np.array(faces))
