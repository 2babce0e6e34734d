"""Put slices of a tilted gantry, or with uneven steps, on a straight and even grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import FloatArray
from ..progress import Progress, no_progress
from .sorting import Stack


def regrid(
    stack: Stack, voxels: NDArray[Any], fill: float, progress: Progress = no_progress
) -> tuple[NDArray[Any], FloatArray, float]:
    """Return the slices on a grid along row, column and normal of the stack.

    Each slice stays in its own plane and is moved in it to its true place (linear interpolation); between slices the
    values run linearly along the normal. The grid covers every slice whole; what no slice imaged gets `fill`.

    Parameters
    ----------
    voxels
        (N, rows, columns) in the order of the stack.

    Returns
    -------
    voxels, origin_lps, step_mm
        (K, J, I) in the type of the input, the LPS position of its first voxel, and the distance between its slices.
    """
    first = stack.frames[0]
    pixels = stack.shifts_mm / [first.column_spacing_mm, first.row_spacing_mm]
    pixels = np.where(np.abs(pixels - np.round(pixels)) < 1e-3, np.round(pixels), pixels)
    low = np.floor(pixels.min(axis=0)).astype(int)
    extra = np.ceil(pixels.max(axis=0)).astype(int) - low
    shape = (voxels.shape[1] + extra[1], voxels.shape[2] + extra[0])

    height = stack.heights_mm
    if stack.is_even:
        level, step = height, stack.step_mm
    else:
        count = max(2, round(float(height[-1]) / stack.step_mm) + 1)
        level = np.linspace(0.0, height[-1], count)
        step = float(height[-1] / (count - 1))

    out = np.empty((len(level), *shape), dtype=voxels.dtype)
    placed: dict[int, NDArray[np.float32]] = {}
    for k, at in enumerate(level):
        progress(k / len(level), "putting the slices on a straight grid")
        if stack.is_even:
            below, weight = k, 0.0
        else:
            below = int(np.clip(np.searchsorted(height, at, side="right") - 1, 0, len(height) - 2))
            weight = float(np.clip((at - height[below]) / (height[below + 1] - height[below]), 0.0, 1.0))
        for number in (below, below + 1)[: 2 if weight > 0 else 1]:
            if number not in placed:
                placed[number] = _place(voxels[number], pixels[number] - low, shape)
        for number in [n for n in placed if n < below]:
            del placed[number]
        value = placed[below]
        if weight > 0:
            above = placed[below + 1]
            mixed = (1 - weight) * value + weight * above
            # Where only one of the two reaches, it counts for the half of the step that is nearer to it.
            value = np.where(np.isnan(mixed), value if weight < 0.5 else above, mixed)
        value = np.where(np.isnan(value), np.float32(fill), value)
        out[k] = np.rint(value) if out.dtype.kind in "iu" else value
    origin = (
        first.position_lps
        + stack.row_lps * low[0] * first.column_spacing_mm
        + stack.column_lps * low[1] * first.row_spacing_mm
    )
    return out, origin, step


def _place(image: NDArray[Any], shift: FloatArray, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return `image` moved by (columns, rows) pixels on a larger canvas, NaN where it does not reach."""
    canvas = np.full(shape, np.nan, dtype=np.float32)
    whole = np.floor(shift).astype(int)
    part = shift - whole
    values = image.astype(np.float32)
    if part[0] > 0:
        values = (1 - np.float32(part[0])) * values[:, 1:] + np.float32(part[0]) * values[:, :-1]
        whole[0] += 1
    if part[1] > 0:
        values = (1 - np.float32(part[1])) * values[1:] + np.float32(part[1]) * values[:-1]
        whole[1] += 1
    canvas[whole[1] : whole[1] + values.shape[0], whole[0] : whole[0] + values.shape[1]] = values
    return canvas
