"""The search of all shifts and turns: edges that run along each other, peaks, turned grids, and which turns are worth a closer look."""

import numpy as np
import pytest
from core.body_pair import body_pair
from scipy import ndimage
from scipy.spatial.transform import Rotation

from MSKFusionLib.frames import rotation_about, transform_points
from MSKFusionLib.progress import no_progress
from MSKFusionLib.registration.coarse_turns import averaged, score_turns, with_axes_turned
from MSKFusionLib.registration.edge_directions import (
    ct_channels,
    edge_channels,
    mr_channels,
    padded_shape,
    peaks,
    scores,
    spectra,
)
from MSKFusionLib.registration.global_search import SearchOptions, search_anywhere
from MSKFusionLib.registration.mutual_information import pose_distance_mm
from MSKFusionLib.registration.pair import Pair
from MSKFusionLib.registration.search_grid import SearchGrid
from MSKFusionLib.registration.turns import cube_turns, turns_around_each_of_the_cube


def _ramp(direction) -> np.ndarray:
    kji = np.stack(np.meshgrid(*[np.arange(12.0)] * 3, indexing="ij"), -1)
    return (kji[..., ::-1] @ np.asarray(direction, dtype=float)).astype(np.float32)


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 54.7356, 90.0, 180.0])
def test_edges_agree_by_the_square_of_their_angle_whatever_the_contrast(angle_deg: float):
    one = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
    other = rotation_about(np.cross(one, [1.0, 0, 0]), angle_deg) @ one
    whole = np.ones((12, 12, 12), dtype=bool)
    a, b = (edge_channels(_ramp(d), whole)[:, 6, 6, 6] for d in (one, -3.0 * other))
    # Of tensors d d^T - 1/3 the inner product is cos^2 - 1/3; the strength scales each.
    assert a[5] == pytest.approx(1 / 1.36, rel=0.3)
    expected = a[5] * b[5] * (np.cos(np.radians(angle_deg)) ** 2 - 1 / 3)
    assert float(a[:5] @ b[:5]) == pytest.approx(expected, abs=1e-4)


def _blobs(shape, seed: int, sigma: float = 1.6) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma).astype(np.float32)


@pytest.mark.parametrize("first", [(4, 7, 2), (0, 0, 0), (13, 1, 9), (-4, 3, 2)])
def test_the_best_shift_is_where_the_piece_was_cut_out(first: tuple[int, int, int]):
    world = 6000.0 * _blobs((36, 34, 32), 1)
    at = np.array([4, 4, 4])
    ct = np.ascontiguousarray(world[4:32, 4:30, 4:28])
    box = np.array([13, 11, 15])
    lower = at + first
    piece = world[tuple(slice(int(a), int(a + n)) for a, n in zip(lower, box, strict=True))]
    values = np.ascontiguousarray(400.0 - 0.1 * piece)  # contrast inverted
    shape = padded_shape(np.array(ct.shape), box)
    channels = mr_channels(values, np.ones_like(values), np.ones(values.shape, dtype=bool))
    score = scores(spectra(ct_channels(ct), shape), spectra(channels, shape), shape, float(channels[5].sum()), 100.0)
    (_, best), *_ = peaks(score, 1)
    np.testing.assert_array_equal(best, np.mod(first, shape))


@pytest.mark.parametrize("sigma", [1.0, 6.0])
def test_peaks_are_the_highest_local_maxima_of_a_periodic_array(sigma: float):
    score = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(40, 30, 36)), sigma, mode="wrap")
    score[:5, :5, :5] = -np.inf
    score = score.astype(np.float32)
    top = (score == ndimage.maximum_filter(score, 3, mode="wrap")) & np.isfinite(score)
    expected = np.sort(score[top])[::-1][:6]
    found = peaks(score, 6)
    np.testing.assert_array_equal([value for value, _ in found], expected)
    assert all(top[tuple(index)] for _, index in found)


def test_a_shift_that_shows_too_little_is_no_peak_at_all():
    assert peaks(np.full((8, 8, 8), -np.inf, dtype=np.float32), 4) == []


def test_turning_axes_moves_every_voxel_to_its_place():
    voxels = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    middle_ijk = (np.array(voxels.shape[::-1]) - 1) / 2
    for turn in cube_turns():
        turned = with_axes_turned(voxels, turn)
        new_middle = (np.array(turned.shape[::-1]) - 1) / 2
        for ijk in ([0, 0, 0], [4, 1, 2], [2, 3, 0]):
            there = np.rint(turn @ (np.array(ijk) - middle_ijk) + new_middle).astype(int)
            assert turned[tuple(there[::-1])] == voxels[tuple(ijk[::-1])]


def test_averaged_channels_multiply_up_to_what_they_did():
    smooth = np.ones((2, 6, 7, 8), dtype=np.float32)
    assert float((averaged(smooth)[0] * averaged(smooth)[1]).sum()) == pytest.approx(6 * 7 * 8, rel=0.2)
    even = averaged(smooth[:, :, :6, :])
    assert even.shape == (2, 3, 3, 4)
    assert float((even[0] * even[1]).sum()) == pytest.approx(6 * 6 * 8)


def test_the_turned_mr_shows_what_lies_at_the_turned_place():
    body = body_pair(0)
    pair = Pair.prepare(body.ct, body.mr)
    grid = SearchGrid.of(pair, 8.0, 120_000)
    turn = rotation_about((1, 2, -1), 70.0)
    box = grid.box_kji(turn)
    values, _, seen = grid.turned_mr(turn, box)
    axes = grid.ct.directions_ras
    coarse = pair.at(2.0)[1]
    for offset_ijk in ([0, 0, 0], [3, -2, 4], [-5, 1, 2]):
        place = grid.centre_mr_ras + turn @ axes @ (8.0 * np.array(offset_ijk))
        kji = (box // 2) + np.array(offset_ijk)[::-1]
        ijk = transform_points(coarse.ras_to_ijk, place)
        there = ndimage.map_coordinates(ndimage.gaussian_filter(coarse.voxels, 1.2), ijk[::-1, None], order=1)[0]
        assert seen[tuple(kji)]
        assert values[tuple(kji)] == pytest.approx(there, abs=0.25 * float(coarse.voxels.max()))


def _away_deg(turns: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((np.einsum("...ij,ij->...", turns, wanted) - 1) / 2, -1, 1)))


def test_the_true_turn_is_among_the_first_of_all_turns():
    body = body_pair(0)
    pair = Pair.prepare(body.ct, body.mr)
    start = Rotation.random(rng=5).as_matrix()
    grid = SearchGrid.of(pair, 8.0, 120_000)
    axes, small, cube = grid.ct.directions_ras, start @ turns_around_each_of_the_cube(24.0), cube_turns()
    score = score_turns(grid, small, cube, 0.35, no_progress)
    turns = np.array([[s @ axes @ c @ axes.T for c in cube] for s in small])
    away_deg = _away_deg(turns, body.ct_to_mr_ras[:3, :3])
    assert away_deg.min() < 20.0, "the grid covers all turns"
    order = np.argsort(-score, axis=None)
    # Chance would have one of the first ten within 20 degrees in 2 of 100 cases.
    assert away_deg.ravel()[order[:10]].min() < 20.0


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_the_search_of_all_turns_finds_the_place_from_any_start(number: int):
    body = body_pair(0)
    start = Rotation.random(rng=number).as_matrix()
    found = search_anywhere(Pair.prepare(body.ct, body.mr), start, SearchOptions(), no_progress)
    nearest = min(pose_distance_mm(c.ct_to_mr_ras, body.ct_to_mr_ras, body.mr.centre_ras) for c in found)
    # What a climb of 16 mm and 15 degrees reaches.
    assert nearest < 20.0
