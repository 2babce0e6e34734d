"""What counts as spinal canal in a generated patient: the room between bodies, pedicles and laminae, with all fat in it.

The dural sac and the thin fat round it hang together from above the first vertebra to the end of the sacrum (`tissue`). Between
them and the bone lies more fat, behind most of all, where both laminae meet like a roof; that is canal as well. Between two
laminae the yellow ligaments carry the roof on, and below the pedicles the canal ends where the foramen begins.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray, transform_points
from .grid import Grid, evaluate
from .sacrum import sacral_canal
from .shapes import CAP_MM, Array, Primitive, Shape
from .spine import Spine
from .tissue import Tissue
from .vertebra import VertebraSize, lamina_line

#: Beyond its body a vertebra's canal reaches over half of the highest disc.
_HALF_DISC_MM = 8.0
#: The room begins so far within the back wall of the body; bone and discs are bone and discs first.
_INTO_BODY_MM = 3.0
_CANAL = (Tissue.EPIDURAL_FAT, Tissue.CSF, Tissue.CAUDA)


def canal_room(size: VertebraSize) -> Primitive:
    """Return the room of one vertebra's canal in the vertebra's frame, half a disc beyond the body on both sides."""
    (x0, y0, _), (x1, y1, _), radius = lamina_line(size)
    slope = (y0 - y1) / (x0 - x1)
    # The inner face of the lamina is parallel to its axis.
    roof = y1 + radius * float(np.hypot(1.0, slope))
    front, high = -size.half_depth + _INTO_BODY_MM, 0.5 * size.height + _HALF_DISC_MM

    def value(x: Array, y: Array, z: Array) -> Array:
        ax = np.abs(x)
        behind = (y - roof - slope * (ax - x1)) / float(np.hypot(1.0, slope))
        across = np.minimum(np.minimum(size.canal_half_width - ax, front - y), behind)
        return np.asarray(np.minimum(across, high - np.abs(z)))

    reach = np.array([size.canal_half_width, 0.0, high]) + CAP_MM
    lower, upper = -reach, reach.copy()
    lower[1], upper[1] = roof - slope * x1 - 2 * CAP_MM, front + CAP_MM
    return Primitive(value, lower, upper)


def spinal_canal(spine: Spine, grid: Grid, tissue: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which voxels of a grid are spinal canal: as far as there are vertebrae and a sacrum, none beyond.

    Parameters
    ----------
    tissue
        (K, J, I) class of each voxel; only fat counts as canal besides the sac and what is round it.
    """
    room = np.zeros(grid.shape, dtype=bool)
    shapes = [Shape((canal_room(size),), spine.frames[n]) for n, size in spine.sizes.items() if n != "S1"]
    if spine.sacrum is not None:
        shapes.append(Shape((replace(sacral_canal(spine.sacrum), cuts=False),), spine.frames["S1"]))
    for shape in shapes:
        found = evaluate(shape, grid)
        if found is not None:
            value, box = found
            room[box] |= value > 0
    room &= tissue == Tissue.FAT
    kji = np.argwhere(np.isin(tissue, [int(t) for t in _CANAL]))
    sac = kji[_beside(spine, transform_points(grid.ijk_to_world, kji[:, ::-1]))]
    room[tuple(sac.T)] = True
    return room


def _beside(spine: Spine, points: FloatArray) -> NDArray[np.bool_]:
    """Return which world points (N, 3) lie neither above the first vertebra's canal nor, without a sacrum, below the last one's."""
    names = list(spine.sizes)
    beside = np.ones(len(points), dtype=bool)
    ends = [(names[0], 1.0)] if spine.sacrum is not None else [(names[0], 1.0), (names[-1], -1.0)]
    for name, sign in ends:
        height = (points - spine.frames[name][:3, 3]) @ spine.frames[name][:3, 2]
        beside &= sign * height <= 0.5 * spine.sizes[name].height + _HALF_DISC_MM
    return beside
