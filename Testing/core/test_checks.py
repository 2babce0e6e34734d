"""Mesh checks: every kind of broken mesh is recognised, sound ones pass, walls have the thickness they were made with."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh, joined, sphere_mesh

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.guides.checks import check_mesh, failed
from MSKPlannerLib.guides.intersections import self_intersections
from MSKPlannerLib.guides.presets import load_guide_options, load_printer
from MSKPlannerLib.guides.thickness import wall_thickness
from MSKPlannerLib.mesh import Mesh


def names(mesh, **keywords):
    return {c.name for c in failed(check_mesh(mesh, **keywords))}


def turned(mesh):
    return Mesh(mesh.vertices_ras, mesh.faces[:, ::-1])


def tube(outer, inner, length, sections=96):
    """A tube with a bore through it."""
    import trimesh

    t = trimesh.creation.annulus(inner, outer, length, sections=sections)
    return Mesh(np.asarray(t.vertices), np.asarray(t.faces))


@pytest.mark.parametrize("mesh", [box_mesh(), sphere_mesh(), tube(5.0, 3.0, 20.0)], ids=["box", "sphere", "tube"])
def test_sound_solids_pass(mesh):
    checks = check_mesh(mesh)
    assert not failed(checks)
    assert all(c.message for c in checks)


def test_hole():
    box = box_mesh()
    check = next(c for c in failed(check_mesh(Mesh(box.vertices_ras, box.faces[1:]))) if c.name == "closed")
    assert check.value == 3
    assert any(np.allclose(check.place_ras, v) for v in box.vertices_ras[box.faces[0]])


def test_one_triangle_turned_over():
    box = box_mesh()
    faces = box.faces.copy()
    faces[2] = faces[2, ::-1]
    assert names(Mesh(box.vertices_ras, faces)) == {"orientation"}


def test_inside_out():
    assert names(turned(sphere_mesh())) == {"orientation"}


def test_two_bodies_and_a_cavity():
    assert names(joined(sphere_mesh(5.0), sphere_mesh(5.0, (30, 0, 0)))) == {"one body"}
    shell = joined(sphere_mesh(10.0), turned(sphere_mesh(7.0)))
    cavity = next(c for c in check_mesh(shell) if c.name == "one body")
    assert not cavity.passed
    assert cavity.value == 1
    assert "cavit" in cavity.message
    # A solid inside a solid is inside out or a second body, never a cavity.
    assert names(joined(sphere_mesh(10.0), sphere_mesh(7.0))) & {"orientation", "one body"}


def test_crossing_bodies_cut_each_other():
    assert names(joined(sphere_mesh(8.0), sphere_mesh(8.0, (9, 0, 0)))) == {"one body", "self-intersection"}


def test_a_corner_pushed_through_the_other_side():
    sphere = sphere_mesh(10.0, subdivisions=3)
    points = sphere.vertices_ras.copy()
    top = int(points[:, 2].argmax())
    points[top] = [0.3, 0.2, -14.0]
    count, place = self_intersections(Mesh(points, sphere.faces))
    assert count > 0
    assert abs(place[2] + 10.0) < 1.0


def test_faces_that_lie_on_each_other():
    touching = joined(box_mesh((10, 10, 10)), box_mesh((6, 6, 6), (8, 0, 0)))
    count, _ = self_intersections(touching)
    assert count > 0
    apart = joined(box_mesh((10, 10, 10)), box_mesh((6, 6, 6), (8.01, 0, 0)))
    assert self_intersections(apart)[0] == 0


def test_a_flap_folded_flat():
    points = np.array([[0, 0, 0], [10, 0, 0], [5, 8, 0], [5, 6, 0.0]])
    assert self_intersections(Mesh(points, np.array([[0, 1, 2], [1, 0, 3]])))[0] == 1
    assert self_intersections(Mesh(points * [1, 1, 1], np.array([[0, 1, 2]])))[0] == 0


def test_edge_with_three_triangles():
    box = box_mesh()
    fin = Mesh(np.vstack([box.vertices_ras, [[0, 0, 40.0]]]), np.vstack([box.faces, [*box.faces[0, :2], 8]]))
    assert {"two-manifold", "closed"} <= names(fin)


def test_empty_and_nan():
    assert names(Mesh(np.empty((0, 3)), np.empty((0, 3)))) == {"contents"}
    points = box_mesh().vertices_ras.copy()
    points[3, 1] = np.nan
    assert names(Mesh(points, box_mesh().faces)) == {"contents"}


def test_triangle_without_area():
    box = box_mesh()
    # A corner on an edge: the triangle beside it is flat, and the mesh stays closed.
    a, b, c = box.faces[0]
    other = next(f for f in box.faces[1:] if {a, b} <= set(f))
    d = next(v for v in other if v not in (a, b))
    points = np.vstack([box.vertices_ras, (box.vertices_ras[a] + box.vertices_ras[b]) / 2])
    rest = [f for f in box.faces if f is not other and list(f) != list(other)]
    faces = np.array([*rest, [b, a, 8], [a, d, 8], [d, b, 8]])
    mesh = Mesh(points, faces)
    assert mesh.edge_counts.open == 0
    assert "degenerate triangles" in names(mesh)
    assert c != d


@pytest.mark.parametrize(("size", "word"), [(0.05, "metres"), (5000.0, "micrometres")])
def test_implausible_units(size, word):
    check = next(c for c in check_mesh(box_mesh((size, size / 2, size / 2))) if c.name == "units")
    assert not check.passed
    assert word in check.message


def test_bed():
    # Longer than the space diagonal of 145 x 145 x 185 mm.
    assert "bed" in names(box_mesh((280.0, 20.0, 20.0)))
    # 200 mm fits tilted only, and not as it is asked to stand.
    assert "bed" not in names(box_mesh((200.0, 20.0, 20.0)))
    assert "bed" in names(box_mesh((200.0, 20.0, 20.0)), build_direction_ras=(0, 0, 1))
    # 180 mm fits along the longest side of the bed.
    assert "bed" not in names(box_mesh((20.0, 180.0, 20.0)))


@pytest.mark.parametrize("wall", [0.4, 1.0, 2.5])
def test_wall_of_a_plate(wall):
    plate = box_mesh((30.0, 40.0, wall)).transformed(rigid(rotation_about([1, 2, 1], 33.0), [100, 0, 50]))
    assert wall_thickness(plate).least_mm == pytest.approx(wall, abs=1e-3)
    assert ("minimum wall" in names(plate)) == (wall < 1.0)


@pytest.mark.parametrize("wall", [0.5, 2.0])
def test_wall_of_a_tube_and_of_a_shell(wall):
    sagitta = 3.0 * (1 - np.cos(np.pi / 96))
    found = wall_thickness(tube(3.0 + wall, 3.0, 15.0))
    assert found.least_mm == pytest.approx(wall, abs=2 * sagitta + 0.01)
    shell = joined(sphere_mesh(10.0, subdivisions=5), turned(sphere_mesh(10.0 - wall, subdivisions=5)))
    assert wall_thickness(shell).least_mm == pytest.approx(wall, abs=0.02)


def test_thin_place_is_found_and_shown():
    import manifold3d as m3

    block = m3.Manifold.cube([30, 30, 10]) - m3.Manifold.cube([4, 4, 20]).translate([0.6, 13, -5])
    raw = block.to_mesh64()
    mesh = Mesh(np.asarray(raw.vert_properties), np.asarray(raw.tri_verts).astype(np.int64))
    found = wall_thickness(mesh)
    assert found.least_mm == pytest.approx(0.6, abs=1e-3)
    x, y, _ = found.place_ras
    assert 0.0 < x < 0.6
    assert 13 < y < 17


def test_a_block_has_no_thin_wall():
    check = next(c for c in check_mesh(sphere_mesh(4.0)) if c.name == "minimum wall")
    assert check.passed
    assert check.value == pytest.approx(8.0, rel=0.05)


def test_presets_are_read_and_mistakes_named(tmp_path):
    assert load_printer("SLS").name == "sls"
    assert load_printer() == load_printer("sla")
    assert load_printer("fdm").min_wall_mm > load_printer("sla").min_wall_mm
    assert load_guide_options("k_wire").drill_diameter_mm == pytest.approx(1.6)
    assert load_guide_options() == load_guide_options("standard")
    with pytest.raises(InputError, match="sla"):
        load_printer("laser")
    for text, word in (
        ("[fit]\nclearence_mm = 1", "clearence_mm"),
        ("[fit]\nclearance_mm = 9", "between"),
        ("[", "TOML"),
    ):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        with pytest.raises(InputError, match=word):
            load_guide_options(path)
