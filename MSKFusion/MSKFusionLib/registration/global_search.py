"""Candidate poses without a start: every translation at once, for a grid of rotations."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..frames import FloatArray, invert_rigid, rigid, transform_points
from ..progress import Progress, part
from .coarse_turns import score_turns
from .edge_directions import ct_channels, mr_channels, padded_shape, peaks, scores, spectra
from .mutual_information import arms_ras
from .pair import Pair
from .preprocess import BODY_HU
from .search_grid import SearchGrid
from .turns import cube_turns, turns_around_each_of_the_cube, turns_within

#: Turns between two reports of progress, each of which may end the search.
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pose worth refining: 4x4 from CT RAS to MR RAS, and its score (standard deviations above the typical pose)."""

    ct_to_mr_ras: FloatArray
    score: float


@dataclass(frozen=True)
class SearchOptions:
    """How finely to look, and what to keep.

    Parameters
    ----------
    spacing_mm, most_voxels
        The grid that both images are compared on. A CT of more than `most_voxels` of these is looked at more coarsely.
    least_overlap
        Of the smaller of both bodies, the share that must lie within the other's field of view.
    per_rotation, candidates, apart_mm
        How many of the best shifts of each turn to keep, how many poses in all, and how different these must be.
    near_deg, near_step_deg
        How far from the start turns are looked for at first, and how far apart they are.
    step_deg, closer
        How far apart all turns are, and how many of them are looked at closer.
    """

    spacing_mm: float = 8.0
    most_voxels: int = 120_000
    least_overlap: float = 0.35
    per_rotation: int = 4
    candidates: int = 60
    apart_mm: float = 10.0
    near_deg: float = 60.0
    near_step_deg: float = 20.0
    step_deg: float = 24.0
    closer: int = 300


def search_near(pair: Pair, start: FloatArray, options: SearchOptions, progress: Progress) -> list[Candidate]:
    """Return the best poses of all shifts and of turns near a start, each distinct, best first.

    Parameters
    ----------
    start
        (3, 3), CT RAS to MR RAS.
    """
    grid = SearchGrid.of(pair, options.spacing_mm, options.most_voxels)
    return _search(grid, turns_within(options.near_deg, options.near_step_deg) @ start, options, progress)


def search_anywhere(pair: Pair, start: FloatArray, options: SearchOptions, progress: Progress) -> list[Candidate]:
    """Return the best poses of all shifts and all turns, each distinct, best first; the start only counts from where.

    All turns are scored coarsely, and the best of them looked at as closely as those near a start.
    """
    grid = SearchGrid.of(pair, options.spacing_mm, options.most_voxels)
    axes, cube = grid.ct.directions_ras, cube_turns()
    small_ras = start @ axes @ turns_around_each_of_the_cube(options.step_deg) @ axes.T
    score = score_turns(grid, small_ras, cube, options.least_overlap, part(progress, 0.0, 0.5))
    small, turn = np.unravel_index(np.argsort(-score, axis=None, kind="stable")[: options.closer], score.shape)
    turns_ras = small_ras[small] @ axes @ cube[turn] @ axes.T
    return _search(grid, turns_ras, options, part(progress, 0.5, 1.0))


def _search(grid: SearchGrid, turns_ras: FloatArray, options: SearchOptions, progress: Progress) -> list[Candidate]:
    """Return the best poses of all shifts of some turns (N, 3, 3; CT RAS to MR RAS)."""
    boxes = np.array([grid.box_kji(turn) for turn in turns_ras])
    n = np.array(grid.ct.voxels.shape)
    shape = padded_shape(n, boxes.max(axis=0))
    of_ct = spectra(ct_channels(grid.ct.voxels), shape)
    body_voxels = float((grid.ct.voxels > BODY_HU).sum())

    def best_shifts(number: int) -> list[tuple[float, FloatArray]]:
        turn_ras, box_kji = turns_ras[number], boxes[number]
        channels = mr_channels(*grid.turned_mr(turn_ras, box_kji))
        least = options.least_overlap * min(float(channels[6].sum()), body_voxels)
        score = scores(of_ct, spectra(channels, shape), shape, float(channels[5].sum()), least)
        poses = []
        for value, index in peaks(score, options.per_rotation):
            first = np.where(index >= n, index - np.array(shape), index)
            centre_ct = transform_points(grid.ct.ijk_to_ras, (first + box_kji // 2)[::-1])
            poses.append((value, rigid(turn_ras, grid.centre_mr_ras - turn_ras @ centre_ct)))
        return poses

    found: list[tuple[float, FloatArray]] = []
    # Turns side by side rather than each transform on all cores: the transforms are too small to be shared out.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(turns_ras), _AT_ONCE):
            progress(first / len(turns_ras), "global search")
            for poses in pool.map(best_shifts, range(first, min(first + _AT_ONCE, len(turns_ras)))):
                found += poses
    found.sort(key=lambda item: -item[0])
    return _distinct(found, grid.centre_mr_ras, options)


def _distinct(found: list[tuple[float, FloatArray]], centre_mr: FloatArray, options: SearchOptions) -> list[Candidate]:
    """Return the best poses, none within `apart_mm` (as `pose_distance_mm` measures) of a better one; best first."""
    kept: list[Candidate] = []
    # Two poses are as far apart as where they come from: one inverse for each, and all kept ones compared at once.
    arms = arms_ras(centre_mr)
    sources = np.empty((options.candidates, *arms.shape))
    for score, pose in found:
        source = transform_points(invert_rigid(pose), arms)
        apart_mm = np.linalg.norm(sources[: len(kept)] - source, axis=2).mean(axis=1)
        if (apart_mm > options.apart_mm).all():
            sources[len(kept)] = source
            kept.append(Candidate(pose, score))
        if len(kept) >= options.candidates:
            break
    return kept
