"""What metal does to an MR image: it has no signal, and its field moves the signal of what is around it.

Along the readout a voxel lands where its frequency says. Near metal the field is wrong, so signal leaves some places
(a void larger than the metal), piles up in others (its bright rim), and outlines bend. The field is that of the
susceptibility, convolved with a dipole (Salomir et al. 2003, doi 10.1002/cmr.b.10083; Marques & Bowtell 2005,
doi 10.1002/cmr.b.20034). Spin echoes refocus the rest; that the excited slice bends as well is left out.
"""

from __future__ import annotations

import numpy as np
from scipy import fft
from scipy.ndimage import map_coordinates

from ..frames import FloatArray, invert_rigid, transform_points
from ..progress import Progress, no_progress
from .grid import FloatImage, Grid
from .metal import coverage
from .shapes import Shape

#: Titanium against tissue (Schenck 1996, doi 10.1118/1.597854: 182 and -9 ppm).
_SUSCEPTIBILITY_PPM = 191.0
#: 400 Hz a voxel of 0.9 mm at 1.5 T (63.9 MHz), as is usual near metal: the shift that a wrong field makes.
_MM_PER_PPM = 0.9 * 63.9 / 400.0
#: Lattice of the field, and how far from metal it is looked at (1 ppm there).
_STEP_MM, _REACH_MM = 1.0, 36.0
#: Signal is carried along the readout in this many parts a voxel, so that none of it falls between two voxels.
_PARTS = 8
#: Voxels beyond the ends of a row from which signal may come in.
_BEYOND = 4


def spoil_with_metal(
    signal: FloatImage,
    grid: Grid,
    shape: Shape,
    world_to_scanner: FloatArray,
    progress: Progress = no_progress,
) -> None:
    """Take metal's signal away and carry its surroundings' along the readout (the grid's i), in place.

    Parameters
    ----------
    signal
        (K, J, I), without noise and shading.
    grid, shape
        Where the voxels and the metal are in the patient's world.
    world_to_scanner
        Rigid 4x4 to the scanner's RAS, whose third axis its field points along.
    """
    found = coverage(shape, grid, progress)
    if found is None:
        return
    share, box = found
    signal[box] *= 1.0 - share
    progress(0.5, "field around metal")
    field, field_to_world = field_around(shape, world_to_scanner)
    corners = np.array(field.shape)[::-1] - 1.0
    reached = grid.box_around(np.zeros(3), corners, field_to_world)
    if reached is None:
        return
    # All of each row, so that what is carried away from one end of it has somewhere to go.
    k, j, count = reached[0], reached[1], grid.shape[2]
    first_mm = float(np.linalg.norm(grid.ijk_to_world[:3, 0]))
    # A little beyond both ends, where tissue goes on: what leaves there is replaced by what comes in.
    fine = (np.arange(-_BEYOND * _PARTS, (count + _BEYOND) * _PARTS) + 0.5) / _PARTS - 0.5
    world_to_field = np.linalg.inv(field_to_world)
    for layer in range(k.start, k.stop):
        rows = signal[layer, j]
        block = grid.block((layer, j.start, 0), (layer + 1, j.stop, count))
        straight = block.ijk_to_world.copy()
        straight[:3, 3] = transform_points(block.ijk_to_world, [fine[0], 0.0, 0.0])
        straight[:3, 0] /= _PARTS
        places = Grid((1, block.shape[1], len(fine)), world_to_field @ straight).coordinates()
        ppm = map_coordinates(field, np.stack([c[0] for c in reversed(places)]), order=1, mode="constant")
        still = np.broadcast_to(fine, ppm.shape)
        amount = _between(rows, fine)
        moved = _landed(amount, still + ppm * (_MM_PER_PPM / first_mm), count)
        rows += moved - _landed(amount, still, count)
        np.maximum(rows, 0.0, out=rows)


def field_around(shape: Shape, world_to_scanner: FloatArray) -> tuple[FloatImage, FloatArray]:
    """Return the change of the field (K, J, I; ppm) on a lattice along the scanner's axes, and 4x4 from its indices to the world."""
    scanner = shape.moved(world_to_scanner)
    lower, upper = scanner.bounds
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (upper - lower) + lower
    corners = transform_points(scanner.frame_to_world, corners)
    lo, hi = corners.min(axis=0) - _REACH_MM, corners.max(axis=0) + _REACH_MM
    # Twice the length along each axis is not needed: copies that the transform makes lie a field of view away.
    i, j, k = (fft.next_fast_len(int(np.ceil(n)) + 1, real=True) for n in (hi - lo) / _STEP_MM)
    to_scanner = np.diag([_STEP_MM] * 3 + [1.0])
    to_scanner[:3, 3] = lo
    lattice = Grid((k, j, i), to_scanner)
    ppm = np.zeros(lattice.shape, dtype=np.float32)
    found = coverage(scanner, lattice)
    if found is not None:
        ppm[found[1]] = _SUSCEPTIBILITY_PPM * found[0]
    spectrum = fft.rfftn(ppm)
    fk, fj, fi = np.meshgrid(fft.fftfreq(k), fft.fftfreq(j), fft.rfftfreq(i), indexing="ij", sparse=True)
    squared = fk * fk + fj * fj + fi * fi
    squared[0, 0, 0] = 1.0
    dipole = 1.0 / 3.0 - fk * fk / squared
    dipole[0, 0, 0] = 0.0
    field = fft.irfftn(spectrum * dipole.astype(np.float32), lattice.shape)
    return np.asarray(field, dtype=np.float32), invert_rigid(world_to_scanner) @ to_scanner


def _between(rows: FloatImage, at: FloatArray) -> FloatImage:
    """Return the signal (J, N) of rows between their voxels."""
    lower = np.clip(np.floor(at).astype(int), 0, rows.shape[1] - 2)
    share = np.clip(at - lower, 0.0, 1.0).astype(np.float32)
    return np.asarray(rows[:, lower] * (1 - share) + rows[:, lower + 1] * share, dtype=np.float32)


def _landed(amount: FloatImage, at: FloatArray, count: int) -> FloatImage:
    """Return rows (J, count) that hold each amount (J, N) where it lands, shared by the two nearest voxels."""
    lower = np.floor(at).astype(int)
    share = at - lower
    row = np.arange(len(amount))[:, None] * count
    out = np.zeros(len(amount) * count)
    for place, weight in ((lower, 1.0 - share), (lower + 1, share)):
        inside = (place >= 0) & (place < count)
        out += np.bincount((row + place)[inside], (amount * weight)[inside], len(out))
    return np.asarray(out.reshape(len(amount), count) / _PARTS, dtype=np.float32)
