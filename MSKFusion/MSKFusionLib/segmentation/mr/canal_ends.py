"""The spinal canal beyond the labelled bodies: behind the sacrum, and behind bodies that are not seen as a whole.

What the canal looks like across at its last cross-section is looked for a step further on, and so on, as long as it is found
again and its border is seen. It may turn and become narrower, as in the sacrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...frames import FloatArray, unit
from .prepare import PreparedMR

#: The canal is followed so far at most (the sacrum's is 100 mm long), as long as what is seen is so like what was seen before.
_FARTHEST_MM, _LIKE = 110.0, 0.6
#: Across the canal so much is compared, on this raster; from one step to the next it moves aside by so much at most.
_PATCH_MM, _RASTER_MM, _ASIDE_MM = 12.0, 1.0, 1.0
_ASIDE_COST = 0.02
#: What is seen now counts so much in what is looked for next; the direction is that of the last steps.
_NEW_SHARE, _DIRECTION_STEPS = 0.3, 8
#: Where the image ends within so much of the canal, the canal is not followed.
_MOST_UNSEEN = 0.1


@dataclass(frozen=True, eq=False)
class Course:
    """Cross-sections one after another, outwards from one end of a canal.

    Parameters
    ----------
    centres_mm, right, front
        Of the cross-sections (S, 3), in the image frame.
    """

    centres_mm: FloatArray
    right: FloatArray
    front: FloatArray


def followed(image: PreparedMR, centres_mm: FloatArray, right: FloatArray, front: FloatArray, step_mm: float) -> Course:
    """Return where a canal goes on beyond the last of its cross-sections.

    Parameters
    ----------
    centres_mm, right, front
        Of the cross-sections that are known (S, 3), the last one that beyond which it is followed.
    """
    line = [np.asarray(c) for c in centres_mm[-_DIRECTION_STEPS - 1 :]]
    across = np.arange(-_PATCH_MM, _PATCH_MM + 1e-6, _RASTER_MM)
    gx, gy = (g.ravel() for g in np.meshgrid(across, across, indexing="ij"))
    near = np.hypot(gx, gy) <= _PATCH_MM
    gx, gy = gx[near], gy[near]
    moves = np.array([(a, b) for a in (-1, -0.5, 0, 0.5, 1) for b in (-1, -0.5, 0, 0.5, 1)]) * _ASIDE_MM
    r, f = right[-1], front[-1]
    wanted = np.mean(
        [_patch(image, c, a, b, gx, gy) for c, a, b in zip(centres_mm[-3:], right[-3:], front[-3:], strict=True)],
        axis=0,
    )
    found: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for _ in range(int(_FARTHEST_MM / step_mm)):
        ahead = unit(line[-1] - line[-1 - min(_DIRECTION_STEPS, len(line) - 1)])
        r, f = _turned(r, f, ahead)
        middles = line[-1] + step_mm * ahead + moves[:, :1] * r + moves[:, 1:] * f
        patches = _patch(image, middles[:, None], r, f, gx, gy)
        if float(np.isnan(patches).mean()) > _MOST_UNSEEN:
            break
        alike = _correlation(patches, wanted) - _ASIDE_COST * (moves**2).sum(axis=1)
        best = int(alike.argmax())
        if alike[best] < _LIKE:
            break
        line.append(middles[best])
        found.append((middles[best], r, f))
        seen = np.where(np.isnan(patches[best]), wanted, patches[best])
        wanted = (1 - _NEW_SHARE) * wanted + _NEW_SHARE * seen
    if not found:
        return Course(*(np.zeros((0, 3)) for _ in range(3)))
    path = np.concatenate([centres_mm, [c for c, _, _ in found]])
    smooth = ndimage.gaussian_filter1d(path, 2.0, axis=0, mode="nearest")[len(centres_mm) :]
    # The very end is not pulled back by the smoothing.
    smooth[-1] = path[-1]
    return Course(smooth, np.array([a for _, a, _ in found]), np.array([b for _, _, b in found]))


def _patch(
    image: PreparedMR, centre_mm: FloatArray, right: FloatArray, front: FloatArray, x: FloatArray, y: FloatArray
) -> NDArray[np.float64]:
    """Return the image's values round a centre, or round each of several (N, 1, 3)."""
    return image.values(centre_mm + x[:, None] * right + y[:, None] * front).astype(np.float64)


def _turned(right: FloatArray, front: FloatArray, ahead: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return right and front, square to a new direction; which way it runs (to head or foot) does not matter."""
    new_front = unit(front - (front @ ahead) * ahead)
    new_right = right - (right @ ahead) * ahead
    return unit(new_right - (new_right @ new_front) * new_front), new_front


def _correlation(patches: NDArray[np.float64], wanted: NDArray[np.float64]) -> FloatArray:
    """Return how like what is wanted each patch (N, P) is: the correlation over what of it is seen."""
    known = np.isfinite(patches)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    a = np.where(known, patches, 0.0)
    b = np.where(known, wanted, 0.0)
    a = np.where(known, a - a.sum(axis=1, keepdims=True) / count, 0.0)
    b = np.where(known, b - b.sum(axis=1, keepdims=True) / count, 0.0)
    return np.asarray((a * b).sum(axis=1) / np.sqrt(np.maximum((a**2).sum(axis=1) * (b**2).sum(axis=1), 1e-12)))
