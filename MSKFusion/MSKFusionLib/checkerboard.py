"""Two images in one, in squares by turns: edges that go on from square to square lie on each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .volume import Volume

#: What is brighter or darker than these shares of an image is drawn white or black.
_DARKEST, _BRIGHTEST = 1.0, 99.5


def checkerboard(fixed: Volume, moving_on_fixed: NDArray[np.floating], square_mm: float) -> NDArray[np.uint8]:
    """Return an image (K, J, I) of 0 to 255 with both images by turns in cubes of one size.

    Parameters
    ----------
    moving_on_fixed
        (K, J, I), the moving image at the fixed one's voxels; NaN where it shows nothing. There the fixed image stands
        everywhere, so that the border of the moving one is no edge of its own.
    square_mm
        Side of the cubes, counted from the first voxel's corner.

    Raises
    ------
    InputError
        When the shapes differ, the images do not overlap, or the cubes are smaller than the voxels.
    """
    if moving_on_fixed.shape != fixed.voxels.shape:
        raise InputError("the images are not on one grid", where=fixed.name)
    if not square_mm >= float(fixed.spacing_mm.max()):
        raise InputError(f"squares of {square_mm:g} mm are smaller than the voxels", "Choose larger ones.")
    seen = np.isfinite(moving_on_fixed)
    if not seen.any():
        raise InputError("the images do not overlap", "Register them, or move the MR by hand first.", where=fixed.name)
    number = [
        np.floor((np.arange(n) + 0.5) * step / square_mm).astype(np.int64)
        for n, step in zip(fixed.shape_ijk, fixed.spacing_mm, strict=True)
    ]
    odd = (number[2][:, None, None] + number[1][None, :, None] + number[0][None, None, :]) % 2 == 1
    board = _to_bytes(fixed.voxels, np.ones_like(seen))
    other = odd & seen
    board[other] = _to_bytes(moving_on_fixed, seen)[other]
    return board


def _to_bytes(voxels: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    dark, bright = np.percentile(voxels[where], (_DARKEST, _BRIGHTEST))
    share = (np.nan_to_num(voxels.astype(np.float32), nan=float(dark)) - dark) / max(float(bright - dark), 1e-6)
    return (255.0 * np.clip(share, 0.0, 1.0)).astype(np.uint8)
