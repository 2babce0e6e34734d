"""Metal in a generated patient: pedicle screws, and rods between them."""

from __future__ import annotations

import itertools

import numpy as np

from ..frames import transform_points, unit
from ..progress import Progress, no_progress
from .grid import FloatImage, Grid, evaluate
from .shapes import Primitive, Shape, tube
from .spine import Spine
from .truth import measure_pedicle

#: Of a screw and a rod (mm): a common size of lumbar systems. Thin pedicles get a screw of this share of their width.
_SHANK_RADIUS_MM, _SHARE_OF_PEDICLE, _LENGTH_MM = 3.25, 0.8, 45.0
_HEAD_RADIUS_MM, _HEAD_MM, _ROD_RADIUS_MM, _ROD_OVERHANG_MM = 6.0, 13.0, 2.75, 8.0
#: How far the shank stays from the front of the body.
_FRONT_MM = 6.0


def screws(spine: Spine, levels: tuple[str, ...]) -> Shape:
    """Return a pair of screws in the pedicles of each level and, with two levels or more, a rod along each side.

    The axes are those of `PedicleTruth`, in the CT posture.
    """
    parts: list[Primitive] = []
    heads: dict[int, list[np.ndarray]] = {-1: [], 1: []}
    for level in levels:
        for side in (-1, 1):
            pedicle = measure_pedicle(spine.bones[level], spine.sizes[level], side)
            forward = unit(pedicle.anterior_ras - pedicle.posterior_ras)
            depth = float((pedicle.anterior_ras - pedicle.posterior_ras) @ forward)
            tip = pedicle.posterior_ras + min(_LENGTH_MM, depth - _FRONT_MM) * forward
            radius = min(_SHANK_RADIUS_MM, 0.5 * _SHARE_OF_PEDICLE * pedicle.width_mm)
            head = pedicle.posterior_ras - _HEAD_MM * forward
            parts += tube([pedicle.posterior_ras - 2.0 * forward, tip], [radius, radius])
            parts += tube([head, pedicle.posterior_ras - 4.0 * forward], [_HEAD_RADIUS_MM, _HEAD_RADIUS_MM])
            heads[side].append(head)
    for points in heads.values():
        if len(points) > 1:
            first, last = unit(points[0] - points[1]), unit(points[-1] - points[-2])
            ends = [points[0] + _ROD_OVERHANG_MM * first, *points[1:-1], points[-1] + _ROD_OVERHANG_MM * last]
            parts += tube(ends, [_ROD_RADIUS_MM] * len(ends))
    return Shape(tuple(parts))


def coverage(shape: Shape, grid: Grid, progress: Progress = no_progress) -> tuple[FloatImage, tuple[slice, ...]] | None:
    """Return which share of each voxel is metal, in a block of a grid, and the slices of that block.

    Each voxel is looked at in eight places. None where the grid shows no metal.
    """
    found = evaluate(shape, grid, margin_mm=2.0)
    if found is None:
        return None
    box = found[1]
    block = grid.block([s.start for s in box], [s.stop for s in box])
    share = np.zeros(block.shape, dtype=np.float32)
    for number, offset in enumerate(itertools.product((-0.25, 0.25), repeat=3)):
        progress(number / 8, "metal")
        m = block.ijk_to_world.copy()
        m[:3, 3] = transform_points(m, offset)
        piece = Grid(block.shape, m)
        inner = evaluate(shape, piece, margin_mm=2.0)
        if inner is not None:
            share[inner[1]] += (inner[0] > 0) / np.float32(8)
    return (share, box) if share.any() else None
