"""Vertebrae separated from each other and from ribs and hip bones.

Every level has seeds that anatomy places along the canal: the core of its body, its two pedicles, and its lamina
(found on the back wall of the canal, where each next lamina's upper edge steps forward). From the seeds a flood rises
through the bone, densest first, so that two floods meet in the darkest sheet between them: disc, facet joint,
costovertebral joint (watershed from markers; Meyer and Beucher 1990, doi 10.1016/1047-3203(90)90014-M).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..boxes import label_boxes
from ..frames import FloatArray
from ..volume import Volume
from .bodies import DiscSpace
from .discs import BodyColumn, Disc
from .spine_axis import SpineAxis, sample_along
from .working import indices_of

#: Markers: 1 other bone, then the levels from head to foot (the first may be a level whose body is out of view).
OTHER = 1
FIRST_LEVEL = 2
DISC = 250
_NOTHING = 255
#: Loose pieces of bone are reached over gaps of so many voxels.
_GAP_VOXELS = 4
#: How far beside the axis there is no transverse process above the hip bones, no ala, and surely none of either.
_BEYOND_PROCESS_MM, _BEYOND_ALA_MM, _SURELY_ASIDE_MM = 42.0, 64.0, 66.0
_LEAST_WALL = 0.06
_DENSEST_HU, _STEPS = 900.0, 240
#: Directions in which a body's outline is looked at, and how far beyond it seeds may lie.
_SECTORS, _RIM_MM = 36, 0.5
#: Bone farther out than this, in radii of the column, is not the body's.
_RIM_RADIUS = 1.2


@dataclass(frozen=True, eq=False)
class BonePoints:
    """Bone voxels near the spine and their place in the frame of its axis.

    Parameters
    ----------
    kji
        (N, 3) indices on the working grid.
    step, u_mm, v_mm
        Where along the axis, how far to the right and to the front of it.
    """

    kji: NDArray[np.intp]
    ras: FloatArray
    step: FloatArray
    u_mm: FloatArray
    v_mm: FloatArray
    bone: NDArray[np.bool_]

    def part(self, chosen: NDArray[np.intp]) -> BonePoints:
        """Return some of the points."""
        return BonePoints(
            self.kji[chosen],
            self.ras[chosen],
            self.step[chosen],
            self.u_mm[chosen],
            self.v_mm[chosen],
            self.bone[chosen],
        )


def bone_points(
    mask: NDArray[np.bool_], grid: Volume, axis: SpineAxis, column: BodyColumn, reach_mm: float = 25.0
) -> BonePoints:
    """Return the voxels of a mask, and all within `reach_mm` of the bodies' middle, placed along and across the axis."""
    middles = axis.points_ras(np.arange(len(axis)), 0.0, column.middle_mm)
    wanted = mask | _near_curve(middles, mask.shape, grid, reach_mm)
    kji = np.argwhere(wanted)
    ras = grid.origin_ras + kji[:, ::-1] * grid.spacing_mm
    _, nearest = cKDTree(axis.centres_ras).query(ras, workers=1)
    offset = ras - axis.centres_ras[nearest]
    along = np.sum(offset * axis.caudal[nearest], axis=1)
    u = np.sum(offset * axis.right[nearest], axis=1)
    v = np.sum(offset * axis.anterior[nearest], axis=1)
    return BonePoints(kji, ras, nearest + along / axis.step_mm, u, v, mask[tuple(kji.T)])


def _near_curve(points_ras: FloatArray, shape: tuple[int, ...], grid: Volume, reach_mm: float) -> NDArray[np.bool_]:
    """Return the voxels within a box-shaped reach of a curve that runs along k."""
    near = np.zeros(shape, dtype=bool)
    for k, j, i in np.round(indices_of(points_ras, grid)).astype(int):
        r = round(reach_mm / float(grid.spacing_mm[0]))
        if 0 <= k < shape[0]:
            near[max(0, k - 6) : k + 7, max(0, j - r) : j + r + 1, max(0, i - r) : i + r + 1] = True
    return near


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels in view: level n lies between disc plane n - 1 and disc plane n of the body column.

    Parameters
    ----------
    spaces
        The disc spaces from head to foot; the first one lies below level 1.
    upper, lower
        Steps of the discs above and below each level's body, extrapolated beyond the outermost discs.
    lamina_top
        Step where each level's lamina begins on the back wall of the canal.
    has_body
        False for a level of which only the arch can be in view.
    """

    spaces: tuple[DiscSpace, ...]
    upper: FloatArray
    lower: FloatArray
    lamina_top: FloatArray
    has_body: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.upper)


def find_levels(
    axis: SpineAxis, column: BodyColumn, discs: tuple[Disc, ...], spaces: tuple[DiscSpace, ...], wall_mm: FloatArray
) -> Levels:
    """Return the levels between, above and below the discs, with the top of each one's lamina.

    Parameters
    ----------
    wall_mm
        Distance from the axis to the back wall of the canal, per step.
    """
    steps = np.array([d.step for d in discs])
    depth = float(np.median(column.front_mm - column.back_mm))
    height = np.diff(steps) if len(steps) > 1 else np.array([0.85 * depth / axis.step_mm])
    # Beyond the outermost discs: two virtual ones above (an arch hangs below its body's level), one below.
    bounds = np.concatenate([[steps[0] - 2 * height[0], steps[0] - height[0]], steps, [steps[-1] + height[-1]]])
    upper, lower = bounds[:-1], bounds[1:]
    tops = np.array([_lamina_top(wall_mm, a, b, axis.step_mm) for a, b in zip(upper, lower, strict=True)])
    has_body = (lower > 3) & (upper < len(axis) - 3)
    has_body[0] = False
    return Levels(spaces, upper, lower, tops, has_body)


def canal_walls(axis: SpineAxis, hu: NDArray[np.float32], grid: Volume) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the distances in mm from the axis to the first bone behind, to the left and to the right, per step.

    22 mm where there is none.
    """
    back = _first_bone(axis, hu, grid, 0.0, -1.0, [(u, 0.0) for u in (-4.0, -2.0, 0.0, 2.0, 4.0)])
    sides = [_first_bone(axis, hu, grid, sign, 0.0, [(0.0, v) for v in (0.0, 2.0, 4.0)]) for sign in (-1.0, 1.0)]
    return back, sides[0], sides[1]


def _first_bone(
    axis: SpineAxis, hu: NDArray[np.float32], grid: Volume, du: float, dv: float, starts: list[tuple[float, float]]
) -> FloatArray:
    reach = np.arange(3.0, 22.5, 0.5)
    distances = []
    for u, v in starts:
        hit = sample_along(axis, hu, grid, np.arange(len(axis)), u + du * reach, v + dv * reach) > 230.0
        distances.append(np.where(hit.any(axis=1), reach[hit.argmax(axis=1)], 22.0))
    return np.asarray(ndimage.median_filter(np.median(distances, axis=0), 3))


def _lamina_top(wall_mm: FloatArray, disc_step: float, next_step: float, step_mm: float) -> float:
    """Return where, near a disc, the back wall of the canal steps forward: the upper edge of the next lamina."""
    expected = disc_step + 4.0 / step_mm
    low, high = int(disc_step - 5 / step_mm), int(disc_step + 0.65 * (next_step - disc_step))
    best, best_drop = expected, 2.0
    for s in range(max(low, 1), min(high, len(wall_mm) - 4)):
        drop = wall_mm[max(0, s - 5) : s].max() - wall_mm[s : s + 4].min() - 0.15 * abs(s - expected) * step_mm
        if drop > best_drop:
            best, best_drop = float(s), drop
    return float(best)


def place_seeds(
    points: BonePoints,
    levels: Levels,
    column: BodyColumn,
    half_width_mm: FloatArray,
    walls: tuple[FloatArray, FloatArray, FloatArray],
    shape: tuple[int, ...],
) -> NDArray[np.uint8]:
    """Return the markers of the flood on the working grid: 0 where there is none.

    Parameters
    ----------
    points
        Voxels to be looked at: all bone, and everything in the column of the bodies.
    """
    markers = np.zeros(shape, dtype=np.uint8)
    index = np.clip(np.round(points.step).astype(int), 0, len(walls[0]) - 1)
    radius = column_radius(points, column, half_width_mm)
    back = column.back_mm[index]
    for n in range(len(levels)):
        length = levels.lower[n] - levels.upper[n]
        # The lamina, on the back wall of the canal near the mid-line, down to where the next one begins.
        room = (levels.lamina_top[n + 1] if n + 1 < len(levels) else levels.lamina_top[n] + length) - levels.lamina_top[
            n
        ]
        behind = -points.v_mm - walls[0][index]
        chosen = (np.abs(points.u_mm) < 5) & (behind > -1) & (behind < 4.5) & (walls[0][index] < 20) & points.bone
        chosen &= (points.step > levels.lamina_top[n] + 2) & (points.step < levels.lamina_top[n] + 0.75 * room)
        if levels.has_body[n]:
            near = np.flatnonzero(
                (points.step > levels.upper[n] - 22) & (points.step < levels.lower[n] + 22) & (points.v_mm > -4)
            )
            here = points.part(near)
            under, over = endplate_depths(here, levels, n)
            between = (under > 1) & (over > 1)
            inside = (radius[near] < 0.85) & between & _within_cortex(here, column, radius[near])
            # Marrow counts as bone only where a wall of bone is round it: beyond the outermost disc there may be none.
            rim = between & (radius[near] > 0.8) & (radius[near] < 1.15)
            outermost = n in (1, len(levels) - 1)
            if outermost and (not rim.any() or here.bone[rim].mean() < _LEAST_WALL):
                inside &= here.bone
            fraction = under / np.maximum(under + over, 1e-3)
            for sign, wall in ((-1, walls[1]), (1, walls[2])):
                inside |= here.bone & _pedicle_seed(here, fraction, sign * here.u_mm - wall[index[near]], back[near])
            chosen[near] |= inside
        markers[tuple(points.kji[chosen].T)] = FIRST_LEVEL + n
    for number, space in enumerate(levels.spaces):
        near = np.flatnonzero((np.abs(points.step - levels.lower[number + 1]) < 24) & (radius < 1.5))
        height, above, below = space.heights(points.ras[near])
        disc = (height < above - 0.7) & (height > below + 0.7) & (radius[near] < 1.0)
        # Bone that bridges two bodies outside the disc is cut half way.
        disc |= (np.abs(height - (above + below) / 2) < 0.8) & (points.v_mm[near] > back[near])
        markers[tuple(points.kji[near][disc].T)] = DISC
    return markers


def column_radius(points: BonePoints, column: BodyColumn, half_width_mm: FloatArray) -> FloatArray:
    """Return how far out in the body column each point lies: 0 in its middle, 1 at its outline."""
    index = np.clip(np.round(points.step).astype(int), 0, len(half_width_mm) - 1)
    half_depth = (column.front_mm[index] - column.back_mm[index]) / 2
    v = np.abs((points.v_mm - column.middle_mm[index]) / half_depth)
    return np.asarray((v**2.5 + np.abs(points.u_mm / half_width_mm[index]) ** 2.5) ** 0.4)


def endplate_depths(points: BonePoints, levels: Levels, n: int) -> tuple[FloatArray, FloatArray]:
    """Return in mm how far each point lies under the upper and over the lower endplate of level n."""
    under, over = points.step - levels.upper[n], levels.lower[n] - points.step
    if 0 <= n - 2 < len(levels.spaces):
        height, _, below = levels.spaces[n - 2].heights(points.ras)
        under = below - height
    if 0 <= n - 1 < len(levels.spaces):
        height, above, _ = levels.spaces[n - 1].heights(points.ras)
        over = height - above
    return under, over


def _within_cortex(points: BonePoints, column: BodyColumn, radius: FloatArray) -> NDArray[np.bool_]:
    """Return which points lie within the outline that a body's own bone has, seen from its middle.

    The column's outline is the same for all bodies but for their size; a body that is narrower in front would get the
    tissue beside it.
    """
    index = np.clip(np.round(points.step).astype(int), 0, len(column.back_mm) - 1)
    v = points.v_mm - column.middle_mm[index]
    distance = np.hypot(points.u_mm, v)
    angle = ((np.arctan2(v, points.u_mm) / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    row = index - index.min(initial=0)
    rim = np.zeros((row.max(initial=0) + 1, _SECTORS))
    own = points.bone & (radius < _RIM_RADIUS)
    np.maximum.at(rim, (row[own], angle[own]), distance[own])
    # Gaps of a thin cortex: the farthest bone of the sectors beside it and of the steps above and below counts too.
    rim = np.pad(rim, ((0, 0), (4, 4)), mode="wrap")
    rim = ndimage.median_filter(ndimage.maximum_filter(rim, (3, 1)), (5, 3))[:, 4:-4]
    rim[rim == 0] = np.inf
    return np.asarray(distance <= rim[row, angle] + _RIM_MM)


def _pedicle_seed(
    points: BonePoints, fraction: FloatArray, beyond_wall: FloatArray, back: FloatArray
) -> NDArray[np.bool_]:
    """Return the bone just beside the canal's front half, at the height where there is most of it."""
    region = (beyond_wall > -1) & (beyond_wall < 5) & (points.v_mm > -2) & (points.v_mm < back + 1)
    region &= (fraction > 0.1) & (fraction < 0.65)
    if region.sum() < 10:
        return np.zeros(len(fraction), dtype=bool)
    rows = np.round(points.step[region]).astype(int)
    counts = ndimage.gaussian_filter1d(np.bincount(rows - rows.min()).astype(float), 2.0)
    centre = rows.min() + int(counts.argmax())
    return np.asarray(region & (np.abs(points.step - centre) < 3.5))


def lateral_seeds(
    points: BonePoints, shape: tuple[int, ...], cut: tuple[bool, bool], sacrum_step: float, hips_step: float
) -> NDArray[np.bool_]:
    """Return the bone that is surely rib or hip bone: what reaches farther to the side than any transverse process.

    Parameters
    ----------
    cut
        Whether the image ends at the lower and at the upper face of the grid. A rib may leave it there.
    sacrum_step
        Where the sacrum begins: its alae are no ribs.
    hips_step
        Where the hip bones may begin, which the transverse processes of the lowest levels can touch.
    """
    far = np.zeros(shape, dtype=bool)
    side = np.abs(points.u_mm)
    far[tuple(points.kji[points.bone & (side > _BEYOND_PROCESS_MM)].T)] = True
    k = points.kji[:, 0]
    leaving = ((k == 0) & cut[0]) | ((k == shape[0] - 1) & cut[1])
    # Between sacrum and hip bone lies ala, and above it a transverse process that may hang together with the hip bone: only
    # the far side is sure there. Ribs do not reach that far down.
    far[tuple(points.kji[(side < _BEYOND_ALA_MM) & (points.step > min(hips_step, sacrum_step - 10))].T)] = False
    labels, _ = ndimage.label(far, np.ones((3, 3, 3)))
    anchors = points.kji[
        (side > _SURELY_ASIDE_MM) | (leaving & (side > _BEYOND_PROCESS_MM) & (points.step < sacrum_step))
    ]
    reaching = np.unique(labels[tuple(anchors.T)])
    return np.asarray(np.isin(labels, reaching[reaching > 0]))


def seed_sacrum(markers: NDArray[np.uint8], points: BonePoints, levels: Levels, level: int, column: BodyColumn) -> None:
    """Mark the whole back wall of the sacral canal and the bone along the mid-line below the last disc, in place."""
    last = len(column.back_mm) - 1
    beyond = points.bone & (points.step > last) & (np.abs(points.u_mm) < 12) & (np.abs(points.v_mm) < 35)
    dorsal = points.bone & (np.abs(points.u_mm) < 8) & (points.v_mm < 0) & (points.v_mm > -14)
    dorsal &= points.step > levels.lamina_top[level] + 5
    # The inner part of the alae; the joints with the hip bones lie farther out.
    below = points.step - levels.upper[level]
    alae = (
        points.bone & (np.abs(points.u_mm) < 32) & (points.v_mm > 0) & (points.v_mm < 25) & (below > 10) & (below < 28)
    )
    chosen = beyond | dorsal | alae
    chosen &= markers[tuple(points.kji.T)] != DISC
    markers[tuple(points.kji[chosen].T)] = FIRST_LEVEL + level


def flood(
    hu: NDArray[np.float32], mask: NDArray[np.bool_], markers: NDArray[np.uint8], threshold_hu: float
) -> NDArray[np.uint8]:
    """Return the markers grown through the mask, densest bone first.

    Parameters
    ----------
    hu
        Smoothed CT (K, J, I).
    """
    bone, seeds = mask | (markers > 0), markers.copy()
    # Sharp reconstructions show cortex at 1700 HU and the joint between two such plates at 900.
    densest = float(np.clip(np.percentile(hu[mask], 99), 600, 1600)) if mask.any() else _DENSEST_HU
    dense = np.clip((hu - threshold_hu) / (densest - threshold_hu), 0, 1)
    level = np.round((1 - dense) * _STEPS).astype(np.uint8)
    level[~bone] = 255
    level[seeds > 0] = 0
    # What lies farther than a gap is kept out, and costs no time.
    far = ndimage.maximum_filter(bone.view(np.uint8), 2 * _GAP_VOXELS + 1, mode="constant") == 0
    seeds[far] = _NOTHING
    grown = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(level), sitk.GetImageFromArray(seeds), False, False
    )
    labels: NDArray[np.uint8] = sitk.GetArrayFromImage(grown)
    return np.where(bone & (labels != _NOTHING), labels, 0).astype(np.uint8)


def one_piece_each(labels: NDArray[np.uint8], spacing_mm: float, cut: tuple[bool, bool]) -> NDArray[np.uint8]:
    """Return the labels with every level in one piece: loose pieces go to the level they touch most, crumbs go.

    Parameters
    ----------
    cut
        Whether the image ends at the lower and at the upper face of the grid: body and arch of a level that is cut
        there may hang together outside the image, and both stay.
    """
    out = labels.copy()
    loose = np.zeros(labels.shape, dtype=bool)
    for value, box in label_boxes(labels).items():
        if value < FIRST_LEVEL:
            continue
        part = labels[box] == value
        pieces, count = ndimage.label(part, np.ones((3, 3, 3)))
        if count > 1:
            stays = np.zeros(count + 1, dtype=bool)
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            stays[int(sizes.argmax())] = True
            for end, is_cut in ((0, cut[0]), (-1, cut[1])):
                at_end = box[0].start == 0 if end == 0 else box[0].stop == labels.shape[0]
                if is_cut and at_end:
                    leaving = np.unique(pieces[end])
                    stays[leaving[sizes[leaving] * spacing_mm**3 > 150]] = True
            loose[box] |= part & ~stays[pieces]
    out[loose] = 0
    pieces, _ = ndimage.label(loose, np.ones((3, 3, 3)))
    for number, grown in label_boxes(pieces, 1).items():
        piece = pieces[grown] == number
        rim = ndimage.binary_dilation(piece, np.ones((3, 3, 3))) & ~piece
        touched = out[grown][rim]
        touched = touched[touched > 0]
        if len(touched):
            out[grown][piece] = np.bincount(touched).argmax()
        elif piece.sum() * spacing_mm**3 > 300:
            out[grown][piece] = OTHER
    return out
