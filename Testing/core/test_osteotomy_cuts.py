"""Cuts of a bone: volumes by formula, every fragment closed, and errors that say what to move."""

import numpy as np
import pytest
from core.guide_shapes import box_mesh, joined, sphere_mesh
from hypothesis import given, settings
from hypothesis import strategies as st

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import rigid, rotation_about
from MSKPlannerLib.guides.solid import from_manifold, to_manifold
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.bodies import contains
from MSKPlannerLib.osteotomy.cuts import PlaneCut, SheetCut, biplanar_cut, dome_cut, hinged_cut, polyline_cut
from MSKPlannerLib.osteotomy.fragments import cut_bone
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.plane_split import split_by_plane

#: A bar of 40 x 40 x 200 mm.
BAR = box_mesh((40.0, 40.0, 200.0))
POSE = rigid(rotation_about([1, 2, 3], 71.0), [12.0, -30.0, 400.0])


def volumes(result):
    return [f.volume_mm3 for f in result.fragments]


def assert_sound(result):
    assert all(f.is_closed for f in result.fragments)
    assert all(k.is_closed for k in result.kerf if len(k.faces))
    assert result.volume_error_share < 1e-9


def test_a_plane_with_a_saw_of_known_thickness():
    before = BAR.vertices_ras.copy(), BAR.faces.copy()
    result = cut_bone(BAR, [PlaneCut("shaft", Plane([0, 0, 10], [0, 0, 1]), 1.2)])
    assert_sound(result)
    assert volumes(result) == pytest.approx([1600 * 109.4, 1600 * 89.4])
    assert result.kerf_mm3 == pytest.approx(1600 * 1.2)
    assert result.rejoined() is BAR
    np.testing.assert_array_equal(BAR.vertices_ras, before[0])
    np.testing.assert_array_equal(BAR.faces, before[1])
    assert result.fragment_at([0, 0, -50]) == 0
    assert result.fragment_at([0, 0, 300]) == 1


def test_two_oblique_planes_at_once_take_out_a_wedge():
    upper, lower = Plane([20, 0, 0], [np.sin(0.2), 0, np.cos(0.2)]), Plane([20, 0, 0], [-np.sin(0.2), 0, np.cos(0.2)])
    result = cut_bone(BAR, [PlaneCut("upper", upper), PlaneCut("lower", lower)])
    assert_sound(result)
    wedge = 40 * 40 * np.tan(0.2) * 40  # a triangle of 40 mm depth and 2 x 40 tan(0.2) base
    assert volumes(result) == pytest.approx([(320000 - wedge) / 2] * 2 + [wedge])


def test_a_plane_cut_and_its_order_do_not_depend_on_the_pose():
    cuts = [PlaneCut("a", Plane([3, 2, 10], [0.3, 0.1, 1]), 1.0), PlaneCut("b", Plane([0, 0, 0], [1, 0.1, 0.2]), 0.5)]
    plain = cut_bone(BAR, cuts)
    moved = [PlaneCut(c.name, c.plane.transformed(POSE), c.kerf_mm) for c in reversed(cuts)]
    turned = cut_bone(BAR.transformed(POSE), moved)
    assert len(plain.fragments) == 4
    assert volumes(turned) == pytest.approx(volumes(plain), rel=1e-9)


def test_a_cut_that_ends_at_a_hinge_leaves_one_bone():
    cut = hinged_cut("HTO", Plane([0, 0, 10], [0, 0, 1]), [-15, 0, 10], [0, 1, 0], [20, 0, 10], 1.0)
    result = cut_bone(BAR, [cut])
    assert_sound(result)
    assert len(result.fragments) == 1
    assert result.kerf_mm3 == pytest.approx(35 * 40 * 1.0)


def test_a_saw_stopped_short_of_the_far_cortex():
    stop = Plane([0, 12, 0], [0, 1, 0])
    cut = polyline_cut("deep", [[-10, 0, 0], [10, 0, 0]], [0, 1, 0], 2.0, stops=(stop,))
    assert cut_bone(BAR, [cut]).kerf_mm3 == pytest.approx(40 * 32 * 2.0)


@pytest.mark.parametrize("kerf", [0.0, 1.0])
def test_a_step_cut(kerf):
    corners = [[-20, 0, 10], [0, 0, 10], [0, 0, -10], [20, 0, -10]]
    result = cut_bone(BAR, [polyline_cut("step", corners, [0, 1, 0], kerf)])
    assert_sound(result)
    # The mitres of a left and a right turn cancel: the slot is as long as its middle line.
    assert result.kerf_mm3 == pytest.approx(40 * 60 * kerf)
    assert volumes(result) == pytest.approx([(320000 - 40 * 60 * kerf) / 2] * 2)


def test_a_z_cut_overhangs_and_comes_apart_in_two():
    corners = [[-20, 0, 10], [8, 0, 10], [-8, 0, -10], [20, 0, -10]]
    result = cut_bone(BAR, [polyline_cut("Z", corners, [0, 1, 0], 0.8)])
    assert_sound(result)
    assert volumes(result) == pytest.approx([(320000 - result.kerf_mm3) / 2] * 2)


@pytest.mark.parametrize("kerf", [0.0, 1.0])
def test_a_dome_by_the_area_of_its_segment(kerf):
    result = cut_bone(BAR, [dome_cut("dome", [0, 0, 0], [0, 1, 0], [0, 0, 30], kerf)])
    assert_sound(result)

    def under_arc(r):
        return 20 * np.sqrt(r * r - 400) + r * r * np.arcsin(20 / r)

    above = 40 * (40 * 100 - under_arc(30 + kerf / 2))
    below = 40 * (40 * 100 + under_arc(30 - kerf / 2))
    # Chords of an arc, at most 0.002 mm off it.
    assert volumes(result) == pytest.approx([below, above], abs=0.002 * 1600)


def test_biplanar_leaves_a_tongue():
    across, upward = Plane([0, 0, 0], [0, 0, 1]), Plane([0, 8, 0], [0, 1, 0])
    result = cut_bone(BAR, [biplanar_cut("biplanar", across, upward, [0, -5, 40], 1.0)])
    assert_sound(result)
    # Sawn at z = 0 up to y = 8, and from there up behind the block in front, 128 mm along the middle line.
    front = 40 * 27.5 * 99.5
    assert result.kerf_mm3 == pytest.approx(40 * 128)
    assert volumes(result) == pytest.approx([320000 - front - 40 * 128, front])


def test_a_marrow_cavity_stays_with_its_bone():
    cavity = sphere_mesh(8.0, (0, 0, 50))
    shell = joined(BAR, Mesh(cavity.vertices_ras, cavity.faces[:, ::-1]))
    result = cut_bone(shell, [PlaneCut("below", Plane([0, 0, 0], [0, 0, 1]))])
    assert_sound(result)
    assert volumes(result) == pytest.approx([160000, 160000 - cavity.volume_mm3])
    assert not contains(result.fragments[1], [0, 0, 50])
    through = cut_bone(shell, [PlaneCut("through", Plane([0, 0, 51], [0, 0.1, 1]), 1.0)])
    assert_sound(through)
    assert len(through.fragments) == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_planes_through_corners_and_along_flat_faces(seed):
    rng = np.random.default_rng(seed)
    bone = (BAR, sphere_mesh(20.0, subdivisions=2))[seed % 2]
    p = bone.vertices_ras[rng.choice(len(bone.vertices_ras), 3, replace=False)]
    normal = np.cross(p[1] - p[0], p[2] - p[0])
    if np.linalg.norm(normal) < 1e-6:
        return
    above, below = split_by_plane(bone, Plane(p[0], normal))
    for half in (above, below):
        assert half.is_closed or not len(half.faces)
    assert above.volume_mm3 + below.volume_mm3 == pytest.approx(bone.volume_mm3, rel=1e-10)
    height = Plane(p[0], normal).height_mm
    assert not len(above.faces) or height(above.vertices_ras).min() > -1e-4
    assert not len(below.faces) or height(below.vertices_ras).max() < 1e-4


def test_the_plane_cutter_agrees_with_exact_booleans():
    bone = sphere_mesh(20.0)
    normal = np.array([0.3, -0.2, 1.0]) / np.linalg.norm([0.3, -0.2, 1.0])
    above, below = split_by_plane(bone, Plane([1, 2, 3], normal))
    theirs = to_manifold(bone, "bone").split_by_plane(normal.tolist(), float(normal @ [1, 2, 3]))
    assert [above.volume_mm3, below.volume_mm3] == pytest.approx([t.volume() for t in theirs], rel=1e-10)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31))
def test_steps_and_domes_anywhere(seed):
    rng = np.random.default_rng(seed)
    bone, kerf = sphere_mesh(30.0, subdivisions=3).transformed(POSE), float(rng.choice([0.0, 1.0]))
    z, d = rng.uniform(-15, 15), rng.normal(size=3)
    if seed % 2:
        x = np.sort(rng.uniform(-10, 10, 2))
        local = [[-40, 0, z], [x[0], 0, z], [x[1], 0, z - rng.uniform(2, 12)], [40, 0, z - 6]]
        saw = POSE[:3, :3] @ [0.2 * d[0], 1, 0.2 * d[2]]
        cut = polyline_cut("step", np.asarray(local) @ POSE[:3, :3].T + POSE[:3, 3], saw, kerf)
    else:
        axis = POSE[:3, :3] @ [d[0], 1 + abs(d[1]), 0]
        centre, apex = (POSE[:3, :3] @ [0, 0, v] + POSE[:3, 3] for v in (z, z + rng.uniform(8, 14)))
        cut = dome_cut("dome", centre, axis, apex, kerf)
    result = cut_bone(bone, [cut])
    assert_sound(result)
    assert len(result.fragments) >= 2
    assert bool(result.kerf_mm3) == bool(kerf)


def test_a_mesh_from_an_exact_boolean_can_be_cut_again():
    once = from_manifold(to_manifold(BAR, "bar"))
    assert to_manifold(once, "bar again").volume() == pytest.approx(320000)


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (lambda: PlaneCut("p", Plane([0, 0, 112.5], [0, 0, 1]), 1.0), "misses the bone by 12.5 mm"),
        (lambda: PlaneCut("p", Plane([0, 0, 99.8], [0, 0, 1]), 1.0), "cuts nothing off"),
        (lambda: PlaneCut("p", Plane([0, 0, 100], [0, 0, 1])), "cuts nothing off"),
        (lambda: dome_cut("d", [0, 0, 200], [0, 1, 0], [0, 0, 220], 1.0), "misses the bone"),
        (lambda: hinged_cut("h", Plane([0, 0, 0], [0, 0, 1]), [0, 0, 9], [0, 1, 0], [20, 0, 0], 1.0), "9.0 mm off"),
    ],
)
def test_cuts_beside_the_bone_are_said(cut, says):
    with pytest.raises(GeometryError, match=says):
        cut_bone(BAR, [cut()])


def test_hostile_input():
    plane = Plane([0, 0, 0], [0, 0, 1])
    with pytest.raises(InputError, match="no cut"):
        cut_bone(BAR, [])
    with pytest.raises(InputError, match="not closed"):
        cut_bone(Mesh(BAR.vertices_ras, BAR.faces[1:]), [PlaneCut("p", plane)])
    with pytest.raises(InputError, match="inside out"):
        cut_bone(Mesh(BAR.vertices_ras, BAR.faces[:, ::-1]), [PlaneCut("p", plane)])
    with pytest.raises(InputError, match="a saw of -1"):
        PlaneCut("p", plane, -1.0)
    with pytest.raises(InputError, match="a saw of nan"):
        PlaneCut("p", plane, float("nan"))
    with pytest.raises(GeometryError, match="length zero"):
        Plane([0, 0, 0], [0, 0, 0])
    with pytest.raises(GeometryError, match="finite"):
        Plane([0, np.nan, 0], [0, 0, 1])
    with pytest.raises(InputError, match="needs a saw with a thickness"):
        polyline_cut("p", [[0, 0, 0], [1, 0, 0]], [0, 1, 0], open_end=False)
    with pytest.raises(GeometryError, match="crosses itself"):
        cut_bone(BAR, [SheetCut("p", np.eye(4), [[-5, 0], [5, 0], [0, 5], [0, -5]], 1.0)])
    with pytest.raises(GeometryError, match="parallel"):
        biplanar_cut("b", plane, plane.shifted(3.0), [0, 0, 1])
