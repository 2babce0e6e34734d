"""Fragments put where they belong: against the motion that displaced them, and doubts where shape does not tell."""

import numpy as np
import pytest
from core.femur_shapes import femur_mesh
from core.guide_shapes import box_mesh, sphere_mesh

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import invert_rigid, rigid_about, rotation_about, rotation_angle_deg, transform_points
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.plane_split import split_by_plane
from MSKPlannerLib.osteotomy.reduction import (
    ReducedFragment,
    ReductionOptions,
    _without_overlap,
    mirrored,
    reduce_fracture,
)
from MSKPlannerLib.osteotomy.reduction_fit import Fit


@pytest.fixture(scope="module")
def broken():
    """The lower end of a femur, broken above its condyles, 1 mm worn off each fracture surface."""
    whole = split_by_plane(femur_mesh(2.0), Plane([0, 0, 160], [0, 0, 1]))[1]
    plane = Plane([0, 5, 62], [0.3, 0.2, 1])
    shaft, rest = split_by_plane(whole, plane.shifted(1.0))
    return whole, shaft, split_by_plane(rest, plane.shifted(-1.0))[1]


def test_a_fragment_goes_back_to_where_it_was(broken):
    whole, shaft, condyles = broken
    moved = rigid_about(condyles.vertices_ras.mean(axis=0), rotation_about([1, -2, 1], 24.0), [12.0, -9.0, -14.0])
    healthy = mirrored(whole, [0, 0, 0], [1, 0, 0])
    template = mirrored(healthy, [30, 0, 0], [1, 0, 0])
    plan = reduce_fracture(
        {"shaft": shaft, "condyles": condyles.transformed(moved)}, template, main="condyles", options=ReductionOptions()
    )
    main, other = plan.fragments
    assert (main.name, other.name) == ("condyles", "shaft")
    np.testing.assert_array_equal(main.motion_ras, np.eye(4))
    # The condyles stay, so the shaft moves as they did.
    off = other.motion_ras @ invert_rigid(moved)
    middle = transform_points(moved, shaft.vertices_ras.mean(axis=0))
    assert rotation_angle_deg(off[:3, :3]) < 1.5
    assert np.linalg.norm(transform_points(off, middle) - middle) < 1.0
    assert not main.doubts
    assert not any("reaches" in d for d in other.doubts)


@pytest.mark.slow
def test_a_ball_could_lie_any_way_round():
    ball, bar = sphere_mesh(20.0, (0, 0, 120), 4), box_mesh((30.0, 24.0, 200.0), (0, 0, 0))
    # The template is the bar with the ball on it; the ball's own turn shows in nothing.
    template = Mesh(
        np.concatenate([bar.vertices_ras, ball.vertices_ras]),
        np.concatenate([bar.faces, ball.faces + len(bar.vertices_ras)]),
    )
    plan = reduce_fracture({"bar": bar, "ball": ball}, template)
    assert any("free" in d or "another place" in d for d in plan.fragments[1].doubts)
    assert not plan.trusted


def test_fragments_that_lie_in_each_other_are_doubted():
    bar, inside = box_mesh((30.0, 24.0, 200.0)), box_mesh((20.0, 20.0, 20.0))
    fit = Fit(np.eye(4), 0.1, 0.9, 0.1, (), 1e-4 * np.eye(6), np.zeros(3))
    pieces = [ReducedFragment(n, m, np.eye(4), fit, 0.0, 0.0) for n, m in (("bar", bar), ("inside", inside))]
    first, second = _without_overlap(pieces)
    assert not first.doubts
    # The middles of the block's faces across lie deepest: 12 mm from the bar's sides less what the field rounds.
    assert "mm into bar" in second.doubts[0]
    assert float(second.doubts[0].split()[4]) > 8.0


def test_wrong_input_is_said(broken):
    whole, shaft, _ = broken
    with pytest.raises(InputError, match="no fragment"):
        reduce_fracture({}, whole)
    with pytest.raises(InputError, match="too small"):
        reduce_fracture({"shaft": shaft, "crumb": sphere_mesh(2.0)}, whole)
    with pytest.raises(InputError, match="no fragment 'head'"):
        reduce_fracture({"shaft": shaft}, whole, main="head")
    with pytest.raises(GeometryError, match="two sides of one bone"):
        reduce_fracture({"shaft": shaft}, box_mesh((200.0, 200.0, 200.0)))
    with pytest.raises(InputError, match="closed"):
        reduce_fracture({"shaft": Mesh(shaft.vertices_ras, shaft.faces[1:])}, whole)
    with pytest.raises(InputError, match="180 degrees"):
        ReductionOptions(widest_deg=0.0)
