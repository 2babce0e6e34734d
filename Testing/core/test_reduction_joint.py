"""All fragments at once: a row of pieces stays straight, surfaces that never met do not pull, and what is free is said."""

from __future__ import annotations

import numpy as np
import pytest
from core.guide_shapes import box_mesh

from MSKFusionLib.frames import FloatArray, rigid_about, rotation_about, rotation_angle_deg, transform_points, unit
from MSKPlannerLib.bone.mesh_depth import depth_of_mesh
from MSKPlannerLib.mesh import Mesh
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.plane_split import split_by_plane
from MSKPlannerLib.osteotomy.reduction_joint import Piece, Placed, _motion_at, placed_together
from MSKPlannerLib.osteotomy.side_difference import LENGTH_MM, SideDifference

_LENGTH_MM, _WORN_MM = 240.0, 1.0


@pytest.fixture(scope="module")
def bar() -> Mesh:
    """A bar whose corners show its turn, and whose middle pieces nothing holds along it but their neighbours."""
    return box_mesh((26.0, 22.0, _LENGTH_MM))


@pytest.fixture(scope="module")
def whole(bar):
    return depth_of_mesh(bar, 2.0, 8.0, "healthy side")


def _cut(bar: Mesh, planes: list[Plane]) -> list[Mesh]:
    pieces, rest = [], bar
    for plane in planes:
        pieces.append(split_by_plane(rest, plane.shifted(-_WORN_MM))[1])
        rest = split_by_plane(rest, plane.shifted(_WORN_MM))[0]
    return [*pieces, rest]


def _placed(pieces: list[Mesh], starts: list[FloatArray], whole) -> list[Placed]:
    return placed_together(
        [Piece.of(m, depth_of_mesh(m, 1.5, 8.0, "piece"), s) for m, s in zip(pieces, starts, strict=True)], whole
    )


def _off(piece: Mesh, found: Placed, main: Placed) -> tuple[float, float]:
    """Return turn (degrees) and shift (mm) of a piece to the main one, where all belong to where they are."""
    motion = np.linalg.inv(main.motion_ras) @ found.motion_ras
    middle = piece.vertices_ras.mean(axis=0)
    return rotation_angle_deg(motion[:3, :3]), float(np.linalg.norm(transform_points(motion, middle) - middle))


def test_a_row_of_pieces_stays_straight(bar, whole) -> None:
    rng = np.random.default_rng(5)
    normals = [unit([0.5, 0.2, 1.0]), unit([-0.3, 0.4, 1.0]), unit([0.2, -0.6, 1.0])]
    pieces = _cut(bar, [Plane([0, 0, z], n) for z, n in zip((-60.0, 0.0, 55.0), normals, strict=True)])
    starts = [
        rigid_about(
            p.vertices_ras.mean(axis=0), rotation_about(rng.standard_normal(3), 3.0), 3.0 * unit(rng.standard_normal(3))
        )
        for p in pieces
    ]
    found = _placed(pieces, starts, whole)
    for piece, place in zip(pieces[1:], found[1:], strict=True):
        turned, moved = _off(piece, place, found[0])
        assert turned < 0.3
        assert moved < 0.3
        assert moved < 3 * place.place_sd_mm < 3.0


def test_surfaces_that_never_met_do_not_pull(bar, whole) -> None:
    # Between them a wedge was lost: they look at each other over 2 to 11 mm.
    flat, steep = Plane([0, 0, 0], [0, 0, 1]), Plane([-13, 0, 2], unit([-np.tan(np.radians(20.0)), 0, 1]))
    pieces = [split_by_plane(bar, flat)[1], split_by_plane(bar, steep)[0]]
    found = _placed(pieces, [np.eye(4), np.eye(4)], whole)
    turned, moved = _off(pieces[1], found[1], found[0])
    assert turned < 0.3
    assert moved < 0.3


@pytest.mark.slow
def test_what_nothing_holds_is_said_to_be_free(bar, whole) -> None:
    low, middle, _ = _cut(bar, [Plane([0, 0, -60.0], [0, 0, 1]), Plane([0, 0, 40.0], [0, 0, 1])])
    far = split_by_plane(middle, Plane([0, 0, 0], [0, 0, 1]))[0]
    free = _placed([low, far], 2 * [np.eye(4)], whole)[1]
    # Far beyond what is trusted, though the rounding of the depth field holds it a little.
    assert free.place_sd_mm > 2.0


def test_a_turn_counts_at_its_distance() -> None:
    arm, small = np.array([30.0, -20.0, 300.0]), np.array([1e-4, -2e-4, 3e-4, 0.1, 0.2, -0.3])
    moved = _motion_at(arm) @ small
    np.testing.assert_allclose(moved[:3], small[:3])
    turned = rotation_about(small[:3], np.degrees(np.linalg.norm(small[:3]))) @ arm
    np.testing.assert_allclose(moved[3:], turned - arm + small[3:], atol=1e-4)
    nothing = Placed(np.eye(4), np.full((6, 6), np.inf))
    assert nothing.turn_sd_deg == nothing.place_sd_mm == np.inf


def test_two_sides_differ_alike_nearby_and_each_in_its_way_far_off() -> None:
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(0, 90, 31))
    shaft = np.column_stack([14 * np.cos(angle.ravel()), 14 * np.sin(angle.ravel()), height.ravel()])
    functions = SideDifference.over(shaft).functions(shaft)
    covariance = functions @ functions.T
    distance = np.linalg.norm(shaft[:, None] - shaft[None], axis=2)
    # Seen from points 18 mm apart it is known nearly, and never more than it is.
    off = np.exp(-(distance**2) / (2 * LENGTH_MM**2)) - covariance
    assert np.diag(off).min() > -1e-6
    assert np.abs(off).max() < 0.3
    assert np.sqrt((off**2).mean()) < 0.05
