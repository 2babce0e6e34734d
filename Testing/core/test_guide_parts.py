"""Parts of a guide: exact distances, grids, sleeves, letters, insertion direction."""

import numpy as np
import pytest
import vtk
from core.femur_shapes import femur_mesh
from core.guide_shapes import box_mesh, joined, neighbour_of, sphere_mesh, toy_vertebra
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from MSKFusionLib.errors import GeometryError, InputError, ProcessingError
from MSKFusionLib.frames import rigid, rotation_about, transform_points, unit_rows
from MSKPlannerLib.guides.body import Seat, above_floor
from MSKPlannerLib.guides.field import (
    DepthDistance,
    Grid,
    distance_to,
    kept_beside,
    sample_distance,
    sample_roughly,
    smooth_min,
    swept,
    thick_parts,
    without_slits,
)
from MSKPlannerLib.guides.fit import measure_fit
from MSKPlannerLib.guides.insertion import best_insertion
from MSKPlannerLib.guides.lettering import text_size, text_solid
from MSKPlannerLib.guides.mesh_distance import MeshDistance, Region
from MSKPlannerLib.guides.options import GuideOptions
from MSKPlannerLib.guides.sleeve import sleeves_of
from MSKPlannerLib.guides.slot import Slot
from MSKPlannerLib.guides.solid import (
    LEAST_HEIGHT_MM,
    cylinder,
    from_manifold,
    heights_mm,
    overlap_mm3,
    to_manifold,
    without_needles,
    without_short_edges,
    without_slivers,
)
from MSKPlannerLib.guides.thickness import thin_places
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.plan import Screw


def box_distance(points, size):
    q = np.abs(points) - np.asarray(size) / 2
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(2, 40)] * 3), st.integers(0, 1000))
def test_distance_to_a_box_is_exact_inside_and_outside(size, seed):
    points = np.random.default_rng(seed).uniform(-30, 30, (300, 3))
    found = MeshDistance(box_mesh(size)).distance_and_gradient(points)[0]
    assert found == pytest.approx(box_distance(points, size), abs=1e-9)


def test_distance_and_gradient_of_a_sphere():
    rng = np.random.default_rng(3)
    outward = rng.normal(size=(500, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    radius = rng.uniform(8, 14, 500)
    distance, slope = MeshDistance(sphere_mesh(10.0, subdivisions=5)).distance_and_gradient(radius[:, None] * outward)
    assert distance == pytest.approx(radius - 10.0, abs=0.01)
    assert np.einsum("ij,ij->i", slope, outward).min() > 0.99


def test_fine_slivers_do_not_hide_the_nearest_triangle():
    """A level-set surface has clusters of tiny triangles; brute force over all triangles is the truth."""
    bone = toy_vertebra(spacing_mm=1.4).bone
    distance = MeshDistance(bone)
    rng = np.random.default_rng(0)
    centres = bone.triangles_ras.mean(axis=1)
    points = centres[rng.integers(0, len(centres), 60)] + rng.normal(0, 2.0, (60, 3))
    every = np.arange(len(bone.faces))
    truth = [np.sqrt(distance._pairs(np.repeat(p[None], len(every), 0), every).min()) for p in points]
    assert np.abs(distance.distance_and_gradient(points)[0]) == pytest.approx(truth, abs=1e-6)
    assert np.abs(distance.distance_mm(points)) == pytest.approx(truth, abs=0.05)


def in_four(mesh, times):
    """The same shape with every triangle in four, so many times."""
    import trimesh

    points, faces = mesh.vertices_ras, mesh.faces
    for _ in range(times):
        points, faces = trimesh.remesh.subdivide(points, faces)
    return Mesh(points, faces)


def test_a_finer_mesh_of_the_same_shape_has_the_same_distance():
    """Far from a fine surface it is looked up by way of few of its triangles: what is found must not suffer."""
    coarse = sphere_mesh(12.0, subdivisions=3)
    fine = MeshDistance(in_four(coarse, 3))
    assert fine._far is not None  # fine enough for the short cut
    rng = np.random.default_rng(2)
    points = rng.normal(0, 12.0, (1500, 3))
    truth = MeshDistance(coarse).distance_and_gradient(points)[0]
    assert fine.distance_and_gradient(points)[0] == pytest.approx(truth, abs=1e-6)
    found = fine.distance_mm(points)
    assert found == pytest.approx(truth, abs=0.03)
    assert np.all(np.abs(found) >= np.abs(truth) - 1e-9)


def test_a_region_of_a_bone_answers_for_what_lies_in_it():
    bone = toy_vertebra(spacing_mm=1.4).bone
    region = Region.around(np.array([0.0, -45.0, 0.0]), 20.0)
    rng = np.random.default_rng(3)
    points = np.array([0.0, -45.0, 0.0]) + rng.uniform(-9, 9, (400, 3))
    whole, part = MeshDistance(bone), MeshDistance(bone, region)
    assert part.distance_and_gradient(points)[0] == pytest.approx(whole.distance_and_gradient(points)[0], abs=1e-9)
    far = MeshDistance(bone, Region.around(np.array([500.0, 0, 0]), 10.0))
    assert far.distance_mm(np.array([[500.0, 0, 0]]))[0] > 400.0


def test_near_a_coarse_surface_the_sign_is_right():
    """A guide's gap is a few tenths of a millimetre: there a neighbour of the nearest triangle may have the other sign."""
    bone = femur_mesh(2.0, top=130.0)
    rng = np.random.default_rng(1)
    centres, normals = bone.triangles_ras.mean(axis=1), unit_rows(bone.face_area_vectors)
    which = rng.integers(0, len(centres), 4000)
    points = centres[which] + rng.uniform(-0.6, 0.6, (4000, 1)) * normals[which] + rng.normal(0, 0.3, (4000, 3))
    exact = vtk.vtkImplicitPolyDataDistance()
    exact.SetInput(bone.to_polydata())
    truth = np.array([exact.EvaluateFunction(p) for p in points])
    found = MeshDistance(bone).distance_mm(points)
    clear = (np.abs(truth) > 1e-3) & (np.abs(truth) < 0.8)
    assert np.array_equal(np.sign(found[clear]), np.sign(truth[clear]))
    assert MeshDistance(bone).distance_and_gradient(points)[0][clear] == pytest.approx(truth[clear], abs=1e-5)
    outside = clear & (truth > 0)
    assert found[outside] == pytest.approx(truth[outside], abs=0.02)


def test_an_open_bone_is_refused():
    box = box_mesh()
    with pytest.raises(GeometryError, match="not closed"):
        distance_to(Mesh(box.vertices_ras, box.faces[1:]))


def test_depth_functions_and_depth_objects_count_as_bones():
    class Ball:
        def depth_mm(self, points_ras):
            return 5.0 - np.linalg.norm(points_ras, axis=1)

    for bone in (Ball(), Ball().depth_mm):
        distance = distance_to(bone)
        assert isinstance(distance, DepthDistance)
        value, slope = distance.distance_and_gradient(np.array([[0.0, 0, 7.0]]))
        assert value[0] == pytest.approx(2.0)
        assert slope[0] == pytest.approx([0, 0, 1], abs=1e-6)


def grid_around(radius, step=0.5):
    n = int(2 * radius / step) + 1
    pose = rigid(rotation_about([1, 1, 0], 30.0))
    return Grid(pose @ rigid(translation=[-radius] * 3), step, (n, n, n))


def test_field_on_a_grid_is_exact_in_its_band():
    grid = grid_around(16.0)
    truth = np.linalg.norm(grid.points_ras(), axis=1).reshape(grid.shape) - 10.0
    ball = DepthDistance(lambda p: 10.0 - np.linalg.norm(p, axis=1))
    field = sample_distance(ball, grid, 5.0, 1.5)
    near = (truth > -0.6) & (truth < 1.4)
    assert np.abs(field - truth)[near].max() < 1e-4
    rough = sample_roughly(ball, grid, 5.0)
    band = (truth > -0.9) & (truth < 4.5)
    assert np.abs(rough - truth)[band].max() < 0.05
    assert np.all((field < 0) == (truth < 0))


def test_surface_of_a_field_lies_where_it_should():
    grid = grid_around(8.0)
    values = np.linalg.norm(grid.points_ras(), axis=1).reshape(grid.shape) - 6.0
    mesh = grid.surface(values)
    assert mesh.is_closed
    assert np.abs(np.linalg.norm(mesh.vertices_ras, axis=1) - 6.0).max() < 0.02
    # A solid that leaves the grid is closed at its border.
    assert grid.surface(values - 20.0).is_closed
    with pytest.raises(ProcessingError):
        grid.surface(values + 20.0)


def test_swept_field_sees_overhang():
    column = np.array([[[2.0, 1.0, 3.0, 0.5, 4.0]]], dtype=np.float32)
    assert swept(column)[0, 0].tolist() == [0.5, 0.5, 0.5, 0.5, 4.0]


def test_thin_sheets_and_loose_pieces_vanish_and_blocks_stay():
    step = 0.4
    x, y, z = np.meshgrid(*[np.arange(-12, 12, step)] * 3, indexing="ij")
    block = np.maximum.reduce([np.abs(x) - 5, np.abs(y) - 5, np.abs(z) - 5])
    sheet = np.maximum.reduce([np.abs(x - 7) - 3, np.abs(y) - 4, np.abs(z) - 0.4])
    crumb = np.sqrt((x + 10) ** 2 + y**2 + z**2) - 1.4
    solid = np.minimum.reduce([block, sheet, crumb]).astype(np.float32)
    thick, lost = thick_parts(solid, step, 0.8)
    opened = np.maximum(solid, thick)
    assert len(lost) == 1
    # Square edges stay; only where three meet is a corner blunted.
    assert np.all(opened[(block < -0.1) & (np.abs(z) < 3.5)] < 0)
    assert np.all(opened[(x > 6.3) & (solid < 0)] > 0)
    assert np.all(opened[crumb < 0] > 0)


def test_a_floor_beside_the_contact_does_not_move_it():
    """A wall of bone that is 10 mm high: the contact beside it stays at the clearance, whatever the floor's step."""
    grid = Grid(rigid(), 0.5, (24, 4, 24))
    u, v, w = (a.ravel() for a in grid.axes())
    seat = Seat(rigid(), grid, u, v, w)
    clearance, wall = 0.2, 3.3
    distance = np.broadcast_to((u - wall)[:, None, None], grid.shape)
    room = (distance - clearance).astype(np.float32)
    floor = np.where(u < wall, np.float32(10.0), np.float32(2.0))[:, None] * np.ones((1, 4), np.float32)
    solid = above_floor(np.maximum(np.float32(-5.0), -room), room, floor, seat)
    row = solid[:, 1, 10]  # 5 mm high: beside the wall, below its top
    k = int(np.flatnonzero(row < 0)[0])
    crossing = u[k - 1] + 0.5 * row[k - 1] / (row[k - 1] - row[k])
    assert crossing == pytest.approx(wall + clearance, abs=1e-4)
    assert np.all(solid[10:, :, :4] > 0)  # below the floor of the other columns is nothing


def test_thin_places_lie_in_the_thin_wall():
    block, sheet = box_mesh((10, 10, 10)), box_mesh((6, 6, 0.4), (0, 0, 8.0))
    places = thin_places(joined(block, sheet), 1.0)
    assert len(places) > 50
    assert np.abs(places[:, 2] - 8.0).max() < 1e-6
    assert not len(thin_places(block, 1.0))


def test_fillet_only_adds_where_both_are_near():
    a, b = np.float32([3.0, 0.1, 0.0]), np.float32([0.0, 0.1, 5.0])
    assert smooth_min(a, b, 1.0).tolist() == pytest.approx([0.0, -0.15, 0.0])


def screw(side, entry, tip):
    return Screw(f"L4 {side}", "pedicle", "L4", side, entry, tip, 6.0, 40.0, 1.0, "A")


def test_bore_is_never_narrower_than_asked():
    options = GuideOptions(drill_diameter_mm=3.0, bore_clearance_mm=0.1)
    sleeve = sleeves_of([screw("left", (-15, -30, 4), (-10, 10, 0))], options)[0]
    assert np.linalg.norm(np.cross(sleeve.outward_ras, np.subtract((-15, -30, 4), (-10, 10, 0)))) < 1e-9
    assert sleeve.outward_ras[1] < 0
    bore = from_manifold(sleeve.bore())
    offset = bore.vertices_ras[bore.faces].mean(axis=1) - sleeve.entry_ras
    along = offset @ sleeve.outward_ras
    radial = np.linalg.norm(offset - along[:, None] * sleeve.outward_ras, axis=1)
    side = np.abs(bore.face_area_vectors @ sleeve.outward_ras) < 1e-6
    assert np.all(radial[side] > 0)
    edge = bore.vertices_ras - sleeve.entry_ras
    reach = np.linalg.norm(edge - (edge @ sleeve.outward_ras)[:, None] * sleeve.outward_ras, axis=1)
    assert reach.max() * np.cos(np.pi / 96) >= 1.55 - 1e-9


def test_sleeves_that_cross_are_refused():
    with pytest.raises(ProcessingError, match="run into each other"):
        sleeves_of([screw("left", (-3, 0, 0), (-20, 40, 0)), screw("right", (3, 0, 0), (20, 40, 0))], GuideOptions())
    with pytest.raises(InputError, match="at least one"):
        sleeves_of([], GuideOptions())


@pytest.mark.parametrize("text", ["L4", "T12", "C7", "S1", "V10", "L5-S1", "0123456789R"])
def test_letters_are_solid_and_as_large_as_said(text):
    raw = text_solid(text, np.eye(4), 6.0, 1.2, -0.4, 0.8)
    mesh = from_manifold(raw)
    assert mesh.is_closed
    width, height = text_size(text, 6.0, 1.2)
    size = mesh.bounds_ras[1] - mesh.bounds_ras[0]
    assert size[1] <= height + 1e-3
    assert size[1] > height - 0.2 or text == "-"
    assert size[0] <= width + 1e-3
    assert mesh.bounds_ras[:, 2] == pytest.approx([-0.4, 0.8])
    assert len(raw.decompose()) == len(text)


def test_a_sign_without_a_glyph_is_named():
    with pytest.raises(InputError, match="Ω"):
        text_solid("LΩ", np.eye(4), 6.0, 1.2, 0, 1)


def test_overlap_volume():
    assert overlap_mm3(box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (9, 0, 0))) == pytest.approx(100.0)
    assert overlap_mm3(box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (30, 0, 0))) == 0.0


def test_a_failed_operation_names_itself():
    box = box_mesh()
    with pytest.raises(ProcessingError, match="bore of L4 left"):
        to_manifold(Mesh(box.vertices_ras, box.faces[1:]), "bore of L4 left")


@pytest.mark.parametrize("seed", [4, 28, 47])
def test_an_opening_that_lies_askew_to_the_grid_keeps_its_walls(seed):
    """A slot in a block of thick walls: what is taken away for being thin touches neither its faces nor its ends."""
    rng = np.random.default_rng(seed)
    turn = rotation_about(rng.normal(size=3), rng.uniform(0, 90))
    slot = Slot("s", rigid(turn, rng.uniform(-0.5, 0.5, 3)), 10.0, 1.1, 9.0, -10.0, 4.0, 3.0, 7.0)
    grid = Grid(rigid(translation=[-15.0] * 3), 0.5, (61, 61, 61))
    points = grid.points_ras().reshape(61, 61, 61, 3)
    q, (low, high) = slot.local(points), slot.block_corners
    off = np.maximum(low - q, q - high)
    block = np.linalg.norm(np.maximum(off, 0), axis=-1) + np.minimum(off.max(axis=-1), 0)
    pierced = np.maximum(block.astype(np.float32), -slot.opening_field(points))
    thick, lost = thick_parts(pierced, 0.5, 0.6, deeper=True)
    assert sum(lost) == 0.0
    thick = kept_beside(thick, slot.opening_field(points) < 0)
    a, z = np.linspace(-1, 1, 41), np.linspace(-5.0, 5.0, 21)
    faces = [(5.0 * x, side * 0.55, h) for x in a for side in (-1, 1) for h in z]
    ends = [(side * 5.0, 0.55 * y, h) for y in a for side in (-1, 1) for h in z]
    nodes = (transform_points(slot.to_ras, np.array(faces + ends)) + 15.0) / 0.5
    at = ndimage.map_coordinates(thick, nodes.T, order=1)
    assert at.max() < -0.1


def test_the_bottom_of_a_groove_is_filled_and_faces_stay():
    """A groove of 30 degrees down to z = 0 in a block, and a slit of 0.4 mm beside it: in closed form."""
    grid = Grid(rigid(rotation_about([0, 0, 1], 20.0), [-8.0, -8.0, -6.0]), 0.5, (40, 40, 40))
    x, y, z = (grid.points_ras() @ rotation_about([0, 0, 1], 20.0)).reshape(40, 40, 40, 3).transpose(3, 0, 1, 2) * 1.0

    def field(x, y, z):
        groove = np.cos(np.radians(15.0)) * np.abs(x) - np.sin(np.radians(15.0)) * z  # negative in the groove
        slit = np.maximum(np.abs(x - 5.0) - 0.2, 1.0 - z)
        return np.maximum(z - 8.0, -np.minimum(groove, slit)).astype(np.float32)

    before = field(x, y, z)
    after = without_slits(before, 0.5, 1.0)
    assert (after <= before).all()
    inner = (np.abs(y) < 4) & (z > -4) & (z < 7.0) & (np.abs(x) < 7)
    half = np.maximum(z, 0.0) * np.tan(np.radians(15.0))  # of the groove
    assert (after[inner & (np.abs(x) < half) & (half < 0.15)] < 0).all()
    assert (after[inner & (np.abs(x - 5.0) < 0.2)] < 0).all()
    wide = inner & (np.abs(x) < 3.5) & (half > 0.8) & (np.abs(before) < 0.4)
    assert np.abs(after - before)[wide].max() < 1e-6
    top = (np.abs(y) < 4) & (np.abs(x + 5.0) < 1.5) & (np.abs(z - 8.0) < 0.5)
    assert np.abs(after - before)[top].max() < 1e-6


def test_slivers_are_turned_away():
    a, b, c, d = [0, 0, 0], [10, 0, 0], [5, 1e-7, 0], [5, -4, 0]
    top, low = [5, 5, 0], [5, 0, 8]
    points = np.array([a, b, c, d, top, low], dtype=float)
    flat = Mesh(points, np.array([[0, 1, 2], [1, 0, 3]]))
    mended = without_slivers(flat, 1e-5)
    areas = np.linalg.norm(mended.face_area_vectors, axis=1)
    assert areas.min() > 1.0
    assert mended.area_mm2 == pytest.approx(flat.area_mm2, abs=1e-4)


def test_a_needle_that_cannot_be_turned_away_loses_its_shortest_edge():
    """Four corners almost on a line: flipping either edge across leaves a triangle as flat (found in a drill guide)."""
    a, c, b, d = [0, 0, 0], [0.37160, 6e-6, 0], [0.37276, 0, 0], [0.723, -9e-4, 0]
    points = np.array([a, c, b, d, [0.3, 0.3, 1.0]], dtype=float)
    solid = Mesh(points, np.array([[0, 2, 1], [0, 3, 2], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]))
    assert solid.is_closed
    assert heights_mm(solid).min() < LEAST_HEIGHT_MM
    turned = without_slivers(solid, 2 * LEAST_HEIGHT_MM)
    assert heights_mm(turned).min() >= heights_mm(solid).min()
    mended = without_needles(turned, 2 * LEAST_HEIGHT_MM, 5e-3)
    assert mended.is_closed
    assert heights_mm(mended).min() > 1e-4
    # Every corner that is left is one of before, and those that went were 0.00116 mm beside one of them.
    off = np.linalg.norm(points[:, None] - mended.vertices_ras[None], axis=2)
    assert (off.min(axis=0) == 0).all()
    assert off.min(axis=1).max() == pytest.approx(0.00116, rel=1e-3)


def test_joining_the_ends_of_a_needle_leaves_no_lower_triangle():
    """Corners almost on a line where a bore leaves a facet (found in a drill guide): joined as they come, the next triangle is flat."""
    at = np.array(
        [
            [0.0, 0.0, 0.0], [0.0043640137, 0.4690666199, -0.1751422882], [0.4990844727, 0.001876831, 0.018373726],
            [0.4994850159, 0.0020751953, 0.0183143616], [0.5034446716, 0.478523254, -0.1325855255],
            [0.4996948242, 0.0021858215, 0.0182991028], [0.8258819580, 0.1785202026, 0.0077266693],
            [-0.4617233276, -0.4464149475, 0.2359924316], [-0.4913406372, -0.4580497742, 0.2484207154],
            [-0.8278579712, -0.5742721558, 0.4316082001], [-0.1590919495, -0.3164062500, 0.1380939484],
            [-0.0024681091, -0.2447357178, 0.0989303589], [0.1710929871, -0.1625099182, 0.0628852844],
            [-0.6686248779, 1.7895736694, 2.2957687378],
        ]
    )  # fmt: skip
    faces = [
        [0, 1, 2], [1, 3, 2], [3, 4, 5], [3, 1, 4], [5, 4, 6], [8, 7, 5], [10, 5, 7], [8, 5, 9], [10, 11, 5],
        [11, 12, 5], [12, 0, 2], [9, 5, 6], [12, 2, 5], [2, 3, 5], [6, 4, 13], [8, 9, 13], [10, 7, 13], [0, 12, 13],
        [1, 0, 13], [11, 10, 13], [7, 8, 13], [4, 1, 13], [12, 11, 13], [9, 6, 13],
    ]  # fmt: skip
    solid = Mesh(at.astype(np.float32).astype(np.float64), np.array(faces))
    assert solid.is_closed
    turned = without_slivers(solid, 2 * LEAST_HEIGHT_MM)
    mended = without_needles(turned, 2 * LEAST_HEIGHT_MM, 5e-3)
    assert mended.is_closed
    assert heights_mm(mended).min() >= heights_mm(turned).min()
    assert heights_mm(mended).min() >= LEAST_HEIGHT_MM
    assert mended.volume_mm3 == pytest.approx(solid.volume_mm3, abs=1e-4)


def test_an_edge_whose_ends_joined_would_pinch_the_surface_stays():
    """A ring about a short edge: its ends have a third neighbour in common, so one corner would hold two sheets."""
    a, b, c = [0, 0, 0], [1e-3, 0, 0], [5e-4, 2.0, 0]
    up, down = [5e-4, 1.0, 1.0], [5e-4, 1.0, -1.0]
    solid = Mesh(
        np.array([a, b, c, up, down], dtype=float),
        np.array([[0, 3, 2], [3, 1, 2], [0, 2, 4], [1, 4, 2], [0, 1, 3], [1, 0, 4]]),
    )
    assert solid.is_closed
    kept = without_needles(solid, 2.0, 5e-3)
    assert kept.is_closed
    assert len(kept.faces) == len(solid.faces)


def test_needles_are_closed_up():
    sphere = sphere_mesh(10.0, subdivisions=2)
    points = sphere.vertices_ras.copy()
    a, b = sphere.faces[7, :2]
    points[b] = points[a] + [2e-5, 0, 0]
    mended = without_short_edges(Mesh(points, sphere.faces), 1e-4)
    assert mended.is_closed
    assert len(mended.faces) == len(sphere.faces) - 2
    assert np.linalg.norm(mended.face_area_vectors, axis=1).min() > 1e-3


def test_cylinder_stands_where_it_is_put():
    mesh = from_manifold(cylinder(np.array([1.0, 2, 3]), np.array([1.0, 2, 13]), 2.0, around=True))
    assert mesh.bounds_ras[:, 2] == pytest.approx([3, 13])
    assert mesh.volume_mm3 >= np.pi * 4 * 10


def test_fit_of_a_cap_over_a_ball():
    """A spherical cap at a known gap: what is measured is that gap, and only where it touches."""
    import manifold3d as m3

    gap, n = 0.3, 128
    cap = (m3.Manifold.sphere(14, n) - m3.Manifold.sphere(10 + gap, n)).trim_by_plane([0, 0, 1], 4.0)
    raw = cap.to_mesh64()
    mesh = Mesh(np.asarray(raw.vert_properties), np.asarray(raw.tri_verts).astype(np.int64))
    ball = DepthDistance(lambda p: 10.0 - np.linalg.norm(p, axis=1))
    fit = measure_fit(mesh, ball, np.array([0.0, 0, 1]), gap)
    assert fit.mean_mm == pytest.approx(gap, abs=0.01)
    assert fit.max_error_mm < 0.02
    inner = 2 * np.pi * (10 + gap) * (10 + gap - 4.0)
    assert 0.7 * inner < fit.area_mm2 < inner
    other = measure_fit(mesh, DepthDistance(lambda p: 9.8 - np.linalg.norm(p, axis=1)), np.array([0.0, 0, 1]), gap)
    assert other.mean_mm == pytest.approx(gap + 0.2, abs=0.01)
    assert other.mean_error_mm == pytest.approx(0.2, abs=0.01)


def test_insertion_comes_from_behind_whatever_the_pose():
    for angle in (0.0, 70.0):
        pose = rigid(rotation_about([1, 0.2, 0.4], angle), [50, -20, 300])
        v = toy_vertebra(pose, spacing_mm=1.4)
        found = best_insertion(v.bone, v.frame, sleeves_of(v.screws, GuideOptions()), [neighbour_of(v, True)])
        back = -v.frame.anterior_ras
        assert found.outward_ras @ back > np.cos(np.radians(32))
        assert found.frame_to_ras[:3, :3] @ found.frame_to_ras[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
        assert transform_points(found.frame_to_ras, [0, 0, 0]) == pytest.approx(
            np.mean([s.entry_ras for s in v.screws], axis=0)
        )
