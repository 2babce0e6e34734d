"""Gaps, overhangs, the bed and self-touching meshes: numbers from geometry, and hostile meshes each with a clear answer."""

import time

import numpy as np
import pytest
from core.guide_shapes import box_mesh, joined, sphere_mesh

from MSKFusionLib.errors import InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.guides.build_direction import best_build_direction, fits_bed, overhang
from MSKPlannerLib.guides.checks import check_mesh, failed
from MSKPlannerLib.guides.presets import load_printer
from MSKPlannerLib.guides.thickness import gap_width
from MSKPlannerLib.guides.touching import touching_vertices
from MSKPlannerLib.mesh import Mesh, merge_vertices

TURN = rigid(rotation_about([1, 2, 0.5], 37.0), [40, -100, 900])


def of_manifold(solid):
    raw = solid.to_mesh64()
    return Mesh(np.asarray(raw.vert_properties)[:, :3], np.asarray(raw.tri_verts).astype(np.int64))


def slotted(gap, pose=None):
    """A block of 20 x 20 x 10 mm with a saw cut 6 mm deep."""
    import manifold3d as m3

    block = m3.Manifold.cube([20, 20, 10]) - m3.Manifold.cube([gap, 30, 6]).translate([8.0, -5, 4])
    return of_manifold(block).transformed(np.eye(4) if pose is None else pose)


def check(mesh, name, **keywords):
    return next(c for c in check_mesh(mesh, **keywords) if c.name == name)


@pytest.mark.parametrize("gap", [0.1, 0.3, 2.0])
def test_the_gap_of_a_slot(gap):
    found = gap_width(slotted(gap, TURN))
    assert found.least_mm == pytest.approx(gap, abs=1e-3)
    x, _, z = np.linalg.inv(TURN)[:3] @ [*found.place_ras, 1.0]
    assert 8.0 < x < 8.0 + gap
    assert 4.0 < z < 10.0
    gap_check = check(slotted(gap), "minimum gap")
    assert gap_check.passed == (gap >= load_printer("sla").min_gap_mm)
    assert gap_check.place_ras is not None


def test_the_printer_decides_which_gap_is_too_narrow():
    assert check(slotted(0.3), "minimum gap", printer=load_printer("sla")).passed
    assert not check(slotted(0.3), "minimum gap", printer=load_printer("fdm")).passed


def test_a_block_has_no_gap():
    assert gap_width(sphere_mesh()).place_ras is None
    assert check(box_mesh(), "minimum gap").passed


def table(pose=None):
    """A 20 x 20 x 2 mm plate on a 4 x 4 x 10 mm foot: 384 mm2 hang over."""
    import manifold3d as m3

    solid = m3.Manifold.cube([20, 20, 2]).translate([-10, -10, 10]) + m3.Manifold.cube([4, 4, 10.5]).translate(
        [-2, -2, 0]
    )
    return of_manifold(solid).transformed(np.eye(4) if pose is None else pose)


def test_overhang_of_a_table_by_the_way_it_stands():
    mesh = table(TURN)
    up = TURN[:3, 2]
    found = overhang(mesh, up, 45.0)
    assert found.area_mm2 == pytest.approx(384.0, rel=1e-6)
    assert found.largest_mm2 == pytest.approx(384.0, rel=1e-6)
    assert (np.linalg.inv(TURN) @ [*found.place_ras, 1])[2] == pytest.approx(10.0)
    assert overhang(mesh, -up, 45.0).area_mm2 == 0.0
    assert overhang(mesh, up, 0.0).area_mm2 == 0.0
    best, fits = best_build_direction(mesh, 45.0, (145.0, 145.0, 185.0))
    assert fits
    assert best @ up == pytest.approx(-1.0, abs=1e-6)
    told = check(mesh, "overhang", build_direction_ras=up)
    assert told.passed  # supports are no fault
    assert told.value == pytest.approx(384.0)
    assert check(mesh, "overhang", printer=load_printer("sls"), build_direction_ras=up).value == 0.0


@pytest.mark.parametrize(("angle", "hangs"), [(20.0, True), (29.0, True), (31.0, False), (60.0, False)])
def test_a_slope_hangs_over_below_its_limit(angle, hangs):
    # A wedge whose underside rises by the angle from the edge on the bed.
    rise = 20 * np.tan(np.radians(angle))
    points = np.array([[0, 0, 0], [20, 0, rise], [0, 0, rise + 5], [0, 10, 0], [20, 10, rise], [0, 10, rise + 5.0]])
    faces = np.array([[0, 1, 2], [3, 5, 4], [0, 3, 4], [0, 4, 1], [1, 4, 5], [1, 5, 2], [0, 2, 5], [0, 5, 3]])
    wedge = Mesh(points, faces)
    assert wedge.is_closed
    assert wedge.volume_mm3 > 0
    assert (overhang(wedge, np.array([0, 0, 1.0]), 30.0).area_mm2 > 0) == hangs


def test_the_bed_is_turned_about_the_build_direction():
    long = box_mesh((140.0, 20.0, 10.0)).transformed(rigid(rotation_about([0, 0, 1], 45.0)))
    up = np.array([0.0, 0.0, 1.0])
    assert fits_bed(long.vertices_ras, up, (145.0, 40.0, 50.0))
    assert not fits_bed(long.vertices_ras, up, (139.0, 139.0, 50.0))
    assert not fits_bed(long.vertices_ras, np.array([1.0, 1, 0]), (145.0, 145.0, 50.0))


def test_a_build_direction_that_is_none_is_refused():
    for wrong in ((0, 0, 0), (np.nan, 0, 1), (1, 0)):
        with pytest.raises(InputError, match="build direction"):
            check_mesh(box_mesh(), build_direction_ras=wrong)


def test_boxes_that_touch_in_a_corner_hang_by_a_point():
    touching = merge_vertices(joined(box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (10, 10, 10))))
    assert touching.is_closed
    assert touching_vertices(touching).tolist() == [int(np.flatnonzero((touching.vertices_ras == 5).all(axis=1))[0])]
    told = check(touching, "touching corners")
    assert not told.passed
    assert told.place_ras == (5.0, 5.0, 5.0)
    along_an_edge = merge_vertices(joined(box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (10, 10, 0))))
    assert "two-manifold" in {c.name for c in failed(check_mesh(along_an_edge))}
    assert len(touching_vertices(sphere_mesh())) == 0


def torus(rings, sides):
    """A torus of 2 x rings x sides triangles."""
    a, b = np.meshgrid(np.arange(rings), np.arange(sides), indexing="ij")
    u, v = 2 * np.pi * a / rings, 2 * np.pi * b / sides
    points = np.stack([(30 + 10 * np.cos(v)) * np.cos(u), (30 + 10 * np.cos(v)) * np.sin(u), 10 * np.sin(v)], axis=-1)

    def at(i, j):
        return (i % rings) * sides + j % sides

    faces = [
        np.stack(t, axis=-1)
        for t in ((at(a, b), at(a + 1, b), at(a + 1, b + 1)), (at(a, b), at(a + 1, b + 1), at(a, b + 1)))
    ]
    return Mesh(points.reshape(-1, 3), np.concatenate(faces).reshape(-1, 3))


def turned_over(mesh):
    return Mesh(mesh.vertices_ras, mesh.faces[:, ::-1])


@pytest.mark.parametrize(
    ("mesh", "name", "word"),
    [
        (Mesh(np.empty((0, 3)), np.empty((0, 3))), "contents", "empty"),
        (Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "contents", "not numbers"),
        (Mesh(np.eye(3), np.array([[0, 1, 2]])), "closed", "hole"),
        (Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), "degenerate triangles", "no area"),
        (turned_over(torus(40, 20)), "orientation", "inside out"),
        (box_mesh((0.02, 0.01, 0.01)), "units", "metres"),
        (joined(torus(40, 20), torus(40, 20)), "self-intersection", "cut"),
    ],
    ids=["empty", "nan", "open", "points", "inside-out", "tiny", "twice"],
)
def test_hostile_meshes_get_a_clear_answer(mesh, name, word):
    found = {c.name: c for c in failed(check_mesh(mesh))}
    assert name in found
    assert word in found[name].message


@pytest.mark.slow
def test_300_000_triangles_are_checked():
    mesh = torus(500, 300)
    start = time.process_time()
    checks = check_mesh(mesh)
    seconds = time.process_time() - start
    assert failed(checks) == ()
    assert next(c.value for c in checks if c.name == "volume") == pytest.approx(2 * np.pi**2 * 30 * 100, rel=1e-3)
    assert next(c.value for c in checks if c.name == "minimum gap") == pytest.approx(40.0, rel=0.02)
    assert seconds < 60
