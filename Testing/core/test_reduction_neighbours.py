"""Fragments beside each other: a piece that its shape leaves free finds its place between its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from core.guide_shapes import box_mesh

from MSKFusionLib.frames import FloatArray, rigid, rotation_about, unit
from MSKPlannerLib.bone.mesh_depth import depth_of_mesh
from MSKPlannerLib.osteotomy.plane import Plane
from MSKPlannerLib.osteotomy.plane_split import split_by_plane
from MSKPlannerLib.osteotomy.reduction_fit import Fit
from MSKPlannerLib.osteotomy.reduction_neighbours import put_together

#: A shaft of 200 mm in three pieces, 1 mm worn off each fracture surface: gaps of 2 mm at z = -40 and 35.
_PIECES = {"lower": (-100.0, -41.0), "middle": (-39.0, 34.0), "upper": (36.0, 100.0)}
_ALONG = np.array([0.0, 0.0, 1.0])


def _piece(low: float, high: float):
    return box_mesh((26.0, 22.0, high - low), (0.0, 0.0, 0.5 * (low + high)))


def _fit(shift_mm: float, sd_mm: float, rivals_ras: tuple[FloatArray, ...] = ()) -> Fit:
    covariance = np.diag([1e-5, 1e-5, 1e-5, 0.01, 0.01, sd_mm**2])
    return Fit(rigid(translation=shift_mm * _ALONG), 0.2, 0.9, 0.1, rivals_ras, covariance, np.zeros(3))


@pytest.fixture(scope="module")
def whole():
    return depth_of_mesh(_piece(-100.0, 100.0), 2.0, 8.0, "healthy side")


@pytest.mark.parametrize("shift_mm", [-26.0, 3.0])
def test_a_piece_of_a_shaft_is_slid_to_the_middle_of_its_gap(whole, shift_mm: float) -> None:
    pieces = {name: _piece(*ends) for name, ends in _PIECES.items()}
    fits = {"lower": _fit(0.0, 0.1), "middle": _fit(shift_mm, 2.0), "upper": _fit(0.0, 0.1)}
    found = put_together(pieces, fits, whole, "lower", 40.0)
    for name in _PIECES:
        np.testing.assert_allclose(found[name].motion_ras, np.eye(4), atol=0.3)
    assert found["middle"].place_sd_mm < 0.5


def test_of_a_fragment_that_fits_nowhere_nothing_is_known(whole) -> None:
    pieces = {name: _piece(*_PIECES[name]) for name in ("lower", "middle")}
    lost = Fit(np.eye(4), np.inf, 0.0, 2.0, (), np.full((6, 6), np.inf), np.zeros(3))
    assert lost.shift_sd_mm == lost.turn_sd_deg == np.inf
    found = put_together(pieces, {"lower": _fit(0.0, 0.1), "middle": lost}, whole, "lower", 40.0)
    assert found["middle"].place_sd_mm == found["middle"].turn_sd_deg == np.inf
    np.testing.assert_array_equal(found["middle"].motion_ras, lost.motion_ras)


@pytest.mark.slow
@pytest.mark.parametrize(("normal", "expected"), [([0.0, 0.0, 1.0], True), ([0.5, 0.3, 1.0], False)])
def test_another_place_is_one_only_if_the_neighbours_leave_it(whole, normal: list[float], expected: bool) -> None:
    """By itself a piece of a bar could be turned end for end; between oblique fractures it could not."""
    planes = [Plane([0, 0, z], unit(normal)) for z in (-40.0, 35.0)]
    bar = _piece(-100.0, 100.0)
    pieces = {
        "lower": split_by_plane(bar, planes[0].shifted(-1.0))[1],
        "middle": split_by_plane(split_by_plane(bar, planes[0].shifted(1.0))[0], planes[1].shifted(-1.0))[1],
        "upper": split_by_plane(bar, planes[1].shifted(1.0))[0],
    }
    # About its own middle, so that it fills the same room along the bar.
    half_turn = rotation_about([0.0, 0.0, 1.0], 180.0)
    over = rigid(rotation_about([1.0, 0.0, 0.0], 180.0), [0.0, 0.0, -5.0]) if expected else rigid(half_turn)
    fits = {"lower": _fit(0.0, 0.1), "middle": _fit(3.0, 2.0, (over,)), "upper": _fit(0.0, 0.1)}
    found = put_together(pieces, fits, whole, "lower", 40.0)
    assert found["middle"].has_rival is expected
    np.testing.assert_allclose(found["middle"].motion_ras, np.eye(4), atol=0.3)
